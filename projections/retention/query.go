package retention

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/annal-crm/annal/domain"
	"github.com/annal-crm/annal/domain/account"
	"github.com/annal-crm/annal/domain/opportunity"
	"github.com/annal-crm/annal/domain/retention"
	"github.com/annal-crm/annal/eventlog"
	"github.com/annal-crm/annal/projections/accounts"
	"github.com/annal-crm/annal/projections/engine"
	"github.com/annal-crm/annal/projections/engine/where"
)

var (
	newestFirst = rules.Descending("proposed_at", "id")
	oldestFirst = counts.Ascending("since", "id")
)

// List returns a page of an organization's rules, the newest first.
func List(ctx context.Context, db engine.DB, organization uuid.UUID, page engine.PageRequest) (engine.Page[Rule], error) {
	return rules.Page(ctx, db, newestFirst, page, "t.organization = $1", organization)
}

// CountRules returns how many rules List has in all its pages.
func CountRules(ctx context.Context, db engine.DB, organization uuid.UUID) (int, error) {
	return rules.Count(ctx, db, "t.organization = $1", organization)
}

// Get returns a rule of an organization.
func Get(ctx context.Context, db engine.DB, organization, id uuid.UUID) (Rule, bool, error) {
	rows, err := rules.Find(ctx, db, "t.organization = $1 and t.id = $2", organization, id)
	if err != nil || len(rows) == 0 {
		return Rule{}, false, err
	}
	return rows[0], true, nil
}

// Running returns the rules, of all organizations, that are approved and not ended.
func Running(ctx context.Context, db engine.DB) ([]Rule, error) {
	return rules.Find(ctx, db, "t.status = 'approved' order by t.approved_at, t.id")
}

// ErrParked reports that nobody knows who is due: an opportunity could not be folded, and may be with anybody.
var ErrParked = domain.Refuse(domain.CodeUnavailable, "events of an opportunity could not be read and are parked: an administrator must retry or skip them before a rule can say who is due")

// Left is somebody whose days are over and whom a rule leaves out.
type Left struct {
	ID  uuid.UUID
	Why retention.Kept
}

// Source is where questions are answered from.
type Source struct {
	Log    eventlog.Log
	Engine *engine.Engine
	DB     engine.DB
}

// Question is a rule tried at a time: approved, proposed, or neither.
type Question struct {
	Organization uuid.UUID
	Rule         retention.State
	At           time.Time
	Kept         []Left            // whom it leaves out
	Managers     []uuid.UUID       // accounts that can sign in and manage the organization, of a rule about accounts
	Head         eventlog.Position // of the log when it was asked: all that had happened by then is counted
	db           engine.DB
}

// Ask prepares a question. It waits until the read models hold all that is in the log. Managing are the roles that may manage the
// organization: who has one of them last is left out.
func (s Source) Ask(ctx context.Context, organization uuid.UUID, rule retention.State, at time.Time, managing []string) (Question, error) {
	q, db := Question{Organization: organization, Rule: rule, At: at, db: s.DB}, s.DB
	var err error
	if q.Head, err = s.Log.Head(ctx); err != nil {
		return q, err
	}
	if err := s.Engine.Wait(ctx, q.Head, Model.Name, accounts.Model.Name); err != nil {
		return q, err
	}
	if rule.Basis.Of() != account.Category {
		return q, s.whole(ctx, organization)
	}
	holders, err := accounts.Holders(ctx, db, organization, managing)
	if err != nil {
		return q, err
	}
	for _, a := range holders {
		if a.Activated && !a.Deactivated {
			q.Managers = append(q.Managers, a.ID)
		}
	}
	roles := make(map[uuid.UUID][]string)
	if rule.ApprovedBy != uuid.Nil {
		roles[rule.ApprovedBy] = nil
	}
	for _, a := range holders {
		roles[a.ID] = a.Roles
	}
	var left []Left
	for id, of := range roles {
		why, kept := rule.Keeps(id, of, managing, len(q.Managers) > 0)
		if !kept {
			continue
		}
		c := q.clause()
		c.And("t.id = ?", id)
		due, err := counts.Count(ctx, db, c.SQL(), c.Args()...)
		if err != nil {
			return q, err
		}
		if due > 0 {
			left = append(left, Left{id, why})
		}
	}
	slices.SortFunc(left, func(a, b Left) int { return bytes.Compare(a.ID[:], b.ID[:]) })
	q.Kept = left
	return q, nil
}

// whole reports whether any opportunity of an organization is parked. A customer that is parked itself cannot be judged, and stays.
func (s Source) whole(ctx context.Context, organization uuid.UUID) error {
	for f := (engine.ParkedFilter{Model: Model.Name, Organization: organization}); ; {
		parked, err := s.Engine.Parked(ctx, f)
		if err != nil || len(parked) == 0 {
			return err
		}
		for _, p := range parked {
			if p.Stream.Category == opportunity.Category {
				return ErrParked
			}
			f.After = engine.Cursor{Model: p.Model, Position: p.Position}
		}
	}
}

// String names the question and how many are due, for the record of who has asked.
func (q Question) String(due int) string {
	return fmt.Sprintf("retention %s days=%d at=%s due=%d", q.Rule.Basis, q.Rule.Days, q.At.UTC().Format(time.RFC3339), due)
}

// Due returns a page of those whom the rule would erase, those who have waited longest first.
func (q Question) Due(ctx context.Context, page engine.PageRequest) (engine.Page[Count], error) {
	c := q.clause()
	return counts.Page(ctx, q.db, oldestFirst, page, c.SQL(), c.Args()...)
}

// Count returns how many Due has in all its pages.
func (q Question) Count(ctx context.Context) (int, error) {
	c := q.clause()
	return counts.Count(ctx, q.db, c.SQL(), c.Args()...)
}

// clause is [retention.State.Due] in SQL.
func (q Question) clause() *where.Clause {
	c := new(where.Clause)
	c.And("t.organization = ? and t.basis = ? and t.since <= ? and t.recorded <= ? and t.known and not t.asked",
		q.Organization, string(q.Rule.Basis), retention.Cut(q.Rule.Days, q.At), q.At.Add(-retention.Rest))
	for _, kept := range q.Kept {
		c.And("t.id <> ?", kept.ID)
	}
	return c
}

// Opportunities returns the opportunities that there are with customers.
func Opportunities(ctx context.Context, db engine.DB, customers []uuid.UUID) (map[uuid.UUID][]uuid.UUID, error) {
	rows, err := deals.Find(ctx, db, "t.customer = any($1)", customers)
	if err != nil {
		return nil, err
	}
	with := make(map[uuid.UUID][]uuid.UUID)
	for _, d := range rows {
		with[d.Customer] = append(with[d.Customer], d.ID)
	}
	return with, nil
}
