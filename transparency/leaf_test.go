package transparency

import (
	"bytes"
	"encoding/hex"
	"reflect"
	"testing"
	"time"

	"github.com/google/uuid"
	"golang.org/x/mod/sumdb/tlog"
	"pgregory.net/rapid"

	"github.com/annal-crm/annal/eventlog"
)

func anEvent(t *rapid.T) eventlog.Event {
	text, id := rapid.String(), rapid.Custom(func(t *rapid.T) uuid.UUID {
		return uuid.UUID(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "id"))
	})
	at := rapid.Custom(func(t *rapid.T) time.Time {
		return time.UnixMicro(rapid.Int64Range(-62135596800000000, 253402300799999999).Draw(t, "time")).UTC()
	})
	return eventlog.Event{
		NewEvent: eventlog.NewEvent{
			ID: id.Draw(t, "id"), Type: text.Draw(t, "type"), Schema: rapid.IntRange(1, 1<<31-1).Draw(t, "schema"),
			Data: []byte(text.Draw(t, "data")), Meta: []byte(text.Draw(t, "meta")), OccurredAt: at.Draw(t, "occurred"),
		},
		Stream:  eventlog.Stream{Organization: id.Draw(t, "organization"), Category: text.Draw(t, "category"), ID: id.Draw(t, "stream")},
		Version: eventlog.Version(rapid.Uint64().Draw(t, "version")), RecordedAt: at.Draw(t, "recorded"),
	}
}

// That a leaf can be read back whole is why no two events share one.
func TestALeafIsReadBackWhole(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e, index := anEvent(t), rapid.Uint64().Draw(t, "index")
		leaf := AppendLeaf(nil, index, &e)
		i, back, err := ParseLeaf(leaf)
		if err != nil || i != index || !reflect.DeepEqual(back, e) {
			t.Fatalf("%v\n%+v\n%+v", err, e, back)
		}
		for _, whole := range [][]byte{[]byte(e.Type), e.Data, e.Meta} {
			if !bytes.Contains(leaf, whole) {
				t.Fatalf("%q is not in %q", whole, leaf)
			}
		}
		for n := range leaf {
			if _, _, err := ParseLeaf(leaf[:n]); err == nil {
				t.Fatalf("%d of %d bytes are a leaf", n, len(leaf))
			}
		}
		if _, _, err := ParseLeaf(append(leaf, 0)); err == nil {
			t.Fatal("a byte too many is still a leaf")
		}
	})
}

// The form is for ever: every hash that was published rests on it.
func TestTheFormOfALeafStays(t *testing.T) {
	id := uuid.MustParse("00112233-4455-6677-8899-aabbccddeeff")
	e := eventlog.Event{
		NewEvent: eventlog.NewEvent{ID: id, Type: "account.locked", Schema: 2, Data: []byte(`{"a":1}`), Meta: []byte(`{}`), OccurredAt: time.UnixMicro(1)},
		Stream:   eventlog.Stream{Organization: id, Category: "account", ID: id}, Version: 3, Position: 99, RecordedAt: time.UnixMicro(-1),
	}
	const want = "616e6e616c2f6576656e742f76310a" + "0000000000000007" + "00112233445566778899aabbccddeeff" + "00112233445566778899aabbccddeeff" + "00112233445566778899aabbccddeeff" +
		"0000000000000003" + "00000002" + "0000000000000001" + "ffffffffffffffff" + "00000007" + "6163636f756e74" + "0000000e" + "6163636f756e742e6c6f636b6564" +
		"00000007" + "7b2261223a317d" + "00000002" + "7b7d"
	if leaf := hex.EncodeToString(AppendLeaf(nil, 7, &e)); leaf != want {
		t.Errorf("\n%s, not\n%s", leaf, want)
	}
	var h hasher
	if h.hash(7, &e) != tlog.RecordHash(AppendLeaf(nil, 7, &e)) {
		t.Error("the hash is another one")
	}
}

// The edge has the root that tlog computes, and so RFC 6962, at every size around the corners of tiles.
func TestTheRootIsThatOfRFC6962(t *testing.T) {
	var e edge
	var stored []tlog.Hash
	reader := tlog.HashReaderFunc(func(indexes []int64) (hashes []tlog.Hash, err error) {
		for _, i := range indexes {
			hashes = append(hashes, stored[i])
		}
		return hashes, nil
	})
	tiles := map[[2]uint64]int{}
	for n := range int64(66_000) {
		h := tlog.RecordHash([]byte{byte(n), byte(n >> 8), byte(n >> 16)})
		more, err := tlog.StoredHashesForRecordHash(n, h, reader)
		if err != nil {
			t.Fatal(err)
		}
		stored = append(stored, more...)
		e.add(h, func(level int, number uint64, hashes []tlog.Hash) {
			tiles[[2]uint64{uint64(level), number}] += len(hashes)
		})
		if corner := (n + 2) % 256; n < 1100 || corner < 3 || n > 65_500 && n < 65_600 {
			if want, err := tlog.TreeHash(n+1, reader); err != nil || e.root() != want {
				t.Fatalf("size %d: %v, %v", n+1, e.root(), err)
			}
		}
	}
	if len(tiles) != 257+1 || tiles[[2]uint64{0, 256}] != 256 || tiles[[2]uint64{1, 0}] != 256 {
		t.Errorf("%d full tiles", len(tiles))
	}
	if empty, err := tlog.TreeHash(0, reader); err != nil || new(edge).root() != empty {
		t.Error("of nothing:", err)
	}
}
