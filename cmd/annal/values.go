package main

import (
	"fmt"
	"reflect"
	"time"

	"github.com/alecthomas/kong"
	"github.com/google/uuid"
)

// values reads flags of types that people write in more than one way, or wrongly in ways that the types' own parsers do not
// say clearly.
var values = []kong.Option{
	kong.TypeMapper(reflect.TypeFor[time.Time](), scanned(instant)),
	kong.TypeMapper(reflect.TypeFor[uuid.UUID](), scanned(func(text string) (uuid.UUID, error) {
		id, err := uuid.Parse(text)
		if err != nil {
			return id, fmt.Errorf("%q is not an id: an id is written like 01890a5d-ac96-774b-bcce-b302099a8057", text)
		}
		return id, nil
	})),
}

// instant reads a time, or the day that it begins, in UTC. The very first instant, which Go takes for none, is the next one.
func instant(text string) (time.Time, error) {
	for _, form := range []string{time.RFC3339Nano, time.DateOnly} {
		if t, err := time.Parse(form, text); err == nil && t.IsZero() {
			return t.Add(1), nil
		} else if err == nil {
			return t, nil
		}
	}
	return time.Time{}, fmt.Errorf("%q is not a time: write 2017-03-01T09:00:00Z, or 2017-03-01 for the beginning of that day in UTC", text)
}

func scanned[T any](parse func(string) (T, error)) kong.MapperFunc {
	return func(ctx *kong.DecodeContext, target reflect.Value) error {
		var text string
		if err := ctx.Scan.PopValueInto("value", &text); err != nil {
			return err
		}
		v, err := parse(text)
		if err == nil {
			target.Set(reflect.ValueOf(v))
		}
		return err
	}
}
