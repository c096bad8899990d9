// Package reports lists all reports there are, for those who offer them, and makes reports of definitions.
package reports

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/annal-crm/annal/domain"
	"github.com/annal-crm/annal/domain/reporting"
	"github.com/annal-crm/annal/internal/eventcodec"
	"github.com/annal-crm/annal/projections/engine"
	"github.com/annal-crm/annal/reports/report"
	"github.com/annal-crm/annal/reports/results"
)

// Reports are all built-in reports, in the order in which they are listed.
var Reports = []*report.Report{closed, funnel, forecast, ageing, actions, signins}

// ErrBuiltIn reports a name that a built-in report has.
var ErrBuiltIn = domain.Refuse(domain.CodeConflict, "a built-in report has this name: take another")

// BuiltIn returns a built-in report by its name, nil if it does not exist.
func BuiltIn(name string) *report.Report {
	if i := slices.IndexFunc(Reports, func(r *report.Report) bool { return r.Name == name }); i >= 0 {
		return Reports[i]
	}
	return nil
}

// unknown is the error about a name that no report has.
func unknown(name string, own reporting.State) error {
	var names []string
	for _, r := range Reports {
		names = append(names, r.Name)
	}
	return domain.Invalid{"name": fmt.Sprintf("there is no report %q: %s", name, strings.Join(append(names, own.Names()...), ", "))}
}

// Asked is a report that somebody asks for: a built-in one, or one of the organization's own.
type Asked struct {
	*report.Report
	Base    string       // its built-in report
	Version int          // of its definition; 0: it is built in
	Part    results.Part // of the log that it is folded from
}

// Find returns a report by its name, in the version of its definition, or the newest (nil); own, which tells of the organization's own, is
// asked only about a name that no built-in report has. Errors: [reporting.ErrRetired], a [domain.Invalid] about name or definition.
func Find(own func() (reporting.State, error), name string, version *int) (Asked, error) {
	if built := BuiltIn(name); built != nil {
		if version != nil {
			return Asked{}, domain.Invalid{"definition": name + " is built in and has no versions of yours"}
		}
		return Asked{Report: built, Base: name}, nil
	}
	all, err := own()
	if err != nil {
		return Asked{}, err
	}
	n := 0
	if version != nil {
		if n = *version; n < 1 {
			return Asked{}, domain.Invalid{"definition": "must be at least 1"}
		}
	}
	d, n, err := all.Find(name, n)
	switch {
	case errors.Is(err, reporting.ErrUnknown):
		return Asked{}, unknown(name, all)
	case errors.Is(err, reporting.ErrVersion):
		return Asked{}, domain.Invalid{"definition": fmt.Sprintf("%s has versions 1 to %d", name, len(all.Reports[name].Versions))}
	case err != nil:
		return Asked{}, err
	}
	return Under(name, n, d)
}

// Under is a report in a version of its definition, retired or not.
func Under(name string, version int, d reporting.Definition) (Asked, error) {
	own, err := Own(name, d)
	if err != nil { // another program took it
		return Asked{}, domain.Invalid{"definition": fmt.Sprintf("version %d of %s does not fit this program: %v", version, name, err)}
	}
	return Asked{own, d.Base, version, results.Part(d.Events)}, nil
}

// Own returns the report that a definition makes. What does not fit is a [domain.Invalid] by its field.
func Own(name string, d reporting.Definition) (*report.Report, error) {
	base := BuiltIn(d.Base)
	if base == nil {
		return nil, domain.Invalid{"basedOn": fmt.Sprintf("there is no built-in report %q", d.Base)}
	}
	return base.Derive(name, d)
}

// Check reports whether a definition, as [reporting.Define] takes it, makes a report under a name; the database knows time zones.
// Errors: [ErrBuiltIn], a [domain.Invalid] by its field.
func Check(ctx context.Context, db engine.DB, name string, d reporting.Definition) error {
	if BuiltIn(name) != nil {
		return ErrBuiltIn
	}
	bad := domain.Invalid{}
	for field, names := range map[string][]string{"events.types": d.Events.Types, "events.without": d.Events.Without} {
		for _, event := range names {
			if unknown := eventcodec.Unknown(event); unknown != "" {
				bad[field] = unknown
			}
		}
	}
	if err := bad.Err(); err != nil {
		return err
	}
	if _, err := Own(name, d); err != nil || d.Zone == "" {
		return err
	}
	known := false
	if err := db.QueryRow(ctx, "select exists (select from pg_timezone_names where name = $1)", d.Zone).Scan(&known); err != nil {
		return fmt.Errorf("reports: time zones: %w", err)
	}
	if !known {
		return domain.Invalid{"timeZone": "is not the name of a time zone, like Asia/Shanghai"}
	}
	return nil
}
