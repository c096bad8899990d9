package whatif_test

import (
	"errors"
	"testing"
	"time"

	"github.com/annal-crm/annal/commands"
	"github.com/annal-crm/annal/domain/organization"
	"github.com/annal-crm/annal/history/whatif"
)

// What docs/audit.md says an attempt counts as: refused at a locked account as a wrong password, at a closed one as an attempt and
// no more, on a name that nobody has as none.
func TestWhatAnAttemptCountsAs(t *testing.T) {
	w := newWorld(t)
	w.register()
	ctx := t.Context()
	must(w.ChangeLockoutPolicy(ctx, w.system, commands.ChangeLockoutPolicy{Attempts: 1, Window: time.Minute, LockFor: 30 * time.Minute}))
	try := func(name, password string) {
		t.Helper()
		if _, err := w.LogIn(ctx, commands.Origin{IP: "192.0.2.1"}, commands.LogIn{LoginName: name, Password: password}); err != nil && !errors.Is(err, commands.ErrInvalidCredentials) {
			t.Fatal(err)
		}
		w.now = w.now.Add(time.Minute)
	}
	ada := must(w.Invite(ctx, w.system, commands.Invite{LoginName: "ada", DisplayName: "Ada"})).ID
	must(w.Invite(ctx, w.system, commands.Invite{LoginName: "eve", DisplayName: "Eve"})) // never activated
	must(w.ActivateAccount(ctx, commands.Origin{}, commands.ActivateAccount{Token: must(w.IssueActivation(ctx, w.system, commands.OnAccount{AccountID: ada})).Token, Password: password}))
	try("ada", "wrong") // locked, for what follows
	for range 2 {
		try("ada", password)
	}
	for range 3 {
		try("eve", "wrong")
		try("nobody", "wrong")
	}
	h := must(whatif.Read(ctx, w.log, w.codec, ""))
	if h.Attempts != 6 || h.Accounts != 2 || len(h.Happened.Locks) != 1 || h.Happened.RefusedWhileLocked != 2 {
		t.Fatalf("%+v", h)
	}
	// A milder rule: the two right passwords that were refused count as wrong ones.
	milder := must(h.Try(ctx, organization.Lockout{Attempts: 3, Window: 10 * time.Minute, LockFor: 5 * time.Minute}))
	if len(milder.Locks) != 1 || milder.Locks[0].Account != ada || !milder.Locks[0].From.Equal(h.First.Add(2*time.Minute)) {
		t.Errorf("%+v", milder)
	}
	// The mildest locks nobody; not even who has been refused three times, or was never there.
	if none := must(h.Try(ctx, organization.Lockout{Attempts: 4, Window: 10 * time.Minute, LockFor: 5 * time.Minute})); len(none.Locks) != 0 || none.RefusedWhileLocked != 0 {
		t.Errorf("%+v", none)
	}
}
