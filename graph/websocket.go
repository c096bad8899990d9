package graph

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/99designs/gqlgen/graphql"
	"github.com/99designs/gqlgen/graphql/handler/transport"
	"github.com/coder/websocket"
)

const (
	subprotocol  = "graphql-transport-ws"
	initWait     = 10 * time.Second // for connection_init
	pingEvery    = 25 * time.Second // proxies drop connections that are silent for a minute
	goingAway    = 1001             // RFC 6455 §7.4.1: a server going down
	unauthorized = 4401             // graphql-transport-ws
)

var errShutdown = errors.New("graph: the server is going down")

// sockets serves websockets by gqlgen's transport, and sees to how they are opened, bounded and closed: browsers of another
// origin are refused, a connection needs a session, a slow reader is let go, and a server going down says so.
type sockets struct {
	init  transport.WebsocketInitFunc
	limit int           // of connections
	slow  time.Duration // a client that takes nothing for so long is let go

	mu    sync.Mutex
	open  int
	ended sync.WaitGroup
	going context.Context // done: the server is going down
	stop  context.CancelFunc
}

// enter takes a place for a connection, which leave gives back. ok is false if there is not one.
func (s *sockets) enter() (ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open >= s.limit || s.going.Err() != nil {
		return false
	}
	s.open++
	s.ended.Add(1)
	return true
}

func (s *sockets) leave() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open--
	s.ended.Done()
}

// shutdown ends every connection, takes no more, and waits.
func (s *sockets) shutdown() {
	s.mu.Lock()
	s.stop()
	s.mu.Unlock()
	s.ended.Wait()
}

// Do serves one websocket until it is closed.
func (s *sockets) Do(w http.ResponseWriter, r *http.Request, exec graphql.GraphExecutor) {
	if !s.enter() {
		http.Error(w, "no more websockets are taken now", http.StatusServiceUnavailable)
		return
	}
	defer s.leave()
	ctx, cancel := context.WithCancelCause(r.Context())
	defer cancel(nil)
	defer context.AfterFunc(s.going, func() { cancel(errShutdown) })()

	c, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: []string{subprotocol}}) // answers what it refuses
	if err != nil {
		return
	}
	if c.Subprotocol() != subprotocol {
		c.Close(websocket.StatusProtocolError, "the subprotocol is "+subprotocol)
		return
	}
	c.SetReadLimit(maxBody)
	transport.Websocket{
		Implementation:   accepted{&socket{conn: c, ctx: ctx, slow: s.slow}},
		InitFunc:         s.init,
		InitTimeout:      initWait,
		PingPongInterval: pingEvery,
	}.Do(w, r.WithContext(ctx), exec)
}

// accepted hands a connection to gqlgen that has been accepted already.
type accepted struct{ *socket }

func (a accepted) Accept(http.ResponseWriter, *http.Request, transport.WebsocketAcceptOptions) (transport.WebsocketConn, error) {
	return a.socket, nil
}

// socket is one connection.
type socket struct {
	conn     *websocket.Conn
	ctx      context.Context // its cause says why it ends
	slow     time.Duration
	mu       sync.Mutex
	deadline *time.Timer
	closing  sync.Once
}

var _ transport.WebsocketReadDeadliner = (*socket)(nil)

func (s *socket) Subprotocol() string { return s.conn.Subprotocol() }

func (s *socket) NextReader() (int, io.Reader, error) {
	kind, b, err := s.conn.Read(context.Background())
	if slices.Contains([]websocket.StatusCode{websocket.StatusNormalClosure, websocket.StatusGoingAway, websocket.StatusNoStatusRcvd}, websocket.CloseStatus(err)) {
		err = transport.ErrWebsocketClosed
	}
	return int(kind), bytes.NewReader(b), err
}

func (s *socket) WriteJSON(v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), s.slow)
	defer cancel()
	return s.conn.Write(ctx, websocket.MessageText, b) // ends the connection when the time is up
}

func (s *socket) WriteClose(code int, reason string) error {
	if context.Cause(s.ctx) == errShutdown {
		code, reason = goingAway, "the server is going down"
	}
	s.closing.Do(func() {
		s.SetReadDeadline(time.Time{})
		go s.conn.Close(websocket.StatusCode(code), reason) // shakes hands for up to 5 s; gqlgen holds its lock meanwhile
	})
	return nil
}

// Close ends a connection that nobody has said goodbye to.
func (s *socket) Close() error {
	s.closing.Do(func() { s.conn.CloseNow() })
	return nil
}

func (s *socket) SetReadDeadline(t time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.deadline != nil {
		s.deadline.Stop()
		s.deadline = nil
	}
	if !t.IsZero() {
		s.deadline = time.AfterFunc(time.Until(t), func() { s.conn.CloseNow() })
	}
	return nil
}
