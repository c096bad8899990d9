package transparency_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/annal-crm/annal/transparency"
)

// witness serves a witness of the world's log.
func (w *world) witness(dir, key string) (url, verifierKey string) {
	w.Helper()
	witness, err := transparency.NewWitness("witness.example", transparency.KeySource{Value: key}, dir, []string{w.tree.VerifierKey()})
	if err != nil {
		w.Fatal(err)
	}
	server := httptest.NewServer(witness)
	w.Cleanup(server.Close)
	return server.URL, witness.VerifierKey()
}

func TestAWitnessCosignsOneHistoryOnly(t *testing.T) {
	w := newWorld(t, 300)
	dir, key := t.TempDir(), transparency.NewKey()
	url, verifierKey := w.witness(dir, key)
	publisher := transparency.Publisher{Witnesses: []string{url}}
	publish := func(c transparency.Checkpoint) (transparency.Checkpoint, error) {
		return publisher.Publish(t.Context(), w.tree, c)
	}
	first := w.checkpoint()
	if transparency.Cosigned(first.Note, verifierKey) == nil {
		t.Fatal("cosigned before it was seen")
	}
	for _, size := range []int{300, 300, 301, 1000} { // again, the next, a later one
		w.append(size - int(w.latest().Size))
		c, err := publish(w.checkpoint())
		if err != nil || int(c.Size) != size || transparency.Cosigned(c.Note, verifierKey) != nil || bytes.Count(c.Note, []byte("— witness.example")) != 1 {
			t.Fatalf("%d: %v\n%s", size, err, c.Note)
		}
		if kept := w.latest(); !bytes.Equal(kept.Note, c.Note) {
			t.Errorf("the database keeps\n%s, not\n%s", kept.Note, c.Note)
		}
	}
	if v := w.verify(w.latest().Note); !v.OK {
		t.Errorf("a cosigned checkpoint: %+v", v)
	}
	// Another process of the log does not know what the witness has seen; another of the witness does.
	url, _ = w.witness(dir, key)
	publisher.Witnesses[0] = url
	w.tree = w.open()
	w.append(5)
	if c, err := publish(w.checkpoint()); err != nil || transparency.Cosigned(c.Note, verifierKey) != nil {
		t.Error("after a restart of both:", err)
	}
	if _, err := publish(first); err == nil || !strings.Contains(err.Error(), "it has seen") {
		t.Error("an older one:", err)
	}
	// Another history with the same key, of an operator who forgets what was signed.
	w.force(`update eventlog.events set data = '{}' where position = 7; truncate transparency.tiles, transparency.trees, transparency.checkpoints`)
	forged := &world{T: t, pool: w.pool, log: w.log, key: w.key}
	forged.tree = forged.open()
	forged.append(10)
	if c, err := publisher.Publish(t.Context(), forged.tree, forged.checkpoint()); err == nil || !strings.Contains(err.Error(), "422") || transparency.Cosigned(c.Note, verifierKey) == nil {
		t.Error("another history was cosigned:", err)
	} else if !strings.Contains(err.Error(), "it has cosigned another history") || forged.tree.Failures()[transparency.Cosigning] != 1 {
		t.Errorf("the log is told %v, and counts %v", err, forged.tree.Failures())
	} else if kept, _ := filepath.Glob(filepath.Join(dir, "refused-1015-*.note")); len(kept) != 1 {
		t.Errorf("the witness keeps %q", kept)
	} else if refused, err := os.ReadFile(kept[0]); err != nil || !bytes.HasPrefix(c.Note, refused) {
		t.Errorf("the witness keeps\n%s, not\n%s", refused, c.Note)
	}
}

func TestAWitnessRefusesWhatIsNoRequest(t *testing.T) {
	w := newWorld(t, 3)
	url, _ := w.witness(t.TempDir(), transparency.NewKey())
	stranger := newWorld(t, 3)
	c := w.checkpoint()
	for what, r := range map[string]struct {
		body   string
		status int
	}{
		"nothing":                 {"", 400},
		"no old size":             {"\n" + string(c.Note), 400},
		"an old size beyond":      {"old 9\n\n" + string(c.Note), 400},
		"a proof that is none":    {"old 0\nAAAA\n\n" + string(c.Note), 400},
		"an old size never seen":  {"old 2\n\n" + string(c.Note), 409},
		"another log":             {"old 0\n\n" + string(stranger.checkpoint().Note), 404},
		"a signature of nobody's": {"old 0\n\n" + strings.Replace(string(c.Note), "\n3\n", "\n4\n", 1), 403},
		"a flood":                 {strings.Repeat("old 0\n", 20_000), 413},
	} {
		response, err := http.Post(url+"/add-checkpoint", "text/plain", strings.NewReader(r.body))
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if response.StatusCode != r.status {
			t.Errorf("%s: %s", what, response.Status)
		}
	}
	for _, name := range []string{"", "two words", "a+b"} {
		if _, err := transparency.NewWitness(name, transparency.KeySource{Value: transparency.NewKey()}, "", nil); err == nil {
			t.Errorf("%q is taken as a name", name)
		}
	}
}

// Each target gets the checkpoint even if another fails, and what failed is told.
func TestCheckpointsArePublished(t *testing.T) {
	w := newWorld(t, 10)
	var got string
	server := httptest.NewServer(http.HandlerFunc(func(out http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		got = fmt.Sprintf("%s %s %s", r.Method, r.URL.Path, b)
		if r.URL.Path == "/full" {
			http.Error(out, "no room", http.StatusInsufficientStorage)
		}
	}))
	t.Cleanup(server.Close)
	file := filepath.Join(t.TempDir(), "published")
	c := w.checkpoint()
	_, err := transparency.Publisher{Targets: []string{"/nowhere/at/all", file, server.URL + "/put"}, Witnesses: []string{"http://127.0.0.1:1"}}.Publish(t.Context(), w.tree, c)
	b, _ := os.ReadFile(file)
	if !bytes.Equal(b, c.Note) || got != "PUT /put "+string(c.Note) {
		t.Errorf("the file has %q, the server got %q", b, got)
	}
	if err == nil || !strings.Contains(err.Error(), "/nowhere") || !strings.Contains(err.Error(), "witness http://127.0.0.1:1") {
		t.Error(err)
	}
	if _, err := (transparency.Publisher{Targets: []string{server.URL + "/full"}}).Publish(context.Background(), w.tree, c); err == nil || !strings.Contains(err.Error(), "507 no room") {
		t.Error(err)
	}
}

// A witness that is told the new key goes on from what it saw under the old one.
func TestAWitnessGoesOnUnderTheNewKey(t *testing.T) {
	w, _ := filed(t, 100)
	dir, key := t.TempDir(), transparency.NewKey()
	url, verifierKey := w.witness(dir, key)
	publisher := transparency.Publisher{Witnesses: []string{url}}
	if _, err := publisher.Publish(t.Context(), w.tree, w.checkpoint()); err != nil {
		t.Fatal(err)
	}
	_, first := w.replace(transparency.Replacement{})
	if _, err := publisher.Publish(t.Context(), w.tree, first); err == nil || !strings.Contains(err.Error(), "403") {
		t.Error("a key that it does not know:", err)
	}
	url, _ = w.witness(dir, key)
	publisher.Witnesses[0] = url
	if c, err := publisher.Publish(t.Context(), w.tree, first); err != nil || transparency.Cosigned(c.Note, verifierKey) != nil {
		t.Error("the first under the new key:", err)
	}
	w.force(`update eventlog.events set data = '{}' where position = 7; truncate transparency.tiles, transparency.checkpoints; update transparency.trees set size = 0, position = 0, before = 0`)
	forged := &world{T: t, pool: w.pool, log: w.log, dir: t.TempDir()}
	b, err := os.ReadFile(filepath.Join(w.dir, "checkpoint.key"))
	if err != nil {
		t.Fatal(err)
	}
	forged.tree = forged.from(transparency.KeySource{Value: strings.TrimSpace(string(b))})
	forged.append(10)
	if _, err := publisher.Publish(t.Context(), forged.tree, forged.checkpoint()); err == nil || !strings.Contains(err.Error(), "422") {
		t.Error("another history:", err)
	}
}
