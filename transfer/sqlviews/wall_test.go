package sqlviews_test

import (
	"context"
	"github.com/annal-crm/annal/domain/declared"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/annal-crm/annal/commands"
	"github.com/annal-crm/annal/projections/engine"
)

// A mistake in the text of a view shows neither rows of another organization nor what is personal: the text asks for everything here.
func TestTheWallIsNotTheTextOfAView(t *testing.T) {
	w := newWorld(t)
	here, there, stranger := w.login("near", commands.Home), w.login("far", w.other), w.login("stray")
	w.exec("grant annal_reader to " + pgx.Identifier{stranger.Config().User}.Sanitize())
	passages := w.texts(w.owner, "select oid::regclass::text from pg_class where relnamespace = 'bi_read'::regnamespace and relkind = 'r' order by 1")
	if len(passages) != 9+len(declared.Kinds) {
		t.Fatalf("there are %s", passages)
	}
	for _, passage := range passages {
		w.exec("drop view if exists bi.bare; create view bi.bare as select r::text as all, r.tableoid from " + passage + " r; alter view bi.bare owner to annal_bi; grant select on bi.bare to annal_reader")
		const everything = `select "all" from bi.bare order by 1`
		mine, theirs, whole := w.texts(here, everything), w.texts(there, everything), w.texts(w.owner, "select r::text from "+passage+" r order by 1")
		together := slices.Sorted(slices.Values(slices.Concat(mine, theirs)))
		if text := strings.Join(whole, "\n"); strings.Contains(strings.ToLower(text), strings.ToLower(mark)) || strings.Contains(text, "203.0.113") || strings.Contains(text, "@") {
			t.Errorf("%s has what is personal: %s", passage, text)
		}
		slices.Sort(whole)
		if passage == "bi_read.customers_subjects" { // nobody was erased
			continue
		}
		if passage == "bi_read.sign_ins_acts" || passage == "bi_read.activity_events" { // of the system, and of nobody
			together, whole = slices.Compact(together), slices.Compact(whole)
		}
		if len(mine) == 0 || len(theirs) == 0 || !slices.Equal(together, whole) {
			t.Errorf("%s: one login sees\n%s\nthe other\n%s\nof\n%s", passage, mine, theirs, whole)
		}
		for _, row := range mine {
			if slices.Contains(theirs, row) {
				t.Errorf("%s: both see %s", passage, row)
			}
		}
		if got := w.texts(stranger, everything); len(got) != 0 {
			t.Errorf("%s: a reader of no organization sees %s", passage, got)
		}
	}
	// The server does not take a view that reads what is personal, nor does it let one read past the passages.
	_, err := w.owner.Exec(t.Context(), "do $$ begin execute (select replace(text, 't.sector', 't.name') from bi.shown where name = 'customers'); end $$")
	if code(err) != "42703" { // undefined_column
		t.Errorf("a view with a personal column: %v", err)
	}
	w.exec("drop view bi.bare; create view bi.bare as select name from customers_v2.customers; alter view bi.bare owner to annal_bi; grant select on bi.bare to annal_reader")
	if _, err := here.Exec(t.Context(), "select from bi.bare"); code(err) != "42501" { // insufficient_privilege
		t.Errorf("a view of the tables themselves: %v", err)
	}
}

func (w *world) exec(sql string) {
	w.Helper()
	if _, err := w.owner.Exec(w.Context(), sql); err != nil {
		w.Fatalf("%s: %v", sql, err)
	}
}

// A rebuild switches while somebody reads for long. Who sees the database as it was goes on with the rows they began with; who wants it as
// it is may have to begin anew.
func TestASwitchWaitsForNobody(t *testing.T) {
	w := newWorld(t)
	conn := w.login("long", commands.Home)
	count := func(q interface {
		QueryRow(context.Context, string, ...any) pgx.Row
	}) (n int) {
		t.Helper()
		if err := q.QueryRow(t.Context(), "select count(*) from bi.customers").Scan(&n); err != nil {
			t.Error(err)
		}
		return n
	}
	for _, level := range []pgx.TxIsoLevel{pgx.ReadCommitted, pgx.RepeatableRead} {
		tx := must(conn.BeginTx(t.Context(), pgx.TxOptions{IsoLevel: level}))
		before := count(tx)
		generation := func() (n int) {
			if err := w.owner.QueryRow(t.Context(), "select generation from projections.checkpoints where name = 'customers'").Scan(&n); err != nil {
				t.Fatal(err)
			}
			return n
		}
		was, done := generation(), make(chan error, 1)
		go func() {
			_, err := w.Engine.Rebuild(t.Context(), "customers", engine.RebuildOptions{})
			done <- err
		}()
		for began := time.Now(); generation() == was; time.Sleep(10 * time.Millisecond) {
			if time.Since(began) > 5*time.Second {
				t.Fatal("the switch waits for a reader")
			}
		}
		var after int
		err := tx.QueryRow(t.Context(), "select count(*) from bi.customers").Scan(&after)
		if anew := level == pgx.ReadCommitted && code(err) == "40001"; !anew && (err != nil || after != before || before != 1) {
			t.Errorf("%s: %d rows, after the switch %d, %v", level, before, after, err)
		}
		if err := tx.Rollback(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		if got := count(conn); got != before {
			t.Errorf("after the rebuild: %d rows", got)
		}
	}
}

// In a rolling upgrade an older program rebuilds tables that no view has heard of, or has made the views in its own way.
func TestAnOlderProgramBesideThisOne(t *testing.T) {
	w := newWorld(t)
	conn := w.login("between", commands.Home)
	shows := func() {
		t.Helper()
		if all, err := w.ShowViews(t.Context()); err != nil || !all {
			t.Fatal(all, err)
		}
		if got := w.texts(conn, "select industry from bi.customers"); len(got) != 1 || got[0] != "medical" {
			t.Errorf("shows %s", got)
		}
	}
	w.exec("alter table customers_v2.customers no inherit bi_read.customers_customers") // as those of its rebuild
	if _, err := conn.Exec(t.Context(), "select from bi.customers"); code(err) != "40001" {
		t.Errorf("over tables that it does not know: %v", err)
	}
	shows()
	w.exec(`drop view bi.customers; update bi.shown set text = 'other' where name = 'customers';
		create function bi_read.customers() returns table (industry text) language sql security definer as 'select sector from customers_v2.customers'; alter function bi_read.customers() owner to annal_serving;
		create view bi.customers as select * from bi_read.customers(); grant select on bi.customers to annal_reader`)
	shows()
	if left := w.texts(w.owner, "select proname::text from pg_proc where pronamespace = 'bi_read'::regnamespace and proname <> 'served'"); len(left) != 0 {
		t.Errorf("it leaves %s", left)
	}
}
