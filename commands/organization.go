package commands

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"

	"github.com/annal-crm/annal/domain"
	"github.com/annal-crm/annal/domain/account"
	"github.com/annal-crm/annal/domain/organization"
	"github.com/annal-crm/annal/eventlog"
	"github.com/annal-crm/annal/internal/auth"
)

// FirstStart is the input of [Commands.FirstStart].
type FirstStart struct {
	Organization string    // its name
	Password     string    // of the administrator; empty: made
	OccurredAt   time.Time // zero: now
}

// Started says what a first start has made.
type Started struct {
	Administrator uuid.UUID
	Made          bool   // now; else it was there
	Password      string // if it was made now, and only then
	eventlog.Receipt
}

// AdministratorName is the login name of the first account.
const AdministratorName = "admin"

// FirstStart registers the organization [Home] with an administrator who may sign in, as far as they are not there. It may
// be interrupted and called again. A password that the policy refuses is an error before anything is written.
func (c *Commands) FirstStart(ctx context.Context, in FirstStart) (Started, error) {
	p, err := c.System(ctx, Home)
	if err != nil {
		return Started{}, err
	}
	step := func(name string) Command {
		return Command{ID: uuid.NewSHA1(Home, []byte("first start: "+name)), OccurredAt: in.OccurredAt}
	}
	invite := step("administrator")
	id := MadeBy(invite.ID, Home, account.Category)
	stream := c.accounts.stream(Home, id)
	there, err := c.accounts.load(ctx, c, stream)
	if err != nil {
		return Started{}, err
	}
	if there.state.Credential != uuid.Nil {
		return Started{Administrator: id, Receipt: there.receipt}, nil
	}
	started := Started{Administrator: id, Made: true}
	if in.Password == "" {
		in.Password = auth.MakePassword()
		started.Password = in.Password
	}
	if why := auth.Refuse(in.Password, AdministratorName, in.Organization); why != "" {
		return Started{}, domain.Invalid{"password": why}
	}
	if _, err := c.RegisterOrganization(ctx, p, RegisterOrganization{Command: step("organization"), Name: in.Organization}); err != nil && !errors.Is(err, organization.ErrExists) {
		return Started{}, err
	}
	if p, err = c.System(ctx, Home); err != nil {
		return Started{}, err
	}
	if _, err := c.Invite(ctx, p, Invite{
		Command: invite, LoginName: AdministratorName, DisplayName: "Administrator", Roles: []string{administrator},
	}); err != nil {
		return Started{}, err
	}
	credential, err := c.newCredential(ctx, &Principal{Organization: Home, Account: id, organization: p.organization}, "password", in.Password)
	if err != nil {
		return Started{}, err
	}
	act, err := c.begin(p, Command{OccurredAt: in.OccurredAt}) // with an id of its own: another process has another password
	if err != nil {
		return Started{}, err
	}
	token := domain.Hash(auth.NewSecret().Hash()) // nobody gets it
	done, err := decide(ctx, c, &c.accounts, stream, act, nil, func(s account.State) ([]account.Event, error) {
		if s.Credential != uuid.Nil { // another process starts at the same time
			return nil, nil
		}
		issued, err := account.IssueActivation(s, token, act.now)
		if err != nil {
			return nil, err
		}
		activated, err := account.Activate(account.Evolve(s, issued[0]), token, credential, act.now)
		return append(issued, activated...), err
	})
	if err != nil {
		return Started{}, err
	}
	if started.Receipt = done.receipt; len(done.events) == 0 {
		started.Made, started.Password = false, ""
	}
	return started, nil
}

// RegisterOrganization is the input of [Commands.RegisterOrganization].
type RegisterOrganization struct {
	Command
	Name string
}

// RegisterOrganization makes the organization of the principal, with the built-in roles. It is the program's own.
func (c *Commands) RegisterOrganization(ctx context.Context, p *Principal, in RegisterOrganization) (Result, error) {
	if !p.system {
		return Result{}, ErrForbidden
	}
	return c.govern(ctx, p, in.Command, func(s organization.State, _ *action) ([]organization.Event, error) {
		return organization.Register(s, in.Name)
	})
}

// govern is the way of a command on the principal's organization: it needs organization.manage.
func (c *Commands) govern(ctx context.Context, p *Principal, cmd Command, choose func(organization.State, *action) ([]organization.Event, error)) (Result, error) {
	if p.Scope(organization.Manage) != organization.All {
		return Result{}, ErrForbidden
	}
	act, err := c.begin(p, cmd)
	if err != nil {
		return Result{}, err
	}
	stream := c.organizations.stream(p.Organization, p.Organization)
	done, err := decide(ctx, c, &c.organizations, stream, act, nil, func(s organization.State) ([]organization.Event, error) { return choose(s, act) })
	return Result{ID: p.Organization, Receipt: done.receipt}, err
}

// DefineRole is the input of [Commands.DefineRole].
type DefineRole struct {
	Command
	Role        string
	Permissions map[organization.Permission]organization.Scope
}

// DefineRole makes a role.
func (c *Commands) DefineRole(ctx context.Context, p *Principal, in DefineRole) (Result, error) {
	return c.govern(ctx, p, in.Command, func(s organization.State, _ *action) ([]organization.Event, error) {
		return organization.DefineRole(s, in.Role, in.Permissions)
	})
}

// Permission is a command about a permission of a role.
type Permission struct {
	Command
	Role       string
	Permission organization.Permission
	Scope      organization.Scope // of one that is added
}

// AddPermission gives a role a permission, or another scope for one that it has.
func (c *Commands) AddPermission(ctx context.Context, p *Principal, in Permission) (Result, error) {
	return c.govern(ctx, p, in.Command, func(s organization.State, _ *action) ([]organization.Event, error) {
		return organization.AddPermission(s, in.Role, in.Permission, in.Scope)
	})
}

// RemovePermission takes a permission from a role.
func (c *Commands) RemovePermission(ctx context.Context, p *Principal, in Permission) (Result, error) {
	return c.govern(ctx, p, in.Command, func(s organization.State, _ *action) ([]organization.Event, error) {
		return organization.RemovePermission(s, in.Role, in.Permission)
	})
}

// GrantSQL puts on record that a login of the database may read the organization's rows. Call it before it may.
func (c *Commands) GrantSQL(ctx context.Context, p *Principal, cmd Command, login string) (Result, error) {
	return c.govern(ctx, p, cmd, func(s organization.State, _ *action) ([]organization.Event, error) {
		return organization.GrantSQL(s, login)
	})
}

// RevokeSQL puts on record that it may no longer.
func (c *Commands) RevokeSQL(ctx context.Context, p *Principal, cmd Command, login string) (Result, error) {
	return c.govern(ctx, p, cmd, func(s organization.State, _ *action) ([]organization.Event, error) {
		return organization.RevokeSQL(s, login)
	})
}

// CreateTeam is the input of [Commands.CreateTeam].
type CreateTeam struct {
	Command
	Name   string
	Parent uuid.UUID // zero: at the top
}

// CreateTeam makes a team. The result has the team's id.
func (c *Commands) CreateTeam(ctx context.Context, p *Principal, in CreateTeam) (Result, error) {
	if in.ID == uuid.Nil {
		in.ID = uuid.New()
	}
	team := MadeBy(in.ID, p.Organization, "team")
	result, err := c.govern(ctx, p, in.Command, func(s organization.State, _ *action) ([]organization.Event, error) {
		return organization.CreateTeam(s, team, in.Name, in.Parent)
	})
	result.ID = team
	return result, err
}

// MoveTeam is the input of [Commands.MoveTeam].
type MoveTeam struct {
	Command
	Team, Parent uuid.UUID // zero parent: to the top
}

// MoveTeam puts a team, with all below it, below another one.
func (c *Commands) MoveTeam(ctx context.Context, p *Principal, in MoveTeam) (Result, error) {
	return c.govern(ctx, p, in.Command, func(s organization.State, _ *action) ([]organization.Event, error) {
		return organization.MoveTeam(s, in.Team, in.Parent)
	})
}

// SetTeamManager is the input of [Commands.SetTeamManager].
type SetTeamManager struct {
	Command
	Team, Manager uuid.UUID // zero manager: nobody
}

// SetTeamManager says on whose scope "team" a team lies.
func (c *Commands) SetTeamManager(ctx context.Context, p *Principal, in SetTeamManager) (Result, error) {
	return c.govern(ctx, p, in.Command, func(s organization.State, _ *action) ([]organization.Event, error) {
		if in.Manager != uuid.Nil {
			if err := c.assignable(ctx, p, organization.Manage, "managerId", in.Manager); err != nil {
				return nil, err
			}
		}
		return organization.SetTeamManager(s, in.Team, in.Manager)
	})
}

// ChangeLockoutPolicy is the input of [Commands.ChangeLockoutPolicy].
type ChangeLockoutPolicy struct {
	Command
	Attempts        int
	Window, LockFor time.Duration
}

// ChangeLockoutPolicy sets the rule against guessing passwords. Locks that have fallen keep their end.
func (c *Commands) ChangeLockoutPolicy(ctx context.Context, p *Principal, in ChangeLockoutPolicy) (Result, error) {
	return c.govern(ctx, p, in.Command, func(s organization.State, _ *action) ([]organization.Event, error) {
		return organization.ChangeLockoutPolicy(s, organization.Lockout{Attempts: in.Attempts, Window: in.Window, LockFor: in.LockFor})
	})
}
