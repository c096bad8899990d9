package commands

import (
	"fmt"
	"testing"
	"time"
)

func TestABucketFillsUpAgain(t *testing.T) {
	l, now := newLimiter(3), time.Now()
	for range 3 {
		if !l.take("a", now) {
			t.Fatal("turned away too soon")
		}
	}
	if l.take("a", now) || l.take("a", now.Add(guessWindow/3-time.Second)) {
		t.Error("one too many")
	}
	if !l.take("b", now) || !l.take("", now) {
		t.Error("another source pays for it")
	}
	if now = now.Add(guessWindow/3 + time.Second); !l.take("a", now) || l.take("a", now) {
		t.Error("a third of the window brings one attempt")
	}
	l.giveBack("a", now)
	if !l.take("a", now) {
		t.Error("an attempt that did not fail counts")
	}
	for range 10 {
		l.giveBack("a", now)
	}
	for i := range 4 {
		if l.take("a", now) != (i < 3) {
			t.Error("attempts are saved up")
		}
	}
	for i := range guessSources {
		l.take(fmt.Sprint(i), now)
	}
	if l.buckets.Len() != guessSources {
		t.Error(l.buckets.Len(), "sources")
	}
}

func TestSourceOf(t *testing.T) {
	for ip, want := range map[string]string{
		"192.0.2.7": "192.0.2.7", "::ffff:192.0.2.7": "192.0.2.7", "2001:db8::1": "2001:db8::/64", "2001:db8:0:0:f::1": "2001:db8::/64",
		"2001:db8:0:1::1": "2001:db8:0:1::/64", "fe80::1%eth0": "fe80::/64", "unix": "unix", "": "",
	} {
		if got := sourceOf(ip); got != want {
			t.Errorf("%s: %s, want %s", ip, got, want)
		}
	}
}
