package main

import (
	"os"
	"strings"
	"testing"

	"github.com/annal-crm/annal/internal/pgtest"
	"github.com/annal-crm/annal/internal/vault"
)

// Who asks about a log with a misspelt address is not told of a new and empty one that all is well with it.
func TestAskingMakesNothing(t *testing.T) {
	t.Parallel()
	questions := map[string]int{
		"audit verify": 2, "audit keys": 1, "audit checkpoint": 1, "report sales": 1, "replay account jane": 1, "readmodels": 1, "log stats": 1, "parked list": 1,
		"erasure list": 1, "export events": 1, "sql list": 1, "reproject --all": 1,
	}
	t.Run("in a directory", func(t *testing.T) {
		for question, status := range questions {
			h := newHome(t)
			out, got := h.run(strings.Fields(question)...)
			if got != status || !strings.Contains(out, "there is no Annal here: ") || strings.Count(out, "\n") != 1 {
				t.Errorf("%s: exit status %d: %s", question, got, out)
			}
			if made, err := os.ReadDir(h.dir); len(made) > 0 {
				t.Errorf("%s made %s, %v", question, made, err)
			}
		}
	})
	t.Run("in a database", func(t *testing.T) {
		h := newHome(t)
		h.env = append(h.env, "ANNAL_DATABASE_URL="+pgtest.URL(t), "ANNAL_MASTER_KEY="+vault.NewMasterKey(), "ANNAL_CHECKPOINT_KEY="+vault.NewMasterKey())
		if out, got := h.run("audit", "verify"); got != 2 || !strings.Contains(out, "there is no Annal here: there is no directory ") {
			t.Errorf("where the remembered checkpoint would be: exit status %d: %s", got, out)
		}
		if err := os.Mkdir(h.dir+"/data", 0o755); err != nil {
			t.Fatal(err)
		}
		for question, status := range questions {
			if out, got := h.run(strings.Fields(question)...); got != status || !strings.Contains(out, "there is no Annal here: the database at ") {
				t.Errorf("%s: exit status %d: %s", question, got, out)
			}
		}
	})
}
