package graph

import (
	"context"
	"strings"

	"github.com/google/uuid"

	"github.com/annal-crm/annal/commands"
	"github.com/annal-crm/annal/graph/generated"
	"github.com/annal-crm/annal/internal/auth"
)

func (m mutation) LogIn(ctx context.Context, in generated.LogInInput) (*generated.LogInPayload, error) {
	c := callerOf(ctx)
	done, err := m.Commands.LogIn(ctx, c.origin, commands.LogIn{LoginName: in.LoginName, Password: in.Password})
	if err != nil {
		return nil, err
	}
	c.becomes(done.Principal)
	return &generated.LogInPayload{Token: done.Token, Viewer: m.self(done.Principal)}, nil
}

func (m mutation) LogOut(ctx context.Context) (*generated.LogOutPayload, error) {
	p, err := callerOf(ctx).now(ctx)
	if err != nil {
		return nil, err
	}
	ended, done, err := m.Commands.LogOut(ctx, p, commands.Command{})
	return loggedOut(ended, done, err)
}

func (m mutation) LogOutEverywhere(ctx context.Context, id *uuid.UUID) (*generated.LogOutPayload, error) {
	p, err := callerOf(ctx).now(ctx)
	if err != nil {
		return nil, err
	}
	ended, done, err := m.Commands.LogOutEverywhere(ctx, p, commands.OnAccount{AccountID: value(id)})
	return loggedOut(ended, done, err)
}

func loggedOut(ended int, done commands.Result, err error) (*generated.LogOutPayload, error) {
	if err != nil {
		return nil, err
	}
	payload := &generated.LogOutPayload{Ended: ended}
	if ended > 0 {
		payload.Receipt = receipt(done.Receipt)
	}
	return payload, nil
}

func (m mutation) ChangePassword(ctx context.Context, in generated.ChangePasswordInput) (*generated.AccountPayload, error) {
	return onAccount(ctx, m, m.Commands.ChangePassword, commands.ChangePassword{
		Command: command(in.CommandID, nil), CurrentPassword: in.CurrentPassword, NewPassword: in.NewPassword,
	})
}

// ActivateAccount needs no session: the token says whose account it is. It is answered with that account as its owner sees it.
func (m mutation) ActivateAccount(ctx context.Context, in generated.ActivateAccountInput) (*generated.AccountPayload, error) {
	token, origin := strings.TrimSpace(in.Token), callerOf(ctx).origin
	done, err := m.Commands.ActivateAccount(ctx, origin, commands.ActivateAccount{Command: command(in.CommandID, nil), Token: token, Password: in.Password})
	if err != nil {
		return nil, err
	}
	whose, err := auth.ParseActivation(token)
	if err != nil {
		return nil, err
	}
	p, err := m.Commands.Acting(ctx, whose.Organization, whose.Account, origin)
	if err != nil {
		return nil, &notShown{done.Receipt, err}
	}
	return &generated.AccountPayload{Account: m.ownAccount(p), Receipt: receipt(done.Receipt)}, nil
}

func (m mutation) InviteAccount(ctx context.Context, in generated.InviteAccountInput) (*generated.AccountPayload, error) {
	return onAccount(ctx, m, m.Commands.Invite, commands.Invite{
		Command: command(in.CommandID, in.Reason), LoginName: in.LoginName, DisplayName: in.DisplayName, Email: value(in.Email),
		Team: value(in.TeamID), Roles: in.Roles,
	})
}

func (m mutation) IssueActivation(ctx context.Context, in generated.IssueActivationInput) (*generated.IssueActivationPayload, error) {
	p, err := callerOf(ctx).now(ctx)
	if err != nil {
		return nil, err
	}
	done, err := m.Commands.IssueActivation(ctx, p, commands.OnAccount{Command: command(in.CommandID, in.Reason), AccountID: in.AccountID})
	if err != nil {
		return nil, err
	}
	return &generated.IssueActivationPayload{Token: done.Token, ExpiresAt: done.ExpiresAt, Receipt: receipt(done.Receipt)}, nil
}

func (m mutation) UnlockAccount(ctx context.Context, in generated.UnlockAccountInput) (*generated.AccountPayload, error) {
	return onAccount(ctx, m, m.Commands.Unlock, commands.OnAccount{Command: command(in.CommandID, &in.Reason), AccountID: in.AccountID})
}

func (m mutation) GrantRole(ctx context.Context, in generated.RoleInput) (*generated.AccountPayload, error) {
	return onAccount(ctx, m, m.Commands.GrantRole, commands.Role{Command: command(in.CommandID, in.Reason), AccountID: in.AccountID, Role: in.Role})
}

func (m mutation) RevokeRole(ctx context.Context, in generated.RoleInput) (*generated.AccountPayload, error) {
	return onAccount(ctx, m, m.Commands.RevokeRole, commands.Role{Command: command(in.CommandID, in.Reason), AccountID: in.AccountID, Role: in.Role})
}

func (m mutation) MoveToTeam(ctx context.Context, in generated.MoveToTeamInput) (*generated.AccountPayload, error) {
	return onAccount(ctx, m, m.Commands.MoveToTeam, commands.MoveToTeam{Command: command(in.CommandID, in.Reason), AccountID: in.AccountID, Team: value(in.TeamID)})
}

func (m mutation) DeactivateAccount(ctx context.Context, in generated.AccountInput) (*generated.AccountPayload, error) {
	return onAccount(ctx, m, m.Commands.Deactivate, commands.OnAccount{Command: command(in.CommandID, in.Reason), AccountID: in.AccountID})
}

func (m mutation) ReactivateAccount(ctx context.Context, in generated.AccountInput) (*generated.AccountPayload, error) {
	return onAccount(ctx, m, m.Commands.Reactivate, commands.OnAccount{Command: command(in.CommandID, in.Reason), AccountID: in.AccountID})
}
