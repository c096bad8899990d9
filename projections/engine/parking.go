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

// parking is what a read model does not fold. An event that cannot be folded is parked, and so are the later ones of
// its stream, which would be folded onto a state that is not theirs; everything else goes on. What people have
// decided to skip is passed over.
type parking struct {
	streams map[eventlog.Stream]struct{} // of which events are parked; never changed, so that it can be shared
	skipped map[uuid.UUID]struct{}       // events
	strict  bool                         // nothing is parked: what cannot be folded is an error
	bad     unreadable
	fresh   map[eventlog.Stream]struct{} // parked since begin
	parked  []parkedEvent                // since begin
}

type parkedEvent struct {
	event *eventcodec.Event
	err   error // nil: waits behind another
}

// readParkedStreams returns what a read model has parked.
func readParkedStreams(ctx context.Context, db DB, s Schema) (*parking, error) {
	p := &parking{streams: make(map[eventlog.Stream]struct{})}
	rows, err := db.Query(ctx, "select distinct organization, category, stream from projections.parked where name = $1 and version = $2", s.Name, s.Version)
	if err == nil {
		var of eventlog.Stream
		_, err = pgx.ForEachRow(rows, []any{&of.Organization, &of.Category, &of.ID}, func() error {
			p.streams[of] = struct{}{}
			return nil
		})
	}
	if err == nil {
		p.skipped, err = readSkipped(ctx, db, s.Name)
	}
	if err != nil {
		return nil, fmt.Errorf("projections: read what %s has parked: %w", s.Name, err)
	}
	return p, nil
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
func (p *parking) begin(bad unreadable) *parking {
	next := &parking{streams: p.streams, skipped: p.skipped, bad: bad}
	if len(p.fresh) > 0 {
		next.streams = maps.Clone(p.streams)
		maps.Copy(next.streams, p.fresh)
	}
	return next
}

// holds reports whether f is not to be folded, whatever it is. An erasure waits behind nothing: the rows it blanks are
// there.
func (p *parking) holds(f *eventcodec.Event) (skipped, waits bool) {
	if _, skipped = p.skipped[f.ID]; skipped {
		return true, false
	}
	if f.Type == domain.ErasedType {
		return false, false
	}
	if _, waits = p.streams[f.Stream]; !waits {
		_, waits = p.fresh[f.Stream]
	}
	return false, waits
}

// refuse remembers that f cannot be folded.
func (p *parking) refuse(f *eventcodec.Event, err error) {
	if p.bad == nil {
		p.bad = make(unreadable)
	}
	p.bad[f] = err
}

func (p *parking) park(f *eventcodec.Event, err error) {
	p.parked = append(p.parked, parkedEvent{f, err})
	if p.fresh == nil {
		p.fresh = make(map[eventlog.Stream]struct{})
	}
	p.fresh[f.Stream] = struct{}{}
}

// write queues what was parked since begin.
func (p *parking) write(batch *pgx.Batch, s Schema) {
	if len(p.parked) == 0 {
		return
	}
	n := len(p.parked)
	positions, versions := make([]int64, n), make([]int64, n)
	organizations, streams, events := make([]uuid.UUID, n), make([]uuid.UUID, n), make([]uuid.UUID, n)
	categories, types, errs := make([]string, n), make([]string, n), make([]*string, n)
	for i, parked := range p.parked {
		f := parked.event
		positions[i], versions[i], events[i], types[i] = int64(f.Position), int64(f.Version), f.ID, f.Type
		organizations[i], categories[i], streams[i] = f.Stream.Organization, f.Stream.Category, f.Stream.ID
		if parked.err != nil {
			text := parked.err.Error()
			errs[i] = &text
		}
	}
	batch.Queue(`insert into projections.parked (name, version, position, organization, category, stream, stream_version, event, type, error)
		select $1, $2, * from unnest($3::bigint[], $4::uuid[], $5::text[], $6::uuid[], $7::bigint[], $8::uuid[], $9::text[], $10::text[])`,
		s.Name, s.Version, positions, organizations, categories, streams, versions, events, types, errs)
}
