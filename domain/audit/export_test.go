package audit

import (
	"strings"
	"testing"

	"github.com/annal-crm/annal/domain"
	"github.com/annal-crm/annal/domain/domaintest"
)

func TestReportsAndExports(t *testing.T) {
	type story = domaintest.Story[State, Event]
	read := func(wish ReportRead) func(State) ([]Event, error) {
		return func(State) ([]Event, error) { return ReadReport(wish) }
	}
	export := func(wish LogExported) func(State) ([]Event, error) {
		return func(State) ([]Event, error) { return ExportLog(wish) }
	}
	look := ReportRead{Act: Replayed, Report: "signins", Personal: []string{"source"}}
	file := LogExported{Of: []string{"after=0", "to=7"}, Personal: true, Format: "parquet"}
	long := domain.Invalid{"filter": "is too long: at most 50 values, of 500 bytes"}
	domaintest.Run(t, EventTypes, Evolve,
		story{Name: "a look at a report is a fact, each time", Given: []Event{look}, When: read(look), Then: []Event{look}},
		story{Name: "of no report", When: read(ReportRead{Act: Replayed}), Err: domain.Invalid{"report": "must be given"}},
		story{Name: "an unknown act", When: read(ReportRead{Act: "burnt", Report: "sales"}), Err: domain.Invalid{"act": "is unknown"}},
		story{Name: "a long condition", When: read(ReportRead{Act: Exported, Report: "sales", Of: []string{strings.Repeat("a", maxFilter+1)}}), Err: long},
		story{Name: "an export is a fact, each time", Given: []Event{file}, When: export(file), Then: []Event{file}},
		story{Name: "of nobody knows what", When: export(LogExported{Format: "parquet"}), Err: domain.Invalid{"filter": "must be given"}},
		story{Name: "in no format", When: export(LogExported{Of: []string{"to=7"}}), Err: domain.Invalid{"format": "must be given"}},
		story{Name: "of too many parts", When: export(LogExported{Of: make([]string, maxOf+1), Format: "ndjson"}), Err: long},
	)
}
