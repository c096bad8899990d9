package commands_test

import (
	"bytes"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/annal-crm/annal/commands"
	"github.com/annal-crm/annal/domain/account"
	"github.com/annal-crm/annal/internal/vault"
)

var longAgo = time.Date(2016, 12, 10, 6, 55, 46, 0, time.UTC)

// tries makes attempts with keys of their own, a second apart.
func tries(names ...string) (all []commands.Attempt) {
	for i, name := range names {
		at := longAgo.Add(time.Duration(i) * time.Second)
		all = append(all, commands.Attempt{
			Attempt: account.Attempt{At: at}, Key: fmt.Sprint(i, name), LoginName: name, IP: "203.0.113.77", Device: "ssh2, port 4",
		})
	}
	return all
}

func TestImportAttempts(t *testing.T) {
	w := newWorld(t)
	home := w.invite("marie", uuid.Nil)
	w.activate(home.Account)
	before := w.head()
	into := must(w.Attempts(t.Context(), " attacked "))
	first := tries("root", "Marie", "", "root", " marie\t")
	first[4].Accepted, first[2].Unknown = true, true
	check := func(what string, into *commands.Attempts, batch []commands.Attempt, added, known int) {
		t.Helper()
		got := must(into.Import(t.Context(), batch))
		if got != (commands.AttemptsImported{Added: added, Known: known}) {
			t.Errorf("%s: %+v", what, got)
		}
	}
	check("the first time", into, first, 5, 0)

	types, about, payloads := w.facts(before)
	if want := []string{
		"organization.registered", "organization.role_defined", "organization.role_defined", "organization.role_defined", "organization.role_defined", "organization.role_defined",
		"account.invited", "account.login_failed", "account.login_failed", // root
		"account.invited", "account.login_failed", "account.logged_in", // marie
		"account.invited", "account.login_failed", // nothing
	}; !slices.Equal(types, want) {
		t.Fatalf("%q", types)
	}
	if got := payloads[9].(account.Invited); got.LoginName != "marie" || got.Source != account.AuthLog {
		t.Errorf("%+v", got)
	}
	if got := payloads[11].(account.LoggedIn); got.Session != uuid.Nil || !got.At.Equal(longAgo.Add(4*time.Second)) {
		t.Errorf("%+v", got)
	}
	if payloads[12].(account.Invited).LoginName != "" || payloads[13].(account.LoginFailed).Reason != account.UnknownName {
		t.Errorf("%+v, %+v", payloads[12], payloads[13])
	}
	events := must(w.log.ReadAll(t.Context(), before, 1000))
	for i, e := range events[6:] {
		if about[6+i].IP != "203.0.113.77" || about[6+i].Device != "ssh2, port 4" || e.OccurredAt.Year() != 2016 || e.RecordedAt.Year() == 2016 {
			t.Errorf("%s: %+v, occurred %s", e.Type, about[6+i], e.OccurredAt)
		}
		for _, personal := range []string{"root", "marie", "Marie", "203.0.113.77", "port 4"} {
			if bytes.Contains(e.Data, []byte(personal)) || bytes.Contains(e.Meta, []byte(personal)) {
				t.Errorf("%s is readable in the log: %s %s", personal, e.Data, e.Meta)
			}
		}
	}

	// Again, by this process, another one, and one that meets a rival in between.
	head := w.head()
	check("again", into, first, 0, 5)
	check("after a restart", must(w.another(commands.Config{}).Attempts(t.Context(), "attacked")), first, 0, 5)
	w.since(head)
	longer := tries("root", "Marie", "", "root", " marie\t", "root", "root")
	slow := must(w.another(commands.Config{}).Attempts(t.Context(), "attacked"))
	w.log.mu.Lock()
	w.log.rival = func() { check("the rival", into, longer[:6], 1, 5) }
	w.log.mu.Unlock()
	check("a longer file", slow, longer, 1, 6)
	w.since(head, "account.login_failed", "account.login_failed")

	// Nobody at home notices, and nobody gets in.
	w.mustLogin("marie")
	if _, err := w.login("root", password); err == nil {
		t.Error("an imported account let somebody in")
	}
	w.invite("root", uuid.Nil) // the name is free
	elsewhere := must(w.Attempts(t.Context(), "another attack"))
	check("the same file elsewhere", elsewhere, first, 5, 0)
}

func TestImportAttemptsRefuses(t *testing.T) {
	w := newWorld(t)
	before := w.head()
	_, err := w.Attempts(t.Context(), "Analytical Engines")
	w.wantInvalid("where people work", err, "organization")
	_, err = w.Attempts(t.Context(), "  ")
	w.wantInvalid("no name", err, "name")
	w.since(before)

	into := must(w.Attempts(t.Context(), "attacked"))
	must(into.Import(t.Context(), tries("root", "guest")))
	for _, e := range must(w.log.ReadAll(t.Context(), before, 1000)) {
		if e.Type == "account.invited" { // root, who is first
			if err := w.vault.Erase(t.Context(), vault.Subject{Organization: e.Stream.Organization, ID: e.Stream.ID}); err != nil {
				t.Fatal(err)
			}
			break
		}
	}
	head := w.head()
	got, err := into.Import(t.Context(), tries("root", "guest", "root", "guest"))
	if err != nil || got != (commands.AttemptsImported{Added: 1, Known: 1, Refused: 2}) {
		t.Errorf("%+v, %v", got, err)
	}
	w.since(head, "account.login_failed")

	w.log.failing.Store(true)
	if _, err := into.Import(t.Context(), tries("someone")); err == nil {
		t.Error("a log that does not answer")
	}
	w.log.failing.Store(false)
	if got := must(into.Import(t.Context(), tries("someone"))); got.Added != 1 {
		t.Errorf("after the log was back: %+v", got)
	}
}
