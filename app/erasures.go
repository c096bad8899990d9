package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/annal-crm/annal/automations"
	"github.com/annal-crm/annal/internal/vault"
	"github.com/annal-crm/annal/projections/retention"
)

// Erasures returns the automation that carries out erasures on this instance.
func (i *Instance) Erasures(logger *slog.Logger) *automations.Erasures {
	return automations.NewErasures(automations.ErasureDependencies{
		Commands: i.Commands, Vault: i.Vault, Engine: i.Engine, DB: i.Pool, Vacuum: i.Vacuum,
	}, automations.ErasureConfig{Again: i.erasedAgain, List: i.ErasureList, Logger: logger})
}

// Retention returns the automation that applies rules of retention on this instance.
func (i *Instance) Retention(logger *slog.Logger) *automations.Retention {
	return automations.NewRetention(i.Commands, i.RetentionSource(), automations.RetentionConfig{Logger: logger})
}

// RetentionSource is where it is asked whom a rule would erase.
func (i *Instance) RetentionSource() retention.Source {
	return retention.Source{Log: i.Log, Engine: i.Engine, DB: i.Pool}
}

// forgetErased deletes the keys of those on the list of erasures that a restored backup has brought back, so that no command of
// this program reads in clear who was erased, before or after [Instance.MeetErasures].
func (i *Instance) forgetErased(ctx context.Context) error {
	if i.ErasureList == "" {
		return nil
	}
	list, err := automations.ReadErasures(i.ErasureList)
	if err != nil || len(list) == 0 {
		return err
	}
	keys := make([]vault.Subject, len(list))
	for n, e := range list {
		keys[n] = vault.Subject{Organization: e.Organization, ID: e.Subject}
	}
	erased, err := i.Vault.Erased(ctx, keys)
	for n := range erased {
		if err == nil && !erased[n] {
			err = i.Vault.Erase(ctx, keys[n])
		}
	}
	return err
}

// MeetErasures makes what was restored from a backup meet the list of erasures that is kept beside the master key. Call it before
// anything is served.
func (i *Instance) MeetErasures(ctx context.Context) error {
	if i.ErasureList == "" {
		return nil
	}
	list, err := automations.ReadErasures(i.ErasureList)
	if err != nil {
		return err
	}
	i.erasedAgain, err = automations.MeetErasures(ctx, i.Commands, list)
	if again := len(i.erasedAgain); again > 0 {
		slog.Warn("erased again who was in the list of erasures and back in the log or the vault: was a backup restored?", "persons", again, "list", i.ErasureList)
	}
	return err
}

// vaultTables keep in dead rows what an erasure takes from them.
var vaultTables = []string{"vault.keys", "vault.credentials", "auth.session_use"}

// snapshotPatience is how long a vacuum waits for those who may still see dead rows: longer than any request takes.
const snapshotPatience = 5 * time.Second

// Vacuum removes, as the owner of the database, the dead rows of tables and of the vault, and makes their statistics anew, which
// hold samples of what was in them. It fails while a snapshot from before would keep dead rows: try again later.
func (i *Instance) Vacuum(ctx context.Context, tables []string) error {
	owner, err := pgx.Connect(ctx, i.Address)
	if err != nil {
		return fmt.Errorf("vacuum: %w", plain(err))
	}
	defer owner.Close(context.WithoutCancel(ctx))
	var now string
	if err := owner.QueryRow(ctx, `select pg_current_xact_id()::xid::text`).Scan(&now); err != nil {
		return fmt.Errorf("vacuum: %w", err)
	}
	for began := time.Now(); ; {
		var held bool
		if err := owner.QueryRow(ctx, `select exists (select from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()
			and backend_xmin is not null and age(backend_xmin) > age($1::text::xid))`, now).Scan(&held); err != nil {
			return fmt.Errorf("vacuum: %w", err)
		}
		if !held {
			break
		}
		if time.Since(began) > snapshotPatience {
			return errors.New("vacuum: a long transaction still sees the rows of before")
		}
		select {
		case <-time.After(again):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	for _, table := range slices.Concat(tables, vaultTables, []string{"pg_catalog.pg_statistic"}) {
		if _, err := owner.Exec(ctx, "vacuum (analyze) "+table); err != nil {
			return fmt.Errorf("vacuum: %w", err)
		}
	}
	return nil
}
