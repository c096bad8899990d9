package model

import (
	"context"

	"github.com/99designs/gqlgen/graphql"
)

// PageInfo tells where a page stands in its list.
type PageInfo struct {
	HasNextPage, HasPreviousPage bool
	StartCursor, EndCursor       Text
}

// Connection is a page of a list. The list is counted only when a client asks for it.
type Connection[T any] struct {
	Nodes    []*T
	Cursors  []string // of the nodes
	PageInfo *PageInfo
	Count    func(context.Context) (int, error)
}

// Edges pairs the nodes with their cursors.
func (c *Connection[T]) Edges() []*Edge[T] {
	edges := make([]*Edge[T], len(c.Nodes))
	for i, n := range c.Nodes {
		edges[i] = &Edge[T]{n, c.Cursors[i]}
	}
	return edges
}

// TotalCount counts the whole list.
func (c *Connection[T]) TotalCount(ctx context.Context) (int, error) { return c.Count(ctx) }

// Edge is a node in its list.
type Edge[T any] struct {
	Node   *T
	Cursor string
}

// gqlgen names a Go type by a name, which an instantiated one has by an alias only.
type (
	AccountConnection          = Connection[Account]
	CustomerConnection         = Connection[Customer]
	OpportunityConnection      = Connection[Opportunity]
	ActivityConnection         = Connection[Activity]
	ParkedEventConnection      = Connection[ParkedEvent]
	ErasureRequestConnection   = Connection[ErasureRequest]
	RetentionRuleConnection    = Connection[RetentionRule]
	RetentionSubjectConnection = Connection[RetentionSubject]
	AccountEdge                = Edge[Account]
	CustomerEdge               = Edge[Customer]
	OpportunityEdge            = Edge[Opportunity]
	ActivityEdge               = Edge[Activity]
	ParkedEventEdge            = Edge[ParkedEvent]
	ErasureRequestEdge         = Edge[ErasureRequest]
	RetentionRuleEdge          = Edge[RetentionRule]
	RetentionSubjectEdge       = Edge[RetentionSubject]
)

// MarshalSlice writes the objects of a list one after the other, in the place of [graphql.MarshalSliceConcurrently].
func MarshalSlice(ctx context.Context, length int, _ int64, _ bool, object func(context.Context, int) graphql.Marshaler) graphql.Array {
	all := make(graphql.Array, length)
	for i := range length {
		all[i] = object(graphql.WithFieldContext(ctx, &graphql.FieldContext{Index: &i}), i)
	}
	return all
}
