package engine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/message/router/middleware"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/singleflight"

	"github.com/annal-crm/annal/eventlog"
	"github.com/annal-crm/annal/internal/eventcodec"
)

// Codec decodes events: a [eventcodec.Codec].
type Codec interface {
	Page(ctx context.Context, events []eventlog.Event) ([]*eventcodec.Event, error)
}

// Engine keeps read models up to date. Several engines, in several processes, may keep the same ones: that is
// wasteful but never wrong. All methods are safe for concurrent use.
type Engine struct {
	log     eventlog.Log
	codec   Codec
	pool    *pgxpool.Pool
	config  Config
	feed    *eventlog.Feed
	runners []*runner
	metrics *metrics
	id      uuid.UUID          // as whom it holds leases
	reads   singleflight.Group // of the checkpoints
	warned  atomic.Int64       // when an outage was last logged, Unix nanoseconds
}

// Config tunes an [Engine]. The zero value is a good one.
type Config struct {
	WaitLimit time.Duration // longest [Engine.Wait]; 5 s
	PageSize  int           // most events of a page; see [eventlog.FeedConfig]
	// Memory is about how many bytes of rows a rebuild keeps, beside a few pages of events; 64 MiB.
	Memory int
	// FastStart is how many events a log has for a read model without any to begin by a rebuild; 50 000, which live
	// folding takes about a second for.
	FastStart int64
	// Process is how people tell this process from others that fold; by default its host and number.
	Process string
	// Lease is how long a read model stays with a process that is not heard of; 3 s. Shorter, a busy machine makes
	// read models wander.
	Lease time.Duration
	// Attempt is the longest that a page may take; 30 s. A page takes milliseconds, and seconds when each of its
	// events is tried alone: who takes longer hangs, and gives the read model up to others.
	Attempt time.Duration
	// KeepPrevious is for how long the tables of a previous version of a read model are kept when no process serves
	// it any more, so that people may go back to the program of yesterday; 24 h.
	KeepPrevious time.Duration
	Logger       *slog.Logger          // slog.Default
	Metrics      prometheus.Registerer // nil: none are exported
}

// New returns an engine for read models. It opens nothing.
func New(log eventlog.Log, codec Codec, pool *pgxpool.Pool, models []ReadModel, config Config) (*Engine, error) {
	config.WaitLimit = cmp.Or(config.WaitLimit, 5*time.Second)
	config.PageSize = cmp.Or(config.PageSize, 2000)
	config.Memory = cmp.Or(config.Memory, 64<<20)
	config.FastStart = cmp.Or(config.FastStart, 50_000)
	config.Process = cmp.Or(config.Process, processName())
	config.Lease = cmp.Or(config.Lease, 3*time.Second)
	config.Attempt = cmp.Or(config.Attempt, 30*time.Second)
	config.KeepPrevious = cmp.Or(config.KeepPrevious, 24*time.Hour)
	config.Logger = cmp.Or(config.Logger, slog.Default())
	e := &Engine{id: uuid.New(), log: log, codec: codec, pool: pool, config: config, metrics: newMetrics()}
	e.feed = eventlog.NewFeed(log, eventlog.FeedConfig{PageSize: config.PageSize, Failed: e.warn})
	var errs []error
	for _, m := range models {
		if _, err := e.runner(m.Name); err == nil {
			errs = append(errs, fmt.Errorf("projections: %q twice", m.Name))
		}
		errs = append(errs, m.validate())
		e.runners = append(e.runners, &runner{engine: e, model: &m, progress: newProgress()})
	}
	if config.Metrics != nil {
		errs = append(errs, e.register(config.Metrics))
	}
	return e, errors.Join(errs...)
}

func (e *Engine) runner(name string) (*runner, error) {
	for _, r := range e.runners {
		if r.model.Name == name {
			return r, nil
		}
	}
	return nil, fmt.Errorf("projections: there is no read model %q", name)
}

// prepareLock keeps processes that start at the same time from making the same tables: "projecti" in ASCII.
const prepareLock = 0x70726f6a65637469

// Prepare makes the tables and the checkpoints that do not exist yet. [Engine.Run] does so as well; without it, queries
// before Run fail.
func (e *Engine) Prepare(ctx context.Context) error {
	identity, err := e.log.Identity(ctx)
	if err != nil {
		return err
	}
	return pgx.BeginFunc(ctx, e.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "select pg_advisory_xact_lock($1)", int64(prepareLock)); err != nil {
			return err
		}
		for _, r := range e.runners {
			if err := r.model.prepare(ctx, tx, identity); err != nil {
				return fmt.Errorf("projections: prepare %s: %w", r.model.Name, err)
			}
		}
		return nil
	})
}

// prepare makes the tables and the checkpoint of a read model if it has none, or if somebody has thrown its tables
// away.
func (m *ReadModel) prepare(ctx context.Context, tx pgx.Tx, identity uuid.UUID) error {
	var exists bool
	if err := tx.QueryRow(ctx, "select to_regnamespace($1) is not null", m.Schema.String()).Scan(&exists); err != nil {
		return err
	}
	if exists {
		return nil
	}
	if _, err := tx.Exec(ctx, `insert into projections.checkpoints as c (name, version, log) values ($1, $2, $3) on conflict (name, version)
		do update set log = $3, position = 0, mark = '', generation = c.generation + 1, failed = null, error = null`, m.Name, m.Version, identity); err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, "delete from projections.parked where name = $1 and version = $2", m.Name, m.Version); err != nil {
		return err
	}
	return m.createTables(ctx, tx, m.Schema.String(), true)
}

// createTables makes a schema with the model's tables, with their indexes or without any.
func (m *ReadModel) createTables(ctx context.Context, tx pgx.Tx, schema string, indexed bool) error {
	statements := []string{"create schema " + schema}
	for _, t := range m.Tables {
		statements = append(statements, t.relation().create(schema))
		if indexed {
			statements = append(statements, t.relation().createKey(schema))
			statements = append(statements, t.relation().createIndexes(schema)...)
		}
	}
	for _, s := range statements {
		if _, err := tx.Exec(ctx, s); err != nil {
			return err
		}
	}
	return nil
}

// warnEvery keeps an outage from filling the log: each read model tries again every two seconds or sooner.
const warnEvery = 30 * time.Second

// warn logs why read models do not get on for now.
func (e *Engine) warn(err error) {
	if errors.Is(err, context.Canceled) { // an engine that ends while it starts waits for nothing
		return
	}
	now, before := time.Now().UnixNano(), e.warned.Load()
	if now-before >= int64(warnEvery) && e.warned.CompareAndSwap(before, now) {
		e.config.Logger.Warn("read models wait for the database", "error", err.Error())
	}
}

// warnOfRetries logs why a page is tried again. It is middleware.
func (e *Engine) warnOfRetries(h message.HandlerFunc) message.HandlerFunc {
	return func(msg *message.Message) ([]*message.Message, error) {
		produced, err := h(msg)
		if err != nil && msg.Context().Err() == nil {
			e.warn(err)
		}
		return produced, err
	}
}

// Run keeps the read models up to date until ctx ends; then it returns nil. Each is folded by one of all engines that
// run, in whatever process; when that dies, hangs or is cut off another takes over after [Config.Lease]. It outlives
// a database that goes away. An event that cannot be folded is parked with the later ones of its stream, see
// [Engine.Parked]. A read model that does not fit its log stops alone, and goes on when it does.
func (e *Engine) Run(ctx context.Context) error {
	for {
		err := e.Prepare(ctx)
		if err == nil {
			break
		}
		e.warn(err)
		if sleep(ctx, recheck) != nil {
			return nil
		}
	}
	defer e.release()
	defer func() {
		for _, r := range e.runners {
			r.drop()
		}
	}()
	var beside sync.WaitGroup
	defer beside.Wait()
	beside.Go(func() { e.Attend(ctx) })
	beside.Go(func() { e.tidy(ctx) })
	for ctx.Err() == nil {
		if err := e.fold(ctx); err != nil {
			return err
		}
	}
	return nil
}

// fold brings pages to the read models until ctx ends, or commits turn out to be lost: then they have to start over
// from where they really are.
func (e *Engine) fold(ctx context.Context) error {
	ctx, again := context.WithCancel(ctx)
	defer again()
	logger := watermill.NewSlogLoggerWithLevelMapping(e.config.Logger, map[slog.Level]slog.Level{slog.LevelInfo: slog.LevelDebug})
	router, err := message.NewRouter(message.RouterConfig{}, logger)
	if err != nil {
		return fmt.Errorf("projections: %w", err)
	}
	retry := middleware.Retry{
		MaxRetries:      math.MaxInt32, // what fails here has to do with the database, and that comes back
		InitialInterval: 20 * time.Millisecond,
		MaxInterval:     2 * time.Second,
		Multiplier:      2,
	}
	router.AddMiddleware(retry.Middleware, e.warnOfRetries, e.metrics.count, middleware.Recoverer)
	for _, r := range e.runners {
		router.AddConsumerHandler(r.model.Name, "events", e.feed.Subscriber(r.start), r.handle)
	}
	var beside sync.WaitGroup
	defer beside.Wait()
	defer again()
	beside.Go(func() { e.keep(ctx, again) })
	beside.Go(func() { e.flush(ctx, again) })
	return router.Run(ctx)
}

// flush writes the checkpoints that lag behind, until ctx ends, or one turns out to have been moved by somebody else:
// its runner may have nothing to fold that would make it look, so again makes all of them start over.
func (e *Engine) flush(ctx context.Context, again func()) {
	for sleep(ctx, flushEvery) == nil {
		for _, r := range e.runners {
			if r.flush(ctx) {
				again()
				return
			}
		}
	}
}
