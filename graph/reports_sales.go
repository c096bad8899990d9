package graph

import (
	"context"

	"github.com/google/uuid"

	"github.com/annal-crm/annal/domain"
	"github.com/annal-crm/annal/domain/organization"
	"github.com/annal-crm/annal/eventlog"
	"github.com/annal-crm/annal/graph/generated"
	"github.com/annal-crm/annal/graph/model"
	"github.com/annal-crm/annal/projections/sales"
	"github.com/annal-crm/annal/reports"
	"github.com/annal-crm/annal/reports/report"
)

func (q query) SalesReport(ctx context.Context, by []model.Enum, filter *generated.OpportunityFilter, at *eventlog.Position) ([]*model.SalesRow, error) {
	p, v, err := q.read(ctx, organization.ViewReports, at, sales.Model.Name)
	if err != nil {
		return nil, err
	}
	ask := report.Query{Filter: report.Filter{In: make(map[string][]string)}}
	for _, d := range by {
		ask.By = append(ask.By, string(d))
	}
	if filter != nil {
		switch {
		case filter.Reference != nil:
			return nil, invalid("filter.reference", "does not narrow a report")
		case filter.Product != nil:
			return nil, invalid("filter.product", "does not narrow a report; group by PRODUCT")
		}
		if pass := stages(filter.Stage); pass != nil {
			ask.Filter.In["stage"] = []string{}
			for _, s := range pass {
				ask.Filter.In["stage"] = append(ask.Filter.In["stage"], string(s))
			}
		}
		for dimension, id := range map[string]*uuid.UUID{"owner": filter.Owner, "customer": filter.Customer} {
			if id != nil {
				ask.Filter.In[dimension] = []string{id.String()}
			}
		}
	}
	table, err := reports.BuiltIn("sales").Query(ctx, q.DB, nil, v, ask)
	if err != nil {
		return nil, err
	}
	people, clients, groups := q.people(p), q.clients(p), make([]*model.SalesRow, len(table.Rows))
	for i, row := range table.Rows {
		r := &model.SalesRow{Accounts: people, Customers: clients}
		for at, c := range table.Columns {
			switch v := row[at].(type) {
			case string:
				*map[string]*model.Text{"month": &r.Month, "product": &r.Product, "region": &r.Region}[c.Name] = model.Text(v)
			case uuid.UUID:
				*map[string]*uuid.UUID{"owner": &r.OwnerID, "customer": &r.CustomerID}[c.Name] = v
			case int64:
				*map[string]*int{"won": &r.Won, "lost": &r.Lost}[c.Name] = int(v)
			case domain.Decimal:
				r.WonValue = v
			}
		}
		people.Want(r.OwnerID)
		clients.Want(r.CustomerID)
		groups[i] = r
	}
	return groups, nil
}
