package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"text/tabwriter"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/annal-crm/annal/app"
	"github.com/annal-crm/annal/commands"
	"github.com/annal-crm/annal/domain/organization"
	"github.com/annal-crm/annal/eventlog"
	"github.com/annal-crm/annal/internal/eventcodec"
	"github.com/annal-crm/annal/transfer/sqlviews"
)

type sqlCmd struct {
	Grant  sqlGrantCmd  `cmd:"" help:"Let a login of Postgres read the views in the schema bi: personal fields masked, the rows of one organization."`
	Revoke sqlRevokeCmd `cmd:"" help:"Take a login's access to the views away."`
	List   sqlListCmd   `cmd:"" help:"List the logins and the organization that each one sees."`
}

type sqlGrantCmd struct {
	place
	Login        string `arg:"" help:"An existing login of Postgres: create role NAME login password '…'."`
	Organization string `help:"The organization's name. Default: the one where people work." placeholder:"NAME"`
}

type sqlRevokeCmd struct {
	place
	Login        string `arg:"" help:"The login. Postgres keeps it."`
	Organization string `help:"The organization's name. Default: all." placeholder:"NAME"`
}

type sqlListCmd struct{ place }

// Run makes the views, if nobody has yet, and grants.
func (c sqlGrantCmd) Run(ctx context.Context) error {
	return asOwner(ctx, c.place, func(i *app.Instance, owner *pgx.Conn) error {
		if _, err := i.ShowViews(ctx); err != nil {
			return err
		}
		of, name, err := organizationNamed(ctx, i, c.Organization)
		if err != nil {
			return err
		}
		guarded, err := sqlviews.Grant(ctx, owner, c.Login, of, operator(), func() error { return recorded(ctx, i, of, i.Commands.GrantSQL, c.Login) })
		if err != nil {
			return err
		}
		fmt.Printf("%s reads %q in the schema bi; docs/analysts.md lists the views\n", c.Login, name)
		if !guarded {
			fmt.Fprintln(os.Stderr, "annal: the owner of the database may not set the login's limits; set statement_timeout and idle_in_transaction_session_timeout for it, or a forgotten query delays rebuilds and erasures")
		}
		return nil
	})
}

// Run revokes; what a session has read before stays read.
func (c sqlRevokeCmd) Run(ctx context.Context) error {
	return asOwner(ctx, c.place, func(i *app.Instance, owner *pgx.Conn) error {
		of := uuid.Nil
		if c.Organization != "" {
			var err error
			if of, _, err = organizationNamed(ctx, i, c.Organization); err != nil {
				return err
			}
		}
		return sqlviews.Revoke(ctx, owner, c.Login, of, func(of uuid.UUID) error { return recorded(ctx, i, of, i.Commands.RevokeSQL, c.Login) })
	})
}

// Run lists.
func (c sqlListCmd) Run(ctx context.Context) error {
	return asOwner(ctx, c.place, func(i *app.Instance, owner *pgx.Conn) error {
		grants, err := sqlviews.Grants(ctx, owner)
		if err != nil {
			return err
		}
		if len(grants) == 0 {
			fmt.Println("no login of Postgres reads the views; annal sql grant lets one")
			return nil
		}
		names, err := organizationNames(ctx, i)
		if err != nil {
			return err
		}
		w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
		fmt.Fprintln(w, "LOGIN\tORGANIZATION\tSINCE (UTC)\tBY")
		for _, g := range grants {
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", g.Login, names[g.Organization], g.Since, g.By)
		}
		return w.Flush()
	})
}

func asOwner(ctx context.Context, p place, do func(*app.Instance, *pgx.Conn) error) error {
	i, err := p.open(ctx)
	if err != nil {
		return err
	}
	defer i.Close()
	owner, err := pgx.Connect(ctx, i.Address)
	if err != nil {
		return err
	}
	defer owner.Close(context.WithoutCancel(ctx))
	return do(i, owner)
}

// organizationNames reads them all from the log, where alone they are.
func organizationNames(ctx context.Context, i *app.Instance) (map[uuid.UUID]string, error) {
	names := make(map[uuid.UUID]string)
	for e, err := range eventlog.Events(eventlog.Pages(ctx, i.Log, 0, eventlog.End, eventlog.PageSize)) {
		if err != nil {
			return nil, err
		}
		if e.Type != eventcodec.Type(organization.Registered{}) {
			continue
		}
		registered, err := eventcodec.Decode(ctx, i.Codec, organization.EventTypes, e)
		if err != nil {
			return nil, err
		}
		names[e.Stream.Organization] = registered.(organization.Registered).Name
	}
	return names, nil
}

// organizationNamed returns the organization of a name; "" is the one where people work.
func organizationNamed(ctx context.Context, i *app.Instance, name string) (id uuid.UUID, called string, err error) {
	names, err := organizationNames(ctx, i)
	if err != nil {
		return id, "", err
	}
	if home, there := names[commands.Home]; name == "" && there {
		return commands.Home, home, nil
	}
	for of, called := range names {
		if called == name && id != uuid.Nil {
			return id, "", fmt.Errorf("two organizations are called %q", name)
		}
		if called == name && name != "" {
			id = of
		}
	}
	switch {
	case id != uuid.Nil:
		return id, name, nil
	case name == "":
		return id, "", errors.New("there is no organization where people work yet; annal up makes one")
	}
	return id, "", fmt.Errorf("there is no organization %q", name)
}
