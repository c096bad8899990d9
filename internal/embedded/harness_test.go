package embedded

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// With useEnv set the test binary is another process that uses a data directory: it starts, prints the address or
// the refusal, and closes when its input ends.
// With forgetEnv set it starts, forgets that it did, and looks whether it still counts.
const (
	useEnv    = "ANNAL_EMBEDDED_TEST_USE"
	forgetEnv = "ANNAL_EMBEDDED_TEST_FORGET"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(forgetEnv); dir != "" {
		if _, err := Start(context.Background(), dir, Config{}); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		runtime.GC()
		time.Sleep(100 * time.Millisecond) // for the cleanups that the collection has found
		if stopped, err := StopIfUnused(dir); stopped || err != nil {
			fmt.Println("the server was stopped under its user", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	if dir := os.Getenv(useEnv); dir != "" {
		s, err := Start(context.Background(), dir, Config{})
		if err != nil {
			fmt.Println(strings.ReplaceAll(err.Error(), "\n", " "))
			os.Exit(1)
		}
		fmt.Println(s.ServingURL())
		_, _ = io.Copy(io.Discard, os.Stdin)
		if err := s.Close(); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	code := m.Run()
	os.RemoveAll(preparedDir)
	os.Exit(code)
}

type process struct {
	*exec.Cmd
	said string
	end  io.Closer
}

// use starts another process on dir, as another user if one is given, and waits for what it says.
func use(t *testing.T, dir string, as *syscall.Credential) process {
	t.Helper()
	binary := filepath.Join(openDir(t), "use") // go test builds into a folder that only its owner may enter
	self, err := os.Executable()
	if err == nil {
		var b []byte
		if b, err = os.ReadFile(self); err == nil {
			err = os.WriteFile(binary, b, 0o755)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(binary)
	cmd.Dir = "/"
	cmd.Env = append(os.Environ(), useEnv+"="+dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: as}
	in, _ := cmd.StdinPipe()
	out, _ := cmd.StdoutPipe()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	said, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("the other process ended without a word: %v", err)
	}
	return process{cmd, strings.TrimSpace(said), in}
}

func (p process) close(t *testing.T) {
	t.Helper()
	p.end.Close()
	if err := p.Wait(); err != nil {
		t.Fatal(err)
	}
}

// openDir is a directory that every user may enter, as a data directory's parent must be for root.
func openDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "annal-embedded-")
	if err == nil {
		err = os.Chmod(dir, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if _, err := StopIfUnused(dir); err != nil {
			t.Log(err)
		}
		os.RemoveAll(dir)
	})
	return dir
}

var (
	preparedDir string
	prepare     = sync.OnceValue(func() (err error) {
		if preparedDir, err = os.MkdirTemp("", "annal-embedded-"); err != nil {
			return err
		}
		s, err := Start(context.Background(), preparedDir, Config{})
		if err != nil {
			return err
		}
		return s.Close()
	})
)

// usedDir is a data directory that was started and stopped before, the same for all tests that leave it so.
func usedDir(t *testing.T) string {
	t.Helper()
	if err := prepare(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if _, err := StopIfUnused(preparedDir); err != nil {
			t.Error(err)
		}
	})
	return preparedDir
}

// copiedDir is one that a test may spoil.
func copiedDir(t *testing.T) string {
	t.Helper()
	dir := openDir(t)
	if out, err := exec.Command("cp", "-Rp", usedDir(t)+"/.", dir).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return dir
}

func start(t *testing.T, dir string) *Server {
	t.Helper()
	began := time.Now()
	s, err := Start(t.Context(), dir, Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("ready after %v", time.Since(began).Round(time.Millisecond))
	t.Cleanup(func() { s.Close() })
	return s
}

func exec1(t *testing.T, url, sql string, args ...any) {
	t.Helper()
	if err := try(t, url, sql, args...); err != nil {
		t.Fatal(err)
	}
}

func try(t *testing.T, url, sql string, args ...any) error {
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		return err
	}
	defer conn.Close(t.Context())
	_, err = conn.Exec(t.Context(), sql, args...)
	return err
}

func show(t *testing.T, url, sql string) (v string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	if err := conn.QueryRow(t.Context(), sql).Scan(&v); err != nil {
		t.Fatal(err)
	}
	return v
}

func alive(pid int) bool {
	if pid == 0 {
		return false
	}
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if errors.Is(err, os.ErrNotExist) && syscall.Kill(pid, 0) == syscall.ESRCH {
		return false
	}
	return !bytes.Contains(b, []byte(") Z "))
}
