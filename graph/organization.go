package graph

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/annal-crm/annal/commands"
	"github.com/annal-crm/annal/domain/organization"
	"github.com/annal-crm/annal/graph/generated"
	"github.com/annal-crm/annal/graph/model"
)

// Organization shows what every member may know: the rules and the tree. It is the principal's own fold of the stream, so it
// is never behind.
func (q query) Organization(ctx context.Context) (*model.Organization, error) {
	p, err := callerOf(ctx).who(ctx)
	if err != nil {
		return nil, err
	}
	return q.organization(p), nil
}

func (r *resolver) organization(p *commands.Principal) *model.Organization {
	s := p.OrganizationState()
	o := &model.Organization{
		ID: p.Organization, Name: s.Name, Roles: []*model.Role{}, Teams: []*model.Team{},
		LockoutPolicy: &model.LockoutPolicy{Attempts: s.Lockout.Attempts, Window: s.Lockout.Window, LockFor: s.Lockout.LockFor},
	}
	for _, name := range slices.Sorted(maps.Keys(s.Roles)) {
		role := &model.Role{Name: name, Permissions: []*model.RolePermission{}}
		for _, permission := range slices.Sorted(maps.Keys(s.Roles[name])) {
			role.Permissions = append(role.Permissions, &model.RolePermission{Permission: string(permission), Scope: model.Enum(s.Roles[name][permission])})
		}
		o.Roles = append(o.Roles, role)
	}
	teams := r.teams(p)
	for id := range s.Teams {
		o.Teams = append(o.Teams, teams.get(id))
	}
	slices.SortFunc(o.Teams, func(a, b *model.Team) int {
		return cmp.Or(strings.Compare(a.Name, b.Name), strings.Compare(a.ID.String(), b.ID.String()))
	})
	return o
}

// teams are the organization's teams with their edges.
type teams struct {
	known    map[uuid.UUID]organization.TeamNode
	made     map[uuid.UUID]*model.Team
	managers *model.Batch[model.Account]
}

func (r *resolver) teams(p *commands.Principal) *teams {
	return &teams{p.OrganizationState().Teams, make(map[uuid.UUID]*model.Team), r.people(p)}
}

// get returns a team, nil if it does not exist of this id. It is not for concurrent use: pages are made by one goroutine.
func (t *teams) get(id uuid.UUID) *model.Team {
	if team, ok := t.made[id]; ok {
		return team
	}
	node, ok := t.known[id]
	if !ok {
		return nil
	}
	team := &model.Team{ID: id, Name: node.Name, ManagerID: node.Manager, Accounts: t.managers}
	t.made[id] = team
	t.managers.Want(node.Manager)
	team.Parent = t.get(node.Parent) // no cycles: the organization sees to it
	return team
}

// govern is the way of a mutation on the organization: it shows what that is now.
func (m mutation) govern(ctx context.Context, act func(*commands.Principal) (commands.Result, error)) (*generated.OrganizationPayload, error) {
	done, p, err := m.governed(ctx, act)
	if err != nil {
		return nil, err
	}
	return &generated.OrganizationPayload{Organization: m.organization(p), Receipt: receipt(done.Receipt)}, nil
}

// onTeam is govern for a mutation that is about one team.
func (m mutation) onTeam(ctx context.Context, act func(*commands.Principal) (commands.Result, error), id func(commands.Result) uuid.UUID) (*generated.TeamPayload, error) {
	done, p, err := m.governed(ctx, act)
	if err != nil {
		return nil, err
	}
	return &generated.TeamPayload{Team: m.teams(p).get(id(done)), Receipt: receipt(done.Receipt)}, nil
}

func (m mutation) governed(ctx context.Context, act func(*commands.Principal) (commands.Result, error)) (commands.Result, *commands.Principal, error) {
	p, err := callerOf(ctx).now(ctx)
	if err != nil {
		return commands.Result{}, nil, err
	}
	done, err := act(p)
	if err != nil {
		return done, nil, err
	}
	if p, err = callerOf(ctx).now(ctx); err != nil { // with the organization as it is after the act
		return done, nil, &notShown{done.Receipt, err}
	}
	return done, p, nil
}

func (m mutation) DefineRole(ctx context.Context, in generated.DefineRoleInput) (*generated.OrganizationPayload, error) {
	permissions := make(map[organization.Permission]organization.Scope, len(in.Permissions))
	for _, one := range in.Permissions {
		permissions[organization.Permission(one.Permission)] = organization.Scope(one.Scope)
	}
	return m.govern(ctx, func(p *commands.Principal) (commands.Result, error) {
		return m.Commands.DefineRole(ctx, p, commands.DefineRole{Command: command(in.CommandID, in.Reason), Role: in.Role, Permissions: permissions})
	})
}

func (m mutation) AddPermission(ctx context.Context, in generated.AddPermissionInput) (*generated.OrganizationPayload, error) {
	return m.govern(ctx, func(p *commands.Principal) (commands.Result, error) {
		return m.Commands.AddPermission(ctx, p, commands.Permission{
			Command: command(in.CommandID, in.Reason), Role: in.Role, Permission: organization.Permission(in.Permission), Scope: organization.Scope(in.Scope),
		})
	})
}

func (m mutation) RemovePermission(ctx context.Context, in generated.RemovePermissionInput) (*generated.OrganizationPayload, error) {
	return m.govern(ctx, func(p *commands.Principal) (commands.Result, error) {
		return m.Commands.RemovePermission(ctx, p, commands.Permission{
			Command: command(in.CommandID, in.Reason), Role: in.Role, Permission: organization.Permission(in.Permission),
		})
	})
}

func (m mutation) ChangeLockoutPolicy(ctx context.Context, in generated.ChangeLockoutPolicyInput) (*generated.OrganizationPayload, error) {
	return m.govern(ctx, func(p *commands.Principal) (commands.Result, error) {
		return m.Commands.ChangeLockoutPolicy(ctx, p, commands.ChangeLockoutPolicy{
			Command: command(in.CommandID, in.Reason), Attempts: in.Attempts, Window: in.Window, LockFor: in.LockFor,
		})
	})
}

func (m mutation) CreateTeam(ctx context.Context, in generated.CreateTeamInput) (*generated.TeamPayload, error) {
	return m.onTeam(ctx, func(p *commands.Principal) (commands.Result, error) {
		return m.Commands.CreateTeam(ctx, p, commands.CreateTeam{Command: command(in.CommandID, in.Reason), Name: in.Name, Parent: value(in.ParentID)})
	}, func(made commands.Result) uuid.UUID { return made.ID })
}

func (m mutation) MoveTeam(ctx context.Context, in generated.MoveTeamInput) (*generated.TeamPayload, error) {
	return m.onTeam(ctx, func(p *commands.Principal) (commands.Result, error) {
		return m.Commands.MoveTeam(ctx, p, commands.MoveTeam{Command: command(in.CommandID, in.Reason), Team: in.TeamID, Parent: value(in.ParentID)})
	}, func(commands.Result) uuid.UUID { return in.TeamID })
}

func (m mutation) SetTeamManager(ctx context.Context, in generated.SetTeamManagerInput) (*generated.TeamPayload, error) {
	return m.onTeam(ctx, func(p *commands.Principal) (commands.Result, error) {
		return m.Commands.SetTeamManager(ctx, p, commands.SetTeamManager{
			Command: command(in.CommandID, in.Reason), Team: in.TeamID, Manager: value(in.ManagerID),
		})
	}, func(commands.Result) uuid.UUID { return in.TeamID })
}
