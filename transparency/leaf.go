package transparency

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"time"

	"github.com/google/uuid"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/annal-crm/annal/eventlog"
)

// leafTag begins every leaf. Another form of leaves gets another tag, so that no leaf can be read in two ways.
const leafTag = "annal/event/v1\n"

// AppendLeaf appends the leaf of an event to b: every byte that is stored of it and its index, the number of events
// before it in the log. Numbers are big-endian, times microseconds since 1970 UTC:
//
//	"annal/event/v1\n"  index 8  id 16  organization 16  stream 16  version 8  schema 4  occurredAt 8  recordedAt 8
//	and then category, type, data, metadata, each as length 4 and bytes
//
// Different events have different leaves. The position is left out: it says where one log keeps the event, so that a log
// that was copied elsewhere has the same tree. docs/audit.md documents the form; it is for ever.
func AppendLeaf(b []byte, index uint64, e *eventlog.Event) []byte {
	b = append(b, leafTag...)
	b = binary.BigEndian.AppendUint64(b, index)
	b = append(b, e.ID[:]...)
	b = append(b, e.Stream.Organization[:]...)
	b = append(b, e.Stream.ID[:]...)
	b = binary.BigEndian.AppendUint64(b, uint64(e.Version))
	b = binary.BigEndian.AppendUint32(b, uint32(e.Schema))
	b = binary.BigEndian.AppendUint64(b, uint64(e.OccurredAt.UnixMicro()))
	b = binary.BigEndian.AppendUint64(b, uint64(e.RecordedAt.UnixMicro()))
	b = append(binary.BigEndian.AppendUint32(b, uint32(len(e.Stream.Category))), e.Stream.Category...)
	b = append(binary.BigEndian.AppendUint32(b, uint32(len(e.Type))), e.Type...)
	b = append(binary.BigEndian.AppendUint32(b, uint32(len(e.Data))), e.Data...)
	return append(binary.BigEndian.AppendUint32(b, uint32(len(e.Meta))), e.Meta...)
}

var errLeaf = errors.New("transparency: not the leaf of an event")

// ParseLeaf is the inverse of [AppendLeaf]; the event has no position. The event shares the leaf's memory.
func ParseLeaf(leaf []byte) (index uint64, e eventlog.Event, err error) {
	const fixed = 8 + 3*16 + 8 + 4 + 2*8
	b, ok := bytes.CutPrefix(leaf, []byte(leafTag))
	if !ok || len(b) < fixed {
		return 0, e, errLeaf
	}
	index = binary.BigEndian.Uint64(b)
	e.ID, e.Stream.Organization, e.Stream.ID = uuid.UUID(b[8:24]), uuid.UUID(b[24:40]), uuid.UUID(b[40:56])
	e.Version, e.Schema = eventlog.Version(binary.BigEndian.Uint64(b[56:])), int(binary.BigEndian.Uint32(b[64:]))
	e.OccurredAt = time.UnixMicro(int64(binary.BigEndian.Uint64(b[68:]))).UTC()
	e.RecordedAt = time.UnixMicro(int64(binary.BigEndian.Uint64(b[76:]))).UTC()
	b = b[fixed:]
	var parts [4][]byte
	for i := range parts {
		if len(b) < 4 || uint64(len(b)-4) < uint64(binary.BigEndian.Uint32(b)) {
			return 0, e, errLeaf
		}
		n := binary.BigEndian.Uint32(b)
		parts[i], b = b[4:4+n], b[4+n:]
	}
	if len(b) > 0 {
		return 0, e, errLeaf
	}
	e.Stream.Category, e.Type, e.Data, e.Meta = string(parts[0]), string(parts[1]), parts[2], parts[3]
	return index, e, nil
}

// hasher hashes leaves without allocating for each.
type hasher struct{ buf []byte }

// hash is SHA-256 of a zero byte and the leaf (RFC 6962, 2.1).
func (h *hasher) hash(index uint64, e *eventlog.Event) tlog.Hash {
	h.buf = AppendLeaf(append(h.buf[:0], 0), index, e)
	return sha256.Sum256(h.buf)
}
