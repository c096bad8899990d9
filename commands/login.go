package commands

import (
	"context"
	"errors"
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/annal-crm/annal/domain/account"
	"github.com/annal-crm/annal/domain/reservation"
	"github.com/annal-crm/annal/domain/source"
	"github.com/annal-crm/annal/eventlog"
	"github.com/annal-crm/annal/internal/auth"
	"github.com/annal-crm/annal/internal/vault"
)

// LogIn is an attempt to sign in. Origin is where it came from.
type LogIn struct {
	Command
	LoginName, Password string
}

// LoggedIn is an open session. The token is shown now and never again: the answer to a resent command has neither token nor
// principal, for it has not judged the password.
type LoggedIn struct {
	Result
	Token     string
	Principal *Principal
}

// LogIn opens a session. Every refusal is the same [ErrInvalidCredentials] after the same work, whether the name is unknown,
// the password wrong, or the account locked, deactivated or not yet activated: the reason stands in the log only. Too many
// failures of one source, or too many attempts at once, are [ErrRateLimited]. If the attempt cannot be recorded, it failed.
func (c *Commands) LogIn(ctx context.Context, origin Origin, in LogIn) (LoggedIn, error) {
	began := time.Now()
	from := sourceOf(origin.IP)
	if !c.guesses.take(from, c.now()) {
		return LoggedIn{}, ErrRateLimited
	}
	session, err := c.logIn(ctx, origin, in)
	if errors.Is(err, ErrInvalidCredentials) {
		pause(ctx, c.floor-time.Since(began))
	} else { // done, or not judged
		c.guesses.giveBack(from, c.now())
	}
	return session, err
}

func (c *Commands) logIn(ctx context.Context, origin Origin, in LogIn) (LoggedIn, error) {
	act, err := c.begin(&Principal{Origin: origin}, in.Command)
	if err != nil {
		return LoggedIn{}, err
	}
	name := LoginName(line(in.LoginName, 400))
	held, err := c.reservations.load(ctx, c, c.reservation(reservation.LoginName, name))
	if err != nil {
		return LoggedIn{}, err
	}
	organizationID, holder := held.state.Organization, held.state.Holder
	if holder == uuid.Nil { // an account that is not there, so that the same streams are read
		organizationID, holder = Home, c.vault.NameID("nobody", name)
	}
	stream := c.accounts.stream(organizationID, holder)
	rules, err := c.organizations.load(ctx, c, c.organizations.stream(organizationID, organizationID))
	if err != nil {
		return LoggedIn{}, err
	}
	act.meta.PolicyVersion = rules.state.PolicyVersion
	token := auth.Token{Organization: organizationID, Account: holder, Session: act.object(organizationID, "session"), Secret: auth.NewSecret()}
	fits := c.check(ctx, in.Password)
	done, err := decide(ctx, c, &c.accounts, stream, act, nil, func(s account.State) ([]account.Event, error) {
		ok, err := fits(s.Credential)
		if err != nil {
			return nil, err
		}
		act.meta.Actor, act.meta.Session = uuid.Nil, uuid.Nil
		events, err := account.LogIn(s, ok, token.Session, token.Secret.Hash(), rules.state.Lockout, act.now)
		if opened(events) {
			act.meta.Actor, act.meta.Session = holder, token.Session
		}
		return events, err
	})
	switch {
	case errors.Is(err, account.ErrNotFound):
		if err := c.recordUnknown(ctx, act, origin, name); err != nil {
			return LoggedIn{}, err
		}
		return LoggedIn{}, ErrInvalidCredentials
	case err != nil:
		return LoggedIn{}, err
	case !opened(done.events):
		// What an unknown name costs beyond this: one more stream.
		if _, err := c.sources.load(ctx, c, c.source(origin)); err != nil {
			return LoggedIn{}, err
		}
		return LoggedIn{}, ErrInvalidCredentials
	case done.resent:
		return LoggedIn{Result: Result{ID: holder, Receipt: done.receipt}}, nil
	}
	p, err := c.principal(ctx, organizationID, holder, origin)
	if err != nil {
		return LoggedIn{}, err
	}
	if p.Session = token.Session; p.account.Sessions[p.Session].TokenHash != token.Secret.Hash() {
		return LoggedIn{Result: Result{ID: holder, Receipt: done.receipt}}, nil // the same command at once was first: its token is the one
	}
	return LoggedIn{Result{ID: holder, Receipt: done.receipt}, token.String(), p}, nil
}

func opened(events []account.Event) bool {
	for _, e := range events {
		if _, ok := e.(account.LoggedIn); ok {
			return true
		}
	}
	return false
}

// check returns a judge of one password against credentials. It computes once for each credential it is asked about, and as
// much for none as for a real one.
func (c *Commands) check(ctx context.Context, password string) func(credential uuid.UUID) (bool, error) {
	var judged bool
	var about uuid.UUID
	var fits bool
	return func(credential uuid.UUID) (bool, error) {
		if judged && about == credential {
			return fits, nil
		}
		hash, err := c.vault.Credential(ctx, credential)
		if errors.Is(err, vault.ErrNoCredential) {
			hash, err = c.passwords.Dummy(), nil // which nothing fits
		}
		if err != nil {
			return false, err
		}
		ok, err := c.passwords.Verify(ctx, hash, password)
		if err != nil {
			return false, limited(err)
		}
		judged, about, fits = true, credential, ok
		return fits, nil
	}
}

func limited(err error) error {
	if errors.Is(err, auth.ErrBusy) {
		return fmt.Errorf("%w: %w", ErrRateLimited, err)
	}
	return err
}

func (c *Commands) source(origin Origin) eventlog.Stream {
	return c.sources.stream(Home, c.vault.NameID(source.Category, sourceOf(origin.IP)))
}

// recordUnknown keeps an attempt on a name that nobody has, with the source that it came from.
func (c *Commands) recordUnknown(ctx context.Context, act *action, origin Origin, name string) error {
	_, err := decide(ctx, c, &c.sources, c.source(origin), act, nil, func(s source.State) ([]source.Event, error) {
		return source.Record(s, c.vault.NameHash(string(reservation.LoginName), name), masked(name), act.now)
	})
	return err
}

// masked leaves of a name what is needed to guess what its owner meant to type: "m…e (5)". People type passwords into the
// wrong field, so of a short one nothing is left.
func masked(name string) string {
	n := utf8.RuneCountInString(name)
	if n < 4 {
		return fmt.Sprintf("… (%d)", n)
	}
	_, size := utf8.DecodeRuneInString(name)
	last, _ := utf8.DecodeLastRuneInString(name)
	return fmt.Sprintf("%s…%s (%d)", name[:size], string(last), n)
}
