package graph

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/google/uuid"
	lru "github.com/hashicorp/golang-lru/v2"

	"github.com/annal-crm/annal/commands"
	"github.com/annal-crm/annal/domain/account"
	"github.com/annal-crm/annal/domain/audit"
	"github.com/annal-crm/annal/domain/customer"
	"github.com/annal-crm/annal/domain/organization"
	"github.com/annal-crm/annal/eventlog"
	"github.com/annal-crm/annal/history/timeline"
	"github.com/annal-crm/annal/projections/accounts"
	"github.com/annal-crm/annal/projections/activity"
	"github.com/annal-crm/annal/projections/customers"
	"github.com/annal-crm/annal/projections/engine"
)

// looks remembers which lives are being read, so that a replay is one event on record and not one for each page.
type looks struct {
	mu    sync.Mutex
	since *lru.Cache[string, time.Time]
}

// oneLook is how long a replay under way is the same one. It bounds what can be read by pages alone without a new event.
const oneLook = time.Hour

func newLooks() *looks {
	cache, err := lru.New[string, time.Time](10_000) // replays at once; one forgotten is on record twice
	if err != nil {
		panic(err)
	}
	return &looks{since: cache}
}

// look puts on record that the principal reads a life, before anything of it is shown: always, or, of what goes on, if that is not
// on record for this session within the hour. One's own is nobody's business. A life of nobody, or of somebody of whom the principal
// may see nothing, is [commands.ErrNotFound], and not on record: nothing was read.
func (r *resolver) look(ctx context.Context, p *commands.Principal, who activity.Filter, f timeline.Filter, goesOn bool) error {
	if who.Account == p.Account {
		return nil
	}
	wish := audit.Read{Act: audit.Replayed, Kind: account.Category, Subject: who.Account, Filters: f.Words()}
	switch {
	case who.Account == uuid.Nil:
		wish.Kind, wish.Subject = customer.Category, who.Customer
	case who.Customer != uuid.Nil:
		wish.Filters = append(wish.Filters, "customer="+who.Customer.String())
	}
	name := fmt.Sprint(p.Account, p.Session, wish, f)
	r.looks.mu.Lock()
	since, known := r.looks.since.Get(name)
	r.looks.mu.Unlock()
	if goesOn && known && time.Since(since) < oneLook {
		return nil
	}
	if err := r.inSight(ctx, p, who); err != nil {
		return err
	}
	if _, err := r.Commands.Look(ctx, p, commands.Command{}, wish); err != nil {
		return err
	}
	r.looks.mu.Lock()
	defer r.looks.mu.Unlock()
	r.looks.since.Add(name, time.Now())
	return nil
}

// lookAtActs puts on record that the principal lists the acts of one account or what happened to one customer: that is a part of a life.
// The list of everybody's is none.
func (r *resolver) lookAtActs(ctx context.Context, p *commands.Principal, f activity.Filter) error {
	if f.Account == uuid.Nil && f.Customer == uuid.Nil {
		return nil
	}
	return r.look(ctx, p, f, timeline.Filter{Types: f.Types, From: f.From, To: f.To}, true)
}

// inSight tells [commands.ErrNotFound] unless those whose life is asked for are there, and the principal may see them or anything
// that happened to them. That somebody is there and not to be seen is not told.
func (r *resolver) inSight(ctx context.Context, p *commands.Principal, who activity.Filter) error {
	if who.Account != uuid.Nil {
		if err := inSight(ctx, r, p, account.Category, who.Account, activity.Filter{Account: who.Account}, organization.ViewAccounts, accounts.Get); err != nil {
			return err
		}
	}
	if who.Customer != uuid.Nil {
		return inSight(ctx, r, p, customer.Category, who.Customer, activity.Filter{Customer: who.Customer}, organization.ViewCustomers, customers.Get)
	}
	return nil
}

func inSight[R any](ctx context.Context, r *resolver, p *commands.Principal, category string, id uuid.UUID, acts activity.Filter, permission organization.Permission,
	get func(context.Context, engine.DB, engine.Viewer, []uuid.UUID) (map[uuid.UUID]R, error)) error {
	v, sight := onlooker(p)
	if v.Scope == organization.All { // the log knows, also what no read model has come to
		for _, err := range r.Log.ReadStream(ctx, eventlog.Stream{Organization: p.Organization, Category: category, ID: id}, 0) {
			return err
		}
		return commands.ErrNotFound
	}
	some, err := activity.Index(ctx, r.DB, v, sight, acts, engine.PageRequest{First: 1})
	if err != nil || len(some.Rows) > 0 {
		return err
	}
	if v, err = viewer(p, permission); err != nil {
		return commands.ErrNotFound
	}
	found, err := get(ctx, r.DB, v, []uuid.UUID{id})
	if err == nil && len(found) == 0 {
		err = commands.ErrNotFound
	}
	return err
}
