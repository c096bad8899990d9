package migrations_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"github.com/jackc/pgx/v5"

	"github.com/annal-crm/annal/internal/migrations"
	"github.com/annal-crm/annal/internal/pgtest"
)

func files(sql ...string) fstest.MapFS {
	all := make(fstest.MapFS)
	for i, text := range sql {
		all[fmt.Sprintf("migrations/%04d_step.sql", i+1)] = &fstest.MapFile{Data: []byte(text)}
	}
	return all
}

const (
	things = "-- makes: part.things\ncreate table part.things (id integer);"
	names  = "alter table part.things add name text;"
)

func TestApply(t *testing.T) {
	tests := []struct {
		name    string
		before  string // SQL that an older program has run
		strict  bool
		steps   [][]string // of one program after the other
		wrong   string     // what the last one is told
		columns string     // of the table in the end
		counted int
	}{
		{"a fresh database", "", true, [][]string{{things, names}}, "", "id,name", 2},
		{"again, and then a newer program", "", true, [][]string{{things}, {things}, {things, names}}, "", "id,name", 2},
		{"made before there was a count", "create schema part; create table part.things (id integer, kept text)", true,
			[][]string{{things, names}}, "", "id,kept,name", 2},
		{"a step that fails leaves nothing", "", true, [][]string{{things}, {things, names, "select 1/0"}}, "0003_step.sql", "id", 1},
		{"an older program, strict", "", true, [][]string{{things, names}, {things}}, "use a newer one", "id,name", 2},
		{"an older program", "", false, [][]string{{things, names}, {things}}, "", "id,name", 2},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			owner, err := pgx.Connect(t.Context(), pgtest.URL(t))
			if err != nil {
				t.Fatal(err)
			}
			defer owner.Close(t.Context())
			if _, err := owner.Exec(t.Context(), test.before); err != nil {
				t.Fatal(err)
			}

			for i, sql := range test.steps {
				err = migrations.Set{Schema: "part", Files: files(sql...), Strict: test.strict}.Apply(t.Context(), owner)
				if i < len(test.steps)-1 && err != nil {
					t.Fatal(err)
				}
			}
			if test.wrong == "" && err != nil || test.wrong != "" && (err == nil || !strings.Contains(err.Error(), test.wrong)) {
				t.Errorf("error %v, want %q", err, test.wrong)
			}

			var columns string
			var counted int
			err = owner.QueryRow(t.Context(), `select string_agg(attname, ',' order by attnum), (select count(*) from part.migrations)
				from pg_attribute where attrelid = 'part.things'::regclass and attnum > 0`).Scan(&columns, &counted)
			if err != nil {
				t.Fatal(err)
			}
			if columns != test.columns || counted != test.counted {
				t.Errorf("columns %s, %d counted, want %s, %d", columns, counted, test.columns, test.counted)
			}
		})
	}
}

func TestApplyAtTheSameTime(t *testing.T) {
	url := pgtest.URL(t)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			owner, err := pgx.Connect(t.Context(), url)
			if err != nil {
				t.Error(err)
				return
			}
			defer owner.Close(t.Context())
			if err := (migrations.Set{Schema: "part", Files: files(things, names)}).Apply(t.Context(), owner); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
}
