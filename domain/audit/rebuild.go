package audit

import (
	"fmt"
	"regexp"

	"github.com/google/uuid"

	"github.com/annal-crm/annal/domain"
)

// Rebuilt says that somebody had a report rebuilt from a chosen part of the log, into a named result.
type Rebuilt struct {
	Result uuid.UUID `json:"result"`
	Name   string    `json:"name"`
	Report string    `json:"report"`
	Of     []string  `json:"of,omitempty"` // "definition=2", "knownAt=2026-01-01T00:00:00Z", "type=opportunity.won"; none: all of it
}

func (Rebuilt) auditEvent() {}

func (e Rebuilt) Summary() string {
	return fmt.Sprintf("report %s rebuilt as %q%s", e.Report, e.Name, of(e.Of))
}

// resultName is short and plain, so that it can stand in a list and in a file's name.
var resultName = regexp.MustCompile(`^[\pL\pN][\pL\pN ._-]{0,59}$`)

// maxOf bounds how many conditions choose a part of the log.
const maxOf = 50

// Rebuild records that a report was rebuilt.
func Rebuild(wish Rebuilt) ([]Event, error) {
	bad := domain.Invalid{}
	if !resultName.MatchString(wish.Name) {
		bad["name"] = "has 1 to 60 letters, digits, spaces and . _ -, and begins with a letter or digit"
	}
	if wish.Result == uuid.Nil || wish.Report == "" {
		bad["report"] = "must be told"
	}
	checkOf(bad, wish.Of)
	if err := bad.Err(); err != nil {
		return nil, err
	}
	return []Event{wish}, nil
}
