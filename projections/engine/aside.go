package engine

import (
	"context"
	"fmt"
	"maps"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/annal-crm/annal/domain"
	"github.com/annal-crm/annal/eventlog"
	"github.com/annal-crm/annal/internal/eventcodec"
)

// unreadable says why some events cannot be folded, before their fold has been tried.
type unreadable map[*eventcodec.Event]error

// aside is what a read model does not fold. An event that cannot be folded is parked, and so are the later ones of its
// stream, which would be folded onto a state that is not theirs; everything else goes on. What people have decided to
// skip is passed over.
type aside struct {
	streams map[eventlog.Stream]struct{} // of which events are parked; never changed, so that it can be shared
	skipped map[uuid.UUID]struct{}       // events
	bad     unreadable
	fresh   map[eventlog.Stream]struct{} // parked since begin
	parked  []parkedFact                 // since begin
}

type parkedFact struct {
	fact *eventcodec.Event
	err  error // nil: waits behind another
}

// readAside returns what a read model has set aside.
func readAside(ctx context.Context, db DB, s Schema) (*aside, error) {
	a := &aside{streams: make(map[eventlog.Stream]struct{})}
	rows, err := db.Query(ctx, "select distinct organization, category, stream from projections.parked where name = $1 and version = $2", s.Name, s.Version)
	if err == nil {
		var of eventlog.Stream
		_, err = pgx.ForEachRow(rows, []any{&of.Organization, &of.Category, &of.ID}, func() error {
			a.streams[of] = struct{}{}
			return nil
		})
	}
	if err == nil {
		a.skipped, err = readSkipped(ctx, db, s.Name)
	}
	if err != nil {
		return nil, fmt.Errorf("projections: read what %s has parked: %w", s.Name, err)
	}
	return a, nil
}

func readSkipped(ctx context.Context, db DB, name string) (map[uuid.UUID]struct{}, error) {
	rows, err := db.Query(ctx, "select event from projections.skipped where name = $1", name)
	if err != nil {
		return nil, err
	}
	skipped, event := make(map[uuid.UUID]struct{}), uuid.Nil
	_, err = pgx.ForEachRow(rows, []any{&event}, func() error {
		skipped[event] = struct{}{}
		return nil
	})
	return skipped, err
}

// begin returns the same for another page.
func (a *aside) begin(bad unreadable) *aside {
	next := &aside{streams: a.streams, skipped: a.skipped, bad: bad}
	if len(a.fresh) > 0 {
		next.streams = maps.Clone(a.streams)
		maps.Copy(next.streams, a.fresh)
	}
	return next
}

// holds tells whether f is not to be folded, whatever it is. An erasure waits behind nothing: the rows it blanks are there.
func (a *aside) holds(f *eventcodec.Event) (skipped, waits bool) {
	if _, skipped = a.skipped[f.ID]; skipped {
		return true, false
	}
	if f.Type == domain.ErasedType {
		return false, false
	}
	if _, waits = a.streams[f.Stream]; !waits {
		_, waits = a.fresh[f.Stream]
	}
	return false, waits
}

// refuse remembers that f cannot be folded.
func (a *aside) refuse(f *eventcodec.Event, err error) {
	if a.bad == nil {
		a.bad = make(unreadable)
	}
	a.bad[f] = err
}

func (a *aside) park(f *eventcodec.Event, err error) {
	a.parked = append(a.parked, parkedFact{f, err})
	if a.fresh == nil {
		a.fresh = make(map[eventlog.Stream]struct{})
	}
	a.fresh[f.Stream] = struct{}{}
}

// write queues what was parked since begin.
func (a *aside) write(batch *pgx.Batch, s Schema) {
	if len(a.parked) == 0 {
		return
	}
	n := len(a.parked)
	positions, versions := make([]int64, n), make([]int64, n)
	organizations, streams, events := make([]uuid.UUID, n), make([]uuid.UUID, n), make([]uuid.UUID, n)
	categories, types, errs := make([]string, n), make([]string, n), make([]*string, n)
	for i, p := range a.parked {
		f := p.fact
		positions[i], versions[i], events[i], types[i] = int64(f.Position), int64(f.Version), f.ID, f.Type
		organizations[i], categories[i], streams[i] = f.Stream.Organization, f.Stream.Category, f.Stream.ID
		if p.err != nil {
			text := p.err.Error()
			errs[i] = &text
		}
	}
	batch.Queue(`insert into projections.parked (name, version, position, organization, category, stream, stream_version, event, type, error)
		select $1, $2, * from unnest($3::bigint[], $4::uuid[], $5::text[], $6::uuid[], $7::bigint[], $8::uuid[], $9::text[], $10::text[])`,
		s.Name, s.Version, positions, organizations, categories, streams, versions, events, types, errs)
}
