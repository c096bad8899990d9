package vault

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
)

// Fingerprint returns the SHA-256 of a subject's key, for the certificate of its erasure: it tells a key that is found in a
// backup apart from others, and nothing about it. It is zero if there is no key, or none any more.
func (v *Vault) Fingerprint(ctx context.Context, s Subject) (print [32]byte, err error) {
	var wrapped []byte
	err = v.pool.QueryRow(ctx, `select wrapped from vault.keys where organization = $1 and subject = $2`, s.Organization, s.ID).Scan(&wrapped)
	if errors.Is(err, pgx.ErrNoRows) || err == nil && wrapped == nil {
		return print, nil
	}
	if err != nil {
		return print, unavailable(err)
	}
	raw, err := v.open(wrapped, s.Organization, s.ID)
	if err != nil {
		return print, fmt.Errorf("%w: the key of %s", ErrTampered, s.ID)
	}
	return sha256.Sum256(raw), nil
}

// Erased tells which of some subjects, in their order, nothing can be opened or sealed for any more. One that was erased has its
// key again when the vault was restored from an older backup.
func (v *Vault) Erased(ctx context.Context, subjects []Subject) ([]bool, error) {
	organizations, ids := make([][16]byte, len(subjects)), make([][16]byte, len(subjects))
	for i, s := range subjects {
		organizations[i], ids[i] = s.Organization, s.ID
	}
	// Both keys, see Erase; and no credential.
	rows, err := v.pool.Query(ctx, `select exists (select from vault.keys k where k.organization = w.organization and k.subject = w.subject and k.wrapped is null)
			and not exists (select from vault.keys k where k.organization = '00000000-0000-0000-0000-000000000000' and k.subject = w.subject and k.wrapped is not null)
			and not exists (select from vault.credentials c where c.account = w.subject)
		from unnest($1::uuid[], $2::uuid[]) with ordinality as w (organization, subject, n) order by n`, organizations, ids)
	if err != nil {
		return nil, unavailable(err)
	}
	erased, err := pgx.CollectRows(rows, pgx.RowTo[bool])
	if err != nil {
		return nil, unavailable(err)
	}
	return erased, nil
}

// heed remembers up to when erasures by others are known.
type heed struct {
	every time.Duration

	mu     sync.Mutex
	looked time.Time // by the clock of this machine
	until  *time.Time
}

// overlap is how far back each look goes behind the one before: an erasure becomes visible a little after the time it bears.
const overlap = "1 minute"

// heedErasures drops the keys that others have erased. If it cannot look in time, nothing can be opened: to go on with what is
// held could open what was erased.
func (v *Vault) heedErasures(ctx context.Context) error {
	h := &v.heed
	h.mu.Lock()
	defer h.mu.Unlock()
	now := time.Now()
	if now.Sub(h.looked) < h.every {
		return nil
	}
	var until time.Time
	var organizations, ids [][16]byte
	err := v.pool.QueryRow(ctx, `select clock_timestamp(), coalesce(array_agg(organization), '{}'), coalesce(array_agg(subject), '{}')
		from vault.keys where erased_at > coalesce($1, clock_timestamp()) - interval '`+overlap+`'`, h.until).Scan(&until, &organizations, &ids)
	if err != nil {
		return unavailable(err)
	}
	subjects := make([]Subject, len(ids))
	for i := range ids {
		subjects[i] = Subject{Organization: organizations[i], ID: ids[i]}
	}
	if len(subjects) > 0 {
		v.cache.drop(subjects)
	}
	h.looked, h.until = now, &until
	return nil
}
