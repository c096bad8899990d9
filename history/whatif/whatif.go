// Package whatif judges the attempts to sign in that a log holds by another rule against guessing: who would have been locked,
// when and for how long, beside what happened.
//
// [Read] collects the attempts of one organization from the log itself; [History.Try] gives them, account by account and in
// order of time, to the decider that judges real ones ([account.LogIn]). Nothing is written.
package whatif

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/annal-crm/annal/commands"
	"github.com/annal-crm/annal/domain"
	"github.com/annal-crm/annal/domain/account"
	"github.com/annal-crm/annal/domain/organization"
	"github.com/annal-crm/annal/eventlog"
	"github.com/annal-crm/annal/internal/eventcodec"
)

// ErrUnknown reports an organization that the log does not know; the error's text names those it knows.
var ErrUnknown = errors.New("whatif: there is no organization")

// Lock is a time in which an account is, or would have been, locked.
type Lock struct {
	Account     uuid.UUID
	LoginName   string // as it was invited; empty if Erased
	Erased      bool   // the person has been erased
	From, Until time.Time
	Refused     int // attempts meanwhile
}

// Outcome is what a rule makes of a history: the locks in order of time, and how many attempts they refused.
type Outcome struct {
	Locks              []Lock
	RefusedWhileLocked int
}

// History is the attempts on the accounts of one organization, and what became of them.
type History struct {
	Organization string // its name
	Attempts     int
	Accounts     int // on which there were attempts
	First, Last  time.Time
	Happened     Outcome // by the rules of the time

	codec   *eventcodec.Codec
	records map[uuid.UUID]*record
}

// record is one account.
type record struct {
	invited  eventlog.Event // sealed: only those who are named need be opened
	attempts []attempt
	happened Outcome
}

// attempt is what an account's history gives to the decider.
type attempt struct {
	at   time.Time
	kind kind
}

type kind byte

const (
	failed   kind = iota // a wrong password, or an attempt while the account was locked: whether the password was right nobody has looked
	accepted             // a right password
	closed               // an attempt while the account was deactivated or not activated, which no rule judges
	unlocked             // by an administrator
)

var (
	registered = eventcodec.Type(organization.Registered{})
	invited    = eventcodec.Type(account.Invited{})
	judged     = eventcodec.Types(
		account.Invited{}, account.LoggedIn{}, account.LoginFailed{}, account.LoginRefused{}, account.Locked{}, account.Unlocked{},
	)
)

// Read collects the history of the organization of a name; "" is the one of [commands.Home]. It reads the whole log.
func Read(ctx context.Context, log eventlog.Log, codec *eventcodec.Codec, name string) (*History, error) {
	h := &History{codec: codec, records: make(map[uuid.UUID]*record)}
	wanted := uuid.Nil
	var known []string
	for e, err := range eventlog.Events(eventlog.Pages(ctx, log, 0, eventlog.End, eventlog.PageSize)) {
		if err != nil {
			return nil, err
		}
		switch {
		case e.Type == registered:
			o, err := eventcodec.Decode(ctx, codec, organization.EventTypes, e)
			if err != nil {
				return nil, err
			}
			of := o.(organization.Registered).Name
			known = append(known, strconv.Quote(of))
			if of != name && (name != "" || e.Stream.Organization != commands.Home) {
				continue
			}
			if wanted != uuid.Nil {
				return nil, fmt.Errorf("whatif: two organizations are called %q", name)
			}
			wanted, h.Organization = e.Stream.Organization, of
		case slices.Contains(judged, e.Type) && e.Stream.Organization == wanted:
			if err := h.add(ctx, e); err != nil {
				return nil, err
			}
		}
	}
	switch {
	case wanted != uuid.Nil:
	case len(known) == 0:
		return nil, fmt.Errorf("%w in this log yet", ErrUnknown)
	case name == "":
		return nil, fmt.Errorf("%w where people work yet; there are: %s", ErrUnknown, strings.Join(known, ", "))
	default:
		return nil, fmt.Errorf("%w %q; there are: %s", ErrUnknown, name, strings.Join(known, ", "))
	}
	for _, r := range h.records {
		h.Happened.add(r.happened)
		if slices.ContainsFunc(r.attempts, func(a attempt) bool { return a.kind != unlocked }) {
			h.Accounts++
		}
		// Clocks of several processes differ by a little, and an imported file need not be in order.
		slices.SortStableFunc(r.attempts, func(a, b attempt) int { return a.at.Compare(b.at) })
	}
	return h, h.Happened.name(ctx, h)
}

// add takes an event of an account into the history.
func (h *History) add(ctx context.Context, e eventlog.Event) error {
	id := e.Stream.ID
	r := h.records[id]
	if r == nil {
		r = &record{}
		h.records[id] = r
	}
	if e.Type == invited {
		r.invited = e
		return nil
	}
	event, err := eventcodec.Decode(ctx, h.codec, account.EventTypes, e)
	if errors.Is(err, domain.ErrUnknownEvent) { // of a newer program
		return nil
	}
	if err != nil {
		return err
	}
	note := func(k kind) {
		r.attempts = append(r.attempts, attempt{e.OccurredAt, k})
		if h.Attempts++; h.Attempts == 1 || e.OccurredAt.Before(h.First) {
			h.First = e.OccurredAt
		}
		if e.OccurredAt.After(h.Last) {
			h.Last = e.OccurredAt
		}
	}
	switch event := event.(type) {
	case account.LoginFailed:
		note(failed)
	case account.LoggedIn:
		note(accepted)
	case account.LoginRefused:
		if event.Reason != account.RefusedLocked {
			note(closed)
			break
		}
		note(failed)
		r.happened.refused()
	case account.Locked:
		r.happened.Locks = append(r.happened.Locks, Lock{Account: id, From: e.OccurredAt, Until: event.Until})
	case account.Unlocked:
		if event.Cause == account.UnlockedByAdministrator {
			r.attempts = append(r.attempts, attempt{e.OccurredAt, unlocked})
			r.happened.unlocked(e.OccurredAt)
		}
	}
	return nil
}

// Try judges the history by a rule, with the decider that judges real attempts. An attempt is judged whatever became of it at
// the time, but one at a closed door; an administrator's unlock ends a lock that would have held then.
func (h *History) Try(ctx context.Context, rule organization.Lockout) (Outcome, error) {
	var all Outcome
	for id, r := range h.records {
		one, err := try(id, r.attempts, rule)
		if err != nil {
			return Outcome{}, err
		}
		all.add(one)
	}
	return all, all.name(ctx, h)
}

func try(id uuid.UUID, acts []attempt, rule organization.Lockout) (o Outcome, err error) {
	// Whoever was let in, or asked for a password, had an open account.
	s := account.Evolve(account.Evolve(account.State{}, account.Invited{}), account.Activated{Credential: id})
	for _, a := range acts {
		var events []account.Event
		switch a.kind {
		case closed:
			continue
		case unlocked:
			if events, err = account.Unlock(s); len(events) > 0 {
				o.unlocked(a.at)
			}
		default:
			events, err = account.LogIn(s, a.kind == accepted, uuid.Nil, domain.Hash{}, rule, a.at)
		}
		if err != nil {
			return Outcome{}, err
		}
		for _, e := range events {
			switch e := e.(type) {
			case account.LoginRefused:
				o.refused()
			case account.Locked:
				o.Locks = append(o.Locks, Lock{Account: id, From: a.at, Until: e.Until})
			}
			s = account.Evolve(s, e)
		}
	}
	return o, nil
}

func (o *Outcome) add(of Outcome) {
	o.Locks = append(o.Locks, of.Locks...)
	o.RefusedWhileLocked += of.RefusedWhileLocked
}

// refused counts an attempt while the last lock of the only account held.
func (o *Outcome) refused() {
	o.RefusedWhileLocked++
	if n := len(o.Locks); n > 0 {
		o.Locks[n-1].Refused++
	}
}

// unlocked ends the last lock of the only account.
func (o *Outcome) unlocked(at time.Time) {
	if n := len(o.Locks); n > 0 && at.Before(o.Locks[n-1].Until) {
		o.Locks[n-1].Until = at
	}
}

// name puts the locks in order of time, and gives them the names of their accounts.
func (o *Outcome) name(ctx context.Context, h *History) error {
	invited := make([]eventlog.Event, len(o.Locks))
	for i, l := range o.Locks {
		invited[i] = h.records[l.Account].invited
	}
	known, err := h.codec.Page(ctx, invited)
	if err != nil {
		return err
	}
	for i, f := range known {
		payload, err := f.Payload()
		if err != nil {
			return err
		}
		view, err := f.Display()
		if err != nil {
			return err
		}
		l := &o.Locks[i]
		l.LoginName = payload.(account.Invited).LoginName
		l.Erased = view.Erased && l.LoginName == "" // not just the person who invited
	}
	slices.SortFunc(o.Locks, func(a, b Lock) int {
		return cmp.Or(a.From.Compare(b.From), cmp.Compare(a.LoginName, b.LoginName), slices.Compare(a.Account[:], b.Account[:]))
	})
	return nil
}
