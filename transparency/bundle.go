package transparency

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/annal-crm/annal/eventlog"
)

// A bundle is a file of lines, each a JSON object: the head, an event each with its proof, and the end, with the SHA-256 of
// all bytes before it. It is verified without the log or a network. docs/audit.md documents it; the form is for ever.
const bundleForm = "annal/bundle/v1"

// Scope says which events a bundle has: those of a stream, or all from one position to another, both included.
type Scope struct {
	Stream   eventlog.Stream
	From, To eventlog.Position // with no Stream; To 0: up to the checkpoint
}

type bundleHead struct {
	Form       string `json:"form"`
	Key        string `json:"key"` // a reader should have it from elsewhere
	Checkpoint string `json:"checkpoint"`
	Stream     string `json:"stream,omitempty"` // category/organization/id; without it the bundle is a range without gaps
}

type bundleEvent struct {
	Index uint64           `json:"index"`
	Leaf  []byte           `json:"leaf"`
	Proof tlog.RecordProof `json:"proof"`
}

type bundleEnd struct {
	Events uint64 `json:"events"`
	SHA256 []byte `json:"sha256"`
}

func streamName(s eventlog.Stream) string {
	if s.Category == "" {
		return ""
	}
	return s.Category + "/" + s.Organization.String() + "/" + s.ID.String()
}

// Bundle writes the events of a scope with their proofs against a new checkpoint (the newest one, where there is no key to
// sign). It returns what it has written. Events that are not as the tree has them are [ErrChanged]; an empty scope, and one to a
// position at which there is no event under the checkpoint, is [ErrNotThere].
func (t *Tree) Bundle(ctx context.Context, out io.Writer, scope Scope) (b Bundled, err error) {
	c, err := t.Checkpoint(ctx)
	if errors.Is(err, ErrNoKey) || errors.Is(err, ErrWrongKey) {
		c, err = t.Latest(ctx)
	}
	if err != nil {
		return b, err
	}
	sum := sha256.New()
	lines := json.NewEncoder(io.MultiWriter(out, sum))
	if err := lines.Encode(bundleHead{bundleForm, t.VerifierKey(), string(c.Note), streamName(scope.Stream)}); err != nil {
		return b, err
	}
	hashes := tlog.TileHashReader(tlog.Tree{N: int64(c.Size), Hash: c.Root}, &cachedTiles{tileReader: tileReader{ctx, t}})
	b = Bundled{Checkpoint: c, Stream: streamName(scope.Stream)}
	var index uint64
	for e, err := range t.scope(ctx, scope) {
		if err != nil {
			return b, err
		}
		if b.Events == 0 || scope.Stream.Category != "" {
			index, _, err = t.find(ctx, e.Position)
		} else {
			index++
		}
		if errors.Is(err, ErrNotThere) || err == nil && index >= c.Size {
			break // newer than the checkpoint
		}
		if err != nil {
			return b, err
		}
		p, err := prove(hashes, c, index, e)
		if err == nil {
			err = lines.Encode(bundleEvent{index, p.Leaf, p.Proof})
		}
		if err != nil {
			return b, err
		}
		if b.Events == 0 {
			b.First = index
		}
		b.Last, b.End = index, e.Position
		b.Events++
	}
	if b.Events == 0 {
		return b, fmt.Errorf("%w: nor any in this scope under the checkpoint of %d events", ErrNotThere, c.Size)
	}
	if scope.Stream.Category == "" && scope.To > b.End {
		return b, fmt.Errorf("%w: %s; under the newest checkpoint the last is at %s", ErrNotThere, scope.To, b.End)
	}
	return b, json.NewEncoder(out).Encode(bundleEnd{b.Events, sum.Sum(nil)})
}

// scope yields the events of a scope from the log.
func (t *Tree) scope(ctx context.Context, s Scope) func(func(eventlog.Event, error) bool) {
	if s.Stream.Category != "" {
		return t.log.ReadStream(ctx, s.Stream, 0)
	}
	return func(yield func(eventlog.Event, error) bool) {
		_, after, err := t.find(ctx, s.From)
		if err != nil {
			yield(eventlog.Event{}, err)
			return
		}
		eventlog.Events(eventlog.Pages(ctx, t.log, after, cmp.Or(s.To, eventlog.End), eventlog.PageSize))(yield)
	}
}

// cachedTiles keeps tiles while a bundle is written: neighbours share them.
type cachedTiles struct {
	tileReader
	kept map[tlog.Tile][]byte
}

func (r *cachedTiles) ReadTiles(wanted []tlog.Tile) (data [][]byte, err error) {
	for _, w := range wanted {
		b := r.kept[w]
		if b == nil {
			read, err := r.tileReader.ReadTiles([]tlog.Tile{w})
			if err != nil {
				return nil, err
			}
			if b = read[0]; len(r.kept) > 1000 || r.kept == nil { // 8 MB
				r.kept = make(map[tlog.Tile][]byte)
			}
			r.kept[w] = b
		}
		data = append(data, b)
	}
	return data, nil
}

// Bundled is what a bundle that holds has proved.
type Bundled struct {
	Checkpoint  Checkpoint
	Stream      string // category/organization/id, "" for a range
	Events      uint64
	First, Last uint64            // indexes
	End         eventlog.Position // of the last event; a file does not say it
}

// VerifyBundle checks a bundle against the log's verifier key, event by event, each of which it hands to each, if not nil. A
// stream must have all its versions from 1 to the last one in the bundle, a range all events between its first and last.
// The error is [ErrBundle] or [ErrCheckpoint] and says in which line, unless reading fails or each does.
func VerifyBundle(in io.Reader, verifier note.Verifier, each func(index uint64, e eventlog.Event) error) (b Bundled, err error) {
	r := bundleReader{in: bufio.NewReader(in), sum: sha256.New()}
	var head bundleHead
	if err := r.next(&head); err != nil {
		return b, err
	}
	if head.Form != bundleForm {
		return b, r.broken("it is not of the form " + bundleForm)
	}
	if b.Checkpoint, err = OpenCheckpoint([]byte(head.Checkpoint), verifier); err != nil {
		return b, fmt.Errorf("the bundle's checkpoint: %w", err)
	}
	b.Stream = head.Stream
	for {
		line, err := r.line()
		if err != nil {
			return b, err
		}
		if _, err := r.in.Peek(1); err == io.EOF { // the last one
			want, err := json.Marshal(bundleEnd{b.Events, r.sum.Sum(nil)})
			if err != nil {
				return b, err
			}
			if b.Events == 0 || string(line) != string(want)+"\n" {
				return b, r.broken("its end does not fit what is before")
			}
			return b, nil
		}
		r.sum.Write(line)
		index, e, err := r.event(line, &b)
		if err != nil {
			return b, err
		}
		if each != nil {
			if err := each(index, e); err != nil {
				return b, err
			}
		}
	}
}

// bundleReader reads lines and hashes them.
type bundleReader struct {
	in  *bufio.Reader
	sum hash.Hash
	n   int // lines read
}

func (r *bundleReader) broken(why string) error {
	return fmt.Errorf("%w: line %d: %s", ErrBundle, r.n, why)
}

func (r *bundleReader) line() ([]byte, error) {
	line, err := r.in.ReadBytes('\n')
	r.n++
	if err == io.EOF {
		return nil, r.broken("it ends too early")
	}
	return line, err
}

func (r *bundleReader) next(into any) error {
	line, err := r.line()
	if err != nil {
		return err
	}
	r.sum.Write(line)
	return r.decode(line, into)
}

func (r *bundleReader) decode(line []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(line))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return r.broken(err.Error())
	}
	return nil
}

// event checks the line of an event.
func (r *bundleReader) event(line []byte, b *Bundled) (uint64, eventlog.Event, error) {
	var l bundleEvent
	if err := r.decode(line, &l); err != nil {
		return 0, eventlog.Event{}, err
	}
	index, e, err := ParseLeaf(l.Leaf)
	switch {
	case err != nil || index != l.Index:
		return 0, e, r.broken("its leaf is not that of the event at its index")
	case tlog.CheckRecord(l.Proof, int64(b.Checkpoint.Size), b.Checkpoint.Root, int64(index), tlog.RecordHash(l.Leaf)) != nil:
		return 0, e, r.broken("the event is not in the log that the checkpoint signs")
	case b.Stream != "" && (streamName(e.Stream) != b.Stream || uint64(e.Version) != b.Events+1):
		return 0, e, r.broken(fmt.Sprintf("it is not event %d of the stream", b.Events+1))
	case b.Stream == "" && b.Events > 0 && index != b.Last+1:
		return 0, e, r.broken("events between this and the one before are missing")
	}
	if b.Events == 0 {
		b.First = index
	}
	b.Last = index
	b.Events++
	return index, e, nil
}
