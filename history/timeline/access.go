package timeline

import (
	"context"
	"fmt"

	"github.com/google/uuid"

	"github.com/annal-crm/annal/commands"
	"github.com/annal-crm/annal/domain/account"
	"github.com/annal-crm/annal/domain/audit"
	"github.com/annal-crm/annal/domain/customer"
	"github.com/annal-crm/annal/domain/organization"
	"github.com/annal-crm/annal/eventlog"
	"github.com/annal-crm/annal/history/asof"
	"github.com/annal-crm/annal/projections/activity"
	"github.com/annal-crm/annal/projections/engine"
)

// Access puts on record that somebody reads a timeline, before anything of it is shown.
type Access struct {
	Commands *commands.Commands
	Log      eventlog.Log
	DB       engine.DB
	Recent   commands.AccessRecords
}

// Record puts on record that the principal reads the timeline of an account, of a customer, or of what an account did with a
// customer. One that continues is recorded once an hour for the same question in the same session. One's own timeline is nobody
// else's business and not recorded. The timeline of nobody, or of somebody of whom the principal may see nothing, is
// [commands.ErrNotFound] and not on record: nothing was read.
func (a Access) Record(ctx context.Context, p *commands.Principal, who activity.Filter, f Filter, continues bool) error {
	if who.Account == p.Account {
		return nil
	}
	read := audit.Read{Act: audit.Replayed, Kind: account.Category, Subject: who.Account, Filters: f.Words()}
	switch {
	case who.Account == uuid.Nil:
		read.Kind, read.Subject = customer.Category, who.Customer
	case who.Customer != uuid.Nil:
		read.Filters = append(read.Filters, "customer="+who.Customer.String())
	}
	return a.Recent.Once(fmt.Sprint(p.Account, p.Session, read, f), continues, func() error {
		for category, id := range map[string]uuid.UUID{account.Category: who.Account, customer.Category: who.Customer} {
			if id == uuid.Nil {
				continue
			}
			if err := a.visible(ctx, p, category, id); err != nil {
				return err
			}
		}
		_, err := a.Commands.RecordRead(ctx, p, commands.Command{}, read)
		return err
	})
}

// RecordList is [Access.Record] for a list of activity. That of one account or customer is a part of its timeline; that of
// everybody is not recorded.
func (a Access) RecordList(ctx context.Context, p *commands.Principal, f activity.Filter) error {
	if f.Account == uuid.Nil && f.Customer == uuid.Nil {
		return nil
	}
	return a.Record(ctx, p, f, Filter{Types: f.Types, From: f.From, To: f.To}, true)
}

// visible is [commands.ErrNotFound] unless there is such an account or customer, and the principal may see it or anything that
// happened to it. That somebody is there and may not be seen is not said.
func (a Access) visible(ctx context.Context, p *commands.Principal, category string, id uuid.UUID) error {
	v := p.Sees(organization.ViewActivity)
	if v.Scope == organization.All { // the log knows, also what no read model has come to
		for _, err := range a.Log.ReadStream(ctx, eventlog.Stream{Organization: p.Organization, Category: category, ID: id}, 0) {
			return err
		}
		return commands.ErrNotFound
	}
	of := activity.Filter{Account: id}
	if category == customer.Category {
		of = activity.Filter{Customer: id}
	}
	some, err := activity.Index(ctx, a.DB, v, activity.SightOf(p.Scope), of, engine.PageRequest{First: 1})
	if err != nil || len(some.Rows) > 0 {
		return err
	}
	visible, err := asof.Kinds[category].Visible(ctx, a.DB, p.Sees(asof.Kinds[category].Permission()), id)
	if err == nil && !visible {
		err = commands.ErrNotFound
	}
	return err
}
