package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/annal-crm/annal/app"
	"github.com/annal-crm/annal/commands"
	"github.com/annal-crm/annal/domain/audit"
)

// openEvidence opens what proving needs: where there is no master key, the log and its tree alone.
func (p place) openEvidence(ctx context.Context) (*app.Instance, error) {
	config := p.config()
	config.Existing, config.Evidence = true, true
	return app.Open(ctx, config)
}

// checked puts on record, as an action of the program, that somebody at the command line checks the log of an organization: in the
// first one's if none is meant. Proofs, bundles and judgements are on record before they are shown, or they are not shown. Where
// only the log and its tree are open there is nothing to put it on record with: that is said.
func checked(ctx context.Context, i *app.Instance, organization uuid.UUID, kind audit.Kind, of string) error {
	if i.Evidence() {
		fmt.Fprintln(os.Stderr, "read without the master key: that this was asked is not put on record")
		return nil
	}
	return recorded(ctx, i, organization, i.Commands.Check, audit.Checked{Kind: kind, Of: of})
}

// recorded puts a wish on record as the program's own action, in the name of who runs it. What cannot be put on record is not done.
func recorded[W any](ctx context.Context, i *app.Instance, organization uuid.UUID, record func(context.Context, *commands.Principal, commands.Command, W) (commands.Result, error), wish W) error {
	return recordedWhy(ctx, i, organization, record, wish, "")
}

func recordedWhy[W any](ctx context.Context, i *app.Instance, organization uuid.UUID, record func(context.Context, *commands.Principal, commands.Command, W) (commands.Result, error), wish W, why string) error {
	program, err := keeper(ctx, i.Commands, organization)
	if err == nil {
		_, err = record(ctx, program, commands.Command{Reason: operator() + " at the command line" + why}, wish)
	}
	if refused, ok := errors.AsType[*pgconn.PgError](err); ok && refused.Code == "23505" { // the next position is taken
		return errors.New("this cannot be put on record: the log does not end where it says; annal audit verify says more")
	}
	if err != nil {
		return fmt.Errorf("this cannot be put on record, so it is not done: %w", err)
	}
	return nil
}
