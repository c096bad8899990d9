package importer_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/annal-crm/annal/commands"
	"github.com/annal-crm/annal/domain"
	"github.com/annal-crm/annal/domain/account"
	"github.com/annal-crm/annal/domain/customer"
	"github.com/annal-crm/annal/domain/opportunity"
	"github.com/annal-crm/annal/domain/organization"
	"github.com/annal-crm/annal/eventlog"
	"github.com/annal-crm/annal/eventlog/memory"
	"github.com/annal-crm/annal/internal/auth"
	"github.com/annal-crm/annal/internal/eventcodec"
	"github.com/annal-crm/annal/internal/pgtest"
	"github.com/annal-crm/annal/internal/vault"
	"github.com/annal-crm/annal/transfer/importer"
)

// world is an organization on a log in memory.
type world struct {
	*commands.Commands
	t      *testing.T
	log    *memory.Log
	codec  *eventcodec.Codec
	system *commands.Principal
}

func newWorld(t *testing.T) *world {
	t.Helper()
	pool := pgtest.New(t, vault.Migrate, auth.Migrate)
	v, _, err := vault.Open(t.Context(), pool, vault.KeySource{Value: vault.NewMasterKey()}, vault.Config{})
	check(t, err)
	uses := auth.OpenUses(pool)
	t.Cleanup(func() { uses.Close() })
	w := &world{t: t, log: memory.New(), codec: eventcodec.New(v)}
	w.Commands = commands.New(w.log, w.codec, v, auth.NewPasswords(commands.Pepper(v), auth.HashingConfig{}), uses, commands.Config{})
	w.system, err = w.System(t.Context(), commands.Home)
	check(t, err)
	_, err = w.RegisterOrganization(t.Context(), w.system, commands.RegisterOrganization{Name: "Home"})
	check(t, err)
	w.system, err = w.System(t.Context(), commands.Home)
	check(t, err)
	return w
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func example(t *testing.T) *importer.Mapping {
	t.Helper()
	f, err := os.Open("../../examples/crm-sales.yaml")
	check(t, err)
	defer f.Close()
	m, err := importer.ParseMapping(f)
	check(t, err)
	return m
}

func (w *world) read(dir string) *importer.Plan {
	w.t.Helper()
	plan, err := importer.Read(example(w.t), filepath.Join("testdata", dir), commands.Home)
	check(w.t, err)
	return plan
}

// load imports a directory and tells what came to the log by it, but for the names' reservations.
func (w *world) load(dir string) (payloads []any, summary importer.Summary) {
	w.t.Helper()
	head, err := w.log.Head(w.t.Context())
	check(w.t, err)
	summary, err = w.read(dir).Run(w.t.Context(), w.Commands, w.system, importer.Config{})
	check(w.t, err)
	return w.since(head), summary
}

func (w *world) since(head eventlog.Position) (payloads []any) {
	w.t.Helper()
	events, err := w.log.ReadAll(w.t.Context(), head, 10_000)
	check(w.t, err)
	page, err := w.codec.Page(w.t.Context(), events)
	check(w.t, err)
	for _, f := range page {
		if f.Stream.Category != "reservation" {
			e, err := f.Payload()
			check(w.t, err)
			payloads = append(payloads, e)
		}
	}
	return payloads
}

func of[E any](payloads []any) (events []E) {
	for _, p := range payloads {
		if e, ok := p.(E); ok {
			events = append(events, e)
		}
	}
	return events
}

func find[E any](t *testing.T, payloads []any, is func(E) bool) E {
	t.Helper()
	events := of[E](payloads)
	i := slices.IndexFunc(events, is)
	if i < 0 {
		t.Fatalf("no such %T among %+v", *new(E), events)
	}
	return events[i]
}

func day(y int, m time.Month, d int) time.Time { return time.Date(y, m, d, 0, 0, 0, 0, time.UTC) }

func counts(c ...importer.Count) []importer.Count { return c }

func TestImport(t *testing.T) {
	w := newWorld(t)
	got, summary := w.load("first")
	want := counts(
		importer.Count{Kind: importer.Team, Added: 4}, importer.Count{Kind: importer.Account, Added: 5},
		importer.Count{Kind: importer.Customer, Added: 2}, importer.Count{Kind: importer.Opportunity, Added: 4},
	)
	if !reflect.DeepEqual(summary.Counts, want) || len(summary.Bad) > 0 {
		t.Errorf("summary %+v", summary)
	}

	north := find(t, got, func(e organization.TeamCreated) bool { return e.Name == "North" })
	crew := find(t, got, func(e organization.TeamCreated) bool { return e.Name == "Zoë Quist" })
	zoe := find(t, got, func(e account.Invited) bool { return e.LoginName == "zoë.quist" })
	if north.Parent != uuid.Nil || crew.Parent != north.Team || zoe.Team != crew.Team || !slices.Equal(zoe.Roles, []string{"manager"}) {
		t.Errorf("%+v, %+v, %+v", north, crew, zoe)
	}
	ann := find(t, got, func(e account.Invited) bool { return e.LoginName == "ann.o.hara" })
	if ann.DisplayName != "Ann O'Hara" || ann.Team != crew.Team || !slices.Equal(ann.Roles, []string{"sales"}) || ann.Source != "crm-sales" || ann.Email != "" {
		t.Errorf("%+v", ann)
	}
	if ed := find(t, got, func(e account.Invited) bool { return e.LoginName == "ed.marsh" }); !slices.Equal(ed.Roles, []string{"manager", "sales"}) {
		t.Errorf("who sells and manages: %+v", ed)
	}

	kelp := customer.Registered{Name: "Kelp, Sons & Co", Sector: "food", Country: "Iceland", Attributes: map[string]string{"subsidiary_of": "Brightmill"}, Source: "crm-sales"}
	mill := customer.Registered{Name: "Brightmill", Sector: "paper", Country: "Norway", Attributes: map[string]string{"employees": "120"}, Source: "crm-sales"}
	for _, want := range []customer.Registered{kelp, mill} {
		if e := find(t, got, func(e customer.Registered) bool { return e.Name == want.Name }); !reflect.DeepEqual(e, want) {
			t.Errorf("%+v, want %+v", e, want)
		}
	}

	aa01 := find(t, got, func(e opportunity.Opened) bool { return e.Reference == "AA01" })
	if aa01.Product != "GTX Pro" || aa01.Customer == uuid.Nil || aa01.Owner == uuid.Nil || aa01.At != day(2016, 11, 2) {
		t.Errorf("%+v", aa01)
	}
	if e := of[opportunity.Won](got); len(e) != 1 || e[0] != (opportunity.Won{Value: "1200", At: day(2017, 3, 1), Source: "crm-sales"}) {
		t.Errorf("won: %+v", e)
	}
	if e := of[opportunity.Lost](got); len(e) != 1 || e[0].At != day(2017, 3, 2) {
		t.Errorf("lost: %+v", e)
	}
	if n := len(of[opportunity.Engaged](got)); n != 3 {
		t.Errorf("%d engaged", n)
	}
	if aa04 := find(t, got, func(e opportunity.Opened) bool { return e.Reference == "AA04" }); time.Since(aa04.At) > time.Minute || aa04.Customer != uuid.Nil {
		t.Errorf("prospecting: %+v", aa04)
	}

	// The manager of the team is the account, and the account's events name it.
	if m := find(t, got, func(e organization.TeamManagerSet) bool { return e.Team == crew.Team }); m.Manager == uuid.Nil {
		t.Errorf("%+v", m)
	} else if p, err := w.Acting(t.Context(), commands.Home, m.Manager, commands.Origin{}); err != nil || p.AccountState().LoginName != "zoë.quist" || len(p.Teams()) != 1 {
		t.Errorf("the manager is %+v, %v", p, err)
	}
}

func TestImportAgain(t *testing.T) {
	w := newWorld(t)
	first, _ := w.load("first")
	again, summary := w.load("first")
	if len(again) > 0 {
		t.Errorf("the same files added %+v", again)
	}
	if c := summary.Counts[3]; c != (importer.Count{Kind: importer.Opportunity, Unchanged: 4}) {
		t.Errorf("%+v", c)
	}

	// People go on; the same files do not undo it.
	var mill uuid.UUID
	for _, e := range of[opportunity.Opened](first) {
		if e.Reference == "AA01" {
			mill = e.Customer
		}
	}
	sector, size := "wood", "125"
	_, err := w.EditCustomer(t.Context(), w.system, commands.EditCustomer{On: commands.On{ID: mill}, Fields: customer.Fields{Sector: &sector, Attributes: map[string]*string{"employees": &size}}})
	check(t, err)
	if again, _ = w.load("first"); len(again) > 0 {
		t.Errorf("the same files undid what people did: %+v", again)
	}

	// Newer files bring just their changes.
	newer, summary := w.load("newer")
	want := counts(
		importer.Count{Kind: importer.Team, Unchanged: 4}, importer.Count{Kind: importer.Account, Changed: 1, Unchanged: 4},
		importer.Count{Kind: importer.Customer, Changed: 1, Unchanged: 1}, importer.Count{Kind: importer.Opportunity, Added: 1, Changed: 2, Unchanged: 2},
	)
	if !reflect.DeepEqual(summary.Counts, want) {
		t.Errorf("%+v", summary.Counts)
	}
	var types []string
	for _, e := range newer {
		types = append(types, strings.TrimPrefix(fmt.Sprintf("%T", e), "*"))
	}
	slices.Sort(types)
	if got := strings.Join(types, " "); got != "account.MovedToTeam customer.Edited opportunity.Edited opportunity.Engaged opportunity.Opened opportunity.Reassigned opportunity.Won" {
		t.Errorf("newer files added %s", got)
	}
	edited := of[customer.Edited](newer)[0]
	if !reflect.DeepEqual(edited, customer.Edited{Attributes: map[string]domain.Change{"employees": {From: "125", To: "130"}}, Source: "crm-sales"}) {
		t.Errorf("%+v", edited)
	}
	if newer, _ = w.load("newer"); len(newer) > 0 {
		t.Errorf("the newer files again added %+v", newer)
	}

	// Back to the older ones: that is a change as well.
	back, _ := w.load("first")
	if n := len(of[opportunity.Reopened](back)); n != 1 {
		t.Errorf("%d reopened of %+v", n, back)
	}
	if e := of[customer.Edited](back); len(e) != 1 || e[0].Attributes["employees"] != (domain.Change{From: "130", To: "120"}) {
		t.Errorf("%+v", e)
	}
	ids := make(map[uuid.UUID]bool)
	events, err := w.log.ReadAll(t.Context(), 0, 10_000)
	check(t, err)
	for _, e := range events {
		if ids[e.ID] {
			t.Errorf("%s has the id of another event", e.Type)
		}
		ids[e.ID] = true
	}
}

// Who was erased is not brought back: the rows are counted, the others are imported.
func TestErasedPersonsAreNotImported(t *testing.T) {
	w := newWorld(t)
	w.load("first")
	events, err := w.log.ReadAll(t.Context(), 0, 10_000)
	check(t, err)
	erased := make(map[string]bool) // one of each
	for _, e := range events {
		if e.Version == 1 && (e.Stream.Category == account.Category || e.Stream.Category == customer.Category) && !erased[e.Stream.Category] {
			erased[e.Stream.Category] = true
			_, err := w.Erase(t.Context(), w.system, e.Stream.Category, e.Stream.ID, domain.Erased{Request: uuid.New(), Reason: "asked"})
			check(t, err)
		}
	}
	head, err := w.log.Head(t.Context())
	check(t, err)
	_, summary := w.load("first")
	if after, err := w.log.Head(t.Context()); err != nil || after != head {
		t.Errorf("it wrote %d events, %v", after-head, err)
	}
	if want := []importer.Count{
		{Kind: importer.Team, Unchanged: 4}, {Kind: importer.Account, Unchanged: 4, Erased: 1},
		{Kind: importer.Customer, Unchanged: 1, Erased: 1}, {Kind: importer.Opportunity, Unchanged: 4},
	}; !slices.Equal(summary.Counts, want) || len(summary.Bad) > 0 {
		t.Errorf("%+v\nwant %+v", summary, want)
	}
}

func TestBadRows(t *testing.T) {
	w := newWorld(t)
	plan := w.read("bad")
	var got []string
	for _, b := range plan.Bad {
		got = append(got, b.String())
	}
	want := []string{
		`sales_teams.csv:3: sales_agent is that of line 2 too, which says something else of it`,
		`sales_teams.csv:4: sales_agent must not be blank`,
		`sales_teams.csv:5: has 2 columns instead of 3`,
		`sales_teams.csv:6: loginName must not be blank`,
		`accounts.csv:3: account is that of line 2 too, which says something else of it`,
		`accounts.csv:4: account must not be blank`,
		`accounts.csv:5: account contains control characters`,
		`accounts.csv:7: bare " in non-quoted-field`,
		`sales_pipeline.csv:3: closedAt is before the opportunity was engaged; customer "Nowhere" is no customer of the files; owner "Nobody" is no agent of the files; value "12e3" is not a decimal number of at most 15 digits and 4 decimal places`,
		`sales_pipeline.csv:4: engagedAt "02.11.2016" is not a date like 2006-01-02; stage must be prospecting, engaging, won or lost`,
		`sales_pipeline.csv:5: closedAt must not be blank for a closed opportunity; owner must not be blank`,
		`sales_pipeline.csv:6: customer "Multi line" is no customer of the files`,
		`sales_pipeline.csv:7: owner refers to what is bad itself`,
	}
	if !slices.Equal(got, want) {
		t.Errorf("bad rows:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}

	// What is good comes in nevertheless.
	summary, err := plan.Run(t.Context(), w.Commands, w.system, importer.Config{})
	check(t, err)
	if c := summary.Counts[len(summary.Counts)-1]; c != (importer.Count{Kind: importer.Opportunity, Added: 1}) || len(summary.Bad) != len(want) {
		t.Errorf("%+v", summary)
	}

	// Another source has the same names for its accounts: what a command refuses stands with the other bad rows, in order.
	m := example(t)
	m.Source = "other"
	plan, err = importer.Read(m, "testdata/bad", commands.Home)
	check(t, err)
	summary, err = plan.Run(t.Context(), w.Commands, w.system, importer.Config{})
	check(t, err)
	if summary.Bad[0].String() != "sales_teams.csv:2: loginName is taken" || summary.Bad[len(summary.Bad)-1].String() != want[len(want)-1] {
		t.Errorf("%+v", summary.Bad)
	}
}

func TestCheckAsksTheLog(t *testing.T) {
	w := newWorld(t)
	_, err := w.Invite(t.Context(), w.system, commands.Invite{LoginName: "Bo.Lindt", DisplayName: "Another Bo"})
	check(t, err)
	head, err := w.log.Head(t.Context())
	check(t, err)
	want := []string{"sales_teams.csv:3: loginName is taken", "sales_pipeline.csv:3: owner refers to what is bad itself"}

	plan := w.read("first")
	check(t, plan.Check(t.Context(), w.Commands, w.system))
	if got := fmt.Sprint(plan.Bad); got != fmt.Sprint(want) {
		t.Errorf("bad: %s, want %s", got, want)
	}
	if after, _ := w.log.Head(t.Context()); after != head {
		t.Error("a check wrote to the log")
	}
	_, err = plan.Run(t.Context(), w.Commands, w.system, importer.Config{})
	check(t, err)
	if got := fmt.Sprint(plan.Bad); got != fmt.Sprint(want) {
		t.Errorf("after the run: %s", got)
	}

	// Without a check the commands refuse the same rows.
	summary, err := w.read("first").Run(t.Context(), w.Commands, w.system, importer.Config{})
	check(t, err)
	if got := fmt.Sprint(summary.Bad); got != "[sales_teams.csv:3: loginName is taken sales_pipeline.csv:3: ownerId refers to nothing]" {
		t.Errorf("without a check: %s", got)
	}
	if c := summary.Counts[1]; c != (importer.Count{Kind: importer.Account, Unchanged: 4, Bad: 1}) {
		t.Errorf("%+v", c)
	}

	m := example(t)
	role := "captain"
	m.Objects[3].Fields["roles"] = importer.Value{Text: &role}
	plan, err = importer.Read(m, "testdata/first", commands.Home)
	check(t, err)
	check(t, plan.Check(t.Context(), w.Commands, w.system))
	if got := fmt.Sprint(plan.Bad); !strings.Contains(got, "roles there is no role captain") {
		t.Errorf("an unknown role: %s", got)
	}
}

func TestRunEnds(t *testing.T) {
	w := newWorld(t)
	ctx, cancel := context.WithCancel(t.Context())
	var last, total int
	progress := func(done, of int) {
		if done != last+1 {
			t.Errorf("%d done after %d", done, last)
		}
		if last, total = done, of; done == 9 { // all teams and accounts: the next command would be another kind's
			cancel()
		}
	}
	_, err := w.read("first").Run(ctx, w.Commands, w.system, importer.Config{InFlight: 1, Progress: progress})
	if !errors.Is(err, context.Canceled) || last != 9 || total != 15 {
		t.Errorf("cancelled after %d of %d: %v", last, total, err)
	}
	// To run again adds the rest.
	_, summary := w.load("first")
	var added, unchanged int
	for _, c := range summary.Counts {
		added, unchanged = added+c.Added, unchanged+c.Unchanged
	}
	if added != 6 || unchanged != 9 {
		t.Errorf("%d added, %d unchanged", added, unchanged)
	}

	stranger := *w.system
	stranger.Organization = uuid.New()
	if _, err := w.read("first").Run(t.Context(), w.Commands, &stranger, importer.Config{}); err == nil {
		t.Error("a plan of one organization ran in another")
	}
}
