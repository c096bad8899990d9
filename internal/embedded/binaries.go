package embedded

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	embeddedpostgres "github.com/fergusstrange/embedded-postgres"
)

// ErrNoPostgres means that the machine has no Postgres of use and none could be downloaded.
var ErrNoPostgres = errors.New("no Postgres on this machine")

// oldest is the first major version that knows every setting that we write.
const oldest = 13

// installs are the folders where packages put the binaries, looked through after PATH.
var installs = []string{
	"/usr/lib/postgresql/*/bin",
	"/usr/pgsql-*/bin",
	"/usr/local/pgsql/bin",
	"/opt/homebrew/opt/postgresql*/bin",
	"/usr/local/opt/postgresql*/bin",
	"/Applications/Postgres.app/Contents/Versions/*/bin",
}

// binariesFor finds the binaries of the major version that made the files.
func (c cluster) binariesFor(version string) (bin string, err error) {
	var others []string
	for _, bin := range c.folders() {
		major := c.majorOf(bin)
		if strconv.Itoa(major) == version {
			return bin, nil
		}
		others = append(others, fmt.Sprintf("%d in %s", major, bin))
	}
	if len(others) == 0 {
		others = []string{"none"}
	}
	return "", fmt.Errorf("the files in %s are of Postgres %s and this machine has Postgres %s: install version %[2]s, or choose another directory with --data-dir",
		c.folder(), version, strings.Join(others, ", "))
}

// anyBinaries finds the binaries for new files, or downloads them.
func (c cluster) anyBinaries(ctx context.Context) (bin string, major int, err error) {
	for _, bin := range c.folders() {
		if major := c.majorOf(bin); major >= oldest {
			return bin, major, nil
		}
	}
	bin, err = c.download(ctx)
	if err != nil {
		return "", 0, fmt.Errorf("%w: looked for the programs postgres and initdb (version %d or later) in PATH and in %s, and the download failed (%w): "+
			"install Postgres (apt install postgresql, brew install postgresql), or set ANNAL_DATABASE_URL to a server of your own", ErrNoPostgres, oldest, strings.Join(installs, ", "), err)
	}
	return bin, c.majorOf(bin), nil
}

// folders are all that hold both programs: PATH first, then what is installed, newest first, then what was downloaded.
func (c cluster) folders() []string {
	var found []string
	for _, pattern := range installs {
		dirs, _ := filepath.Glob(pattern)
		found = append(found, dirs...)
	}
	slices.SortStableFunc(found, func(a, b string) int { return numberIn(b) - numberIn(a) })
	found = append(append(filepath.SplitList(os.Getenv("PATH")), found...), filepath.Join(c.binaries(), "bin"))
	return slices.DeleteFunc(found, func(dir string) bool {
		return !filepath.IsAbs(dir) || !executable(filepath.Join(dir, "postgres")) || !executable(filepath.Join(dir, "initdb"))
	})
}

func executable(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0
}

var number = regexp.MustCompile(`\d+`)

func numberIn(s string) int {
	n, _ := strconv.Atoi(number.FindString(s))
	return n
}

// majorOf asks the program itself, 0 if it does not run.
func (c cluster) majorOf(bin string) int {
	out, err := exec.Command(filepath.Join(bin, "postgres"), "--version").Output()
	if err != nil {
		return 0
	}
	return numberIn(string(out)) // postgres (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)
}

// repository is where the library finds the binaries: Maven Central.
var repository = "https://repo1.maven.org/maven2"

// download fetches the binaries into the data directory. The library has no call for that alone, and its own start
// refuses root: it is given files that no server starts on, and all it does before its attempt is what we want.
func (c cluster) download(ctx context.Context) (bin string, err error) {
	half := c.binaries() + ".new"
	if err := errors.Join(os.RemoveAll(half), os.MkdirAll(filepath.Join(half, "no-server"), 0o755)); err != nil {
		return "", err
	}
	defer os.RemoveAll(half)
	if err := os.WriteFile(filepath.Join(half, "no-server", "PG_VERSION"), []byte("18\n"), 0o644); err != nil {
		return "", err
	}
	fetch := embeddedpostgres.NewDatabase(embeddedpostgres.DefaultConfig().
		Version(embeddedpostgres.V18).
		BinaryRepositoryURL(repository).
		Port(uint32(freePort(0))).
		CachePath(filepath.Join(half, "cache")).
		RuntimePath(filepath.Join(half, "runtime")).
		BinariesPath(filepath.Join(half, "postgres")).
		DataPath(filepath.Join(half, "no-server")).
		Logger(io.Discard))
	fetched := make(chan error, 1)
	go func() { fetched <- fetch.Start() }()
	select {
	case err = <-fetched:
	case <-ctx.Done():
		return "", ctx.Err()
	}
	if c.majorOf(filepath.Join(half, "postgres", "bin")) == 0 {
		return "", err
	}
	if err := errors.Join(os.RemoveAll(c.binaries()), os.Rename(filepath.Join(half, "postgres"), c.binaries())); err != nil {
		return "", err
	}
	return filepath.Join(c.binaries(), "bin"), nil
}
