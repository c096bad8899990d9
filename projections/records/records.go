// Package records holds the list of records of each declared kind, as they are now: one read model for each of
// [declared.Kinds], all of them folded and read by the same code.
//
// A kind's declaration says what its table looks like. Each field is a column of its type (an amount of money two, with its
// currency). A field by which lists are sorted has a sort key beside it: bytes whose order is the one that people expect, made
// in Go, because Postgres and the rows that Go merges would not agree on an order of texts for long. What the search looks into
// stands in the table as folded words, and an index holds their pairs of characters.
package records

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/google/uuid"

	"github.com/annal-crm/annal/domain"
	"github.com/annal-crm/annal/domain/account"
	"github.com/annal-crm/annal/domain/declared"
	"github.com/annal-crm/annal/domain/record"
	"github.com/annal-crm/annal/eventlog"
	"github.com/annal-crm/annal/internal/eventcodec"
	"github.com/annal-crm/annal/projections/engine"
	"github.com/annal-crm/annal/projections/members"
)

// Row is a record.
type Row struct {
	ID           uuid.UUID         `db:"id,key"`
	Organization uuid.UUID         `db:"organization"`
	Owner        uuid.UUID         `db:"owner,null"` // an account
	Stage        string            `db:"stage,null"`
	Archived     bool              `db:"archived"`
	Erased       bool              `db:"erased"`
	CreatedAt    time.Time         `db:"created_at"`
	UpdatedAt    time.Time         `db:"updated_at"`
	Version      eventlog.Version  `db:"version"`
	Position     eventlog.Position `db:"position"`

	// Values are the fields of the kind in the order of its declaration, in their stored form; a field without a value is empty.
	// Rows that this package returns have them.
	Values []string `db:"-"`

	// Cells are the columns of the kind's own.
	Cells []string `db:"*"`
}

// Kind is the list of a declared kind. It is safe for concurrent use.
type Kind struct {
	*record.Kind

	model  engine.ReadModel
	table  *engine.Table[uuid.UUID, Row]
	team   *members.Table
	fields []field
	search int  // the cell of the words that the search finds, and after it that of their pairs; -1: nothing is searched
	hidden bool // what is searched is personal
}

// field is a field of a kind and where its values are.
type field struct {
	*record.Field
	column string
	sql    string
	cell   int // of Money that of the amount; its currency is in the next
	key    int // the cell of the sort key, -1 if it has none
}

// generation is raised when the fold of all kinds changes.
const generation = 1

var kinds = func() map[string]*Kind {
	all := make(map[string]*Kind)
	for _, k := range declared.Kinds {
		all[k.Category] = layOut(k, 0)
	}
	return all
}()

// Of returns the list of a declared kind, nil if there is no such kind.
func Of(category string) *Kind { return kinds[category] }

// Models returns the read models of all declared kinds.
func Models() (models []engine.ReadModel) {
	for _, k := range declared.Kinds {
		models = append(models, Of(k.Category).model)
	}
	return models
}

// layOut lays out the table of a kind, in a version of its read model, 0: the one that its declaration makes. That grows with the
// declaration: a field more is at least a column more.
func layOut(k *record.Kind, version int) *Kind {
	kind := &Kind{Kind: k, search: -1}
	config := engine.TableConfig{Indexes: []string{
		"(organization, created_at, id)", "(organization, updated_at, id)", "(owner, created_at, id)",
	}}
	if k.Stages != nil {
		config.Indexes = append(config.Indexes, "(organization, stage, created_at, id)")
	}
	personal := false
	add := func(c engine.Column) int {
		config.Columns = append(config.Columns, c)
		if personal {
			config.Personal = append(config.Personal, c.Name)
		}
		return len(config.Columns) - 1
	}

	searched := 0
	for i := range k.Fields {
		f := field{Field: &k.Fields[i], column: columnName(k.Fields[i].Name), sql: sqlTypes[k.Fields[i].Type], key: -1}
		personal = f.Personal
		f.cell = add(engine.Column{Name: f.column, Type: f.sql})
		if f.Type == record.Money {
			add(engine.Column{Name: f.column + "_currency", Type: "text"})
		}
		if f.Sorted {
			f.key = add(engine.Column{Name: f.column + "_key", Type: "bytea", NotNull: true})
			config.Indexes = append(config.Indexes, "(organization, "+f.column+"_key, id)")
		}
		if f.Type == record.Ref {
			config.Indexes = append(config.Indexes, "("+f.column+", created_at, id)")
		}
		if f.Searched {
			searched++
			kind.hidden = kind.hidden || f.Personal
		}
		kind.fields = append(kind.fields, f)
	}
	if searched > 0 {
		personal = kind.hidden
		kind.search = add(engine.Column{Name: "search", Type: "text", NotNull: true})
		add(engine.Column{Name: "pairs", Type: "text", NotNull: true})
		config.Indexes = append(config.Indexes, "using gin ("+pairsIndexed+")")
	}

	name := k.Category + "s"
	schema := engine.Schema{Name: name, Version: cmp.Or(version, generation*100+len(config.Columns)+searched)}
	kind.table, kind.team = engine.NewTable[uuid.UUID, Row](schema, name, config), members.New(schema)
	kind.model = engine.ReadModel{
		Schema: schema, Tables: []engine.Relation{kind.table, kind.team}, Events: slices.Clone(members.Events), Keys: kind.keys, Fold: kind.fold,
	}
	for name := range k.Events().All() {
		kind.model.Events = append(kind.model.Events, name)
	}
	return kind
}

var sqlTypes = map[record.Type]string{
	record.Text: "text", record.Note: "text", record.Email: "text", record.Phone: "text", record.Website: "text", record.Choice: "text",
	record.Integer: "bigint", record.Decimal: "numeric", record.Money: "numeric", record.Day: "date", record.Time: "timestamptz",
	record.Bool: "boolean", record.Ref: "uuid",
}

// Prefix begins the columns of fields. It keeps them apart from words of SQL and from the columns that every record has.
const Prefix = "f_"

// columnName returns the column of a field.
func columnName(field string) string {
	var b strings.Builder
	b.WriteString(Prefix)
	for _, r := range field {
		if unicode.IsUpper(r) {
			b.WriteByte('_')
		}
		b.WriteRune(unicode.ToLower(r))
	}
	return b.String()
}

// Model returns the read model of the kind.
func (k *Kind) Model() engine.ReadModel { return k.model }

// Column is a column of the table that holds a field, or a part of one: Money has two.
type Column struct {
	Field      *record.Field
	Name, Type string
}

// Columns lists the columns of the kind's fields in the order of its declaration, for those who read the table with SQL.
func (k *Kind) Columns() (columns []Column) {
	for _, f := range k.fields {
		columns = append(columns, Column{f.Field, f.column, f.sql})
		if f.Type == record.Money {
			columns = append(columns, Column{f.Field, f.column + "_currency", "text"})
		}
	}
	return columns
}

// field returns a field of the kind by its name, nil if it does not exist.
func (k *Kind) field(name string) *field {
	for i := range k.fields {
		if k.fields[i].Name == name {
			return &k.fields[i]
		}
	}
	return nil
}

func (k *Kind) keys(f *eventcodec.Event, rows *engine.Rows) error {
	switch f.Stream.Category {
	case account.Category:
		members.Keys(k.team, f, rows)
	case k.Category:
		k.table.Touch(rows, f.Stream.ID)
	}
	return nil
}

func (k *Kind) fold(f *eventcodec.Event, rows *engine.Rows) error {
	payload, err := f.Payload()
	if err != nil {
		return err
	}
	switch f.Stream.Category {
	case account.Category:
		members.Fold(k.team, f, rows, payload)
		return nil
	case k.Category:
	default: // the end of a subject of another kind
		return nil
	}

	if e, ok := payload.(record.Created); ok {
		row := Row{
			ID: f.Stream.ID, Organization: f.Stream.Organization, Owner: e.Owner, Stage: e.Stage,
			CreatedAt: f.OccurredAt, UpdatedAt: f.OccurredAt, Version: f.Version, Position: f.Position,
			Cells: make([]string, k.cells()),
		}
		set(k, row.Cells, e.Fields, func(value string) string { return value })
		set(k, row.Cells, e.Personal, func(value string) string { return value })
		k.find(row.Cells)
		k.table.Put(rows, row)
		return nil
	}
	k.table.Update(rows, f.Stream.ID, func(r *Row) {
		r.UpdatedAt, r.Version, r.Position = f.OccurredAt, f.Version, f.Position
		switch e := payload.(type) {
		case record.Edited:
			r.Cells = slices.Clone(r.Cells)
			set(k, r.Cells, e.Fields, func(c domain.Change) string { return c.To })
			set(k, r.Cells, e.Personal, func(c domain.Change) string { return c.To })
			k.find(r.Cells)
		case record.Moved:
			r.Stage = e.To
		case record.Reassigned:
			r.Owner = e.To
		case record.Archived:
			r.Archived = true
		case record.Restored:
			r.Archived = false
		case record.Erased:
			r.Erased, r.Cells = true, slices.Clone(r.Cells)
			k.forget(r.Cells)
		default:
			err = fmt.Errorf("records: the fold lacks %T", e)
		}
	})
	return err
}

// cells counts the columns of the kind's own.
func (k *Kind) cells() (n int) {
	for _, f := range k.fields {
		n = max(n, f.cell+1, f.key+1)
		if f.Type == record.Money {
			n = max(n, f.cell+2)
		}
	}
	if k.search >= 0 {
		n = k.search + 2
	}
	return n
}

// set sets fields to the values that an event has; fields that the declaration no longer has are left out.
func set[V any](k *Kind, cells []string, values map[string]V, to func(V) string) {
	for name, value := range values {
		if f := k.field(name); f != nil {
			f.put(cells, to(value))
		}
	}
}

func (f *field) put(cells []string, value string) {
	if f.key >= 0 {
		cells[f.key] = f.sortKey(value)
	}
	cells[f.cell] = value
	if f.Type == record.Money {
		amount, currency := record.Amount(value)
		cells[f.cell], cells[f.cell+1] = string(amount), currency
	}
}

// value is the inverse of put.
func (f *field) value(cells []string) string {
	if f.Type == record.Money && cells[f.cell] != "" {
		return cells[f.cell] + " " + cells[f.cell+1]
	}
	return cells[f.cell]
}

// find sets what the search finds.
func (k *Kind) find(cells []string) {
	if k.search < 0 {
		return
	}
	var words []string
	for i := range k.fields {
		if f := &k.fields[i]; f.Searched {
			words = append(words, f.words(f.value(cells))...)
		}
	}
	search := strings.Join(words, " ")
	if cells[k.search] != search {
		cells[k.search], cells[k.search+1] = search, strings.Join(pairs(words), " ")
	}
}

// forget blanks what is personal.
func (k *Kind) forget(cells []string) {
	for i := range k.fields {
		if f := &k.fields[i]; f.Personal {
			f.put(cells, "")
		}
	}
	if k.hidden {
		cells[k.search], cells[k.search+1] = "", ""
	}
}

// History folds the events of one record in memory, as the list does, and returns its row as one who may see personal data
// sees it; see [engine.Trace].
func (k *Kind) History(id uuid.UUID, history []*eventcodec.Event, each func(*eventcodec.Event, Row)) (Row, bool, error) {
	show := func(r Row) Row { return k.ShownTo(r, engine.Viewer{Personal: true}) }
	shown := func(f *eventcodec.Event, r Row) { each(f, show(r)) }
	if each == nil {
		shown = nil
	}
	row, exists, err := engine.Trace(k.model, k.table, id, history, shown)
	if exists {
		row = show(row)
	}
	return row, exists, err
}

// ShownTo returns a row with its values, without those that are personal if the viewer may not see them. A required one reads
// "hidden" instead, and of an erased record "erased".
func (k *Kind) ShownTo(r Row, v engine.Viewer) Row {
	r.Values = make([]string, len(k.fields))
	for i := range k.fields {
		f := &k.fields[i]
		value := f.value(r.Cells)
		switch {
		case !f.Personal:
		case f.Required && value == "": // also where only the columns were blanked: see [engine.Engine.Forget]
			value, r.Erased = "erased", true
		case v.Personal:
		case f.Required:
			value = "hidden"
		default:
			value = ""
		}
		r.Values[i] = value
	}
	return r
}
