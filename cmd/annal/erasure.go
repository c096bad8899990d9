package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"text/tabwriter"

	"github.com/google/uuid"

	"github.com/annal-crm/annal/automations"
	"github.com/annal-crm/annal/commands"
	"github.com/annal-crm/annal/domain/account"
	"github.com/annal-crm/annal/domain/customer"
	"github.com/annal-crm/annal/projections/engine"
	"github.com/annal-crm/annal/projections/erasures"
)

// Asking and approving are for two persons, over the API: who runs the program is one.
type erasureCmd struct {
	List    erasureListCmd    `cmd:"" help:"List the requests to erase a person, the newest first."`
	Rules   erasureRulesCmd   `cmd:"" help:"List the retention rules, which erase people after a time, the newest first."`
	DryRun  erasureDryRunCmd  `cmd:"" name:"dry-run" help:"List the people that a rule would erase, now or at a later time. It erases nobody."`
	Preview erasurePreviewCmd `cmd:"" help:"Show what an erasure would remove."`
	Export  erasureExportCmd  `cmd:"" help:"Print the list of erased people, one JSON object a line. A restored backup needs it. It holds no personal data."`
	Apply   erasureApplyCmd   `cmd:"" help:"After a restore and before annal serves, erase again the people on such a list. With a data directory this happens by itself."`
}

type erasureListCmd struct {
	place
	Organization string `help:"Name of the organization. Default: the one where people work." placeholder:"NAME"`
}

// Run lists the requests of an organization.
func (c erasureListCmd) Run(ctx context.Context) error {
	i, program, err := c.of(ctx, c.Organization)
	if err != nil {
		return err
	}
	defer i.Close()
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "REQUEST\tSTATUS\tKIND\tSUBJECT\tASKED\tREASON")
	for after := ""; ; {
		page, err := erasures.List(ctx, i.Pool, program.Organization, erasures.Filter{}, engine.PageRequest{First: 100, After: after})
		if err != nil {
			return err
		}
		for _, r := range page.Rows {
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", r.ID, r.Status, r.Category, r.Subject, minute(r.AskedAt), r.Reason)
		}
		if !page.HasNext {
			return w.Flush()
		}
		after = page.Cursors[len(page.Cursors)-1]
	}
}

type erasurePreviewCmd struct {
	place
	Organization string `help:"Name of the organization. Default: the one where people work." placeholder:"NAME"`
	Customer     string `help:"The id of a customer." xor:"subject" required:""`
	Account      string `help:"The id of an account." xor:"subject" required:""`
}

// Run shows what would go.
func (c erasurePreviewCmd) Run(ctx context.Context) error {
	category, text := customer.Category, c.Customer
	if c.Account != "" {
		category, text = account.Category, c.Account
	}
	id, err := uuid.Parse(text)
	if err != nil {
		return fmt.Errorf("%q is not an id; annal replay and the API show ids", text)
	}
	i, program, err := c.of(ctx, c.Organization)
	if err != nil {
		return err
	}
	defer i.Close()
	preview, err := i.Commands.PreviewErasure(ctx, program, category, id)
	if errors.Is(err, commands.ErrNotFound) {
		return fmt.Errorf("there is no %s %s", category, id)
	}
	if err != nil {
		return err
	}
	held, err := i.Engine.Holds(ctx, id)
	if err != nil {
		return err
	}
	names := make([]string, len(preview.Names))
	for n, kind := range preview.Names {
		names[n] = strings.ReplaceAll(string(kind), "_", " ")
	}
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "fields that nobody can read any more\t%s\n", strings.Join(preview.Fields, ", "))
	fmt.Fprintf(w, "in\t%s of %d\n", events(preview.Events), preview.History)
	fmt.Fprintf(w, "read models that are blanked\t%s\n", strings.Join(held, ", "))
	fmt.Fprintf(w, "names that become free\t%s\n", strings.Join(names, ", "))
	fmt.Fprintf(w, "sessions that end\t%d\n", preview.Sessions)
	return w.Flush()
}

type erasureExportCmd struct{ place }

// Run prints the list.
func (c erasureExportCmd) Run(ctx context.Context) error {
	i, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer i.Close()
	all, err := automations.AllErasures(ctx, i.Pool)
	if err != nil {
		return err
	}
	out := json.NewEncoder(os.Stdout)
	for _, e := range all {
		if err := out.Encode(e); err != nil {
			return err
		}
	}
	return nil
}

type erasureApplyCmd struct {
	place
	File string `arg:"" type:"existingfile" help:"The list: the file erasures of a data directory, or what annal erasure export has printed."`
}

// Run erases again. Read models blank their rows when they fold what it writes.
func (c erasureApplyCmd) Run(ctx context.Context) error {
	list, err := automations.ReadErasures(c.File)
	if err != nil {
		return err
	}
	i, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer i.Close()
	again, err := automations.MeetErasures(ctx, i.Commands, list)
	fmt.Printf("erased again: %d of %d\n", len(again), len(list))
	return err
}
