package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"text/tabwriter"
	"time"

	"github.com/google/uuid"

	"github.com/annal-crm/annal/app"
	"github.com/annal-crm/annal/automations"
	"github.com/annal-crm/annal/commands"
	"github.com/annal-crm/annal/domain"
	domainretention "github.com/annal-crm/annal/domain/retention"
	"github.com/annal-crm/annal/eventlog"
	"github.com/annal-crm/annal/projections/engine"
	"github.com/annal-crm/annal/projections/erasures"
	"github.com/annal-crm/annal/projections/retention"
)

type erasureRulesCmd struct {
	place
	Organization string `help:"Name of the organization. Default: the one where people work." placeholder:"NAME"`
	JSON         bool   `help:"As JSON, an object a line." name:"json"`
}

// listedRule is a line of the JSON.
type listedRule struct {
	ID         uuid.UUID              `json:"id"`
	Status     domainretention.Status `json:"status"`
	Basis      domainretention.Basis  `json:"basis"`
	Days       int                    `json:"days"`
	PerDay     int                    `json:"perDay"`
	Reason     string                 `json:"reason"`
	ProposedBy uuid.UUID              `json:"proposedBy"`
	ProposedAt time.Time              `json:"proposedAt"`
	ApprovedBy uuid.UUID              `json:"approvedBy,omitzero"`
	ApprovedAt time.Time              `json:"approvedAt,omitzero"`
	EndedBy    uuid.UUID              `json:"endedBy,omitzero"`
	EndedAt    time.Time              `json:"endedAt,omitzero"`
	Ending     string                 `json:"ending,omitempty"`
	Done       int                    `json:"done"`
	UnderWay   int                    `json:"underWay"`
	Waiting    int                    `json:"waiting"`
}

// Run lists the rules of an organization.
func (c erasureRulesCmd) Run(ctx context.Context) error {
	i, program, err := c.of(ctx, c.Organization)
	if err != nil {
		return err
	}
	defer i.Close()
	defer folding(ctx, i)()
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	out := json.NewEncoder(os.Stdout)
	if !c.JSON {
		fmt.Fprintln(w, "RULE\tSTATUS\tFROM\tDAYS\tA DAY\tDONE\tUNDER WAY\tWAITING\tREASON")
	}
	for after := ""; ; {
		page, err := retention.List(ctx, i.Pool, program.Organization, engine.PageRequest{First: 100, After: after})
		if err != nil {
			return err
		}
		ids := make([]uuid.UUID, len(page.Rows))
		for n, r := range page.Rows {
			ids[n] = r.ID
		}
		asked, err := erasures.ByRule(ctx, i.Pool, program.Organization, ids)
		if err != nil {
			return err
		}
		for _, r := range page.Rows {
			waiting, err := automations.Waiting(ctx, i.Commands, i.RetentionSource(), program, r)
			if err != nil {
				return err
			}
			if c.JSON {
				err = out.Encode(listedRule{
					r.ID, r.Status, r.Basis, r.Days, r.PerDay, r.Reason, r.ProposedBy, r.ProposedAt.UTC(), r.ApprovedBy, r.ApprovedAt.UTC(), r.EndedBy, r.EndedAt.UTC(), r.End,
					asked[r.ID].Done, asked[r.ID].UnderWay, waiting,
				})
			} else {
				_, err = fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%d\t%d\t%d\t%d\t%s\n", r.ID, r.Status, r.Basis, r.Days, r.PerDay, asked[r.ID].Done, asked[r.ID].UnderWay, waiting, r.Reason)
			}
			if err != nil {
				return err
			}
		}
		if !page.HasNext {
			return w.Flush()
		}
		after = page.Cursors[len(page.Cursors)-1]
	}
}

// of opens the instance and returns it with the program itself in an organization.
func (p place) of(ctx context.Context, organization string) (*app.Instance, *commands.Principal, error) {
	i, err := p.open(ctx)
	if err != nil {
		return nil, nil, err
	}
	id, err := named(ctx, i, organization)
	if err == nil {
		var program *commands.Principal
		if program, err = i.Commands.System(ctx, id); err == nil {
			return i, program, nil
		}
	}
	return nil, nil, errors.Join(err, i.Close())
}

// folding keeps read models up to date, those that no other process does, until it is ended: whom a rule would erase is asked of all that
// is in the log.
func folding(ctx context.Context, i *app.Instance) (end func()) {
	running, stop := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := i.Engine.Run(running); err != nil && running.Err() == nil {
			slog.Warn("read models cannot be folded", "error", err.Error())
		}
	}()
	return func() { stop(); <-done }
}

type erasureDryRunCmd struct {
	place
	Organization string    `help:"Name of the organization. Default: the one where people work." placeholder:"NAME"`
	Rule         string    `help:"The id of an existing rule. Else give --from and --days." placeholder:"ID" xor:"rule,from" required:""`
	From         string    `help:"What the days are counted from: customer_touched, customer_archived or account_deactivated." placeholder:"EVENT" xor:"rule,from" required:""`
	Days         int       `help:"How many days must have passed." placeholder:"N"`
	At           time.Time `help:"The time to ask about, now or later, as 2027-01-31T15:04:05Z. Default: now." placeholder:"TIME"`
	JSON         bool      `help:"As JSON: an object for each person, and a summary object at the end." name:"json"`
}

// dueLine and dryRunEnd are the lines of the JSON.
type (
	dueLine struct {
		Kind     string            `json:"kind"`
		ID       uuid.UUID         `json:"id"`
		Since    time.Time         `json:"since"`
		Position eventlog.Position `json:"position,string"`
		DueAt    time.Time         `json:"dueAt"`
	}
	dryRunEnd struct {
		At       time.Time         `json:"at"`
		Position eventlog.Position `json:"position,string"`
		Due      int               `json:"due"`
		Kept     []keptLine        `json:"kept"`
	}
	keptLine struct {
		Account uuid.UUID            `json:"account"`
		Why     domainretention.Kept `json:"why"`
	}
)

// Run lists the people that a rule would erase. It appends one event, which records the question.
func (c erasureDryRunCmd) Run(ctx context.Context) error {
	rule, err := c.trial()
	if err != nil {
		return err
	}
	i, program, err := c.of(ctx, c.Organization)
	if err != nil {
		return err
	}
	defer i.Close()
	defer folding(ctx, i)()
	id := uuid.Nil
	if c.Rule != "" {
		if id, err = uuid.Parse(c.Rule); err != nil {
			return fmt.Errorf("%q is not an id; annal erasure rules lists them", c.Rule)
		}
	}
	question, due, err := automations.DryRun(ctx, i.Commands, i.RetentionSource(), program, id, rule, c.At)
	switch {
	case errors.Is(err, automations.ErrDryRunTime):
		return errors.New("--at must be now or later, and within 100 years")
	case errors.Is(err, commands.ErrNotFound):
		return fmt.Errorf("there is no rule %s; annal erasure rules lists them", id)
	case err != nil:
		return err
	}
	if err := recorded(ctx, i, program.Organization, i.Commands.TryRetention, question.String(due)); err != nil {
		return err
	}
	return c.print(ctx, question, due)
}

// trial is the rule of the flags; with --rule, none.
func (c erasureDryRunCmd) trial() (domainretention.State, error) {
	if c.Rule != "" {
		if c.Days != 0 {
			return domainretention.State{}, errors.New("--rule has its days; give --days with --from only")
		}
		return domainretention.State{}, nil
	}
	rule, err := domainretention.Check(domainretention.Proposed{Basis: domainretention.Basis(c.From), Days: c.Days})
	if bad, ok := errors.AsType[domain.Invalid](err); ok {
		for _, flag := range []struct{ field, name string }{{"basis", "--from"}, {"days", "--days"}} {
			if why, wrong := bad[flag.field]; wrong {
				return domainretention.State{}, fmt.Errorf("%s %s", flag.name, why)
			}
		}
	}
	return domainretention.State{Basis: rule.Basis, Days: rule.Days}, err
}

func (c erasureDryRunCmd) print(ctx context.Context, question retention.Question, due int) error {
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	out := json.NewEncoder(os.Stdout)
	if !c.JSON {
		fmt.Fprintln(w, "KIND\tID\tCOUNTED FROM\tAT POSITION\tDUE")
	}
	for after := ""; ; {
		page, err := question.Due(ctx, engine.PageRequest{First: 200, After: after})
		if err != nil {
			return err
		}
		for _, one := range page.Rows {
			over := question.Rule.DueAt(one.Since, one.Recorded)
			if c.JSON {
				err = out.Encode(dueLine{one.Basis.Of(), one.ID, one.Since.UTC(), one.Position, over.UTC()})
			} else {
				_, err = fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", one.Basis.Of(), one.ID, minute(one.Since), one.Position, minute(over))
			}
			if err != nil {
				return err
			}
		}
		if !page.HasNext {
			break
		}
		after = page.Cursors[len(page.Cursors)-1]
	}
	if c.JSON {
		end := dryRunEnd{At: question.At.UTC(), Position: question.Head, Due: due, Kept: []keptLine{}}
		for _, k := range question.Kept {
			end.Kept = append(end.Kept, keptLine{k.ID, k.Why})
		}
		return out.Encode(end)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	fmt.Printf("%d due at %s, counted up to position %s; nothing was erased\n", due, question.At.UTC().Format(second), question.Head)
	for _, k := range question.Kept {
		why := map[domainretention.Kept]string{
			domainretention.KeptLastAdministrator: "no account that can sign in would be left that may manage the organization",
			domainretention.KeptApprover:          "it has approved the rule",
		}[k.Why]
		fmt.Printf("left out: account %s, as %s\n", k.ID, why)
	}
	return nil
}
