package commands_test

import (
	"errors"
	"maps"
	"slices"
	"testing"

	"github.com/google/uuid"

	"github.com/annal-crm/annal/commands"
	"github.com/annal-crm/annal/domain"
	"github.com/annal-crm/annal/domain/account"
	"github.com/annal-crm/annal/domain/customer"
	"github.com/annal-crm/annal/domain/organization"
	"github.com/annal-crm/annal/eventlog"
	"github.com/annal-crm/annal/internal/eventcodec"
	"github.com/annal-crm/annal/internal/vault"
)

// approved is a request that another administrator has approved.
func (w *world) approved(category string, subject uuid.UUID) uuid.UUID {
	w.Helper()
	second := w.invite("second-"+subject.String(), uuid.Nil, "administrator")
	asked := must(w.RequestErasure(w.Context(), w.admin, commands.RequestErasure{Command: commands.Command{Reason: "asked"}, Category: category, Subject: subject}))
	must(w.ApproveErasure(w.Context(), second, commands.OnErasure{RequestID: asked.ID}))
	return asked.ID
}

func TestAnErasureIsCarriedOutHoweverOftenItIsInterrupted(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	for stop := int64(0); ; stop++ { // after so many appends the log is away
		person := w.invite("ada", uuid.Nil, "sales")
		w.activate(person.Account)
		token := w.mustLogin("ada")
		request := w.approved(account.Category, person.Account)
		before := w.head()
		w.log.failAfter.Store(stop)
		w.log.failing.Store(true)
		_, err := w.CarryOutErasure(ctx, w.system, request)
		w.log.failing.Store(false)
		whole := err == nil
		another := w.another(commands.Config{}) // a process that knows nothing of the first attempt
		if _, err := another.CarryOutErasure(ctx, w.system, request); err != nil {
			t.Fatal(err)
		}
		w.since(before, "account.logged_out", domain.ErasedType, "reservation.released")
		if _, err := w.Authenticate(ctx, token, office); !errors.Is(err, commands.ErrUnauthenticated) {
			t.Errorf("after %d appends the session lives: %v", stop, err)
		}
		if erased := must(w.vault.Erased(ctx, []vault.Subject{{Organization: commands.Home, ID: person.Account}})); !erased[0] {
			t.Errorf("after %d appends the key lives", stop)
		}
		_, _, payloads := w.facts(before)
		if c := payloads[1].(account.Erased); c.Request != request || c.RequestedBy != w.admin.Account || c.ApprovedBy == uuid.Nil || c.Reason != "asked" || c.Key == (domain.Hash{}) || len(c.Freed) != 1 {
			t.Errorf("the certificate: %+v", c)
		}
		must(w.FinishErasure(ctx, w.system, request))
		at := w.head()
		must(w.FinishErasure(ctx, w.system, request))
		must(w.CarryOutErasure(ctx, w.system, request))
		if w.head() != at {
			t.Error("what is done is done again")
		}
		if whole { // the name was free each time
			return
		}
	}
}

func TestNobodyElseCarriesOutAnErasure(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	person := w.invite("ada", uuid.Nil, "sales")
	asked := must(w.RequestErasure(ctx, w.admin, commands.RequestErasure{Command: commands.Command{Reason: "asked"}, Category: account.Category, Subject: person.Account}))
	_, err := w.CarryOutErasure(ctx, w.admin, asked.ID)
	w.wantErr("by a person", err, commands.ErrForbidden)
	_, err = w.CarryOutErasure(ctx, w.system, asked.ID)
	w.wantErr("before it is approved", err, commands.ErrNotFound)
	_, err = w.Erase(ctx, w.admin, account.Category, person.Account, domain.Erased{})
	w.wantErr("by a certificate of one's own", err, commands.ErrForbidden)
	_, err = w.RequestErasure(ctx, w.system, commands.RequestErasure{Command: commands.Command{Reason: "asked"}, Category: account.Category, Subject: person.Account})
	w.wantErr("asked for by the program", err, commands.ErrForbidden)
	_, err = w.ApproveErasure(ctx, w.system, commands.OnErasure{RequestID: asked.ID})
	w.wantErr("approved by the program", err, commands.ErrForbidden)
}

// Whoever may erase some people may not erase those above.
func TestNobodyErasesWhoIsAbove(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	must(w.DefineRole(ctx, w.admin, commands.DefineRole{Role: "privacy", Permissions: map[organization.Permission]organization.Scope{
		organization.RequestErasure: organization.All, organization.ApproveErasure: organization.All,
	}}))
	officer, other := w.invite("officer", uuid.Nil, "privacy"), w.invite("other", uuid.Nil, "privacy")
	_, err := w.RequestErasure(ctx, officer, commands.RequestErasure{Command: commands.Command{Reason: "x"}, Category: account.Category, Subject: w.admin.Account})
	w.wantErr("an administrator", err, commands.ErrForbidden)
	asked := must(w.RequestErasure(ctx, officer, commands.RequestErasure{Command: commands.Command{Reason: "x"}, Category: account.Category, Subject: w.invite("nobody", uuid.Nil).Account}))
	must(w.ApproveErasure(ctx, other, commands.OnErasure{RequestID: asked.ID}))
}

func TestAnErasedPersonIsNotImportedAgain(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	row := customer.Registered{Name: "Erika", Phone: "+49", Source: "crm"}
	id := uuid.New()
	must(w.ImportCustomer(ctx, w.system, commands.Command{ID: uuid.New()}, id, row))
	must(w.CarryOutErasure(ctx, w.system, w.approved(customer.Category, id)))
	person, who := account.Invited{LoginName: "erika", DisplayName: "Erika", Email: "erika@example.org", Source: "crm"}, uuid.New()
	must(w.ImportAccount(ctx, w.system, commands.Command{ID: uuid.New()}, who, person))
	must(w.CarryOutErasure(ctx, w.system, w.approved(account.Category, who)))
	at := w.head()
	row.Phone = "+50"
	_, err := w.ImportCustomer(ctx, w.system, commands.Command{ID: uuid.New()}, id, row)
	w.wantErr("the customer", err, customer.ErrErased)
	_, err = w.ImportAccount(ctx, w.system, commands.Command{ID: uuid.New()}, who, person)
	w.wantErr("the account", err, account.ErrErased)
	if w.head() != at {
		t.Error("an import has written, if only a name's reservation")
	}
}

// An organization that an older program has founded.
func TestNewPermissionsReachOlderOrganizations(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	older := uuid.New()
	stream := eventlog.Stream{Organization: older, Category: organization.Category, ID: older}
	founded := []organization.Event{organization.Registered{Name: "Old"}}
	for _, role := range organization.BuiltIn() {
		role.Permissions = maps.Clone(role.Permissions)
		delete(role.Permissions, organization.RequestErasure)
		delete(role.Permissions, organization.ApproveErasure)
		founded = append(founded, role)
	}
	var stored []eventlog.NewEvent
	for _, e := range founded {
		stored = append(stored, must(eventcodec.Encode(ctx, w.codec, organization.EventTypes, stream, uuid.New(), e, domain.Metadata{}, w.now.Now())))
	}
	must(w.log.Append(ctx, stream, 0, stored...))
	program := must(w.System(ctx, older))
	boss := must(w.Invite(ctx, program, commands.Invite{LoginName: "boss", DisplayName: "Boss", Roles: []string{"administrator"}}))
	issued := must(w.IssueActivation(ctx, program, commands.OnAccount{AccountID: boss.ID}))
	must(w.ActivateAccount(ctx, office, commands.ActivateAccount{Token: issued.Token, Password: password}))
	token := w.mustLogin("boss")
	before := w.head()
	for range 2 {
		p := must(w.Authenticate(ctx, token, office))
		if p.Scope(organization.RequestErasure) != organization.All || !slices.Contains(p.Permissions(), "erasure.approve") {
			t.Error(p.Permissions())
		}
	}
	w.since(before, "organization.permission_added", "organization.permission_added")
	p := must(w.Authenticate(ctx, token, office))
	must(w.RemovePermission(ctx, p, commands.Permission{Role: "administrator", Permission: organization.ApproveErasure}))
	if p = must(w.Authenticate(ctx, token, office)); p.Scope(organization.ApproveErasure) != organization.None {
		t.Error("what was taken away came back")
	}
}
