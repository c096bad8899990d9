package main

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/annal-crm/annal/commands"
)

type initCmd struct {
	place
	founding
}

// Run makes the organization and its administrator if they do not exist, as up does, and ends: for people who start serve by
// machinery. Run again it changes nothing.
func (c initCmd) Run(ctx context.Context) error {
	i, err := c.begin(ctx)
	if err != nil {
		return err
	}
	defer i.Close()
	if err := misfit(i.Fit(ctx)); err != nil {
		return err
	}
	started, err := c.found(ctx, i, time.Time{})
	if err != nil {
		return err
	}
	if !started.Made {
		fmt.Println("there is an organization already")
		return nil
	}
	fmt.Printf("made the organization %s; its administrator is %s, with the password %s\n", c.Organization, commands.AdministratorName,
		cmp.Or(started.Password, "in ANNAL_ADMIN_PASSWORD"))
	return nil
}
