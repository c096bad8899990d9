package embedded

import (
	"archive/zip"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"
)

func TestFirstStart(t *testing.T) {
	dir := filepath.Join(openDir(t), "made", "by annal's start")
	s := start(t, dir)
	for setting, want := range map[string]string{
		"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on", "data_checksums": "on",
		"listen_addresses": "127.0.0.1", "server_encoding": "UTF8", "TimeZone": "UTC", "is_superuser": "on",
	} {
		for _, url := range []string{s.URL(), s.ServingURL()} {
			if got := show(t, url, "show "+setting); got != want {
				t.Errorf("%s is %s, want %s", setting, got, want)
			}
		}
	}
	if got := show(t, s.URL(), "select lower('ÄÖ') || (select string_agg(x, '' order by x) from (values ('b'), ('B'), ('a')) v(x))"); got != "äöBab" {
		t.Errorf("letters and their order: %s, want äöBab", got)
	}
	if s.ServingURL() == s.URL() || show(t, s.ServingURL(), "select coalesce(host(inet_client_addr()), 'socket')") != "socket" {
		t.Error("the serving address is not the socket")
	}
	if err := try(t, strings.Replace(s.URL(), s.password, "guess", 1), "select 1"); !wrongPassword(err) {
		t.Errorf("a wrong password gives %v", err)
	}
	if group, err := syscall.Getpgid(s.Pid()); err != nil || group != s.Pid() {
		t.Errorf("the server is in process group %d (%v): Ctrl-C would stop it", group, err)
	}
	t.Setenv("ANNAL_MASTER_KEY", "a secret")
	if env := strings.Join(s.cluster.command("postgres").Env, " "); strings.Contains(env, "a secret") {
		t.Errorf("Annal's environment goes to Postgres: %s", env)
	}
	if info, err := os.Stat(filepath.Join(dir, passwordFile)); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the password file: %v, %v", info.Mode(), err)
	}
}

// Error messages quote the data. The log of the server must not.
func TestTheServerLogHoldsNoData(t *testing.T) {
	dir := usedDir(t)
	s := start(t, dir)
	exec1(t, s.URL(), "drop table if exists people; create table people (name text primary key, age int)")
	for _, args := range [][]any{{"ada lovelace", 36}, {"ada lovelace", 37}} {
		_ = try(t, s.URL(), "insert into people values ($1, $2)", args...)
	}
	_ = try(t, s.URL(), "insert into people values ('x', 'ada lovelace')")
	_ = try(t, s.URL(), "insert into persons values ('ada lovelace')")
	_ = try(t, s.URL(), "do $$ begin raise warning 'ada lovelace'; end $$")
	log, err := os.ReadFile(filepath.Join(dir, logFile))
	if err != nil || !bytes.Contains(log, []byte("ready to accept connections")) {
		t.Fatalf("no log of the server: %v", err)
	}
	if bytes.Contains(log, []byte("ada")) {
		t.Errorf("personal data in the log:\n%s", log)
	}
}

func TestProcessesShareTheServerAndTheLastOneOutStopsIt(t *testing.T) {
	dir := usedDir(t)
	first := use(t, dir, nil)
	here := start(t, dir)
	again := start(t, dir)
	pid, port := here.Pid(), here.port
	if first.said != here.ServingURL() || again.URL() != here.URL() {
		t.Fatalf("three users of one directory have the addresses %s, %s and %s", first.said, here.ServingURL(), again.ServingURL())
	}
	exec1(t, first.said, "drop table if exists shared; create table shared (n int)")

	first.close(t) // the one that started the server
	if err := here.Close(); err != nil {
		t.Fatal(err)
	}
	if err := here.Close(); err != nil {
		t.Fatal("a second Close:", err)
	}
	if stopped, err := StopIfUnused(dir); stopped || err != nil {
		t.Fatalf("a server in use was stopped (%v, %v)", stopped, err)
	}
	exec1(t, again.URL(), "insert into shared values (1)")

	if err := again.Close(); err != nil {
		t.Fatal(err)
	}
	if alive(pid) {
		t.Fatal("the last one left and the server runs")
	}
	next := start(t, dir)
	if next.port != port {
		t.Errorf("the port was %d and is %d, though nobody took it", port, next.port)
	}
	exec1(t, next.URL(), "insert into shared values (2)")
}

func TestAServerThatIsNeverClosedStaysInUse(t *testing.T) {
	// Another process, because this one must not keep the directory in use for the tests that follow.
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), forgetEnv+"="+usedDir(t))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}

func TestManyStartAtOnce(t *testing.T) {
	dir := usedDir(t)
	pids := make(chan int)
	for range 4 {
		go func() {
			s, err := Start(t.Context(), dir, Config{})
			if err != nil {
				t.Error(err)
				pids <- 0
				return
			}
			pid := s.Pid()
			if err := s.Close(); err != nil {
				t.Error(err)
			}
			pids <- pid
		}()
	}
	for range 4 {
		if <-pids == 0 {
			t.Error("a start without a server")
		}
	}
	if s, _ := openCluster(dir); alive(s.postmaster().pid) {
		t.Error("all have left and the server runs")
	}
}

func TestAServerLeftByAKillIsFoundAndReused(t *testing.T) {
	dir := usedDir(t)
	first := use(t, dir, nil)
	if err := first.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = first.Wait()
	c, err := openCluster(dir)
	if err != nil {
		t.Fatal(err)
	}
	left := c.postmaster().pid
	if !alive(left) {
		t.Fatal("the server died with the process that started it")
	}
	s := start(t, dir)
	if s.Pid() != left {
		t.Errorf("another server (%d) was started beside the one left (%d)", s.Pid(), left)
	}
	if err := s.Close(); err != nil || alive(left) {
		t.Errorf("the one left was not stopped: %v", err)
	}
}

func TestAKilledServerStartsAgain(t *testing.T) {
	dir := usedDir(t)
	s := start(t, dir)
	exec1(t, s.URL(), "drop table if exists kept; create table kept as select generate_series(1, 1000)")
	if err := syscall.Kill(s.Pid(), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	again := start(t, dir)
	if again.Pid() == 0 || again.URL() != s.URL() {
		t.Errorf("started again at %s, was at %s", again.URL(), s.URL())
	}
	if got := show(t, s.URL(), "select count(*)::text from kept"); got != "1000" {
		t.Errorf("%s rows are left of 1000", got)
	}
}

// After the machine crashed, the process id in postmaster.pid may be that of any other process.
func TestAWatchedServerThatDiesIsStartedAgain(t *testing.T) {
	s := start(t, usedDir(t))
	url := s.URL()
	ctx, stop := context.WithCancel(t.Context())
	said, done := make(chan error, 8), make(chan struct{})
	go func() { defer close(done); s.Watch(ctx, func(err error) { said <- err }) }()
	if err := syscall.Kill(s.Pid(), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if err := <-said; err == nil || !strings.Contains(err.Error(), "has died") {
		t.Errorf("said first: %v", err)
	}
	if err := <-said; err != nil {
		t.Errorf("said then: %v", err)
	}
	if conn, err := pgx.Connect(t.Context(), url); err != nil {
		t.Errorf("the same address: %v", err)
	} else if err := conn.Close(t.Context()); err != nil {
		t.Error(err)
	}
	stop()
	<-done
}

func TestAStaleProcessIDIsNotTheServer(t *testing.T) {
	dir := usedDir(t)
	s := start(t, dir)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	bystander := s.cluster.command("sleep", "60")
	if err := bystander.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = bystander.Process.Kill(); _ = bystander.Wait() })
	stale := fmt.Sprintf("%d\n%s\n1700000000\n%d\n%s\n127.0.0.1\n 123456 0\nready   \n", bystander.Process.Pid, s.cluster.data(""), s.port, s.cluster.folder())
	if err := errors.Join(os.WriteFile(s.cluster.data("postmaster.pid"), []byte(stale), 0o600), s.cluster.own(s.cluster.data("postmaster.pid"))); err != nil {
		t.Fatal(err)
	}
	again := start(t, dir)
	if pid := again.Pid(); pid == bystander.Process.Pid || !alive(pid) {
		t.Errorf("the server is said to be process %d", pid)
	}
	if err := again.Close(); err != nil || !alive(bystander.Process.Pid) {
		t.Errorf("the bystander was stopped (%v)", err)
	}
}

func TestATakenPortIsLeftAlone(t *testing.T) {
	dir := usedDir(t)
	s := start(t, dir)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:"+strconv.Itoa(s.port))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	// Between the look for a free port and the server's own: the server finds it taken.
	running, err := openLock(s.cluster.path("postgres.running"))
	if err != nil {
		t.Fatal(err)
	}
	defer running.Close()
	bin, err := s.cluster.initialised(t.Context(), running)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.launchOn(t.Context(), bin, running, nil); !errors.Is(err, errPortTaken) {
		t.Errorf("a server on a taken port: %v", err)
	}
	if again := start(t, dir); again.port == s.port {
		t.Error("two listen on one port")
	}
}

func TestAFirstStartThatFailedHalfWayIsTriedAgain(t *testing.T) {
	dir, fake := openDir(t), openDir(t)
	real := cluster{}.folders()
	if len(real) == 0 {
		t.Fatal("this test needs Postgres on the machine")
	}
	script := "#!/bin/sh\nfor a; do case $last in -D) mkdir -p \"$a/base\";; esac; last=$a; done\necho 'initdb: error: could not write to file: No space left on device' >&2\nexit 1\n"
	if err := errors.Join(os.Symlink(filepath.Join(real[0], "postgres"), filepath.Join(fake, "postgres")),
		os.WriteFile(filepath.Join(fake, "initdb"), []byte(script), 0o755)); err != nil {
		t.Fatal(err)
	}
	path := os.Getenv("PATH")
	t.Setenv("PATH", fake+":"+path)
	if _, err := Start(t.Context(), dir, Config{}); err == nil || !strings.Contains(err.Error(), "No space left on device") {
		t.Fatalf("the reason is not told: %v", err)
	}
	// What a start that was killed would have left.
	if err := os.MkdirAll(filepath.Join(dir, "postgres", "data.new", "base"), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", path)
	exec1(t, start(t, dir).URL(), "select 1")
}

func TestALongPathIsServedOverLoopback(t *testing.T) {
	long := filepath.Join(openDir(t), strings.Repeat("long", 25))
	if err := os.Rename(copiedDir(t), long); err != nil {
		t.Fatal(err)
	}
	s := start(t, long)
	if s.ServingURL() != s.URL() {
		t.Errorf("the serving address is %s", s.ServingURL())
	}
	exec1(t, s.URL(), "select 1")
}

func TestRefusals(t *testing.T) {
	refused := func(name, want string, prepare func(t *testing.T, dir string) error) {
		t.Run(name, func(t *testing.T) {
			dir := openDir(t)
			if err := prepare(t, dir); err != nil {
				t.Fatal(err)
			}
			s, err := Start(t.Context(), filepath.Join(dir, "data"), Config{})
			if err == nil {
				s.Close()
				t.Fatal("it starts")
			}
			if strings.Contains(err.Error(), "DIR") || !strings.Contains(err.Error(), strings.ReplaceAll(want, "DIR", dir)) {
				t.Errorf("%v\nwant %s", err, want)
			}
		})
	}
	files := func(dir, version string) error {
		data := filepath.Join(dir, "data", "postgres", "data")
		return errors.Join(os.MkdirAll(data, 0o755), os.WriteFile(filepath.Join(data, version), []byte("9\n"), 0o644))
	}
	refused("files of another version", "the files in DIR/data/postgres are of Postgres 9 and this machine has Postgres 1", func(t *testing.T, dir string) error {
		return files(dir, "PG_VERSION")
	})
	refused("files of no Postgres", "DIR/data/postgres/data exists but is no directory of a Postgres", func(t *testing.T, dir string) error {
		return files(dir, "letter.txt")
	})
	refused("a file in its place", "choose another with --data-dir: mkdir DIR/data: not a directory", func(t *testing.T, dir string) error {
		return os.WriteFile(filepath.Join(dir, "data"), nil, 0o644)
	})
	refused("no Postgres and no download", "install Postgres (apt install postgresql, brew install postgresql), or set ANNAL_DATABASE_URL", func(t *testing.T, dir string) error {
		without(t, http.NotFoundHandler())
		return nil
	})
	refused("a lost password", "restore it from a backup: open DIR/data/postgres.password", func(t *testing.T, dir string) error {
		return errors.Join(os.Rename(copiedDir(t), filepath.Join(dir, "data")), os.Remove(filepath.Join(dir, "data", passwordFile)))
	})
	refused("a broken setting", `unrecognized configuration parameter "nonsense"`, func(t *testing.T, dir string) error {
		data := filepath.Join(dir, "data")
		return errors.Join(os.Rename(copiedDir(t), data), os.WriteFile(filepath.Join(data, "postgres", "data", "postgresql.conf"), []byte("nonsense = on\n"), 0o600))
	})
	if os.Geteuid() == 0 {
		refused("root's directory that Postgres may not enter", `the user "`, func(t *testing.T, dir string) error { return os.Chmod(dir, 0o700) })
		refused("and which", "may not enter DIR: choose a directory elsewhere with --data-dir", func(t *testing.T, dir string) error { return os.Chmod(dir, 0o700) })
	}
}

// without takes Postgres from the machine and gives it another place to download from.
func without(t *testing.T, downloads http.Handler) {
	server := httptest.NewServer(downloads)
	t.Cleanup(server.Close)
	wereInstalls, wereRepository := installs, repository
	t.Cleanup(func() { installs, repository = wereInstalls, wereRepository })
	installs, repository = nil, server.URL
	t.Setenv("PATH", "")
}

func TestDownload(t *testing.T) {
	archive, err := os.ReadFile("testdata/postgres.txz") // programs of a few bytes, in the form of the published ones
	if err != nil {
		t.Fatal(err)
	}
	without(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasSuffix(r.URL.Path, ".jar") {
			http.NotFound(w, r)
			return
		}
		var jar bytes.Buffer
		z := zip.NewWriter(&jar)
		f, _ := z.Create("postgres-linux-x86_64.txz")
		_, _ = f.Write(archive)
		z.Close()
		_, _ = w.Write(jar.Bytes())
	}))
	dir := openDir(t)
	c, err := openCluster(dir)
	if err != nil {
		t.Fatal(err)
	}
	bin, major, err := c.anyBinaries(t.Context())
	if err != nil || major != 18 || bin != filepath.Join(c.dir, "postgres-binaries", "bin") {
		t.Fatalf("downloaded %s, version %d, %v", bin, major, err)
	}
	repository = "http://127.0.0.1:1" // not fetched again
	if again, _, err := c.anyBinaries(t.Context()); again != bin || err != nil {
		t.Errorf("the second time: %s, %v", again, err)
	}
	if fits, err := c.binariesFor("18"); fits != bin || err != nil {
		t.Errorf("for files of version 18: %s, %v", fits, err)
	}
}

// Root's tests run as another user as well; any other user's tests are those already.
func TestAnotherUser(t *testing.T) {
	if os.Geteuid() != 0 {
		return
	}
	nobody := &syscall.Credential{Uid: 65534, Gid: 65534}
	dir := copiedDir(t)
	if out, err := exec.Command("chown", "-R", "65534:65534", dir).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	own := use(t, dir, nobody)
	exec1(t, own.said, "create table t (n int)")
	own.close(t)

	theirs := use(t, dir, &syscall.Credential{Uid: 65533, Gid: 65533})
	if want := "belongs to user 65534 and you are user 65533"; !strings.Contains(theirs.said, want) {
		t.Errorf("%s\nwant %s", theirs.said, want)
	}
	readonly := use(t, openDir(t), nobody)
	if want := "the data directory must be writable, choose another with --data-dir"; !strings.Contains(readonly.said, want) {
		t.Errorf("%s\nwant %s", readonly.said, want)
	}
}
