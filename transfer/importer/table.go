package importer

import (
	"bufio"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"unicode/utf8"
)

// BadRow is a row that cannot be imported, and why.
type BadRow struct {
	File   string
	Line   int
	Reason string
}

func (b BadRow) String() string { return fmt.Sprintf("%s:%d: %s", b.File, b.Line, b.Reason) }

// table is a CSV file: a row of column names, then rows.
type table struct {
	file    string
	columns []string
	rows    []row
}

type row struct {
	line  int // in the file, from 1
	cells map[string]string
}

// readTable reads a file whole. Rows that are no rows of this table are bad; a file without the columns needed is an error.
func readTable(dir, file, separator string, needed []string) (t *table, bad []BadRow, err error) {
	f, err := os.Open(filepath.Join(dir, file))
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	in := bufio.NewReader(f)
	if start, _ := in.Peek(3); string(start) == "\ufeff" { // spreadsheets put a byte order mark first
		in.Discard(3)
	}
	r := csv.NewReader(in)
	if separator != "" {
		r.Comma, _ = utf8.DecodeRuneInString(separator)
	}
	t = &table{file: file}
	if t.columns, err = r.Read(); err != nil {
		return nil, nil, fmt.Errorf("%s: the row of column names: %w", file, err)
	}
	there := make(map[string]bool)
	for i, name := range t.columns {
		t.columns[i] = strings.TrimSpace(name)
		if there[t.columns[i]] {
			return nil, nil, fmt.Errorf("%s: two columns named %q", file, t.columns[i])
		}
		there[t.columns[i]] = true
	}
	var errs []error
	for _, name := range needed {
		if !there[name] {
			errs = append(errs, fmt.Errorf("%s has no column %q", file, name))
			there[name] = true // say it once
		}
	}
	for len(errs) == 0 {
		cells, err := r.Read()
		var parse *csv.ParseError
		switch {
		case errors.Is(err, io.EOF):
			return t, bad, nil
		case errors.Is(err, csv.ErrFieldCount):
			line, _ := r.FieldPos(0)
			bad = append(bad, BadRow{file, line, fmt.Sprintf("has %d columns instead of %d", len(cells), len(t.columns))})
		case errors.As(err, &parse):
			bad = append(bad, BadRow{file, parse.StartLine, parse.Err.Error()})
		case err != nil:
			return nil, nil, fmt.Errorf("%s: %w", file, err)
		default:
			line, _ := r.FieldPos(0)
			named := make(map[string]string, len(cells))
			for i, cell := range cells {
				named[t.columns[i]] = strings.TrimSpace(cell)
			}
			t.rows = append(t.rows, row{line, named})
		}
	}
	return nil, nil, errors.Join(errs...)
}
