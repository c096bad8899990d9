package eventlog_test

import (
	"math"
	"testing"

	"github.com/annal-crm/annal/eventlog"
)

func TestParsePosition(t *testing.T) {
	for _, p := range []eventlog.Position{0, 1, 8800, math.MaxInt64} {
		if parsed, err := eventlog.ParsePosition(p.String()); err != nil || parsed != p {
			t.Errorf("%v: %v, %v", p, parsed, err)
		}
	}
	for _, s := range []string{"", "-1", "+1", "1.0", " 1", "0x1", "9223372036854775808", "x"} {
		if p, err := eventlog.ParsePosition(s); err == nil {
			t.Errorf("%q is position %v", s, p)
		}
	}
}
