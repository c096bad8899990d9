// Package acts keeps what people did and how signing in went: a narrow row per action and per sign-in, failed ones of nobody
// known included.
//
// No personal data is in clear: where a sign-in came from stays sealed as the log has it, and is opened when a report asks
// for it (see package activity for the same).
package acts

import (
	"encoding/json"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/annal-crm/annal/domain/account"
	"github.com/annal-crm/annal/domain/organization"
	"github.com/annal-crm/annal/domain/source"
	"github.com/annal-crm/annal/eventlog"
	"github.com/annal-crm/annal/internal/eventcodec"
	"github.com/annal-crm/annal/projections/engine"
	"github.com/annal-crm/annal/projections/members"
)

var (
	schema = engine.Schema{Name: "acts", Version: 1}

	// Acts and Tree are the tables of [Model], for those who ask them.
	Acts = engine.NewTable[Key, Action](schema, "acts", engine.TableConfig{AppendOnly: true, Indexes: []string{
		"(actor, at) where actor is not null",
		"(organization, at) where outcome is not null",
	}})
	Tree = members.NewTree(schema)
)

// Model takes every event that somebody did, also of types that this program does not know, and every sign-in.
var Model = engine.ReadModel{
	Schema: schema,
	Tables: []engine.Relation{Acts, Tree.Teams, Tree.Members},
	Keys:   keys,
	Fold:   fold,
}

// Key is the key of acts.
type Key struct {
	Organization uuid.UUID
	Position     eventlog.Position
}

// Action is what somebody did, or what became of an attempt to sign in.
type Action struct {
	Organization uuid.UUID         `db:"organization,key"`
	Position     eventlog.Position `db:"position,key"`
	Type         string            `db:"type"`
	At           time.Time         `db:"at"`
	Actor        uuid.UUID         `db:"actor,null"` // zero: the system, or nobody known

	Account uuid.UUID       `db:"account,null"` // of a sign-in: whose it was; zero: nobody's
	Outcome string          `db:"outcome,null"`
	Cause   string          `db:"cause,null"`
	Stream  uuid.UUID       `db:"stream,null"`   // of an attempt, to open …
	Meta    json.RawMessage `db:"metadata,null"` // … what is known of it, as the log has it
}

// What becomes of a sign-in.
const (
	SignedIn = "signed_in"
	Failed   = "failed"
	Refused  = "refused"
	Locked   = "locked"
	Unlocked = "unlocked"
	Muted    = "muted" // a source had failed so often that it is not recorded one by one any more
)

func keys(f *eventcodec.Event, rows *engine.Rows) error {
	if f.Stream.Category == organization.Category || f.Stream.Category == account.Category {
		return Tree.Keys(f, rows)
	}
	return nil
}

// folded are the types whose payload matters.
var folded = append(eventcodec.Types(
	account.LoggedIn{}, account.LoginFailed{}, account.LoginRefused{}, account.Locked{}, account.Unlocked{},
	source.LoginFailed{}, source.Muted{},
), members.TreeEvents...)

func fold(f *eventcodec.Event, rows *engine.Rows) error {
	actor, err := f.Actor()
	if err != nil {
		return err
	}
	act := Action{Organization: f.Stream.Organization, Position: f.Position, Type: f.Type, At: f.OccurredAt, Actor: actor}
	if slices.Contains(folded, f.Type) {
		payload, err := f.Payload()
		if err != nil {
			return err
		}
		attempt := false
		switch e := payload.(type) {
		case account.LoggedIn:
			act.Outcome, attempt = SignedIn, true
		case account.LoginFailed:
			act.Outcome, act.Cause, attempt = Failed, string(e.Reason), true
		case account.LoginRefused:
			act.Outcome, act.Cause, attempt = Refused, string(e.Reason), true
		case account.Locked:
			act.Outcome, act.Cause = Locked, string(e.Reason)
		case account.Unlocked:
			act.Outcome, act.Cause = Unlocked, string(e.Cause)
		case source.LoginFailed:
			act.Outcome, act.Cause, attempt = Failed, string(account.UnknownName), true
		case source.Muted:
			act.Outcome, attempt = Muted, true
		default:
			Tree.Fold(f, rows, payload)
		}
		if act.Outcome != "" && f.Stream.Category == account.Category {
			act.Account = f.Stream.ID
		}
		if attempt {
			act.Stream, act.Meta = f.Stream.ID, f.Meta
		}
	}
	if actor != uuid.Nil || act.Outcome != "" {
		Acts.Append(rows, act)
	}
	return nil
}
