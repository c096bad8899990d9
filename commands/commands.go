// Package commands holds the use cases, the only way to write: who may, load,
// decide, append.
//
// A request authenticates ([Commands.Authenticate]) and calls one method with
// its principal and an input. The method judges the principal's rights from
// streams, folds the aggregate, asks its decider and appends what that answers
// (see [decide]). No read model is ever read here. Every command may be sent
// again under its id and answers with its first receipt.
package commands

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/google/uuid"

	"github.com/annal-crm/annal/domain"
	"github.com/annal-crm/annal/domain/account"
	"github.com/annal-crm/annal/domain/audit"
	"github.com/annal-crm/annal/domain/customer"
	"github.com/annal-crm/annal/domain/declared"
	"github.com/annal-crm/annal/domain/erasure"
	"github.com/annal-crm/annal/domain/opportunity"
	"github.com/annal-crm/annal/domain/organization"
	"github.com/annal-crm/annal/domain/reporting"
	"github.com/annal-crm/annal/domain/reservation"
	"github.com/annal-crm/annal/domain/retention"
	"github.com/annal-crm/annal/domain/source"
	"github.com/annal-crm/annal/eventlog"
	"github.com/annal-crm/annal/internal/auth"
	"github.com/annal-crm/annal/internal/eventcodec"
	"github.com/annal-crm/annal/internal/vault"
)

// What a command may answer besides a wrong input ([domain.Invalid]), a rule of its aggregate (account.ErrNotActive, …), a
// [Conflict], and a log or vault that cannot be reached (eventlog.ErrUnavailable, vault.ErrUnavailable).
var (
	ErrUnauthenticated    = domain.Refuse(domain.CodeUnauthenticated, "sign in: there is no session, or it has ended")
	ErrForbidden          = domain.Refuse(domain.CodeForbidden, "none of your roles allows this")
	ErrInvalidCredentials = domain.Refuse(domain.CodeInvalidCredentials, "login name or password is wrong, or the account cannot sign in now")
	ErrRateLimited        = domain.Refuse(domain.CodeRateLimited, "too much at once: try again in a moment")
	ErrNotFound           = domain.NoSuch()
	ErrUnreadable         = domain.Refuse(domain.CodeUnavailable, "this record's history holds an event that this version cannot read; an administrator finds it under parked events")
	ErrTooOld             = domain.Refuse(domain.CodeUnavailable, "a newer version of the program wrote this: it must be updated here too")
)

// Conflict is the error of a command that met another version than the one it expected, or that lost to other writers too
// often.
type Conflict struct {
	CurrentVersion eventlog.Version
	ChangedFields  []string // since the version expected
}

func (c *Conflict) Error() string {
	changed := ""
	if len(c.ChangedFields) > 0 {
		changed = ", changed: " + strings.Join(c.ChangedFields, ", ")
	}
	return fmt.Sprintf("the version is %d now%s", c.CurrentVersion, changed)
}

// Home is the organization of a first start. Attempts to sign in with names that nobody has are recorded there.
var Home = uuid.MustParse("a77a1000-0000-4000-8000-000000000001")

// Config tunes [Commands]; the zero value is fit to serve.
type Config struct {
	CachedStreams int              // states kept in memory, of each aggregate; default 4096
	LoginFloor    time.Duration    // a failed login takes at least this long; default 250 ms, negative: no floor
	Guesses       int              // failed logins of one source (an address) in 15 minutes; default 60
	Clock         func() time.Time // default time.Now
}

// Commands is the write side. It is safe for concurrent use.
type Commands struct {
	log       eventlog.Log
	codec     *eventcodec.Codec
	vault     *vault.Vault
	passwords *auth.Passwords
	uses      *auth.Uses
	now       func() time.Time
	floor     time.Duration
	guesses   *limiter

	accounts      aggregate[account.State, account.Event]
	organizations aggregate[organization.State, organization.Event]
	customers     owned[customer.State, customer.Event]
	opportunities owned[opportunity.State, opportunity.Event]
	reservations  aggregate[reservation.State, reservation.Event]
	sources       aggregate[source.State, source.Event]
	erasures      aggregate[erasure.State, erasure.Event]
	audits        aggregate[audit.State, audit.Event]
	reports       aggregate[reporting.State, reporting.Event]
	retentions    aggregate[retention.State, retention.Event]

	owned      map[string]keeper // by category: customers, opportunities and every declared kind
	categories []string          // of owned, in a fixed order
}

// New returns the write side of a log.
func New(log eventlog.Log, codec *eventcodec.Codec, vault *vault.Vault, passwords *auth.Passwords, uses *auth.Uses, cfg Config) *Commands {
	size := cmp.Or(cfg.CachedStreams, 4096)
	c := &Commands{
		log: log, codec: codec, vault: vault, passwords: passwords, uses: uses,
		now: cfg.Clock, floor: cmp.Or(cfg.LoginFloor, 250*time.Millisecond), guesses: newLimiter(cmp.Or(cfg.Guesses, guesses)),

		accounts:      newAggregate(account.Category, account.EventTypes, account.Evolve, size),
		organizations: newAggregate(organization.Category, organization.EventTypes, organization.Evolve, size),
		customers:     newCustomers(size),
		opportunities: newOpportunities(size),
		reservations:  newAggregate(reservation.Category, reservation.EventTypes, reservation.Evolve, size),
		sources:       newAggregate(source.Category, source.EventTypes, source.Evolve, size),
		erasures:      newAggregate(erasure.Category, erasure.EventTypes, erasure.Evolve, size),
		retentions:    newAggregate(retention.Category, retention.EventTypes, retention.Evolve, size),
		audits:        newAggregate(audit.Category, audit.EventTypes, audit.Evolve, size),
		reports:       newAggregate(reporting.Category, reporting.EventTypes, reporting.Evolve, size),
	}

	c.owned = map[string]keeper{customer.Category: &c.customers, opportunity.Category: &c.opportunities}
	for _, k := range declared.Kinds {
		c.owned[k.Category] = newDeclaredKind(k, size)
	}
	c.categories = slices.Sorted(maps.Keys(c.owned))
	if c.now == nil {
		c.now = time.Now
	}
	return c
}

// Pepper returns the key that passwords are peppered with, derived from the vault's master key.
func Pepper(v *vault.Vault) []byte {
	key := v.NameHash("password pepper", "")
	return key[:]
}

// Command is what every command may carry.
type Command struct {
	ID              uuid.UUID        // the same in a resend, which is answered with the first receipt; zero: made
	ExpectedVersion eventlog.Version // of the object's stream; zero: whatever it is
	Reason          string           // in the actor's words
	Causation       uuid.UUID        // the event that an automation acts on
	OccurredAt      time.Time        // of imports and automations, never of a request; zero: now
}

// Result says what a command has written where. Where there was nothing to write, the receipt is the one of the stream as
// it is.
type Result struct {
	ID   uuid.UUID // of the object
	Kind string    // its category, where the command found it out
	eventlog.Receipt
}

// Origin is where a request came from.
type Origin struct {
	IP, Device  string    // Device is the User-Agent
	Correlation uuid.UUID // the request
}

// action is a command under way: its id, what is known about it, its time.
type action struct {
	id       uuid.UUID // of the command, as actor sent it
	actor    uuid.UUID // who sent it; zero: the program, or nobody known
	resent   bool      // the id came with the command, so it may be a resend
	expected eventlog.Version
	judged   eventlog.Version // what choose is judging; set by decide
	now      time.Time        // of the world: an import's may be long ago
	meta     domain.Metadata
}

const maxReason = organization.MaxReason

// begin checks what every command carries. A command belongs to its actor: another one's of the same id is another command.
func (c *Commands) begin(p *Principal, cmd Command) (*action, error) {
	bad := domain.Invalid{}
	reason := bad.Text("reason", cmd.Reason, maxReason)
	a := &action{
		id: cmd.ID, actor: p.Account, resent: cmd.ID != uuid.Nil, expected: cmd.ExpectedVersion, now: cmd.OccurredAt,
		meta: domain.Metadata{
			Actor: p.Account, Session: p.Session, IP: line(p.Origin.IP, 64), Device: line(p.Origin.Device, 300),
			Reason: reason, Correlation: p.Origin.Correlation, Causation: cmd.Causation,
		},
	}
	if a.now.IsZero() {
		a.now = c.now()
	}
	if a.id == uuid.Nil {
		a.id = uuid.New()
	}
	a.meta.Command = a.id
	return a, bad.Err()
}

// object returns the id of what a command makes in an organization, of a kind.
func (a *action) object(organization uuid.UUID, kind string) uuid.UUID {
	return MadeBy(a.id, organization, kind)
}

// MadeBy returns the id of what the command of an id makes in an organization: a customer, an account, a team. Ids are unique
// across organizations, even where the same command is sent to two.
func MadeBy(command, organization uuid.UUID, kind string) uuid.UUID {
	return uuid.NewSHA1(command, append(organization[:], kind...))
}

// line makes one line of text out of what a client sent about itself: at most n characters, none of them a control.
func line(s string, n int) string {
	var b strings.Builder
	for _, r := range strings.ToValidUTF8(s, "") {
		if unicode.IsControl(r) {
			continue
		}
		if n--; n < 0 {
			break
		}
		b.WriteRune(r)
	}
	return b.String()
}

// pause waits for d, or for the end of ctx.
func pause(ctx context.Context, d time.Duration) {
	if d <= 0 {
		return
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
