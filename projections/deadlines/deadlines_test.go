package deadlines_test

import (
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/annal-crm/annal/domain/account"
	"github.com/annal-crm/annal/eventlog"
	"github.com/annal-crm/annal/projections/deadlines"
	"github.com/annal-crm/annal/projections/engine/querytest"
)

func TestWhatIsDue(t *testing.T) {
	w := querytest.New(t, deadlines.Model)
	ctx, org, now := t.Context(), uuid.New(), time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	stream := func() eventlog.Stream {
		return eventlog.Stream{Organization: org, Category: account.Category, ID: uuid.New()}
	}
	due, later, ended := stream(), stream(), stream()
	w.Record(due, account.Locked{Until: now.Add(-time.Hour)})
	again := w.Record(due, account.Locked{Until: now})
	w.Record(later, account.Locked{Until: now.Add(time.Microsecond)})
	w.Record(ended, account.Locked{Until: now.Add(-time.Hour)})
	w.Record(ended, account.Unlocked{})
	erased := stream()
	w.Record(erased, account.Locked{Until: now.Add(-time.Hour)})
	w.Record(erased, account.Erased{Reason: "left"})

	idle, used, old, closed, fresh := uuid.New(), uuid.New(), uuid.New(), uuid.New(), uuid.New()
	for session, age := range map[uuid.UUID]time.Duration{
		idle: time.Hour, used: 23 * time.Hour, old: 24 * time.Hour, closed: 25 * time.Hour, fresh: 59 * time.Minute,
	} {
		w.Record(due, account.LoggedIn{Session: session, At: now.Add(-age)})
	}
	w.Record(due, account.LoggedOut{Session: closed})
	w.Record(due, account.LoggedIn{At: now.Add(-48 * time.Hour)}) // an imported attempt: it opened no session
	w.Settle()
	for session, age := range map[uuid.UUID]time.Duration{used: 59 * time.Minute, old: time.Minute, idle: 2 * time.Hour} {
		if _, err := w.Pool.Exec(ctx, `insert into auth.session_use values ($1, $2)`, session, now.Add(-age)); err != nil {
			t.Fatal(err)
		}
	}

	locks, err := deadlines.DueLocks(ctx, w.Pool, now, 10)
	if err != nil || len(locks) != 1 || locks[0].Account != due.ID || locks[0].Organization != org || locks[0].Event != again.ID || !locks[0].Until.Equal(now) {
		t.Errorf("%+v, %v", locks, err)
	}
	if locks, err := deadlines.DueLocks(ctx, w.Pool, now.Add(time.Hour), 1); err != nil || len(locks) != 1 || locks[0].Account != due.ID {
		t.Errorf("not the oldest: %+v, %v", locks, err)
	}
	sessions, err := deadlines.DueSessions(ctx, w.Pool, now, 10)
	if err != nil || len(sessions) != 2 || sessions[0].ID != old || sessions[1].ID != idle || sessions[0].Account != due.ID {
		t.Errorf("%+v, %v; want %s and %s", sessions, err, old, idle)
	}
	if sessions, err := deadlines.DueSessions(ctx, w.Pool, now, 1); err != nil || len(sessions) != 1 || sessions[0].ID != old {
		t.Errorf("%+v, %v", sessions, err)
	}
	open, err := deadlines.Sessions(ctx, w.Pool, org, []uuid.UUID{due.ID, later.ID})
	if err != nil || len(open) != 1 || len(open[due.ID]) != 4 || open[due.ID][0].ID != fresh || open[due.ID][3].ID != old {
		t.Errorf("%+v, %v", open, err)
	}
	if open, err := deadlines.Sessions(ctx, w.Pool, uuid.New(), []uuid.UUID{due.ID}); err != nil || len(open) != 0 {
		t.Errorf("of another organization: %+v, %v", open, err)
	}
}
