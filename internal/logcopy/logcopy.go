// Package logcopy moves a log to another house: it copies every event as it is, in order, and proves that both logs hold the
// same.
//
// What the target holds must be the first part of the source, compared event by event; [Copy] goes on behind it. So a copy
// that was interrupted is finished by beginning it again. The copy has an identity of its own, which is how read models know
// that positions mean something else there.
package logcopy

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/annal-crm/annal/eventlog"
	"github.com/annal-crm/annal/eventlog/eventstoredb"
)

var (
	// ErrSame reports that source and target are one log.
	ErrSame = errors.New("source and target are the same log")
	// ErrOccupied reports a target with other events than the source's; it wraps the first [Difference]. Nothing was written.
	ErrOccupied = errors.New("the target holds events that are not the source's, and was left alone; copy to a place without a log")
	// ErrDiffers reports that the copy is not what the source is; it wraps the first [Difference].
	ErrDiffers = errors.New("the copy differs from its source")
)

// Difference is the first place at which two logs are not the same.
type Difference struct {
	Source, Target eventlog.Position // 0 where there is no event
	What           string
}

// Error tells where and what.
func (d Difference) Error() string {
	return fmt.Sprintf("position %s of the source, %s of the target: %s", d.Source, d.Target, d.What)
}

// Result is what a copy has come to. The counts from Events on are of what was verified.
type Result struct {
	Held, Copied int               // events that the target had, and that it got
	Last         eventlog.Position // of the last event copied, in the source
	Growing      bool              // the source has more events by now
	Events       int               // that both hold
	Streams      int               // that they belong to; each has the same versions in both
	Foreign      int               // events of other programs that lay in the source's streams: they are of type "foreign" in both
	Later        int               // events recorded before their predecessor: the target, whose clock never runs back, has its time
	Hash         [sha256.Size]byte // of everything but the positions
}

// rounds bounds how often a copy follows a source that grows: it would never end if that is faster.
const rounds = 5

// Copy brings target to what source holds, and verifies it by reading both from the beginning. Progress is told what is
// being done and which part of it is done, from 0 to 1. When ctx ends, or on any other error, the target holds a first part
// of the source; the Result says what was done so far.
func Copy(ctx context.Context, source eventlog.Log, target eventlog.Importer, progress func(phase string, part float64)) (r Result, err error) {
	from, err := source.Identity(ctx)
	if err != nil {
		return r, err
	}
	to, err := target.Identity(ctx)
	if err != nil {
		return r, err
	}
	if from == to {
		return r, ErrSame
	}
	head, err := source.Head(ctx)
	if err != nil {
		return r, err
	}
	held, err := compare(ctx, source, target, head, report(progress, "comparing what is there", 0, head))
	if of, ok := errors.AsType[Difference](err); ok {
		return r, fmt.Errorf("%w: %w", ErrOccupied, of)
	}
	if err != nil {
		return r, err
	}
	r.Held, r.Last = held.Events, held.Last
	for round := 0; head > r.Last && round < rounds; round++ {
		if err := r.take(ctx, source, target, head, report(progress, "copying", r.Last, head)); err != nil {
			return r, err
		}
		if head, err = source.Head(ctx); err != nil {
			return r, err
		}
	}
	verified, err := compare(ctx, source, target, r.Last, report(progress, "verifying", 0, r.Last))
	if err == nil && verified.Last < r.Last {
		err = Difference{Source: verified.Last, What: "the target ends behind this event, the source does not"}
	}
	if of, ok := errors.AsType[Difference](err); ok {
		return r, fmt.Errorf("%w: %w", ErrDiffers, of)
	}
	if err != nil {
		return r, err
	}
	verified.Held, verified.Copied = r.Held, r.Copied
	head, err = source.Head(ctx)
	verified.Growing = head > r.Last
	return verified, err
}

// take copies what lies between Last and a position.
func (r *Result) take(ctx context.Context, source eventlog.Log, target eventlog.Importer, until eventlog.Position, at func(eventlog.Position)) error {
	for page, err := range pages(ctx, source, r.Last) {
		if err != nil {
			return err
		}
		if err := target.Import(ctx, page); err != nil {
			if errors.Is(err, eventlog.ErrConflict) {
				return fmt.Errorf("the events behind position %s do not follow what the target holds; does somebody else write there? %w", r.Last, err)
			}
			return err
		}
		r.Copied += len(page)
		r.Last = page[len(page)-1].Position
		at(r.Last)
		if r.Last >= until {
			return nil
		}
	}
	return fmt.Errorf("the source ends at %s, and said that it ends at %s", r.Last, until)
}

// report tells how far a phase is.
func report(progress func(string, float64), phase string, from, to eventlog.Position) func(eventlog.Position) {
	return func(at eventlog.Position) {
		if progress != nil && to > from {
			progress(phase, min(1, float64(at-from)/float64(to-from)))
		}
	}
}

// compare reads both logs side by side until the target's end and returns what they have in common. It is an error, a
// [Difference], if the target has an event that the source has not, or not at that place, or not up to a position.
func compare(ctx context.Context, source, target eventlog.Log, until eventlog.Position, at func(eventlog.Position)) (r Result, err error) {
	theirs, stop := iter.Pull2(eventlog.Events(pages(ctx, source, 0)))
	defer stop()
	sum := newDigest()
	versions := make(map[eventlog.Stream]eventlog.Version)
	var clock time.Time // the latest at which an event was recorded so far
	for t, err := range eventlog.Events(pages(ctx, target, 0)) {
		if err != nil {
			return r, err
		}

		s, err, more := theirs()
		switch {
		case err != nil:
			return r, err
		case !more || s.Position > until:
			return r, Difference{Source: r.Last, Target: t.Position, What: "the target has a further event here"}
		}
		if s.RecordedAt.After(clock) {
			clock = s.RecordedAt
		}
		if s.RecordedAt.Before(clock) && t.RecordedAt.Equal(clock) {
			s.RecordedAt = clock
			r.Later++
		}
		if what := different(s, t); what != "" {
			return r, Difference{s.Position, t.Position, what}
		}
		if t.Version != versions[t.Stream]+1 {
			return r, Difference{s.Position, t.Position, fmt.Sprintf("version %d of a stream follows %d", t.Version, versions[t.Stream])}
		}
		versions[t.Stream] = t.Version
		if s.Type == eventstoredb.Foreign {
			r.Foreign++
		}
		sum.add(t)
		r.Events++
		if r.Last = s.Position; r.Events%pageSize == 0 {
			at(r.Last)
		}
	}

	r.Streams, r.Hash = len(versions), sum.hash()
	return r, nil
}
