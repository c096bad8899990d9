package sqlviews_test

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/annal-crm/annal/app"
	"github.com/annal-crm/annal/commands"
	"github.com/annal-crm/annal/domain/contract"
	"github.com/annal-crm/annal/domain/customer"
	"github.com/annal-crm/annal/domain/declared/declaredtest"
	"github.com/annal-crm/annal/domain/record"
	"github.com/annal-crm/annal/internal/pgtest"
	"github.com/annal-crm/annal/internal/vault"
	"github.com/annal-crm/annal/projections/engine"
	"github.com/annal-crm/annal/transfer/sqlviews"
	"github.com/annal-crm/annal/transparency"
)

// world is an Annal with two organizations, of which a marked person is a customer in each, and its database's owner.
type world struct {
	*testing.T
	*app.Instance
	owner *pgx.Conn
	other uuid.UUID
}

const mark = "Marked"

func unrecorded() error              { return nil } // what is put on record is tested with the command line
func unrecordedOf(_ uuid.UUID) error { return nil }

func newWorld(t *testing.T) *world {
	t.Helper()
	i, err := app.Open(t.Context(), app.Config{DatabaseURL: pgtest.URL(t), MasterKey: vault.NewMasterKey(), CheckpointKey: transparency.NewKey()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { i.Close() })
	w := &world{T: t, Instance: i, other: uuid.New()}
	if w.owner, err = pgx.Connect(t.Context(), i.Address); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.owner.Close(context.Background()) })
	running, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); i.Engine.Run(running) }()
	t.Cleanup(func() { stop(); <-done })

	started, err := i.Commands.FirstStart(t.Context(), commands.FirstStart{Organization: "Home", Password: "correct horse battery staple 42"})
	if err != nil {
		t.Fatal(err)
	}
	there := must(i.Commands.System(t.Context(), w.other))
	must(i.Commands.RegisterOrganization(t.Context(), there, commands.RegisterOrganization{Name: "Other"}))
	grace := must(i.Commands.Invite(t.Context(), must(i.Commands.System(t.Context(), w.other)), commands.Invite{LoginName: mark, DisplayName: mark, Roles: []string{"administrator"}}))
	here := must(i.Commands.Acting(t.Context(), commands.Home, started.Administrator, commands.Origin{IP: "203.0.113.7", Device: mark + " device"}))
	for sector, p := range map[string]*commands.Principal{"medical": here, "secret": must(i.Commands.Acting(t.Context(), w.other, grace.ID, commands.Origin{}))} {
		made := must(i.Commands.RegisterCustomer(t.Context(), p, commands.RegisterCustomer{Registered: customer.Registered{
			Name: mark + " Person", Phone: "+1 555 " + mark, Email: mark + "@example.org", Sector: sector, Attributes: map[string]string{"employees": "7"},
		}}))
		team := must(i.Commands.CreateTeam(t.Context(), p, commands.CreateTeam{Name: sector + " team"}))
		must(i.Commands.MoveToTeam(t.Context(), must(i.Commands.Acting(t.Context(), p.Organization, p.Account, commands.Origin{})), commands.MoveToTeam{AccountID: p.Account, Team: team.ID}))
		must(i.Commands.OpenOpportunity(t.Context(), p, commands.OpenOpportunity{Reference: sector, Product: "GTX", CustomerID: made.ID}))
		must(i.Commands.CreateRecord(t.Context(), p, commands.CreateRecord{Kind: contract.Kind.Category, Values: record.Values{
			"number": sector, "title": "Service", "customer": made.ID.String(), "value": "12.5 CHF",
		}}))
		must(i.Commands.CreateRecord(t.Context(), p, commands.CreateRecord{Kind: declaredtest.Kind.Category, Values: record.Values{
			"name": mark, "email": mark + "@example.org", "bornOn": "1999-12-31", "order": "7",
		}}))
	}
	w.settle()
	if all, err := i.ShowViews(t.Context()); err != nil || !all {
		t.Fatal(all, err)
	}
	return w
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func (w *world) settle() {
	w.Helper()
	if err := w.Engine.Wait(w.Context(), must(w.Log.Head(w.Context()))); err != nil {
		w.Fatal(err)
	}
}

// login makes a login, and signs in as it with the rows of some organizations.
func (w *world) login(name string, organizations ...uuid.UUID) *pgx.Conn {
	w.Helper()
	name = fmt.Sprintf("%s %d", name, os.Getpid()) // roles are the whole server's; a name that wants quoting
	ctx := context.Background()
	quoted := pgx.Identifier{name}.Sanitize()
	if _, err := w.owner.Exec(ctx, "create role "+quoted+" login password 'analyst'"); err != nil {
		w.Fatal(err)
	}
	address := must(url.Parse(w.Address))
	address.User = url.UserPassword(name, "analyst")
	conn, err := pgx.Connect(ctx, address.String())
	if err != nil {
		w.Fatal(err)
	}
	w.Cleanup(func() {
		conn.Close(ctx)
		if _, err := w.owner.Exec(ctx, "drop role "+quoted); err != nil {
			w.Error(err)
		}
	})
	for _, organization := range organizations {
		if guarded, err := sqlviews.Grant(ctx, w.owner, name, organization, "a test", unrecorded); err != nil || !guarded {
			w.Fatal(guarded, err)
		}
	}
	return conn
}

func (w *world) texts(conn interface {
	Query(context.Context, string, ...any) (pgx.Rows, error)
}, sql string) []string {
	w.Helper()
	rows, _ := conn.Query(w.Context(), sql)
	all, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		w.Fatalf("%s: %v", sql, err)
	}
	return all
}

func code(err error) string {
	refused, _ := errors.AsType[*pgconn.PgError](err)
	if refused == nil {
		return fmt.Sprint(err)
	}
	return refused.Code
}

func TestALoginSeesItsOrganizationMasked(t *testing.T) {
	w := newWorld(t)
	here, there, both := w.login("here", commands.Home), w.login("there", w.other), w.login("both", commands.Home, w.other)
	for _, v := range sqlviews.Views() {
		for name, c := range map[string]struct {
			conn *pgx.Conn
			of   string
		}{"here": {here, commands.Home.String()}, "there": {there, w.other.String()}} {
			if got := w.texts(c.conn, "select distinct organization::text from bi."+v.Name); len(got) != 1 && (v.Name != "accounts" && v.Name != "sign_ins") || len(got) == 1 && got[0] != c.of {
				t.Errorf("%s sees in %s the organizations %s", name, v.Name, got)
			}
			if text := strings.Join(w.texts(c.conn, "select v::text from bi."+v.Name+" v"), "\n"); strings.Contains(strings.ToLower(text), strings.ToLower(mark)) || strings.Contains(text, "203.0.113") || strings.Contains(text, "@") {
				t.Errorf("%s shows what is personal: %s", v.Name, text)
			}
		}
		var columns []string
		for _, c := range v.Columns {
			columns = append(columns, c.Name+" "+c.About)
		}
		documented := w.texts(here, "select attname || ' ' || col_description(attrelid, attnum) from pg_attribute where attrelid = 'bi."+v.Name+"'::regclass and attnum > 0 order by attnum")
		if strings.Join(documented, "\n") != strings.Join(columns, "\n") {
			t.Errorf("%s is documented as %q", v.Name, documented)
		}
	}
	if got := w.texts(both, "select industry from bi.customers order by 1"); strings.Join(got, " ") != "medical secret" {
		t.Errorf("a login of two organizations sees %s", got)
	}
	if got := w.texts(here, `select name || ' ' || industry || ' ' || (attributes->>'employees') || ' ' || o.reference || ' ' || d.product || ' ' || a.status || ' ' || a.display_name || ' ' || left(a.login_name, 8)
		from bi.customers c join bi.opportunities o on o.customer = c.id join bi.deals d on d.id = o.id join bi.accounts a on a.id = c.owner`); len(got) != 1 || got[0] != "hidden medical 7 medical GTX invited hidden account-" && got[0] != "hidden medical 7 medical GTX active hidden account-" {
		t.Errorf("joined: %q", got)
	}

	if got := w.texts(here, `select number || ' ' || value || ' ' || value_currency || ' ' || stage || ' ' || c.industry from bi.contracts k join bi.customers c on c.id = k.customer`); len(got) != 1 || got[0] != "medical 12.5 CHF draft medical" {
		t.Errorf("a contract: %q", got)
	}

	// Revoked, or never granted.
	stranger := w.login("stranger")
	if _, err := stranger.Exec(t.Context(), "select from bi.customers"); code(err) != "42501" {
		t.Errorf("without a grant: %v", err)
	}
	if _, err := w.owner.Exec(t.Context(), "grant annal_reader to "+pgx.Identifier{stranger.Config().User}.Sanitize()); err != nil {
		t.Fatal(err)
	}
	if got := w.texts(stranger, "select id::text from bi.customers"); len(got) != 0 {
		t.Errorf("a reader of no organization sees %s", got)
	}
	if err := sqlviews.Revoke(t.Context(), w.owner, both.Config().User, w.other, unrecordedOf); err != nil {
		t.Fatal(err)
	}
	if got := w.texts(both, "select industry from bi.customers"); len(got) != 1 || got[0] != "medical" {
		t.Errorf("after one is revoked: %s", got)
	}
	if err := sqlviews.Revoke(t.Context(), w.owner, both.Config().User, uuid.Nil, unrecordedOf); err != nil {
		t.Fatal(err)
	}
	if _, err := both.Exec(t.Context(), "select from bi.customers"); code(err) != "42501" {
		t.Errorf("after all is revoked: %v", err)
	}
	if err := sqlviews.Revoke(t.Context(), w.owner, both.Config().User, uuid.Nil, unrecordedOf); !errors.Is(err, sqlviews.ErrNotGranted) {
		t.Error(err)
	}
	if grants, err := sqlviews.Grants(t.Context(), w.owner); err != nil || len(grants) != 2 {
		t.Errorf("%+v, %v", grants, err)
	}
}

func TestALoginReachesNothingElse(t *testing.T) {
	w := newWorld(t)
	conn := w.login("prying", commands.Home)
	attempts := []string{
		"select from bi.members", "insert into bi.members values (session_user, '" + w.other.String() + "', now(), 'me')", "select from bi.shown",
		"update bi.customers set industry = 'mine'", "delete from bi.activity", "insert into bi.customers (id) values (gen_random_uuid())",
		"create table bi.mine (i int)", "create function bi.mine() returns int language sql as 'select 1'", "create or replace view bi.customers as select 1",
		"drop view bi.customers", "alter function bi_read.customers() security invoker", "set role annal_serving", "set session authorization " + pgx.Identifier{w.owner.Config().User}.Sanitize(),
	}
	for _, table := range w.texts(w.owner, `select format('%I.%I', n.nspname, c.relname) from pg_class c join pg_namespace n on n.oid = c.relnamespace
		where c.relkind in ('r', 'p', 'S', 'v') and n.nspname !~ '^pg_|^information_schema$|^bi$'`) {
		attempts = append(attempts, "select from "+table)
	}
	if len(attempts) < 35 {
		t.Fatalf("only %d attempts: where are the tables?", len(attempts))
	}
	for _, guard := range []string{"", "set default_transaction_read_only = off"} {
		if _, err := conn.Exec(t.Context(), guard); err != nil {
			t.Fatal(err)
		}
		for _, attempt := range attempts {
			if _, err := conn.Exec(t.Context(), attempt); code(err) != "42501" && code(err) != "25006" && code(err) != "55000" { // insufficient_privilege, read_only, a view that cannot be written
				t.Errorf("%s: %v", attempt, err)
			}
		}
	}
	// A function that tells what it is given learns of no other organization's rows, however cheap it says it is.
	var told []string
	address := conn.Config().Copy()
	address.OnNotice = func(_ *pgconn.PgConn, n *pgconn.Notice) { told = append(told, n.Message) }
	listening, err := pgx.ConnectConfig(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	defer listening.Close(context.Background())
	for _, sql := range []string{
		"set default_transaction_read_only = off", `create function pg_temp.tell(s text) returns bool language plpgsql cost 0.0000001 as $$ begin raise notice '%', s; return true; end $$`,
		"select from bi.customers c where pg_temp.tell(c::text)", "drop function pg_temp.tell",
	} {
		if _, err := listening.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	if text := strings.Join(told, "\n"); !strings.Contains(text, "medical") || strings.Contains(text, "secret") || strings.Contains(text, mark) {
		t.Errorf("told: %s", text)
	}

	// What cannot be put on record is not done.
	unable := errors.New("the log cannot be reached")
	if _, err := sqlviews.Grant(t.Context(), w.owner, conn.Config().User, w.other, "a test", func() error { return unable }); !errors.Is(err, unable) {
		t.Error(err)
	}
	if err := sqlviews.Revoke(t.Context(), w.owner, conn.Config().User, uuid.Nil, func(uuid.UUID) error { return unable }); !errors.Is(err, unable) {
		t.Error(err)
	}
	if got := w.texts(conn, "select industry from bi.customers"); len(got) != 1 || got[0] != "medical" {
		t.Errorf("what is not on record was done: %s", got)
	}

	for login, want := range map[string]error{"nobody there": sqlviews.ErrNoLogin, "annal_reader": sqlviews.ErrNoLogin, w.owner.Config().User: sqlviews.ErrTooMighty} {
		if _, err := sqlviews.Grant(t.Context(), w.owner, login, commands.Home, "a test", unrecorded); !errors.Is(err, want) {
			t.Errorf("%s: %v", login, err)
		}
	}
}

// Rebuilds put other tables in the place of those that the views have read from, while somebody reads.
func TestViewsOutliveRebuilds(t *testing.T) {
	w := newWorld(t)
	conn, patient := w.login("busy", commands.Home), w.login("patient", commands.Home)
	var reads atomic.Int64
	stop, again := make(chan struct{}), 0
	var reading sync.WaitGroup
	reading.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			var n int
			err := conn.QueryRow(t.Context(), "select count(*) from bi.customers c join bi.deals d on d.customer = c.id").Scan(&n)
			if code(err) == "40001" && again < 6 { // at the instant of a switch: once for each, at most
				again++
				continue
			}
			if err != nil || n != 1 {
				t.Errorf("while rebuilding: %d rows, %v", n, err)
				return
			}
			reads.Add(1)
		}
	})
	tx, err := patient.BeginTx(t.Context(), pgx.TxOptions{IsoLevel: pgx.RepeatableRead})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), "select 1 from bi.accounts"); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		for _, name := range []string{"customers", "sales"} {
			if name == "sales" && tx != nil { // its tables are held by the transaction until it ends
				if _, err := tx.Exec(t.Context(), "select 1 from bi.customers"); code(err) != "40001" {
					t.Errorf("an old transaction is not told: %v", err)
				}
				if err := tx.Rollback(t.Context()); err != nil {
					t.Fatal(err)
				}
				tx = nil
			}
			before := reads.Load()
			if _, err := w.Engine.Rebuild(t.Context(), name, engine.RebuildOptions{}); err != nil {
				t.Fatal(err)
			}
			for end := time.Now().Add(20 * time.Second); reads.Load() == before && !t.Failed() && time.Now().Before(end); {
				time.Sleep(time.Millisecond) // on a quick machine the rebuilds would be over before the first read
			}
		}
	}
	close(stop)
	reading.Wait()
	if n := reads.Load(); n < 6 {
		t.Errorf("only %d reads meanwhile", n)
	}
	if left := w.texts(w.owner, "select nspname::text from pg_namespace where nspname ~ '_(old|next)$'"); len(left) != 0 {
		t.Errorf("the views hold %s", left)
	}
	if got := w.texts(conn, "select industry from bi.customers"); len(got) != 1 {
		t.Errorf("after rebuilds: %s", got)
	}
}

// A program whose read model has another version leaves the view to the tables of before until its own are as far.
func TestAViewFollowsTheVersionThatHasCaughtUp(t *testing.T) {
	w := newWorld(t)
	conn := w.login("follower", commands.Home)
	older := func(version int) { // what an older or newer program has left
		t.Helper()
		schema := fmt.Sprintf("customers_v%d", version)
		for _, sql := range []string{
			fmt.Sprintf("create schema %[1]s; create table %[1]s.customers as select * from customers_v2.customers; update %[1]s.customers set sector = '%[1]s'; grant usage on schema %[1]s to annal_serving; grant select on %[1]s.customers to annal_serving", schema),
			fmt.Sprintf("insert into projections.checkpoints (name, version, log, position) select name, %d, log, position + 1000 from projections.checkpoints where name = 'customers' and version = 2", version),
			fmt.Sprintf("update bi.shown set text = replace(text, 'customers_v2', '%s'), versions = array_replace(versions, 2, %d) where name = 'customers'", schema, version),
			"do $$ begin execute (select text from bi.shown where name = 'customers'); end $$",
			fmt.Sprintf("alter table %s.customers inherit bi_read.customers_customers; alter table erasures_v2.subjects inherit bi_read.customers_subjects", schema),
		} {
			if _, err := w.owner.Exec(t.Context(), sql); err != nil {
				t.Fatalf("%s: %v", sql, err)
			}
		}
	}
	shows := func(when, sector string, done bool) {
		t.Helper()
		if all, err := w.ShowViews(t.Context()); err != nil || all != done {
			t.Errorf("%s: done %v, %v", when, all, err)
		}
		if got := w.texts(conn, "select industry from bi.customers"); len(got) != 1 || got[0] != sector {
			t.Errorf("%s: shows %s, want %s", when, got, sector)
		}
	}
	shows("its own", "medical", true)
	older(1)
	shows("behind the version before", "customers_v1", false)
	if _, err := w.owner.Exec(t.Context(), "update projections.checkpoints set position = position - 1000 where name = 'customers' and version = 1"); err != nil {
		t.Fatal(err)
	}
	tx, err := conn.Begin(t.Context()) // somebody who reads is not disturbed
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), "select 1 from bi.customers"); err != nil {
		t.Fatal(err)
	}
	if all, err := w.ShowViews(t.Context()); err != nil || all {
		t.Errorf("while somebody reads: done %v, %v", all, err)
	}
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	shows("caught up", "medical", true)
	older(3)
	shows("of a newer program", "customers_v3", true)
}
