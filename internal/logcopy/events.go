package logcopy

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"iter"
	"time"

	"github.com/annal-crm/annal/eventlog"
)

var pageSize = eventlog.PageSize // events read, and written, at once; tests have less

// pages yields the pages of a log from a position to its end. The next one is read while the loop works.
func pages(ctx context.Context, log eventlog.Log, after eventlog.Position) iter.Seq2[[]eventlog.Event, error] {
	return eventlog.Ahead(ctx, 1, func(ctx context.Context) iter.Seq2[[]eventlog.Event, error] {
		return eventlog.Pages(ctx, log, after, eventlog.End, pageSize)
	})
}

// different names the first part in which two events, but for their positions, are not the same; "" if they are.
func different(a, b eventlog.Event) string {
	switch {
	case a.ID != b.ID:
		return "the ids are " + a.ID.String() + " and " + b.ID.String()
	case a.Stream != b.Stream:
		return "the streams differ"
	case a.Version != b.Version:
		return "the versions in the stream differ"
	case a.Type != b.Type:
		return "the types differ"
	case a.Schema != b.Schema:
		return "the schema versions differ"
	case !bytes.Equal(a.Data, b.Data):
		return "the data differ"
	case !bytes.Equal(a.Meta, b.Meta):
		return "the metadata differ"
	case !a.OccurredAt.Equal(b.OccurredAt):
		return "the times of occurrence differ"
	case !a.RecordedAt.Equal(b.RecordedAt):
		return "the times of recording differ"
	}
	return ""
}

// digest is a SHA-256 over events: for each in order its id, organization, category, stream, version, type, schema version,
// data, metadata, occurredAt and recordedAt; ids as 16 bytes, texts behind their length, numbers and times (microseconds
// since 1970) as 8 bytes, the highest first.
type digest struct {
	sha hash.Hash
	b   []byte
}

func newDigest() *digest { return &digest{sha: sha256.New()} }

func (d *digest) add(e eventlog.Event) {
	b := append(append(d.b[:0], e.ID[:]...), e.Stream.Organization[:]...)
	b = append(append(text(b, e.Stream.Category), e.Stream.ID[:]...), number(uint64(e.Version))...)
	b = append(text(b, e.Type), number(uint64(e.Schema))...)
	b = text(text(b, e.Data), e.Meta)
	d.b = append(append(b, instant(e.OccurredAt)...), instant(e.RecordedAt)...)
	d.sha.Write(d.b)
}

func (d *digest) hash() (sum [sha256.Size]byte) {
	d.sha.Sum(sum[:0])
	return sum
}

func text[T ~string | ~[]byte](b []byte, s T) []byte {
	return append(append(b, number(uint64(len(s)))...), s...)
}

func number(n uint64) []byte { return binary.BigEndian.AppendUint64(make([]byte, 0, 8), n) }

func instant(t time.Time) []byte { return number(uint64(t.UnixMicro())) }
