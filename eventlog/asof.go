package eventlog

import (
	"errors"
	"fmt"
	"time"
)

// ErrFuture reports an instant or a position that has not come yet: what will be true then nobody knows.
var ErrFuture = errors.New("eventlog: has not come yet")

// AsOf chooses a past. KnownAt and Position take what the log had recorded by then: what was known. HappenedBy takes what had
// occurred by then, also if it was recorded later. Together they answer what was known at one time about the state at another.
// The zero value takes everything.
type AsOf struct {
	KnownAt    time.Time
	Position   Position
	HappenedBy time.Time
}

// IsZero reports whether everything is taken.
func (a AsOf) IsZero() bool { return a.KnownAt.IsZero() && a.Position == 0 && a.HappenedBy.IsZero() }

// Takes reports whether an event belongs to that past.
func (a AsOf) Takes(e *Event) bool {
	return (a.KnownAt.IsZero() || !e.RecordedAt.After(a.KnownAt)) && (a.Position == 0 || e.Position <= a.Position) &&
		(a.HappenedBy.IsZero() || !e.OccurredAt.After(a.HappenedBy))
}

// Validate reports whether that past has come: no instant is after now, no position behind the head of the log. The error wraps
// [ErrFuture].
func (a AsOf) Validate(now time.Time, head Position) error {
	switch {
	case a.KnownAt.After(now):
		return fmt.Errorf("%w: knownAt %s", ErrFuture, a.KnownAt.UTC().Format(time.RFC3339))
	case a.HappenedBy.After(now):
		return fmt.Errorf("%w: happenedBy %s", ErrFuture, a.HappenedBy.UTC().Format(time.RFC3339))
	case a.Position > head:
		return fmt.Errorf("%w: position %s, the log ends at %s", ErrFuture, a.Position, head)
	}
	return nil
}
