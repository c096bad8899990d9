package activity

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/annal-crm/annal/domain/account"
	"github.com/annal-crm/annal/domain/customer"
	"github.com/annal-crm/annal/domain/kinds"
	"github.com/annal-crm/annal/domain/organization"
	"github.com/annal-crm/annal/eventlog"
	"github.com/annal-crm/annal/internal/eventcodec"
	"github.com/annal-crm/annal/projections/engine"
	"github.com/annal-crm/annal/projections/engine/where"
)

// Filter narrows the list: all that is given must hold.
type Filter struct {
	Account  uuid.UUID // as actor or as subject; zero: any
	Customer uuid.UUID // zero: any
	Types    []string  // any of them; nil: any at all
	From, To time.Time // by when it happened, From <= t < To; zero: no bound

	Positions []eventlog.Position // these alone; nil: any
	Streams   []uuid.UUID         // of these records alone; nil: of any
}

// Sight says, by the category of a kind, on whose records a viewer may look. It matters to viewers whose own scope, that of all activity, is
// not [organization.All]: they see what they did, what happened to their account, and the events of what they may look at.
type Sight map[string]organization.Scope

// SightOf is the sight of a viewer who has these scopes.
func SightOf(scope func(organization.Permission) organization.Scope) Sight {
	s := make(Sight)
	for _, k := range kinds.All {
		if k.View != "" {
			s[k.Category] = scope(organization.Permission(k.View))
		}
	}
	return s
}

// Activity is an event as a viewer sees it.
type Activity struct {
	Position   eventlog.Position
	ID         uuid.UUID
	Type       string
	Category   string
	Stream     uuid.UUID // what it happened to
	Version    eventlog.Version
	Actor      uuid.UUID // zero: the system, or nobody known
	OccurredAt time.Time
	RecordedAt time.Time
	eventcodec.View
}

// List returns a page of the events that the viewer may see, in log order. Personal fields are opened for those who may see
// them.
func List(ctx context.Context, db engine.DB, codec *eventcodec.Codec, v engine.Viewer, s Sight, f Filter, request engine.PageRequest) (page engine.Page[Activity], err error) {
	found, err := Index(ctx, db, v, s, f, request)
	if err != nil {
		return page, err
	}
	page.Cursors, page.HasNext, page.HasPrevious = found.Cursors, found.HasNext, found.HasPrevious
	stored := make([]eventlog.Event, len(found.Rows))
	for i, row := range found.Rows {
		stored[i] = row.Stored()
	}
	page.Rows, err = Open(ctx, codec, v, stored)
	return page, err
}

// Index is [List] without what the log alone can vouch for: the rows as they stand, with their personal fields sealed.
func Index(ctx context.Context, db engine.DB, v engine.Viewer, s Sight, f Filter, request engine.PageRequest) (page engine.Page[Event], err error) {
	backward := request.Last > 0 && request.First == 0
	limit, order := request.First, "asc"
	if backward {
		limit, order = request.Last, "desc"
	} else if limit == 0 {
		limit = engine.DefaultPage
	}
	c := f.clause(db, v, s)
	for _, bound := range []struct{ cursor, condition string }{{request.After, "t.position > ?"}, {request.Before, "t.position < ?"}} {
		if bound.cursor == "" {
			continue
		}
		position, err := ParseCursor(bound.cursor)
		if err != nil {
			return page, err
		}
		c.And(bound.condition, int64(position))
	}
	// The newest or oldest of each way are read along its index; of these, the newest or oldest are the page.
	end := fmt.Sprintf("order by t.position %s limit %d", order, limit+1) // one too many, to learn whether there are more
	ways, organization := f.ways(c), c.Arg(v.Organization)
	for i, way := range ways {
		ways[i] = fmt.Sprintf("(select t.position from %s t where %s and %s %s)", events.In(db), c.SQL(), way, end)
	}
	rows, err := events.Find(ctx, db, fmt.Sprintf("t.organization = %s and t.position in (%s) %s", organization, strings.Join(ways, " union all "), end), c.Args()...)
	if err != nil {
		return page, err
	}
	more := len(rows) > limit
	rows = rows[:min(limit, len(rows))]
	if page.HasNext, page.HasPrevious = more, request.After != ""; backward {
		page.HasNext, page.HasPrevious = request.Before != "", more
		slices.Reverse(rows)
	}
	for _, row := range rows {
		page.Cursors = append(page.Cursors, Cursor(row.Position))
	}
	page.Rows = rows
	return page, nil
}

// Count returns how many events List has in all its pages.
func Count(ctx context.Context, db engine.DB, v engine.Viewer, s Sight, f Filter) (n int, err error) {
	c := f.clause(db, v, s)
	ways := f.ways(c)
	for i, way := range ways {
		ways[i] = fmt.Sprintf("(select count(*) from %s t where %s and %s)", events.In(db), c.SQL(), way)
	}
	err = db.QueryRow(ctx, "select "+strings.Join(ways, " + "), c.Args()...).Scan(&n)
	return n, err
}

// clause is all of the filter but what [Filter.ways] has.
func (f Filter) clause(db engine.DB, v engine.Viewer, s Sight) *where.Clause {
	c := new(where.Clause)
	c.And("t.organization = ?", v.Organization)
	if v.Scope != organization.All {
		c.And(visible(db, c, v, s))
	}
	if f.Customer != uuid.Nil {
		c.And("t.stream = ? and t.category = ?", f.Customer, customer.Category)
	}
	if f.Types != nil && !f.typesAreWays() {
		c.Text("t.type", &where.Text{In: f.Types})
	}
	if f.Positions != nil {
		positions := make([]int64, len(f.Positions))
		for i, p := range f.Positions {
			positions[i] = int64(p)
		}
		c.And("t.position = any(?)", positions)
	}
	if f.Streams != nil {
		c.And("t.stream = any(?)", f.Streams)
	}
	if !f.From.IsZero() {
		c.And("t.occurred_at >= ?", f.From)
	}
	if !f.To.IsZero() {
		c.And("t.occurred_at < ?", f.To)
	}
	return c
}

// ways splits the list into conditions of which each row meets one only, and each of which an index serves in log order. One
// condition with an OR in it would be served by none.
func (f Filter) ways(c *where.Clause) []string {
	switch {
	case f.Account != uuid.Nil:
		one := c.Arg(f.Account)
		return []string{"t.stream = " + one, "t.actor = " + one + " and t.stream <> " + one}
	case f.typesAreWays():
		var ways []string
		for _, name := range slices.Compact(slices.Sorted(slices.Values(f.Types))) {
			ways = append(ways, "t.type = "+c.Arg(name))
		}
		return ways
	}
	return []string{"true"}
}

// typesAreWays reports whether a page is read along the index on types: not if another one narrows more, nor for so many types
// that most of what is read would be for nothing.
func (f Filter) typesAreWays() bool {
	return f.Account == uuid.Nil && f.Customer == uuid.Nil && len(f.Types) > 0 && len(f.Types) <= 10 &&
		!slices.ContainsFunc(f.Types, func(name string) bool { return !where.Storable(name) })
}

// visible is the condition on what a viewer sees who does not see everything.
func visible(db engine.DB, c *where.Clause, v engine.Viewer, s Sight) string {
	me := c.Arg(v.Account)
	conditions := []string{"t.actor = " + me, fmt.Sprintf("t.category = '%s' and t.stream = %s", account.Category, me)}
	teamMembers := func() string {
		return fmt.Sprintf("(select account from %s where team = any(%s))", team.In(db), c.Arg(v.Teams))
	}
	for _, k := range kinds.All {
		scope, streams := s[k.Category], ""
		switch {
		case scope == organization.None:
			continue
		case scope == organization.All:
			conditions = append(conditions, fmt.Sprintf("t.category = '%s'", k.Category))
			continue
		case k.Owned && scope == organization.Team:
			streams = fmt.Sprintf("(select id from %s where owner = %s or owner in %s)", records.In(db), me, teamMembers())
		case k.Owned:
			streams = fmt.Sprintf("(select id from %s where owner = %s)", records.In(db), me)
		case scope == organization.Team: // an account
			streams = teamMembers()
		default:
			continue // one's own is among them
		}
		conditions = append(conditions, fmt.Sprintf("t.category = '%s' and t.stream in %s", k.Category, streams))
	}
	return "(" + strings.Join(conditions, ") or (") + ")"
}

// Open returns events as the viewer sees them; all keys are one query of the vault.
func Open(ctx context.Context, codec *eventcodec.Codec, v engine.Viewer, stored []eventlog.Event) ([]Activity, error) {
	page, err := codec.Page(ctx, stored)
	if err != nil {
		return nil, err
	}
	all := make([]Activity, len(stored))
	for i, e := range stored {
		view, err := page[i].Masked()
		if v.Personal {
			view, err = page[i].Display()
		}
		if err != nil {
			return nil, err
		}
		actor, err := page[i].Actor()
		if err != nil {
			return nil, err
		}
		all[i] = Activity{
			Position: e.Position, ID: e.ID, Type: e.Type, Category: e.Stream.Category, Stream: e.Stream.ID, Version: e.Version,
			Actor: actor, OccurredAt: e.OccurredAt, RecordedAt: e.RecordedAt, View: view,
		}
	}
	return all, nil
}

// Stored is the event as the log holds it.
func (e Event) Stored() eventlog.Event {
	s := eventlog.Stream{Organization: e.Organization, Category: e.Category, ID: e.Stream}
	if e.Global {
		s.Organization = uuid.Nil
	}
	return eventlog.Event{
		NewEvent: eventlog.NewEvent{ID: e.ID, Type: e.Type, Schema: e.Schema, Data: e.Data, Meta: e.Meta, OccurredAt: e.OccurredAt},
		Stream:   s, Version: e.Version, Position: e.Position, RecordedAt: e.RecordedAt,
	}
}

// Is reports whether the row is that of an event of the log, to the last byte.
func (e Event) Is(of *eventlog.Event) bool {
	s := e.Stored()
	return s.ID == of.ID && s.Type == of.Type && s.Schema == of.Schema && s.Stream == of.Stream && s.Version == of.Version && s.Position == of.Position &&
		s.OccurredAt.Equal(of.OccurredAt) && s.RecordedAt.Equal(of.RecordedAt) && bytes.Equal(s.Data, of.Data) && bytes.Equal(s.Meta, of.Meta)
}

// The list is of positions: that is all a cursor needs.
const cursorPrefix = "activity:"

// Cursor returns the cursor of the event at a position, whether or not there is one: a list goes on after it.
func Cursor(p eventlog.Position) string {
	return base64.RawURLEncoding.EncodeToString([]byte(cursorPrefix + p.String()))
}

// ParseCursor is the inverse of [Cursor]. What no list has returned is [engine.ErrCursor].
func ParseCursor(cursor string) (eventlog.Position, error) {
	b, err := base64.RawURLEncoding.Strict().DecodeString(cursor)
	if err != nil {
		return 0, engine.ErrCursor
	}
	number, ok := strings.CutPrefix(string(b), cursorPrefix)
	position, err := eventlog.ParsePosition(number)
	if !ok || err != nil {
		return 0, engine.ErrCursor
	}
	return position, nil
}

// Moment returns the instant that a past is about, for what depends on the time of looking. That of a position is when the
// newest event of the organization up to there was recorded.
func Moment(ctx context.Context, db engine.DB, of uuid.UUID, at eventlog.AsOf) (time.Time, error) {
	switch {
	case !at.HappenedBy.IsZero():
		return at.HappenedBy, nil
	case !at.KnownAt.IsZero():
		return at.KnownAt, nil
	case at.Position == 0:
		return time.Now(), nil
	}
	newest, err := Index(ctx, db, engine.Viewer{Organization: of, Scope: organization.All}, Sight{}, Filter{}, engine.PageRequest{Last: 1, Before: Cursor(at.Position + 1)})
	if err != nil || len(newest.Rows) == 0 {
		return time.Now(), err
	}
	return newest.Rows[0].RecordedAt, nil
}
