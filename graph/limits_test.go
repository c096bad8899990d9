package graph

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/99designs/gqlgen/graphql"
	"github.com/99designs/gqlgen/graphql/handler/lru"
	"github.com/vektah/gqlparser/v2"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/validator/rules"

	"github.com/annal-crm/annal/domain"
	"github.com/annal-crm/annal/graph/generated"
)

var schema = generated.NewExecutableSchema(generated.Config{}).Schema()

func weigh(t *testing.T, query string, variables map[string]any) weight {
	t.Helper()
	doc, errs := gqlparser.LoadQueryWithRules(schema, query, rules.NewDefaultRules())
	if errs != nil {
		t.Fatal(errs)
	}
	return meter{variables: variables, fragments: map[string]weight{}}.selection(doc.Operations[0].SelectionSet, 1)
}

func TestCost(t *testing.T) {
	page := "query($n: Int) { customers(first: $n) { %s } }"
	for name, c := range map[string]struct {
		query     string
		variables map[string]any
		want      weight
	}{
		"a root field":                          {"{ viewer { permissions } }", nil, weight{rootCost + 1, 2}},
		"a page costs each of its objects":      {"{ customers(first: 50) { nodes { id name } } }", nil, weight{rootCost + 1 + 50*2, 3}},
		"a page is 20 if nobody says":           {"{ customers { nodes { id } } }", nil, weight{rootCost + 1 + 20, 3}},
		"edges are objects too":                 {"{ customers(last: 3) { edges { node { id } } } }", nil, weight{rootCost + 1 + 3*2, 4}},
		"variables count":                       {fmt.Sprintf(page, "nodes { id }"), map[string]any{"n": int64(100)}, weight{rootCost + 1 + 100, 3}},
		"a variable may be digits in a string":  {fmt.Sprintf(page, "nodes { id }"), map[string]any{"n": "100"}, weight{rootCost + 1 + 100, 3}},
		"more than a page costs a page":         {"{ customers(first: 1000000) { nodes { id } } }", nil, weight{rootCost + 1 + 200, 3}},
		"less than one costs one":               {"{ customers(first: -5) { nodes { id } } }", nil, weight{rootCost + 1 + 1, 3}},
		"totalCount counts everything":          {"{ customers(first: 200) { totalCount } }", nil, weight{rootCost + countCost, 2}},
		"edges of objects":                      {"{ opportunities(first: 10) { nodes { owner { id } customer { owner { id } } } } }", nil, weight{rootCost + 1 + 10*(2+3), 5}},
		"fragments count where they are spread": {"{ customers(first: 10) { nodes { ...f ... on Customer { id } } } } fragment f on Customer { id name }", nil, weight{rootCost + 1 + 10*3, 3}},
		"a fragment of a connection":            {"{ customers(first: 10) { ...f } } fragment f on CustomerConnection { nodes { id } }", nil, weight{rootCost + 1 + 10, 3}},
		"records":                               {"{ contracts(first: 10) { nodes { number customer { name } } } }", nil, weight{rootCost + 1 + 10*3, 4}},
		"a timeline reads a stream for each record": {"{ contracts(first: 10) { nodes { timeline(first: 1) { nodes { type } } } } }", nil,
			weight{rootCost + 1 + 10*(1+pastCost+2), 5}},
		"introspection":                         {"{ __schema { types { name fields { name } } } }", nil, weight{schemaCost, 1}},
		"the name of the type":                  {"{ __typename }", nil, weight{1, 1}},
		"aliases cost each":                     {"{ a: viewer { permissions } b: viewer { permissions } }", nil, weight{2 * (rootCost + 1), 2}},
		"a password costs most of an operation": {`mutation { logIn(input: {loginName: "a", password: "b"}) { token } }`, nil, weight{secretCost + 1, 2}},
		"a report":                              {"{ salesReport(groupBy: [MONTH]) { won } }", nil, weight{rootCost + reportCost + reportRows, 2}},
		"a parked event's data":                 {"{ parkedEvents(first: 3) { nodes { type data } } }", nil, weight{rootCost + 1 + 3*(1+dataCost), 3}},
		"a short list that is not paged":        {"{ organization { teams { name parent { name } } } }", nil, weight{rootCost + 1 + fewObjects*3, 4}},
	} {
		t.Run(name, func(t *testing.T) {
			if got := weigh(t, c.query, c.variables); got != c.want {
				t.Errorf("got %+v, want %+v", got, c.want)
			}
		})
	}
}

// A document whose fragments double at each level has 2^40 fields when spread out.
func TestFragmentBombIsWeighedQuickly(t *testing.T) {
	var b strings.Builder
	b.WriteString("{ customers { nodes { ...f0 } } } ")
	for i := range 40 {
		fmt.Fprintf(&b, "fragment f%d on Customer { a: owner { id } ...f%d ...f%d } ", i, i+1, i+1)
	}
	b.WriteString("fragment f40 on Customer { id }")
	start := time.Now()
	if w := weigh(t, b.String(), nil); w.cost < 1<<40 {
		t.Errorf("it costs %d", w.cost)
	}
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("it took %s", took)
	}
}

func TestLimitsRefuse(t *testing.T) {
	for name, c := range map[string]struct {
		query string
		ok    bool
	}{
		"twelve levels":     {"{ organization { teams { " + strings.Repeat("parent { ", 9) + "id" + strings.Repeat(" }", 12), true},
		"thirteen levels":   {"{ organization { teams { " + strings.Repeat("parent { ", 10) + "id" + strings.Repeat(" }", 13), false},
		"20 root fields":    {roots(20), true},
		"25 root fields":    {roots(25), false},
		"one sign-in":       {"mutation { " + signIn("a") + " }", true},
		"guessing by alias": {"mutation { " + signIn("a") + signIn("b") + " }", false},
		"a page of 200 with its edges": {"{ opportunities(first: 200) { nodes { id version reference stage value product openedAt engagedAt closedAt " +
			"owner { id loginName displayName } customer { id name owner { id displayName } } } totalCount pageInfo { hasNextPage endCursor } } }", true},
	} {
		t.Run(name, func(t *testing.T) {
			doc, errs := gqlparser.LoadQueryWithRules(schema, c.query, rules.NewDefaultRules())
			if errs != nil {
				t.Fatal(errs)
			}
			err := limits{10_000, deepestQuery}.MutateOperationContext(context.Background(), &graphql.OperationContext{Doc: doc, Operation: doc.Operations[0]})
			if (err == nil) != c.ok {
				t.Errorf("got %v", err)
			}
			if err != nil && err.Extensions["code"] != domain.CodeTooComplex {
				t.Errorf("code %v", err.Extensions["code"])
			}
		})
	}
}

func roots(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "a%d: organization { id } ", i)
	}
	return "{ " + b.String() + " }"
}

func signIn(alias string) string {
	return alias + `: logIn(input: {loginName: "a", password: "b"}) { token } `
}

func TestLongDocumentsAreNotKept(t *testing.T) {
	d := documents{lru.New[*ast.QueryDocument](10)}
	for _, query := range []string{"{ a }", strings.Repeat(" ", longDocument+1)} {
		d.Add(t.Context(), query, &ast.QueryDocument{})
		if _, kept := d.Get(t.Context(), query); kept != (len(query) <= longDocument) {
			t.Errorf("%d bytes: kept %v", len(query), kept)
		}
	}
}
