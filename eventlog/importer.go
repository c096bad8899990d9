package eventlog

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"
)

// Importer is a [Log] that can take over the events of another, for a log that moves house.
type Importer interface {
	Log
	// Import adds events that another log has recorded, in the order given, behind all that are there: with their ids,
	// versions and times. Positions are this log's own. Nobody else may write to the log meanwhile. An event that is not the
	// next of its stream is [ErrConflict], one that no log, or not this one, can hold [ErrInvalid]. After an error the log
	// holds none of the events or a first part of them: look before going on. A log whose recording times never run back
	// gives an event that was recorded before its predecessor the time of that.
	Import(ctx context.Context, events []Event) error
}

// CheckImport reports whether any log could hold these events: see [Importer]. It is [Validate] without the limits of size,
// which keep commands small and not a log. The error wraps [ErrInvalid], or [ErrConflict] where a stream skips a version.
func CheckImport(events []Event) error {
	versions := make(map[Stream]Version)
	for _, e := range events {
		last, met := versions[e.Stream]
		fault := ""
		switch {
		case !ValidName(e.Stream.Category) || !ValidName(e.Type):
			fault = "a category or type that cannot be stored"
		case e.ID == uuid.Nil || e.Schema < 1 || e.Schema > math.MaxInt32:
			fault = "no id or no schema version"
		case !validJSON(e.Data) || !validJSON(e.Meta):
			fault = "data or metadata that are not JSON in UTF-8"
		case !validTime(e.OccurredAt) || !validTime(e.RecordedAt):
			fault = "a time outside of the years 1 to 9999"
		case e.Version < 1 || e.Version > math.MaxInt64 || met && e.Version != last+1:
			return fmt.Errorf("%w: version %d of %s %s follows %d", ErrConflict, e.Version, e.Stream.Category, e.Stream.ID, last)
		}
		if fault != "" {
			return fmt.Errorf("%w: event %s at position %s has %s", ErrInvalid, e.ID, e.Position, fault)
		}
		versions[e.Stream] = e.Version
	}
	return nil
}

func validJSON(b []byte) bool { return json.Valid(b) && utf8.Valid(b) }

func validTime(t time.Time) bool { y := t.UTC().Year(); return y >= 1 && y <= 9999 }
