// Package catalogue lists all reports there are, for those who offer them.
package catalogue

import (
	"fmt"
	"slices"
	"strings"

	"github.com/annal-crm/annal/domain"
	"github.com/annal-crm/annal/projections/acts"
	"github.com/annal-crm/annal/projections/report"
	"github.com/annal-crm/annal/projections/sales"
)

// Reports are all reports, in the order in which they are listed.
var Reports = slices.Concat(sales.Reports, acts.Reports)

// Find returns a report by its name. If there is none the error is a [domain.Invalid] that names those there are.
func Find(name string) (*report.Report, error) {
	var names []string
	for _, r := range Reports {
		if r.Name == name {
			return r, nil
		}
		names = append(names, r.Name)
	}
	return nil, domain.Invalid{"name": fmt.Sprintf("there is no report %q: %s", name, strings.Join(names, ", "))}
}
