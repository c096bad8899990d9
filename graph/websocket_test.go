package graph_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/coder/websocket/wsjson"

	"github.com/annal-crm/annal/commands"
	"github.com/annal-crm/annal/graph"
)

// socket is a client of graphql-transport-ws.
type socket struct {
	testing.TB
	conn *websocket.Conn
}

type message struct {
	ID      string          `json:"id,omitempty"`
	Type    string          `json:"type"`
	Payload json.RawMessage `json:"payload,omitempty"`
}

func (w *world) dial(options *websocket.DialOptions) (*socket, *http.Response, error) {
	c, response, err := websocket.Dial(w.Context(), w.server.URL, options)
	if err != nil {
		return nil, response, err
	}
	w.Cleanup(func() { c.CloseNow() })
	return &socket{w.TB, c}, response, nil
}

// connect is a socket with a session.
func (c *client) connect() *socket {
	c.Helper()
	s, _, err := c.dial(&websocket.DialOptions{Subprotocols: []string{"graphql-transport-ws"}})
	if err != nil {
		c.Fatal(err)
	}
	s.send(message{Type: "connection_init", Payload: json.RawMessage(`{"Authorization": "Bearer ` + c.token + `"}`)})
	if m := s.next(); m.Type != "connection_ack" {
		c.Fatalf("%+v", m)
	}
	return s
}

func (s *socket) send(m message) {
	s.Helper()
	if err := wsjson.Write(s.Context(), s.conn, m); err != nil {
		s.Fatal(err)
	}
}

func (s *socket) start(id, query string) {
	s.Helper()
	b, _ := json.Marshal(vars{"query": query})
	s.send(message{ID: id, Type: "subscribe", Payload: b})
}

func (s *socket) read() (m message, err error) {
	ctx, cancel := context.WithTimeout(s.Context(), 10*time.Second)
	defer cancel()
	for {
		m = message{}
		if err = wsjson.Read(ctx, s.conn, &m); err != nil || m.Type != "ping" {
			return m, err
		}
	}
}

func (s *socket) next() message {
	s.Helper()
	m, err := s.read()
	if err != nil {
		s.Fatal(err)
	}
	return m
}

func (s *socket) closed() websocket.StatusCode {
	s.Helper()
	for {
		if m, err := s.read(); err != nil {
			return websocket.CloseStatus(err)
		} else if m.Type == "next" {
			continue
		}
	}
}

// begun makes events until each of the subscriptions has brought one: there is no message that says they have begun. A few more
// that were made may follow.
func (s *socket) begun(event func(), ids ...string) {
	s.Helper()
	all := make(chan struct{})
	go func() {
		defer close(all)
		waiting := make(map[string]bool)
		for _, id := range ids {
			waiting[id] = true
		}
		for len(waiting) > 0 {
			m, err := s.read()
			if err != nil {
				s.Error(err)
				return
			}
			if m.Type == "next" {
				delete(waiting, m.ID)
			}
		}
	}()
	for {
		event()
		select {
		case <-all:
			if s.Failed() {
				s.FailNow()
			}
			return
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// nextOf is the next message of an operation, or of its kind.
func (s *socket) nextOf(ok func(message) bool) message {
	s.Helper()
	for {
		if m := s.next(); ok(m) {
			return m
		}
	}
}

const probe = "probe"

const live = `subscription { activity(filter: {types: ["customer.registered"]}) { position type actor { loginName } data } }`

// Many writers, one follower: it gets each event once, in log order, and nothing from before it subscribed.
func TestASubscriptionMissesNothing(t *testing.T) {
	w := newWorld(t, graph.Config{})
	admin := w.signIn("admin")
	admin.ask(register, vars{"i": vars{"name": "before"}})
	s := admin.connect()
	s.start("1", live)
	s.begun(func() { admin.ask(register, vars{"i": vars{"name": probe}}) }, "1")

	const writers, each = 4, 40
	p, err := w.Commands.Authenticate(t.Context(), admin.token, commands.Origin{})
	if err != nil {
		t.Fatal(err)
	}
	var working sync.WaitGroup
	for i := range writers {
		working.Go(func() {
			for n := range each {
				in := commands.RegisterCustomer{}
				in.Name = fmt.Sprintf("%d/%d", i, n)
				if _, err := w.Commands.RegisterCustomer(t.Context(), p, in); err != nil {
					t.Error(err)
				}
			}
		})
	}
	seen, last := map[string]bool{}, 0
	for len(seen) < writers*each && !t.Failed() {
		var a answer
		m := s.next()
		if m.Type != "next" || json.Unmarshal(m.Payload, &a) != nil || len(a.Errors) > 0 {
			t.Fatalf("%s %s", m.Type, m.Payload)
		}
		var position int
		fmt.Sscan(get[string](a.Data, "activity.position"), &position)
		name := get[string](a.Data, "activity.data.name")
		if name == probe && position > last {
			last = position
			continue
		}
		if position <= last || seen[name] || get[string](a.Data, "activity.actor.loginName") != "admin" || name == "before" {
			t.Errorf("%s at %d after %d", name, position, last)
		}
		seen[name], last = true, position
	}
	working.Wait()
}

func TestASubscriptionObeysScope(t *testing.T) {
	w := newWorld(t, graph.Config{})
	admin := w.signIn("admin")
	anna, _ := w.member(admin, "anna", nil, "sales")
	s := anna.connect()
	s.start("1", `subscription { activity(filter: {types: ["opportunity.opened"]}) { data } }`)
	probes := 0
	s.begun(func() {
		probes++
		anna.ask(open, vars{"i": vars{"reference": fmt.Sprint(probe, probes)}})
	}, "1")
	admin.ask(open, vars{"i": vars{"reference": "foreign"}})
	anna.ask(open, vars{"i": vars{"reference": "own"}})
	if m := s.nextOf(func(m message) bool { return !strings.Contains(string(m.Payload), probe) }); !strings.Contains(string(m.Payload), "own") {
		t.Errorf("%s %s", m.Type, m.Payload)
	}
}

func TestTheEndOfASessionEndsItsSubscriptions(t *testing.T) {
	w := newWorld(t, graph.Config{Recheck: 100 * time.Millisecond})
	admin := w.signIn("admin")
	other := w.signIn("admin")
	s := admin.connect()
	s.start("1", live)
	s.begun(func() { other.ask(register, vars{"i": vars{"name": probe}}) }, "1")
	admin.ask(`mutation { logOut { ended } }`, nil)
	m := s.nextOf(func(m message) bool { return m.Type != "next" })
	if m.Type != "error" || !strings.Contains(string(m.Payload), "UNAUTHENTICATED") {
		t.Errorf("%s %s", m.Type, m.Payload)
	}
	other.ask(register, vars{"i": vars{"name": "after"}})
	s.start("2", `{ viewer { permissions } }`) // the connection is open, but each operation looks at the session anew
	if m := s.next(); !strings.Contains(string(m.Payload), "UNAUTHENTICATED") {
		t.Errorf("%s %s", m.Type, m.Payload)
	}
}

func TestWhoGetsNoWebsocket(t *testing.T) {
	w := newWorld(t, graph.Config{Sockets: 6})
	admin := w.signIn("admin")
	protocol := []string{"graphql-transport-ws"}

	_, response, err := w.dial(&websocket.DialOptions{Subprotocols: protocol, HTTPHeader: http.Header{"Origin": {"https://evil.example"}}})
	if err == nil || response.StatusCode != http.StatusForbidden {
		t.Errorf("a page of another origin: %v", err)
	}
	s, _, err := w.dial(&websocket.DialOptions{Subprotocols: protocol})
	if err != nil {
		t.Fatal(err)
	}
	s.send(message{Type: "connection_init"})
	if code := s.closed(); code != 4401 {
		t.Errorf("a stranger: closed with %d", code)
	}
	if s, _, err = w.dial(&websocket.DialOptions{Subprotocols: protocol}); err != nil {
		t.Fatal(err)
	}
	s.send(message{Type: "connection_init", Payload: json.RawMessage(`{"Authorization": "Bearer ` + admin.token[:len(admin.token)-2] + `AA"}`)})
	if code := s.closed(); code != 4401 {
		t.Errorf("a forged token: closed with %d", code)
	}
	for _, other := range [][]string{nil, {"graphql-ws"}} {
		if s, _, err = w.dial(&websocket.DialOptions{Subprotocols: other}); err != nil {
			t.Fatal(err)
		}
		if code := s.closed(); code != websocket.StatusProtocolError {
			t.Errorf("the subprotocol %v: closed with %d", other, code)
		}
	}
	for i := range 7 { // those before may still be closing
		if _, response, err = w.dial(&websocket.DialOptions{Subprotocols: protocol}); err != nil && i > 0 {
			break
		}
	}
	if err == nil || response.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("one too many: %v", err)
	}
}

func TestAWebsocketIsBounded(t *testing.T) {
	w := newWorld(t, graph.Config{})
	admin := w.signIn("admin")
	s := admin.connect()
	var ids []string
	for i := range 16 {
		ids = append(ids, fmt.Sprint(i))
		s.start(ids[i], live)
	}
	s.begun(func() { admin.ask(register, vars{"i": vars{"name": probe}}) }, ids...)
	others := func(m message) bool { return !strings.Contains(string(m.Payload), probe) }
	s.start("one too many", live)
	if m := s.nextOf(others); m.ID != "one too many" || !strings.Contains(string(m.Payload), "RATE_LIMITED") {
		t.Errorf("%s %s %s", m.ID, m.Type, m.Payload)
	}
	s.nextOf(others) // complete
	s.send(message{ID: "3", Type: "complete"})
	s.nextOf(func(m message) bool { return m.Type == "complete" && m.ID == "3" })
	for range 100 { // the place is free as soon as the client is told so
		s.start("again", `{ viewer { permissions } }`)
		if m := s.nextOf(others); m.Type != "next" || !strings.Contains(string(m.Payload), "organization.manage") {
			t.Fatalf("%s %s", m.Type, m.Payload)
		}
		s.nextOf(others) // complete
	}
	s.start("in its place", `{ viewer { permissions } }`)
	if m := s.nextOf(others); m.Type != "next" || !strings.Contains(string(m.Payload), "organization.manage") {
		t.Errorf("%s %s", m.Type, m.Payload)
	}
	s.nextOf(others) // complete
	s.start("deep", "{ organization { teams { "+strings.Repeat("parent { ", 10)+"id"+strings.Repeat(" }", 13))
	if m := s.nextOf(others); !strings.Contains(string(m.Payload), "TOO_COMPLEX") {
		t.Errorf("%s %s", m.Type, m.Payload)
	}
	s.conn.Write(t.Context(), websocket.MessageText, []byte(`{"id":"x","type":"subscribe","payload":{"query":"`+strings.Repeat(" ", 1<<20)+`"}}`))
	if code := s.closed(); code != websocket.StatusMessageTooBig {
		t.Errorf("a message of more than 1 MiB: closed with %d", code)
	}
}

func TestShutdownSaysGoodbye(t *testing.T) {
	w := newWorld(t, graph.Config{})
	admin := w.signIn("admin")
	s := admin.connect()
	s.start("1", live)
	s.begun(func() { admin.ask(register, vars{"i": vars{"name": probe}}) }, "1")
	code := make(chan websocket.StatusCode)
	go func() { code <- s.closed() }()
	ctx, cancel := context.WithTimeout(t.Context(), 8*time.Second)
	defer cancel()
	if err := w.handler.Shutdown(ctx); err != nil {
		t.Error(err)
	}
	if got := <-code; got != websocket.StatusGoingAway {
		t.Errorf("closed with %d", got)
	}
}

// A client that does not read is let go; what it did not take is not kept for it.
func TestASlowClientIsLetGo(t *testing.T) {
	w := newWorld(t, graph.Config{Slow: 300 * time.Millisecond, Sockets: 1})
	admin := w.signIn("admin")
	s := admin.connect()
	s.start("1", live)
	attributes := map[string]string{}
	for i := range 100 {
		attributes[fmt.Sprint(i)] = strings.Repeat("x", 4000)
	}
	p, err := w.Commands.Authenticate(t.Context(), admin.token, commands.Origin{})
	if err != nil {
		t.Fatal(err)
	}
	s.begun(func() { admin.ask(register, vars{"i": vars{"name": probe}}) }, "1")
	for i := range 40 { // 16 MB, more than the sockets' buffers take
		in := commands.RegisterCustomer{}
		in.Name, in.Attributes = fmt.Sprint("large ", i), attributes
		if _, err := w.Commands.RegisterCustomer(t.Context(), p, in); err != nil {
			t.Fatal(err)
		}
	}
	for deadline := time.Now().Add(2 * time.Minute); ; time.Sleep(50 * time.Millisecond) { // its place is free again; the race detector needs its time for 16 MB
		next, _, err := w.dial(&websocket.DialOptions{Subprotocols: []string{"graphql-transport-ws"}})
		if err == nil {
			next.conn.CloseNow()
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the connection is still there")
		}
	}
}
