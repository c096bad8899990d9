package reporting

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/annal-crm/annal/domain"
	"github.com/annal-crm/annal/domain/domaintest"
)

type story = domaintest.Story[State, Event]

func TestStoredForms(t *testing.T) { domaintest.StoredForms(t, EventTypes) }

func TestEvolveKnowsEveryEvent(t *testing.T) { domaintest.KnowsEveryEvent(t, EventTypes, Evolve) }

var (
	first  = Definition{Base: "sales", Zone: "Asia/Shanghai", Measures: []Measure{{Name: "gtx", Of: []string{"won"}, Where: []Condition{{"product", []string{"GTX"}}}}}}
	second = Definition{Base: "sales", Events: Events{Without: []string{"opportunity.reopened"}}}
)

func TestAReportIsDefinedAgainAndAgain(t *testing.T) {
	define := func(name string, d Definition) func(State) ([]Event, error) {
		return func(s State) ([]Event, error) { return Define(s, name, d) }
	}
	retire := func(s State) ([]Event, error) { return Retire(s, "ours") }
	v1, v2, end := Defined{"ours", 1, first}, Defined{"ours", 2, second}, Retired{"ours"}
	var many []Event
	for i := range MaxReports {
		many = append(many, Defined{fmt.Sprint("r", i), 1, second})
	}
	utc, spaced := first, first
	utc.Zone, spaced.About = "UTC", "  Of GTX "
	plain, named := first, first
	plain.Zone, named.About = "", "Of GTX"
	domaintest.Run(t, EventTypes, Evolve,
		story{Name: "a new one", When: define("ours", first), Then: []Event{v1}},
		story{Name: "UTC is no zone of its own", When: define("ours", utc), Then: []Event{Defined{"ours", 1, plain}}},
		story{Name: "without space around texts", When: define("ours", spaced), Then: []Event{Defined{"ours", 1, named}}},
		story{Name: "the next version", Given: []Event{v1}, When: define("ours", second), Then: []Event{v2}},
		story{Name: "the same again", Given: []Event{v1}, When: define("ours", first)},
		story{Name: "an older version again", Given: []Event{v1, v2}, When: define("ours", first), Then: []Event{Defined{"ours", 3, first}}},
		story{Name: "another one", Given: []Event{v1}, When: define("报表", second), Then: []Event{Defined{"报表", 1, second}}},
		story{Name: "after its end", Given: []Event{v1, end}, When: define("ours", first), Then: []Event{Defined{"ours", 2, first}}},
		story{Name: "too many", Given: many, When: define("ours", first), Err: ErrFull},
		story{Name: "a change when there are as many as may be", Given: many, When: define("r7", first), Then: []Event{Defined{"r7", 2, first}}},
		story{Name: "the end", Given: []Event{v1}, When: retire, Then: []Event{end}},
		story{Name: "the end again", Given: []Event{v1, end}, When: retire},
		story{Name: "the end of nothing", When: retire, Err: ErrUnknown},
	)
}

func TestWhatADefinitionMayBe(t *testing.T) {
	long := strings.Repeat("é", 201)
	for name, c := range map[string]struct {
		change func(*Definition)
		field  string // empty: it may be
	}{
		"nothing changed":                {func(d *Definition) {}, ""},
		"no base":                        {func(d *Definition) { d.Base = "" }, "basedOn"},
		"a long description":             {func(d *Definition) { d.About = strings.Repeat("a", 501) }, "about"},
		"a zone of three parts":          {func(d *Definition) { d.Zone = "America/Argentina/Buenos_Aires" }, ""},
		"an abbreviation":                {func(d *Definition) { d.Zone = "CST" }, "timeZone"},
		"an offset":                      {func(d *Definition) { d.Zone = "+08:00" }, "timeZone"},
		"bands":                          {func(d *Definition) { d.Bands = []int{30, 60, 90} }, ""},
		"a band at once":                 {func(d *Definition) { d.Bands = []int{0, 30} }, "bands"},
		"bands that go back":             {func(d *Definition) { d.Bands = []int{30, 30} }, "bands"},
		"a band of a lifetime":           {func(d *Definition) { d.Bands = []int{10000} }, "bands"},
		"many bands":                     {func(d *Definition) { d.Bands = []int{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13} }, "bands"},
		"a condition":                    {func(d *Definition) { d.Where = []Condition{{"region", []string{"East", ""}}} }, ""},
		"a condition on nothing":         {func(d *Definition) { d.Where = []Condition{{"", []string{"x"}}} }, "where"},
		"a condition twice":              {func(d *Definition) { d.Where = []Condition{{"a", []string{"x"}}, {"a", []string{"y"}}} }, "where"},
		"a condition that nothing meets": {func(d *Definition) { d.Where = []Condition{{"a", nil}} }, "where"},
		"a long value":                   {func(d *Definition) { d.Where = []Condition{{"a", []string{long}}} }, "where"},
		"a value that is no text":        {func(d *Definition) { d.Where = []Condition{{"a", []string{"a\x00"}}} }, "where"},
		"many conditions":                {func(d *Definition) { d.Where = make([]Condition, 21) }, "where"},
		"a ratio": {func(d *Definition) {
			d.Measures = []Measure{{Name: "rate", Of: []string{"won"}, Per: []string{"won", "lost"}}}
		}, ""},
		"a measure without a name":     {func(d *Definition) { d.Measures = []Measure{{Of: []string{"won"}}} }, "measures.0.name"},
		"a measure with a spaced name": {func(d *Definition) { d.Measures = []Measure{{Name: "a b", Of: []string{"won"}}} }, "measures.0.name"},
		"a measure twice": {func(d *Definition) {
			d.Measures = []Measure{{Name: "a", Of: []string{"won"}}, {Name: "a", Of: []string{"lost"}}}
		}, "measures.1.name"},
		"a measure of nothing":  {func(d *Definition) { d.Measures = []Measure{{Name: "a"}} }, "measures.0.of"},
		"a measure of too much": {func(d *Definition) { d.Measures = []Measure{{Name: "a", Of: make([]string, 11)}} }, "measures.0.of"},
		"a narrowed ratio": {func(d *Definition) {
			d.Measures = []Measure{{Name: "a", Of: []string{"won"}, Per: []string{"lost"}, Where: []Condition{{"a", []string{"b"}}}}}
		}, "measures.0.where"},
		"a bad condition of a measure": {func(d *Definition) {
			d.Measures = []Measure{{Name: "a", Of: []string{"won"}, Where: []Condition{{"a", nil}}}}
		}, "measures.0.where"},
		"many measures":                     {func(d *Definition) { d.Measures = make([]Measure, 31) }, "measures"},
		"events":                            {func(d *Definition) { d.Events = Events{Actors: []uuid.UUID{uuid.New()}, From: time.Now()} }, ""},
		"events of a blank type":            {func(d *Definition) { d.Events.Types = []string{""} }, "events"},
		"events of nobody":                  {func(d *Definition) { d.Events.Actors = []uuid.UUID{uuid.Nil} }, "events"},
		"events that end before they begin": {func(d *Definition) { d.Events.From, d.Events.To = time.Now(), time.Now().Add(-time.Hour) }, "events"},
		"events of too many records":        {func(d *Definition) { d.Events.Streams = slices.Repeat([]uuid.UUID{uuid.New()}, 51) }, "events"},
		"events of a year beyond RFC 3339":  {func(d *Definition) { d.Events.To = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC) }, "events"},
	} {
		d := Definition{Base: "sales"}
		c.change(&d)
		made, err := Define(State{}, "ours", d)
		bad, _ := errors.AsType[domain.Invalid](err)
		if fields := slices.Collect(maps.Keys(bad)); c.field == "" && (err != nil || len(made) != 1) || c.field != "" && (len(fields) != 1 || fields[0] != c.field) {
			t.Errorf("%s: %v, %v", name, made, err)
		}
	}
	for _, name := range []string{"", "a b", "../x", "1st", strings.Repeat("a", 61)} {
		if _, err := Define(State{}, name, first); err == nil {
			t.Errorf("%q names a report", name)
		}
	}
}

func TestVersionsAreFound(t *testing.T) {
	s := domaintest.Fold[State, Event](t, EventTypes, Evolve, Defined{"ours", 1, first}, Defined{"ours", 2, second}, Defined{"old", 1, first}, Retired{"old"})
	if d, n, err := s.Find("ours", 0); err != nil || n != 2 || d.Base != "sales" || len(d.Events.Without) != 1 {
		t.Error(d, n, err)
	}
	if d, n, err := s.Find("ours", 1); err != nil || n != 1 || d.Zone != "Asia/Shanghai" {
		t.Error(d, n, err)
	}
	for _, c := range []struct {
		name    string
		version int
		err     error
	}{{"ours", 3, ErrVersion}, {"ours", -1, ErrVersion}, {"theirs", 0, ErrUnknown}, {"theirs", 1, ErrUnknown}, {"old", 0, ErrRetired}, {"old", 1, ErrRetired}} {
		if _, _, err := s.Find(c.name, c.version); !errors.Is(err, c.err) {
			t.Errorf("%s %d: %v", c.name, c.version, err)
		}
	}
	if d, err := s.Version("old", 1); err != nil || d.Base != "sales" {
		t.Error("a version of a retired report is gone:", err)
	}
	if names := s.Names(); !slices.Equal(names, []string{"ours"}) {
		t.Error(names)
	}
}
