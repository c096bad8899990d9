package graph

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/99designs/gqlgen/graphql/handler/transport"
	"github.com/google/uuid"

	"github.com/annal-crm/annal/commands"
	"github.com/annal-crm/annal/domain"
	"github.com/annal-crm/annal/domain/audit"
	"github.com/annal-crm/annal/graph/generated"
	"github.com/annal-crm/annal/transparency"
)

// Reading the whole log takes longer than a request may: a verification runs in the background, one at a time in a process, and
// people look at it when they like.

// The names of VerificationStatus.
const (
	verificationRunning  = "RUNNING"
	verificationVerified = "VERIFIED"
	verificationDiffers  = "DIFFERS"
	verificationFailed   = "FAILED"
)

const (
	keptVerifications = 10                     // for those who come back later; a restart forgets them, the log does not
	verificationPace  = 200 * time.Millisecond // between two looks of a subscription
	recordPatience    = 30 * time.Second       // to put a verification on record
)

var errVerifying = domain.Refuse(domain.CodeConflict, "the log is being verified already; one verification at a time")

// verificationState is one as it is at an instant.
type verificationState struct {
	id           uuid.UUID
	organization uuid.UUID // that asked
	status       string
	progress     float64
	started      time.Time
	ended        time.Time // zero: it runs
	verdict      transparency.Verdict
	problem      string
}

// verifications are those of this process, the newest last. Safe for concurrent use.
type verifications struct {
	mu  sync.Mutex
	all []verificationState
}

// begin enters a new one; errVerifying if one runs.
func (v *verifications) begin(organization uuid.UUID) (verificationState, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if n := len(v.all); n > 0 && v.all[n-1].ended.IsZero() {
		return verificationState{}, errVerifying
	}
	s := verificationState{id: uuid.New(), organization: organization, status: verificationRunning, started: time.Now()}
	v.all = append(v.all, s)
	if len(v.all) > keptVerifications {
		v.all = v.all[1:]
	}
	return s, nil
}

// change changes the newest, which runs.
func (v *verifications) change(change func(*verificationState)) {
	v.mu.Lock()
	defer v.mu.Unlock()
	change(&v.all[len(v.all)-1])
}

// of returns one that an organization has asked for, the newest if no id is given.
func (v *verifications) of(organization, id uuid.UUID) (verificationState, bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for i := len(v.all) - 1; i >= 0; i-- {
		if s := v.all[i]; s.organization == organization && (id == uuid.Nil || s.id == id) {
			return s, true
		}
	}
	return verificationState{}, false
}

func (q query) Verification(ctx context.Context, id *uuid.UUID) (*generated.Verification, error) {
	p, err := mayVerify(callerOf(ctx).who(ctx))
	if err != nil {
		return nil, err
	}
	s, found := q.verifications.of(p.Organization, value(id))
	if !found {
		return nil, nil
	}
	return verificationObject(s), nil
}

func (m mutation) VerifyLog(ctx context.Context, checkpoint *string) (*generated.Verification, error) {
	p, err := mayVerify(callerOf(ctx).now(ctx))
	if err != nil {
		return nil, err
	}
	if err := m.Audit.Ready(); err != nil {
		return nil, err
	}
	var options transparency.VerifyOptions
	if checkpoint != nil { // one that is none is told before the log is read
		options.Checkpoint = []byte(*checkpoint)
		_, err := m.Audit.OpenCheckpoint(ctx, options.Checkpoint)
		if errors.Is(err, transparency.ErrCheckpoint) {
			return nil, invalid("checkpoint", "is "+problemFor(transparency.ErrCheckpoint))
		}
		if err != nil {
			return nil, err
		}
	}
	s, err := m.verifications.begin(p.Organization)
	if err != nil {
		return nil, err
	}
	m.Logger.InfoContext(ctx, "the log is being verified", "verification", s.id, "account", p.Account)
	go m.verify(m.background, p, options)
	return verificationObject(s), nil
}

// verify verifies, and puts it on record if the log is as it was recorded. To one that is not, nothing is added.
func (r *resolver) verify(ctx context.Context, p *commands.Principal, options transparency.VerifyOptions) {
	options.Progress = func(part float64) { r.verifications.change(func(s *verificationState) { s.progress = part }) }
	verdict, err := r.judge(ctx, options)
	if err == nil && verdict.OK {
		record, cancel := context.WithTimeout(ctx, recordPatience)
		defer cancel()
		if _, err = r.Commands.Check(record, p, commands.Command{}, audit.Checked{Kind: audit.Verified, Of: "size=" + strconv.FormatUint(verdict.Size, 10)}); err != nil {
			err = fmt.Errorf("the log is as it was recorded, but that cannot be put on record: %w", err)
		}
	}
	r.verifications.change(func(s *verificationState) {
		s.ended, s.verdict, s.problem = time.Now(), verdict, verdict.Problem
		switch {
		case err != nil:
			s.status, s.problem = verificationFailed, r.errors.present(ctx, err).Message
		case verdict.OK:
			s.status, s.progress = verificationVerified, 1
		default:
			s.status = verificationDiffers
			r.Logger.ErrorContext(ctx, "the log does not verify", "position", verdict.Position, "problem", verdict.Problem)
		}
	})
}

// judge is Verify, in which a panic is an error: it would take the process with it.
func (r *resolver) judge(ctx context.Context, options transparency.VerifyOptions) (v transparency.Verdict, err error) {
	defer func() {
		if cause := recover(); cause != nil {
			err = r.errors.recovered(ctx, cause)
		}
	}()
	return r.Audit.Verify(ctx, options)
}

// Verification tells of a verification whenever it has moved, until it has ended or the session has.
func (s subscription) Verification(ctx context.Context, id uuid.UUID) (<-chan *generated.Verification, error) {
	p, err := mayVerify(callerOf(ctx).now(ctx))
	if err != nil {
		return nil, err
	}
	if _, found := s.verifications.of(p.Organization, id); !found {
		return nil, commands.ErrNotFound
	}
	states := make(chan *generated.Verification)
	go func() {
		defer close(states)
		if err := s.tellOf(ctx, id, states); err != nil && ctx.Err() == nil {
			transport.AddSubscriptionError(ctx, s.errors.present(ctx, err))
		}
	}()
	return states, nil
}

func (s subscription) tellOf(ctx context.Context, id uuid.UUID, states chan<- *generated.Verification) error {
	told := -1.0
	var p *commands.Principal
	for checked := (time.Time{}); ; {
		if time.Since(checked) >= s.config.Recheck {
			var err error
			if p, err = mayVerify(callerOf(ctx).now(ctx)); err != nil {
				return err
			}
			checked = time.Now()
		}
		state, found := s.verifications.of(p.Organization, id)
		if !found {
			return commands.ErrNotFound
		}
		if ended := !state.ended.IsZero(); ended || state.progress > told {
			told = state.progress
			select {
			case states <- verificationObject(state):
			case <-ctx.Done():
				return nil
			}
			if ended {
				return nil
			}
		}
		select {
		case <-time.After(verificationPace):
		case <-ctx.Done():
			return nil
		}
	}
}
