package annal_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
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
	{"eventlog", false, outside("eventlog", "internal/migrations"), "the log knows no domain"},
	{"internal/migrations", false, outside("internal/migrations"), "whatever keeps tables stands on it"},
	{"internal", false, outside("domain", "eventlog", "internal"), "a mechanism knows no use case and no read model"},
	{"commands", false, outside("commands", "domain", "eventlog", "internal"), "a command never reads a read model"},
	{"projections", false, outside("projections", "domain", "eventlog", "internal"), "a projection never writes an event"},
	{"projections/engine", false, outside("projections/engine", "domain", "eventlog", "internal"), "the engine knows no read model"},
	{"transparency", false, outside("transparency", "eventlog", "internal"), "proofs are of any log"},
	{"automations", false, capability("automations"), "a capability stands on the read and the write side, never on another one"},
	{"history", false, capability("history"), "a capability stands on the read and the write side, never on another one"},
	{"reports", false, capability("reports"), "a capability stands on the read and the write side, never on another one"},
	{"transfer", false, capability("transfer"), "a capability stands on the read and the write side, never on another one"},
	{"graph", false, func(p string) bool { return ours(p, "app") || ours(p, "cmd") || ours(p, "bench") }, "what is put together does not know by whom"},
	{"graph", true, func(p string) bool { return within(p, "github.com/jackc/pgx") }, "queries belong to the read models"},
	{"app", false, func(p string) bool { return ours(p, "cmd") || ours(p, "bench") }, "a program is put on top"},
	{"cmd", false, func(p string) bool { return ours(p, "bench") || ours(p, "eventlog/eventstoredb/esdbtest") }, "the product carries no benchmark and no double"},
}

// outside forbids what is ours and lies outside of some rooms.
func outside(rooms ...string) func(string) bool {
	return func(path string) bool {
		inside := slices.ContainsFunc(rooms, func(room string) bool { return ours(path, room) })
		return ours(path) && !inside
	}
}

// capability forbids what a capability may not stand on.
func capability(room string) func(string) bool {
	return outside(room, "transparency", "projections", "commands", "internal", "eventlog", "domain")
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

// ours reports whether a package is in one of our rooms; without rooms: in any.
func ours(path string, room ...string) bool {
	return within(path, strings.Join(append([]string{module}, room...), "/"))
}

func within(path, room string) bool { return path == room || strings.HasPrefix(path, room+"/") }

// standard reports whether a package is the standard library's: it has no dot in the first part of its path.
func standard(path string) bool {
	first, _, _ := strings.Cut(path, "/")
	return !strings.Contains(first, ".")
}
