package commands_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/google/uuid"

	"github.com/annal-crm/annal/commands"
	"github.com/annal-crm/annal/domain"
	"github.com/annal-crm/annal/domain/declared/declaredtest"
	"github.com/annal-crm/annal/domain/opportunity"
	"github.com/annal-crm/annal/domain/record"
	"github.com/annal-crm/annal/domain/reservation"
)

// contract makes a contract with a customer.
func (w *world) contract(by *commands.Principal, customer uuid.UUID) uuid.UUID {
	w.Helper()
	return must(w.CreateRecord(w.Context(), by, commands.CreateRecord{
		Kind: "contract", Values: record.Values{"number": "C-1", "title": "Service", "customer": customer.String()},
	})).ID
}

func TestARecordGoesTheWayOfItsKind(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	rep := w.invite("rep", uuid.Nil, "sales")
	id := w.contract(rep, w.customer(rep, "Acme", uuid.Nil))
	on := commands.On{ID: id, Kind: "contract"}

	before := w.head()
	must(w.EditRecord(ctx, rep, commands.EditRecord{On: on, Values: record.Values{"title": "Care"}}))
	must(w.MoveRecord(ctx, rep, commands.MoveRecord{On: on, Stage: "sent"}))
	must(w.ArchiveRecord(ctx, rep, on))
	must(w.RestoreRecord(ctx, rep, on))
	w.since(before, "contract.edited", "contract.moved", "contract.archived", "contract.restored")

	stale := commands.On{ID: id, Kind: "contract", Command: commands.Command{ExpectedVersion: 1}}
	_, err := w.EditRecord(ctx, rep, commands.EditRecord{On: stale, Values: record.Values{"title": "Other"}})
	conflict, ok := errors.AsType[*commands.Conflict](err)
	if !ok || conflict.CurrentVersion != 5 || !slices.Equal(conflict.ChangedFields, []string{"archived", "stage", "title"}) {
		t.Errorf("a stale edit: %v, %+v", err, conflict)
	}
	_, err = w.MoveRecord(ctx, rep, commands.MoveRecord{On: on, Stage: "ended"})
	w.wantErr("a stage that does not follow", err, record.ErrStage)

	again := commands.CreateRecord{Command: commands.Command{ID: uuid.New()}, Kind: "contract", Values: record.Values{"number": "C-2", "title": "x", "customer": w.customer(rep, "B", uuid.Nil).String()}}
	if first, second := must(w.CreateRecord(ctx, rep, again)), must(w.CreateRecord(ctx, rep, again)); first.ID != second.ID || first.Position != second.Position {
		t.Errorf("sent twice: %+v, %+v", first, second)
	}
}

// A record may only be given references and owners that the person sees; nobody learns what is there beyond.
func TestARecordRefersToWhatOneSees(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	rep, other := w.invite("rep", uuid.Nil, "sales"), w.invite("other", uuid.Nil, "sales")
	acme := w.customer(rep, "Acme", uuid.Nil)
	foreign := must(w.OpenOpportunity(ctx, other, commands.OpenOpportunity{Reference: "R"})).ID
	values := func(customer, opportunity uuid.UUID) record.Values {
		return record.Values{"number": "C-1", "title": "x", "customer": domain.Ref(customer), "opportunity": domain.Ref(opportunity)}
	}
	for what, v := range map[string]record.Values{"opportunityId": values(acme, foreign), "customerId": values(uuid.New(), uuid.Nil)} {
		_, err := w.CreateRecord(ctx, rep, commands.CreateRecord{Kind: "contract", Values: v})
		w.wantInvalid("a reference out of reach", err, what)
	}
	_, err := w.CreateRecord(ctx, rep, commands.CreateRecord{Kind: "contract", Owner: other.Account, Values: values(acme, uuid.Nil)})
	w.wantInvalid("somebody else's, made by sales", err, "ownerId")

	id := w.contract(rep, acme)
	on := commands.On{ID: id, Kind: "contract"}
	_, err = w.EditRecord(ctx, rep, commands.EditRecord{On: on, Values: record.Values{"opportunity": foreign.String()}})
	w.wantInvalid("an edit to a reference out of reach", err, "opportunityId")
	_, err = w.EditRecord(ctx, other, commands.EditRecord{On: on, Values: record.Values{"title": "mine"}})
	w.wantErr("another's contract", err, commands.ErrNotFound)
	auditor := w.invite("auditor", uuid.Nil, "auditor")
	_, err = w.EditRecord(ctx, auditor, commands.EditRecord{On: on, Values: record.Values{"title": "seen"}})
	w.wantErr("an auditor edits", err, commands.ErrForbidden)

	given := must(w.ReassignRecord(ctx, w.admin, commands.ReassignRecord{On: commands.On{ID: id}, Owner: other.Account}))
	if given.Kind != "contract" {
		t.Errorf("of kind %q", given.Kind)
	}
	must(w.EditRecord(ctx, other, commands.EditRecord{On: on, Values: record.Values{"title": "mine"}}))
}

// Commands that every kind has find out of which kind a record is, also in a process that has not met it.
func TestAnyRecordByItsIDAlone(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	acme := w.customer(w.admin, "Acme", uuid.Nil)
	deal := must(w.OpenOpportunity(ctx, w.admin, commands.OpenOpportunity{Reference: "R"})).ID
	contract := w.contract(w.admin, acme)
	c := w.another(commands.Config{})
	p := must(c.Acting(ctx, commands.Home, w.admin.Account, office))
	rep := w.invite("rep", uuid.Nil, "sales")
	for id, kind := range map[uuid.UUID]string{acme: "customer", deal: "opportunity", contract: "contract"} {
		done := must(c.ReassignRecord(ctx, p, commands.ReassignRecord{On: commands.On{ID: id}, Owner: rep.Account}))
		if done.Kind != kind || done.Version != 2 {
			t.Errorf("%+v is of %s", done, kind)
		}
	}
	must(c.MoveRecord(ctx, p, commands.MoveRecord{On: commands.On{ID: deal}, Stage: string(opportunity.Engaging)}))
	must(c.MoveRecord(ctx, p, commands.MoveRecord{On: commands.On{ID: deal}, Stage: string(opportunity.StageLost)}))
	_, err := c.MoveRecord(ctx, p, commands.MoveRecord{On: commands.On{ID: deal}, Stage: string(opportunity.StageWon)})
	w.wantInvalid("won without a value", err, "stage")
	_, err = c.MoveRecord(ctx, p, commands.MoveRecord{On: commands.On{ID: acme}, Stage: "sent"})
	w.wantInvalid("a customer has no stages", err, "id")
	_, err = c.ArchiveRecord(ctx, p, commands.On{ID: deal})
	w.wantInvalid("an opportunity is not archived", err, "id")
	must(c.ArchiveRecord(ctx, p, commands.On{ID: acme}))
	for _, id := range []uuid.UUID{uuid.New(), w.admin.Account} {
		_, err = c.ArchiveRecord(ctx, p, commands.On{ID: id})
		w.wantErr("of nothing that is a record", err, commands.ErrNotFound)
	}
}

// Personal fields are sealed one by one, and gone after an erasure; which of them was changed when stays.
func TestARecordWithPersonalFieldsIsErased(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	w.admin = w.again(w.admin)
	kind := declaredtest.Kind.Category
	id := must(w.CreateRecord(ctx, w.admin, commands.CreateRecord{Kind: kind, Values: record.Values{"name": "Erika", "phone": "+49 170 1", "weight": "2"}})).ID
	must(w.EditRecord(ctx, w.admin, commands.EditRecord{On: commands.On{ID: id, Kind: kind}, Values: record.Values{"phone": "+49 170 2"}}))

	preview := must(w.PreviewErasure(ctx, w.admin, kind, id))
	if !slices.Equal(preview.Fields, []string{"personal.name", "personal.phone"}) || preview.Events != 2 {
		t.Errorf("%+v", preview)
	}
	if len(preview.Names) != 0 || slices.Contains(preview.Names, reservation.Email) {
		t.Errorf("%+v frees names", preview)
	}
	before := w.head()
	must(w.CarryOutErasure(ctx, w.system, w.approved(kind, id)))
	types, _, payloads := w.facts(before)
	if types[len(types)-1] != domain.ErasedType {
		t.Fatalf("%v", types)
	}
	if _, ok := payloads[len(payloads)-1].(record.Erased); !ok {
		t.Errorf("%T", payloads[len(payloads)-1])
	}
	_, err := w.EditRecord(ctx, w.admin, commands.EditRecord{On: commands.On{ID: id, Kind: kind}, Values: record.Values{"weight": "3"}})
	w.wantErr("an erased record is edited", err, record.ErrErased)
	if erased := must(w.IsErased(ctx, w.system, kind, id)); !erased {
		t.Error("not erased")
	}
	_, err = w.PreviewErasure(ctx, w.admin, "contract", w.contract(w.admin, w.customer(w.admin, "B", uuid.Nil)))
	w.wantInvalid("a contract has nothing personal", err, "subject")
}
