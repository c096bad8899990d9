package graph_test

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/annal-crm/annal/commands"
	"github.com/annal-crm/annal/graph"
	"github.com/annal-crm/annal/transparency"
)

const (
	auditProof   = `query($p: Position!) { auditProof(position: $p) { position index leaf proof checkpoint } }`
	verifyLog    = `mutation($c: String) { verifyLog(checkpoint: $c) { id status endedAt } }`
	verification = `query($i: ID) { verification(id: $i) { id status progress endedAt ok size signed position problem } }`
)

// verified waits for the end of a verification.
func (c *client) verified(id string) map[string]any {
	c.Helper()
	for until := time.Now().Add(20 * time.Second); time.Now().Before(until); time.Sleep(20 * time.Millisecond) {
		v := get[map[string]any](c.ask(verification, vars{"i": id}), "verification")
		if v["endedAt"] != nil {
			return v
		}
	}
	c.Fatal("the verification does not end")
	return nil
}

func (c *client) checks() (all []string) {
	c.Helper()
	c.folded(c.put(commands.Home, uuid.New(), 0, "customer.registered", `{"name":"barrier"}`))
	nodes := get[[]any](c.ask(`{ activity(first: 100, filter: {types: ["audit.checked"]}) { nodes { actor { loginName } data } } }`, nil), "activity.nodes")
	for _, n := range nodes {
		all = append(all, get[string](n, "actor.loginName")+" "+get[string](n, "data.kind")+" "+strings.Split(get[string](n, "data.of"), "=")[0])
	}
	return all
}

func TestAnAuditorProvesEventsByAKeyKeptElsewhere(t *testing.T) {
	w := newWorld(t, graph.Config{})
	admin := w.signIn("admin")
	auditor, _ := w.member(admin, "ada", nil, "auditor")
	key := get[map[string]any](auditor.ask(`{ auditKeys { name verifierKey } }`, nil), "auditKeys")
	verifier, err := note.NewVerifier(key["verifierKey"].(string))
	if err != nil {
		t.Fatal(err)
	}
	made := admin.ask(`mutation($i: RegisterCustomerInput!) { registerCustomer(input: $i) { customer { id } receipt { position } } }`, vars{"i": vars{"name": "Marked Person", "phone": "+1 555 0100"}})
	position, id := get[string](made, "registerCustomer.receipt.position"), get[string](made, "registerCustomer.customer.id")

	// The proof leads to a root that the key has signed: computed here from the leaf alone.
	proof := get[map[string]any](auditor.ask(auditProof, vars{"p": position}), "auditProof")
	c, err := transparency.OpenCheckpoint([]byte(proof["checkpoint"].(string)), verifier)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := base64.StdEncoding.DecodeString(proof["leaf"].(string))
	if err != nil {
		t.Fatal(err)
	}
	var path tlog.RecordProof
	for _, text := range proof["proof"].([]any) {
		h, err := base64.StdEncoding.DecodeString(text.(string))
		if err != nil {
			t.Fatal(err)
		}
		path = append(path, tlog.Hash(h))
	}
	if err := tlog.CheckRecord(path, int64(c.Size), c.Root, int64(proof["index"].(float64)), sha256.Sum256(append([]byte{0}, leaf...))); err != nil {
		t.Error(err)
	}
	if text := string(leaf); !strings.Contains(text, "customer.registered") || strings.Contains(text, "Marked") || strings.Contains(text, "555 0100") {
		t.Errorf("the leaf is not the sealed event: %q", text)
	}

	bundle := get[map[string]any](auditor.ask(`query($c: ID) { auditBundle(customer: $c) { events text verifierKey } }`, vars{"c": id}), "auditBundle")
	held, err := transparency.VerifyBundle(strings.NewReader(bundle["text"].(string)), verifier, nil)
	if err != nil || held.Events != 1 || !strings.HasSuffix(held.Stream, id) || bundle["events"].(float64) != 1 {
		t.Errorf("%+v, %v", held, err)
	}
	bent := strings.Replace(bundle["text"].(string), `"index":`, `"index":1`, 1)
	if _, err := transparency.VerifyBundle(strings.NewReader(bent), verifier, nil); err == nil {
		t.Error("a bundle that was changed holds")
	}

	signed := get[map[string]any](auditor.ask(`mutation { makeCheckpoint { size note origin rootHash } }`, nil), "makeCheckpoint")
	latest := get[map[string]any](auditor.ask(`{ auditCheckpoint { size note } }`, nil), "auditCheckpoint")
	if opened, err := transparency.OpenCheckpoint([]byte(signed["note"].(string)), verifier); err != nil || latest["note"] != signed["note"] ||
		float64(opened.Size) != signed["size"] || signed["rootHash"] != base64.StdEncoding.EncodeToString(opened.Root[:]) {
		t.Errorf("%v is not %v: %v", latest, signed, err)
	}

	if got := strings.Join(admin.checks(), ", "); got != "ada proved position, ada bundled customer/"+id {
		t.Errorf("on record: %s", got)
	}
}

func TestAProofIsForWhoMaySeeTheEvent(t *testing.T) {
	w := newWorld(t, graph.Config{})
	admin := w.signIn("admin")
	analyst, _ := w.member(admin, "ann", nil, "analyst")
	foreign := uuid.New()
	at := w.put(uuid.New(), foreign, 0, "customer.registered", `{"name":"of others"}`)
	for _, query := range []string{
		`{ auditKeys { name } }`, `{ auditCheckpoint { size } }`, `{ auditProof(position: "1") { index } }`, `{ auditBundle(customer: "` + somebody + `") { events } }`,
		`{ verification { id } }`, `mutation { makeCheckpoint { size } }`, `mutation { verifyLog { id } }`,
	} {
		if code, _ := analyst.refused(query, nil); code != "FORBIDDEN" {
			t.Errorf("%s: %s for an analyst", query, code)
		}
		if code, _ := w.stranger().refused(query, nil); code != "UNAUTHENTICATED" {
			t.Errorf("%s: %s for a stranger", query, code)
		}
	}
	for query, want := range map[string]string{
		`{ auditProof(position: "` + at + `") { index } }`:                                      "NOT_FOUND",
		`{ auditProof(position: "999999") { index } }`:                                          "NOT_FOUND",
		`{ auditProof(position: "0") { index } }`:                                               "NOT_FOUND",
		`{ auditProof(position: "x") { index } }`:                                               "INVALID",
		`{ auditBundle(customer: "` + foreign.String() + `") { events } }`:                      "NOT_FOUND",
		`{ auditBundle { events } }`:                                                            "INVALID",
		`{ auditBundle(customer: "` + somebody + `", account: "` + somebody + `") { events } }`: "INVALID",
		`mutation { verifyLog(checkpoint: "not a note") { id } }`:                               "INVALID",
		`mutation { a: verifyLog { id } b: verifyLog { id } }`:                                  "TOO_COMPLEX",
		`{ a: auditBundle(customer: "` + somebody + `") { events } b: auditBundle(customer: "` + somebody + `") { events } c: auditBundle(customer: "` + somebody + `") { events } }`: "TOO_COMPLEX",
	} {
		if code, _ := admin.refused(query, nil); code != want {
			t.Errorf("%s: %s, want %s", query, code, want)
		}
	}
	if got := admin.checks(); len(got) != 0 {
		t.Errorf("on record though nothing was shown: %s", got)
	}
}

func TestAVerificationRunsBehindAndTellsWhatItFinds(t *testing.T) {
	w := newWorld(t, graph.Config{})
	admin := w.signIn("admin")
	auditor, _ := w.member(admin, "ada", nil, "auditor")
	kept := get[string](auditor.ask(`mutation { makeCheckpoint { note } }`, nil), "makeCheckpoint.note")
	if v := auditor.ask(verification, nil)["verification"]; v != nil {
		t.Errorf("there is one before any was asked for: %v", v)
	}

	// One that is held up by a locked table: meanwhile there is no other.
	owner, err := pgx.Connect(t.Context(), w.Address)
	if err != nil {
		t.Fatal(err)
	}
	defer owner.Close(context.Background())
	tx, err := owner.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), "lock table transparency.checkpoints"); err != nil {
		t.Fatal(err)
	}
	id := get[string](auditor.ask(verifyLog, vars{"c": kept}), "verifyLog.id")
	if code, _ := admin.refused(verifyLog, nil); code != "CONFLICT" {
		t.Errorf("two at once: %s", code)
	}
	if v := get[map[string]any](auditor.ask(verification, vars{"i": id}), "verification"); v["status"] != "RUNNING" || v["ok"] != nil {
		t.Errorf("%v while it runs", v)
	}
	s := auditor.connect()
	s.start("1", `subscription { verification(id: "`+id+`") { status ok size position } }`)
	states := make(chan string, 100)
	go func() {
		defer close(states)
		for {
			m, err := s.read()
			if err != nil || m.Type != "next" {
				return
			}
			var a answer
			if json.Unmarshal(m.Payload, &a) == nil {
				states <- get[string](a.Data, "verification.status")
			}
		}
	}()
	if first := <-states; first != "RUNNING" {
		t.Errorf("the first that a subscription tells: %s", first)
	}
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	if v := auditor.verified(id); v["status"] != "VERIFIED" || v["ok"] != true || v["progress"] != 1.0 || v["size"].(float64) < v["signed"].(float64) || v["signed"].(float64) == 0 {
		t.Errorf("%v", v)
	}
	last := ""
	for s := range states {
		last = s
	}
	if last != "VERIFIED" {
		t.Errorf("the last that a subscription tells: %q", last)
	}

	if got := strings.Join(admin.checks(), ", "); got != "ada verified size" {
		t.Errorf("on record: %s", got)
	}

	// Behind Annal's back.
	if _, err := owner.Exec(t.Context(), `set session_replication_role = replica; update eventlog.events set recorded_at = recorded_at + interval '1 microsecond' where position = 3`); err != nil {
		t.Fatal(err)
	}
	v := auditor.verified(get[string](auditor.ask(verifyLog, nil), "verifyLog.id"))
	if v["status"] != "DIFFERS" || v["ok"] != false || v["position"] != "3" || !strings.Contains(v["problem"].(string), "not as it was recorded") {
		t.Errorf("%v", v)
	}
	if newest := get[map[string]any](auditor.ask(verification, nil), "verification"); newest["id"] != v["id"] {
		t.Errorf("the newest is %v", newest)
	}
	if code, _ := auditor.refused(`{ auditProof(position: "3") { index } }`, nil); code != "CONFLICT" {
		t.Errorf("a changed event is proved: %s", code)
	}
	if got := admin.checks(); len(got) != 1 {
		t.Errorf("a log that differs was added to: %s", got)
	}

	// One that cannot be judged.
	if _, err := owner.Exec(t.Context(), "alter table transparency.checkpoints rename to gone"); err != nil {
		t.Fatal(err)
	}
	if v := auditor.verified(get[string](auditor.ask(verifyLog, nil), "verifyLog.id")); v["status"] != "FAILED" || v["ok"] != nil || v["problem"] == nil {
		t.Errorf("%v", v)
	}
}

func TestKeysThatWereReplacedAreShownAndStillGood(t *testing.T) {
	w := newWorld(t, graph.Config{})
	auditor, _ := w.member(w.signIn("admin"), "ada", nil, "auditor")
	const ask = `{ auditKeys { verifierKey periods { verifierKey from to since reason vouched statement } } }`
	first := get[map[string]any](auditor.ask(ask, nil), "auditKeys")
	kept := get[string](auditor.ask(`mutation { makeCheckpoint { note } }`, nil), "makeCheckpoint.note")
	file := filepath.Join(t.TempDir(), "old")
	if err := os.WriteFile(file, []byte(w.checkpointKey), 0o600); err != nil {
		t.Fatal(err)
	}
	next, _, err := transparency.Open(t.Context(), w.Pool, w.Instance.Log, transparency.Config{Key: transparency.KeySource{Value: transparency.NewKey()}})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := next.Replace(t.Context(), transparency.Replacement{Reason: "yearly", Old: transparency.KeySource{File: file}, Record: func(string, string) error { return nil }}); err != nil {
		t.Fatal(err)
	}
	now := get[map[string]any](auditor.ask(ask, nil), "auditKeys")
	periods := now["periods"].([]any)
	newest, oldest := periods[0].(map[string]any), periods[len(periods)-1].(map[string]any)
	if len(periods) != 2 || newest["verifierKey"] != next.VerifierKey() || newest["reason"] != "yearly" || newest["vouched"] != true || newest["to"] != nil ||
		oldest["verifierKey"] != first["verifierKey"] || oldest["since"] != nil || oldest["to"] != newest["from"] {
		t.Errorf("%v", now)
	}
	if v := auditor.verified(get[string](auditor.ask(verifyLog, vars{"c": kept}), "verifyLog.id")); v["status"] != "VERIFIED" {
		t.Errorf("a checkpoint by the old key: %v", v)
	}
}
