package main

import (
	"io"
	"net"
	"net/url"
	"regexp"
	"sync"
	"testing"
	"time"
)

// wire is a network between a process and a server that a test may break.
type wire struct {
	listener net.Listener
	server   string // host:port

	silent sync.RWMutex // held by silence: bytes stay where they are
	mu     sync.Mutex
	down   bool // new connections end at once
	conns  map[net.Conn]bool
	hold   *held // nil: nothing is held back
}

// held is what does not arrive until it is let go.
type held struct {
	what  *regexp.Regexp
	there chan struct{} // closed when one waits
	once  sync.Once
	letGo chan struct{}
}

// newWire returns a wire to the server of an address, and the address with the wire in the server's place.
func newWire(t testing.TB, address string) (*wire, string) {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{listener: l, server: u.Host, conns: make(map[net.Conn]bool)}
	t.Cleanup(func() { l.Close(); w.cut(0) })
	go w.serve()
	u.Host = l.Addr().String()
	return w, u.String()
}

func (w *wire) serve() {
	for {
		near, err := w.listener.Accept()
		if err != nil {
			return
		}
		far, err := net.Dial("tcp", w.server)
		if err != nil {
			near.Close()
			continue
		}
		w.mu.Lock()
		w.conns[near], w.conns[far] = true, true
		down := w.down
		w.mu.Unlock()
		if down {
			w.end(near, far)
			continue
		}
		go w.carry(near, far, false)
		go w.carry(far, near, true)
	}
}

func (w *wire) carry(to, from net.Conn, asking bool) {
	defer w.end(to, from)
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		w.mu.Lock()
		hold := w.hold
		w.mu.Unlock()
		if asking && hold != nil && hold.what.Match(buffer[:n]) {
			hold.once.Do(func() { close(hold.there) })
			<-hold.letGo
		}
		w.silent.RLock()
		_, written := to.Write(buffer[:n])
		w.silent.RUnlock()
		if err != nil || written != nil {
			return
		}
	}
}

func (w *wire) end(conns ...io.Closer) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range conns {
		c.Close()
		delete(w.conns, c.(net.Conn))
	}
}

// cut ends all connections, and each new one for some time.
func (w *wire) cut(away time.Duration) {
	w.mu.Lock()
	for c := range w.conns {
		c.Close()
	}
	w.down = true
	w.mu.Unlock()
	time.Sleep(away)
	w.mu.Lock()
	w.down = false
	w.mu.Unlock()
}

// silence holds back every byte while f runs; then all arrive, late.
func (w *wire) silence(f func()) {
	w.silent.Lock()
	defer w.silent.Unlock()
	f()
}

// holdBack keeps what matches from the server, and what the same connection sends after it. It is back when there is some.
func (w *wire) holdBack(t testing.TB, what *regexp.Regexp) (letGo func()) {
	t.Helper()
	h := &held{what: what, there: make(chan struct{}), letGo: make(chan struct{})}
	w.mu.Lock()
	w.hold = h
	w.mu.Unlock()
	letGo = sync.OnceFunc(func() {
		w.mu.Lock()
		w.hold = nil
		w.mu.Unlock()
		close(h.letGo)
	})
	t.Cleanup(letGo)
	select {
	case <-h.there:
	case <-time.After(patience):
		t.Fatalf("nothing sent matches %v", what)
	}
	return letGo
}
