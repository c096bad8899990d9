package main

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// Claims of docs/audit.md about the command line: exit statuses, forms, what is put on record and what is not, where keys lie.

// apart runs a subcommand and returns what it printed for programs, and for people.
func (h *home) apart(args ...string) (out, said string, status int) {
	h.t.Helper()
	cmd := h.command(args...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		h.t.Fatal(err)
	}
	return stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()
}

// members are the names in a JSON object.
func members(t *testing.T, text string) []string {
	t.Helper()
	var o map[string]any
	if err := json.Unmarshal([]byte(text), &o); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	return slices.Sorted(maps.Keys(o))
}

func TestWhatTheAuditCommandsSayAndLeave(t *testing.T) {
	t.Parallel()
	h := newHome(t).onPostgres()
	h.must("init")
	db := h.database()
	do := func(statement string) {
		t.Helper()
		if _, err := db.Exec(t.Context(), statement); err != nil {
			t.Fatal(statement, err)
		}
	}
	head := func() (n int) {
		t.Helper()
		if err := db.QueryRow(t.Context(), `select count(*) from eventlog.events`).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	whatIf := []string{"audit", "what-if", "--attempts", "5", "--window", "15m", "--lock-for", "30m", "--json"}
	bundle := filepath.Join(h.dir, "case.bundle")
	note := filepath.Join(h.dir, "note")
	if err := os.WriteFile(note, []byte(h.must("audit", "checkpoint")), 0o600); err != nil {
		t.Fatal(err)
	}

	t.Run("all as recorded is status 0", func(t *testing.T) {
		before := head()
		out, said, status := h.apart("audit", "verify", "--checkpoint", note, "--json")
		if status != 0 || !slices.Equal(members(t, out), []string{"ok", "signed", "size"}) || !strings.HasPrefix(out, `{"ok":true,"size":`) {
			t.Errorf("exit status %d: %s%s", status, out, said)
		}
		if head() != before+1 {
			t.Errorf("%d events were added, not the one that it was verified", head()-before)
		}
	})
	t.Run("what-if answers in the form of the page, and writes that it was asked", func(t *testing.T) {
		before := head()
		out, _, status := h.apart(whatIf...)
		if status != 0 || !slices.Equal(members(t, out), []string{"accounts", "attempts", "happened", "locks", "organization", "refusedWhileLocked"}) || head() != before+1 {
			t.Errorf("exit status %d, %d events more: %s", status, head()-before, out)
		}
	})
	t.Run("what cannot be judged is status 2", func(t *testing.T) {
		elsewhere := *h
		elsewhere.env = append(slices.Clone(h.env), "ANNAL_DATABASE_URL=postgres://nobody@127.0.0.1:1/none?connect_timeout=2")
		if out, said, status := elsewhere.apart("audit", "verify", "--json"); status != 2 || out != "" || said == "" {
			t.Errorf("without a database: exit status %d: %s%s", status, out, said)
		}
	})
	t.Run("what cannot be put on record is not shown", func(t *testing.T) {
		do(`create function full_disk() returns trigger language plpgsql as $$ begin raise exception 'no room' using errcode = 'disk_full'; end $$;
			create trigger full_disk before insert on eventlog.events for each statement execute function full_disk()`)
		for _, args := range [][]string{{"audit", "prove", "3"}, {"audit", "prove", "3", "--json"}, {"audit", "bundle", bundle}, whatIf} {
			if out, said, status := h.apart(args...); status != 1 || out != "" || !strings.Contains(said, "put on record") {
				t.Errorf("%v: exit status %d: %s%s", args, status, out, said)
			}
		}
		if left, _ := filepath.Glob(filepath.Join(h.dir, "*bundle*")); len(left) > 0 {
			t.Error("a bundle is there:", left)
		}
		if left, _ := filepath.Glob(filepath.Join(h.dir, ".bundle*")); len(left) > 0 {
			t.Error("a part of a bundle is there:", left)
		}
		do(`drop trigger full_disk on eventlog.events`)
	})
	t.Run("the key is in no table, and lies with the newest checkpoint beside it", func(t *testing.T) {
		data := filepath.Join(h.dir, "data")
		key, err := os.ReadFile(filepath.Join(data, "checkpoint.key"))
		if err != nil {
			t.Fatal(err)
		}
		dump := filepath.Join(h.dir, "dump")
		tool(t, "pg_dump", "--file="+dump, strings.TrimSpace(h.must("database-url")))
		text, err := os.ReadFile(dump)
		if err != nil || !strings.Contains(string(text), "transparency.trees") {
			t.Fatal(err)
		}
		seed, err := base64.StdEncoding.DecodeString(strings.TrimSpace(string(key)))
		if err != nil || len(seed) != 32 {
			t.Fatal(err)
		}
		for _, form := range []string{strings.TrimSpace(string(key)), hex.EncodeToString(seed)} {
			if strings.Contains(string(text), form) {
				t.Error("the key is in the database")
			}
		}
		newest := h.must("audit", "checkpoint")
		files, _ := filepath.Glob(filepath.Join(data, "checkpoint-*"))
		if len(files) != 1 {
			t.Fatal(files)
		}
		if kept, err := os.ReadFile(files[0]); err != nil || string(kept) != newest {
			t.Errorf("%v: beside the key lies\n%s, the newest is\n%s", err, kept, newest)
		}
	})
	t.Run("what differs is status 1, and nothing is added to it", func(t *testing.T) {
		do(`set session_replication_role = replica; update eventlog.events set metadata = '{}' where position = 4; set session_replication_role = origin`)
		before := head()
		out, said, status := h.apart("audit", "verify", "--json")
		if status != 1 || !slices.Equal(members(t, out), []string{"ok", "position", "problem", "signed", "size"}) || !strings.Contains(out, `"ok":false`) || !strings.Contains(out, `"position":"4"`) {
			t.Errorf("exit status %d: %s%s", status, out, said)
		}
		for _, args := range [][]string{{"audit", "verify"}, {"audit", "prove", "4"}, {"audit", "bundle", bundle, "--from", "2"}} {
			if out, said, status := h.apart(args...); status != 1 || out != "" || said == "" {
				t.Errorf("%v: exit status %d: %s%s", args, status, out, said)
			}
		}
		if head() != before {
			t.Errorf("%d events were added", head()-before)
		}
	})
}

// What was signed last is remembered in the data directory. Where both keys come from the environment and none is named, nothing is.
func TestWithoutADataDirectoryNothingIsRemembered(t *testing.T) {
	t.Parallel()
	h := newHome(t).onPostgres()
	h.env = append(h.env, "ANNAL_CHECKPOINT_KEY="+base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{7}, 32)))
	h.must("init")
	nowhere := func(args ...string) (string, error) {
		cmd := exec.Command(h.binary, args...)
		cmd.Dir, cmd.Env = h.dir, h.env
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	h.must("audit", "checkpoint") // in a directory that is named, and was not there
	if kept, _ := filepath.Glob(filepath.Join(h.dir, "data", "checkpoint*")); len(kept) != 1 || strings.HasSuffix(kept[0], ".key") {
		t.Error("what was signed is not remembered, or the key was written down:", kept)
	}
	db := h.database()
	if _, err := db.Exec(t.Context(), `set session_replication_role = replica; update eventlog.events set metadata = '{}' where position = 4;
		truncate transparency.tiles, transparency.trees, transparency.checkpoints`); err != nil {
		t.Fatal(err)
	}
	if out, err := nowhere("audit", "checkpoint"); err != nil || !strings.HasPrefix(out, "annal/") {
		t.Errorf("without a directory there is nothing to say that the log was another one: %v\n%s", err, out)
	}
	if out, status := h.run("audit", "checkpoint"); status != 1 || !strings.Contains(out, "does not continue what was signed") {
		t.Errorf("with one: exit status %d\n%s", status, out)
	}
	if out, status := h.run("audit", "verify"); status != 1 || !strings.Contains(out, "remembered beside the key") {
		t.Errorf("with one: exit status %d\n%s", status, out)
	}
	if left, _ := filepath.Glob(filepath.Join(h.dir, ".annal")); len(left) > 0 {
		t.Error("a data directory was made:", left)
	}
}
