// Package retention is the list of rules that erase by policy, and of what their
// days are counted from: whom a rule would erase, at any time.
//
// What counts is decided in the domain ([retention.Count]); a row keeps it for one
// subject. It holds nothing personal.
package retention

import (
	"time"

	"github.com/google/uuid"

	"github.com/annal-crm/annal/domain"
	"github.com/annal-crm/annal/domain/account"
	"github.com/annal-crm/annal/domain/customer"
	"github.com/annal-crm/annal/domain/erasure"
	"github.com/annal-crm/annal/domain/opportunity"
	"github.com/annal-crm/annal/domain/retention"
	"github.com/annal-crm/annal/eventlog"
	"github.com/annal-crm/annal/internal/eventcodec"
	"github.com/annal-crm/annal/projections/engine"
)

var (
	schema = engine.Schema{Name: "retention", Version: 1}

	rules  = engine.NewTable[uuid.UUID, Rule](schema, "rules", engine.TableConfig{Indexes: []string{"(organization, proposed_at, id)"}})
	counts = engine.NewTable[place, Count](schema, "counts", engine.TableConfig{Indexes: []string{
		"(organization, basis, since, id)",
	}})
	deals = engine.NewTable[uuid.UUID, deal](schema, "deals", engine.TableConfig{Indexes: []string{"(customer)"}})
)

// Model folds rules, and what days are counted from.
var Model = engine.ReadModel{
	Schema: schema,
	Tables: []engine.Relation{rules, counts, deals},
	Events: eventcodec.Types(
		retention.Proposed{}, retention.Approved{}, retention.Applied{}, retention.Ended{},
		erasure.Requested{},
		customer.Registered{}, customer.Edited{}, customer.Reassigned{}, customer.Archived{}, customer.Restored{}, customer.Erased{},
		opportunity.Opened{}, opportunity.Engaged{}, opportunity.Won{}, opportunity.Lost{}, opportunity.Reopened{},
		opportunity.Reassigned{}, opportunity.Edited{},
		account.Deactivated{}, account.Reactivated{}, account.Erased{},
	),
	Keys: keys,
	Fold: fold,
}

// Rule is a rule of retention.
type Rule struct {
	ID           uuid.UUID         `db:"id,key"`
	Organization uuid.UUID         `db:"organization"`
	Status       retention.Status  `db:"status"`
	Basis        retention.Basis   `db:"basis"`
	Days         int               `db:"days"`
	PerDay       int               `db:"per_day"`
	Reason       string            `db:"reason"`
	ProposedBy   uuid.UUID         `db:"proposed_by"`
	ProposedAt   time.Time         `db:"proposed_at"`
	ApprovedBy   uuid.UUID         `db:"approved_by,null"` // zero: nobody yet
	ApprovedAt   time.Time         `db:"approved_at,null"`
	Due          int               `db:"due,null"` // when it was approved
	EndedBy      uuid.UUID         `db:"ended_by,null"`
	EndedAt      time.Time         `db:"ended_at,null"`
	End          string            `db:"ending,null"` // why it was ended
	Version      eventlog.Version  `db:"version"`
	Position     eventlog.Position `db:"position"`
}

// State is the rule as far as the rules of the domain need it to judge a count.
func (r Rule) State() retention.State {
	return retention.State{Status: r.Status, Basis: r.Basis, Days: r.Days, PerDay: r.PerDay, ApprovedBy: r.ApprovedBy}
}

// place is the key of a count.
type place struct {
	ID    uuid.UUID
	Basis retention.Basis
}

// Count is what a basis counts from, for one subject. Of a customer, the row of [retention.CustomerTouched] is there as soon as an
// opportunity tells of it; the others are there while the subject is archived, or deactivated.
type Count struct {
	ID           uuid.UUID         `db:"id,key"`
	Basis        retention.Basis   `db:"basis,key"`
	Organization uuid.UUID         `db:"organization"`
	Since        time.Time         `db:"since"`
	Position     eventlog.Position `db:"position"` // of the event of then
	Act          bool              `db:"act"`      // that event is an act; see [retention.Count]
	Known        bool              `db:"known"`    // the subject's own events have told of it
	Recorded     time.Time         `db:"recorded"` // the newest event about the subject
	Asked        bool              `db:"asked"`    // a rule has asked for its erasure
}

// deal tells whom an opportunity is with.
type deal struct {
	ID       uuid.UUID `db:"id,key"`
	Customer uuid.UUID `db:"customer,null"`
}

func keys(f *eventcodec.Event, rows *engine.Rows) error {
	touch := func(id uuid.UUID) {
		if id != uuid.Nil {
			counts.Touch(rows, place{id, retention.CustomerTouched})
			counts.Touch(rows, place{id, retention.CustomerArchived})
		}
	}
	switch f.Stream.Category {
	case retention.Category:
		rules.Touch(rows, f.Stream.ID)
	case account.Category:
		counts.Touch(rows, place{f.Stream.ID, retention.AccountDeactivated})
	case customer.Category:
		touch(f.Stream.ID)
	case erasure.Category:
		payload, err := f.Payload()
		if e, ok := payload.(erasure.Requested); ok && e.Rule != uuid.Nil {
			for _, basis := range retention.Bases() {
				counts.Touch(rows, place{e.Subject, basis})
			}
		}
		return err
	case opportunity.Category:
		with, _ := deals.Peek(rows, f.Stream.ID)
		touch(with.Customer)
		payload, err := f.Payload()
		switch e := payload.(type) {
		case opportunity.Opened:
			touch(e.Customer)
		case opportunity.Edited:
			if e.Customer != nil {
				touch(domain.ParseRef(e.Customer.To))
			}
		}
		return err
	}
	return nil
}

func fold(f *eventcodec.Event, rows *engine.Rows) error {
	payload, err := f.Payload()
	if err != nil {
		return err
	}
	switch e := payload.(type) {
	case retention.Event:
		foldRule(f, rows, e)
	case erasure.Requested:
		if e.Rule == uuid.Nil {
			break
		}
		for _, basis := range retention.Bases() {
			counts.Update(rows, place{e.Subject, basis}, func(c *Count) { c.Asked = true })
		}
	case opportunity.Event:
		with, _ := deals.Get(rows, f.Stream.ID)
		switch e := e.(type) {
		case opportunity.Opened:
			with = deal{f.Stream.ID, e.Customer}
			deals.Put(rows, with)
		case opportunity.Edited:
			if e.Customer != nil {
				with = deal{f.Stream.ID, domain.ParseRef(e.Customer.To)}
				deals.Put(rows, with)
			}
		}
		if with.Customer != uuid.Nil {
			tally(f, rows, with.Customer, retention.CustomerTouched, retention.CustomerArchived)(e, false)
		}
	case customer.Event:
		tally(f, rows, f.Stream.ID, retention.CustomerTouched, retention.CustomerArchived)(e, true)
	case account.Event:
		tally(f, rows, f.Stream.ID, retention.AccountDeactivated)(e, true)
	}
	return nil
}

// tally has the domain say what an event changes in what is counted of a subject.
func tally(f *eventcodec.Event, rows *engine.Rows, id uuid.UUID, bases ...retention.Basis) func(event any, own bool) {
	return func(event any, own bool) {
		var count retention.Count
		kept := Count{ID: id, Organization: f.Stream.Organization}
		for _, basis := range bases {
			row, there := counts.Get(rows, place{id, basis})
			if !there {
				continue
			}
			mark := retention.Mark{At: row.Since, Position: int64(row.Position)}
			if basis == retention.CustomerTouched {
				count.Touched, count.By = mark, row.Act
			} else {
				count.Put = mark
			}
			count.Recorded, kept.Known, kept.Asked = row.Recorded, kept.Known || row.Known, kept.Asked || row.Asked
		}
		count = count.Evolve(retention.Happened{Mark: retention.Mark{At: f.OccurredAt, Position: int64(f.Position)}, Recorded: f.RecordedAt}, event)
		kept.Known, kept.Recorded = kept.Known || own, count.Recorded
		for _, basis := range bases {
			from, counting := count.From(basis)
			if !counting {
				counts.Delete(rows, place{id, basis})
				continue
			}
			kept.Basis, kept.Since, kept.Position, kept.Act = basis, from.At, eventlog.Position(from.Position), count.By
			counts.Put(rows, kept)
		}
	}
}

func foldRule(f *eventcodec.Event, rows *engine.Rows, event retention.Event) {
	if e, ok := event.(retention.Proposed); ok {
		rules.Put(rows, Rule{
			ID: f.Stream.ID, Organization: f.Stream.Organization, Status: retention.StatusProposed, Basis: e.Basis, Days: e.Days, PerDay: e.PerDay,
			Reason: e.Reason, ProposedBy: e.By, ProposedAt: f.OccurredAt, Version: f.Version, Position: f.Position,
		})
		return
	}
	rules.Update(rows, f.Stream.ID, func(r *Rule) {
		r.Version, r.Position = f.Version, f.Position
		switch e := event.(type) {
		case retention.Approved:
			r.Status, r.ApprovedBy, r.ApprovedAt, r.Due = retention.StatusApproved, e.By, f.OccurredAt, e.Due
		case retention.Ended:
			r.Status, r.EndedBy, r.EndedAt, r.End = retention.StatusEnded, e.By, f.OccurredAt, e.Reason
		}
	})
}
