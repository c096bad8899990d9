package importer

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/annal-crm/annal/commands"
	"github.com/annal-crm/annal/domain"
	"github.com/annal-crm/annal/domain/account"
	"github.com/annal-crm/annal/domain/customer"
	"github.com/annal-crm/annal/domain/declared"
	"github.com/annal-crm/annal/domain/opportunity"
	"github.com/annal-crm/annal/domain/organization"
	"github.com/annal-crm/annal/domain/record"
)

// Plan is what some files would bring: every row read, checked and resolved. Nothing has been written yet.
type Plan struct {
	Bad []BadRow // in the order of the files

	organization uuid.UUID
	files        []string
	steps        []*step // in an order in which nothing comes before what it refers to, but for managers of teams
}

// step is one object to be imported.
type step struct {
	id     uuid.UUID
	object *Object
	line   int // of the first row that says it
	row    any // organization.TeamRow, account.Invited, customer.Registered, opportunity.Row or record.Row
}

func (s *step) bad(reason string) BadRow { return BadRow{s.object.File, s.line, reason} }

// content is what a step says, in a form that is equal for equal ones.
func (s *step) content() []byte {
	b, err := json.Marshal(s.row)
	if err != nil {
		panic(err) // texts, ids and times of four digits' years
	}
	return b
}

// refs lists the objects that a step refers to, by field.
func (s *step) refs() map[string]uuid.UUID {
	switch row := s.row.(type) {
	case organization.TeamRow:
		return map[string]uuid.UUID{"parent": row.Parent, "manager": row.Manager}
	case account.Invited:
		return map[string]uuid.UUID{"team": row.Team}
	case customer.Registered:
		return map[string]uuid.UUID{"owner": row.Owner}
	case opportunity.Row:
		return map[string]uuid.UUID{"owner": row.Owner, "customer": row.Customer}
	case record.Row:
		refs := map[string]uuid.UUID{"owner": row.Owner}
		for _, f := range declared.Kind(string(s.object.Kind)).Fields {
			if f.Type == record.Ref {
				refs[f.Name] = domain.ParseRef(row.Values[f.Name])
			}
		}
		return refs
	}
	return nil
}

// Read reads the files of a mapping from a directory, for an organization, and checks every row. The error is about the
// files as such; what is wrong with a row is in [Plan.Bad].
func Read(m *Mapping, dir string, organization uuid.UUID) (*Plan, error) {
	r := reader{
		source: m.Source, plan: &Plan{organization: organization},
		tables: make(map[string]*table), used: make(map[string][]string), ids: make(map[string]map[string]uuid.UUID), steps: make(map[uuid.UUID]*step),
	}
	for i := range m.Objects {
		o := &m.Objects[i]
		if !slices.Contains(r.plan.files, o.File) {
			r.plan.files = append(r.plan.files, o.File)
		}
		r.used[o.File] = append(r.used[o.File], o.columns()...)
	}
	var errs []error
	for _, file := range r.plan.files {
		t, bad, err := readTable(dir, file, m.Separator, r.used[file])
		errs = append(errs, err)
		r.tables[file] = t
		r.plan.Bad = append(r.plan.Bad, bad...)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	for i := range m.Objects { // every id first: objects refer to each other in any order
		r.identify(&m.Objects[i])
	}
	for _, kind := range order {
		for i := range m.Objects {
			if o := &m.Objects[i]; o.Kind == kind {
				for _, row := range r.tables[o.File].rows {
					r.read(o, row)
				}
			}
		}
	}
	r.plan.climb()
	r.plan.prune()
	return r.plan, nil
}

// reader makes a plan.
type reader struct {
	source string
	plan   *Plan
	tables map[string]*table
	used   map[string][]string             // columns, by file
	ids    map[string]map[string]uuid.UUID // by the object's name in the mapping and its key
	steps  map[uuid.UUID]*step
}

// identify gives every key of an object an id. An account is told apart by its login name, so that an agent who manages is
// one account, though it stands in two columns.
func (r *reader) identify(o *Object) {
	ids := make(map[string]uuid.UUID)
	for _, row := range r.tables[o.File].rows {
		key := row.cells[o.Key]
		if _, known := ids[key]; known || key == "" {
			continue
		}
		natural := fmt.Sprintf("%q %q %q", o.Kind, o.Name, key)
		if o.Kind == Account {
			natural = fmt.Sprintf("%q %q", o.Kind, commands.LoginName(o.Fields["loginName"].of(row.cells)))
		}
		ids[key] = uuid.NewSHA1(r.plan.organization, fmt.Appendf(nil, "import %q %s", r.source, natural))
	}
	r.ids[o.Name] = ids
}

// read makes the step of a row.
func (r *reader) read(o *Object, row row) {
	bad := domain.Invalid{}
	s := &step{object: o, line: row.line}
	if key := bad.Name(o.Key, row.cells[o.Key], domain.MaxAttributeValue); len(bad) == 0 {
		s.id = r.ids[o.Name][key]
		s.row = r.content(o, s.id, row.cells, bad)
	}
	if len(bad) == 0 {
		r.add(s, bad)
	}
	if len(bad) > 0 {
		r.plan.Bad = append(r.plan.Bad, s.bad(reason(bad)))
	}
}

// add puts a step into the plan. Rows of one object must say the same. An account that two objects of the mapping speak of
// is what the first says, with the roles of both.
func (r *reader) add(s *step, bad domain.Invalid) {
	first := r.steps[s.id]
	if first == nil {
		r.steps[s.id] = s
		r.plan.steps = append(r.plan.steps, s)
		return
	}
	if there, ok := first.row.(account.Invited); ok && first.object != s.object {
		for _, role := range s.row.(account.Invited).Roles {
			if !slices.Contains(there.Roles, role) {
				there.Roles = append(slices.Clip(there.Roles), role)
			}
		}
		first.row = there
		return
	}
	if string(first.content()) != string(s.content()) {
		bad[s.object.Key] = fmt.Sprintf("is that of line %d too, which says something else of it", first.line)
	}
}

// reason says what is wrong with a row, field by field.
func reason(bad domain.Invalid) string { return strings.TrimPrefix(bad.Error(), "invalid: ") }

// climb puts teams after those above them. Teams that stand below themselves are bad.
func (p *Plan) climb() {
	teams := 0
	for teams < len(p.steps) && p.steps[teams].object.Kind == Team {
		teams++
	}
	here := make(map[uuid.UUID]bool) // teams still to be placed
	for _, s := range p.steps[:teams] {
		here[s.id] = true
	}
	var placed []*step
	for waiting := p.steps[:teams:teams]; len(waiting) > 0; {
		var rest []*step
		for _, s := range waiting {
			if here[s.row.(organization.TeamRow).Parent] {
				rest = append(rest, s)
				continue
			}
			placed = append(placed, s)
			delete(here, s.id)
		}
		if len(rest) == len(waiting) {
			for _, s := range rest {
				p.Bad = append(p.Bad, s.bad("parent is the team itself, or one below it"))
			}
			break
		}
		waiting = rest
	}
	p.steps = append(placed, p.steps[teams:]...)
}

// prune takes out what refers to an object of which every row is bad, and puts the bad rows in order.
func (p *Plan) prune() {
	for before := -1; before != len(p.steps); {
		before = len(p.steps)
		there := map[uuid.UUID]bool{uuid.Nil: true}
		for _, s := range p.steps {
			there[s.id] = true
		}
		p.steps = slices.DeleteFunc(p.steps, func(s *step) bool {
			bad := domain.Invalid{}
			for field, id := range s.refs() {
				if !there[id] {
					bad[field] = "refers to what is bad itself"
				}
			}
			if len(bad) > 0 {
				p.Bad = append(p.Bad, s.bad(reason(bad)))
			}
			return len(bad) > 0
		})
	}
	p.sortBad()
}

func (p *Plan) sortBad() {
	slices.SortStableFunc(p.Bad, func(a, b BadRow) int {
		return cmp.Or(cmp.Compare(slices.Index(p.files, a.File), slices.Index(p.files, b.File)), cmp.Compare(a.Line, b.Line))
	})
	p.Bad = slices.Compact(p.Bad)
}
