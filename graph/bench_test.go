package graph_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/annal-crm/annal/commands"
	"github.com/annal-crm/annal/domain/organization"
	"github.com/annal-crm/annal/domain/record"
	"github.com/annal-crm/annal/graph"
	"github.com/annal-crm/annal/projections/customers"
	"github.com/annal-crm/annal/projections/engine"
)

// BenchmarkCustomersPage is a page of 20 over GraphQL, signed in, beside its floor: the same token check and the same query by
// net/http and encoding/json.
func BenchmarkCustomersPage(b *testing.B) {
	w := newWorld(b, graph.Config{})
	admin := w.signIn("admin")
	p, err := w.Commands.Authenticate(b.Context(), admin.token, commands.Origin{})
	if err != nil {
		b.Fatal(err)
	}
	var at commands.Result
	for i := range 100 {
		in := commands.RegisterCustomer{}
		in.Name, in.Sector, in.Country, in.Website, in.Phone = fmt.Sprint("Customer ", i), "retail", "Utopia", "https://example.org", "+1 555 0100"
		if at, err = w.Commands.RegisterCustomer(b.Context(), p, in); err != nil {
			b.Fatal(err)
		}
	}
	if err := w.Engine.Wait(b.Context(), at.Position); err != nil {
		b.Fatal(err)
	}
	floor := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		var body struct{ Query string }
		if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
			http.Error(rw, err.Error(), http.StatusBadRequest)
			return
		}
		p, err := w.Commands.Authenticate(r.Context(), strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "), commands.Origin{})
		if err != nil {
			http.Error(rw, err.Error(), http.StatusUnauthorized)
			return
		}
		page, err := customers.List(r.Context(), w.Pool, engine.Viewer{
			Organization: p.Organization, Account: p.Account, Scope: p.Scope(organization.ViewCustomers), Teams: p.Teams(), Personal: true,
		}, customers.Filter{}, engine.PageRequest{First: 20})
		if err != nil {
			http.Error(rw, err.Error(), http.StatusInternalServerError)
			return
		}
		type node struct{ ID, Name, Sector, Country, Website, Phone string }
		nodes := make([]node, len(page.Rows))
		for i, c := range page.Rows {
			nodes[i] = node{c.ID.String(), c.Name, c.Sector, c.Country, c.Website, c.Phone}
		}
		rw.Header().Set("Content-Type", "application/json")
		json.NewEncoder(rw).Encode(map[string]any{"data": map[string]any{"customers": map[string]any{"nodes": nodes, "pageInfo": map[string]any{"hasNextPage": page.HasNext}}}})
	}))
	b.Cleanup(floor.Close)
	body, _ := json.Marshal(vars{"query": `{ customers(first: 20) { nodes { id version name sector country website phone email attributes archived } pageInfo { hasNextPage endCursor } } }`})
	for _, c := range []struct{ name, url string }{{"floor", floor.URL}, {"graphql", w.server.URL}} {
		b.Run(c.name, func(b *testing.B) { benchmarkPage(b, c.url, admin.token, body) })
	}
}

// BenchmarkRecordsPage is a page of 20 contracts, whose schema and resolvers are generated and whose rows come from the read
// model of all declared kinds, beside a page of 20 customers of the same shape, all of which is written by hand.
func BenchmarkRecordsPage(b *testing.B) {
	w := newWorld(b, graph.Config{})
	admin := w.signIn("admin")
	p, err := w.Commands.Authenticate(b.Context(), admin.token, commands.Origin{})
	if err != nil {
		b.Fatal(err)
	}
	var at commands.Result
	for i := range 100 {
		in := commands.RegisterCustomer{}
		in.Name, in.Sector, in.Country, in.Website, in.Phone = fmt.Sprint("Customer ", i), "retail", "Utopia", "https://example.org", "+1 555 0100"
		if at, err = w.Commands.RegisterCustomer(b.Context(), p, in); err != nil {
			b.Fatal(err)
		}
		if at, err = w.Commands.CreateRecord(b.Context(), p, commands.CreateRecord{Kind: "contract", Values: record.Values{
			"number": fmt.Sprint("C-", i), "title": "Maintenance", "customer": at.ID.String(), "startsOn": "2026-01-01", "signedOn": "2026-01-01", "endsOn": "2026-12-31",
		}}); err != nil {
			b.Fatal(err)
		}
	}
	if err := w.Engine.Wait(b.Context(), at.Position); err != nil {
		b.Fatal(err)
	}
	for name, query := range map[string]string{
		"customers": `{ customers(first: 20) { nodes { id version name sector country website phone email archived } pageInfo { hasNextPage endCursor } } }`,
		"contracts": `{ contracts(first: 20) { nodes { id version number title startsOn signedOn endsOn stage archived } pageInfo { hasNextPage endCursor } } }`,
	} {
		body, _ := json.Marshal(vars{"query": query})
		b.Run(name, func(b *testing.B) { benchmarkPage(b, w.server.URL, admin.token, body) })
	}
}

// benchmarkPage asks for a page again and again, by four clients a processor.
func benchmarkPage(b *testing.B, url, token string, body []byte) {
	http.DefaultTransport.(*http.Transport).MaxIdleConnsPerHost = 64
	b.ReportAllocs()
	began := processor(b)
	b.SetParallelism(4)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			r, _ := http.NewRequest("POST", url, bytes.NewReader(body))
			r.Header.Set("Content-Type", "application/json")
			r.Header.Set("Authorization", "Bearer "+token)
			response, err := http.DefaultClient.Do(r)
			if err != nil {
				b.Error(err)
				return
			}
			text, _ := io.ReadAll(response.Body)
			response.Body.Close()
			if response.StatusCode != 200 || len(text) < 1000 {
				b.Errorf("%d %s", response.StatusCode, text)
				return
			}
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "requests/s")
	b.ReportMetric(float64((processor(b)-began).Microseconds())/float64(b.N), "cpu-µs/op") // client and server, without Postgres
}

// processor is the time that this process has computed: a measure that other programs on the machine do not spoil.
func processor(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
