package postgres_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/annal-crm/annal/eventlog"
	"github.com/annal-crm/annal/eventlog/logtest"
	"github.com/annal-crm/annal/eventlog/postgres"
	"github.com/annal-crm/annal/internal/embedded"
	"github.com/annal-crm/annal/internal/pgtest"
)

// crashURL names the log that this program, started by a test, appends to until it is killed.
const crashURL = "ANNAL_LOG_CRASH_URL"

func TestMain(m *testing.M) {
	if url := os.Getenv(crashURL); url != "" {
		fmt.Fprintln(os.Stderr, appendUntilKilled(url))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// act is a line that the program to be killed prints: what it is about to append, and then the same with the answer.
type act struct {
	Stream   eventlog.Stream
	Expected eventlog.Version
	Events   []uuid.UUID
	Receipt  *eventlog.Receipt
}

func (a act) events() []eventlog.NewEvent {
	events := make([]eventlog.NewEvent, len(a.Events))
	for i, id := range a.Events {
		events[i] = newEvent()
		events[i].ID = id
	}
	return events
}

func appendUntilKilled(url string) error {
	ctx := context.Background()
	pool, err := pgxpool.New(ctx, url)
	if err != nil {
		return err
	}
	log, err := postgres.Open(ctx, pool, postgres.Config{})
	if err != nil {
		return err
	}
	var mu sync.Mutex
	out := json.NewEncoder(os.Stdout)
	say := func(a act) {
		mu.Lock()
		defer mu.Unlock()
		_ = out.Encode(a) // one write: a line is there whole or not at all
	}
	failed := make(chan error)
	for range 32 {
		go func() {
			a := act{Stream: newStream()}
			for i := 0; ; i++ {
				a.Events, a.Receipt = make([]uuid.UUID, 1+i%3), nil
				for j := range a.Events {
					a.Events[j] = uuid.New()
				}
				say(a)
				receipt, err := log.Append(ctx, a.Stream, a.Expected, a.events()...)
				if err != nil {
					failed <- err
					return
				}
				a.Receipt = &receipt
				say(a)
				a.Expected = receipt.Version
			}
		}()
	}
	return <-failed
}

// What a process that is killed had been answered is in the log; what it had not been answered is there or not, and
// sending it again settles that.
func TestKilledWriter(t *testing.T) {
	url := pgtest.URL(t, postgres.Migrate)
	pool, err := pgxpool.New(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	log := open(t, pool, postgres.Config{})

	tried := make(map[uuid.UUID]act) // by first event
	for range 2 {
		child := exec.CommandContext(t.Context(), os.Args[0])
		child.Env = append(os.Environ(), crashURL+"="+url)
		child.Stderr = os.Stderr
		out, err := child.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		answered := 0
		for lines := bufio.NewScanner(out); lines.Scan(); {
			var a act
			if err := json.Unmarshal(lines.Bytes(), &a); err != nil {
				t.Fatalf("%s: %v", lines.Bytes(), err)
			}
			tried[a.Events[0]] = a // the answer replaces the announcement
			if a.Receipt != nil {
				if answered++; answered == 1000 {
					_ = child.Process.Signal(syscall.SIGKILL)
				}
			}
		}
		_ = child.Wait() // it was killed
		if answered < 1000 {
			t.Fatalf("the writer ended by itself after %d appends", answered)
		}
	}

	before := make(map[uuid.UUID]eventlog.Event)
	for _, e := range readAll(t, log) {
		before[e.ID] = e
	}
	unanswered := 0
	for first, a := range tried {
		_, there := before[first]
		receipt, err := log.Append(t.Context(), a.Stream, a.Expected, a.events()...)
		switch {
		case err != nil:
			t.Fatalf("sent again: %v", err)
		case a.Receipt != nil && receipt != *a.Receipt:
			t.Fatalf("answered %+v, and %+v when sent again", *a.Receipt, receipt)
		case a.Receipt != nil && !there:
			t.Fatalf("answered %+v, and not there", *a.Receipt)
		case a.Receipt == nil:
			unanswered++
		}
	}
	all := readAll(t, log)
	logtest.InOrder(t, all, false)
	count := 0
	for _, a := range tried {
		count += len(a.Events)
	}
	if len(all) != count {
		t.Fatalf("%d events, %d sent", len(all), count)
	}
	if unanswered == 0 {
		t.Error("all appends had been answered: the writer was not killed under load")
	}
}

// Postgres is killed under load and comes back, three times: writers that resend what was not answered and readers that
// try again go on without being opened anew.
func TestKilledPostgres(t *testing.T) {
	server, dataDir := pgtest.Durable(t)
	conn, err := pgx.Connect(t.Context(), server.URL())
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(postgres.Migrate(t.Context(), conn), conn.Close(t.Context())); err != nil {
		t.Fatal(err)
	}
	pool, err := pgxpool.New(t.Context(), server.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	logs := []*postgres.Log{open(t, pool, postgres.Config{}), open(t, pool, postgres.Config{})}

	var writing, reading sync.WaitGroup
	var mu sync.Mutex
	receipts := make(map[uuid.UUID]eventlog.Receipt)
	var answered, unanswered, refused atomic.Int64
	var enough atomic.Bool
	for w := range 32 {
		writing.Go(func() {
			random := rand.New(rand.NewPCG(1, uint64(w)))
			s, version, log := newStream(), eventlog.Version(0), logs[w%len(logs)]
			for !enough.Load() {
				events := []eventlog.NewEvent{newEvent(), newEvent()}[:1+random.IntN(2)]
				receipt, err := log.Append(ctx, s, version, events...)
				for errors.Is(err, eventlog.ErrUnavailable) && ctx.Err() == nil {
					unanswered.Add(1)
					time.Sleep(10 * time.Millisecond)
					receipt, err = log.Append(ctx, s, version, events...)
				}
				if err != nil {
					t.Error(err)
					return
				}
				answered.Add(1)
				if receipt.Version != version+eventlog.Version(len(events)) {
					t.Errorf("receipt %+v of %d events at %d", receipt, len(events), version)
				}
				mu.Lock()
				receipts[events[len(events)-1].ID] = receipt
				mu.Unlock()
				version = receipt.Version
				if random.IntN(50) == 0 { // others must not suffer from it, in a crash neither
					if _, err := log.Append(ctx, s, version+1, newEvent()); !errors.Is(err, eventlog.ErrConflict) && !errors.Is(err, eventlog.ErrUnavailable) {
						t.Error(err)
					}
					refused.Add(1)
				}
			}
		})
	}
	followed := make([][]eventlog.Event, len(logs))
	end := newEvent() // the last one, at which readers stop
	for i, log := range logs {
		reading.Go(func() {
			for log.Wait(ctx, eventlog.Position(len(followed[i]))) == nil {
				page, err := log.ReadAll(ctx, eventlog.Position(len(followed[i])), 100)
				if err != nil {
					time.Sleep(10 * time.Millisecond)
					continue
				}
				if followed[i] = append(followed[i], page...); len(page) > 0 && page[len(page)-1].ID == end.ID {
					return
				}
			}
		})
	}
	for range 3 {
		for goal := answered.Load() + 1000; answered.Load() < goal && ctx.Err() == nil; {
			time.Sleep(time.Millisecond)
		}
		if err := syscall.Kill(server.Pid(), syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		again, err := embedded.Start(ctx, dataDir, embedded.Config{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { again.Close() })
	}
	for goal := answered.Load() + 1000; answered.Load() < goal && ctx.Err() == nil; {
		time.Sleep(time.Millisecond)
	}
	enough.Store(true)
	writing.Wait()
	mustAppend(t, logs[0], newStream(), 0, end)
	if ctx.Err() != nil || t.Failed() {
		t.Fatalf("after %d answers: %v", answered.Load(), ctx.Err())
	}

	all := readAll(t, logs[0])
	logtest.InOrder(t, all, false)
	found := 0
	for _, e := range all {
		if receipt, ok := receipts[e.ID]; ok {
			if receipt != (eventlog.Receipt{Position: e.Position, Version: e.Version}) {
				t.Fatalf("answered %+v, and there as %d, %d", receipt, e.Position, e.Version)
			}
			found++
		}
	}
	if found != len(receipts) {
		t.Fatalf("%d of %d answered appends are there", found, len(receipts))
	}
	reading.Wait()
	for i, events := range followed {
		logtest.InOrder(t, events, false)
		if len(events) != len(all) {
			t.Errorf("reader %d saw %d of %d events", i, len(events), len(all))
		}
	}
	t.Logf("%d appends answered, %d times unavailable, %d refused", answered.Load(), unanswered.Load(), refused.Load())
	if unanswered.Load() == 0 {
		t.Error("nobody met the crash")
	}
}
