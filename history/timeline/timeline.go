// Package life reads the whole life of an account or a customer from the log itself: what happened to it, and, of an
// account, what it did, wherever that is recorded.
//
// It reads every event of the log, so it depends on no read model and takes as long as reading the log.
package timeline

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/annal-crm/annal/domain"
	"github.com/annal-crm/annal/domain/account"
	"github.com/annal-crm/annal/domain/customer"
	"github.com/annal-crm/annal/domain/declared"
	"github.com/annal-crm/annal/domain/opportunity"
	"github.com/annal-crm/annal/domain/record"
	"github.com/annal-crm/annal/eventlog"
	"github.com/annal-crm/annal/internal/eventcodec"
)

var (
	// ErrUnknown reports a name or id that nobody has, or ever had.
	ErrUnknown = errors.New("timeline: nobody of this name or id in the log")
	// ErrAmbiguous reports a name that several have, or had; the error's text names their ids.
	ErrAmbiguous = errors.New("timeline: several of this name")
)

// Reader reads lives from one log.
type Reader struct {
	Log   eventlog.Log
	Codec *eventcodec.Codec
}

// All yields every fact of the log, in order.
func (r Reader) All(ctx context.Context) iter.Seq2[*eventcodec.Event, error] {
	return func(yield func(*eventcodec.Event, error) bool) {
		for events, err := range eventlog.Pages(ctx, r.Log, 0, eventlog.End, eventlog.PageSize) {
			var known []*eventcodec.Event
			if err == nil {
				known, err = r.Codec.Page(ctx, events)
			}
			if err != nil {
				yield(nil, err)
				return
			}
			for _, f := range known {
				if !yield(f, nil) {
					return
				}
			}
		}
	}
}

var invited = eventcodec.Type(account.Invited{})

// Find returns the stream of the account (by its login name, letter case not told apart) or record (by any name it ever had, see
// [named]) that nameOrID means, and the login name of every account, to name those who acted. An id has to be in the log. A name out of
// an imported log ([account.AuthLog]) means that only if no person has it. Errors: [ErrUnknown], [ErrAmbiguous].
func (r Reader) Find(ctx context.Context, category, nameOrID string) (of eventlog.Stream, logins map[uuid.UUID]string, err error) {
	logins = make(map[uuid.UUID]string)
	found := make(map[eventlog.Stream]bool) // true: out of an imported log
	wanted, parseErr := uuid.Parse(nameOrID)
	for f, err := range r.All(ctx) {
		if err != nil {
			return of, nil, err
		}
		if f.Type != invited && f.Stream.Category != category {
			continue
		}
		if parseErr == nil && f.Stream.Category == category && f.Stream.ID == wanted {
			found[f.Stream] = false
		}
		payload, err := f.Payload()
		if err != nil {
			continue // of a type this program does not know: it names nobody
		}
		name, imported := named(category, payload), false
		if e, ok := payload.(account.Invited); ok {
			logins[f.Stream.ID] = e.LoginName
			name, imported = e.LoginName, e.Source == account.AuthLog
		}
		if name != "" && f.Stream.Category == category && (name == nameOrID || category == account.Category && strings.EqualFold(name, strings.TrimSpace(nameOrID))) {
			found[f.Stream] = imported
		}
	}
	if slices.Contains(slices.Collect(maps.Values(found)), false) {
		maps.DeleteFunc(found, func(_ eventlog.Stream, imported bool) bool { return imported })
	}
	switch len(found) {
	case 0:
		return of, nil, fmt.Errorf("%w: %s %q", ErrUnknown, category, nameOrID)
	case 1:
		for of = range found {
		}
		return of, logins, nil
	}
	var ids []string
	for s := range found {
		ids = append(ids, s.ID.String())
	}
	return of, nil, fmt.Errorf("%w: %s %q is one of %s", ErrAmbiguous, category, nameOrID, strings.Join(ids, ", "))
}

// named returns the name that an event gives a record: of a declared kind, the field that its declaration names first.
func named(category string, event any) string {
	change := new(domain.Change)
	switch e := event.(type) {
	case customer.Registered:
		return e.Name
	case customer.Edited:
		change = e.Name
	case opportunity.Opened:
		return e.Reference
	case opportunity.Edited:
		change = e.Reference
	case record.Created:
		first := declared.Kind(category).Fields[0].Name
		return cmp.Or(e.Fields[first], e.Personal[first])
	case record.Edited:
		first := declared.Kind(category).Fields[0].Name
		return cmp.Or(e.Fields[first].To, e.Personal[first].To)
	}
	if change == nil {
		return ""
	}
	return change.To
}

// Of yields the life of an account or record, in log order.
func (r Reader) Of(ctx context.Context, category string, id uuid.UUID) iter.Seq2[*eventcodec.Event, error] {
	text := []byte(id.String())
	return func(yield func(*eventcodec.Event, error) bool) {
		for f, err := range r.All(ctx) {
			if err != nil {
				yield(nil, err)
				return
			}
			about := f.Stream.Category == category && f.Stream.ID == id
			if !about && category == account.Category && bytes.Contains(f.Meta, text) { // cheap; then exactly
				meta, err := f.Metadata()
				if err != nil {
					yield(nil, err)
					return
				}
				about = meta.Actor == id
			}
			if about && !yield(f, nil) {
				return
			}
		}
	}
}
