package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/annal-crm/annal/domain"
	"github.com/annal-crm/annal/transfer/sshlog"
)

type importAuthLogCmd struct {
	place
	File         string `arg:"" type:"existingfile" help:"The log of an OpenSSH server, as syslog writes it."`
	Year         int    `required:"" placeholder:"YEAR" help:"The year of its lines, which do not say it. Their times are read as UTC."`
	Organization string `required:"" placeholder:"NAME" help:"The organization that the attempts go to, used for nothing else. It is created if it does not exist."`
}

// Run imports beside a running Annal or without one, and needs no first start.
func (c importAuthLogCmd) Run(ctx context.Context) error {
	if c.Year < 1970 || c.Year > 9999 {
		return errors.New("--year must be 1970 to 9999")
	}
	file, err := os.Open(c.File)
	if err != nil {
		return err
	}
	defer file.Close()
	i, err := c.begin(ctx)
	if err != nil {
		return err
	}
	defer i.Close()
	bar := newProgress("importing")
	sum, err := sshlog.Run(ctx, i.Commands, c.Organization, file, c.Year, func(done, total int) { bar.at("importing", float64(done)/float64(total)) })
	bar.finish()
	if _, bad := errors.AsType[domain.Invalid](err); err != nil && !bad {
		return fmt.Errorf("%s: %w", c.File, err)
	}
	if err != nil {
		return err
	}
	fmt.Printf("attempts     %6d added  %6d there already", sum.Added, sum.Known)
	if sum.Refused > 0 {
		fmt.Printf("  %6d left out: on people who have been erased", sum.Refused)
	}
	fmt.Println()
	return nil
}
