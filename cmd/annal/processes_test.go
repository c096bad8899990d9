package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/annal-crm/annal/internal/pgtest"
	"github.com/annal-crm/annal/internal/vault"
)

// Three processes work on one database and one log while they are killed, paused and cut off. Whatever happens, an acknowledged
// write is in the log and can be read by every process, and each read model is what a fresh fold of the log makes of it.
// These tests measure times, so they do not run beside others of this package.

func TestThreeProcessesOnPostgres(t *testing.T) {
	f := newFleet(t, "")
	f.surviveAll("all", "projector", "api", func() {
		// Every connection of every process ends at once, as when Postgres is started again.
		if _, err := f.db.Exec(t.Context(), "select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()"); err != nil {
			t.Error(err)
		}
	})
}

func TestThreeProcessesOnEventStoreDB(t *testing.T) {
	f := newFleet(t, double(t).URL())
	f.surviveAll("all", "all", "api", func() {
		var cuts sync.WaitGroup
		for _, p := range f.processes {
			cuts.Go(func() { p.log.cut(time.Second) })
		}
		cuts.Wait()
	})
}

// The times within which a read model must go on, and what waits for its end is given in all.
const (
	afterKill  = 5 * time.Second
	afterPause = 15 * time.Second
	patience   = 20 * time.Second
	tooLong    = 6 * time.Second // for one request, a little more than the program waits for a read model

	enough = 100 // writes that are acknowledged and read back, and requests of a steady load, however fast the machine is
)

// fleet is several processes of one installation, and the load on them.
type fleet struct {
	*home
	store     string // the log's address; "" for Postgres
	url       string // of the database
	db        *pgx.Conn
	processes []*process
	customers []string // one of each writer

	mu           sync.Mutex
	acknowledged map[string]map[string]string // customer → position → phone
	readBack     atomic.Int64
	writing      sync.RWMutex // held while nobody may write
	stopLoad     context.CancelFunc
	load         sync.WaitGroup
}

// process is one of the fleet, with the networks it depends on. Started again it is another server in the same place.
type process struct {
	role          string
	home          *home
	database, log *wire // log: nil on Postgres
	server        *server
	api           atomic.Pointer[api] // as administrator
}

// newFleet founds an installation with customers on an empty database.
func newFleet(t *testing.T, store string) *fleet {
	t.Helper()
	f := &fleet{home: newHome(t), store: store, url: pgtest.URL(t), acknowledged: make(map[string]map[string]string)}
	f.env = append(f.env, "ANNAL_ADMIN_PASSWORD="+password, "ANNAL_DATABASE_URL="+f.url, "ANNAL_EVENTSTORE_URL="+store, "ANNAL_MASTER_KEY="+vault.NewMasterKey())
	f.must("import", newCRMFiles(t).dir, "--mapping", mapping(t))
	f.db = f.connect(f.url)
	return f
}

// start starts a process of a role, and is back when it is ready.
func (f *fleet) start(role string) *process {
	f.t.Helper()
	p := &process{role: role, home: new(*f.home)}
	var address string
	p.database, address = newWire(f.t, f.url)
	// Without prepared statements a wire can tell what goes over it.
	u, err := url.Parse(address)
	if err != nil {
		f.t.Fatal(err)
	}
	query := u.Query()
	query.Set("default_query_exec_mode", "cache_describe")
	u.RawQuery = query.Encode()
	p.home.env = append(slices.Clone(f.env), "ANNAL_DATABASE_URL="+u.String())
	if f.store != "" {
		p.log, address = newWire(f.t, f.store)
		p.home.env = append(p.home.env, "ANNAL_EVENTSTORE_URL="+address)
	}
	f.serve(p)
	f.processes = append(f.processes, p)
	return p
}

// serve starts the server of a process, for the first time or again.
func (f *fleet) serve(p *process) {
	f.t.Helper()
	p.server = p.home.start("serve", "--role", p.role)
	if p.role == "projector" {
		return
	}
	a := &api{t: f.t, url: p.server.url}
	if len(f.processes) == 0 {
		a = a.as("admin", password)
	} else {
		a.token = f.processes[0].api.Load().token // a session holds on every process
	}
	p.api.Store(a)
}

// runner is the process that folds the read models.
func (f *fleet) runner() *process {
	f.t.Helper()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		leases := f.leases()
		for _, p := range f.processes {
			if strings.Count(leases, fmt.Sprintf(":%d ", p.server.cmd.Process.Pid)) == strings.Count(leases, "\n") {
				return p
			}
		}
	}
	f.t.Fatalf("no process runs all read models:\n%s", f.leases())
	return nil
}

// leases lists the read models: each with its runner and the number of its lease.
func (f *fleet) leases() (list string) {
	f.t.Helper()
	if err := f.db.QueryRow(f.t.Context(), `select string_agg(format(E'%s %s %s\n', name, coalesce(runner, 'nobody'), epoch), '' order by name)
		from projections.checkpoints`).Scan(&list); err != nil {
		f.t.Fatal(err)
	}
	return list
}

const readPhone = `query($id: ID!, $p: Position) { customer(id: $id, minPosition: $p) { phone version } }`

// edit gives a customer another phone number by way of a process and notes it when it is acknowledged.
func (f *fleet) edit(ctx context.Context, via *process, customer string) (phone string, position, version int, err error) {
	ctx, cancel := context.WithTimeout(ctx, tooLong)
	defer cancel()
	phone = uuid.NewString()
	done, err := via.api.Load().try(ctx, editCustomer, vars{"i": vars{"id": customer, "phone": phone}})
	receipt := done.at("editCustomer.receipt")
	if r, ok := errors.AsType[*refusal](err); ok {
		if r.code() != "UNAVAILABLE" {
			f.t.Errorf("an edit by way of %s: %v", via.role, err)
		}
		receipt = value{r.Extensions}.at("receipt") // done, but it cannot be shown yet
	}
	if position, version = receipt.at("position").int(), receipt.at("version").int(); position > 0 {
		f.mu.Lock()
		f.acknowledged[customer][receipt.at("position").String()] = phone
		f.mu.Unlock()
	}
	return phone, position, version, err
}

// pick chooses the customers that are written to.
func (f *fleet) pick(p *process) {
	for _, n := range p.api.Load().ask(`{ customers(first: 6) { nodes { id } } }`, nil).at("customers.nodes").list() {
		f.customers = append(f.customers, n.at("id").String())
		f.acknowledged[n.at("id").String()] = make(map[string]string)
	}
}

// underLoad begins to write to the two processes with an API, and to read what was written by way of the other one.
func (f *fleet) underLoad(one, other *process) {
	f.pick(one)
	ctx, stop := context.WithCancel(f.t.Context())
	f.stopLoad = stop
	for i, customer := range f.customers {
		via, back := one, other
		if i%2 == 1 {
			via, back = other, one
		}
		f.load.Go(func() {
			for ctx.Err() == nil {
				f.writing.RLock()
				phone, position, version, err := f.edit(ctx, via, customer)
				f.writing.RUnlock()
				if err != nil {
					time.Sleep(20 * time.Millisecond)
					continue
				}
				limited, cancel := context.WithTimeout(ctx, tooLong)
				data, err := back.api.Load().try(limited, readPhone, vars{"id": customer, "p": fmt.Sprint(position)})
				cancel()
				r, refused := errors.AsType[*refusal](err)
				switch seen := data.at("customer"); {
				case refused && r.code() != "UNAVAILABLE":
					f.t.Errorf("a query to %s: %v", back.role, err)
				case err != nil: // it is being killed, or cannot know yet
				case seen.at("version").int() < version, seen.at("version").int() == version && seen.at("phone").String() != phone:
					f.t.Errorf("written by way of %s: %s, version %d; read by way of %s at position %d: %v", via.role, phone, version, back.role, position, seen)
				default:
					f.readBack.Add(1)
				}
			}
		})
	}
}

// goesOn waits until a write by way of a process is in every read model, and returns how long after some moment that is.
func (f *fleet) goesOn(since time.Time, via *process) time.Duration {
	f.t.Helper()
	for written := 0; time.Since(since) < patience; {
		if written == 0 {
			_, written, _, _ = f.edit(f.t.Context(), via, f.customers[0])
			continue
		}
		models, err := via.api.Load().try(f.t.Context(), `{ readModels { position } }`, nil)
		behind := func(m value) bool { return m.at("position").int() < written }
		if all := models.at("readModels").list(); err == nil && !slices.ContainsFunc(all, behind) {
			return time.Since(since)
		}
		time.Sleep(10 * time.Millisecond)
	}
	f.t.Fatalf("after %v read models do not go on:\n%s", patience, f.leases())
	return 0
}

// taken checks how long a takeover took.
func (f *fleet) taken(what string, took, limit time.Duration) {
	f.t.Helper()
	f.t.Logf("takeover %s: %v", what, took.Round(time.Millisecond))
	if took > limit {
		f.t.Errorf("takeover %s took %v, more than %v", what, took, limit)
	}
}

// surviveAll is the whole story. The third role must have an API and no read models; outage breaks what all depend on.
func (f *fleet) surviveAll(first, second, third string, outage func()) {
	one := f.start(first)
	f.start(second)
	front := f.start(third)
	f.underLoad(one, front)
	until(f.t, "it is under load", func() bool { return f.readBack.Load() >= 20 })

	victim := f.runner()
	began := time.Now()
	if err := victim.server.signal(syscall.SIGKILL); err != nil {
		f.t.Fatal(err)
	}
	f.taken("after SIGKILL", f.goesOn(began, front), afterKill)
	f.serve(victim)

	f.pausesInTheMidst(front)

	// Postgres and its runner hear nothing of each other until another one has long taken over.
	deaf, late := f.runner(), make(chan func())
	began = time.Now()
	go deaf.database.silence(func() { (<-late)() })
	f.taken("of a runner that is cut off", f.goesOn(began, front), afterPause)
	before := f.leases()
	late <- func() {}
	f.stays(before)

	began = time.Now()
	outage()
	for _, p := range []*process{one, front} {
		f.t.Logf("writes by way of %s after the outage: %v", p.role, f.goesOn(began, p).Round(time.Millisecond))
	}

	until(f.t, "enough was written and read back", func() bool { return f.readBack.Load() >= enough })
	f.stopLoad()
	f.load.Wait()
	front.api.Load().settle()
	f.nothingIsMissing()
	f.verify(front.api.Load())
	for _, p := range f.processes {
		if status := p.server.stop(f.t); status != 0 {
			f.t.Errorf("%s stopped with exit status %d", p.role, status)
		}
	}
}

// moves is the statement that moves the checkpoint of the customers, with its values. Only the fence is between a late one and
// rows of the past; elsewhere a unique key might refuse it, too.
var moves = regexp.MustCompile(`(?s)projections\.move\(.*\x00\tcustomers`)

// pausesInTheMidst stops the runner while it commits, and lets what it has sent arrive when another has taken over: too late.
func (f *fleet) pausesInTheMidst(front *process) {
	f.t.Helper()
	runner := f.runner()
	letGo := runner.database.holdBack(f.t, moves)
	began := time.Now()
	if err := runner.server.signal(syscall.SIGSTOP); err != nil {
		f.t.Fatal(err)
	}
	f.taken("after SIGSTOP", f.goesOn(began, front), afterPause)

	f.writing.Lock() // now nothing moves a checkpoint but who may not
	front.api.Load().settle()
	before, places := f.leases(), f.places()
	if strings.Contains(before, fmt.Sprintf(":%d ", runner.server.cmd.Process.Pid)) {
		f.t.Errorf("the read models were not taken from it:\n%s", before)
	}
	letGo()
	for range 5 {
		time.Sleep(100 * time.Millisecond)
		if now := f.places(); now != places {
			f.t.Fatalf("what came too late moved checkpoints from %s to %s", places, now)
		}
	}
	f.writing.Unlock()
	if err := runner.server.signal(syscall.SIGCONT); err != nil {
		f.t.Fatal(err)
	}
	f.stays(before)
}

// stays checks that a runner that wakes up when its read models are another's does not take them back.
func (f *fleet) stays(leases string) {
	f.t.Helper()
	for range 10 {
		time.Sleep(100 * time.Millisecond)
		if now := f.leases(); now != leases {
			f.t.Fatalf("a runner that woke up late changed\n%s to\n%s", leases, now)
		}
	}
}

// places lists where the read models stand.
func (f *fleet) places() (list string) {
	f.t.Helper()
	if err := f.db.QueryRow(f.t.Context(), "select string_agg(format('%s %s', name, position), ', ' order by name) from projections.checkpoints").Scan(&list); err != nil {
		f.t.Fatal(err)
	}
	return list
}

// nothingIsMissing looks for each acknowledged event in the log itself.
func (f *fleet) nothingIsMissing() {
	f.t.Helper()
	total := 0
	for _, customer := range f.customers {
		logged := map[string]string{}
		for l := range strings.Lines(f.must("replay", "customer", customer, "--json")) {
			var e struct {
				Position string
				Data     json.RawMessage
			}
			if err := json.Unmarshal([]byte(l), &e); err != nil {
				f.t.Fatal(err)
			}
			logged[e.Position] = string(e.Data)
		}
		for position, phone := range f.acknowledged[customer] {
			if total++; !strings.Contains(logged[position], phone) {
				f.t.Errorf("the acknowledged event at %s is not in the log: there is %s", position, cmp.Or(logged[position], "nothing"))
			}
		}
	}
	f.t.Logf("%d acknowledged writes, %d read back by way of another process", total, f.readBack.Load())
	if total < enough {
		f.t.Errorf("only %d writes were acknowledged", total)
	}
}
