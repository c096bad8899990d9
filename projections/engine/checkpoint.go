package engine

import (
	"context"
	"embed"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/annal-crm/annal/eventlog"
	"github.com/annal-crm/annal/internal/migrations"
)

//go:embed migrations
var files embed.FS

// Migrate makes what the engine keeps for itself. It can run again and again, in several processes at once. The
// tables of the read models are made by [Engine.Prepare].
func Migrate(ctx context.Context, owner *pgx.Conn) error {
	return migrations.Set{Schema: "projections", Files: files}.Apply(ctx, owner)
}

var (
	// ErrForeign reports a checkpoint that its own log contradicts: it is ahead of the log, or its event is not
	// there, as when a log was restored from an older backup. Its read model is not folded on; a rebuild is the way
	// out.
	ErrForeign = errors.New("projections: checkpoint does not fit the log")

	// errMoved reports that a checkpoint is not where this runner has left it: another process has taken over, or a
	// rebuild has replaced the tables. Nothing was written.
	errMoved = errors.New("projections: somebody else has moved the checkpoint")
)

// checkpoint is where a read model stands.
type checkpoint struct {
	log        uuid.UUID
	position   eventlog.Position
	mark       string
	generation int64
	failed     eventlog.Position
	err        string
}

const selectCheckpoint = "select log, position, mark, generation, coalesce(failed, 0), coalesce(error, '') from projections.checkpoints where name = $1 and version = $2"

func readCheckpoint(ctx context.Context, db DB, s Schema, lock string) (c checkpoint, err error) {
	err = db.QueryRow(ctx, selectCheckpoint+lock, s.Name, s.Version).Scan(&c.log, &c.position, &c.mark, &c.generation, &c.failed, &c.err)
	if err != nil {
		err = fmt.Errorf("projections: read the checkpoint of %s: %w", s.Name, err)
	}
	return c, err
}

// ahead reports whether a checkpoint is behind the end of its log.
func (c checkpoint) ahead(s Schema, head eventlog.Position) error {
	if c.position <= head {
		return nil
	}
	return fmt.Errorf("%w: %s is at position %d, the log ends at %d (was it restored from an older backup?); to fold what there is: annal reproject %s",
		ErrForeign, s.Name, c.position, head, s.Name)
}

// point is a position with its event, and where to find that in the log: it tells a log from one that was restored
// from a backup and has gone on differently.
type point struct {
	position eventlog.Position
	mark     mark
}

type mark struct {
	Stream  eventlog.Stream  `json:"stream"`
	Version eventlog.Version `json:"version"`
	Event   uuid.UUID        `json:"event"`
}

func pointOf(e *eventlog.Event) point { return point{e.Position, mark{e.Stream, e.Version, e.ID}} }

// String returns the form in which a mark is kept; that of no event is "".
func (m mark) String() string {
	if m.Event == uuid.Nil {
		return ""
	}
	b, err := json.Marshal(m)
	if err != nil {
		panic(err) // ids and numbers
	}
	return string(b)
}

// fits reports whether a checkpoint of this log can be folded on from: its event is in the log, at its position. Else
// the error is [ErrForeign], or what kept it from looking.
func (e *Engine) fits(ctx context.Context, s Schema, c checkpoint) error {
	head, err := e.log.Head(ctx)
	if err != nil {
		return err
	}
	if err := c.ahead(s, head); err != nil || c.position == 0 || c.mark == "" {
		return err
	}
	var m mark
	if err := json.Unmarshal([]byte(c.mark), &m); err != nil {
		return fmt.Errorf("projections: the mark of %s: %w", s.Name, err)
	}
	for there, err := range e.log.ReadStream(ctx, m.Stream, m.Version-1) {
		if err != nil {
			return err
		}
		if there.ID == m.Event && there.Position == c.position {
			return nil
		}
		break
	}
	return fmt.Errorf("%w: %s has folded event %s at position %d, which the log does not have there (was it restored from an older backup, and written since?); to fold what there is: annal reproject %s",
		ErrForeign, s.Name, m.Event, c.position, s.Name)
}

// move queues the move of the checkpoint c to another position; it belongs first into its batch.
func (c checkpoint) move(batch *pgx.Batch, s Schema, epoch int64, to point) {
	batch.Queue("select projections.move($1, $2, $3, $4, $5, $6, $7)", s.Name, s.Version, epoch, c.generation, int64(c.position), int64(to.position), to.mark.String())
}

// sendBatch runs a batch, which is one transaction and, once its statements are prepared, one round trip.
func sendBatch(ctx context.Context, db batcher, batch *pgx.Batch) error {
	results := db.SendBatch(ctx, batch)
	var err error
	for i := 0; i < batch.Len() && err == nil; i++ {
		_, err = results.Exec()
	}
	err = errors.Join(err, results.Close())
	if e, ok := errors.AsType[*pgconn.PgError](err); ok && e.Code == "AN001" {
		return errMoved
	}
	return err
}

// refused reports whether Postgres will never take the values of a statement: a number out of range, a text too long to
// index.
func refused(err error) bool {
	e, ok := errors.AsType[*pgconn.PgError](err)
	return ok && (e.Code[:2] == "22" || e.Code[:2] == "23" || e.Code == "54000")
}
