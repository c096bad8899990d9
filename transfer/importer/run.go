package importer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"github.com/annal-crm/annal/commands"
	"github.com/annal-crm/annal/domain"
	"github.com/annal-crm/annal/domain/account"
	"github.com/annal-crm/annal/domain/customer"
	"github.com/annal-crm/annal/domain/opportunity"
	"github.com/annal-crm/annal/domain/organization"
	"github.com/annal-crm/annal/domain/record"
	"github.com/annal-crm/annal/internal/vault"
)

// Config tunes a run; the zero value is good.
type Config struct {
	InFlight int                   // commands at once; default 64: enough to fill the log's groups
	Progress func(done, total int) // called after each object, one call at a time
}

// Count says what became of the objects of a kind.
type Count struct {
	Kind                           Kind
	Added, Changed, Unchanged, Bad int
	Erased                         int // persons who were erased, and are not brought back
}

// Summary says what a run came to.
type Summary struct {
	Counts []Count  // of the kinds there are
	Bad    []BadRow // those of the plan, and those that a command has refused
}

// Check asks what only the log knows: whether the accounts' names are free and their roles exist. It adds the rows of those
// that cannot be imported to [Plan.Bad] and takes them, and what refers to them, out of the plan. A run without a Check
// finds them too, one by one, when the rows before them have been written.
func (p *Plan) Check(ctx context.Context, c *commands.Commands, as *commands.Principal) error {
	var mu sync.Mutex
	refused := make(map[*step]string)
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(inFlight)
	for _, s := range p.steps {
		row, ok := s.row.(account.Invited)
		if !ok {
			continue
		}
		g.Go(func() error {
			err := c.CheckAccount(ctx, as, s.id, row)
			if bad, ok := errors.AsType[domain.Invalid](err); ok {
				mu.Lock()
				defer mu.Unlock()
				refused[s] = reason(bad)
				return nil
			}
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	kept := p.steps[:0:0]
	for _, s := range p.steps {
		if why, ok := refused[s]; ok {
			p.Bad = append(p.Bad, s.bad(why))
			continue
		}
		kept = append(kept, s)
	}
	p.steps = kept
	p.prune()
	return nil
}

const inFlight = 64

// Run issues the commands of a plan, as a principal of the plan's organization that may do everything in it. A row that a
// command refuses is in the summary. Any other error ends the run; what was written stays, and to run again adds the rest.
func (p *Plan) Run(ctx context.Context, c *commands.Commands, as *commands.Principal, cfg Config) (Summary, error) {
	if as.Organization != p.organization {
		return Summary{}, fmt.Errorf("importer: the plan is for organization %s, the principal of %s", p.organization, as.Organization)
	}
	r := run{plan: p, commands: c, as: as, cfg: cfg, counts: make(map[Kind]*Count)}
	var err error
	for _, kind := range order {
		r.counts[kind] = &Count{Kind: kind}
		if err = r.all(ctx, kind); err != nil {
			break
		}
	}
	p.sortBad()
	summary := Summary{Bad: p.Bad}
	for _, kind := range order {
		if n := r.counts[kind]; n != nil && *n != (Count{Kind: kind}) {
			summary.Counts = append(summary.Counts, *n)
		}
	}
	return summary, err
}

type run struct {
	plan     *Plan
	commands *commands.Commands
	as       *commands.Principal
	cfg      Config

	mu     sync.Mutex
	done   int
	counts map[Kind]*Count
}

// all imports the objects of a kind, many at once. Teams are one stream and stand on each other, so they go one by one.
func (r *run) all(ctx context.Context, kind Kind) error {
	g, together := errgroup.WithContext(ctx)
	g.SetLimit(cmp.Or(r.cfg.InFlight, inFlight))
	if kind == Team {
		g.SetLimit(1)
	}
	for _, s := range r.plan.steps {
		if s.object.Kind == kind && together.Err() == nil {
			g.Go(func() error { return r.one(together, s) })
		}
	}
	return cmp.Or(g.Wait(), ctx.Err())
}

func (r *run) one(ctx context.Context, s *step) error {
	imported, err := r.command(ctx, s)
	bad, refused := errors.AsType[domain.Invalid](err)
	erased := false
	switch {
	case refused:
	case errors.Is(err, customer.ErrErased), errors.Is(err, account.ErrErased), errors.Is(err, record.ErrErased), errors.Is(err, vault.ErrErased):
		erased = true
	case errors.Is(err, organization.ErrCycle), errors.Is(err, organization.ErrUnknownTeam): // people have rebuilt the tree since
		bad, refused = domain.Invalid{"parent": "cannot be: " + err.Error()}, true
	case err != nil:
		return fmt.Errorf("%s:%d: %w", s.object.File, s.line, err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	n := r.counts[s.object.Kind]
	switch {
	case refused:
		n.Bad++
		r.plan.Bad = append(r.plan.Bad, s.bad(reason(bad)))
	case erased:
		n.Erased++
	case imported.Outcome == commands.Added:
		n.Added++
	case imported.Outcome == commands.Changed:
		n.Changed++
	default:
		n.Unchanged++
	}
	if r.done++; r.cfg.Progress != nil {
		r.cfg.Progress(r.done, len(r.plan.steps))
	}
	return nil
}

// command issues the command of a step. Its id derives from the object and from what the row says.
func (r *run) command(ctx context.Context, s *step) (commands.Imported, error) {
	cmd := commands.Command{ID: uuid.NewSHA1(s.id, s.content())}
	switch row := s.row.(type) {
	case organization.TeamRow:
		return r.commands.ImportTeam(ctx, r.as, cmd, row)
	case account.Invited:
		return r.commands.ImportAccount(ctx, r.as, cmd, s.id, row)
	case customer.Registered:
		return r.commands.ImportCustomer(ctx, r.as, cmd, s.id, row)
	case opportunity.Row:
		return r.commands.ImportOpportunity(ctx, r.as, cmd, s.id, row)
	case record.Row:
		return r.commands.ImportRecord(ctx, r.as, cmd, s.id, string(s.object.Kind), row)
	}
	panic(fmt.Sprintf("importer: no command for %T", s.row))
}
