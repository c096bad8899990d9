package records

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/annal-crm/annal/domain"
	"github.com/annal-crm/annal/domain/account"
	"github.com/annal-crm/annal/domain/contract"
	"github.com/annal-crm/annal/domain/organization"
	"github.com/annal-crm/annal/domain/record"
	"github.com/annal-crm/annal/eventlog"
	"github.com/annal-crm/annal/internal/eventcodec"
	"github.com/annal-crm/annal/projections/engine"
	"github.com/annal-crm/annal/projections/engine/querytest"
	"github.com/annal-crm/annal/projections/members"
)

// written is a row of contracts as one would write it by hand, with the same indexes. Its sort keys are texts as they come, which
// costs less than keys in the order of people.
type written struct {
	ID            uuid.UUID         `db:"id,key"`
	Organization  uuid.UUID         `db:"organization"`
	Owner         uuid.UUID         `db:"owner,null"`
	Stage         string            `db:"stage,null"`
	Archived      bool              `db:"archived"`
	CreatedAt     time.Time         `db:"created_at"`
	UpdatedAt     time.Time         `db:"updated_at"`
	Version       eventlog.Version  `db:"version"`
	Position      eventlog.Position `db:"position"`
	Number        string            `db:"number,null"`
	NumberKey     string            `db:"number_key"`
	Title         string            `db:"title,null"`
	TitleKey      string            `db:"title_key"`
	Customer      uuid.UUID         `db:"customer,null"`
	Opportunity   uuid.UUID         `db:"opportunity,null"`
	Value         domain.Decimal    `db:"value,null,numeric"`
	ValueCurrency string            `db:"value_currency,null"`
	ValueKey      string            `db:"value_key"`
	StartsOn      time.Time         `db:"starts_on,null"`
	StartsKey     string            `db:"starts_key"`
	SignedOn      time.Time         `db:"signed_on,null"`
	EndsOn        time.Time         `db:"ends_on,null"`
	EndsKey       string            `db:"ends_key"`
	Search        string            `db:"search"`
	Pairs         string            `db:"pairs"`
}

func (r *written) set(name, value string) {
	at, _ := time.Parse(time.DateOnly, value)
	switch name {
	case "number":
		r.Number, r.NumberKey = value, strings.ToLower(value)
	case "title":
		r.Title, r.TitleKey = value, strings.ToLower(value)
	case "customer":
		r.Customer = domain.ParseRef(value)
	case "opportunity":
		r.Opportunity = domain.ParseRef(value)
	case "value":
		r.Value, r.ValueCurrency = record.Amount(value)
		r.ValueKey = decimalKey(string(r.Value))
	case "startsOn":
		r.StartsOn, r.StartsKey = at, value
	case "signedOn":
		r.SignedOn = at
	case "endsOn":
		r.EndsOn, r.EndsKey = at, value
	}
}

func (r *written) find() {
	words := append(Words(r.Number), Words(r.Title)...)
	r.Search, r.Pairs = strings.Join(words, " "), strings.Join(pairs(words), " ")
}

func byHand(version int) (engine.ReadModel, *engine.Table[uuid.UUID, written]) {
	schema := engine.Schema{Name: "written", Version: version}
	config := engine.TableConfig{Indexes: []string{
		"(organization, created_at, id)", "(organization, updated_at, id)", "(owner, created_at, id)", "(organization, stage, created_at, id)",
		"(customer, created_at, id)", "(opportunity, created_at, id)", "using gin (" + pairsIndexed + ")",
	}}
	for _, key := range []string{"number", "title", "value", "starts", "ends"} {
		config.Indexes = append(config.Indexes, "(organization, "+key+"_key, id)")
	}
	table, team := engine.NewTable[uuid.UUID, written](schema, "written", config), members.New(schema)
	return engine.ReadModel{
		Schema: schema, Tables: []engine.Relation{table, team}, Events: Of("contract").model.Events,
		Keys: func(f *eventcodec.Event, rows *engine.Rows) error {
			if f.Stream.Category == account.Category {
				members.Keys(team, f, rows)
			} else {
				table.Touch(rows, f.Stream.ID)
			}
			return nil
		},
		Fold: func(f *eventcodec.Event, rows *engine.Rows) error {
			payload, err := f.Payload()
			if err != nil {
				return err
			}
			if e, ok := payload.(record.Created); ok {
				row := written{
					ID: f.Stream.ID, Organization: f.Stream.Organization, Owner: e.Owner, Stage: e.Stage,
					CreatedAt: f.OccurredAt, UpdatedAt: f.OccurredAt, Version: f.Version, Position: f.Position,
				}
				for name, value := range e.Fields {
					row.set(name, value)
				}
				row.find()
				table.Put(rows, row)
				return nil
			}
			table.Update(rows, f.Stream.ID, func(r *written) {
				r.UpdatedAt, r.Version, r.Position = f.OccurredAt, f.Version, f.Position
				switch e := payload.(type) {
				case record.Edited:
					for name, c := range e.Fields {
						r.set(name, c.To)
					}
					r.find()
				case record.Moved:
					r.Stage = e.To
				}
			})
			return nil
		},
	}, table
}

// The list of a declared kind beside one written by hand: go test -bench Contracts -benchtime 1x -count 5. Wanted: at least 0.9 of
// its speed.
func BenchmarkContracts(b *testing.B) {
	w := querytest.New(b)
	org, customer := uuid.New(), uuid.NewString()
	const contracts, edits = 1000, 9
	streams := make([]eventlog.Stream, contracts)
	for round := range 1 + edits {
		var events []querytest.Event
		for i := range streams {
			if round == 0 {
				streams[i] = eventlog.Stream{Organization: org, Category: contract.Kind.Category, ID: uuid.New()}
				events = append(events, querytest.Event{Stream: streams[i], Payload: record.Created{Stage: "draft", Fields: record.Values{
					"number": fmt.Sprintf("C-%d", i), "title": fmt.Sprintf("Ácme service %d", i%100), "customer": customer,
					"value": fmt.Sprintf("%d.5 CHF", i%500), "startsOn": "2026-01-31", "endsOn": "2027-01-31",
				}}})
				continue
			}
			e := record.Edited{Fields: map[string]domain.Change{
				"title": {To: fmt.Sprintf("Service %d of year %d", i%100, round)}, "value": {To: fmt.Sprintf("%d CHF", i+round)},
			}}
			events = append(events, querytest.Event{Stream: streams[i], Payload: e})
		}
		w.RecordAll(events...)
	}
	head, err := w.Log.Head(b.Context())
	if err != nil {
		b.Fatal(err)
	}

	version := 1000
	fold := func(b *testing.B, m engine.ReadModel) time.Duration {
		e, err := engine.New(w.Log, w.Codec, w.Pool, []engine.ReadModel{m}, engine.Config{FastStart: math.MaxInt64, Logger: slog.New(slog.DiscardHandler)})
		if err == nil {
			err = e.Prepare(b.Context())
		}
		if err != nil {
			b.Fatal(err)
		}
		ctx, stop := context.WithCancel(b.Context())
		done := make(chan error, 1)
		began := time.Now()
		go func() { done <- e.Run(ctx) }()
		for err = e.Wait(b.Context(), head, m.Name); err != nil && b.Context().Err() == nil; {
			err = e.Wait(b.Context(), head, m.Name)
		}
		took := time.Since(began)
		stop()
		if err := <-done; err != nil {
			b.Fatal(err)
		}
		return took
	}
	v := engine.Viewer{Organization: org, Scope: organization.All, Personal: true}
	page := func(read func() error) time.Duration {
		const reads = 200
		began := time.Now()
		for range reads {
			if err := read(); err != nil {
				b.Fatal(err)
			}
		}
		return time.Since(began) / reads
	}

	var folds, pages []float64
	for b.Loop() {
		for range 5 { // in turn, so that both meet the machine's moods
			version++
			hand, table := byHand(version)
			copied := layOut(&contract.Kind, version)
			a, c := fold(b, copied.model), fold(b, hand)
			folds = append(folds, c.Seconds()/a.Seconds())

			order := table.Ascending("number_key", "id")
			a = page(func() error {
				_, err := copied.List(b.Context(), w.Pool, v, Query{Order: []Order{{Field: "number"}}}, engine.PageRequest{})
				return err
			})
			c = page(func() error {
				_, err := table.Page(b.Context(), w.Pool, order, engine.PageRequest{}, "t.organization = $1", org)
				return err
			})
			pages = append(pages, c.Seconds()/a.Seconds())
		}
	}
	median := func(all []float64) float64 {
		slices.Sort(all)
		return all[len(all)/2]
	}
	b.ReportMetric(median(folds), "fold-ratio")
	b.ReportMetric(median(pages), "page-ratio")
}
