package main

import (
	"net"
	"syscall"
	"testing"
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
