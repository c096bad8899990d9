package audit

import (
	"fmt"

	"github.com/annal-crm/annal/domain"
)

// Kind is what was done with the log as evidence.
type Kind string

const (
	Verified Kind = "verified" // the whole log, and it was as recorded; a log that is not is left as it is
	Proved   Kind = "proved"   // one event
	Bundled  Kind = "bundled"  // events with their proofs, for elsewhere
	Judged   Kind = "judged"   // attempts to sign in, by another rule
	DryRun   Kind = "dry_run"  // of a rule of retention: whom it would erase was shown
)

// Checked says that somebody verified the log, took proofs out of it, or asked what another rule would have made, or would make, of it.
type Checked struct {
	Kind Kind   `json:"kind"`
	Of   string `json:"of"` // "size=4711", "position=77", "customer/<id>", "attempts=5 window=15m0s lockFor=30m0s"
}

func (Checked) auditEvent() {}

func (e Checked) Summary() string {
	if e.Kind == DryRun {
		return "dry run: " + e.Of
	}
	return fmt.Sprintf("log %s: %s", domain.Words(e.Kind), e.Of)
}

// Check records a check.
func Check(wish Checked) ([]Event, error) {
	bad := domain.Invalid{}
	switch wish.Kind {
	case Verified, Proved, Bundled, Judged, DryRun:
	default:
		bad["kind"] = "is unknown"
	}
	if wish.Of == "" || len(wish.Of) > maxFilter {
		bad["of"] = "must be told, and is too long above 500 bytes"
	}
	if err := bad.Err(); err != nil {
		return nil, err
	}
	return []Event{wish}, nil
}
