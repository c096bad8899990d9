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
	"github.com/annal-crm/annal/transparency"
)

// world is an Annal in a database of its own, with an organization, an administrator and a history.
type world struct {
	*app.Instance
	administrator uuid.UUID
	token         string
	masterKey     string
	events        int  // of the history
	folded        bool // the customers are
}

const password = "a measured amount of patience" // of a database that lives for minutes

const (
	shortHistory = 10_000 // events
	eventsEach   = 50     // of a customer
	// All customers are there after so many rounds of edits, of the 25 that each goes through.
	arrivalRounds = 12
)

// world returns the one of a name, made at first, with about so many events.
func (b *bench) world(ctx context.Context, name string, events int) (*world, error) {
	if w := b.worlds[name]; w != nil {
		return w, nil
	}
	if err := b.exec(ctx, b.server.URL(), "create database "+name); err != nil {
		return nil, err
	}
	address, err := url.Parse(b.server.ServingURL())
	if err != nil {
		return nil, err
	}
	address.Path = "/" + name
	key := vault.NewMasterKey()
	i, err := app.Open(ctx, app.Config{DatabaseURL: address.String(), MasterKey: key, CheckpointKey: transparency.NewKey()})
	if err != nil {
		return nil, err
	}
	w := &world{Instance: i, masterKey: key, events: events}
	b.worlds[name] = w
	if err := w.begin(ctx); err != nil {
		return nil, err
	}
	if events > 0 {
		b.say("making a history of %s events", grouped(float64(events)))
		if err := w.fill(ctx, events); err != nil {
			return nil, err
		}
	}
	// What Postgres would tidy up in the middle of a measurement it does now.
	return w, b.exec(ctx, address.String(), "vacuum (analyze) eventlog.events", "vacuum (analyze) vault.keys", "checkpoint")
}

// long and short are the worlds with a history.
func (b *bench) long(ctx context.Context) (*world, error) {
	return b.world(ctx, "long", b.config.Events)
}
func (b *bench) short(ctx context.Context) (*world, error) {
	return b.world(ctx, "short", min(shortHistory, b.config.Events))
}

func (b *bench) exec(ctx context.Context, address string, statements ...string) error {
	conn, err := pgx.Connect(ctx, address)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	for _, s := range statements {
		if _, err := conn.Exec(ctx, s); err != nil {
			return fmt.Errorf("%s: %w", s, err)
		}
	}
	return nil
}

// begin makes the organization and signs its administrator in.
func (w *world) begin(ctx context.Context) error {
	started, err := w.Commands.FirstStart(ctx, commands.FirstStart{Organization: "Measured", Password: password})
	if err != nil {
		return err
	}
	in, err := w.Commands.LogIn(ctx, commands.Origin{IP: "127.0.0.1", Device: "annal bench"}, commands.LogIn{LoginName: commands.AdministratorName, Password: password})
	w.administrator, w.token = started.Administrator, in.Token
	return err
}

// fill appends the histories of customers, many at once: they come one after the other, and are edited in turn from then on.
func (w *world) fill(ctx context.Context, events int) error {
	const atOnce = 128
	customers := max(1, events/eventsEach)
	group, ctx := errgroup.WithContext(ctx)
	for worker := range min(atOnce, customers) {
		group.Go(func() error {
			var mine []*life
			for n := worker; n < customers; n += atOnce {
				mine = append(mine, w.newLife(n))
			}
			for round := 1; len(mine) > 0 && mine[len(mine)-1].events < eventsEach; round++ {
				for _, l := range mine[:min(len(mine), 1+len(mine)*round/arrivalRounds)] {
					if n := min(2, eventsEach-l.events); n > 0 {
						if err := l.append(ctx, n); err != nil {
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

// life is one customer's, as it goes on.
type life struct {
	mu      sync.Mutex // for who shares it
	world   *world
	stream  eventlog.Stream
	n       int // which customer
	events  int
	receipt eventlog.Receipt // of the last append
	random  *rand.Rand
}

func (w *world) newLife(n int) *life {
	return &life{world: w, n: n, random: rand.New(rand.NewPCG(uint64(n), 1)),
		stream: eventlog.Stream{Organization: commands.Home, Category: customer.Category, ID: uuid.New()}}
}

// register returns the lives of new customers.
func (w *world) register(ctx context.Context, n int) ([]*life, error) {
	lives := make([]*life, n)
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(64)
	for i := range lives {
		lives[i] = w.newLife(i)
		group.Go(func() error { return lives[i].append(ctx, 1) })
	}
	return lives, group.Wait()
}

func (l *life) append(ctx context.Context, n int) error {
	events := make([]eventlog.NewEvent, n)
	for i := range events {
		var err error
		if events[i], err = l.event(ctx, l.events+i); err != nil {
			return err
		}
	}
	var err error
	l.receipt, err = l.world.Log.Append(ctx, l.stream, eventlog.Version(l.events), events...)
	l.events += n
	return err
}

// event returns the event number i of the life, with its personal fields sealed.
func (l *life) event(ctx context.Context, i int) (eventlog.NewEvent, error) {
	return eventcodec.Encode(ctx, l.world.Codec, customer.EventTypes, l.stream, uuid.New(), l.happens(i), l.world.act(), time.Now())
}

// act is what is known about each act in a history.
func (w *world) act() domain.Metadata {
	return domain.Metadata{Actor: w.administrator, IP: "203.0.113.77", Device: "Mozilla/5.0 (X11; Linux x86_64)", Command: uuid.New()}
}

// open appends a new opportunity: a stream that needs no key of its own.
func (w *world) open(ctx context.Context) error {
	s := eventlog.Stream{Organization: commands.Home, Category: opportunity.Category, ID: uuid.New()}
	e, err := eventcodec.Encode[opportunity.Event](ctx, w.Codec, opportunity.EventTypes, s, uuid.New(),
		opportunity.Opened{Reference: s.ID.String()[:8], Product: "GTX Pro", Owner: w.administrator}, w.act(), time.Now())
	if err != nil {
		return err
	}
	_, err = w.Log.Append(ctx, s, 0, e)
	return err
}

var (
	names   = strings.Fields("Adler Berger Conrad Dietrich Engel Fischer Graf Huber Iversen Jäger Keller Lindner Maurer Neumann Ostermann Peters Quandt Richter Schäfer Thoma Ulrich Vogel Winter Zimmermann")
	sectors = strings.Fields("retail software medical services finance marketing telecommunications employment")
	states  = strings.Fields("Germany Austria Poland Kenya Japan Norway Brazil Italy Romania Korea Jordan Belgium")
)

func (l *life) happens(i int) customer.Event {
	name := fmt.Sprintf("%s & %s %d", pick(l.random, names), pick(l.random, names), l.n)
	phone := func(i int) string { return fmt.Sprintf("+49 30 55%06d-%d", l.n, i) }
	if i == 0 {
		site := fmt.Sprintf("customer-%d.example", l.n)
		return customer.Registered{
			Name: name, Sector: pick(l.random, sectors), Country: pick(l.random, states), Website: "https://" + site, Phone: phone(0), Email: "office@" + site,
			Attributes: map[string]string{"employees": fmt.Sprint(10 + l.n%5000), "year_established": fmt.Sprint(1950 + l.n%70)}, Owner: l.world.administrator,
		}
	}
	switch l.random.IntN(4) {
	case 0:
		return customer.Edited{Sector: &domain.Change{From: pick(l.random, sectors), To: pick(l.random, sectors)}}
	case 1:
		return customer.Edited{Attributes: map[string]domain.Change{"employees": {From: fmt.Sprint(i), To: fmt.Sprint(10 + i*l.n%5000)}}}
	case 2:
		return customer.Edited{Phone: &domain.Change{From: phone(i - 1), To: phone(i)}, Website: &domain.Change{To: fmt.Sprintf("https://www.customer-%d.example/%d", l.n, i)}}
	default:
		return customer.Edited{Name: &domain.Change{From: name, To: fmt.Sprintf("%s %d", pick(l.random, names), l.n)}}
	}
}

func pick(r *rand.Rand, from []string) string { return from[r.IntN(len(from))] }
