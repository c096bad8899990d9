// Package deadlines is what is due by time: locks to be ended, sessions to be
// expired. It is the to-do list of the automations; what they do takes it off.
package deadlines

import (
	"context"
	"time"

	"github.com/google/uuid"

	"github.com/annal-crm/annal/domain/account"
	"github.com/annal-crm/annal/internal/eventcodec"
	"github.com/annal-crm/annal/projections/engine"
)

var (
	schema = engine.Schema{Name: "deadlines", Version: 2}

	locks    = engine.NewTable[uuid.UUID, Lock](schema, "locks", engine.TableConfig{Indexes: []string{"(until)"}})
	sessions = engine.NewTable[uuid.UUID, Session](schema, "sessions", engine.TableConfig{Indexes: []string{"(opened)", "(account)"}})
)

// Model folds what begins and ends locks and sessions.
var Model = engine.ReadModel{
	Schema: schema,
	Tables: []engine.Relation{locks, sessions},
	Events: eventcodec.Types(account.Locked{}, account.Unlocked{}, account.LoggedIn{}, account.LoggedOut{}, account.Erased{}),
	Keys: func(f *eventcodec.Event, rows *engine.Rows) error {
		payload, err := f.Payload()
		switch e := payload.(type) {
		case account.Locked, account.Unlocked, account.Erased:
			locks.Touch(rows, f.Stream.ID)
		case account.LoggedIn:
			if e.Session != uuid.Nil { // an imported attempt opens none
				sessions.Touch(rows, e.Session)
			}
		case account.LoggedOut:
			sessions.Touch(rows, e.Session)
		}
		return err
	},
	Fold: func(f *eventcodec.Event, rows *engine.Rows) error {
		payload, err := f.Payload()
		switch e := payload.(type) {
		case account.Locked:
			locks.Put(rows, Lock{Account: f.Stream.ID, Organization: f.Stream.Organization, Until: e.Until, Event: f.ID})
		case account.Unlocked, account.Erased:
			locks.Delete(rows, f.Stream.ID)
		case account.LoggedIn:
			if e.Session == uuid.Nil {
				break
			}
			sessions.Put(rows, Session{ID: e.Session, Account: f.Stream.ID, Organization: f.Stream.Organization, Opened: e.At, Event: f.ID})
		case account.LoggedOut:
			sessions.Delete(rows, e.Session)
		}
		return err
	},
}

// Lock is a lock that no event has ended.
type Lock struct {
	Account      uuid.UUID `db:"account,key"`
	Organization uuid.UUID `db:"organization"`
	Until        time.Time `db:"until"`
	Event        uuid.UUID `db:"event"` // that locked: what is done about it has it as its cause
}

// Session is a session that no event has ended.
type Session struct {
	ID           uuid.UUID `db:"id,key"`
	Account      uuid.UUID `db:"account"`
	Organization uuid.UUID `db:"organization"`
	Opened       time.Time `db:"opened"`
	Event        uuid.UUID `db:"event"` // that opened it
}

// DueLocks returns up to limit locks that have run out by a time, of all organizations, oldest first.
func DueLocks(ctx context.Context, db engine.DB, now time.Time, limit int) ([]Lock, error) {
	return locks.Find(ctx, db, "t.until <= $1 order by t.until limit $2", now, limit)
}

// DueSessions returns up to limit sessions that have expired by a time, of all organizations, oldest first. Last uses are
// those that are written (auth.session_use), a minute and some coarse: whoever ends a session looks again.
func DueSessions(ctx context.Context, db engine.DB, now time.Time, limit int) ([]Session, error) {
	return sessions.Find(ctx, db, `t.opened <= $1 and (t.opened <= $2
		or not exists (select from auth.session_use u where u.session = t.id and u.last_use > $1)) order by t.opened limit $3`,
		now.Add(-account.SessionIdle), now.Add(-account.SessionMax), limit)
}

// Sessions returns the open sessions of accounts, the newest first.
func Sessions(ctx context.Context, db engine.DB, organization uuid.UUID, accounts []uuid.UUID) (map[uuid.UUID][]Session, error) {
	if len(accounts) == 0 {
		return nil, nil
	}
	rows, err := sessions.Find(ctx, db, "t.organization = $1 and t.account = any($2) order by t.opened desc, t.id", organization, accounts)
	if err != nil {
		return nil, err
	}
	open := make(map[uuid.UUID][]Session)
	for _, s := range rows {
		open[s.Account] = append(open[s.Account], s)
	}
	return open, nil
}
