package report

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
)

// WriteText writes the table for people, in aligned columns.
func (t *Table) WriteText(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	line := func(cells []string) { fmt.Fprintln(w, strings.TrimRight(strings.Join(cells, "\t"), "\t")) }
	cells := make([]string, len(t.Columns))
	for i, c := range t.Columns {
		cells[i] = c.Name
	}
	line(cells)
	for _, row := range t.Rows {
		for i, v := range row {
			cells[i] = textOf(v)
			if at, ok := v.(time.Time); ok {
				cells[i] = at.UTC().Format("2006-01-02 15:04")
			} else if v == nil {
				cells[i] = "-"
			}
		}
		line(cells)
	}
	return w.Flush()
}

// WriteCSV writes the table with a line of names first. A value that a spreadsheet would take for a formula gets a quote before
// it, as OWASP advises: names are what people have entered.
func (t *Table) WriteCSV(out io.Writer) error {
	w := csv.NewWriter(out)
	cells := make([]string, len(t.Columns))
	for i, c := range t.Columns {
		cells[i] = c.Name
	}
	w.Write(cells)
	for _, row := range t.Rows {
		for i, v := range row {
			cells[i] = textOf(v)
			if _, text := v.(string); text && cells[i] != "" && strings.ContainsRune("=+-@\t\r", rune(cells[i][0])) {
				cells[i] = "'" + cells[i]
			}
		}
		w.Write(cells)
	}
	w.Flush()
	return w.Error()
}

// WriteJSON writes a list with an object for each row, whose fields stand in the order of the columns.
func (t *Table) WriteJSON(out io.Writer) error {
	w := bufio.NewWriter(out)
	w.WriteString("[")
	for i, row := range t.Rows {
		if i > 0 {
			w.WriteString(",")
		}
		object, err := t.Object(row)
		if err != nil {
			return err
		}
		w.WriteString("\n  ")
		w.Write(object)
	}
	if len(t.Rows) > 0 {
		w.WriteString("\n")
	}
	w.WriteString("]\n")
	return w.Flush()
}

// Object returns a row as a JSON object with the columns' names, in their order: ids, money and instants as texts.
func (t *Table) Object(row []any) (json.RawMessage, error) {
	var b bytes.Buffer
	for i, v := range row {
		b.WriteString(map[bool]string{true: "{", false: ", "}[i == 0])
		fmt.Fprintf(&b, "%q: ", t.Columns[i].Name)
		text, err := json.Marshal(jsonOf(v))
		if err != nil {
			return nil, err
		}
		b.Write(text)
	}
	if len(row) == 0 {
		b.WriteString("{")
	}
	b.WriteString("}")
	return b.Bytes(), nil
}
