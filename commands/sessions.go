package commands

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"

	"github.com/annal-crm/annal/domain"
	"github.com/annal-crm/annal/domain/account"
	"github.com/annal-crm/annal/internal/auth"
)

// LogOut ends the principal's session. ended is 0 if it was over already.
func (c *Commands) LogOut(ctx context.Context, p *Principal, in Command) (ended int, r Result, err error) {
	return c.end(ctx, p, in, func(s account.State) ([]account.Event, error) {
		return account.LogOut(s, p.Session, account.LoggedOutByUser)
	})
}

// LogOutEverywhere ends every session of an account: one's own (the zero id), or another's with account.manage.
func (c *Commands) LogOutEverywhere(ctx context.Context, p *Principal, in OnAccount) (ended int, r Result, err error) {
	everywhere := func(s account.State) ([]account.Event, error) {
		return account.LogOutEverywhere(s, account.LoggedOutEverywhere)
	}
	if in.AccountID == uuid.Nil || in.AccountID == p.Account {
		return c.end(ctx, p, in.Command, everywhere)
	}
	r, done, err := c.manage(ctx, p, in.Command, in.AccountID, func(s account.State, _ *action) ([]account.Event, error) { return everywhere(s) })
	return c.forget(done), r, err
}

// end is the way of a command on one's own sessions.
func (c *Commands) end(ctx context.Context, p *Principal, cmd Command, choose func(account.State) ([]account.Event, error)) (int, Result, error) {
	act, err := c.begin(p, cmd)
	if err != nil {
		return 0, Result{}, err
	}
	done, err := decide(ctx, c, &c.accounts, c.accounts.stream(p.Organization, p.Account), act, nil, choose)
	return c.forget(done), Result{ID: p.Account, Receipt: done.receipt}, err
}

// forget counts the sessions that have ended, and drops when they were used.
func (c *Commands) forget(done outcome[account.Event]) (ended int) {
	for _, e := range done.events {
		if e, ok := e.(account.LoggedOut); ok {
			c.uses.Forget(e.Session)
			ended++
		}
	}
	return ended
}

// ActivateAccount is the input of [Commands.ActivateAccount].
type ActivateAccount struct {
	Command
	Token, Password string
}

// ActivateAccount sets the password of whoever holds an activation token, once, and ends the account's sessions. A token that
// is unknown, used or over is [account.ErrActivation]; a password that the policy refuses leaves the token as it is.
func (c *Commands) ActivateAccount(ctx context.Context, origin Origin, in ActivateAccount) (Result, error) {
	token, err := auth.ParseActivation(in.Token)
	if err != nil {
		return Result{}, account.ErrActivation
	}
	p, err := c.principal(ctx, token.Organization, token.Account, origin)
	if err != nil {
		return Result{}, err
	}
	act, err := c.begin(p, in.Command)
	if err != nil {
		return Result{}, err
	}
	credential := uuid.Nil
	done, err := decide(ctx, c, &c.accounts, c.accounts.stream(token.Organization, token.Account), act, nil, func(s account.State) ([]account.Event, error) {
		hash := domain.Hash(token.Secret.Hash())
		if events, err := account.Activate(s, hash, credential, act.now); err != nil || credential != uuid.Nil {
			return events, err
		}
		if credential, err = c.newCredential(ctx, p, "password", in.Password); err != nil { // only for who holds the token
			return nil, err
		}
		return account.Activate(s, hash, credential, act.now)
	})
	switch {
	case errors.Is(err, account.ErrNotFound), errors.Is(err, account.ErrDeactivated):
		err = account.ErrActivation // nothing about an account without its token
	}
	c.forget(done)
	return Result{ID: token.Account, Receipt: done.receipt}, err
}

// newCredential judges a new password of the principal and puts its hash into the vault.
func (c *Commands) newCredential(ctx context.Context, p *Principal, field, password string) (uuid.UUID, error) {
	if why := auth.Refuse(password, p.account.LoginName, p.account.DisplayName, p.organization.Name); why != "" {
		return uuid.Nil, domain.Invalid{field: why}
	}
	hash, err := c.passwords.Hash(ctx, password)
	if err != nil {
		return uuid.Nil, limited(err)
	}
	return c.vault.PutCredential(ctx, p.Account, hash)
}

// ChangePassword is the input of [Commands.ChangePassword].
type ChangePassword struct {
	Command
	CurrentPassword, NewPassword string
}

// ChangePassword sets the principal's password and ends its other sessions. A wrong current password counts and is recorded
// like a failed login, or a stolen session would be a way to guess it: [ErrInvalidCredentials].
func (c *Commands) ChangePassword(ctx context.Context, p *Principal, in ChangePassword) (Result, error) {
	if p.Account == uuid.Nil {
		return Result{}, ErrForbidden
	}
	act, err := c.begin(p, in.Command)
	if err != nil {
		return Result{}, err
	}
	act.meta.PolicyVersion = p.organization.PolicyVersion
	from := sourceOf(p.Origin.IP)
	if !c.guesses.take(from, c.now()) {
		return Result{}, ErrRateLimited
	}
	fits := c.check(ctx, in.CurrentPassword)
	credential := uuid.Nil
	done, err := decide(ctx, c, &c.accounts, c.accounts.stream(p.Organization, p.Account), act, nil, func(s account.State) ([]account.Event, error) {
		ok, err := fits(s.Credential)
		if err != nil {
			return nil, err
		}
		if !ok || s.Locked(act.now) {
			return account.LogIn(s, false, uuid.Nil, domain.Hash{}, p.organization.Lockout, act.now)
		}
		if credential == uuid.Nil {
			if credential, err = c.newCredential(ctx, p, "newPassword", in.NewPassword); err != nil {
				return nil, err
			}
		}
		return account.ChangePassword(s, credential, p.Session)
	})
	if err != nil {
		return Result{}, err
	}
	changed := false
	for _, e := range done.events {
		_, ok := e.(account.PasswordChanged)
		changed = changed || ok
	}
	if !changed {
		return Result{}, ErrInvalidCredentials
	}
	c.guesses.giveBack(from, c.now())
	c.forget(done)
	return Result{ID: p.Account, Receipt: done.receipt}, nil
}

// EndLock ends a lock whose time has come, at that time; before that it writes nothing. It is the program's own.
func (c *Commands) EndLock(ctx context.Context, p *Principal, in OnAccount) (Result, error) {
	if !p.system {
		return Result{}, ErrForbidden
	}
	act, err := c.begin(p, in.Command)
	if err != nil {
		return Result{}, err
	}
	done, err := decide(ctx, c, &c.accounts, c.accounts.stream(p.Organization, in.AccountID), act, nil, func(s account.State) ([]account.Event, error) {
		events, err := account.EndLock(s, act.now)
		if s.LockedUntil.Before(act.now) {
			act.now = s.LockedUntil
		}
		return events, err
	})
	return Result{ID: in.AccountID, Receipt: done.receipt}, err
}

// ExpireSession is the input of [Commands.ExpireSession].
type ExpireSession struct {
	Command
	AccountID, SessionID uuid.UUID
}

// ExpireSession ends a session that nobody has used for [account.SessionIdle], or that is [account.SessionMax] old; before that
// it writes nothing. next is when it will end if it is not used again, zero if it is over. It is the program's own.
func (c *Commands) ExpireSession(ctx context.Context, p *Principal, in ExpireSession) (r Result, next time.Time, err error) {
	if !p.system {
		return Result{}, next, ErrForbidden
	}
	act, err := c.begin(p, in.Command)
	if err != nil {
		return Result{}, next, err
	}
	last, err := c.uses.Last(ctx, in.SessionID, act.now)
	if err != nil {
		return Result{}, next, err
	}
	done, err := decide(ctx, c, &c.accounts, c.accounts.stream(p.Organization, in.AccountID), act, nil, func(s account.State) ([]account.Event, error) {
		session, open := s.Sessions[in.SessionID]
		if !open {
			next = time.Time{}
			return nil, nil
		}
		idle, end := session.Opened.Add(account.SessionIdle), session.Opened.Add(account.SessionMax)
		if used := last.Add(account.SessionIdle); used.After(idle) {
			idle = used
		}
		if next = idle; end.Before(idle) {
			next = end
		}
		events, err := account.ExpireSession(s, in.SessionID, last, act.now)
		if next.Before(act.now) {
			act.now = next // it ended then, whoever notices it when
		}
		return events, err
	})
	if c.forget(done) > 0 {
		next = time.Time{}
	}
	return Result{ID: in.AccountID, Receipt: done.receipt}, next, err
}
