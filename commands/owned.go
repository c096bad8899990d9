package commands

import (
	"context"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/annal-crm/annal/domain"
	"github.com/annal-crm/annal/domain/account"
	"github.com/annal-crm/annal/domain/organization"
	"github.com/annal-crm/annal/eventlog"
)

// ownedState is the state of a record that belongs to an account.
type ownedState interface {
	Exists() bool
	Owner() uuid.UUID
	ChangedSince(version int) []string
}

// owned is a kind of record that belongs to an account: a customer, an opportunity, or a declared kind. Its permissions say
// who may see and change which records, by their owner. A decision that the kind does not have is nil.
type owned[S ownedState, E any] struct {
	aggregate[S, E]
	view, edit organization.Permission

	move             func(s S, stage string, now time.Time) ([]E, error)
	reassign         func(S, uuid.UUID) ([]E, error)
	archive, restore func(S) ([]E, error)
	erase            func(S, domain.Erased) ([]E, error)
	erased           func(S) error // the refusal to do anything about an erased record, or nil
}

// keeper is [owned] for code that works on records of any kind.
type keeper interface {
	// find returns what is to be known of a record before anything is done about it.
	find(ctx context.Context, c *Commands, s eventlog.Stream) (found, error)

	// visible is the permission to see records of the kind.
	visible() organization.Permission

	// cached reports whether the state of a stream is in memory, so that the stream exists.
	cached(s eventlog.Stream) bool

	// do carries out one of the commands that every kind has.
	do(ctx context.Context, c *Commands, p *Principal, on On, what verb) (Result, error)

	// eraseFor writes the certificate of an erasure; a stream that the log does not have gets none.
	eraseFor(ctx context.Context, c *Commands, act *action, s eventlog.Stream, certificate domain.Erased) (eventlog.Receipt, error)

	// forget drops the state of a stream from memory.
	forget(s eventlog.Stream)
}

// found is a record as code of any kind sees it.
type found struct {
	exists bool
	owner  uuid.UUID
	erased error // the refusal to do anything about an erased record; nil: it is not erased
}

// On names the record that a command is about.
type On struct {
	Command
	ID   uuid.UUID
	Kind string // its category; empty: it is found out, for commands that every kind has
}

// verb is a command that every kind of record has; exactly one of its fields is set.
type verb struct {
	stage    *string
	owner    *uuid.UUID // zero: nobody
	archived *bool
}

func (k *owned[S, E]) visible() organization.Permission { return k.view }

func (k *owned[S, E]) cached(s eventlog.Stream) bool { return k.cache.Contains(s) }

func (k *owned[S, E]) forget(s eventlog.Stream) { k.cache.Remove(s) }

func (k *owned[S, E]) find(ctx context.Context, c *Commands, s eventlog.Stream) (found, error) {
	now, err := k.load(ctx, c, s)
	if err != nil || !now.state.Exists() {
		return found{}, err
	}
	f := found{exists: true, owner: now.state.Owner()}
	if k.erased != nil {
		f.erased = k.erased(now.state)
	}
	return f, nil
}

// create makes a record that belongs to the principal (a zero owner) or to an account in the scope of the permission to edit.
// choose decides with the owner and the time of the command.
func (k *owned[S, E]) create(ctx context.Context, c *Commands, p *Principal, cmd Command, owner uuid.UUID,
	choose func(s S, owner uuid.UUID, now time.Time) ([]E, error),
) (Result, error) {
	if err := p.may(k.edit); err != nil {
		return Result{}, err
	}
	act, err := c.begin(p, cmd)
	if err != nil {
		return Result{}, err
	}
	if owner == uuid.Nil {
		owner = p.Account
	}

	id := act.object(p.Organization, k.category)
	done, err := decide(ctx, c, &k.aggregate, k.stream(p.Organization, id), act, nil, func(s S) ([]E, error) {
		if owner != p.Account {
			if err := c.assignable(ctx, p, k.edit, "ownerId", owner); err != nil {
				return nil, err
			}
		}
		return choose(s, owner, act.now)
	})
	return Result{ID: id, Receipt: done.receipt}, err
}

// change is the way of a command on a record, whose owner must lie in the scope of the permission to edit.
func (k *owned[S, E]) change(ctx context.Context, c *Commands, p *Principal, on On, choose func(s S, now time.Time) ([]E, error)) (Result, error) {
	if err := p.may(k.edit); err != nil {
		return Result{}, err
	}
	act, err := c.begin(p, on.Command)
	if err != nil {
		return Result{}, err
	}
	allow := func(s S) error {
		if !s.Exists() {
			return ErrNotFound
		}
		return c.reaches(ctx, p, k.edit, s.Owner())
	}
	done, err := decide(ctx, c, &k.aggregate, k.stream(p.Organization, on.ID), act, allow, func(s S) ([]E, error) {
		return choose(s, act.now)
	})
	return Result{ID: on.ID, Receipt: done.receipt}, err
}

// follow is the way of an import: the row decides, its owner must be there, and check may refuse what it refers to.
func (k *owned[S, E]) follow(ctx context.Context, c *Commands, p *Principal, cmd Command, id, owner uuid.UUID,
	check func() error, choose func(s S, now time.Time) ([]E, error),
) (Imported, error) {
	if p.Scope(k.edit) != organization.All {
		return Imported{}, ErrForbidden
	}
	act, err := c.begin(p, cmd)
	if err != nil {
		return Imported{}, err
	}
	done, err := decide(ctx, c, &k.aggregate, k.stream(p.Organization, id), act, nil, importing(act, func(s S) ([]E, error) {
		if err := there(ctx, c, &c.accounts, p, "ownerId", owner); err != nil {
			return nil, err
		}
		if err := check(); err != nil {
			return nil, err
		}
		return choose(s, act.now)
	}))
	return imported(id, done), err
}

// do implements [keeper]. A record is given to an account in the scope of the permission to edit; to give it to nobody takes
// that permission for the whole organization.
func (k *owned[S, E]) do(ctx context.Context, c *Commands, p *Principal, on On, what verb) (Result, error) {
	return k.change(ctx, c, p, on, func(s S, now time.Time) ([]E, error) {
		switch {
		case what.stage != nil && k.move != nil:
			return k.move(s, *what.stage, now)
		case what.owner != nil:
			if *what.owner != uuid.Nil || p.Scope(k.edit) != organization.All {
				if err := c.assignable(ctx, p, k.edit, "ownerId", *what.owner); err != nil {
					return nil, err
				}
			}
			return k.reassign(s, *what.owner)
		case what.archived != nil && *what.archived && k.archive != nil:
			return k.archive(s)
		case what.archived != nil && !*what.archived && k.restore != nil:
			return k.restore(s)
		}
		return nil, domain.Invalid{"id": "is of a kind (" + k.category + ") that does not have this"}
	})
}

func (k *owned[S, E]) eraseFor(ctx context.Context, c *Commands, act *action, s eventlog.Stream, certificate domain.Erased) (eventlog.Receipt, error) {
	done, err := decide(ctx, c, &k.aggregate, s, act, nil, func(state S) ([]E, error) {
		if !state.Exists() {
			return nil, nil
		}
		return k.erase(state, certificate)
	})
	return done.receipt, err
}

// categoryOf returns the category of a record of the principal's organization, or [ErrNotFound]. Ids are unique over the kinds.
func (c *Commands) categoryOf(ctx context.Context, p *Principal, id uuid.UUID) (string, error) {
	tails := make([]eventlog.Tail, 0, len(c.categories))
	for _, category := range c.categories {
		s := eventlog.Stream{Organization: p.Organization, Category: category, ID: id}
		if c.owned[category].cached(s) {
			return category, nil
		}
		tails = append(tails, eventlog.Tail{Stream: s})
	}
	streams, err := c.log.ReadStreams(ctx, tails...) // once for each record: it is cached then
	if err != nil {
		return "", err
	}
	i := slices.IndexFunc(streams, func(events []eventlog.Event) bool { return len(events) > 0 })
	if i < 0 {
		return "", ErrNotFound
	}
	return c.categories[i], nil
}

// refer reports whether a principal may make a record refer to another: it is there, and the principal may see it. The answer
// is the same for one out of reach and one that does not exist.
func (c *Commands) refer(ctx context.Context, p *Principal, field, category string, id uuid.UUID) error {
	if id == uuid.Nil {
		return nil
	}
	unknown := domain.Invalid{field: "there is no such " + category}
	if category == account.Category {
		of, err := c.accounts.load(ctx, c, c.accounts.stream(p.Organization, id))
		if err == nil && (!of.state.Invited || c.reaches(ctx, p, organization.ViewAccounts, id) != nil) {
			err = unknown
		}
		return err
	}

	kept := c.owned[category]
	of, err := kept.find(ctx, c, eventlog.Stream{Organization: p.Organization, Category: category, ID: id})
	if err == nil && (!of.exists || c.reaches(ctx, p, kept.visible(), of.owner) != nil) {
		err = unknown
	}
	return err
}
