package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/annal-crm/annal/app"
	"github.com/annal-crm/annal/projections/engine"
)

type reprojectCmd struct {
	place
	Name   string `arg:"" optional:"" help:"The read model: annal readmodels lists them."`
	All    bool   `help:"All read models, one after the other."`
	Verify bool   `help:"Compare with the live rows before switching; exit status 3 if they differed."`
}

// differed is the exit status when the live rows were not what the log says.
const differed = 3

// Run folds the read models again and switches to them; so rows that differed are corrected.
func (c reprojectCmd) Run(ctx context.Context) error {
	if (c.Name == "") != c.All {
		return errors.New("name one read model, or say --all")
	}
	i, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer i.Close()
	names := []string{c.Name}
	if c.All {
		names = nil
		for _, m := range app.Models() {
			names = append(names, m.Name)
		}
	}
	var errs []error
	for _, name := range names {
		err := c.reproject(ctx, i, name)
		if _, corrected := errors.AsType[exit](err); err != nil && !corrected {
			return errors.Join(append(errs, err)...)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

func (c reprojectCmd) reproject(ctx context.Context, i *app.Instance, name string) error {
	bar := newProgress(name)
	done, err := i.Engine.Rebuild(ctx, name, engine.RebuildOptions{
		Verify:   c.Verify,
		Progress: func(p engine.Progress) { bar.at(p.Phase, p.Done) },
	})
	bar.finish()
	if err != nil {
		return err
	}
	fmt.Printf("%s: folded %d events in %.1f s, up to position %s\n", name, done.Events, done.Took.Seconds(), done.Position)
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
	fmt.Printf("the live rows differed in %d, and are corrected; the first:\n", done.Different)
	for _, d := range done.Differences {
		fmt.Printf("  %s %s: %s was %q, is %q\n", d.Table, d.Key, d.Column, d.Live, d.Rebuilt)
	}
	return exit{differed, fmt.Errorf("%s differed from the log", name)}
}
