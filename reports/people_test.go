package reports_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/annal-crm/annal/domain"
	"github.com/annal-crm/annal/domain/account"
	"github.com/annal-crm/annal/domain/customer"
	"github.com/annal-crm/annal/domain/organization"
	"github.com/annal-crm/annal/domain/source"
	"github.com/annal-crm/annal/eventlog"
	"github.com/annal-crm/annal/projections/engine"
	"github.com/annal-crm/annal/projections/engine/where"
	"github.com/annal-crm/annal/reports"
	"github.com/annal-crm/annal/reports/report"
)

// What people did and how signing in went, on a few days that can be counted by hand.
func TestPeople(t *testing.T) {
	w := newWorld(t)
	from := func(ip string, actor uuid.UUID) domain.Metadata { return domain.Metadata{IP: ip, Actor: actor} }
	w.at(day(0), account.Category, w.ada, account.LoginFailed{Reason: account.WrongPassword, At: day(0)}, from("192.0.2.1", uuid.Nil))
	w.at(day(0), account.Category, w.ada, account.LoginFailed{Reason: account.WrongPassword, At: day(0)}, from("192.0.2.2", uuid.Nil))
	w.at(day(0), account.Category, w.ada, account.Locked{Reason: account.LockedByFailures}, from("192.0.2.2", uuid.Nil))
	w.at(day(0), account.Category, w.ada, account.LoginRefused{Reason: account.RefusedLocked}, from("192.0.2.2", uuid.Nil))
	w.at(day(1), account.Category, w.ada, account.Unlocked{Cause: account.UnlockedByAdministrator}, from("192.0.2.9", w.bob))
	w.at(day(1), account.Category, w.ada, account.LoggedIn{Session: uuid.New(), At: day(1)}, from("192.0.2.1", w.ada))
	w.at(day(1), source.Category, uuid.New(), source.LoginFailed{NameMasked: "r***", At: day(1)}, from("192.0.2.66", uuid.Nil))
	w.at(day(1), customer.Category, uuid.New(), customer.Registered{Name: "C"}, from("192.0.2.1", w.ada))
	w.at(day(2), customer.Category, uuid.New(), customer.Registered{Name: "D"}, from("192.0.2.1", w.ada))
	w.Settle()
	all := report.Everything(w.org)
	ask := func(name string, v engine.Viewer, q report.Query) []string {
		t.Helper()
		return lines(w.ask(t, name, v, q))
	}
	name := func(all []string) []string {
		for i := range all {
			all[i] = strings.NewReplacer(w.ada.String(), "ada", w.bob.String(), "bob").Replace(all[i])
		}
		slices.Sort(all)
		return all
	}
	same(t, "by day", ask("signins", all, report.Query{By: []string{"day"}, Measures: []string{"signedIn", "failed", "refused", "locks", "unlocks", "accounts", "sources"}}), []string{
		"2025-01-01 0 2 1 1 0 1 2", "2025-01-02 1 1 0 0 1 1 2",
	})
	same(t, "by cause", ask("signins", all, report.Query{By: []string{"outcome", "cause"}, Measures: []string{"failed"}}), []string{
		"failed unknown_name 1", "failed wrong_password 2", "locked wrong_passwords 0", "refused locked 0", "signed_in <nil> 0", "unlocked administrator 0",
	})
	failures := report.Query{By: []string{"source"}, Measures: []string{"failed", "refused"}, Filter: report.Filter{In: map[string][]string{"outcome": {"failed", "refused"}}}}
	same(t, "by source", ask("signins", all, failures), []string{"192.0.2.1 1 0", "192.0.2.2 1 1", "192.0.2.66 1 0"})
	failures.Filter.In["source"] = []string{"192.0.2.2"}
	same(t, "of a source", ask("signins", all, failures), []string{"192.0.2.2 1 1"})
	same(t, "activity", name(ask("activity", all, report.Query{By: []string{"account", "team"}, Measures: []string{"acts", "logins", "days", "last"}})), []string{
		"ada North 3 1 2 2025-01-03", "bob <nil> 1 0 1 2025-01-02",
	})
	same(t, "by area", ask("activity", all, report.Query{By: []string{"area"}, Measures: []string{"acts"}, Filter: report.Filter{From: day(1), To: day(2)}}), []string{"account 2", "customer 1"})

	masked := all
	masked.Personal = false
	signins := reports.BuiltIn("signins")
	for _, q := range []report.Query{failures, {Measures: []string{"sources"}}, {Filter: report.Filter{In: map[string][]string{"source": {"192.0.2.1"}}}}} {
		if _, err := signins.Query(t.Context(), w.Pool, w.Codec, masked, q); !errors.Is(err, where.ErrHidden) {
			t.Error(err)
		}
	}
	own := engine.Viewer{Organization: w.org, Account: w.bob, Scope: organization.Own}
	same(t, "own", ask("activity", own, report.Query{Measures: []string{"acts"}}), []string{"1"})

	var n int // no address is in clear
	if err := w.Pool.QueryRow(t.Context(), "select count(*) from acts_v1.acts t where t::text like '%192.0.2%'").Scan(&n); err != nil || n != 0 {
		t.Error(n, err)
	}

	// As it was at another time: the same question to a result that was folded for it.
	for _, c := range []struct {
		asOf eventlog.AsOf
		want []string
	}{
		{eventlog.AsOf{HappenedBy: day(1).Add(-time.Hour)}, []string{"0 2"}},
		{eventlog.AsOf{HappenedBy: day(9)}, []string{"1 3"}},
		{eventlog.AsOf{KnownAt: day(0)}, []string{"0 0"}},
	} {
		result, err := w.Engine.Results("test", engine.ResultLimits{AtOnce: 1}).Make(t.Context(), "acts", engine.ResultOptions{AsOf: c.asOf, Organization: w.org})
		if err != nil {
			t.Fatal(err)
		}
		table, err := signins.Query(t.Context(), result.DB(), w.Codec, all, report.Query{Measures: []string{"signedIn", "failed"}})
		if err != nil {
			t.Fatal(err)
		}
		same(t, fmt.Sprint(c.asOf), lines(table), c.want)
		if err := result.Drop(t.Context()); err != nil {
			t.Error(err)
		}
	}
}
