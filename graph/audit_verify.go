package graph

import (
	"context"
	"errors"
	"strconv"

	"github.com/google/uuid"

	"github.com/annal-crm/annal/commands"
	"github.com/annal-crm/annal/domain/audit"
	"github.com/annal-crm/annal/graph/generated"
	"github.com/annal-crm/annal/graph/model"
	"github.com/annal-crm/annal/transparency"
)

func (q query) Verification(ctx context.Context, id *uuid.UUID) (*generated.Verification, error) {
	p, err := mayVerify(callerOf(ctx).who(ctx))
	if err != nil {
		return nil, err
	}
	v, found := q.checks.Get(p.Organization, value(id))
	if !found {
		return nil, nil
	}
	return q.verificationObject(ctx, v), nil
}

func (r *resolver) verificationObject(ctx context.Context, v transparency.Verification) *generated.Verification {
	o := &generated.Verification{ID: v.ID, Status: model.Enum(v.Status), Progress: v.Progress, StartedAt: v.Started, EndedAt: given(v.Ended), Problem: given(v.Verdict.Problem)}
	if v.Err != nil {
		o.Problem = new(r.errors.present(ctx, v.Err).Message)
	} else if o.EndedAt != nil {
		o.Ok, o.Size, o.Signed, o.Position = &v.Verdict.OK, new(int(v.Verdict.Size)), new(int(v.Verdict.Signed)), given(v.Verdict.Position)
	}
	return o
}

func (m mutation) VerifyLog(ctx context.Context, checkpoint *string) (*generated.Verification, error) {
	p, err := mayVerify(callerOf(ctx).now(ctx))
	if err != nil {
		return nil, err
	}
	var options transparency.VerifyOptions
	if checkpoint != nil {
		options.Checkpoint = []byte(*checkpoint)
	}
	v, run, err := m.checks.Begin(ctx, p.Organization, options, func(ctx context.Context, verdict transparency.Verdict) error {
		_, err := m.Commands.Check(ctx, p, commands.Command{}, audit.Checked{Kind: audit.Verified, Of: "size=" + strconv.FormatUint(verdict.Size, 10)})
		return err
	})
	if errors.Is(err, transparency.ErrCheckpoint) {
		return nil, invalid("checkpoint", "is "+problemFor(transparency.ErrCheckpoint))
	}
	if err != nil {
		return nil, err
	}
	m.Logger.InfoContext(ctx, "the log is being verified", "verification", v.ID, "account", p.Account)
	go func() {
		if ended := run(m.background); ended.Status == transparency.VerificationDiffers {
			m.Logger.ErrorContext(m.background, "the log does not verify", "position", ended.Verdict.Position, "problem", ended.Verdict.Problem)
		}
	}()
	return m.verificationObject(ctx, v), nil
}

// Verification shows a verification whenever it has moved, until it has ended or the session has.
func (s subscription) Verification(ctx context.Context, id uuid.UUID) (<-chan *generated.Verification, error) {
	return watch(ctx, s, func(p *commands.Principal) (transparency.Verification, float64, bool, error) {
		_, err := mayVerify(p, nil)
		v, found := s.checks.Get(p.Organization, id)
		if err == nil && !found {
			err = commands.ErrNotFound
		}
		return v, v.Progress, !v.Ended.IsZero(), err
	}, func(_ *commands.Principal, v transparency.Verification) *generated.Verification {
		return s.verificationObject(ctx, v)
	})
}
