package eventstoredb

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/annal-crm/annal/eventlog"
)

const (
	firstDelay = 20 * time.Millisecond // a leader that is being elected takes a second or two
	maxDelay   = 5 * time.Second       // how late a server that is back is noticed, at the worst
)

// State is what a [Log] knows about its connection.
type State struct {
	Connected bool
	Since     time.Time // of the connection, or of its loss
	Err       error     // the last failure, also of a connection that is back; nil if there was none
	Losses    int64     // how many connections have been lost
}

// client is an [esdb.Client] that heals. The library's own is dead for ever after one failed discovery, blocks whoever is
// inside it then, ignores the context while it discovers, and panics if it is closed under a call. So each connection is a
// session: calls run in a goroutine that the caller's context abandons; the first call that fails for want of a server
// retires the session for all; one goroutine knocks, with a client of its own, until the server is there again; and a
// retired session's clients are closed when its last call has left.
type client struct {
	lasting, probing *esdb.Configuration
	probe            func(context.Context, *esdb.Client) error // asks the server something that it only answers if all is well
	cluster          bool                                      // there are nodes to discover
	timeout          time.Duration
	ctx              context.Context // ends with close
	stop             context.CancelFunc
	healing          sync.WaitGroup
	work             chan func() // to workers that have nothing to do

	mu      sync.Mutex
	session *session // nil while there is none
	state   State
	changed chan struct{} // closed and replaced with session
}

// session is a connection for reading and one for appending. A call that asks for the leader and meets another node makes
// the library close its connection on the way to the leader, and to close it under appends is a data race in there. So
// those who append do not ask for the leader: a follower passes appends on. Users and retired belong to the client's mu.
type session struct {
	reader  *esdb.Client
	writer  *esdb.Client
	ctx     context.Context // ends when it is retired; what flows for long ends with it and begins again on the next one
	retire  context.CancelFunc
	users   int
	retired bool
}

// connect returns a client with a connection, or says why there is none.
func connect(ctx context.Context, config esdb.Configuration, timeout time.Duration, probe func(context.Context, *esdb.Client) error) (*client, error) {
	c := &client{lasting: lasting(config), probing: probing(config), probe: probe, timeout: timeout, work: make(chan func()), changed: make(chan struct{})}
	c.ctx, c.stop = context.WithCancel(context.Background())
	c.cluster, c.state.Since = config.DnsDiscover || len(config.GossipSeeds) > 0, time.Now()
	s, err := c.dial(ctx)
	if err != nil {
		c.stop()
		return nil, err
	}
	c.install(s)
	return c, nil
}

// dial knocks once, by a client that dies if nobody answers, and returns a session if all is well.
func (c *client) dial(ctx context.Context) (*session, error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	knock, err := esdb.NewClient(c.probing)
	if err != nil {
		return nil, err
	}
	answered := make(chan error, 1)
	go func() {
		defer knock.Close()
		var err error
		for range 3 { // one that is not the leader names it, and the client goes there
			if err = c.probe(ctx, knock); codeOf(err) != esdb.ErrorCodeNotLeader {
				break
			}
		}
		answered <- err
	}()
	select {
	case err = <-answered:
	case <-ctx.Done():
		err = ctx.Err()
	}
	if err != nil {
		return nil, explain(err)
	}
	s := &session{}
	if s.reader, err = esdb.NewClient(c.lasting); err != nil {
		return nil, err
	}
	if s.writer, err = esdb.NewClient(c.lasting); err != nil {
		return nil, err
	}
	s.ctx, s.retire = context.WithCancel(c.ctx)
	return s, nil
}

func (c *client) install(s *session) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.session = s
	c.state.Connected, c.state.Since = true, time.Now()
	close(c.changed)
	c.changed = make(chan struct{})
}

// lost retires a session. The first to find out has it healed.
func (c *client) lost(s *session, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.session != s || c.ctx.Err() != nil {
		return
	}
	c.session = nil
	c.state = State{Since: time.Now(), Err: err, Losses: c.state.Losses + 1}
	c.retireLocked(s)
	c.healing.Go(c.heal)
}

func (c *client) retireLocked(s *session) {
	s.retire()
	s.retired = true
	if s.users == 0 {
		s.close()
	}
}

func (s *session) close() {
	_ = s.reader.Close() // they return no errors
	_ = s.writer.Close()
}

// heal knocks until there is a session. The first knock waits a little as well: many processes have lost one server.
func (c *client) heal() {
	for delay := firstDelay; ; delay = min(2*delay, maxDelay) {
		if sleep(c.ctx, jitter(delay)) != nil {
			return
		}
		s, err := c.dial(c.ctx)
		if err == nil {
			c.install(s)
			return
		}
		c.mu.Lock()
		c.state.Err = err
		c.mu.Unlock()
	}
}

// acquire returns the session, for use until release. While there is none it waits, but not if that has lasted longer than
// a call may take: then it fails at once, so that callers do not pile up.
func (c *client) acquire(ctx context.Context) (*session, error) {
	for {
		c.mu.Lock()
		s, state, changed := c.session, c.state, c.changed
		if s != nil && c.ctx.Err() == nil {
			s.users++
			c.mu.Unlock()
			return s, nil
		}
		c.mu.Unlock()
		down := time.NewTimer(time.Until(state.Since.Add(c.timeout)))
		select {
		case <-c.ctx.Done():
			return nil, eventlog.ErrClosed
		case <-ctx.Done():
			return nil, errors.Join(context.Cause(ctx), state.Err)
		case <-down.C:
			return nil, fmt.Errorf("%w: %w", errDown, state.Err)
		case <-changed:
		}
		down.Stop()
	}
}

var errDown = errors.New("eventstoredb: no connection")

func (c *client) release(s *session) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s.users--; s.users == 0 && s.retired {
		s.close()
	}
}

// State returns what is known about the connection.
func (c *client) State() State {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.state
}

func (c *client) close() {
	c.mu.Lock()
	c.stop() // from here on lost heals no more
	c.mu.Unlock()
	c.healing.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	if s := c.session; s != nil {
		c.session = nil
		c.retireLocked(s)
	}
	c.state.Connected, c.state.Since = false, time.Now()
}

// once calls f with a session and gives up on it when ctx ends, whatever the library is doing. A value that comes too late
// is closed if it can be.
func once[T any](ctx context.Context, c *client, f func(context.Context, *session) (T, error)) (value T, err error) {
	s, err := c.acquire(ctx)
	if err != nil {
		return value, err
	}
	type outcome struct {
		value T
		err   error
	}
	done := make(chan outcome) // without a buffer: a value is either received or known to come too late
	c.start(func() {
		defer c.release(s)
		v, err := f(ctx, s)
		select {
		case done <- outcome{v, err}:
		case <-ctx.Done():
			if late, ok := any(v).(io.Closer); ok && err == nil {
				_ = late.Close()
			}
		}
	})
	select {
	case o := <-done:
		value, err = o.value, o.err
	case <-ctx.Done():
		err = ctx.Err()
	}
	if deadline, ok := ctx.Deadline(); err != nil && ok && statusOf(err) == codes.DeadlineExceeded && time.Until(deadline) < sameTime {
		<-ctx.Done()
	}
	if err != nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	c.judge(s, err)
	return value, err
}

// rest is how long a worker waits for its next call.
const rest = 5 * time.Second

// start runs f in another goroutine, if there is one in one that has run others before: to grow a new one's stack as deep as
// the libraries go took a tenth of an append's time.
func (c *client) start(f func()) {
	select {
	case c.work <- f:
	default:
		go func() {
			timer := time.NewTimer(rest)
			defer timer.Stop()
			for {
				f()
				timer.Reset(rest)
				select {
				case f = <-c.work:
				case <-timer.C:
					return
				case <-c.ctx.Done():
					return
				}
			}
		}()
	}
}

// sameTime is how much earlier than here a deadline may pass at the server, which is told of it.
const sameTime = 50 * time.Millisecond

// errSilent is the end of an attempt that nobody has answered. When a caller is in more of a hurry than that, nothing is
// said against the server.
var errSilent = errors.New("no answer from EventStoreDB in time")

// judge retires a session whose server does not answer, or leads no longer where another can be discovered.
func (c *client) judge(s *session, err error) {
	switch {
	case err == nil || errors.Is(err, context.DeadlineExceeded):
	case verdictOn(err) == gone, codeOf(err) == esdb.ErrorCodeNotLeader && c.cluster:
		c.lost(s, err)
	}
}

// silence is how long one attempt waits: half of the time for all leaves time for another, where a connection has gone dumb.
func (c *client) silence() time.Duration { return c.timeout / 2 }

// do calls f until it is answered, c's patience ends, or ctx.
func do[T any](ctx context.Context, c *client, f func(context.Context, *session) (T, error)) (T, error) {
	patience := c.patience()
	for {
		attempt, cancel := context.WithTimeoutCause(ctx, c.silence(), errSilent)
		value, err := once(attempt, c, f)
		cancel()
		if err == nil {
			return value, nil
		}
		if err := patience.again(ctx, err); err != nil {
			return value, err
		}
	}
}

// patience says how often something is tried again.
type patience struct {
	timeout time.Duration
	until   time.Time
	delay   time.Duration
}

func (c *client) patience() *patience {
	p := &patience{timeout: c.timeout}
	p.renew()
	return p
}

// renew begins anew, because something has come.
func (p *patience) renew() { p.until, p.delay = time.Now().Add(p.timeout), firstDelay }

// again waits and returns nil if err is worth another attempt; else the error to return to the caller.
func (p *patience) again(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return unavailable(ctx.Err())
	}
	verdict, pause := verdictOn(err), time.Duration(0)
	if verdict == unsettled { // where the server is gone, the next attempt waits for it anyway
		pause = jitter(p.delay)
		p.delay = min(2*p.delay, time.Second)
	}
	if errors.Is(err, errDown) || errors.Is(err, eventlog.ErrClosed) || verdict == answered || time.Now().Add(pause).After(p.until) {
		return unavailable(err)
	}
	if sleep(ctx, pause) != nil {
		return unavailable(ctx.Err())
	}
	return nil
}

type verdict int

const (
	answered  verdict = iota // by a server that will not change its mind
	unsettled                // the server is there; the next attempt may go better
	gone                     // no server there
)

func verdictOn(err error) verdict {
	switch codeOf(err) {
	case esdb.ErrorCodeNotLeader: // the client is on its way to the leader
		return unsettled
	case esdb.ErrorCodeConnectionClosed:
		return gone
	case esdb.ErrorCodeWrongExpectedVersion, esdb.ErrorCodeStreamDeleted:
		return answered
	}
	switch statusOf(err) {
	case codes.Aborted, codes.Canceled: // the server's own time-out; a connection closed on the way to another node
		return unsettled
	case codes.Unauthenticated, codes.PermissionDenied, codes.NotFound, codes.AlreadyExists, codes.InvalidArgument,
		codes.FailedPrecondition, codes.OutOfRange, codes.Unimplemented, codes.ResourceExhausted:
		return answered
	}
	return gone
}

// codeOf returns the library's code of err, or unknown.
func codeOf(err error) esdb.ErrorCode {
	if of, ok := errors.AsType[*esdb.Error](err); ok {
		return of.Code()
	}
	return esdb.ErrorCodeUnknown
}

// statusOf returns the gRPC status within err. Not every error of the library unwraps to one.
func statusOf(err error) codes.Code {
	if of, ok := errors.AsType[interface {
		error
		GRPCStatus() *status.Status
	}](err); ok {
		return of.GRPCStatus().Code()
	}
	switch codeOf(err) {
	case esdb.ErrorCodeUnauthenticated:
		return codes.Unauthenticated
	case esdb.ErrorCodeAccessDenied:
		return codes.PermissionDenied
	case esdb.ErrorCodeResourceNotFound:
		return codes.NotFound
	case esdb.ErrorCodeUnsupportedFeature:
		return codes.Unimplemented
	}
	switch {
	case errors.Is(err, context.Canceled):
		return codes.Canceled
	case errors.Is(err, context.DeadlineExceeded):
		return codes.DeadlineExceeded
	}
	return codes.Unknown
}

// leading asks the server to answer only if it is the leader, so that what is read is all there is. The client's option of
// that name does not reach the wire.
func leading(ctx context.Context) context.Context {
	return metadata.AppendToOutgoingContext(ctx, "requires-leader", "true")
}

// unavailable wraps err once; a context that has ended stays visible.
func unavailable(err error) error {
	switch {
	case errors.Is(err, eventlog.ErrUnavailable):
		return err
	case errors.Is(err, io.EOF): // of the library: the stream ended before it was answered
		err = errors.New("the connection ended")
	}
	return fmt.Errorf("%w: %w", eventlog.ErrUnavailable, err)
}

// jitter returns between half of d and one and a half.
func jitter(d time.Duration) time.Duration { return d/2 + rand.N(d) }

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
