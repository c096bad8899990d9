package auth

import (
	"strings"
	"testing"

	"github.com/google/uuid"
)

func TestATokenHasOneSpelling(t *testing.T) {
	token := Token{uuid.New(), uuid.New(), uuid.New(), NewSecret()}
	s := token.String()
	if back, err := ParseToken(s); err != nil || back != token {
		t.Fatal(back, err)
	}
	for i := range s {
		for _, r := range []string{"A", "_", "=", "\n", " ", ""} {
			forged := s[:i] + r + s[i+1:]
			if back, err := ParseToken(forged); forged != s && err == nil && back == token {
				t.Fatalf("%q is another spelling of %q", forged, s)
			}
		}
	}
	for _, bad := range []string{"", "annal_", s + "A", s + "\n", "\n" + s, strings.TrimPrefix(s, "annal_"), s[:len(s)-1], strings.ToUpper(s)} {
		if _, err := ParseToken(bad); err != ErrToken {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func TestTheKindsOfTokensAreKeptApart(t *testing.T) {
	activation := Activation{uuid.New(), uuid.New(), NewSecret()}
	if back, err := ParseActivation(activation.String()); err != nil || back != activation {
		t.Fatal(back, err)
	}
	if _, err := ParseToken(activation.String()); err != ErrToken {
		t.Error("an activation token reads as a session's")
	}
	if _, err := ParseActivation(Token{Secret: NewSecret()}.String()); err != ErrToken {
		t.Error("a session's token reads as an activation's")
	}
}
