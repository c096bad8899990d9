package graph_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/annal-crm/annal/app"
	"github.com/annal-crm/annal/commands"
	"github.com/annal-crm/annal/graph"
	"github.com/annal-crm/annal/internal/pgtest"
	"github.com/annal-crm/annal/internal/vault"
	"github.com/annal-crm/annal/projections/accounts"
	"github.com/annal-crm/annal/projections/engine"
	"github.com/annal-crm/annal/transparency"
)

const password = "correct horse battery staple 42"

// world is one Annal, whole, behind a real HTTP server.
type world struct {
	checkpointKey string
	testing.TB
	*app.Instance
	server     *httptest.Server
	handler    *graph.Handler
	statements *statements
	logs       *logs
	stopEngine context.CancelFunc
	ahead      *atomic.Int64 // of the machine's clock, on the write side
}

// statements counts what is asked of the read models' database.
type statements struct{ n atomic.Int64 }

func (s *statements) TraceQueryStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceQueryStartData) context.Context {
	s.n.Add(1)
	return ctx
}

func (s *statements) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

// logs keeps what is logged.
type logs struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func newWorld(t testing.TB, config graph.Config) *world {
	t.Helper()
	ahead, key := new(atomic.Int64), transparency.NewKey()
	i, err := app.Open(t.Context(), app.Config{
		DatabaseURL: pgtest.URL(t), MasterKey: vault.NewMasterKey(), CheckpointKey: key,
		Commands:    commands.Config{LoginFloor: -1, Clock: func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }},
		Projections: engine.Config{WaitLimit: time.Second},
	})
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
	w := &world{TB: t, Instance: i, checkpointKey: key, statements: &statements{}, logs: &logs{}, ahead: ahead}
	running, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := i.Engine.Run(running); err != nil {
			t.Error(err)
		}
	}()
	w.stopEngine = func() { stop(); <-done }
	t.Cleanup(w.stopEngine)
	head, err := i.Log.Head(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	// A server is not ready before, either. Each wait ends after a second, and a busy machine may need more.
	for deadline := time.Now().Add(time.Minute); ; {
		err := i.Engine.Wait(t.Context(), head, accounts.Model.Name)
		if err == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}

	traced, err := pgxpool.ParseConfig(i.Address)
	if err != nil {
		t.Fatal(err)
	}
	traced.ConnConfig.Tracer = w.statements
	pool, err := pgxpool.NewWithConfig(t.Context(), traced)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	w.handler = graph.New(graph.Dependencies{
		Commands: i.Commands, Engine: i.Engine, Log: i.Log, Audit: i.Audit, DB: pool, Codec: i.Codec, Logger: slog.New(slog.NewTextHandler(w.logs, nil)),
	}, config)
	w.server = httptest.NewServer(w.handler)
	t.Cleanup(w.server.Close)
	return w
}

// client is somebody with a token, or without.
type client struct {
	*world
	token string
}

type answer struct {
	Data   map[string]any `json:"data"`
	Errors []struct {
		Message    string         `json:"message"`
		Path       []any          `json:"path"`
		Extensions map[string]any `json:"extensions"`
	} `json:"errors"`
}

func (w *world) signIn(name string) *client {
	w.Helper()
	c := &client{world: w}
	c.token = get[string](c.ask(`mutation($i: LogInInput!) { logIn(input: $i) { token } }`, vars{"i": vars{"loginName": name, "password": password}}), "logIn.token")
	return c
}

// member makes an account with roles, and signs in as it.
func (w *world) member(admin *client, name string, team any, roles ...string) (*client, string) {
	w.Helper()
	id := get[string](admin.ask(`mutation($i: InviteAccountInput!) { inviteAccount(input: $i) { account { id } } }`,
		vars{"i": vars{"loginName": name, "displayName": "D. " + name, "email": name + "@example.org", "teamId": team, "roles": roles}}), "inviteAccount.account.id")
	token := get[string](admin.ask(`mutation($i: IssueActivationInput!) { issueActivation(input: $i) { token } }`, vars{"i": vars{"accountId": id}}), "issueActivation.token")
	w.stranger().ask(`mutation($i: ActivateAccountInput!) { activateAccount(input: $i) { account { status } } }`, vars{"i": vars{"token": token, "password": password}})
	return w.signIn(name), id
}

func (w *world) stranger() *client { return &client{world: w} }

type vars map[string]any

func (c *client) do(body []byte, header http.Header) (int, []byte) {
	c.Helper()
	r, err := http.NewRequest("POST", c.server.URL, bytes.NewReader(body))
	if err != nil {
		c.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("User-Agent", "graph-test")
	if c.token != "" {
		r.Header.Set("Authorization", "Bearer "+c.token)
	}
	for name, values := range header {
		r.Header[name] = values
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		c.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		c.Fatal(err)
	}
	return response.StatusCode, text
}

func (c *client) raw(query string, variables vars) (a answer) {
	c.Helper()
	body, err := json.Marshal(vars{"query": query, "variables": variables})
	if err != nil {
		c.Fatal(err)
	}
	_, text := c.do(body, nil)
	if err := json.Unmarshal(text, &a); err != nil {
		c.Fatalf("%v: %s", err, text)
	}
	return a
}

// ask fails the test if there is an error.
func (c *client) ask(query string, variables vars) map[string]any {
	c.Helper()
	a := c.raw(query, variables)
	if len(a.Errors) > 0 {
		c.Fatalf("%s: %+v", query, a.Errors)
	}
	return a.Data
}

// refused returns the code and extensions of the first error; it fails the test if there is not one.
func (c *client) refused(query string, variables vars) (code string, extensions map[string]any) {
	c.Helper()
	a := c.raw(query, variables)
	if len(a.Errors) == 0 {
		c.Fatalf("%s: no error, but %v", query, a.Data)
	}
	code, _ = a.Errors[0].Extensions["code"].(string)
	return code, a.Errors[0].Extensions
}

// get follows a path of names and indexes.
func get[T any](data any, path string) T {
	for step := range strings.SplitSeq(path, ".") {
		switch at := data.(type) {
		case map[string]any:
			data = at[step]
		case []any:
			var i int
			if _, err := fmt.Sscan(step, &i); err != nil || i >= len(at) {
				panic(fmt.Sprintf("no %s in %v", path, at))
			}
			data = at[i]
		default:
			panic(fmt.Sprintf("no %s: %s of %v", path, step, at))
		}
	}
	v, ok := data.(T)
	if !ok {
		panic(fmt.Sprintf("%s is %v", path, data))
	}
	return v
}

var somebody = uuid.MustParse("00000000-0000-4000-8000-00000000abcd").String()
