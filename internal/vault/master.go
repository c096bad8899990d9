package vault

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/annal-crm/annal/internal/keyfile"
)

// KeySource says where the master key is: 32 random bytes in base64. Whoever has it and the database reads everything;
// whoever loses it loses every name, e-mail and address in the log.
type KeySource struct {
	Value string // the key itself (ANNAL_MASTER_KEY); wins over File
	File  string // a file with the key; made on the first start, mode 0600, never overwritten
}

// NewMasterKey returns a new key, as [KeySource] takes it.
func NewMasterKey() string { return newMasterKey().String() }

type masterKey [32]byte

func newMasterKey() (k masterKey) {
	rand.Read(k[:]) // never fails, says its documentation
	return k
}

func (k masterKey) String() string { return base64.StdEncoding.EncodeToString(k[:]) }

// derive returns a 32-byte key for one purpose: what one of them leaks says nothing about the others.
func (k masterKey) derive(purpose string) []byte {
	derived, err := hkdf.Key(sha256.New, k[:], nil, "annal vault v1: "+purpose, 32)
	if err != nil {
		panic(err) // only if 32 bytes were too long
	}
	return derived
}

func parseMasterKey(s, from string) (k masterKey, err error) {
	b, err := base64.StdEncoding.DecodeString(strings.TrimSpace(s))
	if err != nil || len(b) != len(k) {
		return k, fmt.Errorf("vault: the master key in %s is not base64 of 32 bytes", from)
	}
	copy(k[:], b)
	return k, nil
}

// load reads the key; fs.ErrNotExist if there is not one.
func (s KeySource) load() (masterKey, error) {
	if s.Value != "" {
		return parseMasterKey(s.Value, "the environment")
	}
	if s.File == "" {
		return masterKey{}, fs.ErrNotExist
	}
	b, err := os.ReadFile(s.File)
	if err != nil {
		return masterKey{}, fmt.Errorf("vault: read the master key: %w", err)
	}
	return parseMasterKey(string(b), s.File)
}

// make writes a new key.
func (s KeySource) make() (masterKey, error) {
	key := newMasterKey()
	if s.File == "" {
		return key, fmt.Errorf("%w: neither a value nor a file was given", ErrNoMasterKey)
	}
	if err := keyfile.Make(s.File, key.String()+"\n"); err != nil {
		return key, fmt.Errorf("vault: make the master key: %w", err)
	}
	return key, nil
}

// settle returns the vault's master key. Only for a vault that has never had one it makes it, under a lock: of several
// processes that start together one makes the key.
func settle(ctx context.Context, pool *pgxpool.Pool, source KeySource) (key masterKey, made bool, err error) {
	verifier, err := readVerifier(ctx, pool)
	if errors.Is(err, pgx.ErrNoRows) {
		return settleFirst(ctx, pool, source)
	}
	if err != nil {
		return key, false, err
	}
	key, err = source.check(verifier)
	return key, false, err
}

func settleFirst(ctx context.Context, pool *pgxpool.Pool, source KeySource) (key masterKey, made bool, err error) {
	tx, err := pool.Begin(ctx)
	if err != nil {
		return key, false, unavailable(err)
	}
	defer tx.Rollback(ctx)
	if _, err := tx.Exec(ctx, `select pg_advisory_xact_lock($1)`, int64(lock)); err != nil {
		return key, false, unavailable(err)
	}
	verifier, err := readVerifier(ctx, tx)
	if err == nil { // another process was faster
		key, err = source.check(verifier)
		return key, false, err
	}
	if !errors.Is(err, pgx.ErrNoRows) {
		return key, false, err
	}
	key, err = source.load()
	if errors.Is(err, fs.ErrNotExist) {
		made = true
		key, err = source.make()
	}
	if err != nil {
		return key, false, err
	}
	if _, err := tx.Exec(ctx, `insert into vault.master (verifier) values ($1)`, key.derive("verifier")); err != nil {
		return key, false, unavailable(err)
	}
	if err := tx.Commit(ctx); err != nil {
		return key, false, unavailable(err)
	}
	return key, made, nil
}

// check loads the key and compares it with the vault's.
func (s KeySource) check(verifier []byte) (masterKey, error) {
	key, err := s.load()
	if errors.Is(err, fs.ErrNotExist) {
		return key, fmt.Errorf("%w: this vault has one, but it was not given and there is no file %q; put it back", ErrNoMasterKey, s.File)
	}
	if err != nil {
		return key, err
	}
	if subtle.ConstantTimeCompare(key.derive("verifier"), verifier) != 1 {
		return masterKey{}, ErrWrongKey
	}
	return key, nil
}

func readVerifier(ctx context.Context, db interface {
	QueryRow(context.Context, string, ...any) pgx.Row
}) (verifier []byte, err error) {
	err = db.QueryRow(ctx, `select verifier from vault.master`).Scan(&verifier)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return nil, unavailable(err)
	}
	return verifier, err
}

func newAEAD(key []byte) cipher.AEAD {
	block, err := aes.NewCipher(key)
	if err != nil {
		panic(err) // only for a wrong length
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		panic(err)
	}
	return aead
}
