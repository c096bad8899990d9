package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"iter"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/annal-crm/annal/domain"
	"github.com/annal-crm/annal/domain/account"
	"github.com/annal-crm/annal/domain/audit"
	"github.com/annal-crm/annal/domain/customer"
	"github.com/annal-crm/annal/history/timeline"
	"github.com/annal-crm/annal/internal/eventcodec"
)

type replayCmd struct {
	place
	Kind    string    `arg:"" help:"account, customer, opportunity, or another kind of record."`
	Who     string    `arg:"" help:"Its login name, its name or number, or its id."`
	From    time.Time `help:"Only what occurred at or after this time: 2017-03-01T09:00:00Z, or a day."`
	To      time.Time `help:"Only what occurred before this time."`
	Type    []string  `help:"Only events of this type, for example account.login_failed. May be repeated." placeholder:"TYPE"`
	IP      string    `help:"Only what came from this address or network (203.0.113.0/24)." name:"ip" placeholder:"ADDRESS"`
	Device  string    `help:"Only what was done with a device whose name contains this text." placeholder:"TEXT"`
	Session uuid.UUID `help:"Only what was done in this session." placeholder:"ID"`
	Request uuid.UUID `help:"Only what was done by this request." placeholder:"ID"`
	JSON    bool      `help:"One JSON object a line, with the fields of Activity in the API." name:"json" xor:"form"`
	CSV     bool      `help:"Comma-separated values with a heading. A text that a spreadsheet would take for a formula begins with an apostrophe." name:"csv" xor:"form"`
	URL     string    `help:"Ask a running Annal, with the rights of the token's account: https://…/graphql." name:"url" placeholder:"URL"`
	Token   string    `help:"Token of a session there, as logIn returns it; best given by the environment." env:"ANNAL_TOKEN" placeholder:"TOKEN"`
}

func (c replayCmd) filter() (f timeline.Filter, err error) {
	for _, name := range c.Type {
		if wrong := eventcodec.Unknown(name); wrong != "" {
			return f, fmt.Errorf("--type: %s", wrong)
		}
	}
	shown := categories(func(k domain.Kind) bool { return k.View != "" })
	if !slices.Contains(shown, c.Kind) {
		return f, fmt.Errorf("there is no kind %q: it is one of %s", c.Kind, strings.Join(shown, ", "))
	}
	if c.URL != "" && c.Kind != account.Category && c.Kind != customer.Category {
		return f, fmt.Errorf("--url asks for an account or a customer, not for a record of kind %s", c.Kind)
	}
	f = timeline.Filter{Types: c.Type, From: c.From, To: c.To, Device: c.Device, Session: c.Session, Request: c.Request}
	if c.IP != "" {
		f.IP, err = timeline.ParseIP(c.IP)
	}
	return f, err
}

// Run reads the timeline from the log, so it is right even where a read model is not. The read is on record before anything is shown.
func (c replayCmd) Run(ctx context.Context) (err error) {
	filter, err := c.filter()
	if err != nil {
		return err
	}
	out := bufio.NewWriter(os.Stdout)
	defer func() { err = errors.Join(err, out.Flush()) }()
	lines := c.remote(ctx)
	if c.URL == "" {
		i, err := c.open(ctx)
		if err != nil {
			return err
		}
		defer i.Close()
		reader := timeline.Reader{Log: i.Log, Codec: i.Codec}
		of, logins, err := reader.Find(ctx, c.Kind, c.Who)
		if err != nil {
			return err
		}
		read := audit.Read{Act: audit.Replayed, Kind: of.Category, Subject: of.ID, Filters: filter.Words()}
		if c.JSON || c.CSV {
			read.Act, read.Format = audit.Exported, map[bool]string{true: "csv", false: "ndjson"}[c.CSV]
		}
		if err := recorded(ctx, i, of.Organization, i.Commands.RecordRead, read); err != nil {
			return err
		}
		lines = local(ctx, reader, of.Category, of.ID, filter, logins)
	}
	write := writeText
	switch {
	case c.JSON:
		write = writeJSON
	case c.CSV:
		write = writeCSV
	}
	told := 0
	if err := write(out, counted(lines, &told)); err != nil || told > 0 {
		return err
	}
	_, err = fmt.Fprintln(os.Stderr, "no events")
	return err
}

// counted returns lines, and counts them.
func counted(lines iter.Seq2[line, error], n *int) iter.Seq2[line, error] {
	return func(yield func(line, error) bool) {
		for l, err := range lines {
			if *n++; !yield(l, err) {
				return
			}
		}
	}
}

// local reads the whole log.
func local(ctx context.Context, reader timeline.Reader, category string, id uuid.UUID, filter timeline.Filter, logins map[uuid.UUID]string) iter.Seq2[line, error] {
	return func(yield func(line, error) bool) {
		for f, err := range reader.Of(ctx, category, id) {
			if err != nil {
				yield(line{}, err)
				return
			}
			meta, err := f.Metadata()
			if err == nil && !filter.Takes(f.Type, f.OccurredAt, meta) {
				continue
			}
			var l line
			if err == nil {
				l, err = timelineLine(f, logins)
			}
			if !yield(l, err) || err != nil {
				return
			}
		}
	}
}

func timelineLine(f *eventcodec.Event, logins map[uuid.UUID]string) (line, error) {
	view, err := f.Display()
	if err != nil {
		return line{}, err
	}
	l := line{
		Position: f.Position.String(), Type: f.Type, OccurredAt: f.OccurredAt, RecordedAt: f.RecordedAt, Summary: view.Naming(func(id uuid.UUID) string { return logins[id] }), Data: view.Data,
		IP: present(view.Meta.IP), Device: present(view.Meta.Device), Reason: present(view.Meta.Reason),
		Session: orNone(view.Meta.Session), Request: orNone(view.Meta.Correlation),
	}
	if id := view.Meta.Actor; id != uuid.Nil {
		l.Actor = &actor{id, logins[id]}
	}
	return l, nil
}

func present(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

func orNone(id uuid.UUID) *uuid.UUID {
	if id == uuid.Nil {
		return nil
	}
	return &id
}
