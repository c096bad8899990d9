// Package asof tells how one record was, as of an instant, a position or both: it reads the record's stream from the log, keeps
// the events that belong to that past ([eventlog.AsOf]) and folds them with the read model's own fold, so that what was shown
// then is shown again by the same code.
//
// [Kind] names the records of which it can be told; [Reader.Provenance] tells of each field which event made it so, [Reader.Compare]
// what differs between two pasts, [Reader.Rights] what an account could do. [Lists] keeps whole lists of a past for a short while. What belongs to an erased person reads "erased".
package asof

import (
	"context"

	"github.com/annal-crm/annal/domain"
	"github.com/annal-crm/annal/eventlog"
	"github.com/annal-crm/annal/internal/eventcodec"
	"github.com/annal-crm/annal/projections/engine"
)

// ErrTooMuch reports a past that costs more to fold than one request may.
var ErrTooMuch = domain.Refuse(domain.CodeTooComplex, "that past is too long to fold for one request: ask for one record, or an earlier position")

// longest is how many events of one record are folded for one request: a second's work. A person's sign-ins of 30 years fit in.
const longest = 100_000

// Reader reads from one log. It is safe for concurrent use.
type Reader struct {
	Log   eventlog.Log
	Codec *eventcodec.Codec
	DB    engine.DB // of the live read models: it says who may see a record
}

// Events returns the events of a stream that belong to a past, in log order. More than can be folded in a second or so is
// [ErrTooMuch].
func (r Reader) Events(ctx context.Context, s eventlog.Stream, at eventlog.AsOf) ([]*eventcodec.Event, error) {
	recorded := eventlog.AsOf{KnownAt: at.KnownAt, Position: at.Position}
	var events []eventlog.Event
	for e, err := range r.Log.ReadStream(ctx, s, 0) {
		if err != nil {
			return nil, err
		}
		if !recorded.Takes(&e) {
			break // nor does it take a later one: neither positions nor recording times run back
		}
		if at.Takes(&e) {
			events = append(events, e)
		}
		if len(events) > longest {
			return nil, ErrTooMuch
		}
	}
	return r.Codec.ReadablePage(ctx, events)
}
