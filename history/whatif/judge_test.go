package whatif

import (
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"github.com/annal-crm/annal/domain/organization"
)

// naively is the rule as an administrator reads it, for one account, with nothing of the domain's in it.
func naively(acts []attempt, rule organization.Lockout) (o Outcome) {
	var counting []time.Time // wrong passwords since the last success, lock or unlock
	var until time.Time
	for _, a := range acts {
		held := a.at.Before(until)
		switch {
		case a.kind == closed:
		case a.kind == unlocked && held:
			o.Locks[len(o.Locks)-1].Until, until, counting = a.at, time.Time{}, nil
		case a.kind == unlocked:
		case held:
			o.RefusedWhileLocked++
			o.Locks[len(o.Locks)-1].Refused++
		case a.kind == accepted:
			counting = nil
		default:
			counting = append(slices.DeleteFunc(counting, func(t time.Time) bool { return a.at.Sub(t) >= rule.Window }), a.at)
			if len(counting) >= rule.Attempts {
				until, counting = a.at.Add(rule.LockFor), nil
				o.Locks = append(o.Locks, Lock{From: a.at, Until: until})
			}
		}
	}
	return o
}

// Whatever was attempted in whatever order, the decider locks whom the naive reading of the rule locks.
func TestTheDeciderDoesWhatTheRuleSays(t *testing.T) {
	start := time.Date(2026, 1, 2, 15, 4, 0, 0, time.UTC)
	locks := 0
	rapid.Check(t, func(t *rapid.T) {
		minutes := func(label string, from, to int) time.Duration {
			return time.Duration(rapid.IntRange(from, to).Draw(t, label)) * time.Minute
		}
		rule := organization.Lockout{Attempts: rapid.IntRange(1, 6).Draw(t, "attempts"), Window: minutes("window", 1, 20), LockFor: minutes("lock for", 1, 20)}
		acts := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) attempt {
			// Mostly wrong, or hardly a lock would fall.
			return attempt{kind: rapid.SampledFrom([]kind{failed, failed, failed, failed, failed, accepted, closed, unlocked}).Draw(t, "kind")}
		}), 0, 80).Draw(t, "acts")
		at := start
		for i := range acts {
			at = at.Add(minutes("pause", 0, 6))
			acts[i].at = at
		}
		got, err := try(uuid.New(), acts, rule)
		if err != nil {
			t.Fatal(err)
		}
		want := naively(acts, rule)
		for i := range got.Locks {
			got.Locks[i].Account = uuid.Nil
		}
		locks += len(want.Locks)
		if got.RefusedWhileLocked != want.RefusedWhileLocked || !slices.Equal(got.Locks, want.Locks) {
			t.Fatalf("%+v\nwant %+v", got, want)
		}
	})
	if locks == 0 {
		t.Error("no lock fell at all: this test looks at nothing")
	}
}
