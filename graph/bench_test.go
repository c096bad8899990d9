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
	http.DefaultTransport.(*http.Transport).MaxIdleConnsPerHost = 64
	for _, c := range []struct{ name, url string }{{"floor", floor.URL}, {"graphql", w.server.URL}} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			began := processor(b)
			b.SetParallelism(4)
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					r, _ := http.NewRequest("POST", c.url, bytes.NewReader(body))
					r.Header.Set("Content-Type", "application/json")
					r.Header.Set("Authorization", "Bearer "+admin.token)
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
		})
	}
}

// processor is the time that this process has computed: a measure that other programs on the machine do not spoil.
func processor(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
