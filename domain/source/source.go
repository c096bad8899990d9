// Package source keeps account of sign-in attempts on names that no account has,
// per source of attempts (an address), and bounds what one source may write.
//
// [Evolve] folds its events into a [State]; [Record] returns the events of an
// attempt. A flood costs at most [MaxPerHour] events and one [Muted] an hour.
package source

import (
	"fmt"
	"time"

	"github.com/annal-crm/annal/domain"
)

// MaxPerHour is how many attempts of one source are recorded one by one in an hour: a person who mistypes stays far below,
// and the auditor of an attack learns nothing from more.
const MaxPerHour = 100

// State is what the rule needs: an hour begins with the first attempt after the last one ended.
type State struct {
	Hour       time.Time // when it began
	Recorded   int       // in it
	MutedUntil time.Time
}

// Evolve returns s as e leaves it. It never refuses: an event has happened.
func Evolve(s State, e Event) State {
	switch e := e.(type) {
	case LoginFailed:
		if s.over(e.At) {
			s.Hour, s.Recorded = e.At, 0
		}
		s.Recorded++
	case Muted:
		s.MutedUntil = e.Until
	default:
		panic(fmt.Sprintf("source: Evolve lacks %T", e))
	}
	return s
}

func (s State) over(now time.Time) bool { return s.Recorded == 0 || now.Sub(s.Hour) >= time.Hour }

// Record puts an attempt on record, or says that there are too many of them, or, until that hour ends, nothing.
func Record(s State, name domain.Hash, masked string, now time.Time) ([]Event, error) {
	switch {
	case now.Before(s.MutedUntil):
		return nil, nil
	case !s.over(now) && s.Recorded >= MaxPerHour:
		return []Event{Muted{Until: s.Hour.Add(time.Hour)}}, nil
	}
	return []Event{LoginFailed{NameHash: name, NameMasked: masked, At: now}}, nil
}
