package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// These tests use the program as people do: built, started in an empty directory, asked from outside.

var binary string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "annal-test-")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		binary = filepath.Join(dir, "annal")
		if out, err := exec.Command("go", "build", "-o", binary, ".").CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "go build: %v\n%s", err, out)
			return 1
		}
		if err := os.Chmod(dir, 0o755); err != nil { // other users run it too
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		return m.Run()
	}())
}

// home is a data directory that a user other than root may enter, and who uses it.
type home struct {
	t      *testing.T
	binary string
	dir    string
	user   *syscall.SysProcAttr
	env    []string
}

func newHome(t *testing.T) *home {
	dir, err := os.MkdirTemp("", "annal-home-")
	if err == nil {
		err = os.Chmod(dir, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	var env []string
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "ANNAL_") {
			env = append(env, v)
		}
	}
	return &home{t: t, binary: binary, dir: dir, env: append(env, "HOME="+dir)}
}

func (h *home) command(args ...string) *exec.Cmd {
	cmd := exec.Command(h.binary, append(args, "--data-dir", filepath.Join(h.dir, "data"))...)
	cmd.Dir, cmd.Env, cmd.SysProcAttr = h.dir, h.env, h.user
	return cmd
}

// run runs a subcommand to its end and returns what it printed and its exit status.
func (h *home) run(args ...string) (out string, status int) {
	h.t.Helper()
	b, err := h.command(args...).CombinedOutput()
	if failed, ok := errors.AsType[*exec.ExitError](err); ok {
		return string(b), failed.ExitCode()
	}
	if err != nil {
		h.t.Fatal(err)
	}
	return string(b), 0
}

func (h *home) must(args ...string) string {
	h.t.Helper()
	out, status := h.run(args...)
	if status != 0 {
		h.t.Fatalf("annal %s: exit status %d\n%s", strings.Join(args, " "), status, out)
	}
	return out
}

// server is a running annal up or serve.
type server struct {
	cmd  *exec.Cmd
	url  string
	said string        // until it was ready, and shortly after
	rest chan struct{} // closed when it says no more
}

var ready = regexp.MustCompile(`(?m)^ready (http://\S+)$`)

func (h *home) start(args ...string) *server {
	h.t.Helper()
	cmd := h.command(append(args, "--listen", "127.0.0.1:0")...)
	out, err := cmd.StdoutPipe()
	if err != nil {
		h.t.Fatal(err)
	}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		h.t.Fatal(err)
	}
	s := &server{cmd: cmd, rest: make(chan struct{})}
	lines := make(chan string)
	go func() {
		defer close(s.rest)
		defer close(lines)
		for scan := bufio.NewScanner(out); scan.Scan(); {
			lines <- scan.Text()
		}
	}()
	deadline := time.After(2 * time.Minute)
	quiet := (<-chan time.Time)(nil)
	for {
		select {
		case line, more := <-lines:
			if !more {
				cmd.Wait() // then it has said all
				h.t.Fatalf("annal %s ended before it was ready:\n%s%s", args[0], s.said, stderr.String())
			}
			s.said += line + "\n"
			if m := ready.FindStringSubmatch(line); m != nil {
				s.url = m[1]
			}
			if s.url != "" {
				quiet = time.After(300 * time.Millisecond) // what it says after that comes at once
			}
		case <-quiet:
			go func() {
				for range lines {
				}
			}()
			h.t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
			return s
		case <-deadline:
			cmd.Process.Kill()
			cmd.Wait()
			h.t.Fatalf("annal %s did not get ready:\n%s%s", args[0], s.said, stderr.String())
		}
	}
}

// stop asks the server to stop and returns its exit status.
func (s *server) stop(t *testing.T) int {
	t.Helper()
	if err := s.signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	<-s.rest
	err := s.cmd.Wait()
	if failed, ok := errors.AsType[*exec.ExitError](err); ok {
		return failed.ExitCode()
	}
	if err != nil {
		t.Fatal(err)
	}
	return 0
}

func (s *server) signal(which os.Signal) error { return s.cmd.Process.Signal(which) }

// ask asks once and returns the answer's data.
func (s *server) ask(t *testing.T, token, query string) (data map[string]any) {
	t.Helper()
	return (&api{t: t, url: s.url, token: token}).ask(query, nil).v.(map[string]any)
}

// api is somebody who asks over GraphQL.
type api struct {
	t          testing.TB
	url, token string
}

// vars are the variables of an operation.
type vars map[string]any

// browser keeps more connections than Go's default: the tests' load comes from many clients.
var browser = &http.Client{Timeout: time.Minute, Transport: &http.Transport{MaxIdleConnsPerHost: 64}}

// refusal is the first error of an answer.
type refusal struct {
	Message    string
	Extensions map[string]any
}

func (r *refusal) Error() string { return fmt.Sprintf("%s %v", r.Message, r.Extensions) }

func (r *refusal) code() string { return fmt.Sprint(r.Extensions["code"]) }

// try asks. Its error is a *refusal if there was an answer. It may be used in any goroutine.
func (a *api) try(ctx context.Context, query string, v vars) (data value, err error) {
	body, err := json.Marshal(map[string]any{"query": query, "variables": v})
	if err != nil {
		return data, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, a.url, bytes.NewReader(body))
	if err != nil {
		return data, err
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("User-Agent", "annal-test")
	if a.token != "" {
		request.Header.Set("Authorization", "Bearer "+a.token)
	}
	response, err := browser.Do(request)
	if err != nil {
		return data, err
	}
	defer response.Body.Close()
	var answer struct {
		Data   any
		Errors []refusal
	}
	decoder := json.NewDecoder(response.Body)
	decoder.UseNumber()
	if err := decoder.Decode(&answer); err != nil {
		return data, fmt.Errorf("status %d: %w", response.StatusCode, err)
	}
	if len(answer.Errors) > 0 {
		return value{answer.Data}, &answer.Errors[0]
	}
	return value{answer.Data}, nil
}

// ask returns an answer without errors; the test ends at any other.
func (a *api) ask(query string, v vars) value {
	a.t.Helper()
	data, err := a.try(a.t.Context(), query, v)
	if err != nil {
		a.t.Fatalf("%s: %v", query, err)
	}
	return data
}

// refused returns the error that is wanted; the test ends if there is not one.
func (a *api) refused(query string, v vars) *refusal {
	a.t.Helper()
	data, err := a.try(a.t.Context(), query, v)
	r, ok := errors.AsType[*refusal](err)
	if !ok {
		a.t.Fatalf("%s: wanted a refusal, got %v, %v", query, data, err)
	}
	return r
}

const logIn = `mutation($i: LogInInput!) { logIn(input: $i) { token } }`

// as is the same for who signs in by a name and password.
func (a *api) as(name, password string) *api {
	a.t.Helper()
	in := (&api{t: a.t, url: a.url}).ask(logIn, vars{"i": vars{"loginName": name, "password": password}})
	return &api{t: a.t, url: a.url, token: in.at("logIn.token").String()}
}

// pages reads a list to its end; the query takes $after and is for one list.
func (a *api) pages(query string, v vars) (nodes []value) {
	a.t.Helper()
	all := vars{}
	for name, x := range v {
		all[name] = x
	}
	for {
		for _, list := range a.ask(query, all).v.(map[string]any) {
			page := value{list}
			nodes = append(nodes, page.at("nodes").list()...)
			if page.at("pageInfo.hasNextPage").String() != "true" {
				return nodes
			}
			all["after"] = page.at("pageInfo.endCursor").String()
		}
	}
}

// settle waits until every read model has folded the whole log.
func (a *api) settle() {
	a.t.Helper()
	var models value
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		models = a.ask(`{ readModels { name behind parked status } }`, nil).at("readModels")
		settled := true
		for _, m := range models.list() { // behind is null on a log that does not count: there LIVE means at its head
			settled = settled && m.at("status").String() == "LIVE" && strings.Trim(m.at("behind").String(), "0") == ""
		}
		if settled {
			return
		}
	}
	a.t.Fatalf("the read models did not settle: %v", models)
}

// value is a part of an answer.
type value struct{ v any }

// at is what lies at a path like "customers.nodes.0.name"; nothing if there is not one.
func (v value) at(path string) value {
	for name := range strings.SplitSeq(path, ".") {
		switch in := v.v.(type) {
		case map[string]any:
			v.v = in[name]
		case []any:
			i, err := strconv.Atoi(name)
			if v.v = nil; err == nil && i < len(in) {
				v.v = in[i]
			}
		default:
			return value{}
		}
	}
	return v
}

// String is a text or number as it is, nothing as "", anything else as JSON.
func (v value) String() string {
	switch x := v.v.(type) {
	case nil:
		return ""
	case string:
		return x
	}
	b, err := json.Marshal(v.v)
	if err != nil {
		return err.Error()
	}
	return string(b)
}

// int is a number, also one that is written as a text; 0 if it is none.
func (v value) int() int {
	n, _ := strconv.Atoi(v.String())
	return n
}

func (v value) list() (all []value) {
	items, _ := v.v.([]any)
	for _, x := range items {
		all = append(all, value{x})
	}
	return all
}

// connect connects to a database until the test ends.
func (h *home) connect(address string) *pgx.Conn {
	h.t.Helper()
	conn, err := pgx.Connect(h.t.Context(), address)
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { conn.Close(context.Background()) })
	return conn
}

// database connects as the owner of the home's database.
func (h *home) database() *pgx.Conn {
	h.t.Helper()
	return h.connect(strings.TrimSpace(h.must("database-url")))
}
