package main

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	bytesof "encoding/binary"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// "The permanent forms" of docs/audit.md, written down a second time from the page alone: nothing here calls Annal's own code.
// It reads what the program writes, and what an older program wrote (testdata/forever), which no newer one may fail to read.

// hashed is SHA-256 of some bytes, one after the other.
func hashed(parts ...[]byte) []byte {
	h := sha256.Sum256(bytes.Join(parts, nil))
	return h[:]
}

// merkle is the root over leaves (RFC 6962, 2.1).
func merkle(leaves [][]byte) []byte {
	if len(leaves) == 0 {
		return hashed()
	}
	if len(leaves) == 1 {
		return hashed([]byte{0}, leaves[0])
	}
	k := 1
	for k*2 < len(leaves) {
		k *= 2
	}
	return hashed([]byte{1}, merkle(leaves[:k]), merkle(leaves[k:]))
}

// climbed is the root to which a proof leads (RFC 9162, 2.1.3.2).
func climbed(leaf []byte, index, size uint64, proof [][]byte) ([]byte, error) {
	if index >= size {
		return nil, fmt.Errorf("index %d of %d", index, size)
	}
	fn, sn, r := index, size-1, hashed([]byte{0}, leaf)
	for _, p := range proof {
		if sn == 0 {
			return nil, fmt.Errorf("the proof is too long")
		}
		if fn%2 == 1 || fn == sn {
			r = hashed([]byte{1}, p, r)
			for fn != 0 && fn%2 == 0 {
				fn, sn = fn/2, sn/2
			}
		} else {
			r = hashed([]byte{1}, r, p)
		}
		fn, sn = fn/2, sn/2
	}
	if sn != 0 {
		return nil, fmt.Errorf("the proof is too short")
	}
	return r, nil
}

// split reads a key: name+hash+base64(kind ‖ public key). Its hash is the first 4 bytes of SHA-256(name, newline, kind ‖ key).
func split(key string, kind byte) (name string, hash []byte, public ed25519.PublicKey, err error) {
	parts := strings.SplitN(key, "+", 3)
	if len(parts) != 3 {
		return "", nil, nil, fmt.Errorf("%q is no key", key)
	}
	b, err := base64.StdEncoding.DecodeString(parts[2])
	if err != nil || len(b) != 33 || b[0] != kind {
		return "", nil, nil, fmt.Errorf("%q is no key of kind %d: %v", key, kind, err)
	}
	hash = hashed([]byte(parts[0]+"\n"), b)[:4]
	if fmt.Sprintf("%x", hash) != parts[1] {
		return "", nil, nil, fmt.Errorf("the hash in %q is not %x", key, hash)
	}
	return parts[0], hash, b[1:], nil
}

// signatureOf is what follows the key's hash in its line under a note.
func signatureOf(note, name string, hash []byte) []byte {
	_, lines, _ := strings.Cut(note, "\n\n")
	for line := range strings.Lines(lines) {
		fields := strings.Split(strings.TrimSuffix(line, "\n"), " ")
		if len(fields) != 3 || fields[0] != "—" || fields[1] != name {
			continue
		}
		if b, err := base64.StdEncoding.DecodeString(fields[2]); err == nil && len(b) > 4 && bytes.Equal(b[:4], hash) {
			return b[4:]
		}
	}
	return nil
}

// signed reads a checkpoint that the key signed.
func signed(note, key string) (size uint64, root []byte, err error) {
	name, hash, public, err := split(key, 1)
	if err != nil {
		return 0, nil, err
	}
	text, _, ok := strings.Cut(note, "\n\n")
	lines := strings.Split(text, "\n")
	if !ok || len(lines) != 3 || lines[0] != name {
		return 0, nil, fmt.Errorf("not three lines and a signature of %s:\n%s", name, note)
	}
	if s := signatureOf(note, name, hash); len(s) != 64 || !ed25519.Verify(public, []byte(text+"\n"), s) {
		return 0, nil, fmt.Errorf("not signed by %s:\n%s", key, note)
	}
	if size, err = strconv.ParseUint(lines[1], 10, 64); err != nil {
		return 0, nil, err
	}
	root, err = base64.StdEncoding.DecodeString(lines[2])
	return size, root, err
}

// witnessed is when a witness signed a checkpoint.
func witnessed(note, key string) (at time.Time, err error) {
	name, hash, public, err := split(key, 4)
	if err != nil {
		return at, err
	}
	text, _, _ := strings.Cut(note, "\n\n")
	s := signatureOf(note, name, hash)
	if len(s) != 8+64 {
		return at, fmt.Errorf("no signature of %s in\n%s", name, note)
	}
	seconds := bytesof.BigEndian.Uint64(s)
	if !ed25519.Verify(public, fmt.Appendf(nil, "cosignature/v1\ntime %d\n%s\n", seconds, text), s[8:]) {
		return at, fmt.Errorf("not signed by %s:\n%s", key, note)
	}
	return time.Unix(int64(seconds), 0), nil
}

// proofForm is what prove --json prints.
type proofForm struct {
	Position   string   `json:"position"`
	Index      uint64   `json:"index"`
	Leaf       []byte   `json:"leaf"`
	Proof      [][]byte `json:"proof"`
	Checkpoint string   `json:"checkpoint"`
}

func (p proofForm) check(key string) error {
	size, root, err := signed(p.Checkpoint, key)
	if err != nil {
		return err
	}
	got, err := climbed(p.Leaf, p.Index, size, p.Proof)
	if err == nil && !bytes.Equal(got, root) {
		err = fmt.Errorf("event %d does not lead to the root of %d events", p.Index, size)
	}
	return err
}

// bundled reads a bundle and checks each line of it. It returns the leaves.
func bundled(text, key string) (leaves [][]byte, err error) {
	lines := strings.SplitAfter(text, "\n")
	if n := len(lines); n < 4 || lines[n-1] != "" {
		return nil, fmt.Errorf("%d lines", n)
	}
	lines = lines[:len(lines)-1]
	strictly := func(line string, into any) error {
		d := json.NewDecoder(strings.NewReader(line))
		d.DisallowUnknownFields()
		return d.Decode(into)
	}
	var head struct{ Form, Key, Checkpoint, Stream string }
	if err := strictly(lines[0], &head); err != nil || head.Form != "annal/bundle/v1" || head.Key != key {
		return nil, fmt.Errorf("%+v: %w", head, err)
	}
	for _, line := range lines[1 : len(lines)-1] {
		var p proofForm
		var e struct {
			Index uint64
			Leaf  []byte
			Proof [][]byte
		}
		if err := strictly(line, &e); err != nil {
			return nil, err
		}
		p.Index, p.Leaf, p.Proof, p.Checkpoint = e.Index, e.Leaf, e.Proof, head.Checkpoint
		if err := p.check(key); err != nil {
			return nil, err
		}
		if head.Stream != "" { // category/organization/id
			at := strings.Split(head.Stream, "/")
			dash := strings.NewReplacer("-", "")
			if want := fmt.Sprintf("%x", e.Leaf[39:71]); want != dash.Replace(at[1]+at[2]) || !bytes.HasPrefix(e.Leaf[103:], []byte(at[0])) {
				return nil, fmt.Errorf("%s is not of %s", want, head.Stream)
			}
		}
		leaves = append(leaves, e.Leaf)
	}
	var end struct {
		Events int
		SHA256 []byte
	}
	last := len(lines) - 1
	if err := strictly(lines[last], &end); err != nil || end.Events != len(leaves) || !bytes.Equal(end.SHA256, hashed([]byte(strings.Join(lines[:last], "")))) {
		return nil, fmt.Errorf("%+v: %w", end, err)
	}
	return leaves, nil
}

// leavesOf are the leaves of the whole log by the page, from the columns as Postgres gives them.
func leavesOf(t *testing.T, db *pgx.Conn) (leaves [][]byte) {
	t.Helper()
	rows, err := db.Query(t.Context(), `select id, organization, stream, version, schema, occurred_at, recorded_at, category, type, data::text, metadata::text from eventlog.events order by position`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var id, organization, stream [16]byte
		var version int64
		var schema int32
		var occurred, recorded time.Time
		var texts [4]string
		if err := rows.Scan(&id, &organization, &stream, &version, &schema, &occurred, &recorded, &texts[0], &texts[1], &texts[2], &texts[3]); err != nil {
			t.Fatal(err)
		}
		b := []byte("annal/event/v1\n")
		number := func(width int, n int64) {
			b = append(b, bytesof.BigEndian.AppendUint64(nil, uint64(n))[8-width:]...)
		}
		number(8, int64(len(leaves)))
		b = append(append(append(b, id[:]...), organization[:]...), stream[:]...)
		number(8, version)
		number(4, int64(schema))
		number(8, occurred.UnixMicro())
		number(8, recorded.UnixMicro())
		for _, text := range texts {
			number(4, int64(len(text)))
			b = append(b, text...)
		}
		leaves = append(leaves, b)
	}
	if rows.Err() != nil {
		t.Fatal(rows.Err())
	}
	return leaves
}

// Whatever the program writes is what the page says, to the byte.
func TestTheFormsAreThoseOfThePage(t *testing.T) {
	t.Parallel()
	h := newHome(t).onPostgres()
	h.must("init")
	key := strings.TrimSpace(h.must("audit", "keys"))
	checkpoint := h.must("audit", "checkpoint")
	size, root, err := signed(checkpoint, key)
	if err != nil {
		t.Fatal(err)
	}
	db := h.database()
	leaves := leavesOf(t, db)
	if len(leaves) != int(size) || size < 10 || !bytes.Equal(merkle(leaves), root) {
		t.Errorf("%d events by the columns lead to %x, the checkpoint has %d and %x", len(leaves), merkle(leaves), size, root)
	}
	var identity string
	if err := db.QueryRow(t.Context(), `select identity from eventlog.head`).Scan(&identity); err != nil || !strings.HasPrefix(checkpoint, "annal/"+identity+"\n") {
		t.Errorf("the log is %s, %v:\n%s", identity, err, checkpoint)
	}
	for i := range leaves {
		if i != 0 && i != 6 && i != len(leaves)-1 {
			continue
		}
		var p proofForm
		d := json.NewDecoder(strings.NewReader(h.must("audit", "prove", strconv.Itoa(i+1), "--json")))
		d.DisallowUnknownFields()
		if err := d.Decode(&p); err != nil || p.check(key) != nil || p.Position != strconv.Itoa(i+1) || p.Index != uint64(i) || !bytes.Equal(p.Leaf, leaves[i]) {
			t.Errorf("event %d: %v %v\n%q\nby the page\n%q", i, err, p.check(key), p.Leaf, leaves[i])
		}
	}
	bundle := filepath.Join(h.dir, "bundle")
	h.must("audit", "bundle", bundle, "--from", "3", "--to", "9")
	text, err := os.ReadFile(bundle)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := bundled(string(text), key); err != nil || !bytes.Equal(bytes.Join(got, nil), bytes.Join(leaves[2:9], nil)) {
		t.Errorf("%v: %d events", err, len(got))
	}
	var stream string
	if err := db.QueryRow(t.Context(), `select category || '/' || stream from eventlog.events where category = 'organization' limit 1`).Scan(&stream); err != nil {
		t.Fatal(err)
	}
	h.must("audit", "bundle", bundle, "--stream", stream)
	if text, err = os.ReadFile(bundle); err != nil {
		t.Fatal(err)
	}
	if got, err := bundled(string(text), key); err != nil || len(got) == 0 {
		t.Errorf("%v: %d events", err, len(got))
	}
}

// What was written by these forms once is read for ever: by the page, and by the program.
func TestWhatWasWrittenBeforeIsStillGood(t *testing.T) {
	t.Parallel()
	read := func(name string) string {
		t.Helper()
		b, err := os.ReadFile(filepath.Join("testdata", "forever", name))
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	key, witness := strings.TrimSpace(read("key")), strings.TrimSpace(read("witness"))
	for _, name := range []string{"range.bundle", "stream.bundle"} {
		if leaves, err := bundled(read(name), key); err != nil || len(leaves) < 2 {
			t.Errorf("%s: %v", name, err)
		}
		if out, err := exec.Command(binary, "audit", "verify-bundle", filepath.Join("testdata", "forever", name), "--key", key).CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
	}
	var p proofForm
	if err := json.Unmarshal([]byte(read("proof.json")), &p); err != nil || p.check(key) != nil {
		t.Error(err, p.check(key))
	}
	note := read("checkpoint")
	size, _, err := signed(note, key)
	at, late := witnessed(note, witness)
	if err != nil || late != nil || size == 0 || at.Year() < 2025 {
		t.Error(size, err, at, late)
	}
	for what, spoiled := range map[string]string{"the time": strings.Replace(note, "\n", "\n ", 1), "the size": strings.Replace(note, fmt.Sprintf("\n%d\n", size), fmt.Sprintf("\n%d\n", size+1), 1)} {
		if _, err := witnessed(spoiled, witness); err == nil {
			t.Error(what, "is not signed by the witness")
		}
	}
}
