// Package eventstoredb is the log in an EventStoreDB or KurrentDB (23.10 or later), for who outgrows one machine.
//
// A stream is the server's stream "customer-<organization>.<id>", a position the commit position of an event, as the server
// gives it: positions have gaps, and what a leader wrote with a clock behind its predecessor's was recorded earlier.
// Everything is read from the leader, all events by catch-up subscriptions that the server filters (read.go). Other
// programs' streams are passed over; a strange event in a stream of ours is a [Foreign] one. client.go keeps a connection.
package eventstoredb

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"regexp"
	"sync"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/google/uuid"

	"github.com/annal-crm/annal/eventlog"
)

// Config tunes a [Log]. The zero value is a good one.
type Config struct {
	// Name tells apart several logs in one database: letters, digits and "_". The streams of a log with a name are called
	// "<name>~customer-<organization>.<id>". Default none.
	Name string
	// MaxAppendSize is the server's setting of that name, in bytes: what is larger is [eventlog.ErrInvalid]. The server
	// counts data, metadata and two bytes for each of a type. Default: the URL's maxAppendSize, else 1 MiB, as the server's.
	MaxAppendSize int
	// Timeout bounds a call with all its attempts, except that a read may go on for as long as something comes. Default 10 s,
	// in which a cluster elects a new leader. A connection that has been away for longer fails calls at once.
	Timeout time.Duration
}

// openTimeout bounds [Open] where nobody answers.
const openTimeout = 5 * time.Second

// Log is an [eventlog.Importer]. Make it by [Open], end it by [Log.Close].
type Log struct {
	client   *client
	config   Config
	names    names
	identity uuid.UUID
	origin   eventlog.Position // of the event that made the log: all others come behind it
	growth   *eventlog.Growth
	cursors  cursors
	recent   recent
	follower sync.WaitGroup
}

var _ eventlog.Importer = (*Log)(nil)

// Open opens the log in the database that a URL names: esdb://, esdb+discover://, or the same with kurrentdb, with the
// settings of the client library (of discovery it tries as often as it takes, with a pause of its own). A database without a log gets one. The error tells in a sentence what is wrong with the
// URL; it is [eventlog.ErrUnavailable] if no server answers there or none that lets us in, after five seconds at the latest.
func Open(ctx context.Context, url string, config Config) (*Log, error) {
	config.Timeout = cmp.Or(config.Timeout, 10*time.Second)
	if !regexp.MustCompile(`^[A-Za-z0-9_]*$`).MatchString(config.Name) {
		return nil, fmt.Errorf("eventstoredb: %q cannot be the name of a log", config.Name)
	}
	settings, appendSize, err := parse(url)
	if err != nil {
		return nil, err
	}
	config.MaxAppendSize = cmp.Or(config.MaxAppendSize, appendSize, 1<<20)
	l := &Log{config: config}
	if config.Name != "" {
		l.names.prefix = config.Name + "~"
	}
	opening, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	if l.client, err = connect(opening, *settings, config.Timeout, l.probe); err != nil {
		return nil, unavailable(err)
	}
	if err := l.begin(ctx); err != nil {
		l.client.close()
		return nil, err
	}
	l.follower.Go(l.follow)
	return l, nil
}

// Close ends all connections. Calls that are waiting and later ones fail with [eventlog.ErrUnavailable].
func (l *Log) Close() {
	l.client.close()
	l.growth.Close()
	l.follower.Wait()
}

// State returns what the last call has found out about the connection, for those who ask whether the process is ready.
func (l *Log) State() State { return l.client.State() }

// Identity implements [eventlog.Log].
func (l *Log) Identity(context.Context) (uuid.UUID, error) { return l.identity, nil }

// Head implements [eventlog.Log].
func (l *Log) Head(ctx context.Context) (eventlog.Position, error) {
	for {
		// What is known is the least; the rest is read, and seldom is there any.
		events, err := l.read(ctx, max(l.origin, l.growth.Known()), 1000)
		if err != nil {
			return 0, err
		}
		if len(events) == 0 {
			return l.growth.Known(), nil
		}
		l.growth.Reached(events[len(events)-1].Position)
	}
}

// probe asks what a server answers only if it is the leader, of a version that we understand, and lets us in.
func (l *Log) probe(ctx context.Context, client *esdb.Client) error {
	version, err := client.GetServerVersion()
	if err != nil {
		return err
	}
	if version.Major < 23 || version.Major == 23 && version.Minor < 10 { // the first whose subscriptions say that they have caught up
		return fmt.Errorf("%d.%d; %w", version.Major, version.Minor, errOld)
	}
	_, err = l.birth(ctx, client)
	return err
}

var errOld = errors.New("it must be 23.10 or later")

// birth is the event that made the log.
type birth struct {
	identity uuid.UUID // Nil if the log has not been made
	position eventlog.Position
}

func (l *Log) birth(ctx context.Context, client *esdb.Client) (birth, error) {
	ctx, cancel := context.WithCancel(leading(ctx))
	defer cancel()
	stream, err := client.ReadStream(ctx, l.names.identity(), esdb.ReadStreamOptions{From: esdb.Start{}}, 1)
	if err != nil {
		return birth{}, err
	}
	made, err := stream.Recv()
	switch {
	case errors.Is(err, io.EOF) || codeOf(err) == esdb.ErrorCodeResourceNotFound:
		return birth{}, nil
	case err != nil:
		return birth{}, err
	}
	return birth{made.Event.EventID, eventlog.Position(made.Event.Position.Commit)}, nil
}

// begin finds out which log this is, and makes it if there is not one, and where it ends.
func (l *Log) begin(ctx context.Context) error {
	for l.identity == uuid.Nil {
		found, err := do(ctx, l.client, func(ctx context.Context, s *session) (birth, error) {
			found, err := l.birth(ctx, s.reader)
			if err != nil || found.identity != uuid.Nil {
				return found, err
			}
			// Of several processes that do this at once one wins, and all read its event.
			_, err = s.writer.AppendToStream(ctx, l.names.identity(), esdb.AppendToStreamOptions{ExpectedRevision: esdb.NoStream{}},
				esdb.EventData{EventID: uuid.New(), EventType: "annal.log_made", ContentType: esdb.ContentTypeJson, Data: []byte("{}"), Metadata: []byte("{}")})
			if codeOf(err) == esdb.ErrorCodeWrongExpectedVersion {
				err = nil
			}
			return found, err
		})
		if err != nil {
			return err
		}
		l.identity, l.origin = found.identity, found.position
	}
	head, err := l.newest(ctx)
	l.growth = eventlog.NewGrowth(head)
	return err
}

// newest returns the position of the log's newest event, 0 if there is not one. It goes backwards from the end of the
// database, where the newest event is unless others write there too, and needs no filter, for which the client offers none.
func (l *Log) newest(ctx context.Context) (eventlog.Position, error) {
	const stride = 5000 // events of others before a new call is made, each with its own time
	var from esdb.AllPosition = esdb.End{}
	type found struct {
		head eventlog.Position
		done bool
		next esdb.Position
	}
	for {
		f, err := do(ctx, l.client, func(ctx context.Context, s *session) (f found, err error) {
			ctx, cancel := context.WithCancel(leading(ctx))
			defer cancel()
			stream, err := s.reader.ReadAll(ctx, esdb.ReadAllOptions{Direction: esdb.Backwards, From: from}, stride)
			if err != nil {
				return f, err
			}
			f.done = true
			for range stride {
				r, err := stream.Recv()
				switch {
				case errors.Is(err, io.EOF):
					return f, nil
				case err != nil:
					return f, err
				}
				position := eventlog.Position(r.Event.Position.Commit)
				if position <= l.origin {
					return f, nil
				}
				if _, ok := l.names.parse(r.Event.StreamID); ok {
					f.head = position
					return f, nil
				}
				f.next = r.Event.Position
			}
			f.done = false
			return f, nil
		})
		if err != nil || f.done {
			return f.head, err
		}
		from = f.next
	}
}

// known reports whether a revision can be one at all: the server counts to 2⁶³-1.
func known(v eventlog.Version) bool { return v < math.MaxInt64 }
