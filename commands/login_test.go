package commands_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/annal-crm/annal/commands"
	"github.com/annal-crm/annal/domain/account"
	"github.com/annal-crm/annal/domain/organization"
	"github.com/annal-crm/annal/domain/source"
	"github.com/annal-crm/annal/internal/auth"
)

func TestALoginIsOneEventThatSaysWhoFromWhere(t *testing.T) {
	w := newWorld(t)
	ada := w.invite("ada.lovelace", uuid.Nil, "sales")
	w.activate(ada.Account)
	before := w.head()
	for _, name := range []string{"ada.lovelace", " Ada.LOVELACE ", "ａｄａ.lovelace"} { // letter case and width are not told apart
		in, err := w.login(name, password)
		if err != nil {
			t.Fatal(name, err)
		}
		if in.Principal.Account != ada.Account || in.Principal.Scope(organization.EditCustomers) != organization.Own || in.Position != w.head() {
			t.Error(in)
		}
		if p, err := w.Authenticate(t.Context(), in.Token, office); err != nil || p.Session != in.Principal.Session {
			t.Error(p, err)
		}
	}
	w.since(before, "account.logged_in", "account.logged_in", "account.logged_in")
	_, about, payloads := w.facts(before)
	for i, m := range about {
		if m.Actor != ada.Account || m.Session != payloads[i].(account.LoggedIn).Session || m.IP != office.IP || m.Device != office.Device || m.PolicyVersion != 1 {
			t.Errorf("%+v", m)
		}
	}
	_, err := w.login("ada.lovelace", "Correct horse battery staple 42")
	w.wantErr("passwords tell letter case apart", err, commands.ErrInvalidCredentials)
}

func TestEveryRefusalLooksTheSameAndIsRecordedAsItWas(t *testing.T) {
	w := newWorld(t)
	name := func(n string, active bool) string {
		p := w.invite(n, uuid.Nil, "sales")
		if active {
			w.activate(p.Account)
		}
		if n == "deactivated" {
			must(w.Deactivate(t.Context(), w.admin, commands.OnAccount{AccountID: p.Account}))
		}
		return n
	}
	name("known", true)
	for login, c := range map[string]struct{ password, event string }{
		"known":                     {"a wrong password", "account.login_failed"},
		name("invited", false):      {password, "account.login_refused"},
		name("deactivated", true):   {password, "account.login_refused"},
		"nobody":                    {password, "source.login_failed"},
		"":                          {"", "source.login_failed"},
		"\x00\xff":                  {"\xff", "source.login_failed"},
		strings.Repeat("x", 10_000): {strings.Repeat("y", 10_000), "source.login_failed"},
	} {
		before := w.head()
		in, err := w.login(login, c.password)
		if err != commands.ErrInvalidCredentials || in.Token != "" || in.Principal != nil {
			t.Errorf("%.20q: %v %v", login, in, err)
		}
		w.since(before, c.event)
	}
}

func TestAnAttemptOnAnUnknownNameShowsNothingOfIt(t *testing.T) {
	w := newWorld(t)
	before := w.head()
	for _, name := range []string{"my.Secret-passphrase", "moe", " MY.secret-passphrase"} {
		_, err := w.login(name, password)
		w.wantErr(name, err, commands.ErrInvalidCredentials)
	}
	_, about, payloads := w.facts(before)
	first, short, again := payloads[0].(source.LoginFailed), payloads[1].(source.LoginFailed), payloads[2].(source.LoginFailed)
	if first.NameMasked != "m…e (20)" || short.NameMasked != "… (3)" {
		t.Error(first.NameMasked, short.NameMasked)
	}
	if first.NameHash != again.NameHash || first.NameHash == short.NameHash {
		t.Error("equal names are not told to be equal, or different ones different")
	}
	if about[0].Actor != uuid.Nil || about[0].IP != office.IP || about[0].Device != office.Device {
		t.Errorf("%+v", about[0])
	}
	for _, e := range must(w.log.ReadAll(t.Context(), before, 10)) {
		if s := strings.ToLower(string(e.Data) + string(e.Meta)); strings.Contains(s, "passphrase") || strings.Contains(s, office.IP) {
			t.Error("in clear:", s)
		}
	}
}

func TestWrongPasswordsLockUntilTheirTime(t *testing.T) {
	w := newWorld(t)
	ada := w.invite("ada", uuid.Nil, "sales")
	w.activate(ada.Account)
	token := w.mustLogin("ada")
	must(w.ChangeLockoutPolicy(t.Context(), w.admin, commands.ChangeLockoutPolicy{Attempts: 2, Window: time.Minute, LockFor: time.Minute}))
	fail := func(password string) {
		t.Helper()
		_, err := w.login("ada", password)
		w.wantErr("login", err, commands.ErrInvalidCredentials)
	}
	before := w.head()
	fail("wrong")
	fail("wrong")
	fail(password)
	w.since(before, "account.login_failed", "account.login_failed", "account.locked", "account.login_refused")
	_, about, payloads := w.facts(before)
	if about[1].PolicyVersion != 2 {
		t.Error("the rule's version:", about[1].PolicyVersion)
	}
	if _, err := w.Authenticate(t.Context(), token, office); err != nil {
		t.Error("a lock by a stranger ends the sessions of the owner:", err)
	}

	before = w.head()
	w.system = must(w.System(t.Context(), commands.Home))
	must(w.EndLock(t.Context(), w.system, commands.OnAccount{AccountID: ada.Account}))
	w.since(before) // not yet
	w.now.Advance(2 * time.Minute)
	command := commands.Command{ID: uuid.New()}
	first := must(w.EndLock(t.Context(), w.system, commands.OnAccount{Command: command, AccountID: ada.Account}))
	if again := must(w.EndLock(t.Context(), w.system, commands.OnAccount{Command: command, AccountID: ada.Account})); again != first {
		t.Error(again, first)
	}
	w.since(before, "account.unlocked")
	until := payloads[2].(account.Locked).Until
	if e := must(w.log.ReadAll(t.Context(), before, 1))[0]; e.OccurredAt.Sub(until).Abs() > time.Millisecond {
		t.Error("it ended at", e.OccurredAt, "not", until)
	}
	w.mustLogin("ada")

	fail("wrong")
	fail("wrong")
	w.now.Advance(2 * time.Minute)
	before = w.head()
	w.mustLogin("ada") // before any timer
	w.since(before, "account.unlocked", "account.logged_in")

	_, err := w.EndLock(t.Context(), w.admin, commands.OnAccount{AccountID: ada.Account})
	w.wantErr("an administrator in the timer's place", err, commands.ErrForbidden)
}

func TestLoginsAtOnceAreAllRecorded(t *testing.T) {
	w := newWorld(t)
	ada := w.invite("ada", uuid.Nil, "sales")
	w.activate(ada.Account)
	before := w.head()
	tokens := make([]string, 6)
	var wg sync.WaitGroup
	for i := range tokens {
		wg.Go(func() {
			if i%2 == 1 {
				w.login("ada", "wrong")
				return
			}
			tokens[i] = w.mustLogin("ada")
		})
	}
	wg.Wait()
	types, _, _ := w.facts(before)
	slices.Sort(types)
	if want := slices.Concat(slices.Repeat([]string{"account.logged_in"}, 3), slices.Repeat([]string{"account.login_failed"}, 3)); !slices.Equal(types, want) {
		t.Error(types)
	}
	for i := 0; i < len(tokens); i += 2 {
		must(w.Authenticate(t.Context(), tokens[i], office))
	}
}

func TestTooManyFailuresOfASourceAreTurnedAway(t *testing.T) {
	w := newWorld(t)
	ada := w.invite("ada", uuid.Nil, "sales")
	w.activate(ada.Account)
	from := func(ip string) commands.Origin { return commands.Origin{IP: ip} }
	attempt := func(o commands.Origin, name, password string) error {
		_, err := w.LogIn(t.Context(), o, commands.LogIn{LoginName: name, Password: password})
		return err
	}
	w.Commands = w.another(commands.Config{Guesses: 4})
	var wg sync.WaitGroup // at once, so that none may slip through between the look and the count
	var mu sync.Mutex
	counts := map[error]int{}
	for i := range 10 {
		wg.Go(func() {
			err := attempt(from(fmt.Sprintf("2001:db8::%x", i)), fmt.Sprint("name", i), "guess")
			mu.Lock()
			counts[err]++
			mu.Unlock()
		})
	}
	wg.Wait()
	if counts[commands.ErrInvalidCredentials] != 4 || counts[commands.ErrRateLimited] != 6 {
		t.Error(counts)
	}
	for _, name := range []string{"ada", "nobody"} {
		if err := attempt(from("2001:db8::ffff"), name, password); err != commands.ErrRateLimited {
			t.Error(name, err)
		}
	}
	before := w.head()
	for range 6 { // success costs nothing
		if err := attempt(from("2001:db8:0:1::1"), "ada", password); err != nil {
			t.Error("another source:", err)
		}
	}
	w.since(before, slices.Repeat([]string{"account.logged_in"}, 6)...)
	w.now.Advance(4 * time.Minute)
	if err := attempt(from("2001:db8::1"), "ada", password); err != nil {
		t.Error("an attempt that came back with time:", err)
	}
}

// A stranger must not learn from the clock which names exist. The same work is done for both; what is measured here is
// without the floor under failures, which hides what is left.
func TestAnUnknownNameTakesAsLongAsAKnownOne(t *testing.T) {
	w := newWorld(t)
	w.hasher = auth.NewPasswords(nil, auth.HashingConfig{Memory: 16 << 10}) // a third of what is served with: other differences would show sooner
	w.Commands = w.another(commands.Config{})
	must(w.ChangeLockoutPolicy(t.Context(), w.admin, commands.ChangeLockoutPolicy{Attempts: 100, Window: time.Hour, LockFor: time.Second}))
	for _, name := range []string{"ada", "bob"} {
		w.activate(w.invite(name, uuid.Nil, "sales").Account)
	}
	measure := func(name string) time.Duration {
		w.now.Advance(time.Minute) // so that no source is turned away
		began := time.Now()
		if _, err := w.login(name, "a wrong password"); err != commands.ErrInvalidCredentials {
			t.Fatal(err)
		}
		return time.Since(began)
	}
	median := func(d []time.Duration) time.Duration { slices.Sort(d); return d[len(d)/2] }
	// Other tests run beside this one: what a busy machine did to one measurement, it does not do to five.
	for try := range 5 {
		var known, unknown []time.Duration
		for i := range 15 { // in turn, so that whatever slows the machine slows both
			known = append(known, measure([]string{"ada", "bob"}[i%2]))
			unknown = append(unknown, measure(fmt.Sprint("nobody", i)))
		}
		a, b := median(known), median(unknown)
		t.Logf("known %v, unknown %v", a, b)
		if (a - b).Abs() < max(a, b)/4 {
			return
		}
		if try == 4 {
			t.Errorf("a known name takes %v, an unknown one %v", a, b)
		}
	}
}

func TestAFailureTakesAtLeastAWhile(t *testing.T) {
	w := newWorld(t)
	c := commands.New(w.log, w.codec, w.vault, w.hasher, w.uses, commands.Config{LoginFloor: time.Second})
	began := time.Now()
	_, err := c.LogIn(t.Context(), office, commands.LogIn{LoginName: "nobody", Password: "x"})
	w.wantErr("login", err, commands.ErrInvalidCredentials)
	if d := time.Since(began); d < time.Second {
		t.Error(d)
	}
}

func TestAResentLoginOpensNothing(t *testing.T) {
	w := newWorld(t)
	w.activate(w.admin.Account)
	in := commands.LogIn{Command: commands.Command{ID: uuid.New()}, LoginName: "administrator", Password: password}
	first := must(w.LogIn(t.Context(), office, in))
	head := w.head()
	in.Password = "another"
	again, err := w.LogIn(t.Context(), office, in)
	if err != nil || again.Receipt != first.Receipt || again.Token != "" || again.Principal != nil || w.head() != head {
		t.Error(again, err)
	}
}
