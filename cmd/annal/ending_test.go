package main

import (
	"bufio"
	"net"
	"strings"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/annal-crm/annal/internal/pgtest"
	"github.com/annal-crm/annal/internal/vault"
)

// Who is asked to end while it starts has not failed.
func TestEndsWhileItStarts(t *testing.T) {
	t.Parallel()
	silent, err := net.Listen("tcp", "127.0.0.1:0") // takes connections and says nothing
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	cmd := newHome(t).command("serve", "--listen", "127.0.0.1:0", "--database-url", "postgres://"+silent.Addr().String()+"/annal")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if conn, err := silent.Accept(); err != nil { // it is at it
		t.Error(err)
	} else {
		defer conn.Close()
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Error(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
}

// A process that was stopped while it changed schemas keeps others waiting: they say what for, and, asked to end, that they did
// not come to an end.
func TestWhoWaitsForAnotherProcessSaysSo(t *testing.T) {
	t.Parallel()
	database := pgtest.URL(t)
	other, err := pgx.Connect(t.Context(), database)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close(t.Context())
	if _, err := other.Exec(t.Context(), "select pg_advisory_lock(hashtext('instance.migrations'))"); err != nil {
		t.Fatal(err)
	}
	h := newHome(t)
	h.env = append(h.env, "ANNAL_DATABASE_URL="+database, "ANNAL_MASTER_KEY="+vault.NewMasterKey())
	cmd := h.command("init")
	said, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(said)
	if !lines.Scan() || !strings.Contains(lines.Text(), "waiting for another process") {
		t.Errorf("it says %q", lines.Text())
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Error(err)
	}
	if !lines.Scan() || lines.Text() != "annal: stopped before it was done" {
		t.Errorf("asked to end it says %q", lines.Text())
	}
	if err := cmd.Wait(); cmd.ProcessState.ExitCode() != 1 {
		t.Error(err)
	}
}
