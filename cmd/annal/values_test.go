package main

import (
	"testing"
	"time"
)

func TestInstants(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]time.Time{
		"2017-03-01T09:00:00+02:00": time.Date(2017, 3, 1, 7, 0, 0, 0, time.UTC),
		"2017-03-01":                time.Date(2017, 3, 1, 0, 0, 0, 0, time.UTC),
		"0001-01-01":                time.Date(1, 1, 1, 0, 0, 0, 1, time.UTC), // not none
	} {
		if got, err := instant(text); err != nil || !got.Equal(want) {
			t.Errorf("%s is %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "2017-3-1", "2017-02-30", "yesterday", "2017-03-01 09:00", "10000-01-01"} {
		if got, err := instant(text); err == nil {
			t.Errorf("%q is %v", text, got)
		}
	}
}
