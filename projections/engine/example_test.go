package engine_test

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/google/uuid"

	"github.com/annal-crm/annal/domain/customer"
	"github.com/annal-crm/annal/eventlog"
	"github.com/annal-crm/annal/internal/eventcodec"
	"github.com/annal-crm/annal/projections/engine"
	"github.com/annal-crm/annal/projections/engine/foldtest"
)

// A read model that counts the customers of each owner. It keeps a row per customer to know whose it was.
var (
	portfolios = engine.Schema{Name: "portfolios", Version: 1}

	owners = engine.NewTable[uuid.UUID, Owner](portfolios, "owners", engine.TableConfig{
		Indexes: []string{"(organization, customers, account)"},
	})
	owned = engine.NewTable[uuid.UUID, Owned](portfolios, "owned", engine.TableConfig{})

	Portfolios = engine.ReadModel{
		Schema: portfolios,
		Tables: []engine.Relation{owners, owned},
		Events: []string{"customer.registered", "customer.reassigned"},
		Keys:   keys,
		Fold:   fold,
	}
)

type Owner struct {
	Account      uuid.UUID `db:"account,key"`
	Organization uuid.UUID `db:"organization"`
	Customers    int       `db:"customers"`
}

type Owned struct {
	Customer uuid.UUID `db:"customer,key"`
	Owner    uuid.UUID `db:"owner,null"`
}

func keys(f *eventcodec.Event, rows *engine.Rows) error {
	payload, err := f.Payload()
	switch e := payload.(type) {
	case customer.Registered:
		owned.Touch(rows, f.Stream.ID)
		owners.Touch(rows, e.Owner)
	case customer.Reassigned:
		// A row may depend on what another holds: here on whose the customer was before this page.
		if before, ok := owned.Peek(rows, f.Stream.ID); ok {
			owners.Touch(rows, before.Owner)
		}
		owners.Touch(rows, e.From)
		owners.Touch(rows, e.To)
	}
	return err
}

func fold(f *eventcodec.Event, rows *engine.Rows) error {
	payload, err := f.Payload()
	switch e := payload.(type) {
	case customer.Registered:
		move(f, rows, e.Owner)
	case customer.Reassigned:
		move(f, rows, e.To)
	}
	return err
}

func move(f *eventcodec.Event, rows *engine.Rows, to uuid.UUID) {
	if before, ok := owned.Get(rows, f.Stream.ID); ok {
		owners.Update(rows, before.Owner, func(o *Owner) { o.Customers-- })
	}
	now, _ := owners.Get(rows, to)
	owners.Put(rows, Owner{Account: to, Organization: f.Stream.Organization, Customers: now.Customers + 1})
	owned.Put(rows, Owned{Customer: f.Stream.ID, Owner: to})
}

// TopOwners is a query of the read model, as its package would have it.
func TopOwners(ctx context.Context, db engine.DB, viewer engine.Viewer, page engine.PageRequest) (engine.Page[Owner], error) {
	return owners.Page(ctx, db, owners.Descending("customers", "account"), page, "organization = $1", viewer.Organization)
}

// Folds are tested without a database: facts in, rows out.
func Example() {
	ada, bob := uuid.UUID{15: 1}, uuid.UUID{15: 2}
	acme, umbrella := eventlog.Stream{Category: customer.Category, ID: uuid.UUID{15: 3}}, eventlog.Stream{Category: customer.Category, ID: uuid.UUID{15: 4}}

	rows, err := foldtest.Fold(Portfolios,
		foldtest.Event(acme, customer.Registered{Name: "Acme", Owner: ada}),
		foldtest.Event(umbrella, customer.Registered{Name: "Umbrella", Owner: ada}),
		foldtest.Event(acme, customer.Reassigned{From: ada, To: bob}),
	)
	if err != nil {
		panic(err)
	}
	for _, owner := range owners.Rows(rows) {
		b, _ := json.Marshal(owner)
		fmt.Println(string(b))
	}
	// Output:
	// {"Account":"00000000-0000-0000-0000-000000000001","Organization":"00000000-0000-0000-0000-000000000000","Customers":1}
	// {"Account":"00000000-0000-0000-0000-000000000002","Organization":"00000000-0000-0000-0000-000000000000","Customers":1}
}
