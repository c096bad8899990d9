package commands_test

import (
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/annal-crm/annal/commands"
	"github.com/annal-crm/annal/domain/account"
	"github.com/annal-crm/annal/domain/customer"
	"github.com/annal-crm/annal/domain/opportunity"
	"github.com/annal-crm/annal/domain/organization"
)

func TestAnImportRefersToWhatIsThere(t *testing.T) {
	w := newWorld(t)
	ctx, cmd := t.Context(), func() commands.Command { return commands.Command{ID: uuid.New()} }
	team, agent, isdom := uuid.New(), uuid.New(), uuid.New()
	engaged, closed := time.Date(2017, 1, 2, 0, 0, 0, 0, time.UTC), time.Date(2017, 3, 1, 0, 0, 0, 0, time.UTC)
	row := opportunity.Row{Reference: "AB12CD34", Owner: agent, Customer: isdom, Stage: opportunity.StageWon, EngagedAt: engaged, ClosedAt: closed, Value: "1054", Source: "s"}
	person := account.Invited{LoginName: "Mara.Frost", DisplayName: "Mara Frost", Team: team, Roles: []string{"sales"}, Source: "s"}

	_, err := w.ImportAccount(ctx, w.system, cmd(), agent, person)
	w.wantInvalid("an account of a team that is not there", err, "teamId")
	must(w.ImportTeam(ctx, w.system, cmd(), organization.TeamRow{Team: team, Name: "Central", Source: "s"}))
	_, err = w.ImportOpportunity(ctx, w.system, cmd(), uuid.New(), row)
	w.wantInvalid("an opportunity of an owner that is not there", err, "ownerId")
	must(w.ImportAccount(ctx, w.system, cmd(), agent, person))
	_, err = w.ImportOpportunity(ctx, w.system, cmd(), uuid.New(), row)
	w.wantInvalid("an opportunity of a customer that is not there", err, "customerId")
	_, err = w.ImportAccount(ctx, w.system, cmd(), uuid.New(), person)
	w.wantInvalid("another account of the name", err, "loginName")
	must(w.ImportCustomer(ctx, w.system, cmd(), isdom, customer.Registered{Name: "Northwind", Source: "s"}))

	before, id, command := w.head(), uuid.New(), cmd()
	made := must(w.ImportOpportunity(ctx, w.system, command, id, row))
	w.since(before, "opportunity.opened", "opportunity.engaged", "opportunity.won")
	for i, want := range []time.Time{engaged, engaged, closed} {
		if e := must(w.log.ReadAll(ctx, before, 10))[i]; !e.OccurredAt.Equal(want) {
			t.Errorf("%s occurred at %s", e.Type, e.OccurredAt)
		}
	}
	if made.Outcome != commands.Added {
		t.Error(made)
	}
	before = w.head()
	for range 2 {
		if again := must(w.ImportOpportunity(ctx, w.system, command, id, row)); again.Outcome != commands.Unchanged || again.Receipt != made.Receipt {
			t.Error(again)
		}
	}
	w.since(before)
	row.Value = "1055"
	if changed := must(w.ImportOpportunity(ctx, w.system, cmd(), id, row)); changed.Outcome != commands.Changed {
		t.Error(changed)
	}
}
