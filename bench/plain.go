package main

import (
	"context"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/annal-crm/annal/domain"
	"github.com/annal-crm/annal/domain/account"
	"github.com/annal-crm/annal/domain/organization"
	"github.com/annal-crm/annal/eventlog"
	"github.com/annal-crm/annal/internal/auth"
)

// answer is that to a page's request, as encoding/json writes it.
type answer struct {
	Data struct {
		Customers struct {
			Nodes    []node `json:"nodes"`
			PageInfo struct {
				HasNextPage bool   `json:"hasNextPage"`
				EndCursor   string `json:"endCursor"`
			} `json:"pageInfo"`
		} `json:"customers"`
	} `json:"data"`
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

// plain serves the pages of another site by the same SQL, with as little between Postgres and the client as Go's standard
// library allows. The n-th page is at /n.
type plain struct {
	*world
	pages []query
	token auth.Token
	hash  domain.Hash     // of the token's secret
	tails []eventlog.Tail // of the account and the organization, as far as they are known
}

func (w *world) servePlainly(ctx context.Context, pages []query) *site {
	token := must(auth.ParseToken(w.token))
	f := plain{world: w, pages: pages, token: token, hash: domain.Hash(token.Secret.Hash()), tails: []eventlog.Tail{
		{Stream: eventlog.Stream{Organization: token.Organization, Category: account.Category, ID: token.Account}},
		{Stream: eventlog.Stream{Organization: token.Organization, Category: organization.Category, ID: token.Organization}},
	}}
	for i, known := range must(w.Log.ReadStreams(ctx, f.tails...)) {
		f.tails[i].After = known[len(known)-1].Version
	}
	s := newSite(f, w.token)
	for i := range pages {
		s.requests = append(s.requests, request{method: http.MethodGet, path: fmt.Sprintf("/%d", i)})
	}
	return s
}

func (f plain) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	body, err := f.page(r)
	if err != nil {
		http.Error(rw, err.Error(), http.StatusInternalServerError)
		return
	}
	rw.Header().Set("Content-Type", "application/json")
	rw.Write(body)
}

func (f plain) page(r *http.Request) ([]byte, error) {
	token, err := auth.ParseToken(strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "))
	if err != nil {
		return nil, err
	}
	news, err := f.Log.ReadStreams(r.Context(), f.tails...)
	hash := domain.Hash(token.Secret.Hash())
	if err != nil || len(news[0])+len(news[1]) > 0 || token.Session != f.token.Session || subtle.ConstantTimeCompare(hash[:], f.hash[:]) != 1 {
		return nil, errors.New("the session has changed")
	}
	n, err := strconv.Atoi(r.URL.Path[1:])
	if err != nil {
		return nil, err
	}
	rows, err := f.Pool.Query(r.Context(), f.pages[n].sql, f.pages[n].args...)
	if err != nil {
		return nil, err
	}
	var a answer
	page := &a.Data.Customers
	page.Nodes, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (n node, err error) {
		// The columns that nobody asked for are read and not looked at.
		err = row.Scan(&n.ID, nil, &n.Name, &n.Sector, &n.Country, &n.Website, &n.Phone, &n.Email, &n.Attributes, nil, &n.Archived, nil, nil, &n.Version, nil)
		return n, err
	})
	if err != nil {
		return nil, err
	}
	if len(page.Nodes) > 20 {
		page.PageInfo.HasNextPage = true
		page.Nodes = page.Nodes[:20]
	}
	last := page.Nodes[len(page.Nodes)-1]
	cursor, err := json.Marshal([]any{"customers by name, id", last.Name, last.ID})
	if err != nil {
		return nil, err
	}
	page.PageInfo.EndCursor = base64.RawURLEncoding.EncodeToString(cursor)
	return json.Marshal(&a)
}
