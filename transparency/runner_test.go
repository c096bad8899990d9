package transparency_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/annal-crm/annal/transparency"
)

// run runs a runner as another process would, until stop is called or the test ends.
func (w *world) run(config transparency.RunnerConfig) (stop func()) {
	w.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	tree := w.open()
	wg.Go(func() { transparency.NewRunner(tree, config).Run(ctx) })
	stop = func() { cancel(); wg.Wait() }
	w.Cleanup(stop)
	return stop
}

func (w *world) eventually(what string, ok func() bool) {
	w.Helper()
	for range 1000 {
		if ok() {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	w.Fatal("never:", what)
}

func (w *world) latest() transparency.Checkpoint {
	w.Helper()
	c, err := w.open().Latest(w.Context())
	if err != nil {
		w.Fatal(err)
	}
	return c
}

func (w *world) count(sql string) (n int) {
	w.Helper()
	if err := w.pool.QueryRow(w.Context(), sql).Scan(&n); err != nil {
		w.Fatal(err)
	}
	return n
}

var quick = transparency.RunnerConfig{Interval: 20 * time.Millisecond, Pause: time.Millisecond, Lease: 400 * time.Millisecond}

// Several processes keep one tree; it is that of the log, and one of them works at a time.
func TestTheTreeIsKeptByAnyNumberOfRunners(t *testing.T) {
	w := newWorld(t, 0)
	var stops []func()
	for range 3 {
		stops = append(stops, w.run(quick))
	}
	var wg sync.WaitGroup
	for range 2 { // somebody signs by hand meanwhile
		wg.Go(func() {
			for range 10 {
				if _, err := w.open().Checkpoint(context.Background()); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for range 20 {
		w.append(400)
	}
	wg.Wait()
	w.eventually("a checkpoint of all", func() bool { return w.latest().Size == 8000 })
	if n := w.count(`select count(*) from transparency.checkpoints`); n < 3 {
		t.Error("only", n, "checkpoints")
	}
	if v := w.verify(nil); !v.OK || v.Signed != 8000 {
		t.Errorf("%+v", v)
	}
	for _, stop := range stops[:2] { // whoever had the lease: another goes on
		stop()
	}
	w.append(10)
	w.eventually("another runner goes on", func() bool { return w.latest().Size == 8010 })
	// One that ended well hands the tree over; one that was killed holds it until its lease has run out.
	stops[2]()
	w.run(transparency.RunnerConfig{Interval: 20 * time.Millisecond, Pause: time.Millisecond, Lease: time.Hour})()
	w.run(quick)
	w.append(10)
	w.eventually("the tree is handed over", func() bool { return w.latest().Size == 8020 })
	w.force(`update transparency.trees set runner = gen_random_uuid(), runs_until = now() + interval '700 ms'`)
	w.append(10)
	w.eventually("the tree is taken over", func() bool { return w.latest().Size == 8030 })
	if n := w.count(`select count(*) from transparency.trees where runs_until < now() - interval '1 s'`); n > 0 {
		t.Error("nobody holds it")
	}
}

// While somebody changes the log behind its back, the runner neither ends nor makes the tree fit.
func TestARunnerOutlivesTamperingAndHealsNothing(t *testing.T) {
	w := newWorld(t, 1000)
	var logged lockedBuffer
	config := quick
	config.Logger = slog.New(slog.NewTextHandler(&logged, nil))
	w.run(config)
	w.eventually("a checkpoint", func() bool { return w.latest().Size == 1000 })
	c := w.latest()
	w.force(`create table kept as select * from eventlog.events`)
	w.force(`delete from eventlog.events where position > 900; update eventlog.events set data = '{}' where position = 500`)
	tree := w.open()
	if _, err := tree.Checkpoint(t.Context()); err == nil || !strings.Contains(err.Error(), "position 1000") {
		t.Error("a log whose newest events are gone was signed:", err)
	}
	w.force(`insert into eventlog.events select * from kept where position > 900`)
	w.append(200) // the log goes on, and so does the tree, beside the event that was changed
	w.eventually("the tree goes on", func() bool { return w.latest().Size == 1200 })
	if v := w.verify(c.Note); v.OK || v.Position != 500 {
		t.Errorf("%+v", v)
	}
	w.force(`delete from eventlog.events where position = 500; insert into eventlog.events select * from kept where position = 500`)
	if v := w.verify(c.Note); !v.OK {
		t.Errorf("put back: %+v", v)
	}
	// Rolled back as a whole, and then written on: the process that saw it before does not go along.
	w.force(`delete from eventlog.events where position > 1100; update eventlog.head set position = 1100`)
	w.append(300)
	w.eventually("a complaint", func() bool { return strings.Contains(logged.String(), "does not continue what was signed") })
	if v := w.verify(nil); v.OK || v.Position != 1101 || w.latest().Size != 1200 {
		t.Errorf("%+v, signed %d", v, w.latest().Size)
	}
}

// The database itself refuses to rewrite, and the serving role cannot switch that off.
func TestTilesAndCheckpointsAreOnlyAddedTo(t *testing.T) {
	w := newWorld(t, 300)
	w.checkpoint()
	for _, statement := range []string{
		`delete from transparency.tiles`, `truncate transparency.tiles`, `delete from transparency.checkpoints`, `truncate transparency.trees cascade`,
		`update transparency.trees set size = 100`, `update transparency.trees set key = 'other'`,
		`update transparency.tiles set hashes = overlay(hashes placing '\x00' from 1)`,
		`update transparency.tiles set hashes = substring(hashes for 32)`, `update transparency.tiles set positions = null where level = 0`,
		`update transparency.tiles set number = number + 1`, `update transparency.checkpoints set note = '\x00'`, `update transparency.checkpoints set size = 1`,
	} {
		if _, err := w.pool.Exec(t.Context(), statement); err == nil || !strings.Contains(err.Error(), "it only grows") {
			t.Errorf("%s: %v", statement, err)
		}
	}
}

// A process without the key grows nothing and signs nothing; a wrong key is told. A log that never had one has no tree.
func TestWithoutItsKeyNothingIsSigned(t *testing.T) {
	w := newWorld(t, 100)
	c := w.checkpoint()
	w.append(10)
	for what, key := range map[string]string{"no key": "", "another key": transparency.NewKey()} {
		other := &world{T: t, pool: w.pool, log: w.log, key: key, dir: w.dir}
		other.tree = other.open()
		if _, err := other.tree.Checkpoint(t.Context()); err == nil || !strings.Contains(err.Error(), "checkpoint key") {
			t.Errorf("%s: %v", what, err)
		}
		v, err := other.tree.Verify(t.Context(), transparency.VerifyOptions{Checkpoint: c.Note, Key: w.tree.VerifierKey()}) // needs none
		if err != nil || !v.OK {
			t.Errorf("%s: %v %+v", what, err, v)
		}
		if key != "" { // a key from outside outranks the one that the database names
			if _, err := other.tree.Verify(t.Context(), transparency.VerifyOptions{}); !errors.Is(err, transparency.ErrCheckpoint) {
				t.Errorf("%s: %v", what, err)
			}
		} else {
			if _, err := other.tree.Prove(t.Context(), 100); err != nil {
				t.Errorf("%s: %v", what, err)
			}
			if _, err := other.tree.Prove(t.Context(), 101); err == nil || !strings.Contains(err.Error(), "newer than the newest checkpoint") {
				t.Errorf("%s: %v", what, err)
			}
		}
		done := make(chan struct{})
		go func() { transparency.NewRunner(other.tree, quick).Run(t.Context()); close(done) }()
		<-done
	}
	w.force(`truncate transparency.tiles, transparency.trees, transparency.checkpoints`)
	none := &world{T: t, pool: w.pool, log: w.log}
	none.tree = none.open()
	if _, err := none.tree.Verify(t.Context(), transparency.VerifyOptions{}); !errors.Is(err, transparency.ErrNoKey) || !errors.Is(none.tree.Ready(), transparency.ErrNoKey) {
		t.Error("without any key:", err)
	}
}

// lockedBuffer is a buffer for a logger in another goroutine.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
