package transparency_test

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/note"

	"github.com/annal-crm/annal/transparency"
)

// filed is a world whose key is in a file.
func filed(t *testing.T, events int) (w *world, file string) {
	w = newWorld(t, events)
	w.force(`truncate transparency.tiles, transparency.trees, transparency.checkpoints, transparency.handovers`)
	w.key, file = "", filepath.Join(w.dir, "checkpoint.key")
	w.tree = w.from(transparency.KeySource{File: file})
	return w, file
}

func (w *world) from(source transparency.KeySource) *transparency.Tree {
	w.Helper()
	tree, _, err := transparency.Open(w.Context(), w.pool, w.log, transparency.Config{Key: source, Remember: w.dir})
	if err != nil {
		w.Fatal(err)
	}
	return tree
}

// replacement puts an event into the log for its record.
func (w *world) replacement(r transparency.Replacement) transparency.Replacement {
	r.Reason = "the disk died"
	r.Record = func(old, new string) error { w.append(1); return nil }
	return r
}

func (w *world) replace(r transparency.Replacement) (transparency.Handover, transparency.Checkpoint) {
	w.Helper()
	h, c, err := w.tree.Replace(w.Context(), w.replacement(r))
	if err != nil {
		w.Fatal(err)
	}
	return h, c
}

func (w *world) judge(o transparency.VerifyOptions) transparency.Verdict {
	w.Helper()
	v, err := w.tree.Verify(w.Context(), o)
	if err != nil {
		w.Fatal(err)
	}
	return v
}

// signer signs with a key as who has stolen its file would.
func signer(t *testing.T, verifierKey, private string) note.Signer {
	t.Helper()
	parts := strings.SplitN(verifierKey, "+", 3)
	seed, err := base64.StdEncoding.DecodeString(strings.TrimSpace(private))
	if err != nil {
		t.Fatal(err)
	}
	s, err := note.NewSigner(fmt.Sprintf("PRIVATE+KEY+%s+%s+%s", parts[0], parts[1], base64.StdEncoding.EncodeToString(append([]byte{1}, seed...))))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func opens(t *testing.T, signed []byte, key string) bool {
	t.Helper()
	v, err := note.NewVerifier(key)
	if err != nil {
		t.Fatal(err)
	}
	_, err = transparency.OpenCheckpoint(signed, v)
	return err == nil
}

// A key that is at hand vouches for its successor: who trusts either can judge all of the log, and what was signed stays good.
func TestAKeyHandsOver(t *testing.T) {
	w, file := filed(t, 500)
	old := w.tree.VerifierKey()
	friday := w.checkpoint()
	var bundle bytes.Buffer
	if _, err := w.tree.Bundle(t.Context(), &bundle, transparency.Scope{From: 1, To: 50}); err != nil {
		t.Fatal(err)
	}
	server := w.from(transparency.KeySource{File: file}) // goes on meanwhile
	private, _ := os.ReadFile(file)
	stale := w.from(transparency.KeySource{Value: strings.TrimSpace(string(private))})
	w.append(70)
	h, first := w.replace(transparency.Replacement{})
	next := w.tree.VerifierKey()
	if !h.Vouched || h.Old != old || h.New != next || h.Size != 570 || first.Size != 571 || !opens(t, first.Note, next) || opens(t, first.Note, old) {
		t.Errorf("%+v\n%+v", h, first)
	}
	if _, err := os.Stat(file + ".new"); err == nil {
		t.Error("the new key is not in its place")
	}
	if kept, _ := filepath.Glob(file + ".replaced-*"); len(kept) != 1 {
		t.Error(kept)
	}
	w.append(29)
	if c, err := server.Checkpoint(t.Context()); err != nil || c.Size != 600 || !opens(t, c.Note, next) {
		t.Errorf("the server: %+v, %v", c, err)
	}
	w.append(10)
	if _, err := stale.Checkpoint(t.Context()); !errors.Is(err, transparency.ErrWrongKey) {
		t.Error("a process with the old key:", err)
	}
	if w.newestHere().Size != 600 {
		t.Error("it has signed")
	}
	for name, key := range map[string]string{"here": "", "old": old, "new": next} {
		v := w.judge(transparency.VerifyOptions{Key: key, Checkpoint: friday.Note})
		if !v.OK || v.Signed != 600 || (key == old) != strings.Contains(v.Remark, "vouches for its successor "+next) {
			t.Errorf("%s: %+v", name, v)
		}
	}
	if periods, err := w.tree.Keys(t.Context()); err != nil || len(periods) != 2 || periods[0].VerifierKey != next || periods[0].From != 570 ||
		periods[1].VerifierKey != old || periods[1].To != 570 || periods[0].Handover.Reason != "the disk died" {
		t.Errorf("%+v %v", periods, err)
	}
	verifier, err := note.NewVerifier(old)
	if err != nil {
		t.Fatal(err)
	}
	if b, err := transparency.VerifyBundle(&bundle, verifier, nil); err != nil || b.Events != 50 {
		t.Error(b, err)
	}
	// Who has the old key goes on signing with it.
	for what, root := range map[string]string{"the log's": base64.StdEncoding.EncodeToString(first.Root[:]), "another": base64.StdEncoding.EncodeToString(make([]byte, 32))} {
		late, err := note.Sign(&note.Note{Text: w.tree.Origin() + "\n571\n" + root + "\n"}, signer(t, old, string(private)))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.tree.Verify(t.Context(), transparency.VerifyOptions{Checkpoint: late}); !errors.Is(err, transparency.ErrCheckpoint) || !strings.Contains(err.Error(), "replaced after 570") {
			t.Error(what, err)
		}
		w.force(`insert into transparency.checkpoints (log, size, note) select log, 572, $1 from transparency.trees`, late)
		if v := w.judge(transparency.VerifyOptions{}); v.OK || !strings.Contains(v.Problem, "the key that signed then") {
			t.Errorf("%s: %+v", what, v)
		}
		w.force(`delete from transparency.checkpoints where size = 572`)
	}
	// And the log that it has signed is still the one to be met.
	w.force(`update eventlog.events set data = '{}' where position = 77`)
	for name, key := range map[string]string{"here": "", "old": old, "new": next} {
		if v := w.judge(transparency.VerifyOptions{Key: key}); v.OK || v.Position != 77 {
			t.Errorf("%s: %+v", name, v)
		}
	}
}

// newestHere is the newest checkpoint as the tree's own key has it.
func (w *world) newestHere() transparency.Checkpoint {
	w.Helper()
	c, err := w.tree.Latest(w.Context())
	if err != nil {
		w.Fatal(err)
	}
	return c
}

// Nothing vouches for the successor of a key that was lost: who trusts the old one is told how far it judges.
func TestALostKeyIsReplaced(t *testing.T) {
	w, file := filed(t, 300)
	old := w.tree.VerifierKey()
	friday := w.checkpoint()
	w.append(100)
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	w.tree = w.from(transparency.KeySource{File: file})
	for why, r := range map[string]transparency.Replacement{
		"a reason must be given":    {Lost: true},
		"the old key is not here":   {Reason: "gone"},
		"one line":                  {Reason: "gone\nold x", Lost: true},
		"not the one that signs":    {Reason: "gone", Old: transparency.KeySource{Value: transparency.NewKey()}},
		"is not base64 of 32 bytes": {Reason: "gone", Old: transparency.KeySource{Value: "x"}},
	} {
		if _, _, err := w.tree.Replace(t.Context(), r); err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("%s: %v", why, err)
		}
	}
	h, first := w.replace(transparency.Replacement{Lost: true})
	next := w.tree.VerifierKey()
	if h.Vouched || h.Size != 300 || h.Root != friday.Root || first.Size != 401 || !opens(t, first.Note, next) {
		t.Errorf("%+v\n%+v", h, first)
	}
	if v := w.judge(transparency.VerifyOptions{Checkpoint: friday.Note}); !v.OK || v.Signed != 401 || v.Remark != "" {
		t.Errorf("%+v", v)
	}
	if v := w.judge(transparency.VerifyOptions{Key: next}); !v.OK || v.Signed != 401 {
		t.Errorf("%+v", v)
	}
	if v := w.judge(transparency.VerifyOptions{Key: old, Checkpoint: friday.Note}); !v.OK || v.Signed != 300 || v.Size != 401 || !strings.Contains(v.Remark, "it does not vouch, because it was lost: the disk died") {
		t.Errorf("%+v", v)
	}
	if _, err := w.tree.Verify(t.Context(), transparency.VerifyOptions{Key: old, Checkpoint: first.Note}); !errors.Is(err, transparency.ErrCheckpoint) || !strings.Contains(err.Error(), "does not vouch") {
		t.Error(err)
	}
	if _, _, err := w.tree.Replace(t.Context(), w.replacement(transparency.Replacement{Lost: true})); !errors.Is(err, transparency.ErrReplacement) {
		t.Error("a key that is here is not lost:", err)
	}

	// What was cut off after the move of the keys begins where it stopped.
	if err := os.Rename(file, file+".new"); err != nil {
		t.Fatal(err)
	}
	w.tree = w.from(transparency.KeySource{File: file})
	again, _, err := w.tree.Replace(t.Context(), transparency.Replacement{Reason: "again", Lost: true})
	if err != nil || string(again.Note) != string(h.Note) || w.tree.VerifierKey() != next || w.count(`select count(*) from transparency.handovers`) != 1 {
		t.Errorf("%+v %v", again, err)
	}

	// With keys from the environment, and the third of them.
	third := transparency.NewKey()
	w.tree = w.from(transparency.KeySource{Value: third})
	h, first = w.replace(transparency.Replacement{Old: transparency.KeySource{File: file}})
	if !h.Vouched || !opens(t, first.Note, w.tree.VerifierKey()) {
		t.Errorf("%+v", h)
	}
	if v := w.judge(transparency.VerifyOptions{Key: next, Checkpoint: first.Note}); !v.OK || v.Signed != first.Size {
		t.Errorf("%+v", v)
	}
	if v := w.judge(transparency.VerifyOptions{Checkpoint: friday.Note}); !v.OK || v.Signed != first.Size {
		t.Errorf("%+v", v)
	}
	if v := w.judge(transparency.VerifyOptions{Key: old}); !v.OK || v.Signed != 300 {
		t.Errorf("%+v", v)
	}
	if _, _, err := w.tree.Replace(t.Context(), w.replacement(transparency.Replacement{})); !errors.Is(err, transparency.ErrReplacement) || !strings.Contains(err.Error(), "environment") {
		t.Error(err)
	}
	w.tree = w.from(transparency.KeySource{File: file})
	if _, _, err := w.tree.Replace(t.Context(), w.replacement(transparency.Replacement{Lost: true})); !errors.Is(err, transparency.ErrReplacement) || !strings.Contains(err.Error(), "has signed for this log before") {
		t.Error(err)
	}
}

// Whoever has the database cannot hand the key over, nor have a log signed under a new key that does not continue the old one's.
func TestHandoversCannotBeForged(t *testing.T) {
	w, file := filed(t, 300)
	real, private := w.tree.VerifierKey(), ""
	c := w.checkpoint()
	if b, err := os.ReadFile(file); err == nil {
		private = string(b)
	}
	// Events are cut off, and the tree with them; then the key is "lost".
	w.force(`create table kept as select * from eventlog.events; create table trees as select * from transparency.trees; create table tiles as select * from transparency.tiles`)
	w.force(`delete from eventlog.events where position > 250; update eventlog.head set position = 250;
		update transparency.trees set size = 0, position = 0, before = 0; delete from transparency.tiles; delete from transparency.checkpoints`)
	w.tree = w.from(transparency.KeySource{Value: transparency.NewKey()})
	if _, _, err := w.tree.Replace(t.Context(), w.replacement(transparency.Replacement{Lost: true})); !errors.Is(err, transparency.ErrForked) {
		t.Error("a log that was cut:", err)
	}
	if n := w.count(`select count(*) from transparency.handovers`); n > 0 {
		t.Error("handed over")
	}
	w.force(`insert into eventlog.events select * from kept where position > 250; update eventlog.head set position = 300;
		delete from transparency.tiles; update transparency.trees set (size, position, before) = (select size, position, before from trees); insert into transparency.tiles select * from tiles`)
	w.force(`insert into transparency.checkpoints (log, size, note) select log, 300, $1 from transparency.trees`, c.Note)

	w.tree = w.from(transparency.KeySource{File: file})
	thief := transparency.NewKey()
	other := &world{T: t, pool: w.pool, log: w.log, dir: t.TempDir()}
	forger := other.from(transparency.KeySource{Value: thief})
	named := forger.VerifierKey()
	text := func(size int) string {
		return fmt.Sprintf("annal/key-handover/v1\n%s\nold %s\nnew %s\nsize %d\nroot %s\nat 2026-01-02T03:04:05Z\nreason stolen\n",
			w.tree.Origin(), real, named, size, base64.StdEncoding.EncodeToString(c.Root[:]))
	}
	sign := func(text string, signers ...note.Signer) []byte {
		signed, err := note.Sign(&note.Note{Text: text}, signers...)
		if err != nil {
			t.Fatal(err)
		}
		return signed
	}
	put := func(signed []byte) {
		w.force(`delete from transparency.handovers`)
		w.force(`insert into transparency.handovers (log, number, note) select log, 1, $1 from transparency.trees`, signed)
	}
	theirs, ours := signer(t, named, thief), signer(t, real, private)
	put(sign(text(300), theirs)) // that the key was lost
	if v := w.judge(transparency.VerifyOptions{}); v.OK || !strings.Contains(v.Problem, "does not vouch for that") {
		t.Errorf("a key that is here: %+v", v)
	}
	if v := w.judge(transparency.VerifyOptions{Key: real, Checkpoint: c.Note}); !v.OK || v.Signed != 300 || !strings.Contains(v.Remark, "it does not vouch") {
		t.Errorf("the key elsewhere: %+v", v)
	}
	w.append(5)
	if _, err := w.tree.Checkpoint(t.Context()); !errors.Is(err, transparency.ErrWrongKey) {
		t.Error("it goes on signing:", err)
	}
	mine := sign(text(300), theirs, ours)
	for what, signed := range map[string][]byte{
		"another size under both signatures": bytes.Replace(mine, []byte("size 300"), []byte("size 100"), 1),
		"not by the new key":                 sign(text(300), ours),
		"nothing":                            []byte("hello"),
		"of another log":                     sign(strings.Replace(text(300), "annal/key-handover/v1\nannal/", "annal/key-handover/v1\nannal/0", 1), theirs),
		"from another key":                   sign(strings.Replace(text(300), "old "+real, "old "+named, 1), theirs),
		"more lines":                         sign(text(300)+"more\n", theirs, ours),
	} {
		put(signed)
		if v := w.judge(transparency.VerifyOptions{Key: real}); v.OK || !strings.Contains(v.Problem, "does not hold") {
			t.Errorf("%s: %+v", what, v)
		}
		if _, err := w.tree.Checkpoint(t.Context()); err == nil {
			t.Error(what, "and it goes on signing")
		}
	}
	// The thief has the key, too: only what the log was binds them.
	put(sign(strings.Replace(text(300), "root "+base64.StdEncoding.EncodeToString(c.Root[:]), "root "+base64.StdEncoding.EncodeToString(make([]byte, 32)), 1), theirs, ours))
	if v := w.judge(transparency.VerifyOptions{Key: real}); v.OK {
		t.Errorf("another root: %+v", v)
	}
	for _, statement := range []string{`delete from transparency.handovers`, `truncate transparency.handovers`, `update transparency.handovers set note = ''`} {
		if _, err := w.pool.Exec(t.Context(), statement); err == nil || !strings.Contains(err.Error(), "it only grows") {
			t.Errorf("%s: %v", statement, err)
		}
	}
}
