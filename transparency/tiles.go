package transparency

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/annal-crm/annal/eventlog"
)

// tile is a row of transparency.tiles.
type tile struct {
	level     int
	number    uint64
	hashes    []byte
	positions []byte // of level 0
}

func (t tile) len() int { return len(t.hashes) / tlog.HashSize }

func (t tile) hash(i int) tlog.Hash { return tlog.Hash(t.hashes[i*tlog.HashSize:]) }

func (t tile) position(i int) eventlog.Position {
	return eventlog.Position(binary.BigEndian.Uint64(t.positions[i*8:]))
}

func packed(hashes []tlog.Hash) []byte {
	b := make([]byte, 0, len(hashes)*tlog.HashSize)
	for _, h := range hashes {
		b = append(b, h[:]...)
	}
	return b
}

// tiles reads some tiles of a level in order. What is not there is left out.
func (t *Tree) tiles(ctx context.Context, level int, from, to uint64) (found []tile, err error) {
	rows, err := t.pool.Query(ctx, `select number, hashes, positions from transparency.tiles
		where log = $1 and level = $2 and number >= $3 and number < $4 order by number`, t.id, level, int64(from), int64(to))
	if err != nil {
		return nil, unavailable(err)
	}
	found, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (tile, error) {
		found := tile{level: level}
		var number int64
		err := row.Scan(&number, &found.hashes, &found.positions)
		found.number = uint64(number)
		if err == nil && (len(found.hashes)%tlog.HashSize != 0 || level == 0 && len(found.positions) != 8*found.len()) {
			err = fmt.Errorf("%w: tile %d of level %d has an odd length", ErrChanged, number, level)
		}
		return found, err
	})
	if err != nil && !errors.Is(err, ErrChanged) {
		return nil, unavailable(err)
	}
	return found, err
}

// tile reads the first hashes of one tile.
func (t *Tree) tile(ctx context.Context, level int, number uint64, width int) (tile, error) {
	found, err := t.tiles(ctx, level, number, number+1)
	if err != nil {
		return tile{}, err
	}
	if len(found) == 0 || found[0].len() < width {
		return tile{}, fmt.Errorf("%w: tile %d of level %d is not whole", ErrChanged, number, level)
	}
	found[0].hashes = found[0].hashes[:width*tlog.HashSize]
	return found[0], nil
}

// edgeAt reads the right edge of the tree as it was at a size, and the positions of its leaves that are in no full tile.
func (t *Tree) edgeAt(ctx context.Context, size uint64) (e edge, positions []byte, err error) {
	e.size = size
	for level := 0; size>>(tileHeight*level) > 0; level++ {
		subtrees := size >> (tileHeight * level)
		hashes := make([]tlog.Hash, 0, tileWidth)
		if width := int(subtrees % tileWidth); width > 0 {
			last, err := t.tile(ctx, level, subtrees/tileWidth, width)
			if err != nil {
				return e, nil, err
			}
			for i := range width {
				hashes = append(hashes, last.hash(i))
			}
			if level == 0 {
				positions = last.positions[:8*width]
			}
		}
		e.levels = append(e.levels, hashes)
	}
	return e, positions, nil
}

// hashes reads hashes of the tree at a size and checks each against the root.
func (t *Tree) hashes(ctx context.Context, size uint64, root tlog.Hash) tlog.HashReader {
	return tlog.TileHashReader(tlog.Tree{N: int64(size), Hash: root}, tileReader{ctx, t})
}

// tileReader is a [tlog.TileReader] for one call.
type tileReader struct {
	ctx  context.Context
	tree *Tree
}

func (r tileReader) Height() int { return tileHeight }

func (r tileReader) ReadTiles(wanted []tlog.Tile) ([][]byte, error) {
	data := make([][]byte, len(wanted))
	for i, w := range wanted {
		found, err := r.tree.tile(r.ctx, w.L, uint64(w.N), w.W)
		if err != nil {
			return nil, err
		}
		data[i] = found.hashes
	}
	return data, nil
}

func (r tileReader) SaveTiles([]tlog.Tile, [][]byte) {}

// find returns the index of the event at a position among those in the tree, and the position before it.
func (t *Tree) find(ctx context.Context, at eventlog.Position) (index uint64, before eventlog.Position, err error) {
	var number int64
	err = t.pool.QueryRow(ctx, `select number from transparency.tiles where log = $1 and level = 0 and first <= $2
		order by first desc limit 1`, t.id, int64(at)).Scan(&number)
	if errors.Is(err, pgx.ErrNoRows) {
		return 0, 0, ErrNotThere
	}
	if err != nil {
		return 0, 0, unavailable(err)
	}
	found, err := t.tiles(ctx, 0, uint64(max(number-1, 0)), uint64(number)+1)
	if err != nil {
		return 0, 0, err
	}
	for _, tile := range found {
		for i := range tile.len() {
			if tile.position(i) == at {
				return tile.number*tileWidth + uint64(i), before, nil
			}
			before = tile.position(i)
		}
	}
	return 0, 0, ErrNotThere
}
