package transparency

import (
	"crypto/sha256"

	"golang.org/x/mod/sumdb/tlog"
)

const (
	tileHeight = 8
	tileWidth  = 1 << tileHeight
)

// edge is the right edge of a tree, all that growing needs: of each level the hashes that are not yet a full tile. Those of
// level n are roots of full subtrees of 256ⁿ leaves.
type edge struct {
	size   uint64
	levels [][]tlog.Hash
}

// add adds a leaf. Tiles that become full by it are handed to full, which must not keep the hashes.
func (e *edge) add(h tlog.Hash, full func(level int, number uint64, hashes []tlog.Hash)) {
	number := e.size
	e.size++
	for level := 0; ; level++ {
		if level == len(e.levels) {
			e.levels = append(e.levels, make([]tlog.Hash, 0, tileWidth))
		}
		e.levels[level] = append(e.levels[level], h)
		number >>= tileHeight
		if len(e.levels[level]) < tileWidth {
			return
		}
		full(level, number, e.levels[level])
		h = subtree(e.levels[level])
		e.levels[level] = e.levels[level][:0]
	}
}

// root is the tree's root hash (RFC 6962, 2.1).
func (e *edge) root() tlog.Hash {
	var right []tlog.Hash // the root of what is right of the level's subtrees, if anything is
	for _, level := range e.levels {
		if all := append(level[:len(level):len(level)], right...); len(all) > 0 {
			right = []tlog.Hash{subtree(all)}
		}
	}
	if len(right) == 0 {
		return sha256.Sum256(nil)
	}
	return right[0]
}

// subtree is the root over neighbouring subtrees. All but the last have the same number of leaves, a power of two; the
// last has no more.
func subtree(hashes []tlog.Hash) tlog.Hash {
	if len(hashes) == 1 {
		return hashes[0]
	}
	left := 1
	for left*2 < len(hashes) {
		left *= 2
	}
	return tlog.NodeHash(subtree(hashes[:left]), subtree(hashes[left:]))
}
