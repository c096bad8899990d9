package vault

import (
	"context"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"sync"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/annal-crm/annal/eventlog"
)

// The stored form of a sealed field: {"sealed":"<base64 of nonce and ciphertext>"}.
const (
	SealedPrefix = `{"sealed":"`
	sealedSuffix = `"}`
)

// Place is where a field is sealed. It can be opened nowhere else.
type Place struct {
	Stream eventlog.Stream
	Type   string // of the event
	Field  string // its JSON name
}

// appendTo appends the place in a form that differs for different places: the names hold no zero byte.
func (p Place) appendTo(b []byte) []byte {
	b = append(b, p.Stream.Organization[:]...)
	b = append(b, p.Stream.ID[:]...)
	for _, name := range [...]string{p.Stream.Category, p.Type, p.Field} {
		b = append(append(b, name...), 0)
	}
	return b
}

// Key seals and opens the personal fields of one subject. It is safe for concurrent use.
type Key struct{ aead cipher.AEAD }

// Erased reports whether the key is gone, for good.
func (k *Key) Erased() bool { return k.aead == nil }

const nonceSize = 12 // of AES-GCM; random: a subject has far fewer than 2^32 fields (NIST SP 800-38D, 8.3)

// Seal appends the stored form of a field's value to dst. The key must not be erased.
func (k *Key) Seal(dst []byte, p Place, value []byte) []byte {
	var aad [256]byte
	buf := make([]byte, nonceSize, nonceSize+len(value)+16)
	rand.Read(buf)
	buf = k.aead.Seal(buf, buf, value, p.appendTo(aad[:0]))
	dst = append(dst, SealedPrefix...)
	dst = base64.StdEncoding.AppendEncode(dst, buf)
	return append(dst, sealedSuffix...)
}

// Open appends the value of a field to dst, given its stored form. The error is [ErrErased] or [ErrTampered].
func (k *Key) Open(dst []byte, p Place, stored []byte) ([]byte, error) {
	if k.Erased() {
		return dst, ErrErased
	}
	const frame = len(SealedPrefix) + len(sealedSuffix)
	if len(stored) < frame || string(stored[:len(SealedPrefix)]) != SealedPrefix || string(stored[len(stored)-len(sealedSuffix):]) != sealedSuffix {
		return dst, fmt.Errorf("%w: %s of %s", ErrTampered, p.Field, p.Type)
	}
	scratch := scratches.Get().(*[]byte) // what goes through an interface would else be allocated each time
	defer scratches.Put(scratch)
	place := p.appendTo((*scratch)[:0])
	both, err := base64.StdEncoding.Strict().AppendDecode(place, stored[len(SealedPrefix):len(stored)-len(sealedSuffix)])
	*scratch = both[:0]
	sealed := both[len(place):]
	if err != nil || len(sealed) < nonceSize {
		return dst, fmt.Errorf("%w: %s of %s", ErrTampered, p.Field, p.Type)
	}
	value, err := k.aead.Open(dst, sealed[:nonceSize], sealed[nonceSize:], both[:len(place)])
	if err != nil {
		return dst, fmt.Errorf("%w: %s of %s in %s %s", ErrTampered, p.Field, p.Type, p.Stream.Category, p.Stream.ID)
	}
	return value, nil
}

var scratches = sync.Pool{New: func() any { b := make([]byte, 0, 512); return &b }}

// PutCredential keeps the password hash of an account and returns its id, for an event to name. Once it returns the hash is
// durable. One that no event names is harmless.
func (v *Vault) PutCredential(ctx context.Context, account uuid.UUID, hash string) (uuid.UUID, error) {
	id := uuid.New()
	if _, err := v.pool.Exec(ctx, `insert into vault.credentials (id, account, wrapped) values ($1, $2, $3)`,
		id, account, v.seal([]byte(hash), id, account)); err != nil {
		return uuid.Nil, unavailable(err)
	}
	return id, nil
}

// Credential returns a password hash: [ErrNoCredential] if there is not one of this id.
func (v *Vault) Credential(ctx context.Context, id uuid.UUID) (string, error) {
	var account uuid.UUID
	var wrapped []byte
	err := v.pool.QueryRow(ctx, `select account, wrapped from vault.credentials where id = $1`, id).Scan(&account, &wrapped)
	if errors.Is(err, pgx.ErrNoRows) {
		return "", fmt.Errorf("%w: %s", ErrNoCredential, id)
	}
	if err != nil {
		return "", unavailable(err)
	}
	hash, err := v.open(wrapped, id, account)
	if err != nil {
		return "", fmt.Errorf("%w: credential %s", ErrTampered, id)
	}
	return string(hash), nil
}

// NameID returns the id under which a normalised name of a kind is reserved. Without the master key nobody can tell which
// name it is of, nor try names.
func (v *Vault) NameID(kind, normalised string) uuid.UUID {
	h := v.nameMAC("id", kind, normalised)
	id := uuid.UUID(h[:16])
	id[6], id[8] = id[6]&0x0f|0x80, id[8]&0x3f|0x80 // version 8: made by a rule of our own (RFC 9562)
	return id
}

// NameHash tells equal names apart from different ones, and no more, to those without the master key.
func (v *Vault) NameHash(kind, normalised string) [32]byte {
	return v.nameMAC("hash", kind, normalised)
}

func (v *Vault) nameMAC(use, kind, name string) (sum [32]byte) {
	h := hmac.New(sha256.New, v.nameKey)
	for _, s := range [...]string{use, kind, name} {
		fmt.Fprintf(h, "%d:%s", len(s), s)
	}
	return [32]byte(h.Sum(nil))
}

// seal wraps a row's secret with the master key, bound to the row's ids.
func (v *Vault) seal(secret []byte, a, b uuid.UUID) []byte {
	buf := make([]byte, nonceSize, nonceSize+len(secret)+16)
	rand.Read(buf)
	return v.wrap.Seal(buf, buf, secret, append(a[:], b[:]...))
}

func (v *Vault) open(wrapped []byte, a, b uuid.UUID) ([]byte, error) {
	if len(wrapped) < nonceSize {
		return nil, ErrTampered
	}
	return v.wrap.Open(nil, wrapped[:nonceSize], wrapped[nonceSize:], append(a[:], b[:]...))
}
