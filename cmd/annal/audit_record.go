package main

import (
	"context"
	"fmt"

	"github.com/google/uuid"

	"github.com/annal-crm/annal/commands"
	"github.com/annal-crm/annal/domain/audit"
	"github.com/annal-crm/annal/internal/instance"
)

// checked puts on record, as the program's own act, that somebody at the command line checks the log of an organization: in the
// first one's if none is meant. Proofs, bundles and judgements are on record before they are shown, or they are not shown.
func checked(ctx context.Context, i *instance.Instance, organization uuid.UUID, kind audit.Kind, of string) error {
	program, err := keeper(ctx, i.Commands, organization)
	if err == nil {
		_, err = i.Commands.Check(ctx, program, commands.Command{Reason: operator() + " at the command line"}, audit.Checked{Kind: kind, Of: of})
	}
	if err != nil {
		return fmt.Errorf("this cannot be put on record: %w", err)
	}
	return nil
}
