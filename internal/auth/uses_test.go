package auth

import (
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/annal-crm/annal/internal/pgtest"
)

func TestUsesOutliveTheProcess(t *testing.T) {
	pool := pgtest.New(t, Migrate, Migrate)
	session, other := uuid.New(), uuid.New()
	now := time.Now().UTC().Truncate(time.Microsecond)

	first := OpenUses(pool)
	first.Used(session, now.Add(-time.Hour))
	first.Used(session, now.Add(-2*time.Hour)) // late news change nothing
	if last, err := first.Last(t.Context(), session, now); err != nil || !last.Equal(now.Add(-time.Hour)) {
		t.Fatal(last, err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}

	second := OpenUses(pool)
	defer second.Close()
	if last, err := second.Last(t.Context(), session, now); err != nil || !last.Equal(now.Add(-time.Hour)) {
		t.Fatal("the next process does not know:", last, err)
	}
	if last, err := second.Last(t.Context(), other, now); err != nil || !last.IsZero() {
		t.Fatal("a session never used:", last, err)
	}
}

func TestAUseIsWrittenOnceAMinute(t *testing.T) {
	pool := pgtest.New(t, Migrate)
	u := OpenUses(pool)
	defer u.Close()
	session, now := uuid.New(), time.Now().UTC().Truncate(time.Microsecond)
	stored := func() (at time.Time) {
		t.Helper()
		if err := pool.QueryRow(t.Context(), `select coalesce(max(last_use), '0001-01-01Z') from auth.session_use`).Scan(&at); err != nil {
			t.Fatal(err)
		}
		return at.UTC()
	}
	flush := func(at time.Time) {
		t.Helper()
		if err := u.write(at.Add(-useGrain)); err != nil {
			t.Fatal(err)
		}
	}
	u.Used(session, now)
	flush(now)
	if !stored().Equal(now) {
		t.Fatal("the first use is not written:", stored())
	}
	u.Used(session, now.Add(30*time.Second))
	flush(now.Add(31 * time.Second))
	if !stored().Equal(now) {
		t.Fatal("written twice a minute:", stored())
	}
	flush(now.Add(61 * time.Second))
	if !stored().Equal(now.Add(30 * time.Second)) {
		t.Fatal("never written:", stored())
	}

	later := now.Add(useKept + time.Hour)
	u.Used(uuid.New(), later)
	flush(later.Add(useGrain))
	var rows int
	if err := pool.QueryRow(t.Context(), `select count(*) from auth.session_use`).Scan(&rows); err != nil || rows != 1 || len(u.seen) != 1 {
		t.Error("old uses stay:", rows, len(u.seen), err)
	}
}

func TestAForgottenSessionIsNotWritten(t *testing.T) {
	u := OpenUses(pgtest.New(t, Migrate))
	defer u.Close()
	session, now := uuid.New(), time.Now()
	u.Used(session, now)
	u.Forget(session)
	if err := u.write(now); err != nil {
		t.Fatal(err)
	}
	if last, err := u.Last(t.Context(), session, now); err != nil || !last.IsZero() {
		t.Error(last, err)
	}
}
