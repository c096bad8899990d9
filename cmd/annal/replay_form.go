package main

import (
	"bufio"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"iter"
	"strings"
	"time"

	"github.com/google/uuid"
)

// line is a line of a replay: the fields of Activity in the API.
type line struct {
	Position   string          `json:"position"`
	Type       string          `json:"type"`
	OccurredAt time.Time       `json:"occurredAt"`
	RecordedAt time.Time       `json:"recordedAt"`
	Actor      *actor          `json:"actor"`
	IP         *string         `json:"ip"`
	Device     *string         `json:"device"`
	Session    *uuid.UUID      `json:"session"`
	Request    *uuid.UUID      `json:"request"`
	Reason     *string         `json:"reason"`
	Summary    string          `json:"summary"`
	Data       json.RawMessage `json:"data"`
}

type actor struct {
	ID        uuid.UUID `json:"id"`
	LoginName string    `json:"loginName"`
}

func writeJSON(out *bufio.Writer, lines iter.Seq2[line, error]) error {
	encoder := json.NewEncoder(out)
	for l, err := range lines {
		if err == nil {
			err = encoder.Encode(l)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func writeCSV(out *bufio.Writer, lines iter.Seq2[line, error]) error {
	w := csv.NewWriter(out)
	w.Write([]string{"position", "type", "occurredAt", "recordedAt", "actor", "loginName", "ip", "device", "session", "request", "reason", "summary", "data"})
	for l, err := range lines {
		if err != nil {
			return err
		}
		row := []string{l.Position, l.Type, l.OccurredAt.Format(time.RFC3339Nano), l.RecordedAt.Format(time.RFC3339Nano), "", "",
			text(l.IP), text(l.Device), text(l.Session), text(l.Request), text(l.Reason), l.Summary, string(l.Data)}
		if l.Actor != nil {
			row[4], row[5] = l.Actor.ID.String(), l.Actor.LoginName
		}
		for i, cell := range row { // what people have typed must not run in a spreadsheet (ASVS 5.0 1.2.10)
			if cell != "" && strings.ContainsRune("=+-@\t\r", rune(cell[0])) {
				row[i] = "'" + cell
			}
		}
		if err := w.Write(row); err != nil {
			return err
		}
	}
	w.Flush()
	return w.Error()
}

func text[T any](v *T) string {
	if v == nil {
		return ""
	}
	return fmt.Sprint(*v)
}

// writeText writes lines for a person.
func writeText(out *bufio.Writer, lines iter.Seq2[line, error]) error {
	for l, err := range lines {
		if err == nil {
			err = l.print(out)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// print writes the line for a person: when, what, then who, from where and why.
func (l line) print(out *bufio.Writer) error {
	var about []string
	if l.Actor != nil {
		about = append(about, "by "+l.Actor.LoginName)
	}
	if l.IP != nil {
		about = append(about, "from "+*l.IP)
	}
	if l.Device != nil {
		about = append(about, "on "+*l.Device)
	}
	if l.Reason != nil {
		about = append(about, fmt.Sprintf("because %q", *l.Reason))
	}
	_, err := fmt.Fprintf(out, "%8s  %s  %-28s %s\n", l.Position, l.OccurredAt.UTC().Format("2006-01-02 15:04:05 UTC"), l.Type, l.Summary)
	if err == nil && len(about) > 0 {
		_, err = fmt.Fprintf(out, "%35s%s\n", "", strings.Join(about, ", "))
	}
	return err
}
