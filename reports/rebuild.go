package reports

import (
	"context"
	"strconv"

	"github.com/google/uuid"

	"github.com/annal-crm/annal/commands"
	"github.com/annal-crm/annal/domain"
	"github.com/annal-crm/annal/domain/audit"
	"github.com/annal-crm/annal/domain/organization"
	"github.com/annal-crm/annal/eventlog"
	"github.com/annal-crm/annal/internal/eventcodec"
	"github.com/annal-crm/annal/projections/activity"
	"github.com/annal-crm/annal/reports/results"
)

// mayReadResults is [commands.ErrForbidden] unless a principal may read named results: whose a record was is not whose it is.
func mayReadResults(p *commands.Principal) error {
	if p.Scope(organization.ViewReports) != organization.All {
		return commands.ErrForbidden
	}
	return nil
}

// mayRebuild is [commands.ErrForbidden] unless a principal may have reports rebuilt, or drop them: there is room for few.
func mayRebuild(p *commands.Principal) error {
	if p.Scope(organization.DefineReports) == organization.None {
		return commands.ErrForbidden
	}
	return mayReadResults(p)
}

// Named returns the named results of the organization, the newest first.
func (c Catalogue) Named(ctx context.Context, p *commands.Principal) ([]results.State, error) {
	if err := mayReadResults(p); err != nil {
		return nil, err
	}
	return c.Results.List(ctx, p.Organization)
}

// Result returns a named result of the organization.
func (c Catalogue) Result(ctx context.Context, p *commands.Principal, id uuid.UUID) (results.State, error) {
	if err := mayReadResults(p); err != nil {
		return results.State{}, err
	}
	return c.Results.Get(ctx, p.Organization, id)
}

// Rebuild says which named result is wished for.
type Rebuild struct {
	Name, Report string
	Definition   *int // a version of the report; nil: the newest
	AsOf         *eventlog.AsOf
	Part         results.Part // a list that is there and empty is refused: it would take nothing
}

// Rebuild enters a named result and returns what folds it, which takes minutes at most. When it is folded, that is on record before
// anybody can read it; explain words for people what made it fail.
func (c Catalogue) Rebuild(ctx context.Context, p *commands.Principal, wish Rebuild, explain func(error) string) (s results.State, fold func(context.Context) error, err error) {
	if err := mayRebuild(p); err != nil {
		return s, nil, err
	}
	r, err := c.named(ctx, p, wish.Report, wish.Definition)
	if err != nil {
		return s, nil, err
	}
	if err := takesSome(wish.Part); err != nil {
		return s, nil, err
	}
	begun := results.Wish{Organization: p.Organization, By: p.Account, Name: wish.Name, Report: r.Name, Definition: r.Version, Under: r.Part, Model: r.Model, Part: wish.Part}
	if wish.AsOf != nil {
		begun.AsOf = *wish.AsOf
	}
	rebuilt := audit.Rebuilt{Result: uuid.New(), Name: wish.Name, Report: r.Name, Of: wish.Part.Words(begun.AsOf)}
	if r.Version != 0 {
		rebuilt.Of = append([]string{"definition=" + strconv.Itoa(r.Version)}, rebuilt.Of...)
	}
	if _, err := audit.Rebuild(rebuilt); err != nil { // what could not be put on record is not begun
		return s, nil, err
	}
	if begun.Moment, err = activity.Moment(ctx, c.DB, p.Organization, begun.AsOf); err != nil {
		return s, nil, err
	}
	if s, err = c.Results.Begin(ctx, begun); err != nil {
		return s, nil, err
	}
	rebuilt.Result = s.ID
	return s, func(ctx context.Context) error {
		return c.Results.Fold(ctx, s, func(ctx context.Context) error {
			_, err := c.Commands.Rebuilt(ctx, p, commands.Command{}, rebuilt)
			return err
		}, explain)
	}, nil
}

// takesSome says what is wrong with a part that could take no event, and so would look like an answer.
func takesSome(part results.Part) error {
	bad := domain.Invalid{}
	for field, names := range map[string][]string{"filter.types": part.Types, "filter.without": part.Without} {
		for _, name := range names {
			if unknown := eventcodec.Unknown(name); unknown != "" {
				bad[field] = unknown
			}
		}
	}
	for field, empty := range map[string]bool{
		"filter.types": part.Types != nil && len(part.Types) == 0, "filter.actors": part.Actors != nil && len(part.Actors) == 0,
		"filter.records": part.Streams != nil && len(part.Streams) == 0,
	} {
		if empty {
			bad[field] = "must name one; all are taken if it is not given"
		}
	}
	if !part.From.IsZero() && !part.To.IsZero() && !part.From.Before(part.To) {
		bad["filter.to"] = "must be after from: nothing is between them"
	}
	return bad.Err()
}

// Drop removes a named result: one of the principal's own, or any if it may manage the organization.
func (c Catalogue) Drop(ctx context.Context, p *commands.Principal, id uuid.UUID) error {
	if err := mayRebuild(p); err != nil {
		return err
	}
	s, err := c.Results.Get(ctx, p.Organization, id)
	if err != nil {
		return err
	}
	if s.By != p.Account && p.Scope(organization.Manage) == organization.None {
		return commands.ErrForbidden
	}
	return c.Results.Drop(ctx, p.Organization, id)
}
