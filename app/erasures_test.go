package app_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/annal-crm/annal/app"
	"github.com/annal-crm/annal/automations"
	"github.com/annal-crm/annal/commands"
	"github.com/annal-crm/annal/domain/account"
	"github.com/annal-crm/annal/domain/customer"
	"github.com/annal-crm/annal/domain/erasure"
	"github.com/annal-crm/annal/eventlog"
	"github.com/annal-crm/annal/internal/pgtest"
	"github.com/annal-crm/annal/internal/vault"
	"github.com/annal-crm/annal/projections/accounts"
	"github.com/annal-crm/annal/projections/customers"
	"github.com/annal-crm/annal/projections/engine"
	"github.com/annal-crm/annal/projections/erasures"
)

const password = "correct horse battery staple 42"

// office is an Annal with two administrators, whose read models and erasures are kept up to date.
type office struct {
	*testing.T
	*app.Instance
	ada, grace *commands.Principal
	logs       *logs
	stop       func()
	key        string
	dir        string
	ahead      atomic.Int64 // of the machine's clock
}

type logs struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// open opens the office on a database. The automation is the test's to run.
func open(t *testing.T, address, key, dir string) *office {
	t.Helper()
	return openOn(t, address, "", key, dir)
}

// openOn opens an office whose log is in an EventStoreDB; "": in Postgres.
func openOn(t *testing.T, address, store, key, dir string) *office {
	t.Helper()
	o := &office{T: t, logs: &logs{}, key: key, dir: dir}
	logger := slog.New(slog.NewTextHandler(o.logs, nil))
	i, err := app.Open(t.Context(), app.Config{
		DatabaseURL: address, EventStoreURL: store, MasterKey: key, DataDir: dir,
		Commands:    commands.Config{LoginFloor: -1, Clock: func() time.Time { return time.Now().Add(time.Duration(o.ahead.Load())) }},
		Projections: engine.Config{Logger: logger},
	})
	if err != nil {
		t.Fatal(err)
	}
	running, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := i.Engine.Run(running); err != nil {
			t.Error(err)
		}
	}()
	o.Instance = i
	o.stop = sync.OnceFunc(func() {
		stop()
		<-done
		if err := i.Close(); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(o.stop)
	started, err := i.Commands.FirstStart(t.Context(), commands.FirstStart{Organization: "Analytical Engines", Password: password})
	if err != nil {
		t.Fatal(err)
	}
	o.ada = must(i.Commands.Acting(t.Context(), commands.Home, started.Administrator, commands.Origin{}))
	return o
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(fmt.Sprintf("%v", err))
	}
	return v
}

// member makes an account that can sign in.
func (o *office) member(login, name, email string, roles ...string) uuid.UUID {
	o.Helper()
	ctx := o.Context()
	made := must(o.Commands.Invite(ctx, o.ada, commands.Invite{LoginName: login, DisplayName: name, Email: email, Roles: roles}))
	issued := must(o.Commands.IssueActivation(ctx, o.ada, commands.OnAccount{AccountID: made.ID}))
	must(o.Commands.ActivateAccount(ctx, commands.Origin{}, commands.ActivateAccount{Token: issued.Token, Password: password}))
	return made.ID
}

// second makes another administrator, if there is not one.
func (o *office) second() {
	o.Helper()
	if o.grace == nil {
		o.grace = must(o.Commands.Acting(o.Context(), commands.Home, o.member("grace", "Grace", "", "administrator"), commands.Origin{}))
	}
}

// ask asks for an erasure and approves it, as two persons.
func (o *office) ask(category string, subject uuid.UUID) uuid.UUID {
	o.Helper()
	o.second()
	asked := must(o.Commands.RequestErasure(o.Context(), o.ada, commands.RequestErasure{Command: commands.Command{Reason: "asked"}, Category: category, Subject: subject}))
	must(o.Commands.ApproveErasure(o.Context(), o.grace, commands.OnErasure{RequestID: asked.ID}))
	return asked.ID
}

func (o *office) settle() {
	o.Helper()
	if err := o.Engine.Wait(o.Context(), must(o.Log.Head(o.Context()))); err != nil {
		o.Fatal(err)
	}
}

// carryOut lets the automation look until nothing is left to do.
func (o *office) carryOut(e *automations.Erasures) {
	o.Helper()
	for range 50 {
		o.settle()
		err := e.RunOnce(o.Context())
		o.settle()
		if pending := must(erasures.Pending(o.Context(), o.Pool, 10)); err == nil && len(pending) == 0 {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	o.Fatalf("erasures are not carried out: %s", o.logs)
}

func (o *office) automation() *automations.Erasures {
	return o.Erasures(slog.New(slog.NewTextHandler(o.logs, nil)))
}

// asOwner does what Annal itself has no right to.
func (o *office) asOwner(statements string) {
	o.Helper()
	owner := must(pgx.Connect(o.Context(), o.Address))
	defer owner.Close(o.Context())
	must(owner.Exec(o.Context(), statements))
}

// everything is all that a dump of the database has, with samples that the planner keeps.
func (o *office) everything() string {
	o.Helper()
	ctx := o.Context()
	owner := must(pgx.Connect(ctx, o.Address))
	defer owner.Close(ctx)
	names := must(pgx.CollectRows(must(owner.Query(ctx, `select format('%I.%I', n.nspname, c.relname) from pg_class c join pg_namespace n on n.oid = c.relnamespace
		where c.relkind = 'r' and n.nspname !~ '^(pg_|information_schema)' order by 1`)), pgx.RowTo[string]))
	var all bytes.Buffer
	for _, name := range append(names, "pg_stats") {
		if _, err := owner.PgConn().CopyTo(ctx, &all, "copy (select * from "+name+") to stdout"); err != nil {
			o.Fatal(name, err)
		}
	}
	return all.String()
}

// forms are the ways in which a text could be written down.
func forms(mark string) (all []string) {
	all = append(all, mark, hex.EncodeToString([]byte(mark)))
	for shift := range 3 { // base64 writes the same bytes in three ways
		coded := base64.StdEncoding.EncodeToString(append(bytes.Repeat([]byte("x"), shift), mark...))
		all = append(all, strings.TrimRight(coded, "=")[4:len(coded)-4])
	}
	escaped := ""
	for _, r := range mark {
		escaped += fmt.Sprintf(`\u%04x`, r)
	}
	return append(all, escaped)
}

func (o *office) find(mark string) (found []string) {
	o.Helper()
	text := o.everything() + o.logs.String()
	entries := must(filepath.Glob(filepath.Join(o.dir, "*")))
	for _, name := range entries {
		text += string(must(os.ReadFile(name)))
	}
	for _, form := range forms(mark) {
		if i := strings.Index(text, form); i >= 0 {
			found = append(found, text[max(0, i-80):min(len(text), i+len(form)+80)])
		}
	}
	return found
}

func TestNothingOfAnErasedPersonIsLeft(t *testing.T) {
	t.Parallel()
	o := open(t, pgtest.URL(t), vault.NewMasterKey(), t.TempDir())
	ctx := t.Context()
	mark := "zq" + strings.ReplaceAll(uuid.NewString(), "-", "")
	cust := must(o.Commands.RegisterCustomer(ctx, o.ada, commands.RegisterCustomer{Registered: customer.Registered{
		Name: "Erika " + mark, Email: mark + "@example.org", Phone: "+49 " + mark[:20], Sector: "retail"}})).ID
	person := o.member("login-"+mark, "Erika "+mark, mark+"@example.com", "sales")
	in := must(o.Commands.LogIn(ctx, commands.Origin{IP: "203.0.113.77", Device: "phone of " + mark}, commands.LogIn{LoginName: "login-" + mark, Password: password}))
	phone := "+1 " + mark[:20]
	must(o.Commands.EditCustomer(ctx, in.Principal, commands.EditCustomer{On: commands.On{ID: must(o.Commands.RegisterCustomer(ctx, in.Principal, commands.RegisterCustomer{
		Registered: customer.Registered{Name: "Acme"}})).ID}, Fields: customer.Fields{Sector: new(string)}}))
	must(o.Commands.EditCustomer(ctx, o.ada, commands.EditCustomer{On: commands.On{ID: cust}, Fields: customer.Fields{Phone: &phone}}))
	o.settle()

	// Beside what is served: a former version, a result, an event that is parked and whose error quotes it, statistics.
	result := must(o.Engine.Results("kept", engine.ResultLimits{AtOnce: 1}).Make(ctx, "customers", engine.ResultOptions{}))
	for _, statement := range []string{
		"create schema accounts_v1; create table accounts_v1.accounts as select id, organization, login_name, display_name, email from accounts_v2.accounts",
		"analyze accounts_v2.accounts; analyze customers_v2.customers; analyze accounts_v1.accounts",
	} {
		must(o.Pool.Exec(ctx, statement))
	}
	stream := eventlog.Stream{Organization: commands.Home, Category: customer.Category, ID: cust}
	version := must(o.Commands.EditCustomer(ctx, o.ada, commands.EditCustomer{On: commands.On{ID: cust}, Fields: customer.Fields{Phone: new(string)}})).Version
	o.settle()
	must(o.Log.Append(ctx, stream, version, eventlog.NewEvent{ID: uuid.New(), Type: "customer.edited", Schema: 1, Data: json.RawMessage(`{"sector":5}`), Meta: json.RawMessage(`{}`), OccurredAt: time.Now()}))
	o.settle()
	if n := must(o.Pool.Exec(ctx, "update projections.parked set error = error || $1 where stream = $2 and name = 'customers'", mark, cust)).RowsAffected(); n != 1 {
		t.Fatalf("%d are parked", n)
	}
	if found := o.find(mark); len(found) < 1 {
		t.Fatal("nothing to erase")
	}

	// A command cannot judge a stream with an event that nobody can read: it is mended first, as an operator would.
	o.asOwner(`set session_replication_role = replica;
		update eventlog.events set data = '{"sector":{"from":"retail","to":"medical"}}' where type = 'customer.edited' and data::text = '{"sector":5}'`)

	requests := []uuid.UUID{o.ask(customer.Category, cust), o.ask(account.Category, person)}
	o.carryOut(o.automation())

	if found := o.find(mark); len(found) > 0 {
		t.Errorf("left: %q", found)
	}
	for _, id := range requests {
		if r, found, err := erasures.Get(ctx, o.Pool, commands.Home, id); err != nil || !found || r.Status != erasure.StatusDone {
			t.Errorf("%+v, %v, %v", r, found, err)
		}
	}
	everybody := engine.Viewer{Organization: commands.Home, Scope: "all", Personal: true}
	if row := must(customers.Get(ctx, o.Pool, everybody, []uuid.UUID{cust}))[cust]; row.Name != "erased" || row.Phone+row.Email != "" || row.Owner != o.ada.Account {
		t.Errorf("%+v", row)
	}
	if row := must(accounts.Get(ctx, o.Pool, everybody, []uuid.UUID{person}))[person]; row.Status(time.Now()) != accounts.Erased || row.DisplayName != "erased" {
		t.Errorf("%+v", row)
	}
	if row := must(customers.Get(ctx, result.DB(), everybody, []uuid.UUID{cust}))[cust]; row.ID != cust || row.Name != "erased" {
		t.Errorf("of the result: %+v", row)
	}
	for _, table := range []string{"customers_v2.customers", "accounts_v2.accounts", "accounts_v1.accounts", result.Schema + ".customers", "vault.keys", "vault.credentials", "projections.parked"} {
		var vacuumed bool // how many dead rows are left is told too late by those who made them
		if err := o.Pool.QueryRow(ctx, "select last_vacuum is not null from pg_stat_all_tables where relid = $1::text::regclass", table).Scan(&vacuumed); err != nil || !vacuumed {
			t.Errorf("dead rows of %s are left: %v", table, err)
		}
	}

	// What is parked is folded once the event can be, and brings nobody back; nor does a refold.
	parked := must(o.Engine.Parked(ctx, engine.ParkedFilter{Model: "customers"}))
	if len(parked) != 1 {
		t.Fatalf("%+v", parked)
	}
	must(o.Engine.RetryParked(ctx, "customers", parked[0].Position))
	for _, name := range []string{"customers", "accounts", "deadlines", "erasures"} {
		done, err := o.Engine.Rebuild(ctx, name, engine.RebuildOptions{Verify: name != "customers"}) // parked ones were folded late
		if err != nil || done.Different > 0 {
			t.Errorf("%s: %+v, %v", name, done, err)
		}
	}
	if found := o.find(mark); len(found) > 0 {
		t.Errorf("back: %q", found)
	}

	// The session is over, the names are free, for somebody else.
	if _, err := o.Commands.Authenticate(ctx, in.Token, commands.Origin{}); err != commands.ErrUnauthenticated {
		t.Error(err)
	}
	if _, err := o.Commands.LogIn(ctx, commands.Origin{}, commands.LogIn{LoginName: "login-" + mark, Password: password}); err != commands.ErrInvalidCredentials {
		t.Error(err)
	}
	if other := o.member("login-"+mark, "Another", mark+"@example.com"); other == person {
		t.Error("the same account")
	}
	if list := must(automations.ReadErasures(o.ErasureList)); len(list) != 2 || list[0].Subject != cust || list[1].Subject != person || list[0].Key == "" || len(list[1].Freed) != 2 {
		t.Errorf("the list: %+v", list)
	}
}

// A backup from before an erasure, restored: log, vault and read models know nothing of it.
func TestARestoredBackupMeetsTheListOfErasures(t *testing.T) {
	t.Parallel()
	address, backup, key, dir := pgtest.URL(t), pgtest.URL(t), vault.NewMasterKey(), t.TempDir()
	ctx, mark := t.Context(), "zq"+strings.ReplaceAll(uuid.NewString(), "-", "")
	o := open(t, address, key, dir)
	cust := must(o.Commands.RegisterCustomer(ctx, o.ada, commands.RegisterCustomer{Registered: customer.Registered{Name: "Erika " + mark}})).ID
	person := o.member("login-"+mark, "Erika "+mark, "")
	o.settle()
	o.stop()
	copyDatabase(t, address, backup)

	o = open(t, address, key, dir)
	o.ask(customer.Category, cust)
	o.ask(account.Category, person)
	o.carryOut(o.automation())
	if found := o.find(mark); len(found) > 0 {
		t.Fatalf("left: %q", found)
	}
	o.stop()

	restored := open(t, backup, key, dir)
	if len(restored.find(mark)) == 0 {
		t.Fatal("the backup does not hold the person: this test tests nothing")
	}
	for what, stream := range map[string]eventlog.Stream{"customer": {Organization: commands.Home, Category: customer.Category, ID: cust}, "account": {Organization: commands.Home, Category: account.Category, ID: person}} {
		for e := range restored.Log.ReadStream(ctx, stream, 0) { // whoever asks before it has served
			for _, f := range must(restored.Codec.Page(ctx, []eventlog.Event{e})) {
				if shown := fmt.Sprintf("%+v", must(f.Display())); strings.Contains(shown, mark) {
					t.Errorf("the %s is back: %s", what, shown)
				}
			}
		}
	}
	if err := restored.MeetErasures(ctx); err != nil {
		t.Fatal(err)
	}
	restored.carryOut(restored.automation())
	if found := restored.find(mark); len(found) > 0 {
		t.Errorf("back: %q", found)
	}
	head := must(restored.Log.Head(ctx))
	if err := restored.MeetErasures(ctx); err != nil || must(restored.Log.Head(ctx)) != head {
		t.Errorf("the second meeting wrote something: %v", err)
	}
	if list := must(automations.ReadErasures(restored.ErasureList)); len(list) != 2 {
		t.Errorf("the list: %+v", list)
	}
	if _, err := restored.Commands.Invite(ctx, restored.ada, commands.Invite{LoginName: "login-" + mark, DisplayName: "Another"}); err != nil {
		t.Errorf("the name is not free: %v", err)
	}
}

// A backup of the vault alone, from before: the log knows better.
func TestAKeyThatComesBackIsErasedAgain(t *testing.T) {
	t.Parallel()
	o := open(t, pgtest.URL(t), vault.NewMasterKey(), t.TempDir())
	ctx := t.Context()
	person := o.member("erika", "Erika", "")
	o.asOwner("create table public.keys as table vault.keys; create table public.credentials as table vault.credentials")
	o.ask(account.Category, person)
	o.carryOut(o.automation())
	o.asOwner(`delete from vault.keys; insert into vault.keys table public.keys; delete from vault.credentials; insert into vault.credentials table public.credentials;
		drop table public.keys, public.credentials`)
	subject := []vault.Subject{{Organization: commands.Home, ID: person}}
	if erased := must(o.Vault.Erased(ctx, subject)); erased[0] {
		t.Fatal("the key is not back: this test tests nothing")
	}
	o.carryOut(o.automation()) // of another process, which has just started
	if erased := must(o.Vault.Erased(ctx, subject)); !erased[0] {
		t.Error("the key stays")
	}
}

// While a rebuild may still write what it has read before, an erasure is not done.
func TestAnErasureWaitsForRebuilds(t *testing.T) {
	t.Parallel()
	o := open(t, pgtest.URL(t), vault.NewMasterKey(), t.TempDir())
	ctx := t.Context()
	cust := must(o.Commands.RegisterCustomer(ctx, o.ada, commands.RegisterCustomer{Registered: customer.Registered{Name: "Erika"}})).ID
	rebuilding := must(o.Pool.Acquire(ctx))
	must(rebuilding.Exec(ctx, "select pg_advisory_lock(1634627180, hashtext('customers_v2'))"))
	id := o.ask(customer.Category, cust)
	o.settle()
	e := o.automation()
	if err := e.RunOnce(ctx); err == nil || !strings.Contains(err.Error(), "rebuilt") {
		t.Error(err)
	}
	if r, _, err := erasures.Get(ctx, o.Pool, commands.Home, id); err != nil || r.Status != erasure.StatusApproved {
		t.Errorf("%+v, %v", r, err)
	}
	must(rebuilding.Exec(ctx, "select pg_advisory_unlock_all()"))
	rebuilding.Release()
	o.carryOut(e)
}

// Nor is it while a snapshot would keep dead rows.
func TestAVacuumTellsWhoKeepsDeadRows(t *testing.T) {
	t.Parallel()
	o := open(t, pgtest.URL(t), vault.NewMasterKey(), t.TempDir())
	ctx := t.Context()
	tx := must(o.Pool.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead}))
	must(tx.Exec(ctx, "select from vault.keys"))
	must(o.Pool.Exec(ctx, "select pg_current_xact_id()")) // a transaction that writes: else the snapshot is of all there is
	if err := o.Vacuum(ctx, nil); err == nil || !strings.Contains(err.Error(), "long transaction") {
		t.Error(err)
	}
	if err := tx.Rollback(ctx); err != nil {
		t.Fatal(err)
	}
	if err := o.Vacuum(ctx, []string{"customers_v2.customers"}); err != nil {
		t.Error(err)
	}
}

// copyDatabase makes a database what another one is that nobody uses.
func copyDatabase(t *testing.T, from, to string) {
	t.Helper()
	ctx := t.Context()
	config := must(pgx.ParseConfig(from))
	name, copied := config.Database, must(pgx.ParseConfig(to)).Database
	config.Database = "postgres"
	conn := must(pgx.ConnectConfig(ctx, config))
	defer conn.Close(ctx)
	var err error
	for range 100 { // connections end a moment after they were closed
		if _, err = conn.Exec(ctx, "drop database if exists "+copied+" with (force)"); err == nil {
			if _, err = conn.Exec(ctx, "create database "+copied+" template "+name); err == nil {
				return
			}
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Fatal(err)
}
