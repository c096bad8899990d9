package eventlog_test

import (
	"errors"
	"testing"
	"time"

	"github.com/annal-crm/annal/eventlog"
)

func TestAPastTakesWhatWasKnownAndWhatHadHappened(t *testing.T) {
	day := func(n int) time.Time { return time.Date(2026, 7, n, 0, 0, 0, 0, time.UTC) }
	late := eventlog.Event{Position: 7, RecordedAt: day(3)} // told on the 3rd that it happened on the 1st
	late.OccurredAt = day(1)
	for name, c := range map[string]struct {
		as    eventlog.AsOf
		takes bool
	}{
		"everything":                               {eventlog.AsOf{}, true},
		"known before it was told":                 {eventlog.AsOf{KnownAt: day(2)}, false},
		"known when it was told":                   {eventlog.AsOf{KnownAt: day(3)}, true},
		"happened by the day it did":               {eventlog.AsOf{HappenedBy: day(1)}, true},
		"happened by the day before":               {eventlog.AsOf{HappenedBy: day(1).Add(-time.Microsecond)}, false},
		"its position":                             {eventlog.AsOf{Position: 7}, true},
		"the position before":                      {eventlog.AsOf{Position: 6}, false},
		"known on the 2nd of the state of the 1st": {eventlog.AsOf{KnownAt: day(2), HappenedBy: day(1)}, false},
		"known on the 3rd of the state of the 1st": {eventlog.AsOf{KnownAt: day(3), HappenedBy: day(1)}, true},
	} {
		if got := c.as.Takes(&late); got != c.takes {
			t.Errorf("%s: %v", name, got)
		}
		if c.as.IsZero() != (name == "everything") {
			t.Error(name, "is zero")
		}
	}
	for name, c := range map[string]struct {
		as     eventlog.AsOf
		future bool
	}{
		"now":               {eventlog.AsOf{KnownAt: day(9), HappenedBy: day(9), Position: 9}, false},
		"known tomorrow":    {eventlog.AsOf{KnownAt: day(10)}, true},
		"happened tomorrow": {eventlog.AsOf{HappenedBy: day(10)}, true},
		"behind the head":   {eventlog.AsOf{Position: 10}, true},
	} {
		if err := c.as.Validate(day(9), 9); errors.Is(err, eventlog.ErrFuture) != c.future {
			t.Error(name, err)
		}
	}
}
