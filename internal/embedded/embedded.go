// Package embedded runs Annal's own Postgres inside its data directory, so that Annal needs no configuration.
//
// Any number of processes share one data directory and its server. Two lock files decide everything, and the kernel
// frees them however a process ends. postgres.users is held shared by each [Server], and exclusively by the last one
// out while it stops the server. postgres.running belongs to whoever starts the server and is inherited by the server
// itself: as long as it is held there is one, whatever a stale postmaster.pid says.
package embedded

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/annal-crm/annal/internal/keyfile"
)

// role is both the superuser of the server and the owner of the database named database.
const (
	role     = "annal"
	database = "annal"
)

// Config holds what a caller may change. The zero value is what Annal serves with: durable, for one laptop-size machine.
type Config struct {
	// Settings are server settings added to Annal's own or put in their place, for tests and measurements. They count
	// for the call that starts the server; a call that joins a running one does not change it.
	Settings map[string]string
}

// patience bounds each wait for the server: to answer, crash recovery included, and to stop. Either takes seconds on a
// slow disk with the two gigabytes of log between checkpoints that the settings allow.
const patience = 2 * time.Minute

// Server is one use of the Postgres of a data directory. Its methods may be called concurrently.
type Server struct {
	cluster  cluster
	settings map[string]string
	users    *os.File
	port     int
	password string

	closing sync.Once
	closed  error
}

// held keeps the lock of a server that is never closed until the process ends: the garbage collector closes a file that
// nobody can reach.
var held sync.Map

// DefaultDataDir is /var/lib/annal for root, because the user that Postgres runs as cannot enter /root, and .annal
// in the working directory for everybody else.
func DefaultDataDir() string {
	if os.Geteuid() == 0 {
		return "/var/lib/annal"
	}
	return ".annal"
}

// Exists reports whether a data directory has been started in before.
func Exists(dataDir string) bool {
	_, err := os.Lstat(cluster{dir: dataDir}.data("PG_VERSION"))
	return !errors.Is(err, os.ErrNotExist)
}

// Start makes the server of dataDir run and answer, or joins the one that runs, also one left behind by a process that
// was killed. The first start makes the directory, the server's files and the database. It returns an error for people
// when that cannot be done: [ErrNoPostgres] when the machine has no Postgres, a sentence about the directory, or the
// last lines of the server's log. Calling it again in the same process is a second use with its own Close.
func Start(ctx context.Context, dataDir string, config Config) (*Server, error) {
	c, err := openCluster(dataDir)
	if err != nil {
		return nil, err
	}
	users, err := openLock(c.path("postgres.users"))
	if err != nil {
		return nil, err
	}
	s := &Server{cluster: c, settings: config.Settings, users: users}
	if err := waitLock(ctx, users, syscall.LOCK_SH); err != nil {
		users.Close()
		return nil, fmt.Errorf("the Postgres of %s is being stopped: %w", c.dir, err)
	}
	if err := s.run(ctx); err != nil {
		unlock(users)
		return nil, err
	}
	held.Store(users, nil)
	return s, nil
}

// run returns when the server answers: one that runs already, or else a new one.
func (s *Server) run(ctx context.Context) (err error) {
	running, err := openLock(s.cluster.path("postgres.running"))
	if err != nil {
		return err
	}
	// Closing gives the lock up only if no server inherited it.
	defer running.Close()

	patient, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var silence error
	for {
		free, err := tryLock(running, syscall.LOCK_EX)
		if err != nil {
			return err
		}
		if free {
			return s.launch(ctx, running, s.settings)
		}
		if pid := s.cluster.postmaster(); pid.status == "ready" {
			s.port = pid.port
			if s.password, err = s.cluster.readPassword(); err != nil {
				return err
			}
			if silence = s.answer(patient); silence == nil {
				return nil
			} else if wrongPassword(silence) {
				return fmt.Errorf("the Postgres of %s refuses the password in %s: %w", s.cluster.dir, s.cluster.path(passwordFile), silence)
			}
		}
		if err := pause(patient); err != nil {
			return fmt.Errorf("the Postgres of %s is running (process %d) but does not answer, see %s: %w",
				s.cluster.dir, s.cluster.postmaster().pid, s.cluster.path(logFile), cmp.Or(silence, err))
		}
	}
}

// watchEvery is how long a server that has died may stay unnoticed: seconds of UNAVAILABLE, and next to no work.
const watchEvery = time.Second

// Watch keeps the server running until ctx ends: one that has died, say by a kernel short of memory, is started again at the
// same port, and connections made from then on find it. What happened is told to say, with a nil error when the server answers
// again. Call it before Close, from any number of processes: one of them starts the server, the others find it running.
func (s *Server) Watch(ctx context.Context, say func(error)) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(watchEvery):
		}
		if s.runs() {
			continue
		}
		say(fmt.Errorf("the Postgres of %s has died, see %s", s.cluster.dir, s.cluster.path(logFile)))
		again := &Server{cluster: s.cluster, settings: s.settings}
		err := again.run(ctx)
		if err == nil && again.port != s.port {
			err = fmt.Errorf("the Postgres of %s had to take another port, %d: restart Annal", s.cluster.dir, again.port)
		}
		if ctx.Err() == nil {
			say(err)
		}
	}
}

// runs reports whether there is a server; if that cannot be told, that there is one.
func (s *Server) runs() bool {
	running, err := openLock(s.cluster.path("postgres.running"))
	if err != nil {
		return true
	}
	defer running.Close()
	free, err := tryLock(running, syscall.LOCK_SH)
	return err != nil || !free
}

// answer connects once and makes the database if the server has none yet.
func (s *Server) answer(ctx context.Context) error {
	conn, err := pgx.Connect(ctx, s.tcp("postgres"))
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	var made bool
	err = conn.QueryRow(ctx, "select exists (select from pg_database where datname = $1)", database).Scan(&made)
	if err == nil && !made {
		_, err = conn.Exec(ctx, "create database "+database)
	}
	return err
}

func wrongPassword(err error) bool {
	refused, ok := errors.AsType[*pgconn.PgError](err)
	return ok && (refused.Code == "28P01" || refused.Code == "28000")
}

// URL is the address of the database for the owner of everything in it, over loopback, for programs like psql and
// pg_dump run by any user. It holds the password. It stays the same over restarts as long as nobody takes the port.
func (s *Server) URL() string { return s.tcp(database) }

func (s *Server) tcp(name string) string {
	u := url.URL{Scheme: "postgres", User: url.UserPassword(role, s.password), Path: "/" + name, RawQuery: "sslmode=disable",
		Host: "127.0.0.1:" + strconv.Itoa(s.port)}
	return u.String()
}

// ServingURL is the same database through the server's socket, which only the user that started Annal may use. It is
// [Server.URL] when the data directory's path does not fit into a socket address.
func (s *Server) ServingURL() string {
	dir := s.cluster.socketDir()
	if dir == "" {
		return s.URL()
	}
	// Postgres takes a plus sign in a query for itself, not for a space.
	return fmt.Sprintf("postgres://%s:%s@/%s?host=%s&port=%d", role, s.password, database, url.PathEscape(dir), s.port)
}

// Pid is the process id of the server, 0 when there is none. A test of crashes kills it and calls [Start] again.
func (s *Server) Pid() int { return s.cluster.postmaster().pid }

// Close ends this use. The last use of the data directory stops the server and waits until all is on disk.
// Closing again returns the first result.
func (s *Server) Close() error {
	s.closing.Do(func() {
		held.Delete(s.users)
		unlock(s.users)
		_, s.closed = s.cluster.stopIfUnused()
	})
	return s.closed
}

// StopIfUnused stops the server of dataDir if no [Server] uses it, and reports whether none runs any more.
func StopIfUnused(dataDir string) (stopped bool, err error) {
	c, err := openCluster(dataDir)
	if err != nil {
		return false, err
	}
	return c.stopIfUnused()
}

func (c cluster) stopIfUnused() (stopped bool, err error) {
	users, err := openLock(c.path("postgres.users"))
	if err != nil {
		return false, err
	}
	defer unlock(users)
	if last, err := tryLock(users, syscall.LOCK_EX); err != nil || !last {
		return false, err
	}
	running, err := openLock(c.path("postgres.running"))
	if err != nil {
		return false, err
	}
	defer running.Close()
	if gone, err := tryLock(running, syscall.LOCK_EX); err != nil || gone {
		return gone, err
	}
	if pid := c.postmaster().pid; pid > 0 {
		if err := syscall.Kill(pid, syscall.SIGINT); err != nil && !errors.Is(err, syscall.ESRCH) {
			return false, fmt.Errorf("stop Postgres (process %d): %w", pid, err)
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := waitLock(ctx, running, syscall.LOCK_EX); err != nil {
		return false, fmt.Errorf("the Postgres of %s has not stopped, see %s: %w", c.dir, c.path(logFile), err)
	}
	return true, nil
}

func openLock(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("the data directory must be writable: %w", err)
	}
	return f, nil
}

func tryLock(f *os.File, how int) (bool, error) {
	for {
		switch err := syscall.Flock(int(f.Fd()), how|syscall.LOCK_NB); err {
		case nil:
			return true, nil
		case syscall.EINTR:
		case syscall.EWOULDBLOCK:
			return false, nil
		default:
			return false, fmt.Errorf("lock %s: %w", f.Name(), err)
		}
	}
}

func waitLock(ctx context.Context, f *os.File, how int) error {
	for {
		if held, err := tryLock(f, how); held || err != nil {
			return err
		}
		if err := pause(ctx); err != nil {
			return err
		}
	}
}

// unlock gives the lock up at once, even if a child that is just being started holds a copy of the descriptor.
func unlock(f *os.File) {
	_ = syscall.Flock(int(f.Fd()), syscall.LOCK_UN)
	f.Close()
}

func pause(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(10 * time.Millisecond):
		return nil
	}
}

const passwordFile = "postgres.password"

func (c cluster) readPassword() (string, error) {
	b, err := os.ReadFile(c.path(passwordFile))
	if err != nil {
		return "", fmt.Errorf("the password of Annal's Postgres is needed, restore it from a backup: %w", err)
	}
	return strings.TrimSpace(string(b)), nil
}

// makePassword writes a new password, or returns the one of a first start that did not get to its end.
func (c cluster) makePassword() (string, error) {
	if err := keyfile.Make(c.path(passwordFile), rand.Text()+"\n"); err != nil && !errors.Is(err, os.ErrExist) {
		return "", err
	}
	return c.readPassword()
}

func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
