package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
)

const deployment = "../../deploy/"

// What deploy/ says to containers is what the program knows: variables, secrets, volumes, networks, the order of starting.
func TestCompose(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(deployment + "compose.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var compose struct {
		Services map[string]struct {
			Environment map[string]any
			Command     any
			Secrets     []string
			Volumes     []string
			Networks    any
			DependsOn   map[string]any `yaml:"depends_on"`
			ReadOnly    bool           `yaml:"read_only"`
			Build       *struct{ Context, Dockerfile string }
		}
		Volumes, Networks map[string]any
		Secrets           map[string]struct{ File string }
	}
	// A key that overrides one of a merged map is no duplicate; the parser takes it for one.
	if err := yaml.UnmarshalWithOptions(text, &compose, yaml.AllowDuplicateMapKey()); err != nil {
		t.Fatal(err)
	}
	known, err := variables()
	if err != nil {
		t.Fatal(err)
	}
	knows := func(where, name string) {
		if strings.HasPrefix(name, "ANNAL_") && !slices.Contains(known, strings.TrimSuffix(name, "_FILE")) {
			t.Errorf("%s sets %s, which the program does not know", where, name)
		}
	}
	made := t.TempDir()
	for range 2 { // the second time changes nothing
		if out, err := exec.CommandContext(t.Context(), deployment+"secrets.sh", made).CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	secret := func(name string) string {
		content, err := os.ReadFile(filepath.Join(made, filepath.Base(compose.Secrets[name].File)))
		if err != nil || len(content) == 0 {
			t.Errorf("secrets.sh does not make %q: %v", name, err)
		}
		return string(content)
	}
	annals := 0
	for name, s := range compose.Services {
		for variable, value := range s.Environment {
			knows(name, variable)
			if file, ok := strings.CutPrefix(fmt.Sprint(value), "/run/secrets/"); ok && !slices.Contains(s.Secrets, file) {
				t.Errorf("%s: %s names a secret that it does not have", name, variable)
			}
		}
		for _, used := range s.Secrets {
			secret(used)
		}
		for _, v := range s.Volumes {
			if volume, _, _ := strings.Cut(v, ":"); compose.Volumes[volume] == nil {
				t.Errorf("%s: there is no volume %q", name, volume)
			}
		}
		for other := range s.DependsOn {
			if _, ok := compose.Services[other]; !ok {
				t.Errorf("%s: there is no service %q", name, other)
			}
		}
		if s.Build != nil {
			annals++
			if _, err := os.Stat(filepath.Join(deployment, s.Build.Context, s.Build.Dockerfile)); err != nil || !s.ReadOnly {
				t.Errorf("%s: %v, read-only %v", name, err, s.ReadOnly)
			}
		}
	}
	if annals < 3 {
		t.Errorf("%d services of Annal", annals)
	}
	dockerfile, err := os.ReadFile(deployment + "Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	for _, word := range strings.Fields(string(dockerfile)) {
		name, _, set := strings.Cut(word, "=")
		if set {
			knows("the Dockerfile", name)
		}
	}

	// The addresses are such that the program takes them, and gets as far as looking for those names.
	for name, want := range map[string]string{"database-url": "no Postgres at postgres://annal:xxxxx@postgres:5432/annal"} {
		h := newHome(t)
		h.env = append(h.env, "ANNAL_DATABASE_URL="+secret(name))
		if out, status := h.run("init"); status != 1 || !strings.Contains(out, want) {
			t.Errorf("%s: exit status %d\n%s", name, status, out)
		}
	}
	h := newHome(t).onPostgres()
	h.env = append(h.env, "ANNAL_MASTER_KEY="+secret("master-key"), "ANNAL_EVENTSTORE_URL="+strings.Replace(secret("eventstore-url"), "&tlsCaFile=/trust/ca.crt", "", 1))
	if out, status := h.run("init"); status != 1 || !strings.Contains(out, "EventStoreDB cannot be reached") {
		t.Errorf("exit status %d\n%s", status, out)
	}
}

func TestTheReferenceIsWhatTheProgramTakes(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	want, err := reference()
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(page), referenceBegins)
	if got, _, _ := strings.Cut(rest, referenceEnds); strings.TrimSpace(got) != strings.TrimSpace(want) {
		t.Error("docs/operations.md has another reference of the configuration than the program; write it anew: task generate")
	}
}
