package commands

import (
	"context"
	"errors"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"github.com/annal-crm/annal/domain"
	"github.com/annal-crm/annal/domain/account"
	"github.com/annal-crm/annal/domain/organization"
	"github.com/annal-crm/annal/eventlog"
	"github.com/annal-crm/annal/internal/eventcodec"
	"github.com/annal-crm/annal/internal/vault"
)

// Attempt is an attempt to sign in to another system, out of a log of it.
type Attempt struct {
	account.Attempt
	Key        string // tells it from all others of the organization; the same when it is imported again
	LoginName  string
	IP, Device string
}

// Attempts takes the attempts of other systems' logs into an organization of their own. It is not safe for concurrent use;
// several, in whatever processes, may import into one organization at once.
type Attempts struct {
	c            *Commands
	organization uuid.UUID
	streams      map[uuid.UUID]*attempted
}

// attempted is what is known of an account's stream: which events it holds, so that none is written twice.
type attempted struct {
	state   account.State
	version eventlog.Version
	ids     map[uuid.UUID]struct{}
}

// MaxAttempts is how many attempts one [Attempts.Import] takes: with the account's invitation they fit into one append.
const MaxAttempts = eventlog.MaxEvents - 1

// Attempts returns the organization of a name that holds imported attempts and nothing else, and makes it if it is not there.
// Nobody can sign in to it. The name of [Home] is [domain.Invalid].
func (c *Commands) Attempts(ctx context.Context, name string) (*Attempts, error) {
	name = strings.TrimSpace(name)
	home, err := c.System(ctx, Home)
	if err != nil {
		return nil, err
	}
	if home.organization.Name == name && name != "" {
		return nil, domain.Invalid{"organization": "must be one of its own: " + strconv.Quote(name) + " is where people work"}
	}
	p, err := c.System(ctx, uuid.NewSHA1(Home, []byte("attempts: "+name)))
	if err != nil {
		return nil, err
	}
	if p.organization.Name == "" {
		_, err := c.RegisterOrganization(ctx, p, RegisterOrganization{Name: name})
		if err != nil && !errors.Is(err, organization.ErrExists) { // somebody else has made it meanwhile
			return nil, err
		}
	}
	return &Attempts{c, p.Organization, make(map[uuid.UUID]*attempted)}, nil
}

// AttemptsImported says what became of attempts.
type AttemptsImported struct {
	Added   int
	Known   int // were there already
	Refused int // on a person who has been erased: nothing about that person is recorded again
}

// Import records up to [MaxAttempts] attempts, those on each name in the order given. One that was imported before is left
// out, by its Key. After an error, import the same ones again.
func (a *Attempts) Import(ctx context.Context, batch []Attempt) (done AttemptsImported, err error) {
	var names []string // in the order of their first attempt, so that the log is nearly in the order of the file
	of := make(map[string][]Attempt)
	for _, one := range batch {
		name := LoginName(line(one.LoginName, domain.MaxName))
		if of[name] == nil {
			names = append(names, name)
		}
		of[name] = append(of[name], one)
	}
	for _, name := range names {
		added, err := a.on(ctx, name, of[name])
		switch {
		case errors.Is(err, vault.ErrErased):
			done.Refused += len(of[name])
		case err != nil:
			return done, err
		default:
			done.Added += added
			done.Known += len(of[name]) - added
		}
	}
	return done, nil
}

// on records the attempts on one name. An account's id, and an event's, is a keyed hash: the log itself tells nothing about
// names and addresses.
func (a *Attempts) on(ctx context.Context, name string, batch []Attempt) (added int, err error) {
	c, within := a.c, a.organization.String()
	stream := c.accounts.stream(a.organization, c.vault.NameID("attempts on", within+" "+name))
	known := a.streams[stream.ID]
	if known == nil {
		known = &attempted{ids: make(map[uuid.UUID]struct{})}
		a.streams[stream.ID] = known
	}
	for range attempts {
		if err := a.follow(ctx, stream, known); err != nil {
			return 0, err
		}
		state, added := known.state, 0
		var events []eventlog.NewEvent
		for _, one := range batch {
			id := c.vault.NameID("attempt", within+" "+one.Key)
			if _, there := known.ids[id]; there {
				continue
			}
			added++
			meta := domain.Metadata{IP: line(one.IP, 64), Device: line(one.Device, 300), Command: id}
			for _, e := range account.ImportAttempt(state, name, one.Attempt) {
				own := id
				switch e.(type) {
				case account.Invited:
					own = uuid.NewSHA1(stream.ID, []byte("invited"))
				case account.LoggedIn:
					meta.Actor = stream.ID
				}
				stored, err := eventcodec.Encode(ctx, c.codec, account.EventTypes, stream, own, e, meta, one.At)
				if err != nil {
					return 0, err
				}
				state, events = account.Evolve(state, e), append(events, stored)
			}
		}
		if added == 0 {
			return 0, nil
		}
		if _, err := c.log.Append(ctx, stream, known.version, events...); !errors.Is(err, eventlog.ErrConflict) {
			return added, err // follow reads what was written here when the name comes again
		}
	}
	return 0, &Conflict{CurrentVersion: known.version}
}

// follow reads what is new in a stream.
func (a *Attempts) follow(ctx context.Context, s eventlog.Stream, known *attempted) error {
	for e, err := range a.c.log.ReadStream(ctx, s, known.version) {
		if err != nil {
			return err
		}
		event, err := eventcodec.Decode(ctx, a.c.codec, account.EventTypes, e)
		if err != nil {
			return unreadable(e, err)
		}
		known.state, known.version = account.Evolve(known.state, event), e.Version
		known.ids[e.ID] = struct{}{}
	}
	return nil
}
