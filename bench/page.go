package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"reflect"
	"strconv"
	"strings"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/annal-crm/annal/app/web"
	"github.com/annal-crm/annal/commands"
	"github.com/annal-crm/annal/domain"
	"github.com/annal-crm/annal/domain/account"
	"github.com/annal-crm/annal/domain/organization"
	"github.com/annal-crm/annal/eventlog"
	"github.com/annal-crm/annal/graph"
	"github.com/annal-crm/annal/internal/auth"
	"github.com/annal-crm/annal/projections/customers"
	"github.com/annal-crm/annal/projections/engine"
)

const (
	pageQuery = `query Page($after: String) { customers(first: 20, after: $after) {
		nodes { id version name sector country website phone email attributes archived } pageInfo { hasNextPage endCursor } } }`
	walkQuery   = `query Walk($after: String) { customers(first: 200, after: $after) { pageInfo { hasNextPage endCursor } } }`
	connections = 8
)

// servePage measures requests for a page of the list of customers, over loopback, with the token of a session.
func servePage(ctx context.Context, b *bench) ([]Figure, error) {
	w, err := b.long(ctx)
	if err != nil {
		return nil, err
	}
	ours, err := w.serveGraph(ctx)
	if err != nil {
		return nil, err
	}
	defer ours.close()
	floor, err := w.servePlainly(ctx, ours)
	if err != nil {
		return nil, err
	}
	defer floor.close()
	if err := sameAnswers(ours, floor); err != nil {
		return nil, err
	}
	var o, f, oursTook, floorTook series
	err = b.rounds("page", true, func() error {
		for _, side := range []struct {
			*site
			rates, took *series
		}{{floor, &f, &floorTook}, {ours, &o, &oursTook}} {
			asking, err := side.dial(connections)
			if err != nil {
				return err
			}
			rate, took, err := load(ctx, connections, b.span(), func(_ context.Context, client, _ int) (bool, error) {
				return true, asking[client].get(rand.IntN(len(side.requests)))
			})
			for _, c := range asking {
				c.Close()
			}
			if err != nil {
				return err
			}
			side.rates.add(rate)
			side.took.add(percentile(took, 50))
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	r, text := ratio(o[1:], f[1:])
	return []Figure{{
		What: "`customers` page of 20 over GraphQL, signed in", Against: "the same SQL and token check, net/http and encoding/json", Ours: rateText("requests", o[1:]), Floor: rateText("requests", f[1:]),
		Ratio: text, Wanted: "≥ 0.5", Met: r >= 0.5,
		Note: fmt.Sprintf("%d connections kept open, pages from all over the list, answers compared beforehand. The client is in the same process. p50 %s against %s.", connections, timeText(oursTook[1:]), timeText(floorTook[1:])),
	}}, nil
}

// growth measures what a long history does to an append and to a page.
func growth(ctx context.Context, b *bench) ([]Figure, error) {
	short, err := b.short(ctx)
	if err != nil {
		return nil, err
	}
	long, err := b.long(ctx)
	if err != nil {
		return nil, err
	}
	var ask [2]*connection
	var pages [2]int
	for i, w := range []*world{long, short} {
		s, err := w.serveGraph(ctx)
		if err != nil {
			return nil, err
		}
		defer s.close()
		c, err := s.dial(1)
		if err != nil {
			return nil, err
		}
		defer c[0].Close()
		ask[i], pages[i] = c[0], len(s.requests)
	}
	const calls = 10 // of each in turn
	var appendLong, appendShort, pageLong, pageShort series
	err = b.rounds("growth", true, func() error {
		o, f, err := inTurn(b.span()*2, calls, func(int) error { return long.open(ctx) }, func(int) error { return short.open(ctx) })
		if err != nil {
			return err
		}
		appendLong.add(percentile(o, 50))
		appendShort.add(percentile(f, 50))
		o, f, err = inTurn(b.span(), calls, func(int) error { return ask[0].get(rand.IntN(pages[0])) },
			func(int) error { return ask[1].get(rand.IntN(pages[1])) })
		pageLong.add(percentile(o, 50))
		pageShort.add(percentile(f, 50))
		return err
	})
	a, appends := ratio(appendLong[1:], appendShort[1:])
	p, page := ratio(pageLong[1:], pageShort[1:])
	sizes := fmt.Sprintf("%s events, p50", grouped(float64(long.events)))
	against := fmt.Sprintf("at %s", grouped(float64(short.events)))
	return []Figure{
		{What: "append at " + sizes, Against: against, Ours: timeText(appendLong[1:]), Floor: timeText(appendShort[1:]), Ratio: appends, Wanted: "≤ 1.2", Met: a <= 1.2, Note: "One client, new streams."},
		{What: "`customers` page at " + sizes, Against: against, Ours: timeText(pageLong[1:]), Floor: timeText(pageShort[1:]), Ratio: page, Wanted: "≤ 1.2", Met: p <= 1.2,
			Note: fmt.Sprintf("One client, over GraphQL; %s customers against %s.", grouped(float64(long.events/eventsEach)), grouped(float64(short.events/eventsEach)))},
	}, err
}

// site is something that answers requests for pages, on loopback.
type site struct {
	listener net.Listener
	http     *http.Server
	requests [][]byte // each for another page
	asked    []query  // by them
}

func newSite(h http.Handler) (*site, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &site{listener: l, http: &http.Server{Handler: h}}
	go s.http.Serve(l)
	return s, nil
}

func (s *site) close() { s.http.Close() }

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

// serveGraph serves as Annal does, with the customers folded. It walks through the list once, for cursors all over it.
func (w *world) serveGraph(ctx context.Context) (*site, error) {
	if !w.folded {
		if _, err := w.Engine.Rebuild(ctx, customers.Model.Name, engine.RebuildOptions{}); err != nil {
			return nil, err
		}
		w.folded = true
	}
	s, err := newSite(w.handler(w.Pool))
	if err != nil {
		return nil, err
	}
	watched := &recorder{DB: w.Pool}
	walker, err := newSite(w.handler(watched))
	if err != nil {
		return nil, err
	}
	defer walker.close()
	c, err := walker.dial(1)
	if err != nil {
		return nil, err
	}
	defer c[0].Close()
	for after := ""; ; {
		page := w.request(pageQuery, after)
		if _, err := c[0].answer(page); err != nil {
			return nil, err
		}
		s.requests, s.asked = append(s.requests, page), append(s.asked, watched.last)
		body, err := c[0].answer(w.request(walkQuery, after))
		if err != nil {
			return nil, err
		}
		var answer struct {
			Data struct{ Customers pageOf }
		}
		if err := json.Unmarshal(body, &answer); err != nil {
			return nil, err
		}
		if !answer.Data.Customers.PageInfo.HasNextPage {
			return s, nil
		}
		after = answer.Data.Customers.PageInfo.EndCursor
	}
}

func (w *world) request(query, after string) []byte {
	variables := map[string]any{}
	if after != "" {
		variables["after"] = after
	}
	body, err := json.Marshal(map[string]any{"query": query, "variables": variables})
	if err != nil {
		panic(err) // texts
	}
	return fmt.Appendf(nil, "POST /graphql HTTP/1.1\r\nHost: annal\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", w.token, len(body), body)
}

// pageOf is the answer, as encoding/json writes it.
type pageOf struct {
	Nodes    []node `json:"nodes"`
	PageInfo struct {
		HasNextPage bool   `json:"hasNextPage"`
		EndCursor   string `json:"endCursor"`
	} `json:"pageInfo"`
}

type node struct {
	ID         uuid.UUID       `json:"id"`
	Version    int64           `json:"version"`
	Name       string          `json:"name"`
	Sector     *string         `json:"sector"`
	Country    *string         `json:"country"`
	Website    *string         `json:"website"`
	Phone      *string         `json:"phone"`
	Email      *string         `json:"email"`
	Attributes json.RawMessage `json:"attributes"`
	Archived   bool            `json:"archived"`
}

// servePlainly serves the pages of another site by the same SQL, with as little between Postgres and the client as Go's
// standard library allows. The n-th page is at /n.
func (w *world) servePlainly(ctx context.Context, like *site) (*site, error) {
	token, err := auth.ParseToken(w.token)
	if err != nil {
		return nil, err
	}
	p, err := w.Commands.Authenticate(ctx, w.token, commands.Origin{})
	if err != nil {
		return nil, err
	}
	f := plain{log: w.Log, pool: w.Pool, session: token.Session, hash: p.AccountState().Sessions[token.Session].TokenHash, pages: like.asked}
	for _, s := range []eventlog.Stream{
		{Organization: token.Organization, Category: account.Category, ID: token.Account},
		{Organization: token.Organization, Category: organization.Category, ID: token.Organization},
	} {
		tail := eventlog.Tail{Stream: s}
		for e, err := range w.Log.ReadStream(ctx, s, 0) {
			if err != nil {
				return nil, err
			}
			tail.After = e.Version
		}
		f.tails = append(f.tails, tail)
	}
	s, err := newSite(f)
	if err != nil {
		return nil, err
	}
	for i := range like.requests {
		s.requests = append(s.requests, fmt.Appendf(nil, "GET /%d HTTP/1.1\r\nHost: annal\r\nAuthorization: Bearer %s\r\n\r\n", i, w.token))
	}
	return s, nil
}

type plain struct {
	log     eventlog.Log
	pool    *pgxpool.Pool
	tails   []eventlog.Tail // of the account and the organization, as far as they are known
	session uuid.UUID
	hash    domain.Hash
	pages   []query
}

func (f plain) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	body, status, err := f.page(r)
	if err != nil {
		http.Error(rw, err.Error(), status)
		return
	}
	rw.Header().Set("Content-Type", "application/json")
	rw.Write(body)
}

func (f plain) page(r *http.Request) ([]byte, int, error) {
	token, err := auth.ParseToken(strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "))
	if err != nil {
		return nil, http.StatusUnauthorized, err
	}
	news, err := f.log.ReadStreams(r.Context(), f.tails...)
	hash := domain.Hash(token.Secret.Hash())
	if err != nil || len(news[0])+len(news[1]) > 0 || token.Session != f.session || subtle.ConstantTimeCompare(hash[:], f.hash[:]) != 1 {
		return nil, http.StatusUnauthorized, errors.New("the session has changed")
	}
	n, err := strconv.Atoi(r.URL.Path[1:])
	if err != nil {
		return nil, http.StatusNotFound, err
	}
	rows, err := f.pool.Query(r.Context(), f.pages[n].sql, f.pages[n].args...)
	if err != nil {
		return nil, http.StatusInternalServerError, err
	}
	defer rows.Close()
	var answer struct {
		Data struct {
			Customers pageOf `json:"customers"`
		} `json:"data"`
	}
	page := &answer.Data.Customers
	for rows.Next() {
		if len(page.Nodes) == 20 {
			page.PageInfo.HasNextPage = true
			break
		}
		var n node
		// The columns that nobody asked for are read and not looked at.
		if err := rows.Scan(&n.ID, nil, &n.Name, &n.Sector, &n.Country, &n.Website, &n.Phone, &n.Email, &n.Attributes, nil, &n.Archived, nil, nil, &n.Version, nil); err != nil {
			return nil, http.StatusInternalServerError, err
		}
		page.Nodes = append(page.Nodes, n)
	}
	last := page.Nodes[len(page.Nodes)-1]
	cursor, err := json.Marshal([]any{"customers by name, id", last.Name, last.ID})
	if err != nil {
		return nil, http.StatusInternalServerError, err
	}
	page.PageInfo.EndCursor = base64.RawURLEncoding.EncodeToString(cursor)
	body, err := json.Marshal(&answer)
	return body, http.StatusInternalServerError, err
}

// sameAnswers makes sure that two sites answer the same.
func sameAnswers(ours, floor *site) error {
	var asking [2]*connection
	for i, s := range []*site{ours, floor} {
		c, err := s.dial(1)
		if err != nil {
			return err
		}
		defer c[0].Close()
		asking[i] = c[0]
	}
	for i := range ours.requests {
		var answers [2]any
		for side, c := range asking {
			body, err := c.answer(c.site.requests[i])
			if err != nil {
				return err
			}
			if err := json.Unmarshal(body, &answers[side]); err != nil {
				return err
			}
		}
		if !reflect.DeepEqual(answers[0], answers[1]) {
			return fmt.Errorf("page %d is not the same:\n%v\n%v", i, answers[0], answers[1])
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

func (s *site) dial(n int) (all []*connection, err error) {
	for range n {
		c, err := net.Dial("tcp", s.listener.Addr().String())
		if err != nil {
			return nil, err
		}
		all = append(all, &connection{Conn: c, site: s, reader: bufio.NewReaderSize(c, 32<<10)})
	}
	return all, nil
}

func (c *connection) get(page int) error {
	_, err := c.answer(c.site.requests[page])
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
	if body := c.body.Bytes(); response.StatusCode != http.StatusOK || bytes.Contains(body, []byte(`"errors":`)) {
		return nil, fmt.Errorf("%s: %.300s", response.Status, body)
	}
	return c.body.Bytes(), nil
}
