package automations

import (
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/google/uuid"

	"github.com/annal-crm/annal/commands"
	"github.com/annal-crm/annal/domain"
	"github.com/annal-crm/annal/eventlog"
	"github.com/annal-crm/annal/internal/vault"
	"github.com/annal-crm/annal/projections/engine"
	"github.com/annal-crm/annal/projections/erasures"
)

// ErasureDependencies are what erasures are carried out with. All are required.
type ErasureDependencies struct {
	Commands *commands.Commands
	Vault    *vault.Vault
	Engine   *engine.Engine
	DB       engine.DB // of the read model of erasures
	// Vacuum removes the dead rows of some tables, and of the vault. It fails while somebody's snapshot still sees them.
	Vacuum func(ctx context.Context, tables []string) error
}

// ErasureConfig tunes [Erasures]; the zero value is good.
type ErasureConfig struct {
	Tick   time.Duration     // between two looks; default 200 ms: somebody waits for the answer
	Meet   time.Duration     // between two looks whether somebody's key is back, out of a backup; default 1 minute
	Heed   time.Duration     // after which no process opens with an erased key; default [vault.Heed] and a little
	Again  []commands.Erased // by [MeetErasures]: for the automation to finish
	List   string            // the file that lists who was erased, for restored backups to meet; empty: none
	Logger *slog.Logger      // of what could not be done and will be tried again; default: none
}

// Erasures carries out what was approved, and sees to it that who was erased stays so. Each step may be interrupted, and is done
// again by whoever comes next: any number of processes may run it.
type Erasures struct {
	ErasureDependencies
	config ErasureConfig
	list   *list
	met    time.Time
}

// NewErasures returns the automation. Start it with [Erasures.Run].
func NewErasures(d ErasureDependencies, config ErasureConfig) *Erasures {
	config.Tick, config.Meet = cmp.Or(config.Tick, 200*time.Millisecond), cmp.Or(config.Meet, time.Minute)
	config.Heed = cmp.Or(config.Heed, vault.Heed+vault.Heed/5)
	config.Logger = cmp.Or(config.Logger, slog.New(slog.DiscardHandler))
	return &Erasures{d, config, &list{path: config.List}, time.Time{}}
}

// Run works until ctx ends. What fails is logged, and tried again at the next look.
func (e *Erasures) Run(ctx context.Context) {
	tick := time.NewTicker(e.config.Tick)
	defer tick.Stop()
	said := ""
	for {
		err := e.RunOnce(ctx)
		if err != nil && ctx.Err() == nil && err.Error() != said { // else it is said once
			e.config.Logger.Warn("automations: an erasure waits and will be tried again", "error", err)
		}
		if said = ""; err != nil {
			said = err.Error()
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// pendingAtOnce is how many requests are carried out together: they share the wait and the vacuum. What is left is there at the next look.
const pendingAtOnce = 200

// RunOnce does what there is to do now. It is not for concurrent use.
func (e *Erasures) RunOnce(ctx context.Context) error {
	pending, err := erasures.Pending(ctx, e.DB, pendingAtOnce)
	if err != nil {
		return err
	}
	var errs []error
	for len(e.config.Again) > 0 {
		some := e.config.Again[:min(len(e.config.Again), pendingAtOnce)]
		if err := e.forget(ctx, some); err != nil {
			errs = append(errs, err)
			break
		}
		e.config.Again = e.config.Again[len(some):]
	}
	errs = append(errs, e.carryOut(ctx, pending))
	if time.Since(e.met) >= e.config.Meet {
		err := e.meet(ctx)
		if err == nil {
			e.met = time.Now()
		}
		errs = append(errs, err)
	}
	return errors.Join(append(errs, e.keep(ctx))...)
}

// carryOut carries requests out together. One that fails keeps no other from it.
func (e *Erasures) carryOut(ctx context.Context, pending []erasures.Request) error {
	var errs []error
	failed := func(r erasures.Request, err error) { errs = append(errs, fmt.Errorf("erasure %s: %w", r.ID, err)) }
	programs := make(map[uuid.UUID]*commands.Principal)
	var gone []erasures.Request // who has a certificate and no key
	var erased []commands.Erased
	for _, r := range pending {
		p := programs[r.Organization]
		if p == nil {
			var err error
			if p, err = e.Commands.System(ctx, r.Organization); err != nil {
				failed(r, err)
				continue
			}
			programs[r.Organization] = p
		}
		done, err := e.Commands.CarryOutErasure(ctx, p, r.ID)
		if err != nil {
			failed(r, err)
			continue
		}
		gone, erased = append(gone, r), append(erased, done)
	}
	if len(gone) == 0 {
		return errors.Join(errs...)
	}
	if err := e.forget(ctx, erased); err != nil {
		failed(gone[0], err)
		return errors.Join(errs...)
	}
	if err := e.keep(ctx); err != nil {
		failed(gone[0], err)
		return errors.Join(errs...)
	}
	for _, r := range gone {
		if _, err := e.Commands.FinishErasure(ctx, programs[r.Organization], r.ID); err != nil {
			failed(r, err)
		}
	}
	return errors.Join(errs...)
}

// forget does what is left when certificates are in the log and keys are gone. How long it takes hardly depends on how many there are.
func (e *Erasures) forget(ctx context.Context, erased []commands.Erased) error {
	var position eventlog.Position
	subjects := make([]eventlog.Stream, len(erased))
	for i, one := range erased {
		position, subjects[i] = max(position, one.Position), one.Stream
	}
	if err := e.Engine.Wait(ctx, position); err != nil {
		return err
	}
	select {
	case <-time.After(e.config.Heed): // from now on nobody opens anything with the keys, and what was opened before is folded or shows as a rebuild
	case <-ctx.Done():
		return ctx.Err()
	}
	touched, err := e.Engine.Forget(ctx, subjects...)
	if err != nil {
		return err
	}
	return e.Vacuum(ctx, touched)
}

const metAtOnce = 500

// meet erases again who was erased and whose key or password is there: a restored backup has brought it back.
func (e *Erasures) meet(ctx context.Context) error {
	for after := eventlog.Position(0); ; {
		page, err := erasures.Subjects(ctx, e.DB, after, metAtOnce)
		if err != nil || len(page) == 0 {
			return err
		}
		keys := make([]vault.Subject, len(page))
		for i, s := range page {
			keys[i] = vault.Subject{Organization: s.Organization, ID: s.ID}
		}
		erased, err := e.Vault.Erased(ctx, keys)
		if err != nil {
			return err
		}
		var again []commands.Erased
		for i, s := range page {
			if after = s.Position; erased[i] {
				continue
			}
			done, err := e.again(ctx, entryOf(s))
			if err != nil {
				return err
			}
			again = append(again, done)
		}
		if len(again) > 0 {
			if err := e.forget(ctx, again); err != nil {
				return err
			}
			e.config.Logger.Warn("automations: erased again: keys were back, out of a backup", "persons", len(again))
		}
	}
}

// again erases by a certificate.
func (e *Erasures) again(ctx context.Context, one Entry) (commands.Erased, error) {
	p, err := e.Commands.System(ctx, one.Organization)
	if err != nil {
		return commands.Erased{}, err
	}
	done, err := e.Commands.Erase(ctx, p, one.Category, one.Subject, one.certificate())
	if err != nil {
		return commands.Erased{}, fmt.Errorf("erase %s again: %w", one.Subject, err)
	}
	return done, nil
}

// keep writes who was erased into the list.
func (e *Erasures) keep(ctx context.Context) error {
	if e.config.List == "" {
		return nil
	}
	for {
		page, err := erasures.Subjects(ctx, e.DB, e.list.kept, metAtOnce)
		if err != nil || len(page) == 0 {
			return err
		}
		var fresh []Entry
		for _, s := range page {
			fresh = append(fresh, entryOf(s))
		}
		if err := e.list.add(fresh); err != nil {
			return err
		}
		e.list.kept = page[len(page)-1].Position
	}
}

func entryOf(s erasures.Subject) Entry {
	return Entry{s.Organization, s.Category, s.ID, s.Request, s.RequestedBy, s.ApprovedBy, s.Reason, s.Rule, s.Key, s.Freed, s.ErasedAt.UTC()}
}

// Entry is a line of the list of erasures: JSON, with nothing personal in it but the reason that people gave.
type Entry struct {
	Organization uuid.UUID   `json:"organization"`
	Category     string      `json:"category"` // of the subject: account or customer
	Subject      uuid.UUID   `json:"subject"`
	Request      uuid.UUID   `json:"request"`
	RequestedBy  uuid.UUID   `json:"requestedBy"`
	ApprovedBy   uuid.UUID   `json:"approvedBy"`
	Reason       string      `json:"reason"`
	Rule         uuid.UUID   `json:"rule,omitzero"` // of retention
	Key          string      `json:"keySha256,omitempty"`
	Freed        []uuid.UUID `json:"freed,omitempty"`
	ErasedAt     time.Time   `json:"erasedAt"`
}

func (e Entry) certificate() domain.Erased {
	c := domain.Erased{Request: e.Request, RequestedBy: e.RequestedBy, ApprovedBy: e.ApprovedBy, Reason: e.Reason, Rule: e.Rule, Freed: e.Freed}
	if key, err := hex.DecodeString(e.Key); err == nil && len(key) == len(c.Key) {
		copy(c.Key[:], key)
	}
	return c
}
