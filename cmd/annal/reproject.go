package main

import (
	"context"
	"fmt"

	"github.com/annal-crm/annal/projections"
)

type reprojectCmd struct {
	place
	Name   string `arg:"" help:"The read model: annal readmodels lists them."`
	Verify bool   `help:"Compare with the live rows before switching; exit status 3 if they differed."`
}

// differed is the exit status when the live rows were not what the log says.
const differed = 3

// Run folds the read model anew and switches to it; so rows that differed are mended.
func (c reprojectCmd) Run(ctx context.Context) error {
	i, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer i.Close()
	bar := newProgress(c.Name)
	done, err := i.Engine.Rebuild(ctx, c.Name, projections.RebuildOptions{
		Verify:   c.Verify,
		Progress: func(p projections.Progress) { bar.at(p.Phase, p.Done) },
	})
	bar.finish()
	if err != nil {
		return err
	}
	fmt.Printf("%s: folded %d events in %.1f s, up to position %s\n", c.Name, done.Events, done.Took.Seconds(), done.Position)
	switch {
	case !c.Verify:
		return nil
	case !done.Verified:
		fmt.Println("the live rows were of another log and could not be compared")
		return nil
	case done.Different == 0:
		fmt.Println("the live rows were equal")
		return nil
	}
	fmt.Printf("the live rows differed in %d, and are mended; the first:\n", done.Different)
	for _, d := range done.Differences {
		fmt.Printf("  %s %s: %s was %q, is %q\n", d.Table, d.Key, d.Column, d.Live, d.Rebuilt)
	}
	return exit{differed, fmt.Errorf("%s differed from the log", c.Name)}
}
