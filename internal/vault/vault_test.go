package vault_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/annal-crm/annal/eventlog"
	"github.com/annal-crm/annal/internal/pgtest"
	"github.com/annal-crm/annal/internal/vault"
)

func open(t *testing.T, pool *pgxpool.Pool, source vault.KeySource, config vault.Config) *vault.Vault {
	t.Helper()
	v, _, err := vault.Open(t.Context(), pool, source, config)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

var place = vault.Place{Stream: eventlog.Stream{Organization: uuid.New(), Category: "account", ID: uuid.New()}, Type: "account.invited", Field: "email"}

func TestMasterKeyIsMadeOnceAndNeverAgain(t *testing.T) {
	ctx, pool := t.Context(), pgtest.New(t, vault.Migrate, vault.Migrate)
	file := filepath.Join(t.TempDir(), "master.key")
	source := vault.KeySource{File: file}

	// Several processes start together: one makes the key, all use it.
	var wg sync.WaitGroup
	makers, ids := make([]bool, 8), make([]uuid.UUID, 8)
	for i := range makers {
		wg.Go(func() {
			v, made, err := vault.Open(ctx, pool, source, vault.Config{})
			if err != nil {
				t.Error(err)
				return
			}
			makers[i], ids[i] = made, v.NameID("login_name", "admin")
		})
	}
	wg.Wait()
	made := 0
	for _, m := range makers {
		if m {
			made++
		}
	}
	if made != 1 || len(slices.Compact(ids)) != 1 {
		t.Fatalf("%d processes made a key, names are %v", made, ids)
	}
	info, err := os.Stat(file)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("%v, %v", info.Mode(), err)
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(file), ".*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	key, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}

	t.Run("a lost file is not replaced", func(t *testing.T) {
		lost := vault.KeySource{File: filepath.Join(t.TempDir(), "master.key")}
		if _, made, err := vault.Open(ctx, pool, lost, vault.Config{}); !errors.Is(err, vault.ErrNoMasterKey) || made {
			t.Errorf("made %v, %v", made, err)
		}
		if _, err := os.Stat(lost.File); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("a file was made: %v", err)
		}
	})
	t.Run("another key is refused, and said so", func(t *testing.T) {
		_, _, err := vault.Open(ctx, pool, vault.KeySource{Value: vault.NewMasterKey(), File: file}, vault.Config{})
		if !errors.Is(err, vault.ErrWrongKey) {
			t.Error(err)
		}
	})
	t.Run("the value of the file serves as well", func(t *testing.T) {
		if v := open(t, pool, vault.KeySource{Value: string(key)}, vault.Config{}); v.NameID("login_name", "admin") != ids[0] {
			t.Error("another vault")
		}
	})
	t.Run("what is no key says where it stood, not what it was", func(t *testing.T) {
		_, _, err := vault.Open(ctx, pool, vault.KeySource{Value: "c2VjcmV0"}, vault.Config{})
		if err == nil || strings.Contains(err.Error(), "c2VjcmV0") || !strings.Contains(err.Error(), "32 bytes") {
			t.Error(err)
		}
	})
	t.Run("a file that is there before the vault is used", func(t *testing.T) {
		pool := pgtest.New(t, vault.Migrate)
		v, made, err := vault.Open(ctx, pool, source, vault.Config{})
		if err != nil || made || v.NameID("login_name", "admin") != ids[0] {
			t.Errorf("made %v, %v", made, err)
		}
	})
}

func TestKeysAreDurableBeforeUseAndTheSameEverywhere(t *testing.T) {
	pool := pgtest.New(t, vault.Migrate)
	source := vault.KeySource{Value: vault.NewMasterKey()}
	subject := vault.Subject{Organization: uuid.New(), ID: uuid.New()}

	var wg sync.WaitGroup
	sealed := make([][]byte, 8)
	for i := range sealed {
		v := open(t, pool, source, vault.Config{}) // as in a process of its own
		wg.Go(func() {
			key, err := v.Key(t.Context(), subject)
			if err != nil {
				t.Error(err)
				return
			}
			sealed[i] = key.Seal(nil, place, []byte(`"ada@example.com"`))
		})
	}
	wg.Wait()
	v := open(t, pool, source, vault.Config{})
	keys, err := v.Keys(t.Context(), vault.Subject{ID: uuid.New()}, subject, subject)
	if err != nil || len(keys) != 3 || keys[0] != nil || keys[1] == nil || keys[2] != keys[1] {
		t.Fatalf("%v, %v", keys, err)
	}
	for i, s := range sealed {
		if value, err := keys[1].Open(nil, place, s); err != nil || string(value) != `"ada@example.com"` {
			t.Errorf("process %d: %s, %v", i, value, err)
		}
	}
	if slices.Equal(sealed[0], sealed[1]) {
		t.Error("equal values can be told to be equal")
	}
	var wrapped []byte
	if err := pool.QueryRow(t.Context(), `select wrapped from vault.keys`).Scan(&wrapped); err != nil || len(wrapped) != 12+32+16 {
		t.Errorf("a key of %d bytes is stored: %v", len(wrapped), err)
	}
	// A wrapped key in another's row opens nothing.
	other := vault.Subject{Organization: subject.Organization, ID: uuid.New()}
	if _, err := pool.Exec(t.Context(), `insert into vault.keys (organization, subject, wrapped) values ($1, $2, $3)`, other.Organization, other.ID, wrapped); err != nil {
		t.Fatal(err)
	}
	if _, err := v.Keys(t.Context(), other); !errors.Is(err, vault.ErrTampered) {
		t.Error(err)
	}
}

func TestAFieldOpensOnlyWhereItWasSealed(t *testing.T) {
	v := open(t, pgtest.New(t, vault.Migrate), vault.KeySource{Value: vault.NewMasterKey()}, vault.Config{})
	mine, err := v.Key(t.Context(), vault.Subject{ID: uuid.New()})
	if err != nil {
		t.Fatal(err)
	}
	other, err := v.Key(t.Context(), vault.Subject{ID: uuid.New()})
	if err != nil {
		t.Fatal(err)
	}
	sealed := mine.Seal(nil, place, []byte(`"x"`))
	if _, err := mine.Open(nil, place, sealed); err != nil {
		t.Fatal(err)
	}
	if _, err := other.Open(nil, place, sealed); !errors.Is(err, vault.ErrTampered) {
		t.Errorf("with another subject's key: %v", err)
	}
	for name, move := range map[string]func(*vault.Place){
		"organization": func(p *vault.Place) { p.Stream.Organization = uuid.New() },
		"stream":       func(p *vault.Place) { p.Stream.ID = uuid.New() },
		"category":     func(p *vault.Place) { p.Stream.Category = "customer" },
		"type":         func(p *vault.Place) { p.Type = "account.other" },
		"field":        func(p *vault.Place) { p.Field = "loginName" },
	} {
		moved := place
		move(&moved)
		if _, err := mine.Open(nil, moved, sealed); !errors.Is(err, vault.ErrTampered) {
			t.Errorf("moved to another %s: %v", name, err)
		}
	}
	for i := range sealed {
		changed := slices.Clone(sealed)
		changed[i] ^= 4
		if value, err := mine.Open(nil, place, changed); !errors.Is(err, vault.ErrTampered) {
			t.Fatalf("byte %d changed: %s, %v", i, value, err)
		}
	}
	for i := range sealed {
		if _, err := mine.Open(nil, place, sealed[:i]); !errors.Is(err, vault.ErrTampered) {
			t.Fatalf("cut to %d bytes: %v", i, err)
		}
	}
}

func TestAnErasedSubjectNeverComesBack(t *testing.T) {
	ctx, pool := t.Context(), pgtest.New(t, vault.Migrate)
	source := vault.KeySource{Value: vault.NewMasterKey()}
	v := open(t, pool, source, vault.Config{})
	elsewhere := open(t, pool, source, vault.Config{Heed: 50 * time.Millisecond})
	subject, neverSeen := vault.Subject{Organization: uuid.New(), ID: uuid.New()}, vault.Subject{ID: uuid.New()}
	bystander := vault.Subject{Organization: uuid.New(), ID: subject.ID} // the same id in another organization

	for _, s := range []vault.Subject{subject, {ID: subject.ID}, bystander} {
		if _, err := v.Key(ctx, s); err != nil {
			t.Fatal(err)
		}
		if _, err := elsewhere.Key(ctx, s); err != nil {
			t.Fatal(err)
		}
	}
	credential, err := v.PutCredential(ctx, subject.ID, "hash")
	if err != nil {
		t.Fatal(err)
	}
	all := []vault.Subject{subject, bystander, neverSeen}
	if erased, err := v.Erased(ctx, all); err != nil || !slices.Equal(erased, []bool{false, false, false}) {
		t.Fatal(erased, err)
	}
	print, err := v.Fingerprint(ctx, subject)
	if other, failed := v.Fingerprint(ctx, bystander); err != nil || failed != nil || print == other || print == ([32]byte{}) {
		t.Fatal(print, other, err, failed)
	}
	for _, s := range []vault.Subject{subject, subject, neverSeen} {
		if err := v.Erase(ctx, s); err != nil {
			t.Fatal(err)
		}
	}
	for _, s := range []vault.Subject{subject, {ID: subject.ID}, neverSeen} {
		if _, err := v.Key(ctx, s); !errors.Is(err, vault.ErrErased) {
			t.Errorf("%v: %v", s, err)
		}
		if keys, err := v.Keys(ctx, s); err != nil || !keys[0].Erased() {
			t.Errorf("%v: %v", s, err)
		}
	}
	if _, err := v.Key(ctx, bystander); err != nil {
		t.Error(err)
	}
	if erased, err := v.Erased(ctx, all); err != nil || !slices.Equal(erased, []bool{true, false, true}) {
		t.Error(erased, err)
	}
	if print, err := v.Fingerprint(ctx, subject); err != nil || print != ([32]byte{}) {
		t.Error(print, err)
	}
	if _, err := v.Credential(ctx, credential); !errors.Is(err, vault.ErrNoCredential) {
		t.Error(err)
	}
	time.Sleep(60 * time.Millisecond)
	if _, err := elsewhere.Key(ctx, subject); !errors.Is(err, vault.ErrErased) {
		t.Errorf("another process still has the key: %v", err)
	}
	var left int
	if err := pool.QueryRow(ctx, `select count(*) from vault.keys where wrapped is not null`).Scan(&left); err != nil || left != 1 {
		t.Errorf("%d keys left, %v", left, err)
	}
}

func TestCredentialsAreStoredSealed(t *testing.T) {
	ctx, pool := t.Context(), pgtest.New(t, vault.Migrate)
	v := open(t, pool, vault.KeySource{Value: vault.NewMasterKey()}, vault.Config{})
	const hash = "$argon2id$v=19$m=47104,t=1,p=1$c2FsdA$aGFzaA"
	id, err := v.PutCredential(ctx, uuid.New(), hash)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := v.Credential(ctx, id); err != nil || got != hash {
		t.Errorf("%q, %v", got, err)
	}
	var stored []byte
	if err := pool.QueryRow(ctx, `select wrapped from vault.credentials`).Scan(&stored); err != nil || strings.Contains(string(stored), "argon2id") {
		t.Errorf("%q, %v", stored, err)
	}
	if _, err := v.Credential(ctx, uuid.New()); !errors.Is(err, vault.ErrNoCredential) {
		t.Error(err)
	}
	// One account's hash in another's row does not let the other in.
	if _, err := pool.Exec(ctx, `update vault.credentials set account = $1`, uuid.New()); err != nil {
		t.Fatal(err)
	}
	if _, err := v.Credential(ctx, id); !errors.Is(err, vault.ErrTampered) {
		t.Error(err)
	}
}

func TestNamesAreToldApartByKeyKindAndUse(t *testing.T) {
	pool := pgtest.New(t, vault.Migrate)
	v := open(t, pool, vault.KeySource{Value: vault.NewMasterKey()}, vault.Config{})
	foreign := open(t, pgtest.New(t, vault.Migrate), vault.KeySource{Value: vault.NewMasterKey()}, vault.Config{})
	id, nameHash := v.NameID("login_name", "ada"), v.NameHash("login_name", "ada")
	if id != v.NameID("login_name", "ada") || nameHash != v.NameHash("login_name", "ada") {
		t.Error("a name has two ids")
	}
	ids := []uuid.UUID{v.NameID("login_name", "ada"), v.NameID("email", "ada"), v.NameID("login_nam", "eada"), v.NameID("login_name", "bob"), foreign.NameID("login_name", "ada")}
	hash := v.NameHash("login_name", "ada")
	ids = append(ids, uuid.UUID(hash[:16]))
	for i, id := range ids {
		if slices.Contains(ids[:i], id) {
			t.Errorf("%d is the same as another", i)
		}
	}
	if ids[0].Version() != 8 || ids[0].Variant() != uuid.RFC4122 {
		t.Error(ids[0].Version(), ids[0].Variant())
	}
}

func TestTheCacheIsBoundedAndKeepsWhatIsUsed(t *testing.T) {
	ctx, pool := t.Context(), pgtest.New(t, vault.Migrate)
	v := open(t, pool, vault.KeySource{Value: vault.NewMasterKey()}, vault.Config{CachedKeys: 8})
	hot, err := v.Key(ctx, vault.Subject{ID: uuid.Max})
	if err != nil {
		t.Fatal(err)
	}
	first := vault.Subject{ID: uuid.New()}
	before, err := v.Key(ctx, first)
	if err != nil {
		t.Fatal(err)
	}
	for range 20 {
		if _, err := v.Key(ctx, vault.Subject{ID: uuid.New()}); err != nil {
			t.Fatal(err)
		}
		if again, _ := v.Key(ctx, vault.Subject{ID: uuid.Max}); again != hot {
			t.Fatal("a key in use was dropped")
		}
	}
	if after, _ := v.Key(ctx, first); after == before {
		t.Error("a key that 20 others came after is still held")
	}
}

func TestAnUnreachableDatabaseIsUnavailable(t *testing.T) {
	pool, err := pgxpool.New(context.Background(), "postgres://nobody@127.0.0.1:1/none?connect_timeout=1")
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	if _, _, err := vault.Open(t.Context(), pool, vault.KeySource{Value: vault.NewMasterKey()}, vault.Config{}); !errors.Is(err, vault.ErrUnavailable) {
		t.Error(err)
	}
}
