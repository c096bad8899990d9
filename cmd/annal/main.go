// Command annal is Annal: an event-sourced CRM core in one program.
//
// Each subcommand is one file of this package. All but a few open an instance (package instance) on the same data, beside
// others that may be running on it, and close it when they are done.
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"regexp"
	"runtime/debug"
	"slices"
	"syscall"

	"github.com/alecthomas/kong"

	"github.com/annal-crm/annal/app"
)

type cli struct {
	Up          upCmd          `cmd:"" help:"Serve, and create everything that is missing first: the way to start."`
	Init        initCmd        `cmd:"" help:"Make the organization and its administrator if the log has none yet, and end."`
	Serve       serveCmd       `cmd:"" help:"Serve what exists already, configured by flags and environment: the way to run in production."`
	Import      importCmd      `cmd:"" help:"Import CSV files as a mapping says, or the log of an OpenSSH server."`
	Replay      replayCmd      `cmd:"" help:"Show the whole timeline of an account or a customer, read from the log itself."`
	Report      reportCmd      `cmd:"" help:"Run a report (sales, funnel, forecast, ageing, activity, signins), as of any time."`
	Export      exportCmd      `cmd:"" help:"Write events to files that other tools read."`
	Reproject   reprojectCmd   `cmd:"" help:"Rebuild a read model from the log while the live one serves, then switch to it."`
	Readmodels  readModelsCmd  `cmd:"" help:"List the read models and how far each has come."`
	Parked      parkedCmd      `cmd:"" help:"Events that read models could not fold: list them, fold them again, or skip them."`
	Erasure     erasureCmd     `cmd:"" help:"Erasure of people: requests, rules, previews and the list of those erased."`
	Audit       auditCmd       `cmd:"" help:"Prove that the log is unchanged, and find what was changed if it is not."`
	SQL         sqlCmd         `cmd:"" name:"sql" help:"Who may read the views for SQL and BI tools."`
	Log         logCmd         `cmd:"" help:"Count the events of the log, or copy it."`
	DatabaseURL databaseURLCmd `cmd:"" name:"database-url" help:"Print the address of the database, with its password, for psql and pg_dump."`
	Health      healthCmd      `cmd:"" help:"Ask a running Annal whether it is ready; for health checks where there is no curl."`
	Version     versionCmd     `cmd:"" help:"Print the version."`
	Reference   referenceCmd   `cmd:"" hidden:"" help:"Write the reference of the configuration."`
}

// place says where the data is; nearly every subcommand has it.
type place struct {
	DataDir       string `help:"Directory of Annal's own Postgres and the master key. Default: /var/lib/annal for root, else .annal." env:"ANNAL_DATA_DIR" type:"path" placeholder:"DIR"`
	DatabaseURL   string `help:"An existing Postgres instead of Annal's own: postgres://…" name:"database-url" env:"ANNAL_DATABASE_URL" placeholder:"URL"`
	EventStore    string `help:"Keep the log in an EventStoreDB or KurrentDB: esdb://…; all else stays in Postgres." name:"eventstore-url" env:"ANNAL_EVENTSTORE_URL" placeholder:"URL"`
	MasterKey     string `help:"The master key, base64 of 32 bytes; best given by the environment. Default: the file master.key in the data directory, made on the first start." env:"ANNAL_MASTER_KEY" placeholder:"KEY"`
	CheckpointKey string `help:"The key that checkpoints of the log are signed with, base64 of 32 bytes; best given by the environment. Default: the file checkpoint.key in the data directory, made on the first start." env:"ANNAL_CHECKPOINT_KEY" placeholder:"KEY"`
	LogLevel      string `help:"What to log to standard error: ${enum}." enum:"debug,info,warn,error" default:"warn" env:"ANNAL_LOG_LEVEL"`
	LogFormat     string `help:"How to log: ${enum}." enum:"text,json" default:"text" env:"ANNAL_LOG_FORMAT"`
}

func (p place) config() app.Config {
	return app.Config{DataDir: p.DataDir, DatabaseURL: p.DatabaseURL, EventStoreURL: p.EventStore, MasterKey: p.MasterKey, CheckpointKey: p.CheckpointKey}
}

// open opens what is there.
func (p place) open(ctx context.Context) (*app.Instance, error) {
	config := p.config()
	config.Existing = true
	return app.Open(ctx, config)
}

// begin opens what is there, or makes it.
func (p place) begin(ctx context.Context) (*app.Instance, error) {
	return app.Open(ctx, p.config())
}

// AfterApply sets up logging before a subcommand runs.
func (p place) AfterApply() error {
	var level slog.Level
	if err := level.UnmarshalText([]byte(p.LogLevel)); err != nil {
		return err
	}
	options := &slog.HandlerOptions{Level: level}
	var handler slog.Handler = slog.NewTextHandler(os.Stderr, options)
	if p.LogFormat == "json" {
		handler = slog.NewJSONHandler(os.Stderr, options)
	}
	slog.SetDefault(slog.New(handler))
	return nil
}

// exit is an error with an exit status of its own, for what scripts want to tell apart.
type exit struct {
	status int
	error
}

// Unwrap returns the reason.
func (e exit) Unwrap() error { return e.error }

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(200) // a page over GraphQL costs a quarter less processor time than with Go's 100; memory is small beside Postgres'
	}
	if err := fromFiles(); err != nil {
		fmt.Fprintln(os.Stderr, "annal:", plainly(err))
		os.Exit(1)
	}
	parsed := parse(ctx, os.Args[1:])
	err := parsed.Run()
	if err == nil {
		return
	}
	status := 1
	if e, ok := errors.AsType[exit](err); ok {
		status = e.status
	}
	said := plainly(err)
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		said = "stopped before it was done"
	}
	fmt.Fprintln(os.Stderr, "annal:", said)
	stop()
	os.Exit(status)
}

// parse reads the command line. What is wrong with it is said in a sentence, and where to read what is right: a screen of usage
// would push the sentence out of sight.
func parse(ctx context.Context, args []string) *kong.Context {
	parser := kong.Must(&cli{}, append([]kong.Option{
		kong.Name("annal"),
		kong.Description("Annal: a CRM core in which everything that happens is an event, and everything that was shown can be shown again."),
		kong.BindTo(ctx, (*context.Context)(nil)),
	}, values...)...)
	switch {
	case len(args) == 0:
		args = []string{"--help"}
	case args[0] == "help":
		args = append(args[1:len(args):len(args)], "--help")
	}
	parsed, err := parser.Parse(args)
	if wrong, ok := errors.AsType[*kong.ParseError](err); ok {
		if number := regexp.MustCompile(`^unknown flag (-\d+)`).FindStringSubmatch(wrong.Error()); number != nil {
			fmt.Fprintf(os.Stderr, "annal: %s is neither a flag nor a position: those are whole numbers, from 1\n", number[1])
			os.Exit(wrong.ExitCode())
		}
		command := "annal"
		if selected := wrong.Context.Selected(); selected != nil {
			command = selected.FullPath()
		}
		fmt.Fprintf(os.Stderr, "annal: %s; see %s --help\n", plainly(err), command)
		os.Exit(wrong.ExitCode())
	}
	parser.FatalIfErrorf(err)
	for _, step := range parsed.Path { // --key "$(cat missing)" must not mean: whichever key
		if step.Flag == nil {
			continue
		}
		value := step.Flag.Target.Interface()
		if s, ok := value.([]string); value == "" || ok && (len(s) == 0 || slices.Contains(s, "")) {
			fmt.Fprintf(os.Stderr, "annal: --%s is empty; leave it out, or give it a value\n", step.Flag.Name)
			os.Exit(80)
		}
	}
	return parsed
}
