package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/annal-crm/annal/eventlog"
)

// countPredecessors counts how many of the events that must be there already are.
const countPredecessors = `select count(*) from unnest($1::uuid[], $2::text[], $3::uuid[], $4::bigint[]) as a (organization, category, stream, version)
	where exists (select from eventlog.events x
		where (x.organization, x.category, x.stream, x.version) = (a.organization, a.category, a.stream, a.version))`

var imported = []string{"position", "id", "organization", "category", "stream", "version", "type", "schema", "data", "metadata", "occurred_at", "recorded_at"}

// Import implements [eventlog.Importer], in one transaction: all of the events or none. They are durable when it returns.
func (l *Log) Import(ctx context.Context, events []eventlog.Event) error {
	if err := eventlog.CheckImport(events); err != nil || len(events) == 0 {
		return err
	}
	var newest eventlog.Position
	err := pgx.BeginFunc(ctx, l.writing, func(tx pgx.Tx) error {
		var head int64
		var clock time.Time // no event is recorded before it; -infinity in an empty log
		err := tx.QueryRow(ctx, `select position, greatest(recorded_at, '0001-01-01 00:00:00+00') from eventlog.head for update`).Scan(&head, &clock)
		if err != nil {
			return err
		}
		if err := follow(ctx, tx, events); err != nil {
			return err
		}
		rows := pgx.CopyFromSlice(len(events), func(i int) ([]any, error) {
			e := events[i]
			if e.RecordedAt.After(clock) {
				clock = e.RecordedAt
			}
			return []any{head + int64(i) + 1, [16]byte(e.ID), [16]byte(e.Stream.Organization), e.Stream.Category, [16]byte(e.Stream.ID), int64(e.Version),
				e.Type, int32(e.Schema), []byte(e.Data), []byte(e.Meta), e.OccurredAt, clock}, nil
		})
		if _, err := tx.CopyFrom(ctx, pgx.Identifier{"eventlog", "events"}, imported, rows); err != nil {
			return err
		}
		newest = eventlog.Position(head) + eventlog.Position(len(events))
		_, err = tx.Exec(ctx, `update eventlog.head set position = $1, recorded_at = $2`, int64(newest), clock)
		return err
	})
	switch {
	case err == nil:
		l.grown(newest)
		return nil
	case errors.Is(err, eventlog.ErrConflict):
		return err
	case code(err) == "23505":
		return fmt.Errorf("%w: %w", eventlog.ErrConflict, err)
	case invalid(err):
		return fmt.Errorf("%w: %w", eventlog.ErrInvalid, err)
	}
	return unavailable(err)
}

// follow demands that the streams are as long as the events expect.
func follow(ctx context.Context, tx pgx.Tx, events []eventlog.Event) error {
	var organizations, streams [][16]byte
	var categories []string
	var versions []int64
	met := make(map[eventlog.Stream]bool)
	for _, e := range events {
		if !met[e.Stream] && e.Version > 1 {
			organizations, streams = append(organizations, e.Stream.Organization), append(streams, e.Stream.ID)
			categories, versions = append(categories, e.Stream.Category), append(versions, int64(e.Version)-1)
		}
		met[e.Stream] = true
	}
	var there int
	err := tx.QueryRow(ctx, countPredecessors, organizations, categories, streams, versions).Scan(&there)
	if err == nil && there < len(versions) {
		return eventlog.ErrConflict
	}
	return err
}
