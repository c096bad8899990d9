package transparency

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/mod/sumdb/note"

	"github.com/annal-crm/annal/eventlog"
	"github.com/annal-crm/annal/internal/migrations"
)

var (
	// ErrNoKey reports that there is no key to sign checkpoints with here, though this tree has one.
	ErrNoKey = errors.New("transparency: the checkpoint key is missing")
	// ErrWrongKey reports a key that is not the one this tree's checkpoints are signed with.
	ErrWrongKey = errors.New("transparency: this checkpoint key is not the one that the tree's checkpoints are signed with")
	// ErrForked reports a log or tree that does not continue what was signed: nothing more is signed.
	ErrForked = errors.New("transparency: the log does not continue what was signed")
	// ErrNotThere reports a position at which the log has no event.
	ErrNotThere = errors.New("transparency: there is no event at this position")
	// ErrChanged reports an event or a hash that is not as the tree had it.
	ErrChanged = errors.New("transparency: not as it was recorded")
	// ErrCheckpoint reports a checkpoint that is none, is of another log, or is not signed by the key.
	ErrCheckpoint = errors.New("transparency: not a checkpoint of this log by this key")
	// ErrBundle reports a bundle that does not hold.
	ErrBundle = errors.New("transparency: the bundle does not hold")
	// ErrUnavailable reports that the tree's database could not be reached or did not answer.
	ErrUnavailable = errors.New("transparency: unavailable")
)

// Config says where the signing key is and what was signed last.
type Config struct {
	Key KeySource
	// Remember is a directory outside of the database for the newest checkpoint that was signed here: nothing is signed that
	// does not continue it. Empty: it is remembered only while the process runs.
	Remember string
}

// Tree is the Merkle tree over one log. Its methods are safe for concurrent use, by any number of processes.
type Tree struct {
	pool    *pgxpool.Pool
	log     eventlog.Log
	id      uuid.UUID // of the log
	source  KeySource
	signing atomic.Pointer[signing]
	last    memory
	growth  growth
	seen    sync.Map // by URL of a witness, the size that it cosigned last

	failures failures
}

// signing is what this process signs with.
type signing struct {
	key      note.Signer // may be nil, see noKey
	noKey    error       // why nothing can be signed here
	public   string      // the verifier key: of the key here, else the one that the database names
	recorded string      // what the database names; empty: there is no tree
}

// Open opens the tree over a log, in a database that [Migrate] has been through. The first Open ever of a log's tree makes
// the signing key if config has none, and tells so: made. From then on it makes none; without it the tree can still be grown
// and verified, not signed ([ErrNoKey], [ErrWrongKey]). Where no key can be made there is no tree yet.
func Open(ctx context.Context, pool *pgxpool.Pool, log eventlog.Log, config Config) (t *Tree, made bool, err error) {
	t = &Tree{pool: pool, log: log, source: config.Key, last: memory{dir: config.Remember}}
	if t.id, err = log.Identity(ctx); err != nil {
		return nil, false, err
	}
	made, err = t.settle(ctx)
	return t, made, err
}

// Origin names the log in checkpoints; it is also the name of the key. It follows from the log's identity.
func (t *Tree) Origin() string { return "annal/" + t.id.String() }

// VerifierKey is the public key in the form of sumdb/note, name+hash+base64: of the key here, else the one that the database
// names. What a stranger pins must not come from the database.
func (t *Tree) VerifierKey() string { return t.signing.Load().public }

// Ready returns an error if there is no tree, because no process with a key to sign it has been here yet: [ErrNoKey].
func (t *Tree) Ready() error {
	if s := t.signing.Load(); s.public == "" {
		return s.noKey
	}
	return nil
}

//go:embed migrations
var files embed.FS

// Migrate makes the tree's schema, or brings it up to date, as the owner of the database. It is safe to call again and
// from several processes at once.
func Migrate(ctx context.Context, owner *pgx.Conn) error {
	return migrations.Set{Schema: "transparency", Files: files}.Apply(ctx, owner)
}

// Grant gives a role what growing and signing need: it may add, and neither delete nor switch off the triggers that would
// refuse. Run it as the owner, after [Migrate].
func Grant(ctx context.Context, owner *pgx.Conn, role string) error {
	name := pgx.Identifier{role}.Sanitize()
	_, err := owner.Exec(ctx, `grant usage on schema transparency to `+name+`;
		grant select, insert, update on transparency.trees, transparency.tiles, transparency.checkpoints, transparency.handovers to `+name)
	if err != nil {
		return fmt.Errorf("transparency: grant to %s: %w", name, err)
	}
	return nil
}

// unavailable wraps an error of the database.
func unavailable(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w: %w", ErrUnavailable, err)
}
