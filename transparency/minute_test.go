package transparency

import (
	"testing"
	"time"
)

// The page says that the root is signed at least every minute while the log grows: that is the interval, and what a look may come late.
func TestACheckpointAMinute(t *testing.T) {
	c := NewRunner(nil, RunnerConfig{}).config
	if late := c.Interval + c.Lease/4 + c.Pause + time.Second; late > time.Minute || c.Interval < time.Second {
		t.Errorf("%s pass between two checkpoints", late)
	}
}
