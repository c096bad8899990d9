package domain

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
)

// Event is what every event of an aggregate can say of itself.
type Event interface {
	// Summary says in one line of English what happened, without who did it. It names other accounts by their ids; an event
	// that does so lists them in a method Accounts() []uuid.UUID.
	Summary() string
}

// Reassigned says that a record went from one owner to another; zero: nobody.
func Reassigned(from, to uuid.UUID) string {
	switch {
	case to == uuid.Nil:
		return "no longer assigned to " + from.String()
	case from == uuid.Nil:
		return "assigned to " + to.String()
	}
	return fmt.Sprintf("reassigned from %s to %s", from, to)
}

// Changes collects what an event says of edited fields.
type Changes []string

// Add takes a field and its change; nil: it was not edited.
func (c *Changes) Add(field string, change *Change) {
	switch {
	case change == nil:
	case change.From == change.To: // hidden or erased
		*c = append(*c, fmt.Sprintf("%s changed (%s)", field, change.To))
	case change.From == "":
		*c = append(*c, fmt.Sprintf("%s set to %q", field, change.To))
	case change.To == "":
		*c = append(*c, fmt.Sprintf("%s %q cleared", field, change.From))
	default:
		*c = append(*c, fmt.Sprintf("%s changed from %q to %q", field, change.From, change.To))
	}
}

// AddAll takes changes by the names of their fields.
func (c *Changes) AddAll(changes map[string]Change) {
	for _, field := range slices.Sorted(maps.Keys(changes)) {
		change := changes[field]
		c.Add(field, &change)
	}
}

// String returns the changes in one line. Only an import edits nothing: it notes what people have made so already.
func (c Changes) String() string {
	if len(c) == 0 {
		return "imported again, nothing changed"
	}
	return strings.Join(c, ", ")
}

// Summary says that a subject was erased.
func (e Erased) Summary() string { return "erased: " + e.Reason }

// At writes an instant as summaries do.
func At(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") }

// Words makes a stored word readable: "not_activated" is "not activated".
func Words[S ~string](stored S) string { return strings.ReplaceAll(string(stored), "_", " ") }
