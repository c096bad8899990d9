package model

import (
	"bytes"
	"encoding/json"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestStringsComeBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.String().Draw(t, "s")
		var b bytes.Buffer
		MarshalString(s).MarshalGQL(&b)
		var back string
		if err := json.Unmarshal(b.Bytes(), &back); err != nil || back != s {
			t.Fatalf("%q became %q: %v", s, b.String(), err)
		}
	})
}

func TestDurationsAreShort(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0s", 30 * time.Minute: "30m", time.Hour: "1h", 90 * time.Minute: "1h30m", 10 * time.Second: "10s", 70 * time.Second: "1m10s", time.Hour + time.Second: "1h0m1s",
	} {
		if got := shortest(d); got != want {
			t.Errorf("%v: %s", d, got)
		}
		if back, err := UnmarshalDuration(want); err != nil || back != d {
			t.Errorf("%s: %v %v", want, back, err)
		}
	}
}
