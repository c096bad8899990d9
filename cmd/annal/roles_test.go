package main

import (
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/annal-crm/annal/eventlog/eventstoredb/esdbtest"
)

// readiness is what /readyz says.
type readiness struct {
	Ready    bool
	Problems []string
	Log      *struct {
		Connected bool
		Losses    int
		LastError string
	}
}

// base is the server's address without a path.
func (s *server) base() string { return s.url[:strings.LastIndex(s.url, "/")] }

func get(t *testing.T, url string) (status int, body string) {
	t.Helper()
	response, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(text)
}

func (s *server) readiness(t *testing.T) (r readiness) {
	t.Helper()
	status, text := get(t, s.base()+"/readyz")
	if err := json.Unmarshal([]byte(text), &r); err != nil || r.Ready != (status == http.StatusOK) {
		t.Fatalf("%d %v: %s", status, err, text)
	}
	return r
}

// until waits for something that has to come within seconds, on a busy machine within a minute.
func until(t *testing.T, what string, f func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !f(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it has not come about: " + what)
		}
	}
}

// launch starts a server that need not get ready, and returns its address.
func (h *home) launch(args ...string) (base string) {
	h.t.Helper()
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		h.t.Fatal(err)
	}
	address := free.Addr().String()
	free.Close()
	cmd := h.command(append(args, "--listen", address)...)
	if err := cmd.Start(); err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	return "http://" + address
}

// Two processes share the work, on an EventStoreDB that goes away and comes back: what each serves, when it is ready, and
// how that is seen from outside.
func TestRoles(t *testing.T) {
	t.Parallel()
	store, err := esdbtest.New(esdbtest.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(store.Close)
	h := newHome(t).onPostgres()
	const password = "a long enough password"
	h.env = append(h.env, "ANNAL_EVENTSTORE_URL="+store.URL(), "ANNAL_ADMIN_PASSWORD="+password)
	h.start("up", "--no-sample").stop(t)

	folding := h.start("serve", "--role", "projector")
	if !strings.HasSuffix(folding.url, "/readyz") || !folding.readiness(t).Ready {
		t.Errorf("%s: %v", folding.url, folding.readiness(t))
	}
	for path, want := range map[string]string{"/graphql": "answers no GraphQL", "/": "not found"} {
		if status, text := get(t, folding.base()+path); status != http.StatusNotFound || !strings.Contains(text, want) {
			t.Errorf("a projector's %s: %d %s", path, status, text)
		}
	}

	answering := h.start("serve", "--role", "api")
	admin := (&api{t: t, url: answering.url}).as("admin", password)
	if name := admin.ask(`mutation { registerCustomer(input: {name: "Harbor Instruments"}) { customer { name } } }`, nil).at("registerCustomer.customer.name").String(); name != "Harbor Instruments" {
		t.Errorf("what the other process folds is not read here: %q", name)
	}

	// Without a projector nothing is folded: who starts then is not ready, whatever it can count.
	folding.stop(t)
	admin.refused(`mutation { registerCustomer(input: {name: "Sable Logistics"}) { customer { name } } }`, nil) // written, but not shown in time
	late := h.launch("serve", "--role", "api")
	until(t, "it answers", func() bool { r, err := http.Get(late + "/healthz"); return err == nil && r.Body.Close() == nil })
	waiting := server{url: late + "/graphql"}
	if r := waiting.readiness(t); r.Ready || !strings.Contains(strings.Join(r.Problems, "; "), "have not caught up with the log since the start") {
		t.Errorf("ready before anybody has folded: %+v", r)
	}
	if out, err := exec.Command(binary, "health", late).CombinedOutput(); err == nil || !strings.Contains(string(out), "annal: not ready: the read models have not caught up") {
		t.Errorf("health: %v, %s", err, out)
	}
	folding = h.start("serve", "--role", "projector")
	until(t, "it is ready", func() bool { return waiting.readiness(t).Ready })
	if out, err := exec.Command(binary, "health", late).CombinedOutput(); err != nil || string(out) != "ready\n" {
		t.Errorf("health: %v, %s", err, out)
	}

	store.Stop(0)
	until(t, "the loss is told", func() bool { return folding.readiness(t).Log.LastError == "EventStoreDB cannot be reached" })
	if r := folding.readiness(t); r.Ready || r.Problems[0] != "the log cannot be reached" || r.Log.Connected || r.Log.Losses != 1 {
		t.Errorf("%+v %+v", r, r.Log)
	}
	if _, text := get(t, folding.base()+"/metrics"); !strings.Contains(text, "annal_log_up 0\n") || !strings.Contains(text, "annal_log_connected 0\n") || !strings.Contains(text, "annal_log_connection_losses_total 1\n") {
		t.Error("the metrics do not tell the loss")
	}
	if err := store.Start(0); err != nil {
		t.Fatal(err)
	}
	until(t, "all are ready again", func() bool {
		return folding.readiness(t).Ready && answering.readiness(t).Ready && waiting.readiness(t).Ready
	})
	if _, text := get(t, folding.base()+"/metrics"); !strings.Contains(text, "annal_log_up 1\n") || !strings.Contains(text, `annal_info{role="projector"`) {
		t.Error("the metrics do not tell the return")
	}
	// Every metric that docs/operations.md names is there, but the one that this log cannot tell.
	others := []string{"annal_serving", "annal_reader", "annal_bi", "annal_projection_behind"}
	page, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	_, shown := get(t, answering.base()+"/metrics")
	_, folded := get(t, folding.base()+"/metrics")
	named := regexp.MustCompile(`annal_[a-z_]*[a-z]\b`).FindAllString(string(page), -1)
	for _, name := range named {
		if !slices.Contains(others, name) && !strings.Contains(shown+folded, "\n"+name+"{") && !strings.Contains(shown+folded, "\n"+name+" ") {
			t.Errorf("docs/operations.md names the metric %s, which nobody shows", name)
		}
	}
	if len(named) < 10 {
		t.Errorf("the page names %q", named)
	}
	for _, s := range []*server{folding, answering} {
		if status := s.stop(t); status != 0 {
			t.Errorf("stopped with exit status %d", status)
		}
	}
}
