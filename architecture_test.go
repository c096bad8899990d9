package annal_test

import (
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"
)

// The list of rooms in docs/architecture.md names every package, and nothing that is not there.
func TestTheArchitectureListsEveryPackage(t *testing.T) {
	t.Parallel()
	listed := rooms(t)
	for room := range listed {
		if _, err := os.Stat(room); err != nil {
			t.Errorf("docs/architecture.md lists %s: %v", room, err)
		}
	}

	missing := make(map[string]bool)
	for _, name := range goFiles(t) {
		missing[filepath.ToSlash(filepath.Dir(name))] = true
	}
	if len(missing) < 40 {
		t.Fatalf("only %d packages: does this test look at the right place?", len(missing))
	}
	for dir := range missing {
		if !listed[dir] {
			t.Errorf("docs/architecture.md does not list %s", dir)
		}
	}
}

// rooms returns the directories that the list names. A line below a room, indented, is in it; several may share a line.
func rooms(t *testing.T) map[string]bool {
	t.Helper()
	_, list, found := strings.Cut(readText(t, "docs/architecture.md"), "## The rooms\n\n```\n")
	list, _, closed := strings.Cut(list, "```")
	if !found || !closed {
		t.Fatal("docs/architecture.md has no list of rooms")
	}

	all := make(map[string]bool)
	room := ""
	for line := range strings.Lines(list) {
		within := ""
		if strings.HasPrefix(line, " ") {
			within = room
		}
		for _, word := range strings.Fields(line) {
			if !strings.HasSuffix(word, "/") {
				break
			}
			all[path.Join(within, word)] = true
			if within == "" {
				room = word
			}
		}
	}
	return all
}
