package model

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/99designs/gqlgen/graphql"
	"github.com/google/uuid"

	"github.com/annal-crm/annal/domain"
	"github.com/annal-crm/annal/eventlog"
)

// text returns the string that a scalar was given as; no other type is turned into one.
func text(v any) (string, error) {
	s, ok := v.(string)
	switch {
	case !ok:
		return "", errors.New("must be a string")
	case !utf8.ValidString(s):
		return "", errors.New("must be UTF-8")
	case strings.IndexByte(s, 0) >= 0: // Postgres stores no NUL
		return "", errors.New("must not hold a NUL character")
	}
	return s, nil
}

// MarshalString writes a String.
func MarshalString(s string) graphql.Marshaler { return graphql.MarshalString(s) }

// UnmarshalString reads a String: UTF-8 without NUL.
func UnmarshalString(v any) (string, error) { return text(v) }

// MarshalID writes an ID.
func MarshalID(id uuid.UUID) graphql.Marshaler {
	return graphql.WriterFunc(func(w io.Writer) {
		var b [38]byte
		b[0], b[37] = '"', '"'
		text, _ := id.MarshalText()
		copy(b[1:], text)
		w.Write(b[:])
	})
}

// UnmarshalID reads an ID: a UUID in its usual form.
func UnmarshalID(v any) (uuid.UUID, error) {
	s, err := text(v)
	if err != nil {
		return uuid.Nil, err
	}
	id, err := uuid.Parse(s)
	if err != nil || len(s) != 36 || id == uuid.Nil {
		return uuid.Nil, errors.New("is not an id")
	}
	return id, nil
}

// MarshalTime writes a Time.
func MarshalTime(t time.Time) graphql.Marshaler {
	return graphql.WriterFunc(func(w io.Writer) {
		b := append(make([]byte, 0, 40), '"')
		w.Write(append(t.UTC().AppendFormat(b, time.RFC3339Nano), '"'))
	})
}

// UnmarshalTime reads a Time.
func UnmarshalTime(v any) (time.Time, error) {
	s, err := text(v)
	if err != nil {
		return time.Time{}, err
	}
	t, err := time.Parse(time.RFC3339, s)
	if err != nil || t.UTC().Year() < 1 || t.UTC().Year() > 9999 {
		return time.Time{}, errors.New("is not an instant like 2017-03-01T00:00:00Z")
	}
	if t.IsZero() { // the first instant of all, which Go takes for none
		t = t.Add(1)
	}
	return t.UTC(), nil
}

// MarshalDuration writes a Duration.
func MarshalDuration(d time.Duration) graphql.Marshaler { return graphql.MarshalString(shortest(d)) }

// shortest is Go's notation without the zero units at its end: 30m, not 30m0s.
func shortest(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = s[:len(s)-2]
	}
	if strings.HasSuffix(s, "h0m") {
		s = s[:len(s)-2]
	}
	return s
}

// UnmarshalDuration reads a Duration.
func UnmarshalDuration(v any) (time.Duration, error) {
	s, err := text(v)
	if err != nil {
		return 0, err
	}
	d, err := time.ParseDuration(s)
	if err != nil {
		return 0, errors.New("is not a length of time like 30m or 1h30m")
	}
	return d, nil
}

// MarshalDecimal writes a Decimal.
func MarshalDecimal(d domain.Decimal) graphql.Marshaler { return graphql.MarshalString(string(d)) }

// UnmarshalDecimal reads a Decimal.
func UnmarshalDecimal(v any) (domain.Decimal, error) {
	s, err := text(v)
	if err != nil {
		return "", err
	}
	return domain.ParseDecimal(s)
}

// MarshalPosition writes a Position.
func MarshalPosition(p eventlog.Position) graphql.Marshaler {
	return graphql.WriterFunc(func(w io.Writer) {
		b := append(make([]byte, 0, 22), '"')
		w.Write(append(strconv.AppendUint(b, uint64(p), 10), '"'))
	})
}

// UnmarshalPosition reads a Position.
func UnmarshalPosition(v any) (eventlog.Position, error) {
	s, err := text(v)
	if err != nil {
		return 0, err
	}
	p, err := eventlog.ParsePosition(s)
	if err != nil {
		return 0, errors.New("is not a position")
	}
	return p, nil
}

// MarshalJSON writes JSON as it stands.
func MarshalJSON(j json.RawMessage) graphql.Marshaler {
	return graphql.WriterFunc(func(w io.Writer) {
		if len(j) == 0 {
			j = json.RawMessage("null")
		}
		w.Write(j)
	})
}

// UnmarshalJSON reads any JSON value.
func UnmarshalJSON(v any) (json.RawMessage, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, fmt.Errorf("is not JSON: %w", err)
	}
	return b.Bytes(), nil
}
