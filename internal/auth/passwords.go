package auth

import (
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/argon2"
	"golang.org/x/text/unicode/norm"
)

// ErrBusy reports that too many passwords are being checked at once: the caller may try again later.
var ErrBusy = errors.New("auth: too many passwords at once")

// The cost of new hashes: ASVS 5.0, appendix C.
const (
	memory  = 46 << 10 // KiB, by default
	passes  = 1
	lanes   = 1
	saltLen = 16
	hashLen = 32
)

// HashingConfig bounds the work on passwords. The zero value is fit to serve.
type HashingConfig struct {
	Slots  int           // computations at once; default: GOMAXPROCS
	Line   int           // how many may wait for a slot; default 128
	Wait   time.Duration // how long one waits at most; default 5 s
	Memory int           // KiB of a computation; default 46 MiB, less is for tests
}

// Passwords hashes passwords with argon2id. The work of a flood is bounded: a few computations at once, a short line, and
// for everybody else [ErrBusy]. It is safe for concurrent use.
type Passwords struct {
	pepper  []byte
	memory  uint32
	slots   chan struct{}
	line    int64
	waiting atomic.Int64
	wait    time.Duration
	dummy   string
}

// NewPasswords returns a hasher. The pepper is a secret from outside the database, always the same: without it no hash
// verifies.
func NewPasswords(pepper []byte, cfg HashingConfig) *Passwords {
	p := &Passwords{
		pepper: pepper,
		memory: uint32(cmp.Or(cfg.Memory, memory)),
		slots:  make(chan struct{}, cmp.Or(cfg.Slots, runtime.GOMAXPROCS(0))),
		line:   int64(cmp.Or(cfg.Line, 128)),
		wait:   cmp.Or(cfg.Wait, 5*time.Second),
	}
	p.dummy = p.encode(rand.Text())
	return p
}

// Dummy is a hash that no password known to anybody fits. Verifying against it costs what a real one costs.
func (p *Passwords) Dummy() string { return p.dummy }

// Hash returns the PHC string of a password, with a salt of its own. Errors: [ErrBusy], or that of ctx.
func (p *Passwords) Hash(ctx context.Context, password string) (string, error) {
	if err := p.enter(ctx); err != nil {
		return "", err
	}
	defer p.leave()
	return p.encode(password), nil
}

// Verify reports whether a password fits a hash made by [Passwords.Hash]. Errors: [ErrBusy], that of ctx, or a hash that is
// none.
func (p *Passwords) Verify(ctx context.Context, hash, password string) (bool, error) {
	parts := strings.Split(hash, "$")
	var version int
	var m, t uint32
	var lanes uint8
	if len(parts) != 6 || parts[1] != "argon2id" {
		return false, errors.New("auth: not an argon2id hash")
	}
	if _, err := fmt.Sscanf(parts[2]+" "+parts[3], "v=%d m=%d,t=%d,p=%d", &version, &m, &t, &lanes); err != nil || version != argon2.Version {
		return false, errors.New("auth: unknown parameters of an argon2id hash")
	}
	salt, err := base64.RawStdEncoding.DecodeString(parts[4])
	if err != nil {
		return false, fmt.Errorf("auth: salt: %w", err)
	}
	want, err := base64.RawStdEncoding.DecodeString(parts[5])
	if err != nil || len(want) < hashLen { // an empty one would fit any password
		return false, errors.New("auth: the hash is damaged")
	}
	if err := p.enter(ctx); err != nil {
		return false, err
	}
	defer p.leave()
	got := argon2.IDKey(p.prepare(password), salt, t, m, lanes, uint32(len(want)))
	return subtle.ConstantTimeCompare(got, want) == 1, nil
}

func (p *Passwords) encode(password string) string {
	salt := make([]byte, saltLen)
	rand.Read(salt)
	hash := argon2.IDKey(p.prepare(password), salt, passes, p.memory, lanes, hashLen)
	b64 := base64.RawStdEncoding.EncodeToString
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, p.memory, passes, lanes, b64(salt), b64(hash))
}

// prepare peppers a password. Keyboards and systems spell the same character differently, so it is brought to NFC first;
// nothing else about it is changed.
func (p *Passwords) prepare(password string) []byte {
	mac := hmac.New(sha256.New, p.pepper)
	mac.Write([]byte(norm.NFC.String(password)))
	return mac.Sum(nil)
}

func (p *Passwords) enter(ctx context.Context) error {
	select {
	case p.slots <- struct{}{}:
		return nil
	default:
	}
	defer p.waiting.Add(-1)
	if p.waiting.Add(1) > p.line {
		return ErrBusy
	}
	timer := time.NewTimer(p.wait)
	defer timer.Stop()
	select {
	case p.slots <- struct{}{}:
		return nil
	case <-timer.C:
		return ErrBusy
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (p *Passwords) leave() { <-p.slots }
