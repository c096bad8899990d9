package reporting

import (
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/annal-crm/annal/domain"
)

// Category names the stream of an organization's own reports. Its id is the organization's.
const Category = "report"

// Event is a fact about one report of an organization's own.
type Event interface {
	domain.Event
	reportEvent()
}

// EventTypes names every event for storage. A name is for ever; its Go type is not.
var EventTypes = domain.NewEventTypes(map[string]Event{
	"report.defined": Defined{},
	"report.retired": Retired{},
})

// Defined is a version of a report's definition, whole.
type Defined struct {
	Name       string     `json:"name"`
	Version    int        `json:"version"` // from 1
	Definition Definition `json:"definition"`
}

// Retired ends a report. Its versions stay, for the results that were made under them.
type Retired struct {
	Name string `json:"name"`
}

func (Defined) reportEvent() {}
func (Retired) reportEvent() {}

func (e Defined) Summary() string {
	return fmt.Sprintf("report %s defined, based on %s", Called(e.Name, e.Version), e.Definition.Base)
}

func (e Retired) Summary() string { return fmt.Sprintf("report %s retired", e.Name) }

// Called names a report in a summary, with the version of its definition; 0: it is a built-in one.
func Called(report string, version int) string {
	if version == 0 {
		return report
	}
	return fmt.Sprintf("%s (version %d)", report, version)
}

// Definition says what a report is: a built-in one, and what is changed in it.
type Definition struct {
	About    string      `json:"about,omitempty"`
	Base     string      `json:"base"`               // the built-in report
	Events   Events      `json:"events,omitzero"`    // that are folded
	Where    []Condition `json:"where,omitempty"`    // which rows count; all must hold
	Zone     string      `json:"zone,omitempty"`     // of days and months, an IANA name; empty: UTC
	Bands    []int       `json:"bands,omitempty"`    // where ages begin anew, in days; none: the built-in ones
	Measures []Measure   `json:"measures,omitempty"` // besides the built-in ones
}

// Events are those that meet all that is given. The zero value is all of them.
type Events struct {
	Types   []string    `json:"types,omitempty"`   // any of them
	Without []string    `json:"without,omitempty"` // none of these types
	Actors  []uuid.UUID `json:"actors,omitempty"`  // done by any of them
	Streams []uuid.UUID `json:"streams,omitempty"` // of any of these records
	From    time.Time   `json:"from,omitzero"`     // From <= it happened < To
	To      time.Time   `json:"to,omitzero"`
}

// IsZero reports whether these are all events.
func (e Events) IsZero() bool {
	return len(e.Types)+len(e.Without)+len(e.Actors)+len(e.Streams) == 0 && e.From.IsZero() && e.To.IsZero()
}

// Condition is met by rows whose dimension has one of some values, as texts; an empty one means that it has none.
type Condition struct {
	Dimension string   `json:"dimension"`
	In        []string `json:"in"`
}

// Measure is a sum of measures, of the rows alone that meet all conditions; or such a sum for each of another one, which is no
// number where that is 0. The measures are built-in ones, or own ones that stand before it and are no ratios.
type Measure struct {
	Name  string      `json:"name"`
	About string      `json:"about,omitempty"`
	Of    []string    `json:"of"`
	Where []Condition `json:"where,omitempty"`
	Per   []string    `json:"per,omitempty"`
}
