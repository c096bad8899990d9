// Code generated from domain/declared by go generate ./graph. DO NOT EDIT.

package model

import "context"

// Contract is a contract as a viewer sees it.
type Contract struct{ RecordFields }

type (
	ContractConnection = Connection[Contract]
	ContractEdge       = Edge[Contract]
)

func (r *Contract) Number() Text { return Text(r.Values[0]) }

func (r *Contract) Title() Text { return Text(r.Values[1]) }

func (r *Contract) Customer(ctx context.Context) (*Customer, error) {
	return edge[*Customer](ctx, r.Page, "customer", r.ref(2))
}

func (r *Contract) Opportunity(ctx context.Context) (*Opportunity, error) {
	return edge[*Opportunity](ctx, r.Page, "opportunity", r.ref(3))
}

func (r *Contract) Value() *Money { return money(r.Values[4]) }

func (r *Contract) StartsOn() Text { return Text(r.Values[5]) }

func (r *Contract) SignedOn() Text { return Text(r.Values[6]) }

func (r *Contract) EndsOn() Text { return Text(r.Values[7]) }
