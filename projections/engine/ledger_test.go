package engine_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/annal-crm/annal/domain/customer"
	"github.com/annal-crm/annal/eventlog"
	"github.com/annal-crm/annal/eventlog/memory"
	"github.com/annal-crm/annal/internal/eventcodec"
	"github.com/annal-crm/annal/internal/pgtest"
	"github.com/annal-crm/annal/projections/engine"
	"github.com/annal-crm/annal/projections/engine/foldtest"
)

// ledger is a read model with one of everything: every type of column, a composite key, rows that come and go, rows that
// depend on other rows, a table that only grows.
type ledger struct {
	items   *engine.Table[uuid.UUID, item]
	sectors *engine.Table[sectorKey, sector]
	journal *engine.Table[eventlog.Position, line]
	trouble func(*eventcodec.Event) error // what makes the fold fail, if anything
}

type (
	item struct {
		Customer     uuid.UUID       `db:"customer,key"`
		Organization uuid.UUID       `db:"organization"`
		Name         string          `db:"name"`
		Sector       string          `db:"sector"`
		Website      *string         `db:"website"`
		Owner        uuid.UUID       `db:"owner,null"`
		Owners       []uuid.UUID     `db:"owners"`
		Names        []string        `db:"names"`
		Changes      int             `db:"changes"`
		Small        int32           `db:"small"`
		Archived     bool            `db:"archived"`
		Since        time.Time       `db:"since"`
		Closed       *time.Time      `db:"closed"`
		Value        string          `db:"value,numeric,null"`
		Data         json.RawMessage `db:"data"`
		Scratch      string          `db:"-"`
	}
	sectorKey struct {
		Organization uuid.UUID
		Sector       string
	}
	sector struct {
		Organization uuid.UUID `db:"organization,key"`
		Sector       string    `db:"sector,key"`
		Customers    int64     `db:"customers"`
	}
	line struct {
		Position eventlog.Position `db:"position,key"`
		Customer uuid.UUID         `db:"customer"`
		Type     string            `db:"type"`
		At       time.Time         `db:"at"`
		Data     json.RawMessage   `db:"data"`
	}
)

func newLedger(version int) *ledger {
	s := engine.Schema{Name: "ledger", Version: version}
	return &ledger{
		items:   engine.NewTable[uuid.UUID, item](s, "items", engine.TableConfig{Indexes: []string{"(organization, name, customer)", "using gin (owners)"}}),
		sectors: engine.NewTable[sectorKey, sector](s, "sectors", engine.TableConfig{}),
		journal: engine.NewTable[eventlog.Position, line](s, "journal", engine.TableConfig{AppendOnly: true}),
	}
}

func (l *ledger) model(version int) engine.ReadModel {
	return engine.ReadModel{
		Schema: engine.Schema{Name: "ledger", Version: version},
		Tables: []engine.Relation{l.items, l.sectors, l.journal},
		Events: []string{"customer.registered", "customer.edited", "customer.reassigned", "customer.archived", "customer.restored"},
		Keys:   l.keys, Fold: l.fold,
	}
}

func (l *ledger) keys(f *eventcodec.Event, rows *engine.Rows) error {
	before, _ := l.items.Peek(rows, f.Stream.ID)
	l.sectors.Touch(rows, sectorKey{f.Stream.Organization, before.Sector})
	payload, err := f.Payload()
	switch e := payload.(type) {
	case customer.Registered:
		l.sectors.Touch(rows, sectorKey{f.Stream.Organization, e.Sector})
	case customer.Edited:
		if e.Sector != nil {
			l.sectors.Touch(rows, sectorKey{f.Stream.Organization, e.Sector.To})
		}
	}
	return err
}

func (l *ledger) fold(f *eventcodec.Event, rows *engine.Rows) error {
	payload, err := f.Payload()
	if err != nil {
		return err
	}
	if l.trouble != nil {
		if err := l.trouble(f); err != nil {
			return err
		}
	}
	l.journal.Append(rows, line{f.Position, f.Stream.ID, f.Type, f.OccurredAt, f.Data})
	row, known := l.items.Get(rows, f.Stream.ID)
	was := row.Sector
	row.Changes++
	row.Data = f.Data
	switch e := payload.(type) {
	case customer.Registered:
		row = item{Customer: f.Stream.ID, Organization: f.Stream.Organization, Name: e.Name, Sector: e.Sector, Owner: e.Owner,
			Names: []string{e.Name}, Since: f.OccurredAt, Small: int32(len(e.Name)), Value: e.Phone, Data: f.Data}
		if e.Website != "" {
			row.Website = &e.Website
		}
	case customer.Edited:
		if !known {
			return nil
		}
		if e.Name != nil {
			row.Name = e.Name.To
			row.Names = append(row.Names[:len(row.Names):len(row.Names)], e.Name.To)
		}
		if e.Sector != nil {
			row.Sector = e.Sector.To
		}
		if e.Phone != nil {
			row.Value = e.Phone.To
		}
	case customer.Reassigned:
		if !known {
			return nil
		}
		row.Owner = e.To
		row.Owners = append(row.Owners[:len(row.Owners):len(row.Owners)], e.To)
	case customer.Archived:
		if !known {
			return nil
		}
		row.Archived, row.Closed = true, &f.OccurredAt
	case customer.Restored: // here: gone
		if !known {
			return nil
		}
		l.items.Delete(rows, f.Stream.ID)
		l.count(rows, f.Stream.Organization, was, -1)
		return nil
	}
	if known && was != row.Sector {
		l.count(rows, f.Stream.Organization, was, -1)
	}
	if !known || was != row.Sector {
		l.count(rows, f.Stream.Organization, row.Sector, 1)
	}
	l.items.Put(rows, row)
	return nil
}

func (l *ledger) count(rows *engine.Rows, organization uuid.UUID, name string, by int64) {
	row, _ := l.sectors.Get(rows, sectorKey{organization, name})
	if row.Customers += by; row.Customers == 0 {
		l.sectors.Delete(rows, sectorKey{organization, name})
		return
	}
	row.Organization, row.Sector = organization, name
	l.sectors.Put(rows, row)
}

// dump returns all rows of a read model's live tables, as Postgres writes them.
func dump(t testing.TB, pool *pgxpool.Pool, model engine.ReadModel) string {
	t.Helper()
	var all strings.Builder
	for _, table := range model.Tables {
		rows, err := pool.Query(context.Background(), fmt.Sprintf("select t::text from %s t order by 1", table.In(pool)))
		if err != nil {
			t.Fatal(err)
		}
		for rows.Next() {
			fmt.Fprintf(&all, "%s %s\n", table.In(pool), rows.RawValues()[0])
		}
		if err := rows.Err(); err != nil {
			t.Fatal(err)
		}
	}
	return all.String()
}

// house is a log and a database with an engine's own tables.
type house struct {
	testing.TB
	log  *memory.Log
	pool *pgxpool.Pool
	logs *strings.Builder // what engines log
	mu   sync.Mutex
}

func newHouse(t testing.TB) *house {
	return &house{TB: t, log: memory.New(), pool: pgtest.New(t, engine.Migrate), logs: &strings.Builder{}}
}

func (h *house) Write(b []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.logs.Write(b)
}

func (h *house) logged() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.logs.String()
}

// engine returns an engine on the house's log. Facts are in clear, so no vault is needed.
func (h *house) engine(config engine.Config, models ...engine.ReadModel) *engine.Engine {
	h.Helper()
	config.Logger = slog.New(slog.NewTextHandler(h, nil))
	e, err := engine.New(h.log, eventcodec.New(nil), h.pool, models, config)
	if err != nil {
		h.Fatal(err)
	}
	return e
}

// run runs an engine until stop is called, or the test ends.
func (h *house) run(e *engine.Engine) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- e.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			h.Error(err)
		}
	})
	h.Cleanup(stop)
	return stop
}

// append appends events to streams, and returns the head.
func (h *house) append(history ...eventlog.Event) eventlog.Position {
	h.Helper()
	for _, e := range history {
		if e.ID = uuid.New(); e.OccurredAt.IsZero() {
			e.OccurredAt = foldtest.Start
		}
		version := eventlog.Version(0)
		for _, err := range h.log.ReadStream(context.Background(), e.Stream, 0) {
			if err != nil {
				h.Fatal(err)
			}
			version++
		}
		if _, err := h.log.Append(context.Background(), e.Stream, version, e.NewEvent); err != nil {
			h.Fatal(err)
		}
	}
	head, err := h.log.Head(context.Background())
	if err != nil {
		h.Fatal(err)
	}
	return head
}

func (h *house) status(e *engine.Engine, name string) engine.Status {
	h.Helper()
	all, err := e.Statuses(context.Background())
	if err != nil {
		h.Fatal(err)
	}
	for _, s := range all {
		if s.Name == name {
			return s
		}
	}
	h.Fatal("no status of " + name)
	panic("unreachable")
}

func (h *house) eventually(what string, ok func() bool) {
	h.Helper()
	for end := time.Now().Add(10 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			h.Fatalf("never: %s\n%s", what, h.logged())
		}
	}
}

var organization = uuid.UUID{0: 9, 15: 1}

func stream(n int) eventlog.Stream {
	return eventlog.Stream{Organization: organization, Category: customer.Category, ID: uuid.UUID{0: byte(n), 1: 1, 14: byte(n >> 8), 15: byte(n)}}
}

func registered(n int, name string) eventlog.Event {
	return foldtest.Event(stream(n), customer.Registered{Name: name, Sector: "retail"})
}

var errTrouble = errors.New("trouble")
