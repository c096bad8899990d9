package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"reflect"
	"time"

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
func servePage(ctx context.Context, b *bench) error {
	w, err := b.long(ctx)
	if err != nil {
		return err
	}
	ours, pages, err := w.serveGraph(ctx)
	if err != nil {
		return err
	}
	defer ours.Close()
	floor, err := w.servePlainly(ctx, pages)
	if err != nil {
		return err
	}
	defer floor.Close()
	if err := sameAnswers(ours, floor); err != nil {
		return err
	}

	var p50 [2]series
	side := func(s *site, slow *series) func() (float64, error) {
		return func() (float64, error) {
			get, err := s.dial(connections)
			if err != nil {
				return 0, err
			}
			rate, took, err := load(connections, b.span, func(n int) func() error { return get[n].anyPage })
			slow.add(percentile(took, 50))
			return rate, err
		}
	}
	f := &Figure{
		What: "`customers` page of 20 over GraphQL, signed in", Against: "the same SQL and token check, net/http and encoding/json", Unit: "requests/s", Wanted: "≥ 0.5",
		ours: side(ours, &p50[0]), floor: side(floor, &p50[1]),
	}
	err = b.measure(true, f)
	f.Note = fmt.Sprintf("%d connections kept open, pages from all over the list, answers compared beforehand. The client is in the same process. p50 %s against %s.",
		connections, p50[0].text("s"), p50[1].text("s"))
	return err
}

// growth measures what a long history does to an append and to a page.
func growth(ctx context.Context, b *bench) error {
	long, err := b.long(ctx)
	if err != nil {
		return err
	}
	short, err := b.short(ctx)
	if err != nil {
		return err
	}
	sizes := fmt.Sprintf(" at %s events, p50", grouped(long.events))
	against := "at " + grouped(short.events)
	appends := &Figure{What: "append" + sizes, Against: against, Unit: "s", Wanted: "≤ 1.2", Note: "One client, new streams."}
	pages := &Figure{What: "`customers` page" + sizes, Against: against, Unit: "s", Wanted: "≤ 1.2",
		Note: fmt.Sprintf("One client, over GraphQL; %s customers against %s.", grouped(long.events/eventsEach), grouped(short.events/eventsEach))}
	for i, w := range []*world{long, short} {
		s, _, err := w.serveGraph(ctx)
		if err != nil {
			return err
		}
		defer s.Close()
		get, err := s.dial(1)
		if err != nil {
			return err
		}
		appends.calls[i] = func() error { return w.open(ctx) }
		pages.calls[i] = get[0].anyPage
	}
	return b.measure(true, appends, pages)
}

// site is something that answers requests for pages, on loopback.
type site struct {
	*httptest.Server
	requests [][]byte // each for another page
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

func (w *world) handler(db engine.DB) http.Handler {
	logger := slog.New(slog.DiscardHandler)
	g := graph.New(graph.Dependencies{Commands: w.Commands, Engine: w.Engine, Log: w.Log, Audit: w.Audit, DB: db, Codec: w.Codec, Logger: logger}, graph.Config{})
	return web.New(web.Dependencies{Graph: g, Readers: w.Engine, Database: w.Pool, Metrics: prometheus.NewRegistry(), Logger: logger}, web.Config{}).Handler()
}

// serveGraph serves as Annal does, with the customers folded. It walks through the list once, and returns what each of its
// pages asks of the database.
func (w *world) serveGraph(ctx context.Context) (*site, []query, error) {
	if _, err := w.rebuild(ctx, customers.Model, nil); err != nil {
		return nil, nil, err
	}
	watched := &recorder{DB: w.Pool}
	walker := &site{Server: httptest.NewServer(w.handler(watched))}
	defer walker.Close()
	walk, err := walker.dial(1)
	if err != nil {
		return nil, nil, err
	}

	s := &site{Server: httptest.NewServer(w.handler(w.Pool))}
	var pages []query
	var after *string
	for {
		body, err := json.Marshal(map[string]any{"query": pageQuery, "variables": map[string]any{"after": after}})
		if err != nil {
			return nil, nil, err
		}
		request := fmt.Appendf(nil, "POST /graphql HTTP/1.1\r\nHost: annal\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s",
			w.token, len(body), body)
		response, err := walk[0].answer(request)
		if err != nil {
			return nil, nil, err
		}
		var page answer
		if err := json.Unmarshal(response, &page); err != nil {
			return nil, nil, err
		}
		s.requests = append(s.requests, request)
		pages = append(pages, watched.last)
		if !page.Data.Customers.PageInfo.HasNextPage {
			return s, pages, nil
		}
		after = &page.Data.Customers.PageInfo.EndCursor
	}
}

// sameAnswers makes sure that two sites answer the same.
func sameAnswers(ours, floor *site) error {
	var answers [2][]any
	for side, s := range []*site{ours, floor} {
		get, err := s.dial(1)
		if err != nil {
			return err
		}
		for _, r := range s.requests {
			body, err := get[0].answer(r)
			if err != nil {
				return err
			}
			var page any
			if err := json.Unmarshal(body, &page); err != nil {
				return err
			}
			answers[side] = append(answers[side], page)
		}
	}
	for i := range answers[0] {
		if !reflect.DeepEqual(answers[0][i], answers[1][i]) {
			return fmt.Errorf("page %d is not the same:\n%v\n%v", i, answers[0][i], answers[1][i])
		}
	}
	return nil
}

// connection is a client that costs little, so that what is measured is the server.
type connection struct {
	net.Conn
	site   *site
	reader *bufio.Reader
	body   bytes.Buffer
}

// dial opens connections; the site closes them when it ends.
func (s *site) dial(n int) (all []*connection, err error) {
	for range n {
		c, err := net.DialTimeout("tcp", s.Listener.Addr().String(), time.Minute)
		if err != nil {
			return nil, err
		}
		all = append(all, &connection{Conn: c, site: s, reader: bufio.NewReaderSize(c, 32<<10)})
	}
	return all, nil
}

func (c *connection) anyPage() error {
	_, err := c.answer(c.site.requests[rand.IntN(len(c.site.requests))])
	return err
}

// answer is good until the next one.
func (c *connection) answer(request []byte) ([]byte, error) {
	if _, err := c.Write(request); err != nil {
		return nil, err
	}
	response, err := http.ReadResponse(c.reader, nil)
	if err != nil {
		return nil, err
	}
	c.body.Reset()
	if _, err := io.Copy(&c.body, response.Body); err != nil {
		return nil, err
	}
	body := c.body.Bytes()
	if response.StatusCode != http.StatusOK || bytes.Contains(body, []byte(`"errors":`)) {
		return nil, fmt.Errorf("%s: %.300s", response.Status, body)
	}
	return body, nil
}
