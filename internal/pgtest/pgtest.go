// Package pgtest gives a test a Postgres database of its own, in milliseconds, dropped when the test ends.
//
// All test binaries of all runs share one server of this user, started by the first that needs it. Its
// writes are not durable: a test of crashes takes a server of its own from [Durable]. No test binary can know that it
// is the last and none gets to run code when it ends, so each starts itself a second time as a watcher; the first one
// stops the server within half a minute after the last use and ends with it, the others end at once.
package pgtest

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/annal-crm/annal/internal/embedded"
)

// New is a pool on a fresh database after the given migrations. The test fails when there is no Postgres.
func New(t testing.TB, migrate ...func(context.Context, *pgx.Conn) error) *pgxpool.Pool {
	t.Helper()
	// t.Context ends before the cleanups run, but the pool is for them as well.
	pool, err := pgxpool.New(context.Background(), URL(t, migrate...))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return pool
}

// URL is the address of a fresh database after the given migrations, another one at each call.
func URL(t testing.TB, migrate ...func(context.Context, *pgx.Conn) error) string {
	t.Helper()
	server, err := sharedServer()
	if err != nil {
		t.Fatal(err)
	}
	name := fmt.Sprintf("test_%d_%d", os.Getpid(), databases.Add(1))
	ctx := context.Background()
	if err := execOn(ctx, server, "create database "+name); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := execOn(ctx, server, "drop database if exists "+name+" with (force)"); err != nil {
			t.Error(err)
		}
	})
	address, err := url.Parse(server)
	if err != nil {
		t.Fatal(err)
	}
	address.Path = "/" + name
	for _, step := range migrate {
		conn, err := pgx.Connect(ctx, address.String())
		if err != nil {
			t.Fatal(err)
		}
		err = step(ctx, conn)
		conn.Close(ctx)
		if err != nil {
			t.Fatal(err)
		}
	}
	return address.String()
}

// Durable is a server of the test's own, with the settings that Annal serves with, and its data directory, in which a
// test may kill it and start it again. It takes a second or two.
func Durable(t testing.TB) (server *embedded.Server, dataDir string) {
	t.Helper()
	// Not t.TempDir, into which only its owner may go: for root Postgres runs as somebody else.
	dataDir, err := os.MkdirTemp("", "annal-durable-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dataDir) })
	server, err = embedded.Start(t.Context(), dataDir, embedded.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := watch(dataDir); err != nil {
		t.Fatal(err)
	}
	return server, dataDir
}

var databases atomic.Int64

// sharedServer is the address of a database that others are created from, on the server of all tests or that of
// ANNAL_TEST_DATABASE_URL.
var sharedServer = sync.OnceValues(func() (string, error) {
	address := os.Getenv("ANNAL_TEST_DATABASE_URL")
	if address == "" {
		server, err := embedded.Start(context.Background(), dir(), embedded.Config{Settings: map[string]string{
			"fsync":               "off",
			"synchronous_commit":  "off",
			"full_page_writes":    "off",
			"max_connections":     "400", // a few packages at once, each with parallel tests that have a pool
			"autovacuum_naptime":  "10min",
			"max_wal_size":        "512MB",
			"wal_level":           "minimal",
			"max_wal_senders":     "0",
			"log_min_messages":    "warning", // there is no personal data in tests
			"log_error_verbosity": "default",
		}})
		if err != nil {
			return "", fmt.Errorf("tests need a Postgres, here or at the URL in ANNAL_TEST_DATABASE_URL: %w", err)
		}
		// Never closed: the lock goes with this process.
		address = server.URL()
		if err := watch(dir()); err != nil {
			return "", err
		}
	}
	return address, dropOrphans(context.Background(), address)
})

// dir is in memory where Linux offers enough of it, because making a database is making 300 files: 40 ms there, 20 to
// 500 ms on disks. TMPDIR puts it elsewhere. Containers have 64 MB of shared memory unless told otherwise: too little.
func dir() string {
	name := "annal-pgtest-" + strconv.Itoa(os.Getuid())
	var shm syscall.Statfs_t
	if os.Getenv("TMPDIR") == "" && syscall.Statfs("/dev/shm", &shm) == nil && shm.Blocks*uint64(shm.Bsize) >= 4<<30 {
		return filepath.Join("/dev/shm", name)
	}
	return filepath.Join(os.TempDir(), name)
}

// dropOrphans drops the databases of test binaries that were killed.
func dropOrphans(ctx context.Context, address string) error {
	conn, err := pgx.Connect(ctx, address)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	rows, err := conn.Query(ctx, `select datname from pg_database where datname ~ '^test_\d+_\d+$'`)
	if err != nil {
		return err
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return err
	}
	for _, name := range names {
		pid, _ := strconv.Atoi(strings.Split(name, "_")[1])
		if syscall.Kill(pid, 0) == syscall.ESRCH {
			// Another binary may drop it at the same moment: both are content.
			_, _ = conn.Exec(ctx, "drop database if exists "+name+" with (force)")
		}
	}
	return nil
}

func execOn(ctx context.Context, address, sql string) error {
	conn, err := pgx.Connect(ctx, address)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	_, err = conn.Exec(ctx, sql)
	return err
}

const watchEnv = "ANNAL_PGTEST_WATCH"

// watch starts this test binary again as the watcher of a data directory. A second watcher ends when it finds the first.
func watch(dataDir string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	cmd := exec.Command(self)
	cmd.Dir = os.TempDir()
	cmd.Env = append(os.Environ(), watchEnv+"="+dataDir)
	// Its own session and no output: go test waits for whoever holds its pipes.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return err
	}
	go func() { _ = cmd.Wait() }()
	return nil
}

// In a process started by watch this runs in place of the tests.
func init() {
	dataDir := os.Getenv(watchEnv)
	if dataDir == "" {
		return
	}
	lock, err := os.OpenFile(filepath.Join(dataDir, "watcher.lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		os.Exit(1)
	}
	// A watcher that has just stopped the server may not have ended yet: two seconds tell it from one at work.
	for range 20 {
		if syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil {
			for stopped := false; !stopped && err == nil; {
				// About as long as go test takes to build the next package: most runs start the server once.
				time.Sleep(20 * time.Second)
				if _, err = os.Stat(dataDir); err == nil { // a test removes its durable server's when it ends well
					stopped, err = embedded.StopIfUnused(dataDir)
				}
			}
			break
		}
		time.Sleep(100 * time.Millisecond)
	}
	os.Exit(0)
}
