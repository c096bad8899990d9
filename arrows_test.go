package annal_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"strings"
	"testing"
)

const module = "github.com/annal-crm/annal"

// The rooms of the house, and what the packages in them may not need, not even by way of another (or: not import themselves).
var arrows = []struct {
	room   string
	direct bool
	forbid func(path string) bool
	why    string
}{
	{"domain", false, func(p string) bool { return !standard(p) && !within(p, "github.com/google/uuid") && !ours(p, "domain") }, "the rules stand on the standard library and uuid"},
	{"eventlog", false, func(p string) bool { return ours(p) && !ours(p, "eventlog") }, "the log knows no domain"},
	{"commands", false, func(p string) bool { return ours(p, "projections") }, "a command never reads a read model"},
	{"projections", false, func(p string) bool { return ours(p, "commands") }, "a projection never writes an event"},
	{"graph", true, func(p string) bool { return within(p, "github.com/jackc/pgx") }, "queries belong to the read models"},
}

// Imports point down: see docs/architecture.md. Test files are free: they may bring a database along.
func TestImportsPointDown(t *testing.T) {
	packages := list(t)
	for _, a := range arrows {
		found := false
		for _, p := range packages {
			if !ours(p.ImportPath, a.room) {
				continue
			}
			found = true
			needs := p.Deps
			if a.direct {
				needs = p.Imports
			}
			for _, path := range needs {
				if a.forbid(path) {
					t.Errorf("%s needs %s: %s", p.ImportPath, path, a.why)
				}
			}
		}
		if !found {
			t.Errorf("no package in %s: does this test look at the right place?", a.room)
		}
	}
}

type listed struct {
	ImportPath    string
	Imports, Deps []string
}

// list returns the packages of this module. Whether they compile is for others to see (-e).
func list(t *testing.T) (packages []listed) {
	var stderr bytes.Buffer
	cmd := exec.Command("go", "list", "-e", "-json=ImportPath,Imports,Deps", "./...")
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, &stderr)
	}
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p listed
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return packages
		} else if err != nil {
			t.Fatal(err)
		}
		packages = append(packages, p)
	}
}

// ours tells whether a package is in one of our rooms; without rooms: in any.
func ours(path string, room ...string) bool {
	return within(path, strings.Join(append([]string{module}, room...), "/"))
}

func within(path, room string) bool { return path == room || strings.HasPrefix(path, room+"/") }

// standard tells whether a package is the standard library's: it has no dot in the first part of its path.
func standard(path string) bool {
	first, _, _ := strings.Cut(path, "/")
	return !strings.Contains(first, ".")
}
