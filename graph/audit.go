package graph

import (
	"bytes"
	"context"
	"encoding/base64"
	"strings"

	"github.com/google/uuid"

	"github.com/annal-crm/annal/commands"
	"github.com/annal-crm/annal/domain"
	"github.com/annal-crm/annal/domain/account"
	"github.com/annal-crm/annal/domain/audit"
	"github.com/annal-crm/annal/domain/customer"
	"github.com/annal-crm/annal/domain/opportunity"
	"github.com/annal-crm/annal/domain/organization"
	"github.com/annal-crm/annal/eventlog"
	"github.com/annal-crm/annal/graph/generated"
	"github.com/annal-crm/annal/transparency"
)

// The tree is over the log of all organizations; what is shown of it are hashes, and leaves of the caller's own organization.

// mayVerify tells an error if a principal may not ask for evidence.
func mayVerify(p *commands.Principal, err error) (*commands.Principal, error) {
	if err == nil && p.Scope(organization.VerifyLog) != organization.All {
		err = commands.ErrForbidden
	}
	return p, err
}

func (q query) AuditKeys(ctx context.Context) (*generated.AuditKey, error) {
	if _, err := mayVerify(callerOf(ctx).who(ctx)); err != nil {
		return nil, err
	}
	if err := q.Audit.Ready(); err != nil {
		return nil, err
	}
	periods, err := q.Audit.Keys(ctx)
	if err != nil {
		return nil, err
	}
	key := &generated.AuditKey{Name: q.Audit.Origin(), VerifierKey: q.Audit.VerifierKey()}
	for _, p := range periods {
		key.Periods = append(key.Periods, keyPeriodObject(p))
	}
	return key, nil
}

func keyPeriodObject(p transparency.Period) *generated.AuditKeyPeriod {
	o := &generated.AuditKeyPeriod{VerifierKey: p.VerifierKey, From: int(p.From)}
	if p.To > 0 {
		o.To = new(int(p.To))
	}
	if h := p.Handover; h != nil {
		o.Since, o.Reason, o.Vouched, o.Statement = &h.At, &h.Reason, &h.Vouched, new(string(h.Note))
	}
	return o
}

func checkpointObject(c transparency.Checkpoint) *generated.AuditCheckpoint {
	return &generated.AuditCheckpoint{
		Origin: c.Origin, Size: int(c.Size), RootHash: base64.StdEncoding.EncodeToString(c.Root[:]), Note: string(c.Note),
	}
}

func (q query) AuditCheckpoint(ctx context.Context) (*generated.AuditCheckpoint, error) {
	if _, err := mayVerify(callerOf(ctx).who(ctx)); err != nil {
		return nil, err
	}
	c, err := q.Audit.Latest(ctx)
	if err != nil || len(c.Note) == 0 {
		return nil, err
	}
	return checkpointObject(c), nil
}

func (m mutation) MakeCheckpoint(ctx context.Context) (*generated.AuditCheckpoint, error) {
	if _, err := mayVerify(callerOf(ctx).now(ctx)); err != nil {
		return nil, err
	}
	c, err := m.Audit.Checkpoint(ctx)
	if err != nil {
		return nil, err
	}
	return checkpointObject(c), nil
}

func (q query) AuditProof(ctx context.Context, position eventlog.Position) (*generated.AuditProof, error) {
	p, err := mayVerify(callerOf(ctx).who(ctx))
	if err != nil {
		return nil, err
	}
	if position == 0 {
		return nil, transparency.ErrNotThere
	}
	proof, err := q.Audit.Prove(ctx, position)
	if err != nil {
		return nil, err
	}
	if _, e, err := transparency.ParseLeaf(proof.Leaf); err != nil {
		return nil, err
	} else if e.Stream.Organization != p.Organization {
		return nil, transparency.ErrNotThere
	}
	if _, err := q.Commands.Check(ctx, p, commands.Command{}, audit.Checked{Kind: audit.Proved, Of: "position=" + position.String()}); err != nil {
		return nil, err
	}
	hashes := make([]string, len(proof.Proof))
	for i, h := range proof.Proof {
		hashes[i] = base64.StdEncoding.EncodeToString(h[:])
	}
	return &generated.AuditProof{
		Position: position, Index: int(proof.Index), Leaf: base64.StdEncoding.EncodeToString(proof.Leaf), Proof: hashes,
		Checkpoint: string(proof.Checkpoint.Note),
	}, nil
}

// maxBundle is how large a bundle may be in an answer, in bytes; an event takes about two KiB of it.
const maxBundle = 4 << 20

var errBundleTooLarge = domain.Refuse(domain.CodeTooComplex, "that bundle is larger than 4 MiB: annal audit bundle writes it")

// bounded keeps what is written, up to a size.
type bounded struct{ bytes.Buffer }

func (b *bounded) Write(p []byte) (int, error) {
	if b.Len()+len(p) > maxBundle {
		return 0, errBundleTooLarge
	}
	return b.Buffer.Write(p)
}

func (q query) AuditBundle(ctx context.Context, customerID, accountID, opportunityID *uuid.UUID) (*generated.AuditBundle, error) {
	p, err := mayVerify(callerOf(ctx).who(ctx))
	if err != nil {
		return nil, err
	}
	category, id, err := oneOf(invalid("customer", "or account or opportunity must be given, and one only"),
		map[string]*uuid.UUID{customer.Category: customerID, account.Category: accountID, opportunity.Category: opportunityID})
	if err != nil {
		return nil, err
	}
	of := eventlog.Stream{Organization: p.Organization, Category: category, ID: id}
	out := new(bounded)
	made, err := q.Audit.Bundle(ctx, out, transparency.Scope{Stream: of})
	if err != nil {
		return nil, err
	}
	if _, err := q.Commands.Check(ctx, p, commands.Command{}, audit.Checked{Kind: audit.Bundled, Of: of.Category + "/" + of.ID.String()}); err != nil {
		return nil, err
	}
	return &generated.AuditBundle{Events: int(made.Events), Text: out.String(), VerifierKey: q.Audit.VerifierKey()}, nil
}

// problemFor is what went wrong with the evidence itself, in words for who asked.
func problemFor(err error) string {
	return strings.TrimPrefix(err.Error(), "transparency: ")
}
