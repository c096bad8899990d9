package web_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/annal-crm/annal/app"
	"github.com/annal-crm/annal/app/web"
	"github.com/annal-crm/annal/commands"
	"github.com/annal-crm/annal/eventlog"
	"github.com/annal-crm/annal/graph"
	"github.com/annal-crm/annal/internal/pgtest"
	"github.com/annal-crm/annal/internal/vault"
	"github.com/annal-crm/annal/projections/engine"
)

const password = "correct horse battery staple 42"

type world struct {
	*testing.T
	*app.Instance
	url    string
	logs   *logs
	server *web.Server
	stop   context.CancelFunc // of the server
	served chan error
	db     *database
}

type logs struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logs) Write(p []byte) (int, error) { l.mu.Lock(); defer l.mu.Unlock(); return l.text.Write(p) }
func (l *logs) String() string              { l.mu.Lock(); defer l.mu.Unlock(); return l.text.String() }

// database is a real one that can be made to seem gone, and read models likewise.
type database struct {
	*app.Instance
	mu       sync.Mutex
	gone     error
	lost     error // of the log
	hangs    bool  // the log
	statuses []engine.Status
}

func (d *database) Ping(ctx context.Context) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.gone != nil {
		return d.gone
	}
	return d.Pool.Ping(ctx)
}

func (d *database) Statuses(ctx context.Context) ([]engine.Status, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.statuses != nil {
		return d.statuses, nil
	}
	return d.Engine.Statuses(ctx)
}

func (d *database) Head(ctx context.Context) (eventlog.Position, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.hangs {
		<-ctx.Done()
		return 0, ctx.Err()
	}
	if d.lost != nil {
		return 0, d.lost
	}
	return d.Log.Head(ctx)
}

func newWorld(t *testing.T) *world {
	t.Helper()
	i, err := app.Open(t.Context(), app.Config{DatabaseURL: pgtest.URL(t), MasterKey: vault.NewMasterKey(), Commands: commands.Config{LoginFloor: -1}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := i.Close(); err != nil {
			t.Error(err)
		}
	})
	if _, err := i.Commands.FirstStart(t.Context(), commands.FirstStart{Organization: "Analytical Engines", Password: password}); err != nil {
		t.Fatal(err)
	}
	running, stop := context.WithCancel(context.Background())
	folded := make(chan struct{})
	go func() { defer close(folded); i.Engine.Run(running) }()
	t.Cleanup(func() { stop(); <-folded })

	w := &world{T: t, Instance: i, logs: &logs{}, served: make(chan error, 1), db: &database{Instance: i}}
	logger := slog.New(slog.NewTextHandler(w.logs, nil))
	handler := graph.New(graph.Dependencies{Commands: i.Commands, Engine: i.Engine, Log: i.Log, Audit: i.Audit, DB: i.Pool, Codec: i.Codec, Logger: logger}, graph.Config{})
	registry := prometheus.NewRegistry()
	registry.MustRegister(i.Metrics())
	w.server = web.New(web.Dependencies{Graph: handler, Readers: w.db, Database: w.db, Log: w.db, Metrics: registry, Logger: logger}, web.Config{Version: "v0", Role: "all", Grace: 10 * time.Second})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w.url = "http://" + listener.Addr().String()
	serving, stopServing := context.WithCancel(context.Background())
	w.stop = stopServing
	go func() { w.served <- w.server.Serve(serving, listener) }()
	t.Cleanup(stopServing)
	return w
}

func (w *world) do(method, path, body string) (*http.Response, string) {
	w.Helper()
	r, err := http.NewRequest(method, w.url+path, strings.NewReader(body))
	if err != nil {
		w.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		w.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		w.Fatal(err)
	}
	return response, string(text)
}

func TestHealth(t *testing.T) {
	w := newWorld(t)
	ready := func() (int, string) {
		response, text := w.do("GET", "/readyz", "")
		var answer struct{ Problems []string }
		if err := json.Unmarshal([]byte(text), &answer); err != nil {
			t.Fatal(err, text)
		}
		return response.StatusCode, strings.Join(answer.Problems, "; ")
	}
	if status, problems := ready(); status != 503 || problems != "the read models have not caught up with the log since the start" {
		t.Errorf("%d %s", status, problems)
	}
	w.server.CaughtUp()
	if status, problems := ready(); status != 200 || problems != "" {
		t.Errorf("%d %s", status, problems)
	}
	set := func(gone error, statuses ...engine.Status) {
		w.db.mu.Lock()
		defer w.db.mu.Unlock()
		w.db.gone, w.db.statuses = gone, statuses
	}
	behind := int64(10_001)
	set(nil, engine.Status{Name: "customers", State: engine.Failed, Error: "a secret"}, engine.Status{Name: "sales", State: engine.CatchingUp, Behind: &behind})
	if status, problems := ready(); status != 503 || problems != "the read model customers has failed; the read model sales is 10001 events behind" {
		t.Errorf("%d %s", status, problems)
	}
	set(nil, engine.Status{Name: "customers", State: engine.Live, Parked: 3})
	if response, text := w.do("GET", "/readyz", ""); response.StatusCode != 200 || !strings.Contains(text, `"parked":3`) {
		t.Errorf("what is parked is told, and the rest is served: %d %s", response.StatusCode, text)
	}
	set(errors.New("password=hunter2"))
	if status, problems := ready(); status != 503 || problems != "the database of the read models cannot be reached" {
		t.Errorf("%d %s", status, problems)
	}
	set(nil)
	w.db.mu.Lock()
	w.db.lost = errors.New("password=hunter2")
	w.db.mu.Unlock()
	if status, problems := ready(); status != 503 || problems != "the log cannot be reached" {
		t.Errorf("%d %s", status, problems)
	}
	w.db.mu.Lock()
	w.db.hangs = true
	w.db.mu.Unlock()
	if status, problems := ready(); status != 503 || problems != "the log cannot be reached" {
		t.Errorf("of a log that hangs, the database is not blamed: %d %s", status, problems)
	}
	w.db.mu.Lock()
	w.db.hangs = false
	w.db.mu.Unlock()
	if response, text := w.do("GET", "/healthz", ""); response.StatusCode != 200 || text != "alive\n" {
		t.Errorf("alive whatever else is gone: %d %s", response.StatusCode, text)
	}
	if response, text := w.do("GET", "/metrics", ""); response.StatusCode != 200 || !strings.Contains(text, `annal_http_request_seconds_count{route="/readyz",status="503"} 5`) {
		t.Errorf("%d %.500s", response.StatusCode, text)
	} else {
		for _, want := range []string{`annal_info{role="all",version="v0"} 1`, "annal_log_up 1", `annal_postgres_connections{pool="log_writing",state="most"} 3`, `annal_postgres_waits_total{pool="readmodels"}`} {
			if !strings.Contains(text, want) {
				t.Errorf("/metrics does not have %s", want)
			}
		}
	}
}

func TestThePageNeedsNothingFromElsewhere(t *testing.T) {
	w := newWorld(t)
	for path, kind := range map[string]string{"/": "text/html", "/annal.css": "text/css", "/annal.js": "text/javascript"} {
		response, text := w.do("GET", path, "")
		if response.StatusCode != 200 || !strings.HasPrefix(response.Header.Get("Content-Type"), kind) {
			t.Errorf("%s: %d %s", path, response.StatusCode, response.Header.Get("Content-Type"))
		}
		csp := response.Header.Get("Content-Security-Policy")
		if !strings.Contains(csp, "default-src 'none'") || strings.Contains(csp, "unsafe") || strings.Contains(csp, "http") {
			t.Errorf("%s: %s", path, csp)
		}
		for _, foreign := range []string{"http://", "https://", "//cdn", "style=", "onclick", "localStorage", "sessionStorage", "Analytical"} {
			if strings.Contains(text, foreign) {
				t.Errorf("%s has %s", path, foreign)
			}
		}
	}
	if response, _ := w.do("GET", "/elsewhere", ""); response.StatusCode != 404 {
		t.Error(response.Status)
	}
}

func TestWhatIsLogged(t *testing.T) {
	w := newWorld(t)
	response, text := w.do("POST", "/graphql", `{"query": "mutation SignIn($i: LogInInput!) { logIn(input: $i) { token } }", "variables": {"i": {"loginName": "admin", "password": "`+password+`"}}}`)
	if response.StatusCode != 200 || response.Header.Get("Cache-Control") != "no-store" || response.Header.Get("X-Content-Type-Options") != "nosniff" {
		t.Errorf("%v %s", response.Header, text)
	}
	w.do("POST", "/graphql", `{"query": "{ `+password)
	if response, _ := w.do("GET", "/graphql?query={viewer{permissions}}", ""); response.StatusCode != 405 {
		t.Error(response.Status)
	}
	if response, _ := w.do("OPTIONS", "/graphql", ""); response.StatusCode != 405 || response.Header.Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("no other origin may ask: %v", response)
	}
	w.stop()
	if err := <-w.served; err != nil {
		t.Error(err)
	}
	log := w.logs.String()
	if !strings.Contains(log, "msg=request method=POST path=/graphql status=200") || !strings.Contains(log, "kind=mutation operation=SignIn") {
		t.Error(log)
	}
	for _, secret := range []string{password, "annal_", "viewer{", "logIn("} {
		if strings.Contains(log, secret) {
			t.Errorf("%q is in the log: %s", secret, log)
		}
	}
}

// What runs when the end comes is answered; what comes after is not taken.
func TestShutdownLosesNothing(t *testing.T) {
	w := newWorld(t)
	conn, err := net.Dial("tcp", strings.TrimPrefix(w.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	const begins, ends = `{"query": "mutation { logIn(input: {loginName: \"admin\", password: \"` + password, `\"}) { token } }"}`
	fmt.Fprintf(conn, "POST /graphql HTTP/1.1\r\nHost: annal\r\nContent-Type: application/json\r\nContent-Length: %d\r\nExpect: 100-continue\r\n\r\n", len(begins+ends))
	reader := bufio.NewReader(conn)
	if line, err := reader.ReadString('\n'); err != nil || !strings.HasPrefix(line, "HTTP/1.1 100") { // it reads the body: the request is under way
		t.Fatal(line, err)
	}
	if _, err := reader.ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	io.WriteString(conn, begins)
	w.stop()
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) { // until it has been told
		other, err := net.Dial("tcp", conn.RemoteAddr().String())
		if err != nil {
			break
		}
		other.Close()
		if time.Now().After(end) {
			t.Fatal("it takes connections on and on")
		}
	}
	io.WriteString(conn, ends)
	response, err := http.ReadResponse(reader, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if text, err := io.ReadAll(response.Body); err != nil || !strings.Contains(string(text), `"token":"annal_`) {
		t.Errorf("%s %v", text, err)
	}
	if err := <-w.served; err != nil {
		t.Error(err)
	}
	if _, err := http.Get(w.url + "/healthz"); err == nil {
		t.Error("it still answers")
	}
}
