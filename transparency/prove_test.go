package transparency_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/annal-crm/annal/eventlog"
	"github.com/annal-crm/annal/eventlog/eventstoredb"
	"github.com/annal-crm/annal/eventlog/eventstoredb/esdbtest"
	"github.com/annal-crm/annal/internal/pgtest"
	"github.com/annal-crm/annal/transparency"
)

// rootOf is RFC 9162, 2.1.3.2, written from its text: this package's own code does not vouch for itself.
func rootOf(leaf []byte, index, size uint64, proof [][]byte) ([]byte, error) {
	sum := func(parts ...[]byte) []byte {
		h := sha256.Sum256(bytes.Join(parts, nil))
		return h[:]
	}
	fn, sn, r := index, size-1, sum([]byte{0}, leaf)
	for _, p := range proof {
		if sn == 0 {
			return nil, errors.New("too long")
		}
		if fn&1 == 1 || fn == sn {
			r = sum([]byte{1}, p, r)
			for fn != 0 && fn&1 == 0 {
				fn, sn = fn>>1, sn>>1
			}
		} else {
			r = sum([]byte{1}, r, p)
		}
		fn, sn = fn>>1, sn>>1
	}
	if sn != 0 {
		return nil, errors.New("too short")
	}
	return r, nil
}

// opened verifies a note by crypto/ed25519 alone.
func opened(t *testing.T, note, key string) (size uint64, root []byte) {
	t.Helper()
	text, signatures, _ := strings.Cut(note, "\n\n")
	parts := strings.SplitN(key, "+", 3)
	public, err := base64.StdEncoding.DecodeString(parts[2])
	if err != nil || public[0] != 1 {
		t.Fatal(key, err)
	}
	signature, err := base64.StdEncoding.DecodeString(strings.Fields(signatures)[2])
	if err != nil || fmt.Sprintf("%08x", binary.BigEndian.Uint32(signature)) != parts[1] || !ed25519.Verify(public[1:], []byte(text+"\n"), signature[4:]) {
		t.Fatalf("the signature of\n%s\nis not of %s", note, key)
	}
	var root64 string
	if _, err := fmt.Sscanf(text, parts[0]+"\n%d\n%s", &size, &root64); err != nil {
		t.Fatal(err, text)
	}
	root, _ = base64.StdEncoding.DecodeString(root64)
	return size, root
}

// proved takes the proof of a position through the JSON that a stranger gets.
func (w *world) proved(at eventlog.Position) (index uint64, leaf []byte) {
	w.Helper()
	p, err := w.tree.Prove(w.Context(), at)
	if err != nil {
		w.Fatalf("position %s: %v", at, err)
	}
	b, err := json.Marshal(p)
	if err != nil {
		w.Fatal(err)
	}
	var got struct {
		Position   string
		Index      uint64
		Leaf       []byte
		Proof      [][]byte
		Checkpoint string
	}
	if err := json.Unmarshal(b, &got); err != nil {
		w.Fatal(err)
	}
	size, root := opened(w.T, got.Checkpoint, w.tree.VerifierKey())
	computed, err := rootOf(got.Leaf, got.Index, size, got.Proof)
	if err != nil || !bytes.Equal(computed, root) || got.Position != at.String() {
		w.Errorf("position %s does not lead to the root: %v", at, err)
	}
	got.Leaf[len(got.Leaf)-1] ^= 1
	if computed, err := rootOf(got.Leaf, got.Index, size, got.Proof); err == nil && bytes.Equal(computed, root) {
		w.Errorf("position %s: another leaf leads to the root, too", at)
	}
	got.Leaf[len(got.Leaf)-1] ^= 1
	return got.Index, got.Leaf
}

func TestEveryEventIsProvedByteForByte(t *testing.T) {
	w := newWorld(t, 1)
	w.proved(1) // alone in its tree, and the first checkpoint is made for it
	w.append(600)
	events, err := w.log.ReadAll(t.Context(), 0, 1000)
	if err != nil || len(events) != 601 {
		t.Fatal(len(events), err)
	}
	for i, e := range events {
		if i > 5 && i < 250 || i > 260 && i < 595 {
			continue
		}
		index, leaf := w.proved(e.Position)
		if index != uint64(i) || !bytes.Contains(leaf, e.Data) || !bytes.Contains(leaf, e.Meta) || !bytes.Contains(leaf, []byte(e.Type)) {
			t.Errorf("position %s is index %d, %q", e.Position, index, leaf)
		}
	}
	for _, at := range []eventlog.Position{0, 602, 1 << 60} {
		if _, err := w.tree.Prove(t.Context(), at); !errors.Is(err, transparency.ErrNotThere) {
			t.Errorf("position %s: %v", at, err)
		}
	}
	w.force(`update eventlog.events set data = '{}' where position = 7; delete from eventlog.events where position = 9`)
	for _, at := range []eventlog.Position{7, 9} {
		if _, err := w.tree.Prove(t.Context(), at); !errors.Is(err, transparency.ErrChanged) {
			t.Errorf("position %s: %v", at, err)
		}
	}
	w.force(`update transparency.tiles set hashes = overlay(hashes placing '\x00' from 1) where level = 1`)
	if _, err := w.tree.Prove(t.Context(), 601); !errors.Is(err, transparency.ErrChanged) {
		t.Error("with a tile that was changed:", err)
	}
}

// The tree stands on any log, also on one with gaps between positions.
func TestALogInEventStoreDB(t *testing.T) {
	cluster, err := esdbtest.New(esdbtest.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	log, err := eventstoredb.Open(t.Context(), cluster.URL(), eventstoredb.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(log.Close)
	w := over(t, pgtest.New(t, transparency.Migrate), log, 700)
	c := w.checkpoint()
	if c.Size != 700 {
		t.Fatal("the tree has", c.Size)
	}
	events, err := log.ReadAll(t.Context(), 0, 1000)
	if err != nil || len(events) != 700 {
		t.Fatal(len(events), err)
	}
	for _, i := range []int{0, 1, 255, 256, 300, 699} {
		if index, leaf := w.proved(events[i].Position); index != uint64(i) || !bytes.Contains(leaf, events[i].Data) {
			t.Errorf("event %d has index %d", i, index)
		}
	}
	if _, err := w.tree.Prove(t.Context(), events[3].Position+1); !errors.Is(err, transparency.ErrNotThere) {
		t.Error("a position between two events:", err)
	}
	w.append(50)
	if v := w.verify(c.Note); !v.OK || v.Size != 750 || v.Signed != 700 {
		t.Errorf("%+v", v)
	}
	w.force(`update transparency.tiles set hashes = overlay(hashes placing '\x00' from 65), positions = positions where level = 0 and number = 1;
		truncate transparency.checkpoints`)
	w.dir = t.TempDir()
	if v := (&world{T: t, pool: w.pool, log: log, tree: w.open()}).verify(nil); v.OK || v.Position != events[258].Position {
		t.Errorf("%+v, not at %s", v, events[258].Position)
	}
}

// A log that moves keeps its tree, because positions are not in it; its name and so its key's are new.
func TestACopiedLogHasTheSameTree(t *testing.T) {
	cluster, err := esdbtest.New(esdbtest.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	there, err := eventstoredb.Open(t.Context(), cluster.URL(), eventstoredb.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(there.Close)
	here := newWorld(t, 300)
	events, err := here.log.ReadAll(t.Context(), 0, 1000)
	if err != nil {
		t.Fatal(err)
	}
	if err := there.Import(t.Context(), events); err != nil {
		t.Fatal(err)
	}
	moved := &world{T: t, pool: here.pool, log: there, key: here.key, dir: here.dir}
	moved.tree = moved.open()
	a, b := here.checkpoint(), moved.checkpoint()
	if a.Root != b.Root || a.Size != b.Size || a.Origin == b.Origin || here.tree.VerifierKey() == moved.tree.VerifierKey() {
		t.Errorf("%+v\n%+v", a, b)
	}
}
