package transparency_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/note"

	"github.com/annal-crm/annal/eventlog"
	"github.com/annal-crm/annal/transparency"
)

func (w *world) bundle(scope transparency.Scope) string {
	w.Helper()
	var out bytes.Buffer
	if _, err := w.tree.Bundle(w.Context(), &out, scope); err != nil {
		w.Fatal(err)
	}
	return out.String()
}

func (w *world) verifier() note.Verifier {
	w.Helper()
	v, err := note.NewVerifier(w.tree.VerifierKey())
	if err != nil {
		w.Fatal(err)
	}
	return v
}

func TestABundleHoldsWithoutTheLog(t *testing.T) {
	w := newWorld(t, 900)
	var seen []eventlog.Event
	b, err := transparency.VerifyBundle(strings.NewReader(w.bundle(transparency.Scope{From: 250, To: 320})), w.verifier(), func(index uint64, e eventlog.Event) error {
		seen = append(seen, e)
		return nil
	})
	if err != nil || b.Events != 71 || b.First != 249 || b.Last != 319 || b.Checkpoint.Size != 900 {
		t.Fatalf("%+v %v", b, err)
	}
	stream := seen[0].Stream
	var want int
	for _, err := range w.log.ReadStream(t.Context(), stream, 0) {
		if err != nil {
			t.Fatal(err)
		}
		want++
	}
	b, err = transparency.VerifyBundle(strings.NewReader(w.bundle(transparency.Scope{Stream: stream})), w.verifier(), nil)
	if err != nil || int(b.Events) != want || !strings.Contains(b.Stream, stream.ID.String()) {
		t.Fatalf("%+v %v", b, err)
	}
	for what, scope := range map[string]transparency.Scope{"a range behind the end": {From: 901}, "an unknown stream": {Stream: eventlog.Stream{Category: "customer", ID: stream.Organization}}} {
		if _, err := w.tree.Bundle(t.Context(), &bytes.Buffer{}, scope); !errors.Is(err, transparency.ErrNotThere) {
			t.Errorf("%s: %v", what, err)
		}
	}
	w.force(`update eventlog.events set data = '{}' where position = 290`)
	if _, err := w.tree.Bundle(t.Context(), &bytes.Buffer{}, transparency.Scope{From: 250}); !errors.Is(err, transparency.ErrChanged) {
		t.Error("of a log that was changed:", err)
	}
}

func TestABundleWithOneBitChangedIsTold(t *testing.T) {
	w := newWorld(t, 3)
	whole := []byte(w.bundle(transparency.Scope{From: 2, To: 2}))
	verifier := w.verifier()
	if _, err := transparency.VerifyBundle(bytes.NewReader(whole), verifier, nil); err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(whole)*8; i += 9 { // each byte, in turn another of its bits
		whole[i/8] ^= 1 << (i % 8)
		if _, err := transparency.VerifyBundle(bytes.NewReader(whole), verifier, nil); !errors.Is(err, transparency.ErrBundle) && !errors.Is(err, transparency.ErrCheckpoint) {
			t.Fatalf("bit %d of %q…: %v", i%8, whole[max(0, i/8-20):i/8+1], err)
		}
		whole[i/8] ^= 1 << (i % 8)
	}
	for n := range len(whole) {
		if _, err := transparency.VerifyBundle(bytes.NewReader(whole[:n]), verifier, nil); err == nil {
			t.Fatal("cut after", n)
		}
	}
}

// Who makes a bundle anew, with a good sum at its end, still cannot leave out, add or reorder anything.
func TestABundleThatWasMadeUpDoesNotHold(t *testing.T) {
	w := newWorld(t, 300)
	stream := func() eventlog.Stream {
		events, err := w.log.ReadAll(t.Context(), 0, 1)
		if err != nil {
			t.Fatal(err)
		}
		return events[0].Stream
	}()
	other := newWorld(t, 900)
	for _, scope := range []transparency.Scope{{From: 5, To: 9}, {Stream: stream}} {
		lines := strings.SplitAfter(strings.TrimSuffix(w.bundle(scope), "\n"), "\n")
		last := len(lines) - 1
		alien := strings.SplitAfter(other.bundle(transparency.Scope{From: 6, To: 6}), "\n")[1]
		for what, made := range map[string][]string{
			"one left out":        append(append([]string{}, lines[:2]...), lines[3:last]...),
			"two swapped":         append(append([]string{}, lines[0], lines[2], lines[1]), lines[3:last]...),
			"one twice":           append(append([]string{}, lines[:2]...), lines[1:last]...),
			"one of another log":  append(append([]string{}, lines[:2]...), alien),
			"no events":           lines[:1],
			"the head of another": append([]string{strings.SplitAfter(other.bundle(scope1), "\n")[0]}, lines[1:last]...),
		} {
			if _, err := transparency.VerifyBundle(strings.NewReader(ended(made)), w.verifier(), nil); !errors.Is(err, transparency.ErrBundle) && !errors.Is(err, transparency.ErrCheckpoint) {
				t.Errorf("%s: %v", what, err)
			}
		}
		if _, err := transparency.VerifyBundle(strings.NewReader(ended(lines[:last])), w.verifier(), nil); err != nil {
			t.Error("made up again as it was:", err)
		}
		if _, err := transparency.VerifyBundle(strings.NewReader(strings.Join(lines, "")+"\n"), other.verifier(), nil); !errors.Is(err, transparency.ErrCheckpoint) {
			t.Error("with the key of another log:", err)
		}
	}
}

var scope1 = transparency.Scope{From: 1, To: 1}

// ended ends the lines of a bundle as anybody could.
func ended(lines []string) string {
	body := strings.Join(lines, "")
	sum := sha256.Sum256([]byte(body))
	return body + fmt.Sprintf(`{"events":%d,"sha256":"%s"}`, len(lines)-1, base64.StdEncoding.EncodeToString(sum[:])) + "\n"
}
