package automations_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/annal-crm/annal/automations"
	"github.com/annal-crm/annal/commands"
	"github.com/annal-crm/annal/domain/account"
	"github.com/annal-crm/annal/eventlog"
	"github.com/annal-crm/annal/eventlog/memory"
	"github.com/annal-crm/annal/internal/auth"
	"github.com/annal-crm/annal/internal/eventcodec"
	"github.com/annal-crm/annal/internal/pgtest"
	"github.com/annal-crm/annal/internal/vault"
)

const password = "correct horse battery staple 42"

type world struct {
	log      *memory.Log
	codec    *eventcodec.Codec
	commands *commands.Commands
	uses     *auth.Uses
	account  uuid.UUID
	fails    atomic.Int64 // looks that fail first
}

func newWorld(t *testing.T) *world {
	t.Helper()
	pool := pgtest.New(t, vault.Migrate, auth.Migrate)
	v, _, err := vault.Open(t.Context(), pool, vault.KeySource{Value: vault.NewMasterKey()}, vault.Config{})
	if err != nil {
		t.Fatal(err)
	}
	w := &world{log: memory.New(), codec: eventcodec.New(v), uses: auth.OpenUses(pool)}
	t.Cleanup(func() { w.uses.Close() })
	w.commands = commands.New(w.log, w.codec, v, auth.NewPasswords(nil, auth.HashingConfig{Memory: 64}), w.uses, commands.Config{LoginFloor: -1})
	started, err := w.commands.FirstStart(t.Context(), commands.FirstStart{Organization: "Home", Password: password})
	if err != nil {
		t.Fatal(err)
	}
	w.account = started.Administrator
	return w
}

// Due reads the whole log: what the read model knows, without one.
func (w *world) Due(ctx context.Context, until time.Time) (due []automations.Deadline, err error) {
	if w.fails.Add(-1) >= 0 {
		return nil, errors.New("the read model is away")
	}
	events, err := w.log.ReadAll(ctx, 0, 10_000)
	if err != nil {
		return nil, err
	}
	page, err := w.codec.Page(ctx, events)
	if err != nil {
		return nil, err
	}
	for _, f := range page {
		payload, err := f.Payload()
		if err != nil {
			return nil, err
		}
		d := automations.Deadline{Organization: f.Stream.Organization, Account: f.Stream.ID, Cause: f.ID}
		switch e := payload.(type) {
		case account.Locked:
			d.At = e.Until
			due = append(due, d)
		case account.LoggedIn:
			d.Session, d.At = e.Session, e.At.Add(account.SessionIdle)
			due = append(due, d)
		case account.Unlocked:
			due = slices.DeleteFunc(due, func(d automations.Deadline) bool { return d.Session == uuid.Nil })
		case account.LoggedOut:
			due = slices.DeleteFunc(due, func(d automations.Deadline) bool { return d.Session == e.Session })
		}
	}
	return slices.DeleteFunc(due, func(d automations.Deadline) bool { return d.At.After(until) }), nil
}

// run runs so many runners, as so many processes would, until the test ends.
func (w *world) run(t *testing.T, runners int, tick time.Duration) {
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for range runners {
		wg.Go(func() { automations.New(w, w.commands, automations.Config{Tick: tick}).Run(ctx) })
	}
	t.Cleanup(func() { cancel(); wg.Wait() })
}

func (w *world) events(t *testing.T, kind string) (found []eventlog.Event) {
	t.Helper()
	events, err := w.log.ReadAll(t.Context(), 0, 10_000)
	if err != nil {
		t.Fatal(err)
	}
	return slices.DeleteFunc(events, func(e eventlog.Event) bool { return e.Type != kind })
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for range 500 {
		if ok() {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatal("never:", what)
}

func TestALockEndsAtItsTimeOnce(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	admin, err := w.commands.Acting(ctx, commands.Home, w.account, commands.Origin{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.commands.ChangeLockoutPolicy(ctx, admin, commands.ChangeLockoutPolicy{Attempts: 1, Window: time.Minute, LockFor: 1500 * time.Millisecond}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.commands.LogIn(ctx, commands.Origin{}, commands.LogIn{LoginName: "admin", Password: "wrong"}); err != commands.ErrInvalidCredentials {
		t.Fatal(err)
	}
	w.run(t, 3, 3*time.Second) // between two looks
	locked := w.events(t, "account.locked")[0]
	eventually(t, "the end of the lock", func() bool { return len(w.events(t, "account.unlocked")) > 0 })
	until := locked.OccurredAt.Add(1500 * time.Millisecond)
	unlocked := w.events(t, "account.unlocked")[0]
	late := unlocked.RecordedAt.Sub(until)
	t.Logf("recorded %v after its time", late)
	if late < 0 || late > time.Second || unlocked.OccurredAt.Sub(until).Abs() > time.Millisecond {
		t.Errorf("the lock should end at %v; recorded %v, occurred %v", until, unlocked.RecordedAt, unlocked.OccurredAt)
	}
	time.Sleep(300 * time.Millisecond)
	if n := len(w.events(t, "account.unlocked")); n != 1 {
		t.Error("it ended", n, "times")
	}
	facts, err := w.codec.Page(ctx, []eventlog.Event{unlocked})
	if err != nil {
		t.Fatal(err)
	}
	payload, _ := facts[0].Payload()
	if meta, err := facts[0].Metadata(); err != nil || meta.Causation != locked.ID || meta.Command != uuid.NewSHA1(locked.ID, []byte("deadline")) || meta.Actor != uuid.Nil || payload.(account.Unlocked).Cause != account.UnlockedByTimer {
		t.Errorf("%+v %+v %v", payload, meta, err)
	}
}

func TestASessionThatNobodyUsesExpires(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	login := func(ago time.Duration) uuid.UUID {
		in, err := w.commands.LogIn(ctx, commands.Origin{}, commands.LogIn{
			LoginName: "admin", Password: password, Command: commands.Command{OccurredAt: time.Now().Add(-ago)},
		})
		if err != nil {
			t.Fatal(err)
		}
		return in.Principal.Session
	}
	old, used, fresh, ancient := login(2*time.Hour), login(2*time.Hour), login(time.Minute), login(25*time.Hour)
	w.uses.Used(used, time.Now().Add(-time.Minute))
	w.uses.Used(ancient, time.Now())
	w.fails.Store(3) // it goes on after what fails
	w.run(t, 2, 100*time.Millisecond)
	eventually(t, "two ends", func() bool { return len(w.events(t, "account.logged_out")) >= 2 })
	time.Sleep(300 * time.Millisecond)
	p, err := w.commands.Acting(ctx, commands.Home, w.account, commands.Origin{})
	if err != nil {
		t.Fatal(err)
	}
	sessions := p.AccountState().Sessions
	for session, open := range map[uuid.UUID]bool{old: false, used: true, fresh: true, ancient: false} {
		if _, ok := sessions[session]; ok != open {
			t.Errorf("session %v: open is %v", session, ok)
		}
	}
	for _, e := range w.events(t, "account.logged_out") {
		if d := time.Since(e.OccurredAt); d < 50*time.Minute || d > 70*time.Minute {
			t.Errorf("a session ended %v ago, not when its time had come", d)
		}
	}
}
