package sales

import (
	"context"

	"github.com/google/uuid"

	"github.com/annal-crm/annal/domain"
	"github.com/annal-crm/annal/domain/opportunity"
	"github.com/annal-crm/annal/projections/engine"
	"github.com/annal-crm/annal/reports/report"
)

// Dimension is what a report is grouped by.
type Dimension string

const (
	Month    Dimension = "month"
	Owner    Dimension = "owner"
	Customer Dimension = "customer"
	Product  Dimension = "product"
	Region   Dimension = "region"
)

// Filter narrows what is counted. Fields that are not given let everything pass.
type Filter struct {
	Stages   []opportunity.Stage // any of them; nil: won and lost
	Owner    uuid.UUID           // zero: any
	Customer uuid.UUID           // zero: any
}

// Row is a group of a report. Dimensions that were not asked for are zero, as are those that the group's deals do not have.
type Row struct {
	Month    string // "2017-03"
	Owner    uuid.UUID
	Customer uuid.UUID
	Product  string
	Region   string
	Won      int
	Lost     int
	WonValue domain.Decimal // exact; it may have more digits than a single deal's
}

// Report groups the closed deals that the viewer may see, in the order of the dimensions. Without any dimension it is one
// row, the total.
func Report(ctx context.Context, db engine.DB, v engine.Viewer, by []Dimension, f Filter) ([]Row, error) {
	q := report.Query{Filter: report.Filter{In: make(map[string][]string)}}
	for _, d := range by {
		q.By = append(q.By, string(d))
	}
	if f.Stages != nil {
		q.Filter.In["stage"] = []string{}
	}
	for _, s := range f.Stages {
		q.Filter.In["stage"] = append(q.Filter.In["stage"], string(s))
	}
	for dimension, id := range map[string]uuid.UUID{"owner": f.Owner, "customer": f.Customer} {
		if id != uuid.Nil {
			q.Filter.In[dimension] = []string{id.String()}
		}
	}
	table, err := closed.Query(ctx, db, nil, v, q)
	if err != nil {
		return nil, err
	}
	rows := make([]Row, len(table.Rows))
	for i, values := range table.Rows {
		r := &rows[i]
		for at, c := range table.Columns {
			switch v := values[at].(type) {
			case string:
				*map[string]*string{"month": &r.Month, "product": &r.Product, "region": &r.Region}[c.Name] = v
			case uuid.UUID:
				*map[string]*uuid.UUID{"owner": &r.Owner, "customer": &r.Customer}[c.Name] = v
			case int64:
				*map[string]*int{"won": &r.Won, "lost": &r.Lost}[c.Name] = int(v)
			case domain.Decimal:
				r.WonValue = v
			}
		}
	}
	return rows, nil
}
