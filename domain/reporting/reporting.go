// Package reporting decides what reports of its own an organization has.
//
// A report of one's own is a built-in one with something changed, under a name: a
// [Definition]. Each change is its next version, and no version is ever lost, so that a
// result can be told by the definition it was made under. [Evolve] folds an organization's
// stream into a [State]; [Define] and [Retire] return the events of a wish. Whether the
// built-in report, its dimensions and measures are there is for the caller to know.
package reporting

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/annal-crm/annal/domain"
)

// What the rules forbid.
var (
	ErrUnknown = domain.Refuse(domain.CodeNotFound, "your organization has no such report")
	ErrVersion = domain.Refuse(domain.CodeNotFound, "the report has no such version")
	ErrRetired = domain.Refuse(domain.CodeConflict, "the report was retired: define it again to use it")
	ErrFull    = domain.Refuse(domain.CodeConflict, "the organization has defined a hundred reports: retire one first")
)

// State is an organization's own reports, by name.
type State struct {
	Reports map[string]Report
}

// Report is one of them.
type Report struct {
	Versions []Definition // the first is version 1
	Retired  bool
}

// Evolve returns s as e leaves it. It never refuses: an event has happened.
func Evolve(s State, e Event) State {
	next := maps.Clone(s.Reports)
	if next == nil {
		next = make(map[string]Report)
	}
	switch e := e.(type) {
	case Defined:
		next[e.Name] = Report{Versions: append(slices.Clip(s.Reports[e.Name].Versions), e.Definition)}
	case Retired:
		next[e.Name] = Report{Versions: s.Reports[e.Name].Versions, Retired: true}
	default:
		panic(fmt.Sprintf("reporting: Evolve lacks %T", e))
	}
	return State{next}
}

// Version returns a version of a report, retired or not. Errors: [ErrUnknown], [ErrVersion].
func (s State) Version(name string, version int) (Definition, error) {
	r, ok := s.Reports[name]
	switch {
	case !ok:
		return Definition{}, ErrUnknown
	case version < 1 || version > len(r.Versions):
		return Definition{}, ErrVersion
	}
	return r.Versions[version-1], nil
}

// Find returns a version of a report that is in use; 0: the newest. Errors: [ErrUnknown], [ErrRetired], [ErrVersion].
func (s State) Find(name string, version int) (Definition, int, error) {
	r := s.Reports[name]
	if r.Retired {
		return Definition{}, 0, ErrRetired
	}
	if version == 0 {
		version = len(r.Versions)
	}
	d, err := s.Version(name, version)
	return d, version, err
}

// Names are those of the reports in use, sorted.
func (s State) Names() (names []string) {
	for name, r := range s.Reports {
		if !r.Retired {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// Bounds of a definition: what a person can still read, and a query of a few kilobytes.
const (
	MaxReports    = 100 // in use
	maxAbout      = 500
	maxConditions = 20
	maxValues     = 200
	maxMeasures   = 30
	maxParts      = 10 // of a measure
	maxBands      = 12
	maxBand       = 9999 // days
	maxEvents     = 50   // values of each kind that choose events
)

// Names of reports are typed on a command line, those of measures are keys of JSON.
var (
	reportName  = regexp.MustCompile(`^\pL[\pL\pN_-]{0,59}$`)
	measureName = regexp.MustCompile(`^\pL[\pL\pN_]{0,39}$`)
	zoneName    = regexp.MustCompile(`^[A-Za-z]+(/[A-Za-z0-9_+-]+){1,2}$`)
)

// Define makes a report, or the next version of one; one that was retired is in use again. What is so already leads to no event.
func Define(s State, name string, d Definition) ([]Event, error) {
	bad := domain.Invalid{}
	if !reportName.MatchString(name) {
		bad["name"] = "has 1 to 60 letters, digits, - and _, and begins with a letter"
	}
	if d.Base == "" {
		bad["basedOn"] = "must not be blank"
	}
	d.About = bad.Text("about", d.About, maxAbout)
	if d.Zone == "UTC" {
		d.Zone = ""
	}
	if d.Zone != "" && !zoneName.MatchString(d.Zone) {
		bad["timeZone"] = "is not the name of a time zone, like Asia/Shanghai"
	}
	if len(d.Bands) > maxBands || !increasing(d.Bands) {
		bad["bands"] = "are at most 12 numbers of days, each greater than the one before, from 1 to 9999"
	}
	d.Events.From, d.Events.To = d.Events.From.UTC(), d.Events.To.UTC()
	conditions(bad, "where", d.Where)
	d.Measures = measures(bad, d.Measures)
	events(bad, d.Events)
	if err := bad.Err(); err != nil {
		return nil, err
	}
	there, exists := s.Reports[name]
	switch {
	case exists && !there.Retired && same(there.Versions[len(there.Versions)-1], d):
		return nil, nil
	case (!exists || there.Retired) && len(s.Names()) >= MaxReports:
		return nil, ErrFull
	}
	return []Event{Defined{name, len(there.Versions) + 1, d}}, nil
}

// Retire ends a report.
func Retire(s State, name string) ([]Event, error) {
	switch there, exists := s.Reports[name]; {
	case !exists:
		return nil, ErrUnknown
	case there.Retired:
		return nil, nil
	}
	return []Event{Retired{name}}, nil
}

// same reports whether two definitions are stored alike.
func same(a, b Definition) bool {
	x, failed := json.Marshal(a)
	y, err := json.Marshal(b)
	return failed == nil && err == nil && bytes.Equal(x, y)
}

func increasing(days []int) bool {
	before := 0
	for _, d := range days {
		if d <= before || d > maxBand {
			return false
		}
		before = d
	}
	return true
}

func conditions(bad domain.Invalid, field string, all []Condition) {
	if len(all) > maxConditions {
		bad[field] = fmt.Sprintf("has more than %d conditions", maxConditions)
	}
	seen := make(map[string]bool)
	for _, c := range all {
		switch {
		case c.Dimension == "" || seen[c.Dimension]:
			bad[field] = fmt.Sprintf("has %q twice, or a condition on nothing", c.Dimension)
		case len(c.In) == 0 || len(c.In) > maxValues:
			bad[field] = fmt.Sprintf("needs 1 to %d values of %q", maxValues, c.Dimension)
		}
		seen[c.Dimension] = true
		for _, value := range c.In {
			if utf8.RuneCountInString(value) > domain.MaxName || !utf8.ValidString(value) || strings.ContainsRune(value, 0) {
				bad[field] = fmt.Sprintf("has a value of %q that is longer than %d characters, or no text", c.Dimension, domain.MaxName)
			}
		}
	}
}

func measures(bad domain.Invalid, all []Measure) []Measure {
	if len(all) > maxMeasures {
		bad["measures"] = fmt.Sprintf("are more than %d", maxMeasures)
		return all
	}
	all = slices.Clone(all)
	for i, m := range all {
		field := fmt.Sprintf("measures.%d", i)
		all[i].About = bad.Text(field+".about", m.About, maxAbout)
		conditions(bad, field+".where", m.Where)
		switch {
		case !measureName.MatchString(m.Name):
			bad[field+".name"] = "has 1 to 40 letters, digits and _, and begins with a letter"
		case slices.ContainsFunc(all[:i], func(other Measure) bool { return other.Name == m.Name }):
			bad[field+".name"] = fmt.Sprintf("%q is there twice", m.Name)
		}
		if len(m.Of) == 0 || len(m.Of) > maxParts || len(m.Per) > maxParts {
			bad[field+".of"] = fmt.Sprintf("needs 1 to %d measures, and so does per if it is given", maxParts)
		}
		if len(m.Per) > 0 && len(m.Where) > 0 {
			bad[field+".where"] = "does not narrow a ratio: make measures that are narrowed, and a ratio of them"
		}
	}
	return all
}

func events(bad domain.Invalid, e Events) {
	if max(len(e.Types), len(e.Without), len(e.Actors), len(e.Streams)) > maxEvents {
		bad["events"] = fmt.Sprintf("has more than %d values of a kind", maxEvents)
	}
	for _, name := range slices.Concat(e.Types, e.Without) {
		if name == "" || len(name) > domain.MaxName || !utf8.ValidString(name) {
			bad["events"] = "names a type that cannot be"
		}
	}
	if slices.Contains(slices.Concat(e.Actors, e.Streams), uuid.Nil) {
		bad["events"] = "names nobody's id"
	}
	if !e.From.IsZero() && !e.To.IsZero() && !e.From.Before(e.To) {
		bad["events"] = "ends before it begins"
	}
	for _, t := range []time.Time{e.From, e.To} {
		if t.Year() > 9999 || t.Year() < 0 {
			bad["events"] = "names a time that cannot be"
		}
	}
}
