// Package report asks the tables of a read model for a report: rows grouped by dimensions, each with measures.
//
// A [Report] is a description: which table, by what it can be grouped, what is counted, who may see which rows, and which
// events are behind a row. [Report.Query] answers with a [Table] of ids and numbers, never of personal data; names are put
// beside the ids by whoever shows it. [Report.Events] leads from a row down to the events. Both read live tables or those
// of a result folded as of another time, see [engine.Result.DB].
package report

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/annal-crm/annal/domain"
	"github.com/annal-crm/annal/domain/organization"
	"github.com/annal-crm/annal/domain/reporting"
	"github.com/annal-crm/annal/eventlog"
	"github.com/annal-crm/annal/internal/eventcodec"
	"github.com/annal-crm/annal/projections/engine"
	"github.com/annal-crm/annal/projections/engine/where"
)

// Kind says what the values of a column are. Any of them may be missing.
type Kind string

const (
	Text     Kind = "text"
	Day      Kind = "day"      // string, "2017-03-01", in the report's time zone
	Month    Kind = "month"    // string, "2017-03", in the report's time zone
	Account  Kind = "account"  // uuid.UUID
	Customer Kind = "customer" // uuid.UUID
	Count    Kind = "count"    // int64
	Money    Kind = "money"    // domain.Decimal: exact
	Number   Kind = "number"   // float64
	Instant  Kind = "instant"  // time.Time
)

// Column is a dimension or a measure.
type Column struct {
	Name  string
	Kind  Kind
	About string

	// SQL is over the row t and the joins. {now} is the instant that the report speaks of, {zone} the time zone of its days and
	// months; in a measure, {counted} follows its one aggregate and says which rows that is of.
	SQL      string
	When     string                    // of a measure: the rows t that it counts; empty: all
	Joins    []string                  // names of the joins it needs
	Personal bool                      // for viewers who may see personal data
	Banded   func(days []int) string   // SQL of a dimension of ages, by the days where they begin anew; nil: it has no bands
	Places   int                       // that a Number or Money is rounded to when it is shown; 0: it is not
	Wrong    func(value string) string // says what is wrong with a value that a filter names; "" or nil: nothing

	rows    []reporting.Condition // of a measure: that it is restricted to
	of, per []Column              // of a measure: a sum of measures, for each of another sum
}

// Join brings more to a row than its table has.
type Join struct {
	Name string
	// With returns a common table expression, if it needs one; visible is the condition on the rows t that the viewer may see.
	With func(db engine.DB, visible string) string
	SQL  func(db engine.DB) string
	// Open returns what cannot be told from the tables alone, by position: a text for each row t that meets a condition. The
	// join then has the columns position and text.
	Open func(ctx context.Context, db engine.DB, codec *eventcodec.Codec, condition string, args []any) (positions []int64, texts []string, err error)
	// Learned are the rows that With learns from, of the same read model. Its dimensions, which the report has too, tell which of them
	// matter to a row. nil: a row depends on no other.
	Learned *Report
}

// Report describes a report.
type Report struct {
	Name, About string
	Model       string // the read model

	From       engine.Relation
	Where      string                                               // which rows count; empty: all
	At         string                                               // the time that [Filter] bounds
	Visible    func(db engine.DB, c *where.Clause, v engine.Viewer) // of the viewer's organization alone
	Joins      []Join
	Dimensions []Column
	Measures   []Column // those that are personal only if they are asked for
	Record     string   // the id of the record that a row t is of; empty: a row is an event
	Evidence   string   // positions of the events behind a row t, an array

	rows []reporting.Condition // which rows count, too
	zone string                // of days and months; empty: UTC
}

// Filter narrows what is counted.
type Filter struct {
	From, To time.Time           // From <= t < To; zero: no bound
	In       map[string][]string // by dimension: any of these values, as texts; an empty one means no value
}

// Query is what is asked.
type Query struct {
	By            []string // dimensions; none: one row, the total
	Measures      []string // nil: all that are not personal
	Filter        Filter
	Order         []string // columns, with "-" before one: greatest first; nil: by the dimensions
	Limit, Offset int      // of the rows; Limit 0: all
	Now           time.Time
}

// Table is the answer.
type Table struct {
	Columns []Column // the dimensions, then the measures
	By      int      // how many of them are dimensions
	Rows    [][]any  // nil: no value
	More    bool     // there are rows beyond Limit
}

// Query answers a query. What cannot be right in it is a [domain.Invalid] by its field (groupBy, measures, filter, orderBy), a
// personal column for a viewer who may not see it [where.ErrHidden]. codec may be nil if no personal column is asked for.
func (r *Report) Query(ctx context.Context, db engine.DB, codec *eventcodec.Codec, v engine.Viewer, q Query) (*Table, error) {
	if q.Measures != nil && len(q.Measures) == 0 {
		return nil, domain.Invalid{"measures": "must name one; all are counted if it is not given"}
	}
	s, err := r.begin(ctx, db, codec, v, q)
	if err != nil {
		return nil, err
	}
	columns := append(slices.Clone(s.dimensions), s.measures...)
	selected := make([]string, len(columns))
	groups := make([]string, len(s.dimensions))
	for i, c := range columns {
		if i < len(groups) {
			groups[i] = strconv.Itoa(i + 1)
		}
		selected[i] = s.sql(c)
		if c.Kind == Money {
			selected[i] += "::text"
		}
	}
	order, err := s.order(q.Order, columns)
	if err != nil {
		return nil, err
	}
	sql := s.with + "select " + strings.Join(selected, ", ") + s.from + " where " + s.clause.SQL()
	if len(groups) > 0 {
		sql += " group by " + strings.Join(groups, ", ") + " order by " + order
	}
	if q.Limit > 0 {
		sql += fmt.Sprintf(" limit %d offset %d", q.Limit+1, q.Offset)
	}
	rows, err := db.Query(ctx, sql, s.clause.Args()...)
	if err != nil {
		return nil, fmt.Errorf("report: %s: %w", r.Name, err)
	}
	t := &Table{Columns: columns, By: len(groups)}
	if t.Rows, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) ([]any, error) { return scan(row, columns) }); err != nil {
		return nil, fmt.Errorf("report: %s: %w", r.Name, err)
	}
	if q.Limit > 0 && len(t.Rows) > q.Limit {
		t.Rows, t.More = t.Rows[:q.Limit], true
	}
	return t, nil
}

// Events returns the positions of the events behind the rows that a filter takes, in log order: up to limit of them after a
// position. With [Table.Pick] they are those behind one row.
func (r *Report) Events(ctx context.Context, db engine.DB, codec *eventcodec.Codec, v engine.Viewer, q Query, after eventlog.Position, limit int) ([]eventlog.Position, error) {
	s, err := r.evidence(ctx, db, codec, v, q)
	if err != nil {
		return nil, err
	}
	s.clause.And("e.position > ?", int64(after))
	rows, err := db.Query(ctx, fmt.Sprintf("%sselect distinct e.position%s where %s order by 1 limit %d", s.with, s.from, s.clause.SQL(), limit), s.clause.Args()...)
	if err != nil {
		return nil, fmt.Errorf("report: %s: %w", r.Name, err)
	}
	return pgx.CollectRows(rows, pgx.RowTo[eventlog.Position])
}

// CountEvents returns how many positions [Report.Events] has in all.
func (r *Report) CountEvents(ctx context.Context, db engine.DB, codec *eventcodec.Codec, v engine.Viewer, q Query) (n int, err error) {
	s, err := r.evidence(ctx, db, codec, v, q)
	if err != nil {
		return 0, err
	}
	err = db.QueryRow(ctx, s.with+"select count(distinct e.position)"+s.from+" where "+s.clause.SQL(), s.clause.Args()...).Scan(&n)
	return n, err
}

// evidence begins a question for the positions e of the events behind rows.
func (r *Report) evidence(ctx context.Context, db engine.DB, codec *eventcodec.Codec, v engine.Viewer, q Query) (*statement, error) {
	q.By, q.Measures, q.Order = nil, []string{}, nil
	s, err := r.begin(ctx, db, codec, v, q)
	if err == nil {
		s.from += " cross join lateral unnest(" + r.Evidence + ") e (position)"
	}
	return s, err
}

// Pick returns the query whose filter leaves, of the rows of another one, only one of its table.
func (t *Table) Pick(q Query, row []any) Query {
	in := maps.Clone(q.Filter.In)
	if in == nil {
		in = make(map[string][]string)
	}
	for i := range t.By {
		in[t.Columns[i].Name] = []string{textOf(row[i])}
	}
	q.Filter.In = in
	return q
}

// statement is a query on its way to SQL.
type statement struct {
	*Report
	now                  time.Time
	clause               *where.Clause
	with, from           string
	dimensions, measures []Column
	nowArg, zoneArg      string
	exact                bool // numbers are not rounded
}

func (r *Report) begin(ctx context.Context, db engine.DB, codec *eventcodec.Codec, v engine.Viewer, q Query) (*statement, error) {
	s := &statement{Report: r, clause: new(where.Clause), from: " from " + r.From.In(db) + " t", now: q.Now}
	if s.now.IsZero() {
		s.now = time.Now()
	}
	bad := domain.Invalid{}
	s.dimensions = named(bad, "groupBy", r.Dimensions, q.By)
	if q.Measures == nil {
		s.measures = slices.DeleteFunc(slices.Clone(r.Measures), func(c Column) bool { return c.Personal })
	} else {
		s.measures = named(bad, "measures", r.Measures, q.Measures)
	}
	filtered := named(bad, "filter", r.Dimensions, slices.Sorted(maps.Keys(q.Filter.In)))
	for _, c := range filtered {
		if wrong := c.unfit(q.Filter.In[c.Name]); wrong != "" {
			bad["filter"] = c.Name + " " + wrong
		}
	}
	if f := q.Filter; !f.From.IsZero() && !f.To.IsZero() && !f.From.Before(f.To) {
		bad["filter.to"] = "must be after from: nothing is between them"
	}
	if err := bad.Err(); err != nil {
		return nil, err
	}
	r.Visible(db, s.clause, v)
	visible := s.clause.SQL()
	if r.Where != "" {
		s.clause.And(r.Where)
	}
	if !q.Filter.From.IsZero() {
		s.clause.And(r.At+" >= ?", q.Filter.From)
	}
	if !q.Filter.To.IsZero() {
		s.clause.And(r.At+" < ?", q.Filter.To)
	}
	plain := s.clause.SQL() // on t alone
	args := len(s.clause.Args())
	for _, c := range filtered {
		s.clause.And(s.meets(c, q.Filter.In[c.Name]))
	}
	for _, c := range r.rows {
		dimension := r.dimension(c.Dimension)
		filtered = append(filtered, dimension)
		s.clause.And(s.meets(dimension, c.In))
	}
	needs := map[string]bool{"": true}
	for _, c := range slices.Concat(s.dimensions, s.measures, filtered) {
		if c.Personal && !v.Personal {
			return nil, fmt.Errorf("%w: %s", where.ErrHidden, c.Name)
		}
		for _, join := range c.Joins {
			needs[join] = true
		}
	}
	var with []string
	for _, j := range r.Joins {
		if !needs[j.Name] {
			continue
		}
		if j.With != nil {
			with = append(with, j.With(db, visible))
		}
		if j.Open != nil {
			positions, texts, err := j.Open(ctx, db, codec, plain, s.clause.Args()[:args])
			if err != nil {
				return nil, err
			}
			s.from += fmt.Sprintf(" left join unnest(%s::bigint[], %s::text[]) as %s (position, text) on %[3]s.position = t.position",
				s.clause.Arg(positions), s.clause.Arg(texts), j.Name)
		}
		if j.SQL != nil {
			s.from += " " + j.SQL(db)
		}
	}
	if len(with) > 0 {
		s.with = "with recursive " + strings.Join(with, ", ") + " "
	}
	return s, nil
}

// order returns what rows are ordered by; in the end always by the dimensions, so that pages fit together.
func (s *statement) order(by []string, columns []Column) (string, error) {
	var terms []string
	add := func(i int, descending bool) {
		direction := ""
		if descending {
			direction = " desc"
		}
		term := strconv.Itoa(i + 1)
		if columns[i].Kind == Money { // selected as a text
			term = s.sql(columns[i])
		}
		terms = append(terms, term+direction+" nulls last")
	}
	for _, name := range by {
		name, descending := strings.CutPrefix(name, "-")
		i := slices.IndexFunc(columns, func(c Column) bool { return c.Name == name })
		if i < 0 {
			return "", domain.Invalid{"orderBy": fmt.Sprintf("%q is not a column of this table", name)}
		}
		add(i, descending)
	}
	for i := range s.dimensions {
		add(i, false)
	}
	return strings.Join(terms, ", "), nil
}

// named finds columns by their names, each once.
func named(bad domain.Invalid, field string, columns []Column, names []string) (found []Column) {
	for _, name := range names {
		i := slices.IndexFunc(columns, func(c Column) bool { return c.Name == name })
		switch {
		case i < 0:
			all := make([]string, len(columns))
			for i, c := range columns {
				all[i] = c.Name
			}
			bad[field] = fmt.Sprintf("there is no %q: %s", name, strings.Join(all, ", "))
		case !slices.ContainsFunc(found, func(c Column) bool { return c.Name == name }):
			found = append(found, columns[i])
		}
	}
	return found
}

// scan reads a row into the types that [Kind] names.
func scan(row pgx.CollectableRow, columns []Column) ([]any, error) {
	into := make([]any, len(columns))
	for i, c := range columns {
		switch c.Kind {
		case Account, Customer:
			into[i] = new(*uuid.UUID)
		case Count:
			into[i] = new(*int64)
		case Money:
			into[i] = new(*domain.Decimal)
		case Number:
			into[i] = new(*float64)
		case Instant:
			into[i] = new(*time.Time)
		default:
			into[i] = new(*string)
		}
	}
	if err := row.Scan(into...); err != nil {
		return nil, err
	}
	for i := range into {
		switch p := into[i].(type) {
		case **uuid.UUID:
			into[i] = value(*p)
		case **int64:
			into[i] = value(*p)
		case **domain.Decimal:
			into[i] = value(*p)
		case **float64:
			into[i] = value(*p)
		case **time.Time:
			into[i] = value(*p)
		case **string:
			into[i] = value(*p)
		}
	}
	return into, nil
}

func value[T any](p *T) any {
	if p == nil {
		return nil
	}
	return *p
}

// Everything is the viewer that sees all of an organization: whoever has the data directory has it all.
func Everything(of uuid.UUID) engine.Viewer {
	return engine.Viewer{Organization: of, Scope: organization.All, Personal: true}
}
