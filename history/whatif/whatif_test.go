package whatif_test

import (
	"cmp"
	"errors"
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/annal-crm/annal/commands"
	"github.com/annal-crm/annal/domain/organization"
	"github.com/annal-crm/annal/eventlog/memory"
	"github.com/annal-crm/annal/history/whatif"
	"github.com/annal-crm/annal/internal/auth"
	"github.com/annal-crm/annal/internal/eventcodec"
	"github.com/annal-crm/annal/internal/pgtest"
	"github.com/annal-crm/annal/internal/vault"
	"github.com/annal-crm/annal/transfer/sshlog"
)

const password = "correct horse battery staple 42"

// world is one Annal with its log in memory and a clock of the test's.
type world struct {
	*testing.T
	*commands.Commands
	log    *memory.Log
	codec  *eventcodec.Codec
	vault  *vault.Vault
	now    time.Time
	system *commands.Principal
}

func newWorld(t *testing.T) *world {
	t.Helper()
	pool := pgtest.New(t, vault.Migrate, auth.Migrate)
	v, _, err := vault.Open(t.Context(), pool, vault.KeySource{Value: vault.NewMasterKey()}, vault.Config{})
	if err != nil {
		t.Fatal(err)
	}
	uses := auth.OpenUses(pool)
	t.Cleanup(func() {
		if err := uses.Close(); err != nil {
			t.Error(err)
		}
	})
	w := &world{T: t, log: memory.New(), codec: eventcodec.New(v), vault: v, now: time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)}
	w.Commands = commands.New(w.log, w.codec, v, auth.NewPasswords(commands.Pepper(v), auth.HashingConfig{Memory: 64}), uses,
		commands.Config{Clock: func() time.Time { return w.now }, LoginFloor: -1, Guesses: 1000})
	return w
}

// register makes the organization where people work.
func (w *world) register() {
	w.system = must(w.System(w.Context(), commands.Home))
	must(w.RegisterOrganization(w.Context(), w.system, commands.RegisterOrganization{Name: "Analytical Engines"}))
	w.system = must(w.System(w.Context(), commands.Home))
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(fmt.Sprintf("%v", err))
	}
	return v
}

// attack writes a log of an attack that never was: some names, guessed at in bursts.
func attack(seed uint64, lines int) string {
	random := rand.New(rand.NewPCG(seed, 0))
	names := []string{"root", "Root", "admin", "invalid user Admin", "invalid user ", "invalid user  guest", "ada", "bob"}
	at := time.Date(2024, 2, 28, 22, 0, 0, 0, time.UTC)
	var b strings.Builder
	for i := range lines {
		at = at.Add(time.Duration(random.ExpFloat64() * float64(20*time.Second))).Truncate(time.Second)
		name, said := names[random.IntN(len(names))], "Failed"
		if random.IntN(20) == 0 {
			said = "Accepted"
		}
		message := fmt.Sprintf("%s password for %s from 198.51.100.%d port %d ssh2", said, name, random.IntN(256), 1024+random.IntN(60000))
		switch random.IntN(10) {
		case 0:
			message = fmt.Sprintf("message repeated %d times: [ %s]", 2+random.IntN(4), message)
		case 1:
			message = "Connection closed by 198.51.100.1 [preauth]"
		}
		fmt.Fprintf(&b, "%s host sshd[%d]: %s\n", at.Format(time.Stamp), 100+i, message)
	}
	return b.String()
}

var attempt = regexp.MustCompile(`(?m)^(.{15}) host sshd\[\d+\]: (?:message repeated (\d+) times: \[ )?(Failed|Accepted) password for (?:invalid user )?(.*?) from (\S+) port`)

type locked struct {
	name        string
	from, until time.Time
	refused     int
}

// simulate reads the text of a log and applies the rule, with nothing of Annal in it.
func simulate(text string, rule organization.Lockout) (attempts, refused int, locks []locked) {
	wrong, last := make(map[string][]time.Time), make(map[string]int)
	for _, m := range attempt.FindAllStringSubmatch(text, -1) {
		at := must(time.Parse("2006 "+time.Stamp, "2024 "+m[1]))
		times := 1
		fmt.Sscan(m[2], &times)
		name := strings.ToLower(strings.TrimSpace(m[4]))
		for range times {
			attempts++
			if i, ok := last[name]; ok && at.Before(locks[i].until) {
				locks[i].refused++
				refused++
				continue
			}
			if m[3] == "Accepted" {
				wrong[name] = nil
				continue
			}
			recent := []time.Time{at}
			for _, w := range wrong[name] {
				if at.Sub(w) < rule.Window {
					recent = append(recent, w)
				}
			}
			if len(recent) >= rule.Attempts {
				last[name] = len(locks)
				locks, recent = append(locks, locked{name, at, at.Add(rule.LockFor), 0}), nil
			}
			wrong[name] = recent
		}
	}
	return attempts, refused, locks
}

func byTime(a, b locked) int { return cmp.Or(a.from.Compare(b.from), strings.Compare(a.name, b.name)) }

func TestAnImportedAttackUnderOtherRules(t *testing.T) {
	w := newWorld(t)
	text := attack(7, 1500)
	sum, err := sshlog.Run(t.Context(), w.Commands, "attacked", strings.NewReader(text[:len(text)/2]), 2024, nil)
	if err != nil || sum.Added == 0 {
		t.Fatalf("%+v, %v", sum, err)
	}
	w.register() // whoever works here comes later: it changes nothing
	first := sum.Added
	sum, err = sshlog.Run(t.Context(), w.Commands, "attacked", strings.NewReader(text), 2024, nil)
	if err != nil || sum.Known != first || sum.Added == 0 {
		t.Fatalf("the rest of the file: %+v, %v", sum, err)
	}
	h, err := whatif.Read(t.Context(), w.log, w.codec, "attacked")
	if err != nil {
		t.Fatal(err)
	}
	if len(h.Happened.Locks) != 0 || h.Accounts != 6 || h.Organization != "attacked" || !h.First.Before(h.Last) { // root, admin, nothing, guest, ada, bob
		t.Errorf("%+v", h)
	}
	// The same, out of order: what comes later in time comes first in the file.
	lines := strings.SplitAfter(text, "\n")
	cut := 700
	for lines[cut][:15] == lines[cut-1][:15] {
		cut++
	}
	turned := strings.Join(slices.Concat(lines[cut:], lines[:cut]), "")
	if _, err := sshlog.Run(t.Context(), w.Commands, "turned", strings.NewReader(turned), 2024, nil); err != nil {
		t.Fatal(err)
	}
	outOfOrder, err := whatif.Read(t.Context(), w.log, w.codec, "turned")
	if err != nil {
		t.Fatal(err)
	}
	minutes := func(n int) time.Duration { return time.Duration(n) * time.Minute }
	for _, rule := range []organization.Lockout{
		{Attempts: 1, Window: minutes(1), LockFor: minutes(1)}, {Attempts: 3, Window: minutes(5), LockFor: minutes(15)},
		{Attempts: 5, Window: minutes(15), LockFor: minutes(30)}, {Attempts: 10, Window: minutes(15), LockFor: minutes(30)},
		{Attempts: 20, Window: minutes(24 * 60), LockFor: minutes(24 * 60)},
	} {
		attempts, refused, want := simulate(text, rule)
		slices.SortFunc(want, byTime)
		got, err := h.Try(t.Context(), rule)
		if err != nil {
			t.Fatal(err)
		}
		var locks []locked
		for _, l := range got.Locks {
			locks = append(locks, locked{l.LoginName, l.From, l.Until, l.Refused})
		}
		if !slices.IsSortedFunc(locks, byTime) || !slices.Equal(locks, want) || got.RefusedWhileLocked != refused || h.Attempts != attempts || len(want) == 0 {
			t.Errorf("%+v: %d locks, %d of %d refused; want %d, %d of %d\n%v\n%v", rule, len(locks), got.RefusedWhileLocked, h.Attempts, len(want), refused, attempts, locks, want)
		}
		again := must(outOfOrder.Try(t.Context(), rule))
		for i := range again.Locks {
			again.Locks[i].Account = got.Locks[i%len(got.Locks)].Account // another one, of the same name
		}
		if !slices.Equal(again.Locks, got.Locks) {
			t.Errorf("%+v, out of order: %d locks, want %d", rule, len(again.Locks), len(got.Locks))
		}
	}
}

// By the rule that held, what would have happened is what happened.
func TestTheSameRuleDoesTheSame(t *testing.T) {
	w := newWorld(t)
	w.register()
	ctx := t.Context()
	rule := organization.Lockout{Attempts: 3, Window: 10 * time.Minute, LockFor: 20 * time.Minute}
	must(w.ChangeLockoutPolicy(ctx, w.system, commands.ChangeLockoutPolicy{Attempts: rule.Attempts, Window: rule.Window, LockFor: rule.LockFor}))
	accounts := make(map[string]uuid.UUID)
	for _, name := range []string{"ada", "bob", "eve"} {
		made := must(w.Invite(ctx, w.system, commands.Invite{LoginName: name, DisplayName: name}))
		accounts[name] = made.ID
		if name == "eve" {
			continue // she is never activated
		}
		issued := must(w.IssueActivation(ctx, w.system, commands.OnAccount{AccountID: made.ID}))
		must(w.ActivateAccount(ctx, commands.Origin{}, commands.ActivateAccount{Token: issued.Token, Password: password}))
	}
	try := func(name string, right bool) {
		t.Helper()
		in := commands.LogIn{LoginName: name, Password: password}
		if !right {
			in.Password = "wrong"
		}
		if _, err := w.LogIn(ctx, commands.Origin{IP: "192.0.2.1"}, in); err != nil && !errors.Is(err, commands.ErrInvalidCredentials) {
			t.Fatal(err)
		}
		w.now = w.now.Add(time.Minute)
	}
	random := rand.New(rand.NewPCG(3, 0))
	for i := range 300 {
		try([]string{"ada", "bob", "eve", "nobody"}[random.IntN(4)], random.IntN(6) == 0)
		if i == 150 {
			must(w.Deactivate(ctx, w.system, commands.OnAccount{Command: commands.Command{Reason: "left"}, AccountID: accounts["bob"]}))
		}
		if i%23 == 0 {
			must(w.Unlock(ctx, w.system, commands.OnAccount{Command: commands.Command{Reason: "asked"}, AccountID: accounts["ada"]}))
		}
	}
	h, err := whatif.Read(ctx, w.log, w.codec, "")
	if err != nil {
		t.Fatal(err)
	}
	got, err := h.Try(ctx, rule)
	if err != nil || !slices.Equal(got.Locks, h.Happened.Locks) || got.RefusedWhileLocked != h.Happened.RefusedWhileLocked {
		t.Errorf("%+v, %v\nwant %+v", got, err, h.Happened)
	}
	cut := slices.ContainsFunc(got.Locks, func(l whatif.Lock) bool { return l.Until.Sub(l.From) < rule.LockFor })
	if h.Accounts != 3 || h.Organization != "Analytical Engines" || len(got.Locks) < 5 || !cut || got.RefusedWhileLocked < 5 {
		t.Errorf("this history shows too little: %+v", h)
	}
	// A stricter one locks more often.
	if stricter := must(h.Try(ctx, organization.Lockout{Attempts: 1, Window: time.Minute, LockFor: 2 * time.Minute})); len(stricter.Locks) <= len(got.Locks) {
		t.Errorf("%d locks", len(stricter.Locks))
	}

	// An erased person is not named, but counts.
	if err := w.vault.Erase(ctx, vault.Subject{Organization: commands.Home, ID: accounts["ada"]}); err != nil {
		t.Fatal(err)
	}
	for _, l := range must(h.Try(ctx, rule)).Locks {
		if l.Erased != (l.Account == accounts["ada"]) || l.Erased == (l.LoginName != "") {
			t.Errorf("%+v", l)
		}
	}
}

func TestUnknownOrganizations(t *testing.T) {
	w := newWorld(t)
	refused := func(name, want string) {
		t.Helper()
		if _, err := whatif.Read(t.Context(), w.log, w.codec, name); !errors.Is(err, whatif.ErrUnknown) || err.Error() != "whatif: there is no organization"+want {
			t.Errorf("%v", err)
		}
	}
	refused("attacked", " in this log yet")
	must(w.Attempts(t.Context(), "attacked"))
	refused("", ` where people work yet; there are: "attacked"`)
	refused("atacked", ` "atacked"; there are: "attacked"`)
}
