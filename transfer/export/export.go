// Package export writes the events of a log into files for other tools: a row per event, streamed page by page, in log order.
//
// Personal fields stay sealed as the log has them, or are opened if a codec is given; then those of erased people read
// "erased". A file ends at a position, and the next one begins after it.
package export

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/annal-crm/annal/eventlog"
	"github.com/annal-crm/annal/internal/eventcodec"
	"github.com/annal-crm/annal/internal/parquetfile"
)

// Format is the form of a file.
type Format string

const (
	Parquet Format = "parquet"
	NDJSON  Format = "ndjson" // a JSON object a line
)

// Options choose what is written. The zero value is everything, personal fields sealed.
type Options struct {
	After, To    eventlog.Position // After < position <= To; To 0: the head of the log as it is at the beginning
	Organization uuid.UUID         // zero: all
	Types        []string          // nil: all
	Open         *eventcodec.Codec // opens personal fields
	Progress     func(part float64)
}

// Done says what was written.
type Done struct {
	Events   int64
	Position eventlog.Position // everything up to here that was asked for
}

// Events writes events to out. After an error the file is not whole.
func Events(ctx context.Context, log eventlog.Log, out io.Writer, format Format, o Options) (done Done, err error) {
	head, err := log.Head(ctx)
	if err != nil {
		return done, err
	}
	if o.To == 0 || o.To > head {
		o.To = head
	}
	var w writer = &lines{out: out}
	if format == Parquet {
		if w, err = newTable(out); err != nil {
			return done, err
		}
	}
	done.Position = max(o.After, o.To)
	next := func(ctx context.Context) iter.Seq2[page, error] { return o.pages(ctx, log) }
	for p, err := range eventlog.Ahead(ctx, 1, next) {
		if err != nil {
			return done, err
		}
		for _, r := range p.rows {
			if err := w.write(r); err != nil {
				return done, err
			}
		}
		done.Events += int64(len(p.rows))
		if o.Progress != nil {
			o.Progress(float64(p.position-o.After) / float64(max(1, o.To-o.After)))
		}
	}
	return done, w.close()
}

// row is an event with its texts as they are written.
type row struct {
	eventlog.Event
	actor      uuid.UUID
	data, meta []byte
}

// page is what is written of a page of the log that ends at a position.
type page struct {
	rows     []row
	position eventlog.Position
}

func (o Options) pages(ctx context.Context, log eventlog.Log) iter.Seq2[page, error] {
	return func(yield func(page, error) bool) {
		for events, err := range eventlog.Pages(ctx, log, o.After, o.To, eventlog.PageSize) {
			if err != nil {
				yield(page{}, err)
				return
			}

			p := page{position: events[len(events)-1].Position}
			wanted := slices.DeleteFunc(events, func(e eventlog.Event) bool {
				return o.Organization != uuid.Nil && e.Stream.Organization != o.Organization || o.Types != nil && !slices.Contains(o.Types, e.Type)
			})
			if p.rows, err = o.rows(ctx, wanted); !yield(p, err) {
				return
			}
		}
	}
}

func (o Options) rows(ctx context.Context, events []eventlog.Event) ([]row, error) {
	rows := make([]row, len(events))
	var known []*eventcodec.Event
	if o.Open != nil {
		var err error
		if known, err = o.Open.Page(ctx, events); err != nil {
			return nil, err
		}
	}
	for i, e := range events {
		r := &rows[i]
		r.Event, r.data, r.meta = e, e.Data, e.Meta
		fact := eventcodec.Event{Event: e}
		actor, err := fact.Actor()
		if err != nil {
			return nil, err
		}
		r.actor = actor
		if known == nil {
			continue
		}
		view, err := known[i].Display()
		if err != nil {
			return nil, err
		}
		r.data = view.Data
		if r.meta, err = json.Marshal(view.Meta); err != nil {
			return nil, err
		}
	}
	return rows, nil
}

// writer is a file of one format.
type writer interface {
	write(row) error
	close() error
}

// columns are those of a file, in the order in which [table.write] gives them.
var columns = []parquetfile.Column{
	{Name: "position", Type: parquetfile.Integer}, {Name: "id", Type: parquetfile.Text}, {Name: "type", Type: parquetfile.Text}, {Name: "schema", Type: parquetfile.Integer},
	{Name: "organization", Type: parquetfile.Text}, {Name: "category", Type: parquetfile.Text}, {Name: "stream", Type: parquetfile.Text}, {Name: "version", Type: parquetfile.Integer},
	{Name: "actor", Type: parquetfile.Text}, {Name: "occurredAt", Type: parquetfile.Instant}, {Name: "recordedAt", Type: parquetfile.Instant},
	{Name: "data", Type: parquetfile.JSON}, {Name: "metadata", Type: parquetfile.JSON},
}

type table struct {
	file   *parquetfile.Writer
	values []any
}

func newTable(out io.Writer) (*table, error) {
	file, err := parquetfile.NewWriter(out, columns)
	return &table{file, make([]any, len(columns))}, err
}

func (t *table) write(r row) error {
	t.values = append(t.values[:0], int64(r.Position), r.ID.String(), r.Type, int64(r.Schema), id(r.Stream.Organization), r.Stream.Category, r.Stream.ID.String(),
		int64(r.Version), id(r.actor), r.OccurredAt, r.RecordedAt, r.data, r.meta)
	return t.file.Write(t.values...)
}

func (t *table) close() error { return t.file.Close() }

// id is a text, or nothing for nobody.
func id(id uuid.UUID) any {
	if id == uuid.Nil {
		return nil
	}
	return id.String()
}

// lines is a JSON object a line, with the names of [columns].
type lines struct {
	out io.Writer
	b   bytes.Buffer
}

func (l *lines) write(r row) error {
	l.b.Reset()
	fmt.Fprintf(&l.b, `{"position":"%d","id":"%s","type":%s,"schema":%d,"organization":%s,"category":%s,"stream":"%s","version":%d,"actor":%s,"occurredAt":"%s","recordedAt":"%s","data":`,
		r.Position, r.ID, text(r.Type), r.Schema, quoted(r.Stream.Organization), text(r.Stream.Category), r.Stream.ID, r.Version, quoted(r.actor),
		r.OccurredAt.UTC().Format(time.RFC3339Nano), r.RecordedAt.UTC().Format(time.RFC3339Nano))
	for i, text := range [][]byte{r.data, r.meta} {
		if i > 0 {
			l.b.WriteString(`,"metadata":`)
		}
		if err := json.Compact(&l.b, text); err != nil { // people may have written line breaks between the fields
			return fmt.Errorf("export: position %s: %w", r.Position, err)
		}
	}
	l.b.WriteString("}\n")
	_, err := l.out.Write(l.b.Bytes())
	return err
}

func (l *lines) close() error { return nil }

// text is a JSON string.
func text(s string) []byte {
	b, _ := json.Marshal(s) // a string is always one
	return b
}

func quoted(id uuid.UUID) string {
	if id == uuid.Nil {
		return "null"
	}
	return `"` + id.String() + `"`
}
