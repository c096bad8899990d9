package main

import (
	"context"
	"fmt"
)

type databaseURLCmd struct{ place }

// Run prints the owner's address of the database. Without a running Annal the address is good only while something else
// keeps Annal's own Postgres running.
func (c databaseURLCmd) Run(ctx context.Context) error {
	i, err := c.begin(ctx)
	if err != nil {
		return err
	}
	defer i.Close()
	fmt.Println(i.Address)
	return nil
}
