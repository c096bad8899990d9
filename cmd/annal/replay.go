package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/annal-crm/annal/internal/facts"
	"github.com/annal-crm/annal/internal/life"
)

type replayCmd struct {
	place
	Kind string    `arg:"" enum:"account,customer" help:"account or customer."`
	Who  string    `arg:"" help:"Its login name, its name, or its id."`
	From time.Time `help:"Only what occurred at or after this time (RFC 3339)."`
	To   time.Time `help:"Only what occurred before this time (RFC 3339)."`
	JSON bool      `help:"One JSON object a line, with the fields of Activity in the API." name:"json"`
}

// line is a line of the replay: the fields of Activity in the API.
type line struct {
	Position   string          `json:"position"`
	Type       string          `json:"type"`
	OccurredAt time.Time       `json:"occurredAt"`
	RecordedAt time.Time       `json:"recordedAt"`
	Actor      *actor          `json:"actor"`
	IP         *string         `json:"ip"`
	Device     *string         `json:"device"`
	Reason     *string         `json:"reason"`
	Summary    string          `json:"summary"`
	Data       json.RawMessage `json:"data"`
}

type actor struct {
	ID        uuid.UUID `json:"id"`
	LoginName string    `json:"loginName"`
}

// Run tells the life from the log, so it is right even where a read model is not.
func (c replayCmd) Run(ctx context.Context) (err error) {
	i, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer i.Close()
	reader := life.Reader{Log: i.Log, Book: i.Book}
	id, logins, err := reader.Find(ctx, c.Kind, c.Who)
	if err != nil {
		return err
	}
	out := bufio.NewWriter(os.Stdout)
	defer func() { err = errors.Join(err, out.Flush()) }()
	for f, err := range reader.Of(ctx, c.Kind, id) {
		if err != nil {
			return err
		}
		if !c.From.IsZero() && f.OccurredAt.Before(c.From) || !c.To.IsZero() && !f.OccurredAt.Before(c.To) {
			continue
		}
		l, err := told(f, logins)
		if err != nil {
			return err
		}
		if c.JSON {
			err = json.NewEncoder(out).Encode(l)
		} else {
			err = l.print(out)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func told(f *facts.Fact, logins map[uuid.UUID]string) (line, error) {
	view, err := f.Display()
	if err != nil {
		return line{}, err
	}
	l := line{
		Position: f.Position.String(), Type: f.Type, OccurredAt: f.OccurredAt, RecordedAt: f.RecordedAt, Summary: view.Summary, Data: view.Data,
		IP: present(view.Meta.IP), Device: present(view.Meta.Device), Reason: present(view.Meta.Reason),
	}
	if id := view.Meta.Actor; id != uuid.Nil {
		l.Actor = &actor{id, logins[id]}
	}
	return l, nil
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
	_, err := fmt.Fprintf(out, "%8s  %s  %-28s %s\n", l.Position, l.OccurredAt.Format("2006-01-02 15:04:05"), l.Type, l.Summary)
	if err == nil && len(about) > 0 {
		_, err = fmt.Fprintf(out, "%31s%s\n", "", strings.Join(about, ", "))
	}
	return err
}

func present(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}
