package postgres_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/annal-crm/annal/eventlog"
	"github.com/annal-crm/annal/eventlog/logtest"
	"github.com/annal-crm/annal/eventlog/postgres"
	"github.com/annal-crm/annal/internal/pgtest"
)

// A group of right and wrong appends, of which the log knows none to be wrong before it tries: each gets its own answer.
func TestWrongAppendsInAGroupCostOnlyThemselves(t *testing.T) {
	pool := pgtest.New(t, postgres.Migrate)
	other := open(t, pool, postgres.Config{})
	stale, resent := newStream(), newStream()
	mustAppend(t, other, newStream(), 0, newEvent())
	mustAppend(t, other, stale, 0, newEvent(), newEvent())
	first := []eventlog.NewEvent{newEvent(), newEvent()}
	receipt := mustAppend(t, other, resent, 0, first...)
	// The document is valid, but deeper than this server is set up to parse; no check of ours knows.
	config := pool.Config()
	config.ConnConfig.RuntimeParams["max_stack_depth"] = "100kB"
	shallow, err := pgxpool.NewWithConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	defer shallow.Close()
	deep := newEvent()
	deep.Data = json.RawMessage(strings.Repeat("[", 5000) + strings.Repeat("]", 5000))

	for name, wrong := range map[string][]struct {
		stream   eventlog.Stream
		expected eventlog.Version
		events   []eventlog.NewEvent
		want     error
	}{
		"versions": {
			{stale, 0, []eventlog.NewEvent{newEvent()}, eventlog.ErrConflict},
			{newStream(), 3, []eventlog.NewEvent{newEvent()}, eventlog.ErrConflict},
			{resent, 0, first, nil},
		},
		"ahead alone": {{newStream(), 3, []eventlog.NewEvent{newEvent()}, eventlog.ErrConflict}},
		"data":        {{newStream(), 0, []eventlog.NewEvent{deep}, eventlog.ErrInvalid}},
	} {
		t.Run(name, func(t *testing.T) {
			log := open(t, shallow, postgres.Config{})
			var right []eventlog.Stream
			var appends []func()
			for range 20 {
				s := newStream()
				right = append(right, s)
				appends = append(appends, func() {
					if r, err := log.Append(t.Context(), s, 0, newEvent(), newEvent()); err != nil || r.Version != 2 {
						t.Errorf("right append: %+v, %v", r, err)
					}
				})
			}
			for _, w := range wrong {
				appends = append(appends, func() {
					r, err := log.Append(t.Context(), w.stream, w.expected, w.events...)
					if !errors.Is(err, w.want) || w.want == nil && (err != nil || r != receipt) {
						t.Errorf("append at %d: %+v, %v", w.expected, r, err)
					}
				})
			}
			together(t, pool, log, appends...)
			for _, s := range right {
				if tails, err := log.ReadStreams(t.Context(), eventlog.Tail{Stream: s}); err != nil || len(tails[0]) != 2 {
					t.Errorf("%d events of a right append, %v", len(tails[0]), err)
				}
			}
			// The log goes on, and has learned nothing wrong.
			mustAppend(t, log, right[0], 2, newEvent())
			if name == "versions" {
				mustAppend(t, log, stale, 2, newEvent())
			}
			logtest.InOrder(t, readAll(t, log), false)
		})
	}
}

func TestAnotherProcessMovesARememberedStream(t *testing.T) {
	pool := pgtest.New(t, postgres.Migrate)
	a, b := open(t, pool, postgres.Config{}), open(t, pool, postgres.Config{})
	s, mine, theirs := newStream(), newEvent(), newEvent()
	mustAppend(t, a, s, 0, mine)
	mustAppend(t, b, s, 1, theirs)
	if _, err := a.Append(t.Context(), s, 1, newEvent()); !errors.Is(err, eventlog.ErrConflict) {
		t.Fatal(err)
	}
	if _, err := a.Append(t.Context(), s, 3, newEvent()); !errors.Is(err, eventlog.ErrConflict) {
		t.Fatal(err)
	}
	if r := mustAppend(t, a, s, 1, theirs); r != (eventlog.Receipt{Position: 2, Version: 2}) {
		t.Fatalf("their event again: %+v", r)
	}
	mustAppend(t, a, s, 2, newEvent())
}

func TestAnAppendThatIsLeftInTheQueueIsNotMade(t *testing.T) {
	pool := pgtest.New(t, postgres.Migrate)
	log := open(t, pool, postgres.Config{})
	release := hold(t, pool)
	underWay, queued := make(chan error), make(chan error)
	ctx, cancel := context.WithCancel(t.Context())
	s := newStream()
	e := newEvent()
	go func() { _, err := log.Append(ctx, s, 0, e); underWay <- err }()
	blocked(t, pool)
	go func() { _, err := log.Append(ctx, newStream(), 0, newEvent()); queued <- err }()
	inQueue(t, log, 1)
	cancel()
	for _, answer := range []chan error{underWay, queued} {
		if err := <-answer; !errors.Is(err, eventlog.ErrUnavailable) || !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	}
	release()
	// Sending again tells the fate of the one that was under way.
	if r := mustAppend(t, log, s, 0, e); r != (eventlog.Receipt{Position: 1, Version: 1}) {
		t.Error(r)
	}
	if all := readAll(t, log); len(all) != 1 {
		t.Errorf("%d events", len(all))
	}
}

func TestCloseAnswersWhatIsWaiting(t *testing.T) {
	pool := pgtest.New(t, postgres.Migrate)
	log := open(t, pool, postgres.Config{})
	release := hold(t, pool)
	answers := make(chan error)
	const behind = 49
	for i := range 1 + behind {
		go func() { _, err := log.Append(t.Context(), newStream(), 0, newEvent()); answers <- err }()
		if i == 0 {
			blocked(t, pool)
		}
	}
	inQueue(t, log, behind)
	closed := make(chan struct{})
	go func() { log.Close(); close(closed) }()
	eventually(t, "it is being closed", func() bool { _, closing := log.Queue(); return closing })
	release()
	for range 1 + behind {
		if err := <-answers; err != nil {
			t.Error(err)
		}
	}
	<-closed
	_, err := log.Append(t.Context(), newStream(), 0, newEvent())
	_, headErr := log.Head(t.Context())
	if err := errors.Join(err, headErr, log.Wait(t.Context(), 1000)); strings.Count(fmt.Sprint(err), eventlog.ErrUnavailable.Error()) != 3 {
		t.Error(err)
	}
	if all := readAll(t, open(t, pool, postgres.Config{})); len(all) != 50 {
		t.Errorf("%d events", len(all))
	}
}

func TestPostgresRefusesChanges(t *testing.T) {
	pool := pgtest.New(t, postgres.Migrate)
	log := open(t, pool, postgres.Config{})
	mustAppend(t, log, newStream(), 0, newEvent(), newEvent())
	execute(t, pool, `create role annal_log_test_server`)
	t.Cleanup(func() {
		_, err := pool.Exec(context.Background(), `drop owned by annal_log_test_server; drop role annal_log_test_server`)
		if err != nil {
			t.Error(err)
		}
	})
	execute(t, pool, `grant usage on schema eventlog to annal_log_test_server; grant all on all tables in schema eventlog to annal_log_test_server`)
	conn, err := pool.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Release()
	if err := postgres.Grant(t.Context(), conn.Conn(), "annal_log_test_server"); err != nil {
		t.Fatal(err)
	}

	const refused, forbidden = "23001", "42501" // restrict_violation, insufficient_privilege
	serve := pool.Config()
	serve.AfterConnect = func(ctx context.Context, c *pgx.Conn) error {
		_, err := c.Exec(ctx, `set role annal_log_test_server`)
		return err
	}
	server, err := pgxpool.NewWithConfig(t.Context(), serve)
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	for _, test := range []struct{ sql, owner, server string }{
		{`update eventlog.events set data = '{}'`, refused, forbidden},
		{`update eventlog.events set data = '{}' where position = 77`, refused, forbidden},
		{`delete from eventlog.events`, refused, forbidden},
		{`truncate eventlog.events`, refused, forbidden},
		{`delete from eventlog.head`, refused, forbidden},
		{`truncate eventlog.head`, refused, forbidden},
		{`update eventlog.head set identity = gen_random_uuid()`, refused, forbidden},
		{`update eventlog.head set position = 1`, refused, refused},
		{`alter table eventlog.events disable trigger immutable`, "", forbidden},
		{`drop table eventlog.events`, "", forbidden},
	} {
		code := func(pool *pgxpool.Pool) string {
			_, err := pool.Exec(t.Context(), test.sql)
			if answer, ok := errors.AsType[*pgconn.PgError](err); ok {
				return answer.Code
			}
			return fmt.Sprint(err)
		}
		if got := code(server); got != test.server {
			t.Errorf("server: %s: %s", test.sql, got)
		}
		if test.owner == "" {
			continue
		}
		if got := code(pool); got != test.owner {
			t.Errorf("owner: %s: %s", test.sql, got)
		}
	}
	// Yet the server can serve, the way round by the function included.
	served := open(t, server, postgres.Config{})
	s := newStream()
	mustAppend(t, served, s, 0, newEvent())
	if _, err := served.Append(t.Context(), newStream(), 2, newEvent()); !errors.Is(err, eventlog.ErrConflict) {
		t.Error(err)
	}
	logtest.InOrder(t, readAll(t, served), false)
}

// A plan that scans the table works in a test and fails in production. The statistics of a small table, for which a scan
// would be the better plan, must not lead there.
func TestEveryAccessGoesByAnIndex(t *testing.T) {
	pool := pgtest.New(t, postgres.Migrate)
	log := open(t, pool, postgres.Config{})
	known := newStream()
	mustAppend(t, log, known, 0, newEvent())
	log.Close()
	execute(t, pool, `vacuum analyze eventlog.events`)
	var before, after int
	const scans = `select coalesce(sum(seq_scan), 0) from pg_stat_user_tables where schemaname = 'eventlog' and relname = 'events'`
	const sessions = `select count(*) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()`
	if err := pool.QueryRow(t.Context(), scans).Scan(&before); err != nil {
		t.Fatal(err)
	}
	log = open(t, pool, postgres.Config{})
	for range 10 { // more often than the five times for which Postgres makes a plan anew
		s := newStream()
		mustAppend(t, log, s, 0, newEvent())
		mustAppend(t, log, s, 1, newEvent())
		if _, err := log.Append(t.Context(), known, 0, newEvent()); !errors.Is(err, eventlog.ErrConflict) {
			t.Fatal(err)
		}
		if _, err := log.Append(t.Context(), newStream(), 3, newEvent()); !errors.Is(err, eventlog.ErrConflict) {
			t.Fatal(err)
		}
		if _, err := log.ReadStreams(t.Context(), eventlog.Tail{Stream: s}, eventlog.Tail{Stream: known}); err != nil {
			t.Fatal(err)
		}
		for _, err := range log.ReadStream(t.Context(), s, 1) {
			if err != nil {
				t.Fatal(err)
			}
		}
		readAll(t, log)
	}
	log.Close() // a session reports its counts when it ends
	pool.Reset()
	eventually(t, "the sessions have ended", func() bool {
		var left int
		if err := pool.QueryRow(t.Context(), sessions).Scan(&left); err != nil {
			t.Fatal(err)
		}
		return left == 0
	})
	if err := pool.QueryRow(t.Context(), scans).Scan(&after); err != nil {
		t.Fatal(err)
	}
	if after != before {
		t.Errorf("%d scans of the whole table", after-before)
	}
}

func TestTheRecordingClockNeverRunsBack(t *testing.T) {
	pool := pgtest.New(t, postgres.Migrate)
	log := open(t, pool, postgres.Config{})
	moved := newStream()
	mustAppend(t, log, moved, 0, newEvent())
	execute(t, pool, `update eventlog.head set recorded_at = now() + interval '1 hour'`) // as if the clock had been ahead
	mustAppend(t, open(t, pool, postgres.Config{}), moved, 1, newEvent())
	together(t, pool, log, // the other way into the log: the insert of the group fails on a stream that another process has moved
		func() {
			if _, err := log.Append(t.Context(), newStream(), 0, newEvent()); err != nil {
				t.Error(err)
			}
		},
		func() {
			if _, err := log.Append(t.Context(), moved, 1, newEvent()); !errors.Is(err, eventlog.ErrConflict) {
				t.Error(err)
			}
		})
	mustAppend(t, open(t, pool, postgres.Config{}), newStream(), 0, newEvent())
	all := readAll(t, log)
	logtest.InOrder(t, all, false)
	if ahead := time.Until(all[1].RecordedAt); ahead < 50*time.Minute {
		t.Errorf("the second event is recorded %v ahead of the clock, the first had been an hour", ahead)
	}
}

// Wait must hear of another process by the bell: the clock that it also looks by is set to a minute here.
func TestTheDoorbellRings(t *testing.T) {
	pool := pgtest.New(t, postgres.Migrate)
	writer, follower := open(t, pool, postgres.Config{}), open(t, pool, postgres.Config{Poll: time.Minute})
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	mustAppend(t, writer, newStream(), 0, newEvent())
	if err := follower.Wait(ctx, 0); err != nil { // when it returns the follower listens
		t.Fatal(err)
	}
	var head eventlog.Position = 1
	for range 20 {
		woken := make(chan error)
		go func() { woken <- follower.Wait(ctx, head) }()
		r := mustAppend(t, writer, newStream(), 0, newEvent())
		if err := <-woken; err != nil {
			t.Fatal(err)
		}
		head = r.Position
	}
}

func TestAFullDiskIsSaidClearlyAndGoesAway(t *testing.T) {
	pool := pgtest.New(t, postgres.Migrate)
	log := open(t, pool, postgres.Config{})
	execute(t, pool, `create function full_disk() returns trigger language plpgsql as $$
		begin raise exception 'could not extend file: No space left on device' using errcode = 'disk_full'; end $$;
		create trigger full_disk before insert on eventlog.events for each statement execute function full_disk()`)
	s, e := newStream(), newEvent()
	_, err := log.Append(t.Context(), s, 0, e)
	if !errors.Is(err, eventlog.ErrUnavailable) || !strings.Contains(err.Error(), "disk of the database is full") {
		t.Fatal(err)
	}
	execute(t, pool, `drop trigger full_disk on eventlog.events`)
	if r := mustAppend(t, log, s, 0, e); r != (eventlog.Receipt{Position: 1, Version: 1}) {
		t.Fatal(r)
	}
}

// A connection that has ended in the meantime, by a restart or a proxy, is not the caller's concern.
func TestALostConnectionCostsNobodyAnAppend(t *testing.T) {
	pool := pgtest.New(t, postgres.Migrate)
	log := open(t, pool, postgres.Config{})
	s := newStream()
	for version := range eventlog.Version(5) {
		mustAppend(t, log, s, version, newEvent())
		if all := readAll(t, log); len(all) != int(version)+1 {
			t.Fatalf("%d events", len(all))
		}
		execute(t, pool, `select pg_terminate_backend(pid) from pg_stat_activity
			where datname = current_database() and application_name = 'annal log'`)
	}
	logtest.InOrder(t, readAll(t, log), false)
}

func TestMigrate(t *testing.T) {
	url := pgtest.URL(t)
	pool, err := pgxpool.New(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	if _, err := postgres.Open(t.Context(), pool, postgres.Config{}); !errors.Is(err, eventlog.ErrUnavailable) || !strings.Contains(err.Error(), "no log") {
		t.Fatal(err)
	}
	migrate := func() error {
		conn, err := pgx.Connect(t.Context(), url)
		if err != nil {
			return err
		}
		defer conn.Close(t.Context())
		return postgres.Migrate(t.Context(), conn)
	}
	var wg sync.WaitGroup
	for range 5 {
		wg.Go(func() {
			if err := migrate(); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	log := open(t, pool, postgres.Config{})
	mustAppend(t, log, newStream(), 0, newEvent())
	if err := migrate(); err != nil {
		t.Fatal(err)
	}
	execute(t, pool, `insert into eventlog.migrations (number) values (1000)`)
	if err := migrate(); err == nil || !strings.Contains(err.Error(), "use a newer one") {
		t.Fatal(err)
	}
}

// What somebody puts beside the log, past its constraints, is in no stream and no page, and is told.
func TestWhatStandsBesideTheLogIsFoundAndNotObeyed(t *testing.T) {
	pool := pgtest.New(t, postgres.Migrate)
	log, s := open(t, pool, postgres.Config{}), newStream()
	mustAppend(t, log, s, 0, newEvent(), newEvent())
	forge := func(position int) error {
		_, err := pool.Exec(t.Context(), `insert into eventlog.events select $1, gen_random_uuid(), organization, category, stream, 3, type, schema, data, metadata,
			occurred_at, recorded_at from eventlog.events where position = 2`, position)
		return err
	}
	inspect := func(want string, at eventlog.Position) {
		t.Helper()
		if problem, position, err := log.Inspect(t.Context()); err != nil || !strings.Contains(problem, want) || (problem == "") != (want == "") || position != at {
			t.Errorf("%q at %s, %v; want %q at %s", problem, position, err, want, at)
		}
	}
	inspect("", 0)
	if err := forge(0); err == nil {
		t.Error("an event before the beginning was taken")
	}
	owner := func(sql string) {
		t.Helper()
		if _, err := pool.Exec(t.Context(), "set session_replication_role = replica; "+sql+"; reset session_replication_role"); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct{ done, undone, want string }{
		{"alter table eventlog.events rename to ev; create view eventlog.events as select * from eventlog.ev", "drop view eventlog.events; alter table eventlog.ev rename to events", "eventlog.events is no plain table"},
		{"alter table eventlog.events enable row level security", "alter table eventlog.events disable row level security", "eventlog.events is no plain table"},
		{"create rule lost as on insert to eventlog.events do instead nothing", "drop rule lost on eventlog.events", "eventlog.events is no plain table"},
		{"create table public.more () inherits (eventlog.events)", "drop table public.more", "eventlog.events is no plain table"},
		{"create trigger other before insert on eventlog.events for each row execute function suppress_redundant_updates_trigger()", "drop trigger other on eventlog.events", "eventlog.events is no plain table"},
		{"alter table eventlog.events drop constraint events_position; alter table eventlog.events alter position drop not null", "alter table eventlog.events add constraint events_position primary key (position)", "a constraint of the log was taken away"},
		{"alter table eventlog.events drop constraint events_stream", "alter table eventlog.events add constraint events_stream unique (organization, category, stream, version)", "a constraint of the log was taken away"},
	} {
		owner(c.done)
		inspect(c.want, 0)
		owner(c.undone)
		inspect("", 0)
	}
	owner("alter table eventlog.events drop constraint events_from_one")
	for _, position := range []int{0, -7} {
		if err := forge(position); err != nil {
			t.Fatal(err)
		}
		inspect(fmt.Sprintf("1 events stand before the beginning of the log, the first at position %d", position), 1)
		streams, err := log.ReadStreams(t.Context(), eventlog.Tail{Stream: s})
		if err != nil || len(streams[0]) != 2 {
			t.Errorf("the stream has %d events, %v", len(streams[0]), err)
		}
		for e, err := range log.ReadStream(t.Context(), s, 2) {
			t.Errorf("the stream has an event at %s, %v", e.Position, err)
		}
		if _, err := log.Append(t.Context(), s, 2, newEvent()); !errors.Is(err, eventlog.ErrConflict) {
			t.Errorf("the next append to the stream: %v", err)
		}
		owner("delete from eventlog.events where position <= 0")
	}
	if err := forge(5); err != nil {
		t.Fatal(err)
	}
	inspect("the log ends at position 2, and there are events up to 5", 3)
	owner("delete from eventlog.events where position in (2, 5)")
	inspect("the log ends at position 2, and its newest event is at 1", 2)
}
