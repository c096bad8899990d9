package transparency

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/google/uuid"
	"golang.org/x/mod/sumdb/note"

	"github.com/annal-crm/annal/internal/keyfile"
)

// KeySource says where the key is that checkpoints are signed with: the 32 bytes of an Ed25519 seed in base64. Whoever has
// it can sign a forged log; whoever loses it must replace it ([Tree.Replace]), and everything signed stays good.
type KeySource struct {
	Value string // the key itself (ANNAL_CHECKPOINT_KEY); wins over File
	File  string // a file with the key; made on the first start, mode 0600, never overwritten
}

// NewKey returns a new key, as [KeySource] takes it.
func NewKey() string {
	seed := make([]byte, ed25519.SeedSize)
	rand.Read(seed) // never fails, says its documentation
	return base64.StdEncoding.EncodeToString(seed)
}

// load reads the key; fs.ErrNotExist if there is not one.
func (s KeySource) load() (ed25519.PrivateKey, error) {
	value, from := s.Value, "the environment"
	if value == "" {
		if s.File == "" {
			return nil, fs.ErrNotExist
		}
		b, err := os.ReadFile(s.File)
		if err != nil {
			return nil, fmt.Errorf("transparency: read the checkpoint key: %w", err)
		}
		value, from = string(b), s.File
	}
	seed, err := base64.StdEncoding.DecodeString(strings.TrimSpace(value))
	if err != nil || len(seed) != ed25519.SeedSize {
		return nil, fmt.Errorf("transparency: the checkpoint key in %s is not base64 of %d bytes", from, ed25519.SeedSize)
	}
	return ed25519.NewKeyFromSeed(seed), nil
}

// loadOrMake makes a key where there is none.
func (s KeySource) loadOrMake() (private ed25519.PrivateKey, made bool, err error) {
	private, err = s.load()
	if !errors.Is(err, fs.ErrNotExist) {
		return private, false, err
	}
	if s.File == "" {
		return nil, false, fmt.Errorf("%w: neither a value nor a file was given", ErrNoKey)
	}
	err = keyfile.Make(s.File, NewKey()+"\n")
	if err != nil && !errors.Is(err, fs.ErrExist) { // if it exists, another process was faster
		return nil, false, fmt.Errorf("%w, and cannot be made: %w", ErrNoKey, err)
	}
	made = err == nil
	private, err = s.load()
	return private, made, err
}

// named returns what signs notes under a name with a private key, and the verifier key that goes with it.
func named(name string, private ed25519.PrivateKey) (signer note.Signer, public string, err error) {
	public, err = note.NewEd25519VerifierKey(name, private.Public().(ed25519.PublicKey))
	if err != nil {
		return nil, "", err
	}
	// The form of sumdb/note: the name, the hash of the public key, the algorithm and the seed.
	hash := strings.Split(public, "+")[1]
	seed := base64.StdEncoding.EncodeToString(append([]byte{1}, private.Seed()...))
	signer, err = note.NewSigner("PRIVATE+KEY+" + name + "+" + hash + "+" + seed)
	return signer, public, err
}

// settle finds the tree's key. Only for a tree that has never had one it makes it.
func (t *Tree) settle(ctx context.Context) (made bool, err error) {
	c, err := t.chain(ctx, t.pool)
	if err != nil {
		return false, err
	}
	s := &signing{recorded: c.current()}
	defer func() {
		if err == nil {
			t.signing.Store(s)
		}
	}()
	var private ed25519.PrivateKey
	if was, err := t.renamed(ctx); err != nil {
		return false, err
	} else if was != uuid.Nil { // nothing begins anew under the other one
		s.noKey = fmt.Errorf("%w: %s", ErrForked, t.changedFrom(was))
		if private, err = t.source.load(); err == nil {
			_, s.public, err = named(t.Origin(), private)
		} else if errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
		return false, err
	}
	if s.recorded != "" {
		s.public = s.recorded
		private, err = t.source.load()
		if errors.Is(err, fs.ErrNotExist) {
			s.noKey = fmt.Errorf("%w: this tree has one, but it was not given and there is no file %q; put it back, or replace it: annal audit keys --replace", ErrNoKey, t.source.File)
			return false, nil
		}
	} else if private, made, err = t.source.loadOrMake(); errors.Is(err, ErrNoKey) { // then there is no tree either, until a process comes that has one
		s.noKey = err
		return false, nil
	}
	if err != nil {
		return false, err
	}
	var public string
	if s.key, public, err = named(t.Origin(), private); err != nil {
		return made, err
	}
	if s.recorded == "" {
		if _, err := t.pool.Exec(ctx, `insert into transparency.trees (log, key) values ($1, $2) on conflict do nothing`, t.id, public); err != nil {
			return made, unavailable(err)
		}
		if c, err = t.chain(ctx, t.pool); err != nil {
			return made, err
		}
		s.recorded = c.current()
	}
	s.public = public // from outside the database, so it outranks what that says
	switch {
	case public != s.recorded:
		s.noKey = fmt.Errorf("%w: the database names %s, the key here is %s", ErrWrongKey, s.recorded, public)
	case c.broken != nil:
		s.noKey = c.broken
	}
	return made, nil
}

// refresh returns the keys of the log and what this process signs with, settled anew if another has replaced the key.
func (t *Tree) refresh(ctx context.Context) (chain, *signing, error) {
	c, err := t.chain(ctx, t.pool)
	if err != nil {
		return c, nil, err
	}
	if c.current() != t.signing.Load().recorded {
		if _, err := t.settle(ctx); err != nil {
			return c, nil, err
		}
	}
	return c, t.signing.Load(), nil
}
