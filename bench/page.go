package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"reflect"

	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/annal-crm/annal/app/web"
	"github.com/annal-crm/annal/graph"
	"github.com/annal-crm/annal/projections/customers"
	"github.com/annal-crm/annal/projections/engine"
)

const (
	pageQuery = `query Page($after: String) { customers(first: 20, after: $after) {
		nodes { id version name sector country website phone email attributes archived } pageInfo { hasNextPage endCursor } } }`
	connections = 8
)

// servePage measures requests for a page of the list of customers, over loopback, with the token of a session.
func servePage(ctx context.Context, b *bench) {
	w := b.long(ctx)
	ours, pages := w.serveGraph(ctx)
	defer ours.Close()
	floor := w.servePlainly(ctx, pages)
	defer floor.Close()
	for i := range pages {
		var answers [2]any
		check(json.Unmarshal(must(ours.get(i)), &answers[0]))
		check(json.Unmarshal(must(floor.get(i)), &answers[1]))
		if !reflect.DeepEqual(answers[0], answers[1]) {
			check(fmt.Errorf("page %d is not the same:\n%v\n%v", i, answers[0], answers[1]))
		}
	}

	p50 := Figure{Unit: "s"} // of single requests
	side := func(s *site, p50 *series) func() float64 {
		return func() float64 {
			rate, took := load(connections, b.span, func(int) func() error { return s.anyPage })
			p50.add(percentile(took, 50))
			return rate
		}
	}
	f := &Figure{
		What: "`customers` page of 20 over GraphQL, signed in", Against: "the same SQL and token check, net/http and encoding/json", Unit: "requests/s", Wanted: "≥ 0.5",
		ours: side(ours, &p50.Ours), floor: side(floor, &p50.Floor),
	}
	b.measure(true, f)
	f.Note = fmt.Sprintf("%d connections kept open, pages from all over the list, answers compared beforehand. The client is in the same process. p50 %s against %s.",
		connections, p50.Text(p50.Ours), p50.Text(p50.Floor))
}

// growth measures what a long history does to an append and to a page.
func growth(ctx context.Context, b *bench) {
	long, short := b.long(ctx), b.short(ctx)
	sizes := fmt.Sprintf(" at %s events, p50", grouped(long.events))
	against := "at " + grouped(short.events)
	appends := &Figure{What: "append" + sizes, Against: against, Unit: "s", Wanted: "≤ 1.2", Note: "One client, new streams."}
	pages := &Figure{What: "`customers` page" + sizes, Against: against, Unit: "s", Wanted: "≤ 1.2",
		Note: fmt.Sprintf("One client, over GraphQL; %s customers against %s.", grouped(long.events/eventsEach), grouped(short.events/eventsEach))}
	for i, w := range []*world{long, short} {
		s, _ := w.serveGraph(ctx)
		defer s.Close()
		appends.calls[i] = func() error { return w.open(ctx) }
		pages.calls[i] = s.anyPage
	}
	b.measure(true, appends, pages)
}

// site is something that answers requests for pages, on loopback.
type site struct {
	*httptest.Server
	token    string
	requests []request // each for another page
}

type request struct {
	method, path string
	body         []byte
}

func newSite(h http.Handler, token string) *site {
	s := &site{Server: httptest.NewServer(h), token: token}
	s.Client().Transport.(*http.Transport).MaxIdleConnsPerHost = connections
	return s
}

func (s *site) get(page int) ([]byte, error) {
	wanted := s.requests[page]
	request, err := http.NewRequest(wanted.method, s.URL+wanted.path, bytes.NewReader(wanted.body))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Authorization", "Bearer "+s.token)
	request.Header.Set("Content-Type", "application/json")
	response, err := s.Client().Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err == nil && (response.StatusCode != http.StatusOK || bytes.Contains(body, []byte(`"errors":`))) {
		err = fmt.Errorf("%s: %.300s", response.Status, body)
	}
	return body, err
}

func (s *site) anyPage() error {
	_, err := s.get(rand.IntN(len(s.requests)))
	return err
}

// query is what the read model was asked.
type query struct {
	sql  string
	args []any
}

// recorder remembers the last query.
type recorder struct {
	engine.DB
	last query
}

func (r *recorder) Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error) {
	r.last = query{sql, args}
	return r.DB.Query(ctx, sql, args...)
}

func (w *world) newGraphSite(db engine.DB) *site {
	logger := slog.New(slog.DiscardHandler)
	g := graph.New(graph.Dependencies{Commands: w.Commands, Engine: w.Engine, Log: w.Log, Audit: w.Audit, DB: db, Codec: w.Codec, Logger: logger}, graph.Config{})
	return newSite(web.New(web.Dependencies{Graph: g, Readers: w.Engine, Database: w.Pool, Metrics: prometheus.NewRegistry(), Logger: logger}, web.Config{}).Handler(), w.token)
}

// serveGraph serves as Annal does, with the customers folded. It walks through the list once, and returns what each of its
// pages asks of the database.
func (w *world) serveGraph(ctx context.Context) (s *site, pages []query) {
	w.rebuild(ctx, customers.Model, nil)
	watched := &recorder{DB: w.Pool}
	walked := w.newGraphSite(watched)
	defer walked.Close()
	var page answer
	for after := (*string)(nil); ; after = &page.Data.Customers.PageInfo.EndCursor {
		body := must(json.Marshal(map[string]any{"query": pageQuery, "variables": map[string]any{"after": after}}))
		walked.requests = append(walked.requests, request{http.MethodPost, "/graphql", body})
		page = answer{}
		check(json.Unmarshal(must(walked.get(len(pages))), &page))
		pages = append(pages, watched.last)
		if !page.Data.Customers.PageInfo.HasNextPage {
			s = w.newGraphSite(w.Pool)
			s.requests = walked.requests
			return s, pages
		}
	}
}
