package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/jackc/pgx/v5"
)

// Report is what a run has found.
type Report struct {
	Config  Config
	Machine Machine
	Began   time.Time
	Took    time.Duration
	Figures []Figure
}

// Machine is where it was found.
type Machine struct {
	CPU, Memory, System string
	Cores               int
	Go, Postgres        string
}

func (b *bench) machine(ctx context.Context) (Machine, error) {
	m := Machine{
		CPU: procField("/proc/cpuinfo", "model name"), Memory: procField("/proc/meminfo", "MemTotal"),
		System: runtime.GOOS + "/" + runtime.GOARCH, Cores: runtime.GOMAXPROCS(0), Go: runtime.Version(),
	}
	var kb float64
	if _, err := fmt.Sscanf(m.Memory, "%f kB", &kb); err == nil {
		m.Memory = fmt.Sprintf("%.0f GB", kb/1e6)
	}
	if release, err := os.ReadFile("/proc/sys/kernel/osrelease"); err == nil {
		m.System += " " + strings.TrimSpace(string(release))
	}
	conn, err := pgx.Connect(ctx, b.server.ServingURL())
	if err != nil {
		return m, err
	}
	defer conn.Close(ctx)
	m.Postgres = conn.PgConn().ParameterStatus("server_version")
	return m, nil
}

// procField returns the first value of a name in a file of Linux, "unknown" elsewhere.
func procField(file, name string) string {
	b, _ := os.ReadFile(file)
	for lines := bufio.NewScanner(bytes.NewReader(b)); lines.Scan(); {
		if key, value, ok := strings.Cut(lines.Text(), ":"); ok && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return "unknown"
}

// Text writes the table for a terminal.
func (r Report) Text(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "what\tours\tfloor\tratio (by round)\twanted\tmet")
	for _, f := range r.Figures {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", strings.ReplaceAll(f.What, "`", ""), f.Ours, f.Floor, f.Ratio, f.Wanted, yes(f.Met))
	}
	return w.Flush()
}

func yes(met bool) string {
	if met {
		return "yes"
	}
	return "NO"
}

// kept begins what people have written into the file about the figures: it stays when they are written anew.
const kept = "## What the figures say\n"

// Markdown writes the report as a page that takes the place of former, the page as it was.
func (r Report) Markdown(out io.Writer, former string) error {
	var b strings.Builder
	fmt.Fprintf(&b, `# Benchmarks

What Annal does beside the floor, the least that any program would have to do on the same machine for the same result. Both
alternate, round by round; figures are medians of the rounds, in brackets the ratio in the lowest and the highest round. The
page is written by `+"`go run ./bench --write docs/benchmarks.md`"+`; package `+"`bench`"+` says what exactly is measured.

| | |
|---|---|
| machine | %s, %d cores, %s |
| system | %s, %s, Postgres %s, beside the program, durable as served |
| when | %s, %.0f minutes |
| command | %s |

| what | ours | against | floor | ratio | wanted | met |
|---|--:|---|--:|--:|--:|---|
`, r.Machine.CPU, r.Machine.Cores, r.Machine.Memory, r.Machine.System, r.Machine.Go, r.Machine.Postgres,
		r.Began.Format("2006-01-02"), r.Took.Minutes(), "`"+r.command()+"`")
	for _, f := range r.Figures {
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s | %s |\n", f.What, f.Ours, f.Against, f.Floor, f.Ratio, f.Wanted, yes(f.Met))
	}
	b.WriteString("\n")
	for _, f := range r.Figures {
		if f.Note != "" {
			fmt.Fprintf(&b, "- %s: %s\n", f.What, f.Note)
		}
	}
	if i := strings.Index(former, kept); i >= 0 {
		b.WriteString("\n" + former[i:])
	}
	_, err := io.WriteString(out, b.String())
	return err
}

func (r Report) command() string {
	c := "annal bench"
	if len(r.Config.Only) > 0 {
		c += " --only " + strings.Join(r.Config.Only, ",")
	}
	if r.Config.Quick {
		c += " --quick"
	}
	return fmt.Sprintf("%s --events %d", c, r.Config.Events)
}
