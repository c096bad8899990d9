// Package vault keeps what must never stand in the log: the keys that personal
// fields are sealed with, one per data subject, and password hashes.
//
// It is a Postgres schema of its own, so that a backup of the log opens nothing.
// Everything in it is sealed with a master key from outside the database (see
// [KeySource]). Rows are written once; to delete a key is to erase its subject
// from the log for good (see [Vault.Erase]).
package vault

import (
	"cmp"
	"context"
	"crypto/cipher"
	"embed"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/annal-crm/annal/internal/migrations"
)

var (
	// ErrWrongKey reports a master key that is not the one this vault was made with.
	ErrWrongKey = errors.New("vault: this master key is not the one that the vault was made with")
	// ErrNoMasterKey reports that no master key was found for a vault that has one.
	ErrNoMasterKey = errors.New("vault: the master key is missing")
	// ErrErased reports a data subject that was erased: nothing can be sealed or opened for it any more.
	ErrErased = errors.New("vault: the subject was erased")
	// ErrNoKey reports a sealed field whose subject has no key in this vault and was not erased either: the log and the
	// vault do not belong together.
	ErrNoKey = errors.New("vault: there is no key for this subject")
	// ErrTampered reports a sealed field that was changed, or moved from where it was sealed.
	ErrTampered = errors.New("vault: a sealed field is not as it was sealed")
	// ErrNoCredential reports a credential that does not exist (any more).
	ErrNoCredential = errors.New("vault: no such credential")
	// ErrUnavailable reports that the vault's database could not be reached or did not answer.
	ErrUnavailable = errors.New("vault: unavailable")
)

// Config tunes a [Vault]; the zero value is good.
type Config struct {
	// CachedKeys bounds how many subjects' keys are held in memory, about 1.5 kB each. Default 32768: a fold
	// that meets more subjects in turn looks each key up again, which doubles its work.
	CachedKeys int
	// KeyTTL bounds for how long a key is held. Default 5 minutes.
	KeyTTL time.Duration
	// Heed is how soon an erasure by another process takes hold in this one: no key that is held is used longer than that
	// without looking whether somebody was erased. Default [Heed].
	Heed time.Duration
}

// Heed is when an erasure has taken hold in every process. To look costs one query of an index, at most so often.
const Heed = 500 * time.Millisecond

// Vault seals and opens for one log. Its methods are safe for concurrent use, by any number of processes.
type Vault struct {
	pool    *pgxpool.Pool
	wrap    cipher.AEAD // seals keys and credentials
	nameKey []byte
	cache   *cache
	heed    heed
}

// Open opens the migrated vault in pool's database with the master key from source. The first Open ever makes the vault's
// key if source holds none, and tells so: made. From then on it takes no other key ([ErrWrongKey]) and makes none, even
// where the file has been lost ([ErrNoMasterKey]).
func Open(ctx context.Context, pool *pgxpool.Pool, source KeySource, config Config) (v *Vault, made bool, err error) {
	key, made, err := settle(ctx, pool, source)
	if err != nil {
		return nil, false, err
	}
	return &Vault{
		pool:    pool,
		wrap:    newAEAD(key.derive("wrap")),
		nameKey: key.derive("names"),
		cache:   newCache(cmp.Or(config.CachedKeys, 32768), cmp.Or(config.KeyTTL, 5*time.Minute)),
		heed:    heed{every: cmp.Or(config.Heed, Heed)},
	}, made, nil
}

//go:embed migrations
var files embed.FS

// lock is the advisory lock under which the master key is made; any number that others do not use.
const lock = 0x616e6e616c76 // "annalv"

// Migrate makes the vault's schema, or brings it up to date. It is safe to call again and from several processes at once.
func Migrate(ctx context.Context, owner *pgx.Conn) error {
	return migrations.Set{Schema: "vault", Files: files}.Apply(ctx, owner)
}

// unavailable wraps an error of the database.
func unavailable(err error) error { return fmt.Errorf("%w: %w", ErrUnavailable, err) }
