package app_test

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/annal-crm/annal/commands"
	"github.com/annal-crm/annal/domain/customer"
	"github.com/annal-crm/annal/eventlog"
	"github.com/annal-crm/annal/internal/pgtest"
	"github.com/annal-crm/annal/internal/vault"
	"github.com/annal-crm/annal/projections/customers"
	"github.com/annal-crm/annal/projections/engine"
	"github.com/annal-crm/annal/transparency"
)

// What docs/audit.md says that an erasure leaves: the log to the byte, every proof, the certificate, and what was not sealed.
func TestWhatAnErasureLeaves(t *testing.T) {
	t.Parallel()
	o := open(t, pgtest.URL(t), vault.NewMasterKey(), t.TempDir())
	ctx := t.Context()
	mark := "zq" + strings.ReplaceAll(uuid.NewString(), "-", "")
	registered := must(o.Commands.RegisterCustomer(ctx, o.ada, commands.RegisterCustomer{Registered: customer.Registered{
		Name: "Erika " + mark, Email: mark + "@example.org", Phone: mark, Sector: "retail", Country: "Peru", Website: "example.org", Attributes: map[string]string{"size": "small"}}}))
	id := registered.ID
	o.settle()
	logOnly := func() string {
		t.Helper()
		owner := must(pgx.Connect(ctx, o.Address))
		defer owner.Close(ctx)
		var all strings.Builder
		must(owner.PgConn().CopyTo(ctx, &all, "copy (select * from eventlog.events order by position) to stdout"))
		return all.String()
	}
	before := logOnly()
	for _, form := range forms(mark) {
		if strings.Contains(before, form) {
			t.Errorf("the log alone tells the name: %s", form)
		}
	}
	subject := vault.Subject{Organization: commands.Home, ID: id}
	backup := pgtest.URL(t)
	o.stop()
	copyDatabase(t, o.Address, backup)
	o = open(t, o.Address, o.key, o.dir)
	old := open(t, backup, o.key, t.TempDir())

	var bundle strings.Builder
	must(o.Audit.Bundle(ctx, &bundle, transparency.Scope{Stream: eventlog.Stream{Organization: commands.Home, Category: customer.Category, ID: id}}))
	proof := must(o.Audit.Prove(ctx, registered.Position))
	began := time.Now().Add(-time.Second)
	o.ask(customer.Category, id)
	o.carryOut(o.automation())

	if after := logOnly(); !strings.HasPrefix(after, before) {
		t.Error("something in the log has changed")
	}
	var data string
	var at time.Time
	if err := o.Pool.QueryRow(ctx, `select data::text, occurred_at from eventlog.events where stream = $1 and type = 'subject.erased'`, id).Scan(&data, &at); err != nil {
		t.Fatal(err)
	}
	var certificate struct {
		RequestedBy, ApprovedBy uuid.UUID
		Reason                  string
		Key                     json.RawMessage
	}
	if err := json.Unmarshal([]byte(data), &certificate); err != nil || certificate.RequestedBy != o.ada.Account || certificate.ApprovedBy != o.grace.Account || certificate.Reason != "asked" ||
		at.Before(began) || at.After(time.Now()) {
		t.Errorf("%v: the certificate %s of %s", err, data, at)
	}
	// The key in a backup can be told to be the one.
	found := must(old.Vault.Fingerprint(ctx, subject))
	if text := must(json.Marshal(domainHash(found))); string(text) != string(certificate.Key) || found == sha256.Sum256(nil) {
		t.Errorf("the key in the backup is %s, the certificate names %s", text, certificate.Key)
	}
	everybody := engine.Viewer{Organization: commands.Home, Scope: "all", Personal: true}
	if row := must(customers.Get(ctx, old.Pool, everybody, []uuid.UUID{id}))[id]; row.Name != "Erika "+mark {
		t.Errorf("who has an old dump and the master key reads %q", row.Name)
	}
	row := must(customers.Get(ctx, o.Pool, everybody, []uuid.UUID{id}))[id]
	if row.ID != id || row.Sector != "retail" || row.Country != "Peru" || row.Website != "example.org" || !strings.Contains(string(row.Attributes), "small") || row.Owner != o.ada.Account || row.Name != "erased" {
		t.Errorf("what stays: %+v", row)
	}

	// All proofs still hold, old ones and new ones.
	if b, err := transparency.VerifyBundle(strings.NewReader(bundle.String()), verifierOf(t, o.Audit), nil); err != nil || b.Events != 1 || strings.Contains(bundle.String(), mark) {
		t.Errorf("a bundle from before: %+v %v", b, err)
	}
	must(o.Audit.Checkpoint(ctx))
	again := must(o.Audit.Prove(ctx, registered.Position))
	if string(again.Leaf) != string(proof.Leaf) || again.Checkpoint.Size <= proof.Checkpoint.Size {
		t.Error("the event is proved as another one")
	}
	if v := must(o.Audit.Verify(ctx, transparency.VerifyOptions{Checkpoint: proof.Checkpoint.Note})); !v.OK {
		t.Errorf("%+v", v)
	}
	// The list that backups have to meet: ids and certificates.
	list := string(must(os.ReadFile(filepath.Join(o.dir, "erasures"))))
	if !strings.Contains(list, id.String()) || strings.Contains(list, mark) || strings.Count(list, "\n") != 1 {
		t.Errorf("the list: %s", list)
	}
}

// Another process may open with a key for half a second after it was erased, and no longer.
func TestOtherProcessesForgetAKeyInHalfASecond(t *testing.T) {
	t.Parallel()
	pool := pgtest.New(t, vault.Migrate)
	source := vault.KeySource{Value: vault.NewMasterKey()}
	open := func() *vault.Vault {
		v, _, err := vault.Open(t.Context(), pool, source, vault.Config{})
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	here, elsewhere := open(), open()
	subject := vault.Subject{Organization: uuid.New(), ID: uuid.New()}
	must(here.Key(t.Context(), subject))
	must(elsewhere.Key(t.Context(), subject))
	if err := here.Erase(t.Context(), subject); err != nil {
		t.Fatal(err)
	}
	if _, err := here.Key(t.Context(), subject); !errors.Is(err, vault.ErrErased) {
		t.Errorf("the process that erased: %v", err)
	}
	time.Sleep(510 * time.Millisecond)
	if _, err := elsewhere.Key(t.Context(), subject); !errors.Is(err, vault.ErrErased) {
		t.Errorf("another process, half a second later: %v", err)
	}
}

// A failure to publish is logged, and the next checkpoint is published again; whoever reads the file reads one whole, and a store
// that keeps what it gets has the history.
func TestAPublicationThatFailsIsLoggedAndTheNextOneTried(t *testing.T) {
	t.Parallel()
	l := newLedger(t, 5)
	puts := make(chan string, 1000)
	failing := 2
	server := httptest.NewServer(http.HandlerFunc(func(out http.ResponseWriter, r *http.Request) {
		if failing--; failing >= 0 {
			http.Error(out, "no room", http.StatusInsufficientStorage)
			return
		}
		var b strings.Builder
		if err := r.Write(&b); err == nil && r.Method == http.MethodPut {
			_, body, _ := strings.Cut(b.String(), "\r\n\r\n")
			puts <- body
		}
	}))
	t.Cleanup(server.Close)
	folder := t.TempDir()
	file := filepath.Join(folder, "published")
	o := &logs{}
	l.run(o, transparency.Publisher{Targets: []string{file, server.URL + "/annal.note"}})
	next := func(what string) string {
		t.Helper()
		select {
		case put := <-puts:
			return put
		case <-time.After(10 * time.Second):
			t.Fatalf("%s: nothing was published: %s", what, o)
			return ""
		}
	}
	first := next("after two that failed")
	if said := o.String(); !strings.Contains(said, "507 no room") || !strings.Contains(said, "level=ERROR") {
		t.Errorf("logged: %s", said)
	}
	if got := string(must(os.ReadFile(file))); got != first {
		t.Errorf("the file has\n%s, not\n%s", got, first)
	}
	held := must(os.Open(file)) // by a reader who began before the next one came
	t.Cleanup(func() { held.Close() })
	l.write(5)
	second := next("after the log has grown")
	still := make([]byte, 10_000)
	n, _ := held.Read(still)
	if string(still[:n]) != first || second == first {
		t.Errorf("the file is not replaced as a whole:\n%s", still[:n])
	}
	v := verifierOf(t, l.with(l.key, ""))
	for size, put := range map[uint64]string{5: first, 10: second} {
		if c, err := transparency.OpenCheckpoint([]byte(put), v); err != nil || c.Size != size {
			t.Errorf("%+v %v", c, err)
		}
		var kept string
		if err := l.pool.QueryRow(t.Context(), `select convert_from(note, 'utf8') from transparency.checkpoints where size = $1`, size).Scan(&kept); err != nil || kept != put {
			t.Errorf("in the database: %v\n%s", err, kept)
		}
	}
	if got := string(must(os.ReadFile(file))); got != second {
		t.Errorf("the file has\n%s", got)
	}
	if left := must(os.ReadDir(folder)); len(left) != 1 {
		t.Error("left beside the file:", left)
	}
}
