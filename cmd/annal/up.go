package main

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/annal-crm/annal/app"
	"github.com/annal-crm/annal/app/sample"
	"github.com/annal-crm/annal/commands"
)

type upCmd struct {
	place
	front
	founding
	NoSample bool `help:"Start empty: without the sample of the last 30 days."`
}

// founding is what the first start makes.
type founding struct {
	Organization string `help:"Name of the organization that the first start creates. Its administrator is admin, with the password in $$ANNAL_ADMIN_PASSWORD, else a generated one that is printed once." default:"Annal" env:"ANNAL_ORGANIZATION"`
}

// found makes the organization and its administrator, if they are not there; at is when that is to have happened.
func (f founding) found(ctx context.Context, i *app.Instance, at time.Time) (commands.Started, error) {
	started, err := i.Commands.FirstStart(ctx, commands.FirstStart{Organization: f.Organization, Password: os.Getenv("ANNAL_ADMIN_PASSWORD"), OccurredAt: at})
	if err != nil {
		return started, fmt.Errorf("the first start: %w", err)
	}
	return started, nil
}

// Run makes what is missing, serves, and says when it is ready.
func (c upCmd) Run(ctx context.Context) error {
	var lines []string // about the first start: printed when what they say is true
	found := func(ctx context.Context, i *app.Instance, url string) (err error) {
		lines, err = c.firstStart(ctx, i, url)
		return err
	}
	return c.front.serve(ctx, roleAll, c.place.config(), found, func(_ context.Context, _ *app.Instance, url string) error {
		fmt.Println("ready", url)
		fmt.Println("      " + strings.TrimSuffix(url, "graphql") + "   in a browser: what runs here, and queries to try")
		for _, l := range lines {
			fmt.Println(l)
		}
		return nil
	})
}

// firstStart makes what the first start makes, and returns the lines to print about it.
func (c upCmd) firstStart(ctx context.Context, i *app.Instance, url string) (lines []string, err error) {
	var at time.Time // now
	if !c.NoSample {
		at = sample.Begin(time.Now())
	}
	started, err := c.found(ctx, i, at)
	if err != nil || !started.Made {
		return nil, err
	}
	login := func(role, name, password string) {
		lines = append(lines, fmt.Sprintf("  %-14s %-13s %s", role, name, password))
	}
	lines = append(lines, "", "Sign in as (passwords that were made are shown once):")
	login("administrator", commands.AdministratorName, cmp.Or(started.Password, "(the one in ANNAL_ADMIN_PASSWORD)"))
	if c.NoSample {
		return lines, nil
	}
	told, err := sample.Record(ctx, i.Commands, started.Administrator, time.Now())
	if err != nil {
		return nil, err
	}
	for _, l := range told.Logins {
		login(l.Role, l.Name, l.Password)
	}
	show, err := worthSeeing(ctx, i, told, url)
	return append(lines, "", "The story of a lock, as the auditor sees it, from a shell:", show), err
}

// worthSeeing returns a command to paste into a shell: it asks, as the auditor, for the story of the sample's lock.
func worthSeeing(ctx context.Context, i *app.Instance, told sample.Accounts, url string) (string, error) {
	auditor := told.Logins[0]
	in, err := i.Commands.LogIn(ctx, commands.Origin{IP: "127.0.0.1", Device: "annal up"}, commands.LogIn{LoginName: auditor.Name, Password: auditor.Password})
	if err != nil {
		return "", err
	}
	query := fmt.Sprintf(`{ activity(last: 12, filter: {account: \"%s\", types: [\"account.login_failed\", \"account.locked\", \"account.login_refused\", `+
		`\"account.unlocked\", \"account.role_granted\", \"account.role_revoked\"]}) { nodes { occurredAt summary ip reason actor { displayName } } } }`, told.Locked)
	return fmt.Sprintf("curl -s %s -H 'Content-Type: application/json' -H 'Authorization: Bearer %s' \\\n  -d '{\"query\": \"%s\"}'", url, in.Token, query), nil
}
