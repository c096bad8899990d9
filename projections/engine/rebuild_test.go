package engine_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/annal-crm/annal/domain"
	"github.com/annal-crm/annal/domain/customer"
	"github.com/annal-crm/annal/eventlog"
	"github.com/annal-crm/annal/eventlog/memory"
	"github.com/annal-crm/annal/internal/eventcodec"
	"github.com/annal-crm/annal/projections/engine"
	"github.com/annal-crm/annal/projections/engine/foldtest"
)

func TestVerifyFindsAndMendsWhatDiffers(t *testing.T) {
	t.Parallel()
	h, l := newHouse(t), newLedger(1)
	e := h.engine(engine.Config{}, l.model(1))
	h.run(e)
	var head eventlog.Position
	for n := range 30 {
		head = h.append(registered(n, fmt.Sprint("customer ", n)))
	}
	if err := e.Wait(t.Context(), head); err != nil {
		t.Fatal(err)
	}
	right := dump(t, h.pool, l.model(1))
	for _, sql := range []string{
		"update ledger_v1.items set name = 'tampered', website = 'x' where name = 'customer 3'",
		"delete from ledger_v1.items where name = 'customer 29'",
		"delete from ledger_v1.journal where position = 5",
		"insert into ledger_v1.sectors values ('00000000-0000-0000-0000-000000000000', 'made up', 3)",
	} {
		if tag, err := h.pool.Exec(t.Context(), sql); err != nil || tag.RowsAffected() != 1 {
			t.Fatal(sql, tag, err)
		}
	}
	var phases []string
	done, err := e.Rebuild(t.Context(), "ledger", engine.RebuildOptions{Verify: true, Progress: func(p engine.Progress) {
		phases = append(phases, p.Phase)
	}})
	if err != nil || !done.Verified || done.Different != 4 || done.Events != 30 || done.Position != head {
		t.Errorf("%+v %v", done, err)
	}
	id := func(n int) string { return stream(n).ID.String() }
	want := []engine.Difference{
		{Table: "items", Key: id(3), Column: "name", Live: "tampered", Rebuilt: "customer 3"},
		{Table: "items", Key: id(3), Column: "website", Live: "x", Rebuilt: "null"},
		{Table: "items", Key: id(29), Live: "(no row)", Rebuilt: "(row)"},
		{Table: "sectors", Key: uuid.Nil.String() + ", made up", Live: "(row)", Rebuilt: "(no row)"},
		{Table: "journal", Key: "5", Live: "(no row)", Rebuilt: "(row)"},
	}
	if fmt.Sprint(done.Differences) != fmt.Sprint(want) {
		t.Errorf("%+v", done.Differences)
	}
	if got := dump(t, h.pool, l.model(1)); got != right {
		t.Error(got)
	}
	if !strings.Contains(strings.Join(phases, " "), "indexing comparing") {
		t.Error(phases)
	}
	h.wantEqualRebuild(e, l)
}

// A hammering reader, with prepared statements that outlive the switch, sees every row in every answer, while the log grows,
// the live engine folds and the tables are replaced again and again.
func TestReadersDoNotNoticeARebuild(t *testing.T) {
	t.Parallel()
	h, l := newHouse(t), newLedger(1)
	e := h.engine(engine.Config{Memory: 20_000}, l.model(1))
	h.run(e)
	const customers = 200
	var head eventlog.Position
	for n := range customers {
		head = h.append(registered(n, fmt.Sprint("customer ", n)))
	}
	if err := e.Wait(t.Context(), head); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var work sync.WaitGroup
	var reads atomic.Int64
	for range 2 {
		work.Go(func() {
			seen := int64(0)
			for ctx.Err() == nil {
				var n, lines int64
				err := h.pool.QueryRow(context.Background(), "select (select count(*) from ledger_v1.items), (select count(*) from ledger_v1.journal)").Scan(&n, &lines)
				if err != nil || n != customers || lines < seen {
					t.Errorf("%d rows, %d lines after %d, %v", n, lines, seen, err)
					return
				}
				seen = lines
				if found, err := l.items.Find(context.Background(), h.pool, "customer = $1", stream(7).ID); err != nil || len(found) != 1 {
					t.Error(found, err)
				}
				reads.Add(1)
			}
		})
	}
	work.Go(func() {
		for n := 0; ctx.Err() == nil; n++ {
			at := h.append(foldtest.Event(stream(n%customers), customer.Edited{Name: &domain.Change{To: fmt.Sprint("edit ", n)}}))
			if err := e.Wait(context.Background(), at); err != nil {
				t.Error(err)
				return
			}
			// Read your writes, whatever is being switched.
			if n, err := l.journal.Count(context.Background(), h.pool, "position = $1", int64(at)); n != 1 || err != nil {
				t.Error("a write that was waited for cannot be read", n, err)
			}
		}
	})
	for n := 0; n < 5 || n < 100 && reads.Load() < 20; n++ { // however fast the machine is
		if done, err := e.Rebuild(t.Context(), "ledger", engine.RebuildOptions{Verify: true}); err != nil || done.Different != 0 {
			t.Errorf("%+v %v", done, err)
		}
	}
	cancel()
	work.Wait()
	if reads.Load() < 20 {
		t.Error("only", reads.Load(), "reads")
	}
	var left int
	if err := h.pool.QueryRow(t.Context(), "select count(*) from pg_namespace where nspname like 'ledger_v1_%'").Scan(&left); err != nil || left != 0 {
		t.Error(left, "schemas left behind", err)
	}
	h.wantEqualRebuild(e, l)
}

func TestOneRebuildAtATimeAndAKilledOneIsNotInTheWay(t *testing.T) {
	t.Parallel()
	h, l := newHouse(t), newLedger(1)
	here, there := h.engine(engine.Config{}, l.model(1)), h.engine(engine.Config{}, l.model(1))
	for n := range 50 {
		h.append(registered(n, fmt.Sprint("customer ", n)))
	}
	folding, release := make(chan struct{}), make(chan struct{})
	var once sync.Once
	block := func(engine.Progress) {
		once.Do(func() { close(folding); <-release })
	}
	first := make(chan error)
	go func() {
		_, err := here.Rebuild(context.Background(), "ledger", engine.RebuildOptions{Progress: block})
		first <- err
	}()
	<-folding
	if _, err := there.Rebuild(t.Context(), "ledger", engine.RebuildOptions{}); !errors.Is(err, engine.ErrRebuilding) {
		t.Error("a second rebuild:", err)
	}
	if s := h.status(there, "ledger"); s.State != engine.Rebuilding {
		t.Errorf("%+v", s)
	}
	// The first dies.
	if _, err := h.pool.Exec(t.Context(), "select pg_terminate_backend(pid) from pg_locks where locktype = 'advisory' and database = (select oid from pg_database where datname = current_database())"); err != nil {
		t.Fatal(err)
	}
	h.eventually("the lock of the dead rebuild is free", func() bool { return h.status(there, "ledger").State != engine.Rebuilding })
	if done, err := there.Rebuild(t.Context(), "ledger", engine.RebuildOptions{Verify: true}); err != nil || done.Position != 50 {
		t.Errorf("%+v %v", done, err)
	}
	close(release)
	if err := <-first; err == nil {
		t.Error("a rebuild that has lost its lock has succeeded")
	}
	if n, err := l.items.Count(t.Context(), h.pool, "true"); n != 50 || err != nil {
		t.Error(n, err)
	}
}

// The log has moved house: positions mean something else now.
func TestReadModelsFoldAnewFromAnotherLog(t *testing.T) {
	t.Parallel()
	h, l := newHouse(t), newLedger(1)
	first := h.engine(engine.Config{}, l.model(1))
	stop := h.run(first)
	for n := range 5 {
		h.append(registered(n, "of the first log"))
	}
	if err := first.Wait(t.Context(), 5); err != nil {
		t.Fatal(err)
	}
	stop()

	h.log = memory.New()
	for n := range 7 {
		h.append(registered(20+n, "of the second log"))
	}
	e := h.engine(engine.Config{}, l.model(1))
	if s := h.status(e, "ledger"); s.State != engine.CatchingUp || s.Position != 0 {
		t.Errorf("%+v", s)
	}
	h.run(e)
	h.eventually("the new log is folded", func() bool {
		s := h.status(e, "ledger")
		return s.State == engine.Live && s.Position == 7
	})
	if n, err := l.items.Count(t.Context(), h.pool, "name = 'of the second log'"); n != 7 || err != nil {
		t.Error(n, err)
	}
	if n, err := l.items.Count(t.Context(), h.pool, "true"); n != 7 || err != nil {
		t.Error(n, err)
	}
	if err := e.Wait(t.Context(), h.append(registered(10, "afterwards"))); err != nil {
		t.Error(err)
	}
}

// A log restored from an older backup ends before the checkpoint, or, when it has been written to since, has another event there.
func TestACheckpointThatItsLogContradictsIsRefusedAndARebuildMendsIt(t *testing.T) {
	t.Parallel()
	for name, says := range map[string]string{"shorter": "the log ends at 3", "other": "which the log does not have there"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h, l := newHouse(t), newLedger(1)
			for n := range 3 {
				h.append(registered(n, "kept"))
			}
			log := &restored{Log: h.log}
			e, err := engine.New(log, eventcodec.New(nil), h.pool, []engine.ReadModel{l.model(1)}, engine.Config{Logger: slog.New(slog.NewTextHandler(h, nil))})
			if err != nil {
				t.Fatal(err)
			}
			stop := h.run(e)
			if err := e.Wait(t.Context(), 3); err != nil {
				t.Fatal(err)
			}
			stop()
			if name == "shorter" {
				_, err = h.pool.Exec(t.Context(), "update projections.checkpoints set position = 77")
			} else {
				log.after = 2 // as if another event had been written after the restore
			}
			if err != nil {
				t.Fatal(err)
			}
			h.run(e)
			h.eventually("it has stopped", func() bool { return errors.Is(e.Wait(t.Context(), 1000), engine.ErrBehind) })
			h.eventually("it is said", func() bool { return h.status(e, "ledger").State == engine.Failed })
			if s := h.status(e, "ledger"); !strings.Contains(s.Error, says) || !strings.Contains(s.Error, "annal reproject ledger") {
				t.Errorf("%+v", s)
			}
			if done, err := e.Rebuild(t.Context(), "ledger", engine.RebuildOptions{Verify: true}); err != nil || done.Verified {
				t.Errorf("%+v %v", done, err)
			}
			h.eventually("it goes on by itself", func() bool { return h.status(e, "ledger").State == engine.Live })
			head := h.append(registered(10, "afterwards"))
			h.eventually("it folds on", func() bool { return e.Wait(t.Context(), head) == nil })
		})
	}
}

// restored is a log whose events behind a position are others than they were.
type restored struct {
	*memory.Log
	after eventlog.Position
}

func (r *restored) other(e eventlog.Event) eventlog.Event {
	if r.after != 0 && e.Position > r.after {
		e.ID[15]++
	}
	return e
}

func (r *restored) ReadAll(ctx context.Context, after eventlog.Position, limit int) ([]eventlog.Event, error) {
	page, err := r.Log.ReadAll(ctx, after, limit)
	page = slices.Clone(page)
	for i := range page {
		page[i] = r.other(page[i])
	}
	return page, err
}

func (r *restored) ReadStream(ctx context.Context, s eventlog.Stream, after eventlog.Version) iter.Seq2[eventlog.Event, error] {
	return func(yield func(eventlog.Event, error) bool) {
		for e, err := range r.Log.ReadStream(ctx, s, after) {
			if !yield(r.other(e), err) {
				return
			}
		}
	}
}

func TestALongLogIsFirstFoldedByARebuild(t *testing.T) {
	t.Parallel()
	h, l := newHouse(t), newLedger(1)
	for n := range 120 {
		h.append(registered(n, fmt.Sprint("customer ", n)))
	}
	e := h.engine(engine.Config{FastStart: 100}, l.model(1))
	h.run(e)
	h.eventually("all is folded", func() bool { return e.Wait(t.Context(), 120) == nil })
	var generation int
	if err := h.pool.QueryRow(t.Context(), "select generation from projections.checkpoints").Scan(&generation); err != nil || generation != 1 {
		t.Error("not by a rebuild:", generation, err)
	}
	head := h.append(registered(500, "and then live"))
	if err := e.Wait(t.Context(), head); err != nil {
		t.Error(err)
	}
	h.wantEqualRebuild(e, l)
}

// switching is a log that does something at the moment when a rebuild has read its end for the last time.
type switching struct {
	*memory.Log
	armed atomic.Bool
	do    func()
}

func (s *switching) ReadAll(ctx context.Context, after eventlog.Position, limit int) ([]eventlog.Event, error) {
	page, err := s.Log.ReadAll(ctx, after, limit)
	if len(page) == 0 && s.armed.CompareAndSwap(true, false) {
		s.do()
	}
	return page, err
}

// A runner has loaded rows from the tables that a rebuild is about to replace, and finds its checkpoint where it was: what
// it has made of the old rows must not get into the new ones.
func TestRowsOfReplacedTablesAreNotWrittenToTheNewOnes(t *testing.T) {
	t.Parallel()
	h, l := newHouse(t), newLedger(1)
	log := &switching{Log: h.log}
	config := engine.Config{Logger: slog.New(slog.NewTextHandler(h, nil))}
	live, err := engine.New(h.log, eventcodec.New(nil), h.pool, []engine.ReadModel{l.model(1)}, config)
	if err != nil {
		t.Fatal(err)
	}
	rebuilding, err := engine.New(log, eventcodec.New(nil), h.pool, []engine.ReadModel{l.model(1)}, config)
	if err != nil {
		t.Fatal(err)
	}
	h.run(live)
	if err := live.Wait(t.Context(), h.append(registered(1, "right"))); err != nil {
		t.Fatal(err)
	}
	if _, err := h.pool.Exec(t.Context(), "update ledger_v1.items set name = 'wrong'"); err != nil {
		t.Fatal(err)
	}
	log.do = func() {
		h.append(foldtest.Event(stream(1), customer.Reassigned{To: uuid.UUID{1}}))
		h.eventually("the runner waits for its checkpoint", func() (waits bool) {
			err := h.pool.QueryRow(context.Background(), "select exists (select from pg_stat_activity where wait_event_type = 'Lock' and query like '%projections.move%' and datname = current_database())").Scan(&waits)
			return err == nil && waits
		})
	}
	if _, err := rebuilding.Rebuild(t.Context(), "ledger", engine.RebuildOptions{Progress: func(p engine.Progress) {
		log.armed.Store(p.Phase == "switching")
	}}); err != nil {
		t.Fatal(err)
	}
	if err := live.Wait(t.Context(), 2); err != nil {
		t.Fatal(err)
	}
	items, err := l.items.Find(t.Context(), h.pool, "true")
	if err != nil || len(items) != 1 || items[0].Name != "right" || items[0].Owner != (uuid.UUID{1}) {
		t.Errorf("%+v %v", items, err)
	}
}

// A report that takes long reads the live tables: neither the switch nor other readers wait for it.
func TestALongReaderHoldsUpNobody(t *testing.T) {
	t.Parallel()
	h, l := newHouse(t), newLedger(1)
	e := h.engine(engine.Config{}, l.model(1))
	h.append(registered(1, "one"))
	if err := e.Prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	report, err := h.pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer report.Rollback(context.Background())
	if n, err := l.items.Count(t.Context(), report, "true"); n != 0 || err != nil {
		t.Fatal(n, err)
	}
	rebuilt := make(chan error, 1)
	go func() {
		_, err := e.Rebuild(context.Background(), "ledger", engine.RebuildOptions{})
		rebuilt <- err
	}()
	impatient, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	h.eventually("others see the new rows", func() bool {
		n, err := l.items.Count(impatient, h.pool, "true")
		return n == 1 && err == nil
	})
	if err := report.Commit(t.Context()); err != nil {
		t.Error(err)
	}
	if err := <-rebuilt; err != nil {
		t.Error(err)
	}
	h.eventually("the former tables are gone", func() (gone bool) {
		err := h.pool.QueryRow(t.Context(), "select to_regnamespace('ledger_v1_old') is null").Scan(&gone)
		return gone && err == nil
	})
}
