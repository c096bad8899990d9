package engine

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/annal-crm/annal/eventlog"
)

// Forget blanks what is personal of subjects that were erased, wherever the folds of their certificates do not: in
// the tables of previous versions of read models and of results, and in the errors of events of their streams that
// are parked, which may quote them. Call it when the certificates are folded everywhere and no process holds the
// subjects' keys. It returns the tables whose dead rows hold what was blanked, by it and by the folds, with their
// schemas. The error is [ErrRebuilding] while a rebuild or a result may still be written from what was read before:
// then call it again.
func (e *Engine) Forget(ctx context.Context, subjects ...eventlog.Stream) (touched []string, err error) {
	ids, organizations, categories := make([]uuid.UUID, len(subjects)), make([]uuid.UUID, len(subjects)), make([]string, len(subjects))
	for i, s := range subjects {
		ids[i], organizations[i], categories[i] = s.ID, s.Organization, s.Category
	}
	if _, err := e.pool.Exec(ctx, `update projections.parked p set error = 'not kept: the person was erased'
		from unnest($1::uuid[], $2::text[], $3::uuid[]) as s (organization, category, id)
		where p.organization = s.organization and p.category = s.category and p.stream = s.id and p.error is not null`, organizations, categories, ids); err != nil {
		return nil, fmt.Errorf("projections: forget: %w", err)
	}
	touched = append(touched, "projections.parked")
	// Results are known by their prefix alone: any of them may hold the rows of any read model.
	rows, err := e.pool.Query(ctx, `select n.nspname, c.relname, array_agg(a.attname::text), array_agg(a.attnotnull) from pg_namespace n
		join pg_class c on c.relnamespace = n.oid and c.relkind = 'r' join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
		where n.nspname ~ '_v[0-9]+(_old|_next)?$' or starts_with(n.nspname, $1) group by 1, 2 order by 1, 2`, ResultPrefix)
	if err != nil {
		return nil, fmt.Errorf("projections: forget: %w", err)
	}
	type found struct {
		schema, table string
		columns       []string
		notNull       []bool
	}
	tables, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (f found, err error) {
		return f, row.Scan(&f.schema, &f.table, &f.columns, &f.notNull)
	})
	if err != nil {
		return nil, fmt.Errorf("projections: forget: %w", err)
	}
	for _, r := range e.runners {
		for _, t := range r.model.Tables {
			rel := t.relation()
			if len(rel.personal) == 0 {
				continue
			}
			for _, f := range tables {
				if f.table != rel.table || !r.model.mayHave(f.schema) {
					continue
				}
				touched = append(touched, f.schema+"."+f.table)
				// Of a rebuild the lock bears the name that is served.
				if busy, err := e.building(ctx, strings.TrimSuffix(strings.TrimSuffix(f.schema, "_next"), "_old")); err != nil || busy {
					if err == nil {
						err = fmt.Errorf("%w: %s", ErrRebuilding, f.schema)
					}
					return nil, err
				}
				var set []string
				for _, name := range rel.personal {
					switch i := slices.Index(f.columns, name); {
					case i < 0:
					case f.notNull[i]:
						set = append(set, name+" = ''")
					default:
						set = append(set, name+" = null")
					}
				}
				key := rel.keys[0].name
				if f.schema == r.model.Schema.String() || len(set) == 0 || !slices.Contains(f.columns, key) {
					continue
				}
				if _, err := e.pool.Exec(ctx, fmt.Sprintf("update %s.%s set %s where %s = any($1)", f.schema, f.table, strings.Join(set, ", "), key), ids); err != nil {
					return nil, fmt.Errorf("projections: forget in %s: %w", f.schema, err)
				}
			}
		}
	}
	return touched, nil
}

// mayHave reports whether a schema is one of a version of the model, or of a result.
func (m *ReadModel) mayHave(schema string) bool {
	return strings.HasPrefix(schema, ResultPrefix) || regexp.MustCompile(`^`+m.Name+`_v[0-9]+(_old|_next)?$`).MatchString(schema)
}

// Holds lists the read models that hold something personal of a subject, in their tables as they are served.
func (e *Engine) Holds(ctx context.Context, subject uuid.UUID) (names []string, err error) {
	for _, r := range e.runners {
		for _, t := range r.model.Tables {
			rel := t.relation()
			if len(rel.personal) == 0 {
				continue
			}
			var held bool
			err := e.pool.QueryRow(ctx, fmt.Sprintf("select exists (select from %s where %s = $1 and concat(%s) <> '')",
				rel.in(r.model.Schema.String()), rel.keys[0].name, rel.held()), subject).Scan(&held)
			if err != nil {
				return nil, fmt.Errorf("projections: %s: %w", r.model.Name, err)
			}
			if held && !slices.Contains(names, r.model.Name) {
				names = append(names, r.model.Name)
			}
		}
	}
	return names, nil
}

// held lists the personal columns for concat, each of them empty if it holds nothing.
func (r *relation) held() string {
	personal := slices.DeleteFunc(slices.Clone(r.columns), func(c column) bool { return !slices.Contains(r.personal, c.name) })
	return names(personal, func(c *column) string {
		if c.sql == "bytea" {
			return "nullif(" + c.name + ", '')"
		}
		return c.name
	})
}
