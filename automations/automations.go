// Package automations does what falls due by time: it ends locks and expires
// sessions, with the same commands that anything else is written with.
//
// What is due is a read model's to say (see [Deadlines]); whether it is so, the
// decider judges again from the stream. The command's id derives from the event
// that set the deadline, so any number of processes may act on it, and it
// happens once.
package automations

import (
	"cmp"
	"context"
	"log/slog"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/annal-crm/annal/commands"
)

// Deadline is something to be done at a time: the end of a session, or, without one, of an account's lock.
type Deadline struct {
	Organization, Account, Session uuid.UUID
	At                             time.Time
	Cause                          uuid.UUID // the event that set it
}

// Deadlines tells what is to be done.
type Deadlines interface {
	// Due returns the deadlines up to a time, the soonest first. A session is due as soon as it would end if it had never been
	// used: when it was used last is not known here.
	Due(ctx context.Context, until time.Time) ([]Deadline, error)
}

// Config tunes a [Runner]; the zero value is good.
type Config struct {
	Tick   time.Duration // between two looks; default 1 s
	Logger *slog.Logger  // of what could not be done and will be tried again; default: none
}

// Runner acts on deadlines.
type Runner struct {
	deadlines Deadlines
	commands  *commands.Commands
	tick      time.Duration
	logger    *slog.Logger
	next      map[uuid.UUID]time.Time // of sessions that are in use: when they end at the earliest
}

// New returns a runner. Start it with [Runner.Run].
func New(deadlines Deadlines, c *commands.Commands, cfg Config) *Runner {
	logger := cfg.Logger
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	return &Runner{deadlines, c, cmp.Or(cfg.Tick, time.Second), logger, make(map[uuid.UUID]time.Time)}
}

// Run acts until ctx ends. What fails is logged, and tried again at the next look.
func (r *Runner) Run(ctx context.Context) {
	tick := time.NewTicker(r.tick)
	defer tick.Stop()
	for {
		if err := r.runOnce(ctx); err != nil && ctx.Err() == nil {
			r.logger.Warn("automations: what is due could not be done", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// runOnce does what is due before the next look, each at its time.
func (r *Runner) runOnce(ctx context.Context) error {
	due, err := r.deadlines.Due(ctx, time.Now().Add(r.tick))
	if err != nil {
		return err
	}
	listed := make(map[uuid.UUID]time.Time, len(r.next))
	for i, d := range due {
		if next, ok := r.next[d.Session]; ok {
			listed[d.Session] = next
			due[i].At = next
		}
	}
	r.next = listed // without the sessions that have ended
	slices.SortStableFunc(due, func(a, b Deadline) int { return a.At.Compare(b.At) })
	for _, d := range due {
		wait := time.Until(d.At)
		if wait > r.tick {
			break
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return ctx.Err()
		}
		if err := r.carryOut(ctx, d); err != nil {
			// One that cannot be done must not keep the others waiting.
			r.logger.Warn("automations: a deadline was missed and will be tried again", "account", d.Account, "session", d.Session, "error", err)
		}
	}
	return nil
}

func (r *Runner) carryOut(ctx context.Context, d Deadline) error {
	p, err := r.commands.System(ctx, d.Organization)
	if err != nil {
		return err
	}
	command := commands.Command{ID: uuid.NewSHA1(d.Cause, []byte("deadline")), Causation: d.Cause}
	if d.Session == uuid.Nil {
		_, err = r.commands.EndLock(ctx, p, commands.OnAccount{Command: command, AccountID: d.Account})
		return err
	}
	_, next, err := r.commands.ExpireSession(ctx, p, commands.ExpireSession{Command: command, AccountID: d.Account, SessionID: d.Session})
	if err == nil && !next.IsZero() {
		r.next[d.Session] = next
	}
	return err
}
