package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/user"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/google/uuid"

	"github.com/annal-crm/annal/app"
	"github.com/annal-crm/annal/commands"
	"github.com/annal-crm/annal/eventlog"
	"github.com/annal-crm/annal/projections/engine"
)

type parkedCmd struct {
	List  parkedListCmd  `cmd:"" help:"List the events that read models could not fold: the first of each stream. Later events of the stream wait behind it."`
	Show  parkedShowCmd  `cmd:"" help:"Show a parked event: why it is parked, since when, and what it holds."`
	Retry parkedRetryCmd `cmd:"" help:"Fold a parked event and those behind it again, in order. Use it once the program has been fixed."`
	Skip  parkedSkipCmd  `cmd:"" help:"Leave a parked event out of the read model for good, and continue with those behind it. The log keeps the event, and records who skipped it and why."`
}

type parkedListCmd struct {
	place
	JSON bool `help:"One JSON object a line, with the fields of ParkedEvent in the API." name:"json"`
}

// oneParked is the place of a parked event, as the list says it.
type oneParked struct {
	ReadModel string            `arg:"" name:"read-model" help:"The read model."`
	Position  eventlog.Position `arg:"" help:"The position of the event."`
}

type parkedShowCmd struct {
	place
	oneParked
	JSON bool `help:"A JSON object, with the fields of ParkedEvent in the API." name:"json"`
}

type parkedRetryCmd struct {
	place
	oneParked
}

type parkedSkipCmd struct {
	place
	oneParked
	Reason string `required:"" help:"Why. The log keeps the reason with your name."`
}

// parkedLine is a parked event with the names that the API gives its fields.
type parkedLine struct {
	ReadModel     string          `json:"readModel"`
	Position      string          `json:"position"`
	EventID       uuid.UUID       `json:"eventId"`
	Type          string          `json:"type"`
	Organization  uuid.UUID       `json:"organizationId"`
	Category      string          `json:"category"`
	StreamID      uuid.UUID       `json:"streamId"`
	StreamVersion int             `json:"streamVersion"`
	Error         string          `json:"error"`
	Since         time.Time       `json:"since"`
	Waiting       int             `json:"waiting"`
	Data          json.RawMessage `json:"data,omitempty"`
}

func lineOf(p engine.Parked, data json.RawMessage) parkedLine {
	return parkedLine{
		p.Model, p.Position.String(), p.Event, p.Type, p.Stream.Organization, p.Stream.Category, p.Stream.ID, int(p.StreamVersion),
		p.Error, p.At.UTC(), p.Waiting, data,
	}
}

// Run lists them all.
func (c parkedListCmd) Run(ctx context.Context) error {
	i, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer i.Close()
	var all []engine.Parked
	for after := (engine.Cursor{}); ; {
		page, err := i.Engine.Parked(ctx, engine.ParkedFilter{After: after})
		if err != nil {
			return err
		}
		if len(page) == 0 {
			break
		}
		last := page[len(page)-1]
		all, after = append(all, page...), engine.Cursor{Model: last.Model, Position: last.Position}
	}
	if c.JSON {
		out := json.NewEncoder(os.Stdout)
		for _, p := range all {
			if err := out.Encode(lineOf(p, nil)); err != nil {
				return err
			}
		}
		return nil
	}
	if len(all) == 0 {
		fmt.Println("nothing is parked: the read models have folded every event they met")
		return nil
	}
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "READ MODEL\tPOSITION\tTYPE\tSTREAM\tWAITING\tSINCE\tERROR")
	for _, p := range all {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%d\t%s\t%s\n", p.Model, p.Position, p.Type, p.Stream.ID, p.Waiting, minute(p.At), p.Error)
	}
	return w.Flush()
}

func minute(t time.Time) string { return t.UTC().Format("2006-01-02 15:04") }

// find returns the parked event of a place.
func (c oneParked) find(ctx context.Context, i *app.Instance) (engine.Parked, error) {
	nothing := fmt.Errorf("%w: read model %s, position %s; annal parked list says what is parked", engine.ErrNotParked, c.ReadModel, c.Position)
	if c.Position == 0 { // which would mean any
		return engine.Parked{}, nothing
	}
	found, err := i.Engine.Parked(ctx, engine.ParkedFilter{Model: c.ReadModel, Position: c.Position, Limit: 1})
	if err == nil && len(found) == 0 {
		err = nothing
	}
	if err != nil {
		return engine.Parked{}, err
	}
	return found[0], nil
}

// Run shows the event as it stands in the log, personal fields open: who has the master key may read them.
func (c parkedShowCmd) Run(ctx context.Context) error {
	i, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer i.Close()
	p, err := c.find(ctx, i)
	if err != nil {
		return err
	}
	data, err := readParked(ctx, i, p)
	if err != nil {
		data = nil // it is parked because it cannot be opened
	}
	if c.JSON {
		return json.NewEncoder(os.Stdout).Encode(lineOf(p, data))
	}
	fmt.Printf("the read model %s cannot fold %s at position %s\n", p.Model, p.Type, p.Position)
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "  because\t%s\n", p.Error)
	fmt.Fprintf(w, "  since\t%s UTC\n", minute(p.At))
	fmt.Fprintf(w, "  stream\t%s %s, version %d, of the organization %s\n", p.Stream.Category, p.Stream.ID, p.StreamVersion, p.Stream.Organization)
	fmt.Fprintf(w, "  event\t%s\n", p.Event)
	fmt.Fprintf(w, "  waiting\t%s behind it in the stream\n", events(p.Waiting))
	if err != nil {
		fmt.Fprintf(w, "  data\tcannot be opened: %v\n", err)
	} else {
		fmt.Fprintf(w, "  data\t%s\n", data)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	fmt.Fprintf(w, "once the program is fixed\tannal parked retry %[1]s %[2]s\nto leave it out for good\tannal parked skip %[1]s %[2]s --reason …\n", p.Model, p.Position)
	return w.Flush()
}

func readParked(ctx context.Context, i *app.Instance, p engine.Parked) (json.RawMessage, error) {
	for e, err := range i.Log.ReadStream(ctx, p.Stream, p.StreamVersion-1) {
		if err != nil {
			return nil, err
		}
		page, err := i.Codec.Page(ctx, []eventlog.Event{e})
		if err != nil {
			return nil, err
		}
		view, err := page[0].Display()
		return view.Data, err
	}
	return nil, errors.New("it is not in the log")
}

// Run folds it once more; exit status 1 if it still cannot be folded.
func (c parkedRetryCmd) Run(ctx context.Context) error {
	i, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer i.Close()
	if _, err := c.find(ctx, i); err != nil {
		return err
	}
	done, err := i.Engine.RetryParked(ctx, c.ReadModel, c.Position)
	if err != nil {
		return err
	}
	if done.Folded > 0 {
		fmt.Printf("%s: folded %s\n", c.ReadModel, events(done.Folded))
	}
	if done.Left > 0 {
		return fmt.Errorf("%s of the stream still parked in %s: %s", events(done.Left), c.ReadModel, done.Error)
	}
	return nil
}

// Run puts on record who skips it and why, then informs the read model. It may be run again if it was interrupted in between.
func (c parkedSkipCmd) Run(ctx context.Context) error {
	reason := strings.TrimSpace(c.Reason)
	if reason == "" {
		return errors.New("--reason must not be blank: it is all that those who read the log later will have")
	}
	i, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer i.Close()
	p, err := c.find(ctx, i)
	if err != nil {
		return err
	}
	program, err := keeper(ctx, i.Commands, p.Stream.Organization)
	if err != nil {
		return err
	}
	if _, err := i.Commands.SkipParked(ctx, program, commands.SkipParked{
		Command: commands.Command{Reason: reason + " (" + operator() + " at the command line)"}, ReadModel: p.Model, Position: p.Position,
		Parked: func(context.Context) (eventlog.Stream, eventlog.Version, error) {
			return p.Stream, p.StreamVersion, nil
		},
	}); err != nil {
		return err
	}
	done, err := i.Engine.SkipParked(ctx, p.Model, p.Position)
	if err != nil {
		return fmt.Errorf("the skip is on record, but %s does not know yet; run this again: %w", p.Model, err)
	}
	fmt.Printf("%s: left out the event at position %s", p.Model, p.Position)
	if behind := done.Folded - 1; behind > 0 {
		fmt.Printf(", folded %s behind it", events(behind))
	}
	fmt.Println()
	if done.Left > 0 {
		fmt.Printf("%s of the stream still parked: %s\n", events(done.Left), done.Error)
	}
	return nil
}

// keeper is the program itself in the organization that an event is of, or, where Annal knows none that can keep the
// record, in the first one.
func keeper(ctx context.Context, c *commands.Commands, organization uuid.UUID) (*commands.Principal, error) {
	p, err := c.System(ctx, organization)
	if err == nil && p.OrganizationState().Name != "" {
		return p, nil
	}
	if err != nil && !errors.Is(err, commands.ErrUnreadable) {
		return nil, err
	}
	return c.System(ctx, commands.Home)
}

// operator names who runs the program: the events of the program itself have no actor.
func operator() string {
	name := "somebody"
	if u, err := user.Current(); err == nil {
		name = cmp.Or(u.Username, u.Uid)
	}
	return name
}

func events(n int) string {
	if n == 1 {
		return "1 event"
	}
	return fmt.Sprintf("%d events", n)
}
