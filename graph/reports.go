package graph

import (
	"context"

	"github.com/annal-crm/annal/domain/organization"
	"github.com/annal-crm/annal/eventlog"
	"github.com/annal-crm/annal/graph/generated"
	"github.com/annal-crm/annal/graph/model"
	"github.com/annal-crm/annal/projections/sales"
)

func (q query) SalesReport(ctx context.Context, by []model.Enum, filter *generated.OpportunityFilter, at *eventlog.Position) ([]*model.SalesRow, error) {
	p, v, err := q.read(ctx, organization.ViewReports, at, sales.Model.Name)
	if err != nil {
		return nil, err
	}
	var f sales.Filter
	if filter != nil {
		switch {
		case filter.Reference != nil:
			return nil, invalid("filter.reference", "does not narrow a report")
		case filter.Product != nil:
			return nil, invalid("filter.product", "does not narrow a report; group by PRODUCT")
		}
		f = sales.Filter{Stages: stages(filter.Stage), Owner: value(filter.Owner), Customer: value(filter.Customer)}
	}
	dimensions := make([]sales.Dimension, len(by))
	for i, d := range by {
		dimensions[i] = sales.Dimension(d)
	}
	rows, err := sales.Report(ctx, q.DB, v, dimensions, f)
	if err != nil {
		return nil, err
	}
	people, clients, groups := q.people(p), q.clients(p), make([]*model.SalesRow, len(rows))
	for i, r := range rows {
		people.Want(r.Owner)
		clients.Want(r.Customer)
		groups[i] = &model.SalesRow{
			Month: model.Text(r.Month), Product: model.Text(r.Product), Region: model.Text(r.Region), Won: r.Won, Lost: r.Lost, WonValue: r.WonValue,
			OwnerID: r.Owner, CustomerID: r.Customer, Accounts: people, Customers: clients,
		}
	}
	return groups, nil
}
