package transparency_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/annal-crm/annal/eventlog"
	"github.com/annal-crm/annal/eventlog/postgres"
	"github.com/annal-crm/annal/transparency"
)

func (w *world) grow() (n int) {
	w.Helper()
	n, err := w.tree.Grow(w.Context())
	if err != nil {
		w.Fatal(err)
	}
	return n
}

// reading counts what is read of a log.
type reading struct {
	*postgres.Log
	events *int
}

func (r reading) ReadAll(ctx context.Context, after eventlog.Position, limit int) ([]eventlog.Event, error) {
	events, err := r.Log.ReadAll(ctx, after, limit)
	*r.events += len(events)
	return events, err
}

// What this process appends comes into the tree as it was handed over, whoever changes it before the tree has grown; it is not
// read for that.
func TestTheTreeTakesWhatItsProcessAppendsWithoutReadingIt(t *testing.T) {
	w := newWorld(t, 0)
	read := 0
	w.log = reading{w.log.(*postgres.Log), &read}
	w.tree = w.open()
	w.grow() // from now on what is appended is kept for it
	w.append(700)
	w.grow()
	w.append(3000)
	w.force(`update eventlog.events set data = '{"phone": "+1 555 0"}' where position = 2345`)
	if n := w.grow(); n != 3000 {
		t.Errorf("grown by %d", n)
	}
	if read > 1 { // the newest before
		t.Errorf("%d events were read", read)
	}
	if v := w.verify(nil); v.OK || v.Position != 2345 {
		t.Errorf("%+v", v)
	}
	// Another process' events are read, and this one's behind them.
	other, err := postgres.Open(t.Context(), w.pool, postgres.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	here, there := w.log, other
	for range 5 {
		w.append(50)
		w.log = there
		w.append(50)
		w.log = here
	}
	for w.grow() > 0 {
	}
	if size := w.tree.Size(); size != 4200 {
		t.Errorf("%d events in the tree", size)
	}
	if v := w.verify(nil); v.OK || v.Position != 2345 {
		t.Errorf("%+v", v)
	}
}

// A log that was rolled back is noticed before what came after is taken, also if that need not be read.
func TestARollbackIsNoticedWithoutReading(t *testing.T) {
	w := newWorld(t, 0)
	w.grow()
	w.append(900)
	w.grow()
	w.append(100)
	w.force(`delete from eventlog.events where position > 800`)
	if _, err := w.tree.Grow(t.Context()); !errors.Is(err, transparency.ErrForked) {
		t.Error(err)
	}
	if v := w.verify(nil); v.OK || v.Position != 801 {
		t.Errorf("%+v", v)
	}
}

func TestHowFarTheCheckpointsAre(t *testing.T) {
	w := newWorld(t, 20)
	status := func() transparency.Status {
		t.Helper()
		s, err := w.tree.Status(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	if s := status(); s != (transparency.Status{Unsigned: 20}) {
		t.Errorf("before the first: %+v", s)
	}
	w.checkpoint()
	w.append(7)
	w.force(`update transparency.checkpoints set made_at = made_at - interval '1 hour'`)
	if s := status(); s.Signed != 20 || s.Unsigned != 7 || s.Age < time.Hour || s.Age > time.Hour+time.Minute {
		t.Errorf("%+v", s)
	}
}
