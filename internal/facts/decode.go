package facts

import (
	"bytes"
	"encoding"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"

	"github.com/annal-crm/annal/domain"
	"github.com/annal-crm/annal/internal/vault"
)

// form decodes the stored form of one struct type. It does what encoding/json does, opens sealed fields on the way, and takes
// a third of the time: a replay is bound by this. What is not a plain string or a struct of them it leaves to encoding/json.
type form struct {
	goType reflect.Type
	fields map[string]field
}

type field struct {
	index  int
	sealed bool
	set    func(reflect.Value, []byte) error
}

func formOf(t reflect.Type, sealed []string) form {
	f := form{t, make(map[string]field, t.NumField())}
	for i := range t.NumField() {
		name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
		f.fields[name] = field{index: i, set: setter(t.Field(i).Type)}
	}
	for _, name := range sealed {
		field := f.fields[name]
		field.sealed = true
		if t := t.Field(field.index).Type; t.Kind() != reflect.String && t != reflect.TypeFor[*domain.Change]() {
			set := field.set
			field.set = func(v reflect.Value, b []byte) error { // there is no way to say in a map that it is hidden
				if b[0] == '"' {
					return nil
				}
				return set(v, b)
			}
		}
		f.fields[name] = field
	}
	return f
}

// decode returns a new value of the form's type. place is where data stands, key opens its sealed fields; for instead see
// [opened].
func (f form) decode(data []byte, key *vault.Key, place vault.Place, prefix, instead string) (reflect.Value, error) {
	v := reflect.New(f.goType).Elem()
	var spare [256]byte // on the stack: most fields fit
	err := members(data, func(name []byte, from, to int) (err error) {
		field, ok := f.fields[string(name)]
		if !ok {
			return nil
		}
		value := data[from:to]
		if field.sealed {
			place.Field = string(name)
			if prefix != "" {
				place.Field = prefix + place.Field
			}
			if value, err = opened(spare[:0], key, place, value, instead); err != nil {
				return err
			}
		}
		if len(value) == 0 || string(value) == "null" {
			return nil
		}
		return field.set(v.Field(field.index), value)
	})
	return v, err
}

// setter returns how a JSON value is set into a field of a type.
func setter(t reflect.Type) func(reflect.Value, []byte) error {
	pointer := reflect.PointerTo(t)
	switch {
	case t == reflect.TypeFor[*domain.Change]():
		return setChange
	case pointer.Implements(reflect.TypeFor[json.Unmarshaler]()):
		return func(v reflect.Value, b []byte) error { return v.Addr().Interface().(json.Unmarshaler).UnmarshalJSON(b) }
	case pointer.Implements(reflect.TypeFor[encoding.TextUnmarshaler]()):
		return func(v reflect.Value, b []byte) error {
			if s, ok := plain(b); ok {
				return v.Addr().Interface().(encoding.TextUnmarshaler).UnmarshalText(s)
			}
			return setAny(v, b)
		}
	case t.Kind() == reflect.String:
		return func(v reflect.Value, b []byte) error {
			if s, ok := plain(b); ok {
				v.SetString(string(s))
				return nil
			}
			return setAny(v, b)
		}
	}
	return setAny
}

func setAny(v reflect.Value, b []byte) error { return json.Unmarshal(b, v.Addr().Interface()) }

// setChange also takes a plain string: the word that stands for a hidden or erased change.
func setChange(v reflect.Value, b []byte) error {
	c := new(domain.Change)
	v.Set(reflect.ValueOf(c))
	if s, ok := plain(b); ok {
		c.From, c.To = string(s), string(s)
		return nil
	}
	return members(b, func(name []byte, from, to int) error {
		into := &c.To
		switch string(name) {
		case "from":
			into = &c.From
		case "to":
		default:
			return nil
		}
		if s, ok := plain(b[from:to]); ok {
			*into = string(s)
			return nil
		}
		return json.Unmarshal(b[from:to], into)
	})
}

// plain returns the text of a JSON string without escapes.
func plain(b []byte) ([]byte, bool) {
	if len(b) < 2 || b[0] != '"' || bytes.IndexByte(b, '\\') >= 0 {
		return nil, false
	}
	return b[1 : len(b)-1], true
}

var metadataForm = formOf(reflect.TypeFor[domain.Metadata](), domain.SealedMetadata)

func (f *Fact) decode(instead string) (any, error) {
	if f.entry == nil || f.Schema > f.entry.schema {
		return nil, fmt.Errorf("%w: %q, version %d", domain.ErrUnknownEvent, f.Type, f.Schema)
	}
	v, err := f.entry.form.decode(f.Data, f.dataKey, vault.Place{Stream: f.Stream, Type: f.Type}, "", instead)
	if err != nil {
		return nil, fmt.Errorf("facts: decode %s of %s %s: %w", f.Type, f.Stream.Category, f.Stream.ID, err)
	}
	return v.Interface(), nil
}

func (f *Fact) metadata(instead string) (domain.Metadata, error) {
	v, err := metadataForm.decode(f.Meta, f.metaKey, vault.Place{Stream: f.Stream, Type: f.Type}, metaPrefix, instead)
	if err != nil {
		return domain.Metadata{}, fmt.Errorf("facts: metadata of %s in %s %s: %w", f.Type, f.Stream.Category, f.Stream.ID, err)
	}
	return v.Interface().(domain.Metadata), nil
}
