package transparency

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/annal-crm/annal/eventlog"
)

// growPage is how many events are read and added at once: large enough that a commit and the rewriting of partial tiles
// cost little beside them, small enough to hold a few at a time in memory. What need not be read is hashed in portions that
// the processor's cache holds.
const (
	growPage   = 8192
	recallPage = 512
)

// state is how far a tree has grown.
type state struct {
	edge
	position, before eventlog.Position // of the newest event in it and of the one before
	newest           tlog.Hash         // of the leaf of the newest event
	positions        []byte            // of the leaves that are in no full tile, 8 bytes each
	hasher           hasher
}

// growth is the state as this process knows it, nil if it must be read.
type growth struct {
	mu    sync.Mutex
	state *state
}

var errMoved = errors.New("transparency: another process has grown the tree")

// Grow adds the events that follow in the log, a page at most, and returns how many. It adds none if another process was
// faster. If the log does not hold the tree's newest event any more the error is [ErrForked].
func (t *Tree) Grow(ctx context.Context) (n int, err error) {
	n, err = t.grow(ctx)
	if errors.Is(err, errMoved) {
		err = nil
	}
	return n, err
}

// growAll adds all events that there are, whether this process adds them or another one.
func (t *Tree) growAll(ctx context.Context) error {
	for {
		n, err := t.grow(ctx)
		if err == nil && n == 0 || err != nil && !errors.Is(err, errMoved) {
			return err
		}
	}
}

// Size is how many events this process knows to be in the tree.
func (t *Tree) Size() uint64 {
	size, _, _ := t.reached()
	return size
}

// reached is how far the tree is, if this process knows it.
func (t *Tree) reached() (size uint64, position eventlog.Position, known bool) {
	t.growth.mu.Lock()
	defer t.growth.mu.Unlock()
	s := t.growth.state
	if s == nil {
		return 0, 0, false
	}
	return s.size, s.position, true
}

func (t *Tree) grow(ctx context.Context) (n int, err error) {
	t.growth.mu.Lock()
	defer t.growth.mu.Unlock()
	s, err := t.state(ctx)
	if err != nil {
		return 0, err
	}
	from := s.size
	full, err := t.follow(ctx, s)
	if err != nil || s.size == from {
		return 0, err
	}
	t.growth.state = nil // in case of an error
	if err := t.save(ctx, from, s, append(full, s.partial()...)); err != nil {
		return 0, err
	}
	t.growth.state = s
	return int(s.size - from), nil
}

// state returns the known state, or reads it and compares its newest event with the log's.
func (t *Tree) state(ctx context.Context) (*state, error) {
	if t.growth.state == nil {
		s, err := t.readState(ctx)
		if err == nil {
			err = t.checkNewest(ctx, s)
		}
		if err != nil {
			return nil, err
		}
		t.growth.state = s
	}
	return t.growth.state, nil
}

func (t *Tree) readState(ctx context.Context) (*state, error) {
	s := new(state)
	var size, position, before int64
	err := t.pool.QueryRow(ctx, `select size, position, before from transparency.trees where log = $1`, t.id).Scan(&size, &position, &before)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, fmt.Errorf("%w: the tree of this log is gone", ErrChanged)
	}
	if err != nil {
		return nil, unavailable(err)
	}
	s.position, s.before = eventlog.Position(position), eventlog.Position(before)
	if s.edge, s.positions, err = t.edgeAt(ctx, uint64(size)); err != nil || size == 0 {
		return s, err
	}
	index := uint64(size) - 1
	last, err := t.tile(ctx, 0, index/tileWidth, int(index%tileWidth)+1)
	if err == nil {
		s.newest = last.hash(int(index % tileWidth))
	}
	return s, err
}

// follow adds the events that follow the tree's newest and returns the tiles that are full by them. It takes them as this process
// has appended them, if it still has them in hand, else as the log has them. In a log without gaps it looks at the newest
// first, so that one that was rolled back and went on differently is noticed at once; elsewhere a reader that goes back costs
// the server a search.
func (t *Tree) follow(ctx context.Context, s *state) (full []tile, err error) {
	var events []eventlog.Event
	_, gapless := t.log.(eventlog.Counter)
	if log, ok := t.log.(eventlog.Recaller); ok {
		events = make([]eventlog.Event, recallPage)
		if n := log.Recall(s.position, events); n > 0 {
			if err := t.checkNewest(ctx, s); err != nil {
				return nil, err
			}
			for to := s.size + growPage; n > 0 && s.size < to; n = log.Recall(s.position, events) {
				full = append(full, s.add(events[:n])...)
			}
			return full, nil
		}
	}
	if gapless && s.size > 0 {
		if events, err = t.log.ReadAll(ctx, s.before, growPage+1); err == nil {
			err = s.begins(events)
		}
		events = events[min(1, len(events)):]
	} else {
		events, err = t.log.ReadAll(ctx, s.position, growPage)
	}
	if err != nil {
		return nil, err
	}
	return s.add(events), nil
}

// checkNewest looks whether the log still holds the newest event in the tree: what would follow it otherwise is the end of
// another log.
func (t *Tree) checkNewest(ctx context.Context, s *state) error {
	if s.size == 0 {
		return nil
	}
	events, err := t.log.ReadAll(ctx, s.before, 1)
	if err != nil {
		return err
	}
	return s.begins(events)
}

// begins returns ErrForked if the first of events is not the tree's newest.
func (s *state) begins(events []eventlog.Event) error {
	var h hasher
	if len(events) == 0 || events[0].Position != s.position || h.hash(s.size-1, &events[0]) != s.newest {
		return fmt.Errorf("%w: the event at position %s is not there as it was; annal audit verify says more", ErrForked, s.position)
	}
	return nil
}

// add adds events and returns the tiles that are full by it.
func (s *state) add(events []eventlog.Event) (full []tile) {
	for i := range events {
		s.before, s.position = s.position, events[i].Position
		s.positions = binary.BigEndian.AppendUint64(s.positions, uint64(s.position))
		s.newest = s.hasher.hash(s.size, &events[i])
		s.edge.add(s.newest, func(level int, number uint64, hashes []tlog.Hash) {
			tile := tile{level: level, number: number, hashes: packed(hashes)}
			if level == 0 {
				tile.positions, s.positions = s.positions, nil
			}
			full = append(full, tile)
		})
	}
	return full
}

// partial returns the tiles at the right edge, which are not full.
func (s *state) partial() (tiles []tile) {
	for level, hashes := range s.levels {
		if len(hashes) == 0 {
			continue
		}
		partial := tile{level: level, number: s.size >> (tileHeight * (level + 1)), hashes: packed(hashes)}
		if level == 0 {
			partial.positions = s.positions[:len(s.positions):len(s.positions)]
		}
		tiles = append(tiles, partial)
	}
	return tiles
}

// save moves the tree from a size, in one transaction with the tiles; errMoved if it was not at that size any more. It does
// not wait for the disk: what a crash takes is added again, and a checkpoint's own commit waits for all before it.
func (t *Tree) save(ctx context.Context, from uint64, s *state, changed []tile) error {
	levels, numbers := make([]int16, len(changed)), make([]int64, len(changed))
	hashes, positions, firsts := make([][]byte, len(changed)), make([][]byte, len(changed)), make([]*int64, len(changed))
	for i, c := range changed {
		levels[i], numbers[i], hashes[i], positions[i] = int16(c.level), int64(c.number), c.hashes, c.positions
		if c.level == 0 {
			first := int64(c.position(0))
			firsts[i] = &first
		}
	}
	var batch pgx.Batch // one implicit transaction
	batch.Queue(`select set_config('synchronous_commit', 'off', true)`)
	batch.Queue(`with moved as (
			update transparency.trees set size = $3, position = $4, before = $5 where log = $1 and size = $2 returning log)
		insert into transparency.tiles (log, level, number, hashes, first, positions)
		select moved.log, c.* from unnest($6::smallint[], $7::bigint[], $8::bytea[], $9::bigint[], $10::bytea[]) c, moved
		on conflict (log, level, number) do update set hashes = excluded.hashes, positions = excluded.positions`,
		t.id, int64(from), int64(s.size), int64(s.position), int64(s.before), levels, numbers, hashes, firsts, positions,
	).Exec(func(tag pgconn.CommandTag) error {
		if tag.RowsAffected() == 0 {
			return errMoved
		}
		return nil
	})
	err := t.pool.SendBatch(ctx, &batch).Close()
	if err == nil || errors.Is(err, errMoved) {
		return err
	}
	return unavailable(err)
}
