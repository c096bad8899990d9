package account

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"github.com/annal-crm/annal/domain/organization"
)

// naive is the rule against guessing as the organization's administrator reads it, with nothing clever in it.
type naive struct {
	wrong       []time.Time // all there ever were
	forgotten   int         // so many of them no longer count: before a success, lock or unlock
	lockedUntil time.Time
	open        map[uuid.UUID]bool
}

func (n *naive) attempt(right bool, rule organization.Lockout, at time.Time) string {
	if at.Before(n.lockedUntil) {
		return "refused"
	}
	n.lockedUntil = time.Time{}
	if right {
		n.forgotten = len(n.wrong)
		return "in"
	}
	n.wrong = append(n.wrong, at)
	count := 0
	for _, w := range n.wrong[n.forgotten:] {
		if at.Sub(w) < rule.Window {
			count++
		}
	}
	if count >= rule.Attempts {
		n.forgotten, n.lockedUntil = len(n.wrong), at.Add(rule.LockFor)
		return "locked"
	}
	return "failed"
}

// Whatever happens in whatever order, the account does what the naive reading of the rule says.
func TestLockoutRule(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rule := organization.Lockout{
			Attempts: rapid.IntRange(1, 5).Draw(t, "attempts"),
			Window:   time.Duration(rapid.IntRange(1, 20).Draw(t, "window")) * time.Minute,
			LockFor:  time.Duration(rapid.IntRange(1, 20).Draw(t, "lockFor")) * time.Minute,
		}
		model := naive{open: map[uuid.UUID]bool{}}
		s, at, n := Evolve(Evolve(State{}, ada), active), now, 0
		happen := func(events []Event, err error) []Event {
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range events {
				s = Evolve(s, e)
			}
			return events
		}
		attempt := func(t *rapid.T, right bool) {
			n++
			session := uuid.NewSHA1(laptop, fmt.Append(nil, n))
			want := model.attempt(right, rule, at)
			if want == "in" {
				model.open[session] = true
			}
			got := "failed"
			for _, e := range happen(LogIn(s, right, session, token, rule, at)) {
				switch e.(type) {
				case LoginRefused:
					got = "refused"
				case Locked:
					got = "locked"
				case LoggedIn:
					got = "in"
				}
			}
			if got != want {
				t.Fatalf("attempt %d: %s, want %s", n, got, want)
			}
		}
		pass := func(t *rapid.T) { at = at.Add(time.Duration(rapid.IntRange(0, 12).Draw(t, "minutes")) * time.Minute) }
		t.Repeat(map[string]func(*rapid.T){
			"wrong password": func(t *rapid.T) { pass(t); attempt(t, false) },
			"right password": func(t *rapid.T) { pass(t); attempt(t, true) },
			"timer": func(*rapid.T) {
				happen(EndLock(s, at))
			},
			"administrator unlocks": func(*rapid.T) {
				if len(happen(Unlock(s))) > 0 {
					model.lockedUntil = time.Time{}
				}
			},
			"logs out everywhere": func(*rapid.T) {
				happen(LogOutEverywhere(s, LoggedOutEverywhere))
				clear(model.open)
			},
			"": func(t *rapid.T) {
				if s.Locked(at) != at.Before(model.lockedUntil) {
					t.Fatalf("locked until %v, want %v", s.LockedUntil, model.lockedUntil)
				}
				if len(s.Sessions) != len(model.open) {
					t.Fatalf("%d sessions, want %d", len(s.Sessions), len(model.open))
				}
			},
		})
	})
}
