package main

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"runtime"
	"strings"
	"text/tabwriter"
	"text/template"
	"time"

	"github.com/jackc/pgx/v5"
)

// Report is what a run has found.
type Report struct {
	Flags   string // of the command
	Machine Machine
	Began   time.Time
	Took    time.Duration
	Figures []*Figure
	Kept    string // what people have written about earlier figures
}

// Machine is where it was found.
type Machine struct {
	CPU, Memory, System, Go, Postgres string
	Cores                             int
}

func (b *bench) machine(ctx context.Context) Machine {
	m := Machine{
		CPU:    procField("/proc/cpuinfo", "model name"),
		Memory: procField("/proc/meminfo", "MemTotal"),
		System: runtime.GOOS + "/" + runtime.GOARCH + " " + procField("/proc/sys/kernel/osrelease", ""),
		Go:     runtime.Version(),
		Cores:  runtime.GOMAXPROCS(0),
	}
	var kb float64
	if _, err := fmt.Sscanf(m.Memory, "%f kB", &kb); err == nil {
		m.Memory = fmt.Sprintf("%.0f GB", kb/1e6)
	}
	conn := must(pgx.Connect(ctx, b.server.URL()))
	defer conn.Close(ctx)
	m.Postgres = conn.PgConn().ParameterStatus("server_version")
	return m
}

// procField returns the first value of a name in a file of Linux, nothing elsewhere.
func procField(file, name string) string {
	content, _ := os.ReadFile(file)
	_, value, _ := strings.Cut(string(content), name)
	value, _, _ = strings.Cut(value, "\n")
	return strings.TrimLeft(value, "\t :")
}

var (
	//go:embed report.txt.tmpl
	textTemplate string
	//go:embed report.md.tmpl
	pageTemplate string
)

// text writes the table for a terminal.
func (r Report) text(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	return errors.Join(template.Must(template.New("").Parse(textTemplate)).Execute(w, r), w.Flush())
}

// kept begins what people have written about the figures in the file. It stays when the figures change.
const kept = "## What the figures say\n"

// write puts the report into a file, in place of an earlier one.
func (r Report) write(file string) error {
	former, err := os.ReadFile(file)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if _, words, found := strings.Cut(string(former), kept); found {
		r.Kept = kept + words
	}
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	return errors.Join(template.Must(template.New("").Parse(pageTemplate)).Execute(f, r), f.Close())
}
