package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

// The measurements of several processes start this program again.
func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == PartCommand {
		if err := Part(context.Background(), os.Stdin, os.Stdout); err != nil {
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
	var said []string
	began := time.Now()
	r, err := Run(t.Context(), Config{Events: 1000, TempDir: dir, Progress: func(s string) { said = append(said, s); t.Log(time.Since(began), s) }, instant: 250 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range Lines() {
		if !strings.Contains(strings.Join(said, "\n"), name+":") {
			t.Errorf("%s was not measured", name)
		}
	}
	if len(r.Figures) != 30 {
		t.Errorf("%d figures", len(r.Figures))
	}
	for _, f := range r.Figures {
		if f.Wanted == "" || strings.HasPrefix(f.Ours, "0 ") || strings.ContainsAny(f.Ratio+f.Ours+f.Floor, "NI") { // NaN, Inf
			t.Errorf("%+v", f)
		}
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) > 0 {
		t.Error(left, err)
	}
}

func TestAnUnknownLineIsRefusedBeforeAnythingIsMade(t *testing.T) {
	dir := t.TempDir()
	if _, err := Run(t.Context(), Config{Only: []string{"appendix"}, TempDir: dir}); err == nil || !strings.Contains(err.Error(), "growth") {
		t.Error(err)
	}
	if left, _ := os.ReadDir(dir); len(left) > 0 {
		t.Error(left)
	}
}

func TestWhatPeopleWroteIntoThePageStays(t *testing.T) {
	var page strings.Builder
	r := Report{Config: Config{Events: 5, Quick: true}, Figures: []Figure{{What: "an append", Ours: "1 ms", Wanted: "< 2 ms", Met: true, Note: "Alone."}, {What: "a page"}}}
	if err := r.Markdown(&page, "# Old\n\n| gone |\n\n"+kept+"\nIt is the disk.\n"); err != nil {
		t.Fatal(err)
	}
	for _, wanted := range []string{"annal bench --quick --events 5", "| an append | 1 ms |  |  |  | < 2 ms | yes |\n", "| NO |\n", "- an append: Alone.\n", "\n\n" + kept + "\nIt is the disk.\n"} {
		if !strings.Contains(page.String(), wanted) {
			t.Errorf("%q is not in\n%s", wanted, &page)
		}
	}
	if strings.Contains(page.String(), "gone") {
		t.Error("the old figures are still there")
	}
}
