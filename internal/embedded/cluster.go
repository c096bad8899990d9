package embedded

import (
	"bytes"
	"cmp"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// A data directory holds postgres.* files of Annal's own and the folder postgres, which belongs to the user that the
// server runs as: its data, its socket, nothing that a process of another user writes to later.
const (
	logFile      = "postgres.log"
	settingsFile = "postgres.conf"
)

type cluster struct {
	dir   string
	owner *syscall.Credential // whom the server runs as, nil: as this process
	name  string              // the owner's name
}

func (c cluster) path(name string) string { return filepath.Join(c.dir, name) }
func (c cluster) folder() string          { return c.path("postgres") }
func (c cluster) data(name string) string { return filepath.Join(c.folder(), "data", name) }
func (c cluster) binaries() string        { return c.path("postgres-binaries") }
func (c cluster) explain(err error) error { return fmt.Errorf("the Postgres of %s: %w", c.dir, err) }
func (c cluster) own(path string) error {
	if c.owner == nil {
		return nil
	}
	return os.Chown(path, int(c.owner.Uid), int(c.owner.Gid))
}

// openCluster makes the directory and finds out whom the server runs as.
func openCluster(dataDir string) (cluster, error) {
	dir, err := filepath.Abs(dataDir)
	if err != nil {
		return cluster{}, err
	}
	c := cluster{dir: dir}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return c, fmt.Errorf("the data directory cannot be made, choose another with --data-dir: %w", err)
	}
	if c.dir, err = filepath.EvalSymlinks(dir); err != nil {
		return c, err
	}
	if err := c.findOwner(); err != nil {
		return c, err
	}
	if err := os.Mkdir(c.folder(), 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return c, fmt.Errorf("the data directory must be writable, choose another with --data-dir: %w", err)
	}
	if err := c.own(c.folder()); err != nil {
		return c, c.explain(err)
	}
	return c, c.enterable()
}

// findOwner takes the user that owns the server's files; for root, whom Postgres refuses, another one.
func (c *cluster) findOwner() error {
	uid := os.Geteuid()
	has := -1
	if info, err := os.Stat(c.folder()); err == nil {
		has = int(info.Sys().(*syscall.Stat_t).Uid)
	}
	if uid != 0 {
		if has >= 0 && has != uid {
			return fmt.Errorf("%s belongs to user %d and you are user %d: start Annal as its owner or choose another directory with --data-dir", c.folder(), has, uid)
		}
		return nil
	}
	var found *user.User
	if has > 0 {
		found, _ = user.LookupId(strconv.Itoa(has))
	}
	for _, name := range []string{"postgres", "_postgres", "nobody"} {
		if found == nil {
			found, _ = user.Lookup(name)
		}
	}
	if found == nil {
		return errors.New("a Postgres does not run as root and this machine has neither a user postgres nor nobody: start Annal as another user")
	}
	u, err := strconv.ParseUint(found.Uid, 10, 32)
	g, err2 := strconv.ParseUint(found.Gid, 10, 32)
	if err := errors.Join(err, err2); err != nil {
		return err
	}
	c.owner, c.name = &syscall.Credential{Uid: uint32(u), Gid: uint32(g)}, found.Username
	return nil
}

// enterable says which directory keeps the owner out. The data directory itself is Annal's own and is opened for passing through.
func (c cluster) enterable() error {
	if c.owner == nil {
		return nil
	}
	for dir := c.dir; ; dir = filepath.Dir(dir) {
		info, err := os.Stat(dir)
		if err != nil {
			return err
		}
		if !c.mayEnter(info) {
			if dir != c.dir {
				return fmt.Errorf("the user %q, as whom Postgres runs because it refuses root, may not enter %s: choose a directory elsewhere with --data-dir (or chmod o+x %[2]s)", c.name, dir)
			}
			if err := os.Chmod(dir, info.Mode().Perm()|0o001); err != nil {
				return err
			}
		}
		if dir == filepath.Dir(dir) {
			return nil
		}
	}
}

func (c cluster) mayEnter(info os.FileInfo) bool {
	stat := info.Sys().(*syscall.Stat_t)
	switch {
	case stat.Uid == c.owner.Uid:
		return info.Mode()&0o100 != 0
	case stat.Gid == c.owner.Gid:
		return info.Mode()&0o010 != 0
	}
	return info.Mode()&0o001 != 0
}

// command is a program of Postgres as the owner, without Annal's environment, which may hold secrets.
func (c cluster) command(program string, args ...string) *exec.Cmd {
	cmd := exec.Command(program, args...)
	cmd.Dir = c.folder()
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C", "TZ=UTC"}
	// A session of its own: Ctrl-C at Annal's terminal must not stop a server that others use.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Credential: c.owner}
	return cmd
}

// postmaster is what the server says about itself in postmaster.pid, zero when there is no such file. After a crash the
// file is stale, so it counts only while the lock postgres.running is held.
func (c cluster) postmaster() (p struct {
	pid, port int
	status    string
}) {
	b, _ := os.ReadFile(c.data("postmaster.pid"))
	lines := strings.Split(string(b), "\n")
	p.pid, _ = strconv.Atoi(strings.TrimSpace(lines[0]))
	if len(lines) >= 8 {
		p.port, _ = strconv.Atoi(strings.TrimSpace(lines[3]))
		p.status = strings.TrimSpace(lines[7])
	}
	return p
}

// socketDir is empty when the path is too long for a socket address or cannot be written in the settings.
func (c cluster) socketDir() string {
	longest := len(syscall.RawSockaddrUnix{}.Path) - 1
	if len(c.folder()+"/.s.PGSQL.65535") > longest || strings.ContainsAny(c.folder(), `,"\`+"\n") {
		return ""
	}
	return c.folder()
}

// launch starts the server, with the lock running as its inheritance, and waits until it answers.
func (s *Server) launch(ctx context.Context, running *os.File, settings map[string]string) error {
	c := s.cluster
	bin, err := c.initialised(ctx, running)
	if err != nil {
		return err
	}
	if s.password, err = c.readPassword(); err != nil {
		return err
	}
	s.port = c.lastPort()
	// Somebody may take the port between our look and the server's: then another one.
	for try := 0; ; try++ {
		s.port = freePort(s.port)
		err := s.launchOn(ctx, bin, running, settings)
		if err == nil || try == 2 || !errors.Is(err, errPortTaken) {
			return err
		}
		s.port = 0
	}
}

var errPortTaken = errors.New("the port is taken")

func (s *Server) launchOn(ctx context.Context, bin string, running *os.File, settings map[string]string) error {
	c := s.cluster
	if err := os.WriteFile(c.path(settingsFile), c.settings(s.port, settings), 0o644); err != nil {
		return c.explain(err)
	}
	if err := os.Rename(c.path(logFile), c.path(logFile+".1")); err != nil && !errors.Is(err, os.ErrNotExist) {
		return c.explain(err)
	}
	log, err := os.OpenFile(c.path(logFile), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return c.explain(err)
	}
	defer log.Close()

	cmd := c.command(filepath.Join(bin, "postgres"), "-D", c.data(""), "-c", "config_file="+c.path(settingsFile))
	// On a full disk the server could not even say so.
	if _, err := fmt.Fprintf(log, "Annal starts %s\n", cmd.Path); err != nil {
		return c.explain(err)
	}
	cmd.Stdout, cmd.Stderr = log, log
	cmd.ExtraFiles = []*os.File{running}
	// The lock is free, so whatever process has the id in a left postmaster.pid, it is not its server. Postgres ignores
	// the id of a grandparent, and still looks for orphans that use the data.
	if stale := c.postmaster().pid; stale > 0 {
		cmd.Env = append(cmd.Env, "PG_GRANDPARENT_PID="+strconv.Itoa(stale))
	}
	if err := cmd.Start(); err != nil {
		return c.explain(err)
	}
	exited := make(chan struct{})
	go func() { _ = cmd.Wait(); close(exited) }()

	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var silence error
	for {
		if p := c.postmaster(); p.pid == cmd.Process.Pid && p.status == "ready" {
			if silence = s.answer(ctx); silence == nil {
				return nil
			}
		}
		select {
		case <-exited:
			last := c.lastLines()
			if strings.Contains(last, "could not create any TCP/IP sockets") {
				return fmt.Errorf("%w: %s", errPortTaken, last)
			}
			return fmt.Errorf("the Postgres of %s did not start, the last lines of %s:\n%s", c.dir, c.path(logFile), last)
		default:
		}
		waited := pause(ctx)
		if waited == nil && !wrongPassword(silence) {
			continue
		}
		_ = cmd.Process.Signal(syscall.SIGINT)
		select {
		case <-exited:
		case <-time.After(10 * time.Second): // a disk that hangs: the lock stays with the server, the next start finds it
		}
		return fmt.Errorf("the Postgres of %s started but did not answer: %w, the last lines of its log:\n%s", c.dir, cmp.Or(silence, waited), c.lastLines())
	}
}

// initialised returns the folder of the binaries that fit the server's files, which it makes if there are none.
func (c cluster) initialised(ctx context.Context, running *os.File) (bin string, err error) {
	version, err := os.ReadFile(c.data("PG_VERSION"))
	if err == nil {
		return c.binariesFor(strings.TrimSpace(string(version)))
	}
	if !errors.Is(err, os.ErrNotExist) {
		return "", c.explain(err)
	}
	if _, err := os.Lstat(c.data("")); err == nil {
		return "", fmt.Errorf("%s exists but is no directory of a Postgres (PG_VERSION is missing): restore it from a backup, or move it away to start from scratch", c.data(""))
	}
	bin, major, err := c.anyBinaries(ctx)
	if err != nil {
		return "", err
	}
	password, err := c.makePassword()
	if err != nil {
		return "", c.explain(err)
	}
	half := filepath.Join(c.folder(), "data.new") // of a first start that did not get to its end
	passwords := filepath.Join(c.folder(), "initdb.password")
	defer os.Remove(passwords)
	defer os.RemoveAll(half)
	if err := errors.Join(os.RemoveAll(half), os.WriteFile(passwords, []byte(password), 0o600), c.own(passwords)); err != nil {
		return "", c.explain(err)
	}
	// Code point order everywhere, and letters beyond ASCII are letters. Only Postgres 17 and later bring it along.
	locales := [][]string{{"--locale=C.UTF-8"}, {"--locale=C"}}
	if major >= 17 {
		locales = [][]string{{"--locale=C.UTF-8", "--locale-provider=builtin"}, {"--locale=C"}}
	}
	for i, locale := range locales {
		args := append(locale, "-D", half, "-U", role, "--pwfile="+passwords, "--auth=scram-sha-256", "-E", "UTF8", "--data-checksums", "--no-instructions")
		cmd := c.command(filepath.Join(bin, "initdb"), args...)
		cmd.ExtraFiles = []*os.File{running} // if we are killed now, the next start waits for initdb's end
		out, err := cmd.CombinedOutput()
		if err == nil {
			break
		}
		if i == 0 && bytes.Contains(out, []byte("locale")) {
			continue
		}
		return "", fmt.Errorf("initdb could not make the files of Postgres in %s (%w), its last lines:\n%s", c.folder(), err, tail(out))
	}
	if err := errors.Join(os.Rename(half, c.data("")), syncDir(c.folder()), syncDir(c.dir)); err != nil {
		return "", c.explain(err)
	}
	return bin, nil
}

//go:embed postgres.conf
var defaults string

// settings is the server's configuration: the defaults, and what stands behind them counts more.
func (c cluster) settings(port int, more map[string]string) []byte {
	b := []byte(defaults)
	set := func(name, value string) {
		b = fmt.Appendf(b, "%s = '%s'\n", name, strings.ReplaceAll(value, "'", "''"))
	}
	set("port", strconv.Itoa(port))
	set("unix_socket_directories", c.socketDir())
	for name, value := range more {
		set(name, value)
	}
	return b
}

var portSetting = regexp.MustCompile(`(?m)^port = '(\d+)'$`)

// lastPort is the port of the last start, 0 if there was none.
func (c cluster) lastPort() int {
	b, _ := os.ReadFile(c.path(settingsFile))
	if m := portSetting.FindSubmatch(b); m != nil {
		port, _ := strconv.Atoi(string(m[1]))
		return port
	}
	return 0
}

// freePort is wish if nobody listens there, else any other.
func freePort(wish int) int {
	for _, port := range []int{wish, 0} {
		if l, err := net.Listen("tcp", "127.0.0.1:"+strconv.Itoa(port)); err == nil {
			defer l.Close()
			return l.Addr().(*net.TCPAddr).Port
		}
	}
	return wish
}

func (c cluster) lastLines() string {
	b, _ := os.ReadFile(c.path(logFile))
	return tail(b)
}

// tail is the last eight lines: enough for a FATAL and what led to it.
func tail(b []byte) string {
	lines := strings.Split(strings.TrimSpace(string(b)), "\n")
	return strings.Join(lines[max(0, len(lines)-8):], "\n")
}
