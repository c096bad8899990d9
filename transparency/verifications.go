package transparency

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"time"

	"github.com/google/uuid"
)

// VerificationStatus is what has become of a verification.
type VerificationStatus string

const (
	VerificationRunning  VerificationStatus = "RUNNING"
	VerificationVerified VerificationStatus = "VERIFIED"
	VerificationDiffers  VerificationStatus = "DIFFERS"
	VerificationFailed   VerificationStatus = "FAILED" // nobody knows whether the log differs
)

const (
	keptVerifications = 10               // for those who come back later; a restart forgets them, the log does not
	recordPatience    = 30 * time.Second // to put a verification on record
)

// ErrVerifying reports that a verification runs already: it reads the whole log, so there is one at a time in a process.
var ErrVerifying = errors.New("transparency: a verification runs already")

// Verification is one as it is at an instant.
type Verification struct {
	ID           uuid.UUID
	Organization uuid.UUID // that asked
	Status       VerificationStatus
	Progress     float64 // 0 to 1
	Started      time.Time
	Ended        time.Time // zero: it runs
	Verdict      Verdict
	Err          error // why it failed
}

// Verifications runs verifications of a log in the background. It is safe for concurrent use.
type Verifications struct {
	tree *Tree
	mu   sync.Mutex
	all  []Verification // the newest last
}

// NewVerifications returns those of a tree's log: none yet.
func NewVerifications(tree *Tree) *Verifications { return &Verifications{tree: tree} }

// Begin enters a verification that an organization asks for, and returns what runs it. record puts on record that the log is as it
// was recorded; to one that is not, nothing is added. Errors: [ErrVerifying], and those of [Tree.Ready] and [Tree.OpenCheckpoint].
func (v *Verifications) Begin(ctx context.Context, organization uuid.UUID, options VerifyOptions, record func(context.Context, Verdict) error) (Verification, func(context.Context) Verification, error) {
	err := v.tree.Ready()
	if err == nil && options.Checkpoint != nil { // what is no checkpoint is said before the log is read
		_, err = v.tree.OpenCheckpoint(ctx, options.Checkpoint)
	}
	if err != nil {
		return Verification{}, nil, err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if n := len(v.all); n > 0 && v.all[n-1].Ended.IsZero() {
		return Verification{}, nil, ErrVerifying
	}
	one := Verification{ID: uuid.New(), Organization: organization, Status: VerificationRunning, Started: time.Now()}
	v.all = append(v.all, one)
	if len(v.all) > keptVerifications {
		v.all = v.all[1:]
	}
	return one, func(ctx context.Context) Verification { return v.run(ctx, options, record) }, nil
}

// change changes the newest, which runs.
func (v *Verifications) change(change func(*Verification)) Verification {
	v.mu.Lock()
	defer v.mu.Unlock()
	newest := &v.all[len(v.all)-1]
	change(newest)
	return *newest
}

// Get returns one that an organization has asked for, the newest if no id is given.
func (v *Verifications) Get(organization, id uuid.UUID) (Verification, bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for i := len(v.all) - 1; i >= 0; i-- {
		if one := v.all[i]; one.Organization == organization && (id == uuid.Nil || one.ID == id) {
			return one, true
		}
	}
	return Verification{}, false
}

func (v *Verifications) run(ctx context.Context, options VerifyOptions, record func(context.Context, Verdict) error) Verification {
	options.Progress = func(part float64) { v.change(func(one *Verification) { one.Progress = part }) }
	verdict, err := v.verify(ctx, options)
	if err == nil && verdict.OK {
		limited, cancel := context.WithTimeout(ctx, recordPatience)
		defer cancel()
		if err = record(limited, verdict); err != nil {
			err = fmt.Errorf("the log is as it was recorded, but that cannot be put on record: %w", err)
		}
	}
	return v.change(func(one *Verification) {
		one.Ended, one.Verdict, one.Err = time.Now(), verdict, err
		switch {
		case err != nil:
			one.Status = VerificationFailed
		case verdict.OK:
			one.Status, one.Progress = VerificationVerified, 1
		default:
			one.Status = VerificationDiffers
		}
	})
}

// verify is [Tree.Verify], in which a panic is an error: it would take the process with it.
func (v *Verifications) verify(ctx context.Context, options VerifyOptions) (verdict Verdict, err error) {
	defer func() {
		if cause := recover(); cause != nil {
			err = fmt.Errorf("transparency: panic: %v\n%s", cause, debug.Stack())
		}
	}()
	return v.tree.Verify(ctx, options)
}
