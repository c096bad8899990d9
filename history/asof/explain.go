package asof

import (
	"bytes"
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/annal-crm/annal/internal/eventcodec"
)

// Value is a field of a record, under its name in the API: "loginName", "attributes.employees".
type Value struct {
	Name string
	JSON json.RawMessage // null: it has none
}

// Known is a record as of some past.
type Known[R any] struct {
	Row    R
	Exists bool
	// Origins tell which event changed a field last. A field that never had a value is not among them.
	Origins map[string]*eventcodec.Event
}

// Explain folds the events of one record, one by one, with its read model's fold (customers.Of, say), and looks which fields each
// of them changed.
func Explain[R any](id uuid.UUID, history []*eventcodec.Event, fold func(uuid.UUID, []*eventcodec.Event, func(*eventcodec.Event, R)) (R, bool, error)) (Known[R], error) {
	r := Known[R]{Origins: make(map[string]*eventcodec.Event)}
	var before R
	var err error
	r.Row, r.Exists, err = fold(id, history, func(f *eventcodec.Event, row R) {
		for _, name := range changed(reflect.ValueOf(&before).Elem(), reflect.ValueOf(&row).Elem()) {
			r.Origins[name] = f
		}
		before = row
	})
	return r, err
}

// Values returns the fields of a row that say something about the record itself, in their order.
func Values(row any) (values []Value) {
	v := reflect.ValueOf(row)
	for _, f := range fieldsOf(v.Type()) {
		if f.object {
			texts := object(v.Field(f.index).Bytes())
			for _, name := range slices.Sorted(maps.Keys(texts)) {
				values = append(values, Value{f.name + "." + name, texts[name]})
			}
			continue
		}
		values = append(values, Value{f.name, text(v.Field(f.index))})
	}
	return values
}

// text is a field in JSON; what a table keeps as NULL is null.
func text(v reflect.Value) json.RawMessage {
	if v.IsZero() && v.Kind() != reflect.Bool && v.Kind() != reflect.Slice {
		return json.RawMessage("null")
	}
	if v.Kind() == reflect.Slice && v.IsNil() {
		return json.RawMessage("[]")
	}
	value := v.Interface()
	if t, ok := value.(time.Time); ok {
		value = t.UTC()
	}
	b, err := json.Marshal(value)
	if err != nil { // rows are of plain types
		panic(err)
	}
	return b
}

// changed names the fields in which two rows differ.
func changed(a, b reflect.Value) (names []string) {
	for _, f := range fieldsOf(a.Type()) {
		x, y := a.Field(f.index), b.Field(f.index)
		switch {
		case !f.object:
			if !reflect.DeepEqual(x.Interface(), y.Interface()) {
				names = append(names, f.name)
			}
		case !bytes.Equal(x.Bytes(), y.Bytes()):
			was, is := object(x.Bytes()), object(y.Bytes())
			for name, value := range is {
				if !bytes.Equal(was[name], value) {
					names = append(names, f.name+"."+name)
				}
			}
			for name := range was {
				if _, there := is[name]; !there {
					names = append(names, f.name+"."+name)
				}
			}
		}
	}
	return names
}

func object(b []byte) (fields map[string]json.RawMessage) {
	if len(b) > 0 && json.Unmarshal(b, &fields) != nil {
		return map[string]json.RawMessage{"": b}
	}
	return fields
}

// field is a column of a row.
type field struct {
	name   string // in the API
	index  int
	object bool // a JSON object, each of whose members is a field of its own
}

// about are the columns that are about the row, not about the record: they change with every event, or never.
var about = []string{"id", "organization", "updated_at", "version", "position"}

var known sync.Map // of reflect.Type to []field

func fieldsOf(row reflect.Type) []field {
	if fields, ok := known.Load(row); ok {
		return fields.([]field)
	}
	var fields []field
	for i := range row.NumField() {
		column, _, _ := strings.Cut(row.Field(i).Tag.Get("db"), ",")
		if !slices.Contains(about, column) {
			fields = append(fields, field{camel(column), i, row.Field(i).Type == reflect.TypeFor[json.RawMessage]()})
		}
	}
	known.Store(row, fields)
	return fields
}

// camel turns login_name into loginName.
func camel(column string) string {
	parts := strings.Split(column, "_")
	for i, p := range parts[1:] {
		parts[i+1] = strings.ToUpper(p[:1]) + p[1:]
	}
	return strings.Join(parts, "")
}
