// Package eventlog is the append-only record of everything that happened.
//
// A [Log] keeps streams of events and one order over all of them. It knows no
// domain type: an event's data and metadata are JSON that it stores and returns
// byte for byte. Package logtest says, in tests, what every Log must do; packages
// postgres, eventstoredb and memory are Logs.
package eventlog

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/uuid"
)

var (
	// ErrConflict reports that a stream is not at the expected version: it has moved on, or was never that long.
	ErrConflict = errors.New("eventlog: stream is not at the expected version")
	// ErrUnavailable reports that the log could not be reached or did not answer in time. After an append nothing is
	// known about its fate: send the same events again to learn it.
	ErrUnavailable = errors.New("eventlog: unavailable")
	// ErrInvalid reports an append that no log would take: see [Validate].
	ErrInvalid = errors.New("eventlog: invalid append")
)

// Stream names the events of one aggregate.
type Stream struct {
	Organization uuid.UUID
	Category     string // "account"
	ID           uuid.UUID
}

// Version counts the events of a stream; 0 is a stream without events.
type Version uint64

// Position is a place in the order of the whole log; 0 is before its first event. It only compares with positions of the
// same log (see [Log.Identity]). A log may leave gaps between positions unless it is a [Counter].
type Position uint64

func (p Position) String() string { return strconv.FormatUint(uint64(p), 10) }

// ParsePosition is the inverse of [Position.String].
func ParsePosition(s string) (Position, error) {
	n, err := strconv.ParseUint(s, 10, 63)
	if err != nil {
		return 0, fmt.Errorf("eventlog: %q is not a position", s)
	}
	return Position(n), nil
}

// NewEvent is an event to be appended.
type NewEvent struct {
	ID         uuid.UUID       // fixed by the command, so that a resend is the same event
	Type       string          // "account.locked"
	Schema     int             // version of Data's form, from 1
	Data, Meta json.RawMessage // JSON objects
	OccurredAt time.Time       // when it happened in the world; kept to the microsecond, UTC
}

// Event is an event as the log holds it.
type Event struct {
	NewEvent
	Stream     Stream
	Version    Version // from 1
	Position   Position
	RecordedAt time.Time // set by the log; never runs back along positions
}

// Receipt says where an append has ended: position and version of its last event.
type Receipt struct {
	Position Position
	Version  Version
}

// Tail asks for the events of a stream after a version.
type Tail struct {
	Stream Stream
	After  Version
}

// Log keeps events. All methods are safe for concurrent use, by any number of processes.
type Log interface {
	// Append adds events to a stream that is at version expected: all of them, durably and next to each other in the
	// stream, or none. If the stream is at another version the error is [ErrConflict], unless it holds these very events
	// (by ID) right after expected: then Append returns the receipt they got. Events that [Validate] refuses are [ErrInvalid].
	Append(ctx context.Context, s Stream, expected Version, events ...NewEvent) (Receipt, error)
	// ReadStream yields the events of a stream after a version, oldest first. An unknown stream is empty.
	// An error ends the sequence.
	ReadStream(ctx context.Context, s Stream, after Version) iter.Seq2[Event, error]
	// ReadStreams returns the tails of several streams, each oldest first, in the order asked for; in one round trip
	// where the log can. It is for streams whose head is already known (short tails), not for long reads.
	ReadStreams(ctx context.Context, tails ...Tail) ([][]Event, error)
	// ReadAll returns up to limit events after a position, in order, and no more than it takes to reach [MaxPageSize]; none
	// means the end for now, fewer than limit do not. What it has returned once it returns again: no event ever appears
	// before one that was read.
	ReadAll(ctx context.Context, after Position, limit int) ([]Event, error)
	// Wait blocks until the log has grown past a position, or ctx ends (then its error).
	Wait(ctx context.Context, after Position) error
	// Head returns the position of the newest event, 0 if there is not one.
	Head(ctx context.Context) (Position, error)
	// Identity names this log among all logs: made once, when the log was made, and copied nowhere.
	Identity(ctx context.Context) (uuid.UUID, error)
}

// Counter is a Log that can say how many events follow a position.
type Counter interface {
	CountAfter(ctx context.Context, after Position) (int64, error)
}

// Recaller is a Log without gaps that has what this process appends in hand for a moment, so that one who follows it here need
// not read it back.
type Recaller interface {
	// Recall fills events with those that follow a position, next to each other, if this process has appended them and still has
	// them: as they were handed to Append, whatever has been done to the stored ones since. It returns how many; none means
	// nothing but that they must be read. It is for one follower: up to the position everything is forgotten, and nothing is
	// kept unless it is called.
	Recall(after Position, events []Event) int
}

// Limits of one append. Commands write a few small events; a bound keeps one caller from filling a group or a page.
const (
	MaxEvents     = 1000    // events in one append
	MaxEventSize  = 1 << 20 // bytes of Data plus Meta of one event
	MaxAppendSize = 8 << 20 // bytes of Data plus Meta of all; EventStoreDB can be told to take 16 MiB an append, and takes 1 by default
	MaxNameSize   = 200     // bytes of a category or a type; Postgres cannot index a key of more than 2.7 kB
)

// MaxPageSize is how many bytes of Data plus Meta end a page that [Log.ReadAll] returns: a few pages must fit into a small
// machine's memory, whatever is in the log. A page of 2000 usual events has a twentieth of it.
const MaxPageSize = 16 << 20

// Validate reports whether any log would take these events: a stream with a category, at least one and at most [MaxEvents]
// events, each with an ID that differs from the others', a type, a schema version from 1, valid JSON of at most
// [MaxEventSize] ([MaxAppendSize] together) and a time in the years 1–9999. Categories and types are printable UTF-8 of at
// most [MaxNameSize]. The error wraps [ErrInvalid].
func Validate(s Stream, events []NewEvent) error {
	switch {
	case !ValidName(s.Category) || s.ID == uuid.Nil:
		return fmt.Errorf("%w: a stream needs a category and an id", ErrInvalid)
	case len(events) == 0:
		return fmt.Errorf("%w: no events", ErrInvalid)
	case len(events) > MaxEvents:
		return fmt.Errorf("%w: %d events, at most %d", ErrInvalid, len(events), MaxEvents)
	}
	size := 0
	for i, e := range events {
		size += len(e.Data) + len(e.Meta)
		switch {
		case e.ID == uuid.Nil:
			return fmt.Errorf("%w: event %d has no id", ErrInvalid, i)
		case !ValidName(e.Type) || e.Schema < 1 || e.Schema > math.MaxInt32:
			return fmt.Errorf("%w: event %d needs a type and a schema version", ErrInvalid, i)
		case len(e.Data)+len(e.Meta) > MaxEventSize:
			return fmt.Errorf("%w: %s has %d bytes, at most %d", ErrInvalid, e.Type, len(e.Data)+len(e.Meta), MaxEventSize)
		case size > MaxAppendSize:
			return fmt.Errorf("%w: more than %d bytes", ErrInvalid, MaxAppendSize)
		case !validJSON(e.Data) || !validJSON(e.Meta):
			return fmt.Errorf("%w: %s is not JSON in UTF-8", ErrInvalid, e.Type)
		case e.OccurredAt.Year() < 1 || e.OccurredAt.Year() > 9999:
			return fmt.Errorf("%w: %s occurred in the year %d", ErrInvalid, e.Type, e.OccurredAt.Year())
		}
		for _, other := range events[:i] {
			if other.ID == e.ID {
				return fmt.Errorf("%w: the id %s twice", ErrInvalid, e.ID)
			}
		}
	}
	return nil
}

// ValidName reports whether every log can store s as a category or a type: printable UTF-8 of at most [MaxNameSize] bytes.
func ValidName(s string) bool {
	return s != "" && len(s) <= MaxNameSize && utf8.ValidString(s) && !strings.ContainsFunc(s, unicode.IsControl)
}
