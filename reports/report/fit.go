package report

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
)

// OneOf is a [Column.Wrong] of a dimension that has these values only.
func OneOf(values ...string) func(string) string {
	return func(v string) string {
		if slices.Contains(values, v) {
			return ""
		}
		return fmt.Sprintf("is never %q: %s", v, strings.Join(values, ", "))
	}
}

// unfit says what is wrong with the values that a filter names of a dimension: what could not be any would count nothing, and look
// like an answer. An empty one means that there is no value.
func (c Column) unfit(values []string) string {
	if len(values) == 0 {
		return "is in no value at all: name one, an empty text for none"
	}
	for _, v := range values {
		var err error
		switch {
		case v == "":
		case c.Kind == Account || c.Kind == Customer:
			if _, err = uuid.Parse(v); err != nil {
				return fmt.Sprintf("is given by its id, and %q is not an id", v)
			}
		case c.Kind == Month:
			if _, err = time.Parse("2006-01", v); err != nil {
				return fmt.Sprintf("is like 2017-03, not %q", v)
			}
		case c.Kind == Day:
			if _, err = time.Parse(time.DateOnly, v); err != nil {
				return fmt.Sprintf("is like 2017-03-01, not %q", v)
			}
		case c.Wrong != nil:
			if wrong := c.Wrong(v); wrong != "" {
				return wrong
			}
		}
	}
	return ""
}
