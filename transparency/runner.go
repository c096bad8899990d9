package transparency

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/google/uuid"
)

// RunnerConfig tunes a [Runner]; the zero value is good.
type RunnerConfig struct {
	Interval  time.Duration // between two checkpoints while the log grows; default 50 s, so that with all else it is a minute
	Pause     time.Duration // between two additions to the tree, so that they are large; default 500 ms; the log has a second of them in hand
	Lease     time.Duration // how long the tree stays with a runner that is not heard of; default 10 s
	Publisher Publisher     // where checkpoints go; default nowhere
	Logger    *slog.Logger  // of what could not be done and will be tried again; default: none
}

// Runner grows a tree behind its log and signs it. Any number of processes may run one: one at a time works.
type Runner struct {
	tree       *Tree
	config     RunnerConfig
	id         uuid.UUID
	signed     Checkpoint // the newest known here
	at         time.Time  // when this runner looked last whether to sign
	owed       bool       // signed has not been published
	leased     time.Time  // when the lease was taken last
	lastLogged time.Time  // when a failure was logged last
}

// NewRunner returns a runner. Start it with [Runner.Run].
func NewRunner(t *Tree, config RunnerConfig) *Runner {
	config.Interval = cmp.Or(config.Interval, 50*time.Second)
	config.Pause = cmp.Or(config.Pause, 500*time.Millisecond)
	config.Lease = cmp.Or(config.Lease, 10*time.Second)
	if config.Logger == nil {
		config.Logger = slog.New(slog.DiscardHandler)
	}
	return &Runner{tree: t, config: config, id: uuid.New()}
}

// Run works until ctx ends. What fails is logged, and tried again. Where there is no key to sign with it leaves the tree to
// other processes and returns.
func (r *Runner) Run(ctx context.Context) {
	if err := r.tree.signing.Load().noKey; err != nil {
		level := slog.LevelWarn
		if errors.Is(err, ErrForked) {
			level = slog.LevelError
			r.tree.failures.count(Signing)
		}
		r.config.Logger.Log(ctx, level, "audit: no checkpoints are made by this process", "error", err.Error())
		return
	}
	defer r.release(context.WithoutCancel(ctx))
	for ctx.Err() == nil {
		wait := r.config.Pause
		mine, err := r.lease(ctx)
		if err == nil && mine {
			err = r.work(ctx)
		}
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			wait = time.Second
			if time.Since(r.lastLogged) > 30*time.Second { // an outage is told once in half a minute, as the read models do
				r.lastLogged = time.Now()
				r.config.Logger.Error("audit: the tree over the log cannot be kept", "error", err.Error())
			}
		case !mine:
			wait = r.config.Lease / 4
		default:
			r.idle(ctx)
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
		}
	}
}

// idle waits until the log grows, or until it is time to look after the lease and the checkpoint.
func (r *Runner) idle(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, r.config.Lease/4)
	defer cancel()
	if _, position, known := r.tree.reached(); known {
		_ = r.tree.log.Wait(ctx, position) // the next look shows what is wrong
	}
}

// lease reports whether this runner is the one to work. It asks again when a quarter of the lease is over.
func (r *Runner) lease(ctx context.Context) (bool, error) {
	now := time.Now()
	if now.Sub(r.leased) < r.config.Lease/4 {
		return true, nil
	}
	r.leased = time.Time{}
	tag, err := r.tree.pool.Exec(ctx, `update transparency.trees set runner = $2, runs_until = now() + $3
		where log = $1 and (runner = $2 or runs_until <= now() or runner is null)`, r.tree.id, r.id, r.config.Lease)
	if err != nil || tag.RowsAffected() == 0 {
		return false, unavailable(err)
	}
	r.leased = now
	return true, nil
}

// release lets another runner begin at once. If it fails the lease runs out.
func (r *Runner) release(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	_, _ = r.tree.pool.Exec(ctx, `update transparency.trees set runs_until = now() where log = $1 and runner = $2`, r.tree.id, r.id)
}

// work adds all there is, and signs when it is time.
func (r *Runner) work(ctx context.Context) error {
	for {
		n, err := r.tree.Grow(ctx)
		if err != nil {
			r.tree.failures.count(Growing)
			return err
		}
		if err := r.sign(ctx); err != nil {
			return err
		}
		if n < tileWidth { // nearly at the end: let more come together
			return nil
		}
		if mine, err := r.lease(ctx); err != nil || !mine {
			return err
		}
	}
}

// sign makes a checkpoint and publishes it, if it is time and there is something new.
func (r *Runner) sign(ctx context.Context) (err error) {
	if time.Since(r.at) < r.config.Interval {
		return nil
	}
	if r.at.IsZero() { // what was signed before this process
		if r.signed, err = r.tree.Latest(ctx); err != nil {
			return err
		}
	}
	r.at = time.Now()
	if size, _, known := r.tree.reached(); !known || size != r.signed.Size {
		c, err := r.tree.sign(ctx)
		if err != nil {
			r.at = time.Time{} // again soon
			if errors.Is(err, errBehind) {
				return nil
			}
			r.tree.failures.count(Signing)
			return err
		}
		r.signed, r.owed = c, true
	}
	if r.owed {
		if r.signed, err = r.config.Publisher.Publish(ctx, r.tree, r.signed); err != nil {
			return err
		}
		r.owed = false
	}
	return nil
}
