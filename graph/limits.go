package graph

import (
	"context"
	"strconv"
	"strings"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"
)

// What a field costs. The default budget of 10 000 holds a page of 200 with a good 40 fields an object, or 24 root fields.
const (
	rootCost     = 400  // each root field: at the least a statement of its own
	secretCost   = 6000 // a field that hashes a password: one in an operation, so that aliases are no way to guess faster
	countCost    = 50   // totalCount counts every row there is
	dataCost     = 50   // a parked event's data are read one by one from the log
	reportCost   = 100  // a report aggregates
	explainCost  = 200  // reads the streams of up to 100 records
	pastCost     = 100  // folds or reads the stream of one record
	listCost     = 3000 // folds the log, unless the list is still there
	schemaCost   = 400  // introspection: the answer is large, however little was asked
	fewObjects   = 10   // objects in a list that is not paged: roles, teams, sessions
	reportRows   = 50
	maxTokens    = 5000 // of a document; the console's largest query has some 300
	maxPageSize  = 200
	defaultPage  = 20
	deepestQuery = 12
)

// auditCosts are what evidence and results cost more: walks of the tree, signatures, the whole log, two reports of all groups.
var auditCosts = map[string]int{
	"auditProof": 600, "auditBundle": 3000, "makeCheckpoint": 3000, "verifyLog": 6000, "rebuildReport": 6000, "compareResults": 600,
}

var secretFields = map[string]bool{"logIn": true, "activateAccount": true, "changePassword": true}

// documents remembers parsed documents: those of programs stay, people's come and go. Long ones are not kept, or strangers
// could fill the memory with them.
type documents struct {
	graphql.Cache[*ast.QueryDocument]
}

const longDocument = 8 << 10 // bytes; the console's largest query has 1.5 KiB

func (d documents) Add(ctx context.Context, query string, document *ast.QueryDocument) {
	if len(query) <= longDocument {
		d.Cache.Add(ctx, query, document)
	}
}

// limits refuses an operation that is too deep or too costly, before anything of it is resolved. It implements
// [graphql.OperationContextMutator].
type limits struct{ cost, depth int }

func (limits) ExtensionName() string                   { return "Limits" }
func (limits) Validate(graphql.ExecutableSchema) error { return nil }

func (l limits) MutateOperationContext(_ context.Context, op *graphql.OperationContext) *gqlerror.Error {
	op.DisableIntrospection = false // the schema is public: it is in the repository
	m := meter{variables: op.Variables, fragments: make(map[string]weight)}
	w := m.selection(op.Operation.SelectionSet, 1)
	if w.depth > l.depth {
		return tooComplex("the operation is "+strconv.Itoa(w.depth)+" levels deep; "+strconv.Itoa(l.depth)+" are allowed", w.depth, l.depth)
	}
	if w.cost > l.cost {
		return tooComplex("the operation costs "+strconv.Itoa(w.cost)+"; "+strconv.Itoa(l.cost)+" are allowed", w.cost, l.cost)
	}
	return nil
}

// weight is what a selection costs and how deep it goes.
type weight struct{ cost, depth int }

func (w *weight) add(o weight) { w.cost, w.depth = saturate(w.cost+o.cost), max(w.depth, o.depth) }

// saturate keeps sums and products of costs (at most 200 times one) from running over.
func saturate(cost int) int { return min(cost, 1<<40) }

// meter weighs a document. Each fragment is weighed once, so that fragments which spread each other over and over
// cannot keep it busy.
type meter struct {
	variables map[string]any
	fragments map[string]weight
}

// selection weighs what is selected of an object; page is how many objects the lists right in it may hold.
func (m meter) selection(set ast.SelectionSet, page int) (w weight) {
	for _, s := range set {
		switch s := s.(type) {
		case *ast.Field:
			w.add(m.field(s, page))
		case *ast.InlineFragment:
			w.add(m.selection(s.SelectionSet, page))
		case *ast.FragmentSpread:
			key := s.Name + " " + strconv.Itoa(page)
			known, ok := m.fragments[key]
			if !ok {
				known = m.selection(s.Definition.SelectionSet, page)
				m.fragments[key] = known
			}
			w.add(known)
		}
	}
	return w
}

func (m meter) field(f *ast.Field, page int) weight {
	if f.Name == "__schema" || f.Name == "__type" { // bounded by the schema, and in depth by the parser's own rule
		return weight{schemaCost, 1}
	}
	if f.Definition == nil || strings.HasPrefix(f.Name, "__") {
		return weight{1, 1}
	}
	own := 1
	switch parent := f.ObjectDefinition.Name; {
	case secretFields[f.Name] && parent == "Mutation":
		own = secretCost
	case parent == "Query" || parent == "Mutation" || parent == "Subscription":
		own = rootCost + auditCosts[f.Name]
	case f.Name == "totalCount", f.Name == "waiting" && parent == "RetentionRule":
		own = countCost
	case f.Name == "data" && parent == "ParkedEvent":
		own = dataCost
	case f.Name == "timeline":
		own += pastCost
	case f.Name == "events" && parent == "ReportRow":
		own = reportCost
	case f.Name == "events" && parent == "ResultDifference":
		own = explainCost
	}
	if f.Definition.Arguments.ForName("asOf") != nil || f.Name == "compare" && own == rootCost {
		own += m.past(f)
	}
	if len(f.SelectionSet) == 0 {
		return weight{own, 1}
	}
	inside, times := 1, 1
	switch list := f.Definition.Type.Elem != nil; {
	case strings.HasSuffix(f.Definition.Type.Name(), "Connection"):
		inside = m.pageSize(f)
	case list && strings.HasSuffix(f.ObjectDefinition.Name, "Connection"):
		times = page
	case f.Name == "salesReport":
		own, times = own+reportCost, reportRows
	case list:
		times = fewObjects
	}
	w := m.selection(f.SelectionSet, inside)
	return weight{saturate(own + times*w.cost), w.depth + 1}
}

// past is what a field costs more because it tells of a past.
func (m meter) past(f *ast.Field) int {
	at := f.Arguments.ForName("asOf")
	given := f.Name == "compare"
	if at != nil {
		v, err := at.Value.Value(m.variables)
		given = err != nil || v != nil
	}
	switch {
	case !given && f.Name != "provenance" && f.Name != "effectiveRights": // of now, but folded all the same
		return 0
	case strings.HasSuffix(f.Definition.Type.Name(), "Connection"):
		return listCost
	}
	return pastCost
}

// pageSize is how many objects a connection may hold. What is more than a page may have is refused by its resolver, which
// can name the argument.
func (m meter) pageSize(f *ast.Field) int {
	size := defaultPage
	for _, a := range f.Arguments {
		if a.Name != "first" && a.Name != "last" {
			continue
		}
		if v, err := a.Value.Value(m.variables); err == nil {
			if n, ok := number(v); ok {
				size = int(max(1, min(n, maxPageSize)))
			}
		}
	}
	return size
}

func number(v any) (int64, bool) {
	switch v := v.(type) {
	case int64:
		return v, true
	case int:
		return int64(v), true
	case interface{ Int64() (int64, error) }: // json.Number
		n, err := v.Int64()
		return n, err == nil
	case string: // the validator takes digits in a string for an Int
		n, err := strconv.ParseInt(v, 10, 64)
		return n, err == nil
	}
	return 0, false
}
