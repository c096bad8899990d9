package commands_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/annal-crm/annal/commands"
	"github.com/annal-crm/annal/domain"
	"github.com/annal-crm/annal/domain/customer"
	"github.com/annal-crm/annal/eventlog"
	"github.com/annal-crm/annal/eventlog/memory"
	"github.com/annal-crm/annal/internal/auth"
	"github.com/annal-crm/annal/internal/eventcodec"
	"github.com/annal-crm/annal/internal/pgtest"
	"github.com/annal-crm/annal/internal/vault"
)

const password = "correct horse battery staple 42"

var office = commands.Origin{IP: "192.0.2.7", Device: "tests/1.0", Correlation: uuid.New()}

// world is one Annal in memory: a log in memory, with a real vault and last uses in Postgres.
type world struct {
	*testing.T
	*commands.Commands
	log    *log
	codec  *eventcodec.Codec
	vault  *vault.Vault
	uses   *auth.Uses
	pool   *pgxpool.Pool
	hasher *auth.Passwords
	now    *clock
	system *commands.Principal
	admin  *commands.Principal // acting, without a session
}

// log is a log in memory that tells what is asked of it and lets a test step in.
type log struct {
	*memory.Log
	readStreams atomic.Int64
	mu          sync.Mutex
	rival       func() // called once, before the next append

	failing   atomic.Bool
	failAfter atomic.Int64 // appends
}

func (l *log) Append(ctx context.Context, s eventlog.Stream, expected eventlog.Version, events ...eventlog.NewEvent) (eventlog.Receipt, error) {
	l.mu.Lock()
	rival := l.rival
	l.rival = nil
	l.mu.Unlock()
	if rival != nil {
		rival()
	}
	if l.failing.Load() && l.failAfter.Add(-1) < 0 {
		return eventlog.Receipt{}, eventlog.ErrUnavailable
	}
	return l.Log.Append(ctx, s, expected, events...)
}

func (l *log) ReadStreams(ctx context.Context, tails ...eventlog.Tail) ([][]eventlog.Event, error) {
	l.readStreams.Add(1)
	return l.Log.ReadStreams(ctx, tails...)
}

// clock is the time of a world: that of the machine, and what a test adds.
type clock struct{ ahead atomic.Int64 }

func (c *clock) Now() time.Time           { return time.Now().Add(time.Duration(c.ahead.Load())) }
func (c *clock) Advance(by time.Duration) { c.ahead.Add(int64(by)) }

// newWorld is an installation after its first start, with an administrator.
func newWorld(t *testing.T) *world {
	t.Helper()
	pool := pgtest.New(t, vault.Migrate, auth.Migrate)
	v, _, err := vault.Open(t.Context(), pool, vault.KeySource{Value: vault.NewMasterKey()}, vault.Config{})
	if err != nil {
		t.Fatal(err)
	}
	w := &world{T: t, log: &log{Log: memory.New()}, vault: v, codec: eventcodec.New(v), uses: auth.OpenUses(pool), pool: pool, now: &clock{}}
	t.Cleanup(func() {
		if err := w.uses.Close(); err != nil {
			t.Error(err)
		}
	})
	w.hasher = auth.NewPasswords(commands.Pepper(v), auth.HashingConfig{Wait: time.Minute, Memory: 64})
	w.Commands = w.another(commands.Config{})
	w.system = must(w.System(t.Context(), commands.Home))
	must(w.RegisterOrganization(t.Context(), w.system, commands.RegisterOrganization{Name: "Analytical Engines"}))
	w.system = must(w.System(t.Context(), commands.Home))
	w.admin = w.invite("administrator", uuid.Nil, "administrator")
	return w
}

// another is the write side of another process on the same log.
func (w *world) another(cfg commands.Config) *commands.Commands {
	cfg.Clock, cfg.LoginFloor = w.now.Now, -1
	return commands.New(w.log, w.codec, w.vault, w.hasher, w.uses, cfg)
}

// invite makes an account and returns it acting.
func (w *world) invite(name string, team uuid.UUID, roles ...string) *commands.Principal {
	w.Helper()
	by := must(w.System(w.Context(), commands.Home))
	made, err := w.Invite(w.Context(), by, commands.Invite{LoginName: name, DisplayName: "D. " + name, Team: team, Roles: roles})
	if err != nil {
		w.Fatal(name, err)
	}
	return must(w.Acting(w.Context(), commands.Home, made.ID, office))
}

// again is a principal as it is now.
func (w *world) again(p *commands.Principal) *commands.Principal {
	return must(w.Acting(w.Context(), p.Organization, p.Account, p.Origin))
}

// activate gives an account the password of all tests.
func (w *world) activate(account uuid.UUID) {
	w.Helper()
	issued, err := w.IssueActivation(w.Context(), must(w.System(w.Context(), commands.Home)), commands.OnAccount{AccountID: account})
	if err != nil {
		w.Fatal(err)
	}
	if _, err := w.ActivateAccount(w.Context(), office, commands.ActivateAccount{Token: issued.Token, Password: password}); err != nil {
		w.Fatal(err)
	}
}

func (w *world) login(name, password string) (commands.LoggedIn, error) {
	return w.LogIn(w.Context(), office, commands.LogIn{LoginName: name, Password: password})
}

// mustLogin is the token of a new session.
func (w *world) mustLogin(name string) string {
	w.Helper()
	in, err := w.login(name, password)
	if err != nil {
		w.Fatal(name, err)
	}
	return in.Token
}

// team makes a team.
func (w *world) team(name string, parent uuid.UUID) uuid.UUID {
	return must(w.CreateTeam(w.Context(), w.system, commands.CreateTeam{Name: name, Parent: parent})).ID
}

func (w *world) customer(by *commands.Principal, name string, owner uuid.UUID) uuid.UUID {
	w.Helper()
	in := commands.RegisterCustomer{Registered: customer.Registered{Name: name, Owner: owner}}
	return must(w.RegisterCustomer(w.Context(), by, in)).ID
}

// facts lists the events of the log after a position: their types and what is known about the acts.
func (w *world) facts(after eventlog.Position) (types []string, about []domain.Metadata, payloads []any) {
	w.Helper()
	events := must(w.log.ReadAll(w.Context(), after, 100_000))
	for _, f := range must(w.codec.Page(w.Context(), events)) {
		types, about, payloads = append(types, f.Type), append(about, must(f.Metadata())), append(payloads, must(f.Payload()))
	}
	return types, about, payloads
}

func (w *world) head() eventlog.Position { return must(w.log.Head(w.Context())) }

// since checks which events were appended after a position.
func (w *world) since(after eventlog.Position, want ...string) {
	w.Helper()
	if got, _, _ := w.facts(after); !slices.Equal(got, want) {
		w.Errorf("events: %v\nwant:   %v", got, want)
	}
}

func (w *world) wantErr(what string, err, want error) {
	w.Helper()
	if !errors.Is(err, want) || (want == nil && err != nil) {
		w.Errorf("%s: %v, want %v", what, err, want)
	}
}

// wantInvalid checks which fields were wrong.
func (w *world) wantInvalid(what string, err error, fields ...string) {
	w.Helper()
	var bad domain.Invalid
	errors.As(err, &bad)
	var got []string
	for field := range bad {
		got = append(got, field)
	}
	slices.Sort(got)
	slices.Sort(fields)
	if !slices.Equal(got, fields) {
		w.Errorf("%s: %v, want wrong %s", what, err, strings.Join(fields, ", "))
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(fmt.Sprintf("%v", err))
	}
	return v
}

func text(s string) *string { return &s }
