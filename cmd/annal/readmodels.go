package main

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"text/tabwriter"
)

type readModelsCmd struct{ place }

// Run lists the read models as their checkpoints say.
func (c readModelsCmd) Run(ctx context.Context) error {
	i, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer i.Close()
	statuses, err := i.Engine.Statuses(ctx)
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "READ MODEL\tVERSION\tPOSITION\tBEHIND\tPARKED\tSTATUS\tFOLDED BY\t")
	for _, s := range statuses {
		behind := "?"
		if s.Behind != nil {
			behind = fmt.Sprint(*s.Behind)
		}
		fmt.Fprintf(w, "%s\t%d\t%s\t%s\t%d\t%s\t%s\t%s\n", s.Name, s.Version, s.Position, behind, s.Parked, s.State, cmp.Or(s.Runner, "-"), s.Error)
	}
	return w.Flush()
}
