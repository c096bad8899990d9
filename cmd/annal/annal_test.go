package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The id that the sample's Jonas has on every machine.
const jonas = "ec000e6c-520a-5f09-96a5-91a0e6f83c1e"

func TestTheFirstFiveMinutes(t *testing.T) {
	t.Parallel()
	firstFiveMinutes(t, newHome(t))
}

// The same with the log in an EventStoreDB is a change of configuration, not of code.
func TestTheFirstFiveMinutesOnEventStoreDB(t *testing.T) {
	t.Parallel()
	store := double(t)
	h := newHome(t)
	h.env = append(h.env, "ANNAL_EVENTSTORE_URL="+store.URL())
	firstFiveMinutes(t, h)
	if store.Len() < 80 {
		t.Errorf("the double holds %d events: the log is elsewhere", store.Len())
	}
}

func firstFiveMinutes(t *testing.T, h *home) {
	s := h.start("up")

	_, pasted, found := strings.Cut(s.said, "from a shell:\n")
	if !found || strings.Count(s.said, "\n  administrator ") != 1 || !strings.Contains(s.said, "  auditor ") || !strings.Contains(s.said, "  sales ") {
		t.Fatalf("it does not tell how to sign in:\n%s", s.said)
	}
	out, err := exec.CommandContext(t.Context(), "sh", "-c", pasted).Output()
	if err != nil {
		t.Fatalf("the curl does not work as pasted: %v\n%s", err, pasted)
	}
	for _, want := range []string{"locked until", "unlocked by timer", "198.51.100.77", "Administrator", "stands in for"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("the curl does not show %q:\n%s", want, out)
		}
	}
	if page, err := http.Get(strings.TrimSuffix(s.url, "graphql")); err != nil || page.StatusCode != http.StatusOK {
		t.Errorf("the page at /: %v, %v", page, err)
	}

	for line, command := range map[string][]string{
		"locked until":              {"replay", "account", "jonas.weber"},
		"called back":               {"replay", "customer", "Harbor Instruments"},
		`"id":"` + jonas + `"`:      {"replay", "account", jonas, "--json"},
		"the live rows were equal":  {"reproject", "sales", "--verify"},
		"activity       1":          {"readmodels"},
		"opportunity.won":           {"log", "stats"},
		"annal development":         {"version"},
		"postgres://annal:":         {"database-url"},
		"registered Sable Logistic": {"replay", "customer", "Sable Logistics", "--to", time.Now().Format(time.RFC3339)},
	} {
		if command[0] == "version" {
			if out, err := exec.Command(binary, command...).CombinedOutput(); err != nil || !strings.Contains(string(out), line) {
				t.Errorf("annal version: %v, %s", err, out)
			}
			continue
		}
		if out := h.must(command...); !strings.Contains(out, line) {
			t.Errorf("annal %s does not say %q:\n%s", strings.Join(command, " "), line, out)
		}
	}

	// Everything in order of log and time, and all of it within the last thirty days.
	position, began := 0, time.Now().AddDate(0, 0, -31)
	var before time.Time
	for _, l := range strings.Split(strings.TrimSpace(h.must("replay", "account", "jonas.weber", "--json")), "\n") {
		var e struct {
			Position   json.Number `json:"position"`
			OccurredAt time.Time   `json:"occurredAt"`
			Actor      *actor      `json:"actor"`
		}
		var n int
		if err := json.Unmarshal([]byte(l), &e); err != nil {
			t.Fatal(err)
		}
		if _, err := fmt.Sscan(e.Position.String(), &n); err != nil || n <= position || e.OccurredAt.Before(before) || e.OccurredAt.Before(began) {
			t.Fatalf("out of order after %d, %v: %s", position, before, l)
		}
		position, before = n, e.OccurredAt
	}
	if status := s.stop(t); status != 0 {
		t.Errorf("stopped with exit status %d", status)
	}

	if out := h.must("replay", "customer", "Harbor Instruments"); !strings.Contains(out, "called back") { // without a server
		t.Errorf("replay without a server:\n%s", out)
	}
	again := h.start("up")
	if strings.Contains(again.said, "Sign in as") {
		t.Errorf("the second start made something:\n%s", again.said)
	}
	again.stop(t)
}

func TestRefusalsAtTheStartAreOneSentence(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	s := h.start("up", "--no-sample")
	address := strings.TrimSuffix(strings.TrimPrefix(s.url, "http://"), "/graphql")

	refuse := func(name, want string, out string, status int) {
		t.Helper()
		if status == 0 || !strings.Contains(out, want) || strings.Contains(out, "goroutine") || strings.Count(out, "annal: ") != 1 {
			t.Errorf("%s: exit status %d, wanted %q in one message:\n%s", name, status, want, out)
		}
	}
	cmd := newHome(t).command("up", "--listen", address)
	b, _ := cmd.CombinedOutput()
	refuse("a port in use", "is in use by another program", string(b), cmd.ProcessState.ExitCode())

	out, status := newHome(t).run("serve", "--database-url", "postgres://somebody:secret@127.0.0.1:1/crm")
	refuse("no Postgres there", "no Postgres at postgres://somebody:xxxxx@127.0.0.1:1/crm: ", out, status)
	if strings.Contains(out, "secret") {
		t.Errorf("the password is shown:\n%s", out)
	}

	out, status = h.run("replay", "customer", "Nobody Ltd")
	refuse("an unknown customer", "Nobody Ltd", out, status)
	out, status = h.run("reproject", "nothing")
	refuse("an unknown read model", `no read model "nothing"`, out, status)

	h.env = append(h.env, "ANNAL_MASTER_KEY=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=")
	out, status = h.run("readmodels")
	refuse("a wrong master key", "not the one", out, status)
	h.env = h.env[:len(h.env)-1]
	if err := os.Rename(filepath.Join(h.dir, "data", "master.key"), filepath.Join(h.dir, "elsewhere")); err != nil {
		t.Fatal(err)
	}
	out, status = h.run("readmodels")
	refuse("a lost master key", "missing", out, status)

	weak := newHome(t)
	weak.env = append(weak.env, "ANNAL_ADMIN_PASSWORD=short")
	out, status = weak.run("up", "--listen", "127.0.0.1:0")
	refuse("a weak administrator's password", "15", out, status)
	s.stop(t)
}

func TestAnotherUserThanRoot(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	if os.Geteuid() == 0 {
		const nobody = 65534
		h.user = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
		if err := os.Chown(h.dir, nobody, nobody); err != nil {
			t.Fatal(err)
		}
	}
	s := h.start("up", "--no-sample")
	if data := s.ask(t, "", "{ __typename }"); data["__typename"] != "Query" {
		t.Error(data)
	}
	if status := s.stop(t); status != 0 {
		t.Errorf("stopped with exit status %d", status)
	}
}

// serve takes a Postgres of the user's own; what it serves there may not be changed by the role that serves.
func TestServeOnAPostgresOfYourOwn(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	h.env = append(h.env, "ANNAL_ADMIN_PASSWORD=a long enough password")
	first := h.start("up")
	defer first.stop(t)
	address := strings.TrimSpace(h.must("database-url"))

	own := newHome(t)
	key, err := os.ReadFile(filepath.Join(h.dir, "data", "master.key"))
	if err != nil {
		t.Fatal(err)
	}
	own.env = append(own.env, "ANNAL_DATABASE_URL="+address, "ANNAL_MASTER_KEY="+strings.TrimSpace(string(key)))
	second := own.start("serve")
	data := second.ask(t, "", `mutation { logIn(input: {loginName: "admin", password: "a long enough password"}) { token } }`)
	token := data["logIn"].(map[string]any)["token"].(string)
	if data := second.ask(t, token, `{ customers { totalCount } }`); fmt.Sprint(data["customers"]) != "map[totalCount:3]" {
		t.Error(data)
	}
	second.stop(t)

	conn := h.database()
	if _, err := conn.Exec(t.Context(), "set role annal_serving"); err != nil {
		t.Fatal(err)
	}
	for _, statement := range []string{
		"update eventlog.events set type = 'x'", "delete from eventlog.events", "truncate eventlog.events",
		"alter table eventlog.events disable trigger all", "set session_replication_role = replica",
	} {
		if _, err := conn.Exec(t.Context(), statement); err == nil {
			t.Errorf("the serving role may: %s", statement)
		}
	}
}
