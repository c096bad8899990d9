package engine

import (
	"fmt"
	"reflect"
	"slices"
)

// Relation is a [Table] of any key and row type.
type Relation interface {
	In(db DB) string
	relation() *relation
	newStore(empty bool) store
}

// TableConfig is what a table has beside its rows.
type TableConfig struct {
	// Indexes beside the primary key, as they follow "create index on <table>": "(organization, name, id)". They are
	// not for uniqueness: a fold never fails because of what is already there.
	Indexes []string
	// Personal are the columns, texts or such that may be NULL, that hold what is personal of the data subject that the key is. A fold blanks
	// them when the subject is erased; [Engine.Forget] does where no fold comes by.
	Personal []string
	// Columns are those of the row's slice of columns, in its order.
	Columns []Column
	// AppendOnly says that rows are only added, by [Table.Append], and never looked at again by the fold.
	AppendOnly bool
}

// Table is a table of a read model whose rows are Rs with the key K.
//
// R is a struct of strings, ints, bools, uuid.UUID, time.Time (kept to the microsecond), json.RawMessage, slices of
// strings, uuids or ints, and pointers to them for columns that may be NULL. A tag `db:"name,key"` names a column, and
// says that it belongs to the primary key; `db:"name,null"` stores the field's zero value as NULL and reads it back as
// zero; `db:"name,numeric"` keeps a number in a string type; `db:"-"` is no column; `db:"*"` is a slice of strings that are
// the columns which the table's configuration names. K is the type of the key column, or a
// struct with the types of the key columns in their order. Ids are unique across organizations.
//
// Rows are values: one from [Table.Get] changes nothing until it is [Table.Put] back, and slices in it must be cloned
// before they are changed.
type Table[K comparable, R any] struct{ rel relation }

// relation is the part of a table that does not depend on its row type.
type relation struct {
	schema   Schema
	table    string
	rowType  reflect.Type
	columns  []column
	keys     []column
	texts    []*column // what may hold a text that Postgres does not take
	sized    []*column // what takes more memory than its place in the row
	indexes  []string
	appended bool
	personal []string
}

// NewTable returns a table of a read model. It panics if R and K do not make one: that is a mistake in the program
// text.
func NewTable[K comparable, R any](schema Schema, name string, config TableConfig) *Table[K, R] {
	t := &Table[K, R]{relation{schema: schema, table: name, rowType: reflect.TypeFor[R](), columns: columnsOf(reflect.TypeFor[R](), config.Columns), indexes: config.Indexes, appended: config.AppendOnly, personal: config.Personal}}
	t.rel.keys, t.rel.texts, t.rel.sized = keysOf(t.rel.columns), textsOf(t.rel.columns), sizedOf(t.rel.columns)
	for _, name := range config.Personal {
		if i := slices.IndexFunc(t.rel.columns, func(c column) bool { return c.name == name }); i < 0 || !t.rel.columns[i].blankable() || len(t.rel.keys) != 1 {
			panic(fmt.Sprintf("projections: %s of %s is not a personal column", name, t.rel.table))
		}
	}
	var key []reflect.Type
	if k := reflect.TypeFor[K](); len(t.rel.keys) == 1 {
		key = append(key, k)
	} else {
		for i := range k.NumField() {
			key = append(key, k.Field(i).Type)
		}
	}
	for i, c := range t.rel.keys {
		if len(key) != len(t.rel.keys) || key[i] != c.goType {
			panic(fmt.Sprintf("projections: the key of %s is not %s", name, reflect.TypeFor[K]()))
		}
	}
	if !identifier.MatchString(name) || len(t.rel.keys) == 0 {
		panic(fmt.Sprintf("projections: %q does not make a table", name))
	}
	return t
}

// In returns the table's name in SQL for a query of db: "customers_v2.customers", or that of a [Result].
func (t *Table[K, R]) In(db DB) string {
	if other, ok := db.(interface{ schemaOf(Schema) string }); ok {
		return t.rel.in(other.schemaOf(t.rel.schema))
	}
	return t.rel.in(t.rel.schema.String())
}

func (t *Table[K, R]) relation() *relation { return &t.rel }

// Touch asks, in [ReadModel.Keys], for the row with a key.
func (t *Table[K, R]) Touch(rows *Rows, key K) { t.of(rows).touch(key) }

// Peek asks, in [ReadModel.Keys], for the row with a key, and returns it if it is known already, as it is before the
// page; if it is not, Keys will run again when it is. It is for events whose rows depend on what another row holds.
func (t *Table[K, R]) Peek(rows *Rows, key K) (R, bool) {
	e := t.of(rows).touch(key)
	rows.peeked = rows.peeked || e.asked
	return e.row, e.exists
}

// Get returns, in [ReadModel.Fold], the row with a key, and whether there is one. It panics if Keys did not ask for it.
func (t *Table[K, R]) Get(rows *Rows, key K) (R, bool) {
	e := t.of(rows).at(key)
	return e.row, e.exists
}

// Put adds row, or replaces the one with its key.
func (t *Table[K, R]) Put(rows *Rows, row R) {
	s := t.of(rows)
	key := s.keyOf(reflect.ValueOf(&row).Elem())
	s.put(s.at(key), row)
}

// Update changes the row with a key; it does nothing, and returns false, if there is not one.
func (t *Table[K, R]) Update(rows *Rows, key K, change func(*R)) bool {
	s := t.of(rows)
	e := s.at(key)
	if e.exists {
		row := e.row
		change(&row)
		s.put(e, row)
	}
	return e.exists
}

// Delete removes the row with a key, if there is one.
func (t *Table[K, R]) Delete(rows *Rows, key K) {
	s := t.of(rows)
	s.remove(s.at(key))
}

// Append adds a row to a table that is append only. Its key must be new.
func (t *Table[K, R]) Append(rows *Rows, row R) {
	if !t.rel.appended {
		panic(fmt.Sprintf("projections: %s is not append only", t.rel.table))
	}
	s := t.of(rows)
	s.added = append(s.added, row)
}

// Rows returns the rows that are in memory, in the order of their keys: for tests of a fold (see package foldtest).
func (t *Table[K, R]) Rows(rows *Rows) (all []R) {
	for _, row := range rows.All()[t.rel.table] {
		all = append(all, row.(R))
	}
	return all
}

func (t *Table[K, R]) of(rows *Rows) *tableStore[K, R] { return rows.store(t).(*tableStore[K, R]) }
