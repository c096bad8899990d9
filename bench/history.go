package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"github.com/annal-crm/annal/app"
	"github.com/annal-crm/annal/commands"
	"github.com/annal-crm/annal/domain"
	"github.com/annal-crm/annal/domain/customer"
	"github.com/annal-crm/annal/domain/opportunity"
	"github.com/annal-crm/annal/eventlog"
	"github.com/annal-crm/annal/internal/eventcodec"
	"github.com/annal-crm/annal/internal/vault"
	"github.com/annal-crm/annal/projections/engine"
	"github.com/annal-crm/annal/transparency"
)

// world is an Annal in a database of its own, with an organization, an administrator and a history.
type world struct {
	*app.Instance
	administrator uuid.UUID
	token         string // of the administrator's session
	masterKey     string
	events        int // of the history
}

const (
	password     = "a measured amount of patience" // of a database that exists for minutes
	shortHistory = 10_000                          // events
	eventsEach   = 50                              // of a customer
	logPage      = 2000                            // events, as the engine reads

	// All customers are there after so many rounds of edits, of the 25 that each goes through.
	arrivalRounds = 12
)

// long and short are the worlds with a history.
func (b *bench) long(ctx context.Context) *world { return b.world(ctx, "long", b.events) }
func (b *bench) short(ctx context.Context) *world {
	return b.world(ctx, "short", min(shortHistory, b.events))
}

// world returns the one of a name. It is made when it is first asked for, with about so many events.
func (b *bench) world(ctx context.Context, name string, events int) *world {
	if w := b.worlds[name]; w != nil {
		return w
	}
	execute(ctx, b.server.URL(), "create database "+name)
	address := must(url.Parse(b.server.ServingURL()))
	address.Path = "/" + name
	key := vault.NewMasterKey()
	instance := must(app.Open(ctx, app.Config{DatabaseURL: address.String(), MasterKey: key, CheckpointKey: transparency.NewKey()}))
	w := &world{Instance: instance, masterKey: key, events: events}
	b.worlds[name] = w

	started := must(w.Commands.FirstStart(ctx, commands.FirstStart{Organization: "Measured", Password: password}))
	session := must(w.Commands.LogIn(ctx, commands.Origin{IP: "127.0.0.1"}, commands.LogIn{LoginName: commands.AdministratorName, Password: password}))
	w.administrator, w.token = started.Administrator, session.Token

	if events > 0 {
		b.say("making a history of %s events", grouped(events))
		check(w.fill(ctx))
	}
	// What Postgres would tidy up in the middle of a measurement it does now.
	execute(ctx, address.String(), "vacuum (analyze) eventlog.events", "vacuum (analyze) vault.keys", "checkpoint")
	return w
}

func execute(ctx context.Context, address string, statements ...string) {
	conn := must(pgx.Connect(ctx, address))
	defer conn.Close(ctx)
	for _, s := range statements {
		must(conn.Exec(ctx, s))
	}
}

// fill appends the histories of customers, many at once: they come one after the other, and are edited in turn from then on.
func (w *world) fill(ctx context.Context) error {
	const atOnce = 128
	group, ctx := errgroup.WithContext(ctx)
	for worker := range atOnce {
		group.Go(func() error {
			var mine []*history
			for n := worker; n < w.events/eventsEach; n += atOnce {
				mine = append(mine, w.newHistory(n))
			}
			for round := 1; len(mine) > 0 && mine[len(mine)-1].events < eventsEach; round++ {
				for _, h := range mine[:min(len(mine), 1+len(mine)*round/arrivalRounds)] {
					if n := min(2, eventsEach-h.events); n > 0 {
						if err := h.append(ctx, n); err != nil {
							return err
						}
					}
				}
			}
			return nil
		})
	}
	return group.Wait()
}

// readLog reads the whole log and shows each event to visit. It returns how many there are.
func (w *world) readLog(ctx context.Context, visit func(eventlog.Event)) (events int) {
	for at := eventlog.Position(0); ; {
		page := must(w.Log.ReadAll(ctx, at, logPage))
		if len(page) == 0 {
			return events
		}
		for _, e := range page {
			visit(e)
		}
		at, events = page[len(page)-1].Position, events+len(page)
	}
}

// reading is the floor of everything that reads the log: reading it.
func (w *world) reading(ctx context.Context) func() float64 {
	return func() float64 {
		return rate(func() int { return w.readLog(ctx, func(eventlog.Event) {}) })
	}
}

// rebuild folds a read model again.
func (w *world) rebuild(ctx context.Context, m engine.ReadModel, progress func(engine.Progress)) engine.Rebuilt {
	return must(w.Engine.Rebuild(ctx, m.Name, engine.RebuildOptions{Progress: progress}))
}

// history is that of one customer, as it goes on.
type history struct {
	mu      sync.Mutex // where several goroutines append
	world   *world
	stream  eventlog.Stream
	n       int // which customer
	events  int
	receipt eventlog.Receipt // of the last append
	random  *rand.Rand
}

func (w *world) newHistory(n int) *history {
	return &history{world: w, n: n, random: rand.New(rand.NewPCG(uint64(n), 1)), stream: newStream(customer.Category)}
}

func newStream(category string) eventlog.Stream {
	return eventlog.Stream{Organization: commands.Home, Category: category, ID: uuid.New()}
}

func (h *history) append(ctx context.Context, n int) error {
	events := make([]eventlog.NewEvent, n)
	for i := range events {
		var err error
		if events[i], err = h.event(ctx, h.events+i); err != nil {
			return err
		}
	}
	var err error
	h.receipt, err = h.world.Log.Append(ctx, h.stream, eventlog.Version(h.events), events...)
	h.events += n
	return err
}

// event returns the event number i of the history, with its personal fields sealed.
func (h *history) event(ctx context.Context, i int) (eventlog.NewEvent, error) {
	return encode(ctx, h.world, customer.EventTypes, h.stream, h.happens(i))
}

func encode[E any](ctx context.Context, w *world, types domain.EventTypes[E], s eventlog.Stream, e E) (eventlog.NewEvent, error) {
	meta := domain.Metadata{Actor: w.administrator, IP: "203.0.113.77", Device: "Mozilla/5.0 (X11; Linux x86_64)", Command: uuid.New()}
	return eventcodec.Encode(ctx, w.Codec, types, s, uuid.New(), e, meta, time.Now())
}

// open appends a new opportunity: a stream that needs no key of its own.
func (w *world) open(ctx context.Context) error {
	s := newStream(opportunity.Category)
	opened := opportunity.Opened{Reference: s.ID.String()[:8], Product: "GTX Pro", Owner: w.administrator}
	e, err := encode[opportunity.Event](ctx, w, opportunity.EventTypes, s, opened)
	if err != nil {
		return err
	}
	_, err = w.Log.Append(ctx, s, 0, e)
	return err
}

var (
	names     = strings.Fields("Adler Berger Conrad Dietrich Engel Fischer Graf Huber Iversen Jäger Keller Lindner Maurer Neumann Ostermann Peters Quandt Richter Schäfer Thoma Ulrich Vogel Winter Zimmermann")
	sectors   = strings.Fields("retail software medical services finance marketing telecommunications employment")
	countries = strings.Fields("Germany Austria Poland Kenya Japan Norway Brazil Italy Romania Korea Jordan Belgium")
)

func (h *history) happens(i int) customer.Event {
	pick := func(from []string) string { return from[h.random.IntN(len(from))] }
	phone := func(i int) string { return fmt.Sprintf("+49 30 55%06d-%d", h.n, i) }
	name := fmt.Sprintf("%s & %s %d", pick(names), pick(names), h.n)
	if i == 0 {
		site := fmt.Sprintf("customer-%d.example", h.n)
		return customer.Registered{
			Name: name, Sector: pick(sectors), Country: pick(countries), Website: "https://" + site, Phone: phone(0), Email: "office@" + site,
			Attributes: map[string]string{"employees": fmt.Sprint(10 + h.n%5000), "year_established": fmt.Sprint(1950 + h.n%70)}, Owner: h.world.administrator,
		}
	}
	switch h.random.IntN(4) {
	case 0:
		return customer.Edited{Sector: &domain.Change{From: pick(sectors), To: pick(sectors)}}
	case 1:
		return customer.Edited{Attributes: map[string]domain.Change{"employees": {From: fmt.Sprint(i), To: fmt.Sprint(10 + i*h.n%5000)}}}
	case 2:
		return customer.Edited{Phone: &domain.Change{From: phone(i - 1), To: phone(i)}, Website: &domain.Change{To: fmt.Sprintf("https://www.customer-%d.example/%d", h.n, i)}}
	default:
		return customer.Edited{Name: &domain.Change{From: name, To: fmt.Sprintf("%s %d", pick(names), h.n)}}
	}
}
