package audit

import (
	"fmt"
	"strings"

	"github.com/annal-crm/annal/domain"
	"github.com/annal-crm/annal/domain/reporting"
)

// ReportRead says that somebody looked at what people did by way of a report: at the events behind its rows, or at columns that
// are personal. What a report only counts is not on record.
type ReportRead struct {
	Act        Use      `json:"act"`
	Report     string   `json:"report"`
	Definition int      `json:"definition,omitempty"` // version of an organization's own report
	Of         []string `json:"of,omitempty"`         // "region=East", "happenedBy=2026-01-01T00:00:00Z"; of personal dimensions just that there was a condition
	Personal   []string `json:"personal,omitempty"`   // columns that were opened
	Events     int      `json:"events,omitempty"`     // that were behind the rows, if they were shown and it is known
	Format     string   `json:"format,omitempty"`     // of an export
}

// LogExported says that events were written to a file as the log has them.
type LogExported struct {
	Of       []string `json:"of"`               // "after=0", "to=4711", "type=opportunity.won": with the log it tells which
	Personal bool     `json:"personal"`         // with personal fields open
	Events   int64    `json:"events,omitempty"` // if it was known before
	Format   string   `json:"format"`
}

func (ReportRead) auditEvent()  {}
func (LogExported) auditEvent() {}

func (e ReportRead) Summary() string {
	what := "events behind it"
	if len(e.Personal) > 0 {
		what = "personal fields (" + strings.Join(e.Personal, ", ") + ")"
	}
	return "report " + reporting.Called(e.Report, e.Definition) + ": " + what + e.Act.done() + of(e.Of)
}

func (e LogExported) Summary() string {
	fields := "sealed"
	if e.Personal {
		fields = "open"
	}
	return fmt.Sprintf("events exported, personal fields %s%s", fields, of(e.Of))
}

// ReadReport records a look by way of a report.
func ReadReport(wish ReportRead) ([]Event, error) {
	bad := domain.Invalid{}
	if wish.Act != Replayed && wish.Act != Exported {
		bad["act"] = "is unknown"
	}
	if wish.Report == "" {
		bad["report"] = "must be given"
	}
	checkOf(bad, wish.Of)
	if err := bad.Err(); err != nil {
		return nil, err
	}
	return []Event{wish}, nil
}

// ExportLog records an export of the log.
func ExportLog(wish LogExported) ([]Event, error) {
	bad := domain.Invalid{}
	if wish.Format == "" {
		bad["format"] = "must be given"
	}
	if len(wish.Of) == 0 {
		bad["filter"] = "must be given"
	}
	checkOf(bad, wish.Of)
	if err := bad.Err(); err != nil {
		return nil, err
	}
	return []Event{wish}, nil
}

func checkOf(bad domain.Invalid, of []string) {
	long := len(of) > maxOf
	for _, one := range of {
		long = long || len(one) > maxFilter
	}
	if long {
		bad["filter"] = "is too long: at most 50 values, of 500 bytes"
	}
}
