package eventcodec

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/google/uuid"

	"github.com/annal-crm/annal/domain"
	"github.com/annal-crm/annal/internal/vault"
)

var sealedPrefix = []byte(vault.SealedPrefix)

// metaPrefix sets a metadata field's place apart from that of a data field of the same name.
const metaPrefix = "metadata."

// seal returns data with the values of its personal fields sealed for a subject.
func (c *Codec) seal(ctx context.Context, data []byte, fields []string, subject uuid.UUID, place vault.Place, prefix string) ([]byte, error) {
	var key *vault.Key
	var out []byte
	copied := 0
	err := personal(data, fields, func(name string, from, to int) (err error) {
		if key == nil {
			key, err = c.vault.Key(ctx, vault.Subject{Organization: place.Stream.Organization, ID: subject})
			if err != nil {
				return fmt.Errorf("eventcodec: seal %s: %w", place.Type, err)
			}
		}
		place.Field = prefix + name
		out = key.Seal(append(out, data[copied:from]...), place, data[from:to])
		copied = to
		return nil
	})
	if err != nil || copied == 0 {
		return data, err
	}
	return append(out, data[copied:]...), nil
}

// personal calls f with the name of each personal value in data and where it stands. A value of a map whose values are sealed
// one by one is named after the map and its key: "personal.phone".
func personal(data []byte, fields []string, f func(name string, from, to int) error) error {
	return members(data, func(name []byte, from, to int) error {
		if slices.Contains(fields, string(name)) {
			return f(string(name), from, to)
		}
		if data[from] != '{' || !slices.Contains(fields, string(name)+domain.EachValue) {
			return nil
		}
		return members(data[from:to], func(key []byte, within, until int) error {
			return f(string(name)+"."+string(key), from+within, from+until)
		})
	})
}

// opened returns the value of a personal field: itself if it stands in clear. An erased one is nil, or instead as a JSON
// string if that is not empty; every one is, if instead is hidden.
func opened(scratch []byte, key *vault.Key, place vault.Place, stored []byte, instead string) ([]byte, error) {
	if instead == hidden {
		return quoted[instead], nil
	}
	if !bytes.HasPrefix(stored, sealedPrefix) {
		return stored, nil
	}
	if key == nil {
		return nil, fmt.Errorf("%w: %s of %s in %s %s", vault.ErrNoKey, place.Field, place.Type, place.Stream.Category, place.Stream.ID)
	}
	value, err := key.Open(scratch, place, stored)
	if errors.Is(err, vault.ErrErased) {
		return quoted[instead], nil
	}
	return value, err
}

// quoted holds what stands in for a personal field; nothing for "".
var quoted = map[string][]byte{erased: []byte(`"` + erased + `"`), hidden: []byte(`"` + hidden + `"`)}

// open returns data with its personal fields opened, or replaced.
func (f *Event) open(data []byte, instead string) ([]byte, error) {
	if len(f.entry.sealed) == 0 {
		return data, nil
	}
	var out, scratch []byte
	copied := 0
	err := personal(data, f.entry.sealed, func(name string, from, to int) error {
		value, err := opened(scratch[:0], f.dataKey, vault.Place{Stream: f.Stream, Type: f.Type, Field: name}, data[from:to], instead)
		out = append(append(out, data[copied:from]...), value...)
		copied = to
		return err
	})
	return append(out, data[copied:]...), err
}

// members calls f with the name of each member of a JSON object and where its value stands. It trusts that data is JSON (a log
// takes nothing else) and reports only what is not an object.
func members(data []byte, f func(name []byte, from, to int) error) error {
	i := space(data, 0)
	if i >= len(data) || data[i] != '{' {
		return errMalformed
	}
	for i = space(data, i+1); i < len(data) && data[i] == '"'; i = space(data, i) {
		end := value(data, i)
		name := data[i+1 : max(end-1, i+1)]
		if i = space(data, end); i >= len(data) || data[i] != ':' {
			return errMalformed
		}
		from := space(data, i+1)
		to := value(data, from)
		if err := f(name, from, to); err != nil {
			return err
		}
		if i = space(data, to); i < len(data) && data[i] == ',' {
			i++
		}
	}
	if i >= len(data) || data[i] != '}' {
		return errMalformed
	}
	return nil
}

// value returns where the JSON value that starts at i ends.
func value(data []byte, i int) int {
	depth := 0
	for ; i < len(data); i++ {
		switch data[i] {
		case '"':
			i = quote(data, i+1)
			if depth == 0 {
				return min(i+1, len(data))
			}
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth == 0 {
				return i + 1
			}
			if depth < 0 { // the end of the object around a number
				return i
			}
		case ',', ' ', '\n', '\t', '\r':
			if depth == 0 {
				return i
			}
		}
	}
	return min(i, len(data))
}

// quote returns where the quote is that ends the string of which the text starts at i.
func quote(data []byte, i int) int {
	for i < len(data) {
		end := bytes.IndexByte(data[i:], '"')
		if end < 0 {
			return len(data)
		}
		escape := bytes.IndexByte(data[i:i+end], '\\')
		if escape < 0 {
			return i + end
		}
		i += escape + 2
	}
	return len(data)
}

func space(data []byte, i int) int {
	for i < len(data) && (data[i] == ' ' || data[i] == '\n' || data[i] == '\t' || data[i] == '\r') {
		i++
	}
	return i
}
