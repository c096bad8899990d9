package app

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/annal-crm/annal/transparency"
)

// Evidence reports that only the log and the tree over it are open, to be read: of other parts there are none. Who audits needs
// no master key, which opens everybody's data, and no right to write.
func (i *Instance) Evidence() bool { return i.Audit != nil && i.Commands == nil }

// evidence reports whether the log and its tree are all that can be opened.
func (c Config) evidence(dataDir string) bool {
	if !c.Evidence || c.DatabaseURL == "" || c.MasterKey != "" {
		return false
	}
	_, err := os.Stat(filepath.Join(dataDir, "master.key"))
	return errors.Is(err, os.ErrNotExist)
}

// openEvidence opens the log and the tree. It takes the schemas as they are: to change them is not an auditor's business.
func (i *Instance) openEvidence(ctx context.Context, config Config) error {
	pooled, err := pgxpool.ParseConfig(config.DatabaseURL)
	if err != nil {
		return fmt.Errorf("the database address: %w", err)
	}
	pooled.ConnConfig.RuntimeParams["default_transaction_read_only"] = "on"
	if i.Pool, err = pgxpool.NewWithConfig(ctx, pooled); err != nil {
		return err
	}
	var log, tree bool
	if err := i.Pool.QueryRow(ctx, `select to_regclass('eventlog.head') is not null, to_regclass('transparency.handovers') is not null`).Scan(&log, &tree); err != nil {
		return fmt.Errorf("no Postgres at %s: %w", Redacted(config.DatabaseURL), plain(err))
	}
	if !log {
		return fmt.Errorf("%w: the database at %s holds none", ErrNothing, Redacted(config.DatabaseURL))
	}
	if !tree {
		return fmt.Errorf("the database at %s has no tree over its log in this program's form, and the master key is not here to bring it there: start Annal there first", Redacted(config.DatabaseURL))
	}
	if err := i.openLog(ctx, config.EventStoreURL); err != nil {
		return err
	}
	i.Audit, _, err = transparency.Open(ctx, i.Pool, i.Log, transparency.Config{Remember: config.DataDir})
	return err
}
