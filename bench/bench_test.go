package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"
)

// The measurements of several processes start this program again.
func TestMain(m *testing.M) {
	if isWorker() {
		if err := run(context.Background()); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// Every line is measured once, on a history that is far too short to mean anything.
func TestEveryLineIsMeasuredAndNothingIsLeftBehind(t *testing.T) {
	dir, err := os.MkdirTemp("", "annal-bench-test-") // not t.TempDir, which a Postgres that root starts may not enter
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o711); err != nil {
		t.Fatal(err)
	}
	t.Setenv("TMPDIR", dir)

	instant := size{
		events: 1000, rounds: 1, span: 250 * time.Millisecond, stored: 1000, lease: 400 * time.Millisecond, kills: 1, pauses: 1,
		proofs: 70_000, // a third level
	}
	var said []string
	began := time.Now()
	r, err := measure(t.Context(), instant, nil, func(s string) {
		said = append(said, s)
		t.Log(time.Since(began), s)
	})
	if err != nil {
		t.Fatal(err)
	}

	for _, name := range lineNames() {
		if !strings.Contains(strings.Join(said, "\n"), name+":") {
			t.Errorf("%s was not measured", name)
		}
	}
	if len(r.Figures) != 30 {
		t.Errorf("%d figures", len(r.Figures))
	}
	for _, f := range r.Figures {
		ours, floor := f.Text(f.Ours), f.Text(f.Floor)
		if ours == "" || (f.Against == "") != (floor == "") || !bound.MatchString(f.Wanted) ||
			strings.HasPrefix(ours, "0 ") || strings.ContainsAny(ours+floor+f.Ratio(), "NI") { // NaN, Inf
			t.Errorf("%s, %s: %s, %s, %s", f.What, f.Wanted, ours, floor, f.Ratio())
		}
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) > 0 {
		t.Error(left, err)
	}
}

func TestAnUnknownLineIsRefused(t *testing.T) {
	var c cli
	parser, err := kong.New(&c, c.options()...)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := parser.Parse([]string{"--only", "append,appendix"}); err == nil || !strings.Contains(err.Error(), "growth") {
		t.Error(err)
	}
	if _, err := parser.Parse([]string{"--only", "append,single"}); err != nil || len(c.Only) != 2 {
		t.Error(c.Only, err)
	}
}

func TestAFigureIsMetWithinItsBounds(t *testing.T) {
	half := Figure{Ours: series{9, 1, 2}, Floor: series{4}} // 2 of 4
	for wanted, met := range map[string]bool{
		"≥ 0.5": true, "≥ 0.51": false, "≤ 0.6": true, "≤ 0.4": false,
		"≥ 2/s": true, "≥ 2 000 events/s": false, "< 3 MB": true, "< 2 000 ms": false, "< 3 s and ≥ 0.6": false, "≥ 1/s and ≥ 0.5": true,
	} {
		half.Wanted = wanted
		if half.Met() != met {
			t.Errorf("%s: %v", wanted, half.Met())
		}
	}
	if half = (Figure{Wanted: "< 3 s", Ours: series{2}, spoiled: true}); half.Met() {
		t.Error("what was not measured is met")
	}
}

func TestWhatPeopleWroteIntoThePageStays(t *testing.T) {
	file := filepath.Join(t.TempDir(), "page.md")
	if err := os.WriteFile(file, []byte("# Old\n\n| gone |\n\n"+kept+"\nIt is the disk.\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	r := Report{Flags: "--quick", Figures: []*Figure{
		{What: "an append", Unit: "s", Ours: series{0.001}, Wanted: "< 2 ms", Note: "Alone."},
		{What: "a page", Against: "none", Unit: "pages/s", Ours: series{3000, 1000}, Floor: series{1000, 1000}, Wanted: "≥ 3"},
	}}
	if err := r.write(file); err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, wanted := range []string{
		"| command | `go run ./bench --quick` |\n\n| what | ours |",
		"|\n| an append | 1.00 ms |  |  |  | < 2 ms | yes |\n| a page | 2 000 pages/s | none | 1 000 pages/s | 2.00 (1.00–3.00) | ≥ 3 | NO |\n\n- an append: Alone.\n\n" + kept + "\nIt is the disk.\n",
	} {
		if !strings.Contains(string(page), wanted) {
			t.Errorf("%q is not in\n%s", wanted, page)
		}
	}
	if strings.Contains(string(page), "gone") {
		t.Error("the old figures are still there")
	}
}
