package vault

import (
	"context"
	"crypto/rand"
	"fmt"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// Subject is the person, or the other bearer of personal data, that a key belongs to: an account, a customer, a source.
type Subject struct{ Organization, ID uuid.UUID }

// Key returns the key of a subject for sealing. A new subject's key is made, and durable before it is returned.
// An erased subject gets none: [ErrErased].
func (v *Vault) Key(ctx context.Context, s Subject) (*Key, error) {
	keys, err := v.Keys(ctx, s)
	if err != nil {
		return nil, err
	}
	if keys[0] == nil {
		raw := make([]byte, 32)
		rand.Read(raw)
		// Another process may make it at the same time: whichever row is there first is the key.
		if _, err := v.pool.Exec(ctx, `insert into vault.keys (organization, subject, wrapped) values ($1, $2, $3) on conflict do nothing`,
			s.Organization, s.ID, v.seal(raw, s.Organization, s.ID)); err != nil {
			return nil, unavailable(err)
		}
		if keys, err = v.Keys(ctx, s); err != nil {
			return nil, err
		}
	}
	switch key := keys[0]; {
	case key == nil:
		return nil, fmt.Errorf("%w: %s was written but is not there", ErrNoKey, s.ID)
	case key.Erased():
		return nil, ErrErased
	default:
		return key, nil
	}
}

// selectKeys looks each key up by itself: a plain join, of whose rows Postgres knows nothing, may read the whole table.
const selectKeys = `select w.n, k.wrapped from unnest($1::uuid[], $2::uuid[]) with ordinality as w (organization, subject, n)
	cross join lateral (select wrapped from vault.keys where organization = w.organization and subject = w.subject limit 1) k`

// Keys returns the keys of subjects, in their order, by one query for those it does not hold, and another one now and then. An erased subject's is one that
// opens nothing; that of a subject that never had one is nil.
func (v *Vault) Keys(ctx context.Context, subjects ...Subject) ([]*Key, error) {
	if err := v.heedErasures(ctx); err != nil {
		return nil, err
	}
	keys, missing := v.cache.get(subjects)
	if len(missing) == 0 {
		return keys, nil
	}
	var wanted []Subject
	var organizations, ids [][16]byte // pgx takes a detour with []uuid.UUID
	seen := make(map[Subject]struct{}, len(missing))
	for _, at := range missing {
		s := subjects[at]
		if _, ok := seen[s]; !ok {
			seen[s] = struct{}{}
			wanted, organizations, ids = append(wanted, s), append(organizations, s.Organization), append(ids, s.ID)
		}
	}
	asked := time.Now()
	rows, err := v.pool.Query(ctx, selectKeys, organizations, ids)
	if err != nil {
		return nil, unavailable(err)
	}
	var n int
	var wrapped []byte
	var tampered error
	loaded := make(map[Subject]*Key, len(wanted))
	if _, err := pgx.ForEachRow(rows, []any{&n, &wrapped}, func() error {
		s := wanted[n-1]
		if wrapped == nil {
			loaded[s] = &Key{}
		} else if raw, err := v.open(wrapped, s.Organization, s.ID); err != nil {
			tampered = fmt.Errorf("%w: the key of %s", ErrTampered, s.ID)
		} else {
			loaded[s] = &Key{newAEAD(raw)}
		}
		return nil
	}); err != nil {
		return nil, unavailable(err)
	}
	if tampered != nil {
		return nil, tampered
	}
	v.cache.put(loaded, asked)
	for _, at := range missing {
		keys[at] = loaded[subjects[at]]
	}
	return keys, nil
}

// Erase deletes a subject's key and credentials, for good: what was sealed for it can never be opened again, and nothing can
// be sealed for it. This process knows at once, others within [Config.Heed]. To erase again changes nothing. Dead rows hold the
// key until they are vacuumed away.
func (v *Vault) Erase(ctx context.Context, s Subject) error {
	// What a person did outside of its organization is sealed under the zero organization.
	subjects := []Subject{s, {ID: s.ID}}
	err := pgx.BeginFunc(ctx, v.pool, func(tx pgx.Tx) error {
		for _, s := range subjects {
			if _, err := tx.Exec(ctx, `insert into vault.keys (organization, subject, erased_at) values ($1, $2, now())
				on conflict (organization, subject) do update set wrapped = null, erased_at = coalesce(keys.erased_at, excluded.erased_at)`,
				s.Organization, s.ID); err != nil {
				return err
			}
		}
		_, err := tx.Exec(ctx, `delete from vault.credentials where account = $1`, s.ID)
		return err
	})
	if err != nil {
		return unavailable(err)
	}
	v.cache.drop(subjects)
	return nil
}

// cache holds keys: at most two generations of half its size. A key in use moves to the young generation; when that is
// full it becomes the old one, and the old one is gone. So hardly used keys leave first, at no cost per use.
type cache struct {
	half int
	ttl  time.Duration

	mu         sync.Mutex
	young, old map[Subject]*Key
	born       time.Time // of the oldest key
	erasedAt   time.Time // of the newest erasure
}

func newCache(size int, life time.Duration) *cache {
	return &cache{half: max(size/2, 1), ttl: life, young: make(map[Subject]*Key), born: time.Now()}
}

// get returns the keys that are held, in the order of subjects, and where one is missing.
func (c *cache) get(subjects []Subject) (keys []*Key, missing []int) {
	keys = make([]*Key, len(subjects))
	c.mu.Lock()
	defer c.mu.Unlock()
	if time.Since(c.born) > c.ttl {
		clear(c.young)
		c.old, c.born = nil, time.Now()
	}
	for i, s := range subjects {
		if i > 0 && s == subjects[i-1] { // one actor often does many things in a row
			keys[i] = keys[i-1]
		} else if keys[i] = c.young[s]; keys[i] == nil {
			if keys[i] = c.old[s]; keys[i] != nil {
				c.add(s, keys[i])
			}
		}
		if keys[i] == nil {
			missing = append(missing, i)
		}
	}
	return keys, missing
}

// put keeps keys that were asked for at a time, unless a subject was erased since: they may be its.
func (c *cache) put(keys map[Subject]*Key, asked time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.erasedAt.After(asked) {
		return
	}
	for s, key := range keys {
		c.add(s, key)
	}
}

func (c *cache) add(s Subject, key *Key) {
	if len(c.young) >= c.half {
		c.old, c.young = c.young, make(map[Subject]*Key, c.half)
	}
	c.young[s] = key
}

func (c *cache) drop(subjects []Subject) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.erasedAt = time.Now()
	for _, s := range subjects {
		delete(c.young, s)
		delete(c.old, s)
	}
}
