package main

import (
	"encoding/json"
	"os/user"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/annal-crm/annal/commands"
	"github.com/annal-crm/annal/eventlog"
	"github.com/annal-crm/annal/eventlog/postgres"
)

// Somebody meets a poisoned event and finds the way out by what the program says.
func TestParked(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	h.env = append(h.env, "ANNAL_ADMIN_PASSWORD=a long enough password")
	s := h.start("up", "--no-sample")
	if out := h.must("parked", "list"); !strings.Contains(out, "nothing is parked") {
		t.Error(out)
	}
	admin := (&api{t: t, url: s.url}).as("admin", "a long enough password")
	made := admin.ask(`mutation { registerCustomer(input: {name: "Sick"}) { customer { id } } }`, nil).at("registerCustomer.customer.id").String()

	pool, err := pgxpool.New(t.Context(), strings.TrimSpace(h.must("database-url")))
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	log, err := postgres.Open(t.Context(), pool, postgres.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	put := func(organization, id uuid.UUID, after eventlog.Version, eventType, data string) string {
		at, err := log.Append(t.Context(), eventlog.Stream{Organization: organization, Category: "customer", ID: id}, after,
			eventlog.NewEvent{ID: uuid.New(), Type: eventType, Schema: 1, Data: json.RawMessage(data), Meta: json.RawMessage(`{}`), OccurredAt: time.Now()})
		if err != nil {
			t.Fatal(err)
		}
		return at.Position.String()
	}
	bad := put(commands.Home, uuid.MustParse(made), 1, "customer.edited", `{"name":5}`)
	put(commands.Home, uuid.MustParse(made), 2, "customer.archived", `{}`)
	foreign := put(uuid.New(), uuid.New(), 0, "customer.registered", `{"name":5}`)
	deadline := time.Now().Add(30 * time.Second)
	for strings.Count(h.must("parked", "list", "--json"), "\n") < 7 { // customers, sales and retention park both, the activity the foreign one
		if time.Now().After(deadline) {
			t.Fatalf("not parked:\n%s", h.must("parked", "list"))
		}
	}
	admin.settle()

	says := func(wanted int, want string, args ...string) {
		t.Helper()
		out, status := h.run(append([]string{"parked"}, args...)...)
		if status != wanted || !strings.Contains(out, want) || strings.Contains(out, "goroutine") {
			t.Errorf("annal parked %s: exit status %d, wanted %d and %q:\n%s", strings.Join(args, " "), status, wanted, want, out)
		}
	}
	says(0, "customers   "+bad, "list")
	says(0, "annal parked skip customers "+bad+" --reason", "show", "customers", bad)
	says(0, `{"name":5}`, "show", "customers", bad)
	says(0, `"streamId":"`+made+`"`, "show", "customers", bad, "--json")
	says(1, "2 events of the stream still parked in customers: ", "retry", "customers", bad)
	says(1, "read model customers, position 1;", "retry", "customers", "1")
	says(80, "--reason", "skip", "customers", bad)
	says(1, "must not be blank", "skip", "customers", bad, "--reason", " ")
	says(0, "left out the event at position "+bad+", folded 1 event behind it", "skip", "customers", bad, "--reason", "typed by hand")
	says(1, "read model customers, position "+bad, "skip", "customers", bad, "--reason", "typed by hand")
	says(0, "left out the event at position "+foreign, "skip", "customers", foreign, "--reason", "of nobody here")
	says(0, "left out the event at position "+foreign, "skip", "activity", foreign, "--reason", "of nobody here")
	for _, position := range []string{bad, foreign} {
		for _, name := range []string{"sales", "retention"} {
			says(0, "left out the event at position "+position, "skip", name, position, "--reason", "typed by hand")
		}
	}
	says(0, "nothing is parked", "list")

	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	admin.settle()
	told := admin.ask(`{ activity(last: 7) { nodes { type summary reason } } }`, nil).at("activity.nodes")
	first := told.at("0")
	if len(told.list()) != 7 || first.at("type").String() != "organization.event_skipped" || first.at("reason").String() != "typed by hand ("+me.Username+" at the command line)" {
		t.Errorf("who and why: %v", told)
	}
	if status := s.stop(t); status != 0 {
		t.Errorf("stopped with exit status %d", status)
	}
}
