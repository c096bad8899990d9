package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// listParcels is a test of package graph for a kind of which it does not know yet.
const listParcels = `package graph_test

import (
	"fmt"
	"testing"

	"github.com/annal-crm/annal/graph"
)

func TestParcels(t *testing.T) {
	w := newWorld(t, graph.Config{})
	admin := w.signIn("admin")
	admin.ask("mutation { createParcel(input: {name: \"One\"}) { parcel { id } } }", nil)
	got := admin.ask("{ parcels(orderBy: {by: NAME}, search: \"on\") { nodes { name stage customer { name } viewerCan { edit } } totalCount } }", nil)
	if fmt.Sprint(got) != "map[parcels:map[nodes:[map[customer:<nil> name:One stage:OPEN viewerCan:map[edit:true]]] totalCount:1]]" {
		t.Error(got)
	}
}
`

// In a copy of the tree, what "task new-kind" does is enough to list a record of the kind over GraphQL.
func TestNewKind(t *testing.T) {
	dir := t.TempDir()
	files, err := exec.Command("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "../..").Output()
	if err != nil {
		t.Fatal(err)
	}
	for file := range strings.SplitSeq(strings.TrimSuffix(string(files), "\x00"), "\x00") {
		text, err := os.ReadFile(file)
		if os.IsNotExist(err) { // removed, not committed yet
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		to := filepath.Join(dir, "graph", "generate", file)
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(to, text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "graph", "parcel_test.go"), []byte(listParcels), 0o644); err != nil {
		t.Fatal(err)
	}

	for _, command := range []string{
		"go run ./graph/generate new-kind parcel",
		"go test ./domain/parcel -update",
		"go generate ./graph",
		"go test ./domain/parcel ./domain/kinds",
		"go test ./graph -run ^TestParcels$ -count=1",
	} {
		arguments := strings.Fields(command)
		c := exec.Command(arguments[0], arguments[1:]...)
		c.Dir = dir
		// With -trimpath the copy shares the build cache with the tree.
		c.Env = append(os.Environ(), "GOFLAGS=-buildvcs=false -trimpath")
		if output, err := c.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", command, err, output)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "domain", "parcel", "testdata", "events", "parcel.moved.v1.json")); err != nil {
		t.Error(err)
	}
}

func TestNamesOfKinds(t *testing.T) {
	list, err := os.ReadFile("../../" + declaredKinds)
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(t.TempDir())
	if err := os.MkdirAll(filepath.Dir(declaredKinds), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(declaredKinds, list, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := newKind("parcel"); err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{"", "Parcel", "two words", "../parcel", "parcel"} {
		if newKind(bad) == nil {
			t.Errorf("%q names a new kind", bad)
		}
	}
	list, err = os.ReadFile(declaredKinds)
	if err != nil || strings.Count(string(list), "&parcel.Kind,") != 1 {
		t.Errorf("%v\n%s", err, list)
	}
}
