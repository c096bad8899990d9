package auth

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"strings"

	"github.com/google/uuid"
)

// ErrToken reports a string that is not a token of the kind asked for.
var ErrToken = errors.New("auth: not a token")

// Secret is the part of a token that nobody can guess: 256 bits. Only its hash is kept.
type Secret [32]byte

// NewSecret returns a random secret.
func NewSecret() (s Secret) {
	rand.Read(s[:])
	return s
}

// Hash is what the log holds of a secret. A plain SHA-256 does: there is nothing to guess.
func (s Secret) Hash() [32]byte { return sha256.Sum256(s[:]) }

// Token is what a signed-in device carries: where its session is found, and the secret that proves it.
type Token struct {
	Organization, Account, Session uuid.UUID
	Secret                         Secret
}

// Activation is a one-time token that lets its holder set an account's password.
type Activation struct {
	Organization, Account uuid.UUID
	Secret                Secret
}

// The prefixes let scanners for leaked secrets find tokens, and keep the two kinds apart.
const (
	tokenPrefix      = "annal_"
	activationPrefix = "annal-activation_"
)

// String is the form that [ParseToken] reads. It is a secret.
func (t Token) String() string {
	return encode(tokenPrefix, t.Organization[:], t.Account[:], t.Session[:], t.Secret[:])
}

// ParseToken reads the one spelling of a token; anything else is [ErrToken].
func ParseToken(s string) (t Token, err error) {
	err = decode(s, tokenPrefix, t.Organization[:], t.Account[:], t.Session[:], t.Secret[:])
	return t, err
}

// String is the form that [ParseActivation] reads. It is a secret.
func (a Activation) String() string {
	return encode(activationPrefix, a.Organization[:], a.Account[:], a.Secret[:])
}

// ParseActivation reads the one spelling of an activation token; anything else is [ErrToken].
func ParseActivation(s string) (a Activation, err error) {
	err = decode(s, activationPrefix, a.Organization[:], a.Account[:], a.Secret[:])
	return a, err
}

// strict refuses spellings that differ only in bits which mean nothing.
var strict = base64.RawURLEncoding.Strict()

func encode(prefix string, parts ...[]byte) string {
	var b []byte
	for _, part := range parts {
		b = append(b, part...)
	}
	return prefix + strict.EncodeToString(b)
}

func decode(s, prefix string, parts ...[]byte) error {
	text, ok := strings.CutPrefix(s, prefix)
	if !ok || strings.ContainsAny(text, "\r\n") { // which base64 would skip
		return ErrToken
	}
	size := 0
	for _, part := range parts {
		size += len(part)
	}
	if len(text) != strict.EncodedLen(size) {
		return ErrToken
	}
	b, err := strict.DecodeString(text)
	if err != nil {
		return ErrToken
	}
	for _, part := range parts {
		b = b[copy(part, b):]
	}
	return nil
}
