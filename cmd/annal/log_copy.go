package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/annal-crm/annal/app"
	"github.com/annal-crm/annal/eventlog"
	"github.com/annal-crm/annal/eventlog/eventstoredb"
	"github.com/annal-crm/annal/eventlog/postgres"
	"github.com/annal-crm/annal/internal/logcopy"
)

type logCopyCmd struct {
	place
	To string `required:"" help:"The destination: esdb://… (or kurrentdb://…), or postgres://… with a database." env:"ANNAL_LOG_COPY_TO" placeholder:"URL"`
}

// grown is the exit status when the copy is right as far as it goes, and the source has gone on.
const grown = 4

// Run copies the log that the place names. Nothing of the source is changed, and Annal may serve from it meanwhile; what is to
// be changed in the configuration it only says.
func (c logCopyCmd) Run(ctx context.Context) error {
	i, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer i.Close()
	target, closeTarget, err := c.target(ctx)
	if err != nil {
		return err
	}
	defer closeTarget()
	began, bar := time.Now(), newProgress("log copy")
	r, err := logcopy.Copy(ctx, i.Log, target, bar.at)
	bar.finish()
	switch {
	case errors.Is(err, logcopy.ErrDiffers):
		return exit{differed, err}
	case err != nil && ctx.Err() != nil:
		return fmt.Errorf("stopped with %d events copied; the same command continues after them", r.Held+r.Copied)
	case err != nil:
		return err
	}
	fmt.Printf("copied %d events in %.1f s; %d were there\n", r.Copied, time.Since(began).Seconds(), r.Held)
	fmt.Printf("verified: both logs hold %d events in %d streams, with the same versions\nsha256 %x\n", r.Events, r.Streams, r.Hash)
	if r.Foreign > 0 {
		fmt.Printf("%d of them were written by other programs: they keep their place, as events of type %q, and data that are not JSON are null\n", r.Foreign, eventstoredb.Foreign)
	}
	if r.Later > 0 {
		fmt.Printf("%d of them had been recorded before their predecessor; the copy, whose clock never runs back, has the predecessor's time\n", r.Later)
	}
	if r.Growing {
		return exit{grown, errors.New("the source is still being written to and has more events by now: stop every Annal that writes to it and run this again, before anything uses the copy")}
	}
	return c.sayWhatNext(ctx, i, target)
}

// target opens the log at To, making what is missing there.
func (c logCopyCmd) target(ctx context.Context) (log eventlog.Importer, end func(), err error) {
	if strings.HasPrefix(c.To, "esdb") || strings.HasPrefix(c.To, "kurrentdb") {
		log, err := eventstoredb.Open(ctx, c.To, eventstoredb.Config{})
		if err != nil {
			return nil, nil, fmt.Errorf("--to: %w", err)
		}
		return log, log.Close, nil
	}
	if !strings.HasPrefix(c.To, "postgres://") && !strings.HasPrefix(c.To, "postgresql://") {
		return nil, nil, errors.New("--to must be the URL of a place for a log: esdb://…, kurrentdb://… or postgres://…")
	}
	owner, err := pgx.Connect(ctx, c.To)
	if err != nil {
		return nil, nil, fmt.Errorf("--to: no Postgres at %s: %w", app.Redacted(c.To), err)
	}
	err = postgres.Migrate(ctx, owner)
	owner.Close(context.WithoutCancel(ctx))
	if err != nil {
		return nil, nil, fmt.Errorf("--to: %w", err)
	}
	pool, err := pgxpool.New(ctx, c.To)
	if err != nil {
		return nil, nil, fmt.Errorf("--to: %w", err)
	}
	opened, err := postgres.Open(ctx, pool, postgres.Config{})
	if err != nil {
		pool.Close()
		return nil, nil, fmt.Errorf("--to: %w", err)
	}
	return opened, func() { opened.Close(); pool.Close() }, nil
}

// sayWhatNext says what to change in the configuration.
func (c logCopyCmd) sayWhatNext(ctx context.Context, i *app.Instance, target eventlog.Log) error {
	identity, err := target.Identity(ctx)
	if err != nil {
		return err
	}
	// Every database of Annal's has an eventlog schema, also where it is not in use.
	var here uuid.UUID
	if err := i.Pool.QueryRow(ctx, "select identity from eventlog.head").Scan(&here); err != nil {
		return err
	}
	to := app.Redacted(c.To)
	fmt.Println("\nTo use the copy, stop every Annal and run this command a last time; then")
	switch {
	case strings.HasPrefix(c.To, "esdb"), strings.HasPrefix(c.To, "kurrentdb"):
		fmt.Printf(`  set  ANNAL_EVENTSTORE_URL=%s
and leave ANNAL_DATABASE_URL, the data directory and the master key as they are: the vault and the read models stay in Postgres.
`, to)
	case identity == here:
		fmt.Print(`  unset  ANNAL_EVENTSTORE_URL
and leave ANNAL_DATABASE_URL, the data directory and the master key as they are: the vault is in this database already.
`)
	default:
		fmt.Printf(`  move the vault (keys of personal data, passwords), without which the log cannot be read, before Annal starts there:
       pg_dump --no-owner --no-privileges --schema=vault --schema=auth "$OLD" | psql --set ON_ERROR_STOP=1 --single-transaction "$NEW"
       where OLD is what annal database-url prints and NEW is %s
  set  ANNAL_DATABASE_URL=%s
  set  ANNAL_MASTER_KEY to the present master key, or keep the data directory in which the file master.key lies
  unset  ANNAL_EVENTSTORE_URL, if it is set
`, to, to)
	}
	fmt.Println("and start Annal. The log has a new identity. The read models see that, and rebuild by themselves.")
	return nil
}
