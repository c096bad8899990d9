package commands

import (
	"context"
	"errors"
	"strings"

	"github.com/google/uuid"
	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"

	"github.com/annal-crm/annal/domain"
	"github.com/annal-crm/annal/domain/reservation"
	"github.com/annal-crm/annal/eventlog"
)

// Names are unique in the whole installation, so that a login needs no organization. Each is a stream of its own, in no
// organization, under an id that tells nothing about the name. It is claimed before the account is invited; a claim whose
// account never came to be is taken over after a while (see [reservation.Patience]).

// LoginName returns the form in which a login name is kept and looked up: without the space around it, compatible spellings
// made one, letter case not told apart. (In passwords it is.)
func LoginName(s string) string {
	return norm.NFKC.String(cases.Fold().String(norm.NFKC.String(strings.TrimSpace(s))))
}

func (c *Commands) reservation(kind reservation.Kind, name string) eventlog.Stream {
	return c.reservations.stream(uuid.Nil, c.vault.NameID(string(kind), name))
}

// claim gives a name to an account that is about to be invited. claimed reports whether it did not hold the name before. If
// another account has it, that is wrong with the field.
func (c *Commands) claim(ctx context.Context, p *Principal, by *action, kind reservation.Kind, field, name string, holder uuid.UUID) (claimed bool, err error) {
	wish := reservation.Claimed{Kind: kind, Organization: p.Organization, Holder: holder, At: c.now()}
	done, err := decide(ctx, c, &c.reservations, c.reservation(kind, name), by.aside(), nil, func(s reservation.State) ([]reservation.Event, error) {
		exists := false
		if s.Holder != uuid.Nil {
			there, err := c.accounts.load(ctx, c, c.accounts.stream(s.Organization, s.Holder))
			if err != nil {
				return nil, err
			}
			exists = there.state.Invited
		}
		return reservation.Claim(s, wish, exists)
	})
	if errors.Is(err, reservation.ErrTaken) {
		return false, domain.Invalid{field: "is taken"}
	}
	return len(done.events) > 0, err
}

// release gives a name back.
func (c *Commands) release(ctx context.Context, by *action, kind reservation.Kind, name string, holder uuid.UUID) error {
	_, err := decide(ctx, c, &c.reservations, c.reservation(kind, name), by.aside(), nil, func(s reservation.State) ([]reservation.Event, error) {
		return reservation.Release(s, holder)
	})
	return err
}

// aside is an act on a name for the sake of a command. It may come again with another result, so it has an id of its own. A
// name's stream belongs to no organization and must outlive its holder's erasure: where the actor was is left out.
func (a *action) aside() *action {
	return &action{id: uuid.New(), actor: a.actor, now: a.now, meta: domain.Metadata{
		Actor: a.meta.Actor, Command: a.meta.Command, Correlation: a.meta.Correlation, Causation: a.meta.Causation,
	}}
}
