package engine

import (
	"fmt"
	"reflect"

	"github.com/jackc/pgx/v5"
)

// store holds the rows of one table that are in memory: those of a page in live folding, as many as fit in a rebuild.
type store interface {
	// asked lists rows with nothing but their keys set: what Keys asked for and is not known yet.
	asked() []reflect.Value
	// load takes what the database has of the asked rows; asked rows that are not among them do not exist.
	load(pgx.Rows) error
	// size estimates the bytes of what is held and was used since the last turn.
	size() int
	// changes lists what differs from the database.
	changes() changes
	// written forgets that there are changes.
	written()
	// turn makes room: it returns the changes among the rows not used since the turn before, and forgets those rows.
	turn() changes
	// rows yields all rows in memory that exist.
	rows() []reflect.Value
	// begin begins an event's changes; check reports whether Postgres can store them, undo takes them back.
	begin()
	check() error
	undo()
}

// changes are rows of a table, as the database is to have them.
type changes struct {
	added    []reflect.Value // not in the database yet
	replaced []reflect.Value // may be in the database
	deleted  []reflect.Value // only their keys are set
}

func (c changes) empty() bool { return len(c.added)+len(c.replaced)+len(c.deleted) == 0 }

type entry[R any] struct {
	row    R
	exists bool
	stored bool // the database may have it
	dirty  bool // the database has something else
	asked  bool // not known yet
	bytes  int32
}

type tableStore[K comparable, R any] struct {
	table  *Table[K, R]
	recent map[K]*entry[R] // used since the last turn
	older  map[K]*entry[R]
	added  []R // to an append-only table
	wanted []K
	absent bool // what is not in memory is not in the database either
	bytes  int  // of recent and added

	changed []previous[R] // entries as they were before the event at hand
	began   int           // how many were added before it
}

type previous[R any] struct {
	entry *entry[R]
	was   entry[R]
}

func (t *Table[K, R]) newStore(empty bool) store {
	return &tableStore[K, R]{table: t, recent: make(map[K]*entry[R]), absent: empty}
}

func (s *tableStore[K, R]) touch(key K) *entry[R] {
	if e := s.recent[key]; e != nil {
		return e
	}
	e := s.older[key]
	if e != nil {
		delete(s.older, key)
	} else if e = (&entry[R]{asked: !s.absent}); e.asked {
		s.wanted = append(s.wanted, key)
	}
	s.recent[key] = e
	s.weigh(e)
	return e
}

func (s *tableStore[K, R]) at(key K) *entry[R] {
	e := s.recent[key]
	if e == nil || e.asked {
		panic(fmt.Sprintf("the fold reads a row of %s that its Keys did not ask for: %v", s.table.rel.table, key))
	}
	return e
}

func (s *tableStore[K, R]) put(e *entry[R], row R) {
	s.changed = append(s.changed, previous[R]{e, *e})
	e.row, e.exists, e.dirty = row, true, true
	s.bytes -= int(e.bytes)
	s.weigh(e)
}

func (s *tableStore[K, R]) remove(e *entry[R]) {
	s.changed = append(s.changed, previous[R]{e, *e})
	var none R
	e.row, e.exists, e.dirty = none, false, e.dirty || e.exists
}

func (s *tableStore[K, R]) begin() {
	clear(s.changed) // rows may hold much
	s.changed, s.began = s.changed[:0], len(s.added)
}

func (s *tableStore[K, R]) check() error {
	for _, f := range s.changed {
		if err := s.table.rel.storable(reflect.ValueOf(&f.entry.row).Elem()); err != nil {
			return err
		}
	}
	for i := range s.added[s.began:] {
		if err := s.table.rel.storable(reflect.ValueOf(&s.added[s.began+i]).Elem()); err != nil {
			return err
		}
	}
	return nil
}

func (s *tableStore[K, R]) undo() {
	for i := len(s.changed) - 1; i >= 0; i-- {
		f := s.changed[i]
		s.bytes += int(f.was.bytes - f.entry.bytes)
		*f.entry = f.was
	}
	clear(s.added[s.began:])
	s.added = s.added[:s.began]
}

// entryCost is what an entry takes beside its row: itself, its place in a map that is three quarters full, its key.
const entryCost = 100

func (s *tableStore[K, R]) weigh(e *entry[R]) {
	e.bytes = int32(entryCost + s.table.rel.weight(reflect.ValueOf(&e.row).Elem()))
	s.bytes += int(e.bytes)
}

func (s *tableStore[K, R]) asked() []reflect.Value {
	rows := make([]reflect.Value, len(s.wanted))
	for i, key := range s.wanted {
		rows[i] = s.keyed(key)
	}
	return rows
}

func (s *tableStore[K, R]) load(rows pgx.Rows) error {
	defer rows.Close()
	for rows.Next() {
		var row R
		v := reflect.ValueOf(&row).Elem()
		if err := s.table.rel.scan(rows, v); err != nil {
			return err
		}
		e := s.recent[s.keyOf(v)]
		if e == nil || !e.asked {
			return fmt.Errorf("projections: %s returned a row that was not asked for", s.table.rel.table)
		}
		e.exists, e.stored, e.asked, e.row = true, true, false, row
		s.bytes -= int(e.bytes)
		s.weigh(e)
	}
	for _, key := range s.wanted {
		s.recent[key].asked = false
	}
	s.wanted = nil
	return rows.Err()
}

func (s *tableStore[K, R]) changes() (c changes) {
	c.added = values(s.added)
	s.collect(&c, s.recent)
	s.collect(&c, s.older)
	return c
}

func (s *tableStore[K, R]) collect(c *changes, entries map[K]*entry[R]) {
	for key, e := range entries {
		switch {
		case !e.dirty:
		case !e.exists && e.stored:
			c.deleted = append(c.deleted, s.keyed(key))
		case !e.exists:
		case e.stored:
			c.replaced = append(c.replaced, reflect.ValueOf(&e.row).Elem())
		default:
			c.added = append(c.added, reflect.ValueOf(&e.row).Elem())
		}
	}
}

func (s *tableStore[K, R]) written() {
	for _, entries := range []map[K]*entry[R]{s.recent, s.older} {
		for _, e := range entries {
			e.stored, e.dirty = e.exists, false
		}
	}
	s.added = nil
}

func (s *tableStore[K, R]) size() int { return s.bytes + len(s.added)*int(s.table.rel.rowSize()) }

func (s *tableStore[K, R]) turn() (c changes) {
	c.added, s.added = values(s.added), make([]R, 0, len(s.added)) // as many again will come
	s.collect(&c, s.older)
	s.absent = s.absent && len(s.older) == 0
	s.older, s.recent, s.bytes = s.recent, make(map[K]*entry[R]), 0
	return c
}

func (s *tableStore[K, R]) rows() []reflect.Value {
	all := values(s.added)
	for _, entries := range []map[K]*entry[R]{s.recent, s.older} {
		for _, e := range entries {
			if e.exists {
				all = append(all, reflect.ValueOf(&e.row).Elem())
			}
		}
	}
	return all
}

func values[R any](rows []R) []reflect.Value {
	all := make([]reflect.Value, len(rows))
	for i := range rows {
		all[i] = reflect.ValueOf(&rows[i]).Elem()
	}
	return all
}

// keyOf returns the key of a row, keyed a row that has only a key.
func (s *tableStore[K, R]) keyOf(row reflect.Value) (key K) {
	k := reflect.ValueOf(&key).Elem()
	if keys := s.table.rel.keys; len(keys) == 1 {
		k.Set(row.Field(keys[0].field))
	} else {
		for i, c := range keys {
			k.Field(i).Set(row.Field(c.field))
		}
	}
	return key
}

func (s *tableStore[K, R]) keyed(key K) reflect.Value {
	row, k := reflect.New(reflect.TypeFor[R]()).Elem(), reflect.ValueOf(key)
	if keys := s.table.rel.keys; len(keys) == 1 {
		row.Field(keys[0].field).Set(k)
	} else {
		for i, c := range keys {
			row.Field(c.field).Set(k.Field(i))
		}
	}
	return row
}
