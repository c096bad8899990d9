package logcopy

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"time"

	"github.com/annal-crm/annal/eventlog"
)

var pageSize = 2000 // events read, and written, at once; the log's readers measure no gain from more; tests have less

// reader reads a log from a position to its end, one page ahead of who asks.
type reader struct {
	pages chan []eventlog.Event // closed at the end, after err was set
	err   error
	rest  []eventlog.Event
}

// read begins to. Its second result ends it.
func read(ctx context.Context, log eventlog.Log, after eventlog.Position) (*reader, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	r := &reader{pages: make(chan []eventlog.Event, 1)}
	go func() {
		defer close(r.pages)
		for {
			page, err := log.ReadAll(ctx, after, pageSize)
			if err != nil || len(page) == 0 {
				r.err = err
				return
			}
			after = page[len(page)-1].Position
			select {
			case r.pages <- page:
			case <-ctx.Done():
				r.err = ctx.Err()
				return
			}
		}
	}()
	return r, cancel
}

// page returns the next events, none at the end.
func (r *reader) page() ([]eventlog.Event, error) {
	page, more := <-r.pages
	if !more {
		return nil, r.err
	}
	return page, nil
}

func (r *reader) next() (e eventlog.Event, more bool, err error) {
	if len(r.rest) == 0 {
		if r.rest, err = r.page(); len(r.rest) == 0 {
			return e, false, err
		}
	}
	e, r.rest = r.rest[0], r.rest[1:]
	return e, true, nil
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
