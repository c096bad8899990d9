// Package app puts one Annal together: a database (its own in a data directory, or one that the user names), the log
// and the vault in it, the write side and the read models over them.
//
// Every subcommand opens an [Instance], beside others that may be running on the same data, and closes it when done.
package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/annal-crm/annal/commands"
	"github.com/annal-crm/annal/eventlog"
	"github.com/annal-crm/annal/eventlog/eventstoredb"
	"github.com/annal-crm/annal/eventlog/postgres"
	"github.com/annal-crm/annal/internal/auth"
	"github.com/annal-crm/annal/internal/embedded"
	"github.com/annal-crm/annal/internal/eventcodec"
	"github.com/annal-crm/annal/internal/vault"
	"github.com/annal-crm/annal/projections/accounts"
	"github.com/annal-crm/annal/projections/activity"
	"github.com/annal-crm/annal/projections/acts"
	"github.com/annal-crm/annal/projections/customers"
	"github.com/annal-crm/annal/projections/deadlines"
	"github.com/annal-crm/annal/projections/engine"
	"github.com/annal-crm/annal/projections/erasures"
	"github.com/annal-crm/annal/projections/opportunities"
	"github.com/annal-crm/annal/projections/records"
	"github.com/annal-crm/annal/projections/retention"
	"github.com/annal-crm/annal/projections/sales"
	"github.com/annal-crm/annal/transparency"
)

// Config says where an instance lives. The zero value is Annal's own Postgres in [embedded.DefaultDataDir].
type Config struct {
	DataDir     string // Annal's own Postgres and the master key's file
	DatabaseURL string // a Postgres of the user's own instead
	// EventStoreURL puts the log into an EventStoreDB or KurrentDB: esdb://… The rest stays in Postgres.
	EventStoreURL string
	MasterKey     string // base64; empty: the file master.key in DataDir, made on the first start
	CheckpointKey string // base64; empty: the file checkpoint.key beside it, made on the first start
	Existing      bool   // refuse to make an Annal where there is none: see [ErrNothing]
	Evidence      bool   // where there is no master key open the log and the tree over it alone, only to be read: see [Instance.Evidence]
	Commands      commands.Config
	Projections   engine.Config
}

// ErrNothing is what [Open] of an existing instance answers where there is none: who asks about a log with a misspelt
// directory must not be told that all is well with a new one.
var ErrNothing = errors.New("there is no Annal here")

// Instance is an open Annal. Its parts are safe for concurrent use.
type Instance struct {
	Address  string // of the database, for its owner
	Pool     *pgxpool.Pool
	Log      eventlog.Log
	Vault    *vault.Vault
	Codec    *eventcodec.Codec
	Uses     *auth.Uses
	Commands *commands.Commands
	Engine   *engine.Engine
	Audit    *transparency.Tree // over the log

	// ErasureList is the file that lists who was erased, for restored backups to meet; empty: none is kept.
	ErasureList string

	erasedAgain []commands.Erased
	serves      bool // as the role that serves
	server      *embedded.Server
	closeLog    func()
}

// Models are all read models there are.
func Models() []engine.ReadModel {
	return append([]engine.ReadModel{
		accounts.Model, customers.Model, opportunities.Model, sales.Model, acts.Model, activity.Model, deadlines.Model, erasures.Model, retention.Model,
	}, records.Models()...)
}

// Open opens the instance, making what is missing. Its errors are for people: they say what was tried and what to do.
func Open(ctx context.Context, config Config) (*Instance, error) {
	i := &Instance{Address: config.DatabaseURL}
	if err := i.open(ctx, config); err != nil {
		return nil, errors.Join(err, i.Close())
	}
	return i, nil
}

func (i *Instance) open(ctx context.Context, config Config) (err error) {
	dataDir := cmp.Or(config.DataDir, embedded.DefaultDataDir())
	serve := config.DatabaseURL
	if _, err := os.Stat(dataDir); config.Existing && config.DataDir != "" && errors.Is(err, os.ErrNotExist) { // what is remembered there would not be compared
		return fmt.Errorf("%w: there is no directory %s", ErrNothing, dataDir)
	}
	if config.DatabaseURL == "" {
		if config.Existing && !embedded.Exists(dataDir) {
			return fmt.Errorf("%w: nothing has been started in %s; annal up begins there, --data-dir names another directory", ErrNothing, dataDir)
		}
		if i.server, err = embedded.Start(ctx, dataDir, embedded.Config{}); err != nil {
			return err
		}
		i.Address, serve = i.server.URL(), i.server.ServingURL()
	}
	if config.evidence(dataDir) {
		return i.openEvidence(ctx, config)
	}
	roleReady, err := migrate(ctx, i.Address, config.Existing)
	if err != nil {
		return err
	}
	i.serves = roleReady
	if i.Pool, err = connect(ctx, serve, roleReady); err != nil {
		return err
	}
	keyFile := filepath.Join(dataDir, "master.key")
	var made bool
	if i.Vault, made, err = vault.Open(ctx, i.Pool, vault.KeySource{Value: config.MasterKey, File: keyFile}, vault.Config{}); err != nil {
		return err
	}
	if made {
		slog.Warn("made the master key; without it no name, e-mail or address in the log can be read, so keep a copy elsewhere", "file", keyFile)
	}
	if err := i.openLog(ctx, config.EventStoreURL); err != nil {
		return err
	}
	if err := i.openAudit(ctx, dataDir, config); err != nil {
		return err
	}
	if err := i.forgetErased(ctx); err != nil {
		return err
	}
	i.Codec, i.Uses = eventcodec.New(i.Vault), auth.OpenUses(i.Pool)
	passwords := auth.NewPasswords(commands.Pepper(i.Vault), auth.HashingConfig{})
	i.Commands = commands.New(i.Log, i.Codec, i.Vault, passwords, i.Uses, config.Commands)
	if i.Engine, err = engine.New(i.Log, i.Codec, i.Pool, Models(), config.Projections); err != nil {
		return err
	}
	return i.Engine.Prepare(ctx)
}

// openLog opens the log where the configuration puts it.
func (i *Instance) openLog(ctx context.Context, eventStoreURL string) error {
	if eventStoreURL == "" {
		log, err := postgres.Open(ctx, i.Pool, postgres.Config{})
		if err == nil {
			i.Log, i.closeLog = log, log.Close
		}
		return err
	}
	log, err := eventstoredb.Open(ctx, eventStoreURL, eventstoredb.Config{})
	if err == nil {
		i.Log, i.closeLog = log, log.Close
	}
	return err
}

// openAudit opens the tree over the log. Its key and what it signed last lie where the master key does; where that is given and
// no directory is, nothing is written.
func (i *Instance) openAudit(ctx context.Context, dataDir string, config Config) (err error) {
	audit := transparency.Config{Key: transparency.KeySource{Value: config.CheckpointKey}}
	if config.DataDir != "" || config.MasterKey == "" || i.server != nil {
		audit.Key.File = filepath.Join(dataDir, "checkpoint.key")
		if err := os.MkdirAll(dataDir, 0o755); err != nil { // also where both keys are given: what is remembered there is missed only later
			return fmt.Errorf("the data directory cannot be made, choose another with --data-dir: %w", err)
		}
		audit.Remember, i.ErasureList = dataDir, filepath.Join(dataDir, "erasures")
	}
	var made bool
	i.Audit, made, err = transparency.Open(ctx, i.Pool, i.Log, audit)
	if made {
		slog.Warn("made the checkpoint key; annal audit keys prints its public half, which belongs into other hands", "file", audit.Key.File)
	}
	return err
}

// Watch keeps Annal's own Postgres running until ctx ends, see [embedded.Server.Watch], and says when the connection to an
// EventStoreDB is lost and when it is back. Servers of the user's own are the user's to keep running; Annal waits for them. It
// also brings the views for SQL to this program's form when the read models have come so far.
func (i *Instance) Watch(ctx context.Context) {
	var watching sync.WaitGroup
	watching.Go(func() { i.keepViews(ctx) })
	if l, ok := i.Log.(connection); ok {
		watching.Go(func() { watchConnection(ctx, l) })
	}
	if i.server != nil {
		watching.Go(func() {
			i.server.Watch(ctx, func(err error) {
				if err != nil {
					slog.Error("database", "error", err.Error())
					return
				}
				slog.Warn("the database runs again")
			})
		})
	}
	watching.Wait()
}

// watchConnection tells of losses that have lasted for a second or longer.
func watchConnection(ctx context.Context, l connection) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for was := true; ; {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		switch state := l.State(); {
		case state.Connected == was:
		case state.Connected:
			slog.Warn("EventStoreDB is connected again", "losses", state.Losses)
			was = true
		case state.Err != nil: // none is known yet right after the loss
			slog.Error("EventStoreDB is not connected", "error", state.Err.Error())
			was = false
		}
	}
}

// Close answers what is under way and lets go of everything; Annal's own Postgres stops if nobody else uses it.
func (i *Instance) Close() error {
	var errs []error
	if i.Uses != nil {
		errs = append(errs, i.Uses.Close())
	}
	if i.closeLog != nil {
		i.closeLog()
	}
	if i.Pool != nil {
		i.Pool.Close()
	}
	if i.server != nil {
		errs = append(errs, i.server.Close())
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("close: %w", err)
	}
	return nil
}
