package commands

import (
	"bytes"
	"context"
	"errors"
	"slices"

	"github.com/google/uuid"

	"github.com/annal-crm/annal/domain"
	"github.com/annal-crm/annal/domain/account"
	"github.com/annal-crm/annal/domain/customer"
	"github.com/annal-crm/annal/domain/erasure"
	"github.com/annal-crm/annal/domain/organization"
	"github.com/annal-crm/annal/domain/record"
	"github.com/annal-crm/annal/domain/reservation"
	"github.com/annal-crm/annal/eventlog"
	"github.com/annal-crm/annal/internal/eventcodec"
	"github.com/annal-crm/annal/internal/vault"
)

// An erasure is asked for by one person and approved by another; what follows is the program's own, step by step, and each step
// may be done again (see docs/decisions/0016-erasure.md).

// RequestErasure is the input of [Commands.RequestErasure]. The reason of the command is required.
type RequestErasure struct {
	Command
	Category string // of the subject: account.Category or customer.Category
	Subject  uuid.UUID
}

// RequestErasure asks that a person be erased. It needs erasure.request with the subject in its scope, and of an account every
// right that it has. The result has the id of the request.
func (c *Commands) RequestErasure(ctx context.Context, p *Principal, in RequestErasure) (Result, error) {
	act, err := c.onErasure(p, organization.RequestErasure, in.Command)
	if err != nil {
		return Result{}, err
	}
	id := act.object(p.Organization, erasure.Category)
	allow := func(erasure.State) error {
		return c.erasable(ctx, p, organization.RequestErasure, in.Category, in.Subject)
	}
	done, err := decide(ctx, c, &c.erasures, c.erasures.stream(p.Organization, id), act, allow, func(s erasure.State) ([]erasure.Event, error) {
		return erasure.Request(s, erasure.Requested{Category: in.Category, Subject: in.Subject, By: p.Account, Reason: act.meta.Reason})
	})
	return Result{ID: id, Receipt: done.receipt}, err
}

// OnErasure is a command on a request for an erasure.
type OnErasure struct {
	Command
	RequestID uuid.UUID
}

// ApproveErasure lets a request be carried out, which cannot be taken back. It needs erasure.approve with the subject in its scope,
// of somebody else than who asked and who is to be erased.
func (c *Commands) ApproveErasure(ctx context.Context, p *Principal, in OnErasure) (Result, error) {
	return c.decideErasure(ctx, p, in, func(s erasure.State, _ *action) ([]erasure.Event, error) { return erasure.Approve(s, p.Account) })
}

// RefuseErasure turns a request down. It needs erasure.approve; the reason must be told.
func (c *Commands) RefuseErasure(ctx context.Context, p *Principal, in OnErasure) (Result, error) {
	return c.decideErasure(ctx, p, in, func(s erasure.State, act *action) ([]erasure.Event, error) {
		return erasure.Refuse(s, p.Account, act.meta.Reason)
	})
}

func (c *Commands) decideErasure(ctx context.Context, p *Principal, in OnErasure, choose func(erasure.State, *action) ([]erasure.Event, error)) (Result, error) {
	act, err := c.onErasure(p, organization.ApproveErasure, in.Command)
	if err != nil {
		return Result{}, err
	}
	allow := func(s erasure.State) error {
		if s.Status == "" {
			return ErrNotFound
		}
		err := c.erasable(ctx, p, organization.ApproveErasure, s.Category, s.Subject)
		if errors.Is(err, account.ErrErased) || errors.Is(err, customer.ErrErased) || errors.Is(err, record.ErrErased) { // by another request: this one may be closed
			return nil
		}
		return err
	}
	done, err := decide(ctx, c, &c.erasures, c.erasures.stream(p.Organization, in.RequestID), act, allow, func(s erasure.State) ([]erasure.Event, error) {
		return choose(s, act)
	})
	return Result{ID: in.RequestID, Receipt: done.receipt}, err
}

// onErasure begins a command of a person: the program asks for nothing and approves nothing.
func (c *Commands) onErasure(p *Principal, permission organization.Permission, cmd Command) (*action, error) {
	if p.Account == uuid.Nil {
		return nil, ErrForbidden
	}
	if err := p.may(permission); err != nil {
		return nil, err
	}
	return c.begin(p, cmd)
}

// erasable reports whether a subject is there, and the principal's to ask or decide about.
func (c *Commands) erasable(ctx context.Context, p *Principal, permission organization.Permission, category string, id uuid.UUID) error {
	if category == account.Category {
		of, err := c.accounts.load(ctx, c, c.accounts.stream(p.Organization, id))
		if err == nil {
			err = c.reaches(ctx, p, permission, id)
		}
		switch {
		case err != nil:
			return err
		case of.state.Erased:
			return account.ErrErased
		case !of.state.Invited:
			return ErrNotFound
		case !p.outranks(of.state.Roles):
			return ErrForbidden
		}
		return nil
	}

	if !erasure.Erasable(category) {
		return domain.Invalid{"subject": "must be an account, a customer or another record with personal data"}
	}
	of, err := c.owned[category].find(ctx, c, eventlog.Stream{Organization: p.Organization, Category: category, ID: id})
	switch {
	case err != nil:
		return err
	case !of.exists:
		return ErrNotFound
	}
	if err := c.reaches(ctx, p, permission, of.owner); err != nil {
		return err
	}
	return of.erased
}

// ErasurePreview says what an erasure takes away.
type ErasurePreview struct {
	Fields   []string           // sealed for the subject in its stream, by name, sorted
	Events   int                // of its stream in which there are such fields
	Names    []reservation.Kind // that become free
	Sessions int                // that end
	History  int                // events of its stream
	Password bool               // that is deleted
}

// PreviewErasure tells what would go, from the subject's stream. It needs what a request does, or an approval.
func (c *Commands) PreviewErasure(ctx context.Context, p *Principal, category string, subject uuid.UUID) (ErasurePreview, error) {
	permission := organization.RequestErasure
	if organization.Wider(p.Scope(permission), p.Scope(organization.ApproveErasure)) != p.Scope(permission) {
		permission = organization.ApproveErasure
	}
	if err := p.may(permission); err != nil {
		return ErasurePreview{}, err
	}
	if err := c.erasable(ctx, p, permission, category, subject); err != nil {
		return ErasurePreview{}, err
	}
	var preview ErasurePreview
	stream := eventlog.Stream{Organization: p.Organization, Category: category, ID: subject}
	for e, err := range c.log.ReadStream(ctx, stream, 0) {
		if err != nil {
			return ErasurePreview{}, err
		}
		preview.History++
		fields, err := eventcodec.SealedFields(e)
		if err != nil {
			return ErasurePreview{}, unreadable(e, err)
		}
		if len(fields) > 0 {
			preview.Events++
			preview.Fields = append(preview.Fields, fields...)
		}
	}
	slices.Sort(preview.Fields)
	preview.Fields = slices.Compact(preview.Fields)
	if category == account.Category {
		of, err := c.accounts.load(ctx, c, stream)
		if err != nil {
			return ErasurePreview{}, err
		}
		preview.Sessions, preview.Password = len(of.state.Sessions), of.state.Credential != uuid.Nil
		if preview.Names = []reservation.Kind{reservation.LoginName}; of.state.Email != "" {
			preview.Names = append(preview.Names, reservation.Email)
		}
	}
	return preview, nil
}

// Erased says where the certificate of an erasure stands.
type Erased struct {
	Stream eventlog.Stream // of the subject
	eventlog.Receipt
}

// CarryOutErasure does, of a request that was approved, what streams and vault are for: the certificate, the key, the names. To
// call it again does what is missing. It is the program's own.
func (c *Commands) CarryOutErasure(ctx context.Context, p *Principal, request uuid.UUID) (Erased, error) {
	if !p.system {
		return Erased{}, ErrForbidden
	}
	of, err := c.erasures.load(ctx, c, c.erasures.stream(p.Organization, request))
	switch {
	case err != nil:
		return Erased{}, err
	case of.state.Status != erasure.StatusApproved && of.state.Status != erasure.StatusDone:
		return Erased{}, ErrNotFound
	}
	return c.Erase(ctx, p, of.state.Category, of.state.Subject, of.state.Certificate(request))
}

// Erase erases a subject by a certificate: of a request that was approved, or, after a restore, one that is kept outside of the log.
// A subject that the log does not know (any more) is erased from the vault alone, so that it cannot come back. It is the program's
// own.
func (c *Commands) Erase(ctx context.Context, p *Principal, category string, subject uuid.UUID, certificate domain.Erased) (Erased, error) {
	if !p.system {
		return Erased{}, ErrForbidden
	}
	act, err := c.begin(p, Command{ID: uuid.NewSHA1(certificate.Request, []byte("carry out")), Reason: certificate.Reason})
	if err != nil {
		return Erased{}, err
	}
	act.resent = false // Erase itself knows who is erased
	key := vault.Subject{Organization: p.Organization, ID: subject}
	if certificate.Key == (domain.Hash{}) {
		if certificate.Key, err = c.vault.Fingerprint(ctx, key); err != nil {
			return Erased{}, err
		}
	}
	// The event first: as long as the key is there, names and fingerprint can be told; and whoever finds the event and the key
	// knows what to do.
	done := Erased{Stream: eventlog.Stream{Organization: p.Organization, Category: category, ID: subject}}
	var sessions, freed []uuid.UUID
	switch category {
	case account.Category:
		out, err := decide(ctx, c, &c.accounts, done.Stream, act, nil, func(s account.State) ([]account.Event, error) {
			sessions = sessions[:0]
			for session := range s.Sessions {
				sessions = append(sessions, session)
			}
			if freed = s.Freed; !s.Erased {
				freed = slices.Concat(c.namesOf(s), certificate.Freed) // of a certificate from outside: names it held by then
				slices.SortFunc(freed, func(a, b uuid.UUID) int { return bytes.Compare(a[:], b[:]) })
				freed = slices.Compact(freed)
			}
			wish := certificate
			wish.Freed = freed
			return account.Erase(s, wish)
		})
		if err != nil && !errors.Is(err, account.ErrNotFound) {
			return Erased{}, err
		}
		done.Receipt = out.receipt
	default:
		if !erasure.Erasable(category) {
			return Erased{}, domain.Invalid{"subject": "must be an account, a customer or another record with personal data"}
		}
		if done.Receipt, err = c.owned[category].eraseFor(ctx, c, act, done.Stream, certificate); err != nil {
			return Erased{}, err
		}
	}
	if err := c.vault.Erase(ctx, key); err != nil {
		return Erased{}, err
	}
	if err := c.uses.Drop(ctx, sessions...); err != nil {
		return Erased{}, err
	}
	for _, name := range freed {
		if _, err := decide(ctx, c, &c.reservations, c.reservations.stream(uuid.Nil, name), act.aside(), nil, func(s reservation.State) ([]reservation.Event, error) {
			return reservation.Release(s, subject)
		}); err != nil {
			return Erased{}, err
		}
	}
	c.accounts.cache.Remove(done.Stream)
	if kept := c.owned[category]; kept != nil {
		kept.forget(done.Stream)
	}
	return done, nil
}

// namesOf returns the streams of the names that an account holds.
func (c *Commands) namesOf(s account.State) (names []uuid.UUID) {
	if s.LoginName != "" {
		names = append(names, c.reservation(reservation.LoginName, LoginName(s.LoginName)).ID)
	}
	if email := emailName(s.Email); email != "" {
		names = append(names, c.reservation(reservation.Email, email).ID)
	}
	return names
}

// FinishErasure puts on record that nothing of an approved request is left to do. It is the program's own.
func (c *Commands) FinishErasure(ctx context.Context, p *Principal, request uuid.UUID) (Result, error) {
	if !p.system {
		return Result{}, ErrForbidden
	}
	act, err := c.begin(p, Command{ID: uuid.NewSHA1(request, []byte("finish"))})
	if err != nil {
		return Result{}, err
	}
	done, err := decide(ctx, c, &c.erasures, c.erasures.stream(p.Organization, request), act, nil, erasure.Finish)
	return Result{ID: request, Receipt: done.receipt}, err
}

// IsErased reports whether a subject is erased, in its stream and in the vault. It is the program's own.
func (c *Commands) IsErased(ctx context.Context, p *Principal, category string, subject uuid.UUID) (bool, error) {
	if !p.system {
		return false, ErrForbidden
	}
	there, err := c.vault.Erased(ctx, []vault.Subject{{Organization: p.Organization, ID: subject}})
	if err != nil || !there[0] {
		return false, err
	}
	stream := eventlog.Stream{Organization: p.Organization, Category: category, ID: subject}
	if category == account.Category {
		of, err := c.accounts.load(ctx, c, stream)
		return of.state.Erased || of.receipt.Version == 0, err
	}
	of, err := c.owned[category].find(ctx, c, stream)
	return of.erased != nil || !of.exists, err
}
