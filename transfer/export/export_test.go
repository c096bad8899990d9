package export_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/parquet-go/parquet-go"

	"github.com/annal-crm/annal/domain"
	"github.com/annal-crm/annal/domain/account"
	"github.com/annal-crm/annal/domain/customer"
	"github.com/annal-crm/annal/eventlog"
	"github.com/annal-crm/annal/internal/vault"
	"github.com/annal-crm/annal/projections/acts"
	"github.com/annal-crm/annal/projections/engine/querytest"
	"github.com/annal-crm/annal/transfer/export"
)

type line struct {
	Position, ID, Type, Organization, Category, Stream, Actor string
	Schema, Version                                           int
	OccurredAt, RecordedAt                                    string
	Data, Metadata                                            json.RawMessage
}

func TestEvents(t *testing.T) {
	w := querytest.New(t, acts.Model)
	org, other, ada := uuid.New(), uuid.New(), uuid.New()
	for i := range 5 {
		of := org
		if i == 3 {
			of = other
		}
		w.RecordAll(querytest.Event{Stream: eventlog.Stream{Organization: of, Category: customer.Category, ID: uuid.New()},
			Payload: customer.Registered{Name: fmt.Sprint("Marked ", i), Sector: "two\nlines"}, Meta: domain.Metadata{Actor: ada, IP: "192.0.2.7"}})
	}
	w.Record(eventlog.Stream{Organization: org, Category: account.Category, ID: ada}, account.Activated{Credential: uuid.New()})
	all, err := w.Log.ReadAll(t.Context(), 0, 100)
	if err != nil {
		t.Fatal(err)
	}

	write := func(format export.Format, o export.Options) (string, export.Done) {
		t.Helper()
		var file bytes.Buffer
		done, err := export.Events(t.Context(), w.Log, &file, format, o)
		if err != nil {
			t.Fatal(err)
		}
		return file.String(), done
	}
	whole, done := write(export.NDJSON, export.Options{})
	if done.Events != 6 || done.Position != all[5].Position || strings.Contains(whole, "Marked") || strings.Contains(whole, "192.0.2.7") {
		t.Errorf("%+v\n%s", done, whole)
	}
	d := json.NewDecoder(strings.NewReader(whole))
	for _, e := range all {
		var l line
		if err := d.Decode(&l); err != nil {
			t.Fatal(err)
		}
		actor := ada.String()
		if e.Type == "account.activated" {
			actor = ""
		}
		if l.Position != e.Position.String() || l.ID != e.ID.String() || l.Type != e.Type || l.Stream != e.Stream.ID.String() || l.Category != e.Stream.Category || l.Version != int(e.Version) ||
			l.Schema != e.Schema || l.Organization != e.Stream.Organization.String() || l.Actor != actor || !bytes.Equal(l.Data, e.Data) || !bytes.Equal(l.Metadata, e.Meta) {
			t.Errorf("%+v of %+v", l, e)
		}
	}
	if err := d.Decode(new(line)); err != io.EOF || strings.Count(whole, "\n") != 6 {
		t.Error(err, whole)
	}

	// In parts it is the same; and what is chosen is all there is.
	part, to := write(export.NDJSON, export.Options{To: 2})
	rest, _ := write(export.NDJSON, export.Options{After: to.Position})
	if part+rest != whole || to.Events != 2 {
		t.Error(part, rest)
	}
	if _, done := write(export.NDJSON, export.Options{Organization: other}); done.Events != 1 {
		t.Error(done)
	}
	if _, done := write(export.Parquet, export.Options{Types: []string{"account.activated"}}); done.Events != 1 || done.Position != all[5].Position {
		t.Error(done)
	}
	if none, done := write(export.NDJSON, export.Options{After: 99}); none != "" || done.Events != 0 || done.Position != 99 {
		t.Error(none, done)
	}

	open, _ := write(export.NDJSON, export.Options{Open: w.Codec})
	if !strings.Contains(open, `"Marked 3"`) || !strings.Contains(open, "192.0.2.7") {
		t.Error(open)
	}
	if err := w.Vault.Erase(t.Context(), vault.Subject{Organization: all[0].Stream.Organization, ID: all[0].Stream.ID}); err != nil {
		t.Fatal(err)
	}
	if open, _ := write(export.NDJSON, export.Options{Open: w.Codec}); strings.Contains(open, "Marked 0") || !strings.Contains(open, "erased") || !strings.Contains(open, "Marked 1") {
		t.Error(open)
	}

	file, _ := write(export.Parquet, export.Options{})
	f, err := parquet.OpenFile(strings.NewReader(file), int64(len(file)))
	if err != nil || f.NumRows() != 6 || strings.Contains(file, "Marked") {
		t.Fatal(err, f.NumRows())
	}
	rows := make([]parquet.Row, 6)
	reader := f.RowGroups()[0].Rows()
	defer reader.Close()
	if n, err := reader.ReadRows(rows); n != 6 {
		t.Fatal(n, err)
	}
	for i, e := range all {
		for column, want := range map[string]string{"position": e.Position.String(), "type": e.Type, "data": string(e.Data), "metadata": string(e.Meta), "occurredAt": fmt.Sprint(e.OccurredAt.UnixMicro()), "version": fmt.Sprint(uint64(e.Version))} {
			leaf, _ := f.Schema().Lookup(column)
			if got := rows[i][leaf.ColumnIndex].String(); got != want {
				t.Errorf("%s of %s is %s, want %s", column, e.Position, got, want)
			}
		}
	}
}

// A file that cannot be written to ends the reading, too.
func TestAnErrorEndsIt(t *testing.T) {
	w := querytest.New(t, acts.Model)
	for range 3 {
		w.Record(eventlog.Stream{Organization: uuid.New(), Category: customer.Category, ID: uuid.New()}, customer.Archived{})
	}
	for _, format := range []export.Format{export.NDJSON, export.Parquet} {
		if _, err := export.Events(t.Context(), w.Log, full{}, format, export.Options{}); err == nil {
			t.Error(format)
		}
	}
}

type full struct{}

func (full) Write([]byte) (int, error) { return 0, io.ErrShortWrite }
