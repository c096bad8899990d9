package results

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/annal-crm/annal/projections/engine"
)

// lost is what is said of a result whose process is gone.
const lost = "the process that made it ended: drop it, or ask for it again"

// Get returns a result of an organization, or [ErrNotFound].
func (r *Results) Get(ctx context.Context, organization, id uuid.UUID) (State, error) {
	return r.one(ctx, "id = $2", organization, id)
}

// List returns the results of an organization, the newest first.
func (r *Results) List(ctx context.Context, organization uuid.UUID) ([]State, error) {
	return r.find(ctx, "true", organization)
}

func (r *Results) one(ctx context.Context, condition string, args ...any) (State, error) {
	all, err := r.find(ctx, condition, args...)
	if err == nil && len(all) == 0 {
		err = ErrNotFound
	}
	if err != nil {
		return State{}, err
	}
	return all[0], nil
}

// find returns the results of the organization $1 that meet a condition.
func (r *Results) find(ctx context.Context, condition string, args ...any) ([]State, error) {
	rows, err := r.db.Query(ctx, `select id, organization, name, report, model, version, schema, as_of, part, moment, status, progress, events, position, parked,
			problem, made_by, made_at, ended_at, status = 'RUNNING' and beat_at < now() - interval '`+lapse+`', beat_at, definition, under
		from projections.results where organization = $1 and `+condition+` order by made_at desc, id`, args...)
	if err != nil {
		return nil, fmt.Errorf("results: %w", err)
	}
	all, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (s State, err error) {
		var asOf, part, under []byte
		var ended *time.Time
		var lapsed bool
		var beat time.Time
		if err := row.Scan(&s.ID, &s.Organization, &s.Name, &s.Report, &s.Model, &s.Version, &s.Schema, &asOf, &part, &s.Moment, &s.Status, &s.Progress, &s.Events,
			&s.Position, &s.Parked, &s.Problem, &s.By, &s.MadeAt, &ended, &lapsed, &beat, &s.Definition, &under); err != nil {
			return s, err
		}
		if ended != nil {
			s.EndedAt = *ended
		}
		if lapsed {
			s.Status, s.Problem, s.EndedAt = Failed, lost, beat
		}
		if err := json.Unmarshal(asOf, &s.AsOf); err != nil {
			return s, err
		}
		if err := json.Unmarshal(under, &s.Under); err != nil {
			return s, err
		}
		return s, json.Unmarshal(part, &s.Part)
	})
	if err != nil {
		return nil, fmt.Errorf("results: %w", err)
	}
	return all, nil
}

// Open returns the tables of a result of an organization. Errors: [ErrNotFound], [ErrNotDone], [ErrOutdated].
func (r *Results) Open(ctx context.Context, organization, id uuid.UUID) (State, engine.DB, error) {
	s, err := r.Get(ctx, organization, id)
	if err != nil {
		return s, nil, err
	}
	if s.Status != Done {
		return s, nil, ErrNotDone
	}
	result, err := r.engine.Result(s.Model, s.Schema)
	if err != nil {
		return s, nil, err
	}
	if result.Version != s.Version {
		return s, nil, ErrOutdated
	}
	return s, result.DB(), nil
}

// Drop removes a result of an organization; one that is being folded is folded no further. The error is [ErrNotFound] if there
// is none.
func (r *Results) Drop(ctx context.Context, organization, id uuid.UUID) error {
	s, err := r.Get(ctx, organization, id)
	if err != nil {
		return err
	}
	if s.Status != Running { // else who folds it does so
		result, err := r.engine.Result(s.Model, s.Schema)
		if err == nil {
			err = result.Drop(ctx)
		}
		if err != nil {
			return err
		}
	}
	rows, err := r.db.Query(ctx, "delete from projections.results where organization = $1 and id = $2", organization, id)
	if err == nil {
		rows.Close()
		err = rows.Err()
	}
	if err != nil {
		return fmt.Errorf("results: drop: %w", err)
	}
	return nil
}
