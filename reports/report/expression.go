package report

import (
	"fmt"
	"slices"
	"strings"

	"github.com/annal-crm/annal/projections/engine/where"
)

// sql returns a column as SQL: a measure of one's own is made of those it is a sum or ratio of.
func (s *statement) sql(c Column) string {
	if c.of == nil {
		sql := s.expand(c.SQL, s.counted(c))
		if c.Places > 0 && !s.exact {
			sql = fmt.Sprintf("round((%s)::numeric, %d)", sql, c.Places)
			if c.Kind == Number {
				sql += "::float8"
			}
		}
		return sql
	}
	sum := s.sum(c.of)
	if c.per == nil {
		return sum
	}
	ratio := "(" + sum + ")::numeric / nullif((" + s.sum(c.per) + ")::numeric, 0)"
	if s.exact {
		return ratio
	}
	return "round(" + ratio + ", 4)::float8"
}

func (s *statement) sum(columns []Column) string {
	parts := make([]string, len(columns))
	for i, c := range columns {
		parts[i] = "(" + s.sql(c) + ")"
	}
	return strings.Join(parts, " + ")
}

// counted is the condition on rows that a measure counts; empty: all.
func (s *statement) counted(c Column) string {
	var all []string
	if c.When != "" {
		all = append(all, c.When)
	}
	for _, condition := range c.rows {
		all = append(all, s.meets(s.dimension(condition.Dimension), condition.In))
	}
	return strings.Join(all, " and ")
}

// meets is the condition that a dimension has any of some values.
func (s *statement) meets(c Column, values []string) string {
	storable := slices.DeleteFunc(slices.Clone(values), func(v string) bool { return !where.Storable(v) })
	return "coalesce((" + s.expand(c.SQL, "") + ")::text, '') = any(" + s.clause.Arg(storable) + ")"
}

// expand puts in what stands in braces.
func (s *statement) expand(sql, counted string) string {
	if s.nowArg == "" && strings.Contains(sql, "{now}") {
		s.nowArg = s.clause.Arg(s.now) + "::timestamptz"
	}
	if s.zoneArg == "" && strings.Contains(sql, "{zone}") {
		if s.zoneArg = "'UTC'"; s.zone != "" {
			s.zoneArg = s.clause.Arg(s.zone) + "::text"
		}
	}
	if counted != "" {
		counted = "filter (where " + counted + ")"
	}
	return strings.NewReplacer("{now}", s.nowArg, "{zone}", s.zoneArg, "{counted}", counted).Replace(sql)
}

// dimension returns one that is there.
func (r *Report) dimension(name string) Column {
	return r.Dimensions[slices.IndexFunc(r.Dimensions, func(c Column) bool { return c.Name == name })]
}
