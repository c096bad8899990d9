// Package audit keeps who looked at what: that a life was replayed or exported is
// itself a fact.
//
// Each reader has a stream, so that reading never waits for another's decision.
// [Evolve] folds it into a [State]; [RecordRead] returns the event of a look, [Check] that
// of a check of the log, [Rebuild] that of a report folded again, [ReadReport] that of a
// look by way of a report, [ExportLog] that of an export. What they were about is for
// people to read: no rule remembers it.
package audit

import (
	"fmt"
	"strings"

	"github.com/google/uuid"

	"github.com/annal-crm/annal/domain"
	"github.com/annal-crm/annal/domain/account"
)

// Category names the streams of readers. The id is the reader's account; the organization's, if the program itself reads.
const Category = "audit"

// Event is a fact about one reader.
type Event interface {
	domain.Event
	auditEvent()
}

// EventTypes names every event for storage. A name is for ever; its Go type is not.
var EventTypes = domain.NewEventTypes(map[string]Event{
	"audit.read":           Read{},
	"audit.checked":        Checked{},
	"audit.report_rebuilt": Rebuilt{},
	"audit.report_read":    ReportRead{},
	"audit.log_exported":   LogExported{},
	"audit.key_replaced":   KeyReplaced{},
})

// Act is what was done.
type Use string

const (
	Replayed Use = "replayed" // a life was shown
	Exported Use = "exported" // a life was written to a file
)

// Read says that somebody looked at the whole life of an account or customer, or at a part of it.
type Read struct {
	Act     Use       `json:"act"`
	Kind    string    `json:"kind"`              // the category of the subject's stream
	Subject uuid.UUID `json:"subject"`           // whose life
	Filters []string  `json:"filters,omitempty"` // "types=account.locked", "from=2026-01-01T00:00:00Z"; of addresses and devices just that there was one
	Format  string    `json:"format,omitempty"`  // of an export
}

func (Read) auditEvent() {}

// done says what was done, behind what it was done to.
func (a Use) done() string {
	if a == Replayed {
		return " shown"
	}
	return " " + string(a)
}

// of names what something was narrowed to; nothing if it was not.
func of(conditions []string) string {
	if len(conditions) == 0 {
		return ""
	}
	return ", with " + strings.Join(conditions, ", ")
}

func (e Read) Summary() string {
	return fmt.Sprintf("timeline of %s %s%s%s", e.Kind, e.Subject, e.Act.done(), of(e.Filters))
}

// Accounts lists the account that the summary names.
func (e Read) Accounts() []uuid.UUID { return account.Named(e.Kind, e.Subject) }

// State is what is remembered of a reader.
type State struct {
	Reads    int
	Checks   int
	Rebuilds int
	Reports  int // looked into
	Exports  int
	Keys     int // replaced
}

// Evolve returns s as e leaves it. It never refuses: an event has happened.
func Evolve(s State, e Event) State {
	switch e.(type) {
	case Read:
		s.Reads++
	case Checked:
		s.Checks++
	case Rebuilt:
		s.Rebuilds++
	case ReportRead:
		s.Reports++
	case LogExported:
		s.Exports++
	case KeyReplaced:
		s.Keys++
	default:
		panic(fmt.Sprintf("audit: Evolve lacks %T", e))
	}
	return s
}

// maxFilters and maxFilter bound what one look may write: a reader must not fill the log with the words of a filter.
const (
	maxFilters = 10
	maxFilter  = 500 // bytes
)

// RecordRead records a look.
func RecordRead(wish Read) ([]Event, error) {
	bad := domain.Invalid{}
	if wish.Act != Replayed && wish.Act != Exported {
		bad["act"] = "is unknown"
	}
	if wish.Kind == "" || wish.Subject == uuid.Nil {
		bad["subject"] = "must be given"
	}
	long := len(wish.Filters) > maxFilters
	for _, f := range wish.Filters {
		long = long || len(f) > maxFilter
	}
	if long {
		bad["filter"] = "is too long"
	}
	if err := bad.Err(); err != nil {
		return nil, err
	}
	return []Event{wish}, nil
}
