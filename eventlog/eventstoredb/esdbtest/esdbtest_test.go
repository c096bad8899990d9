package esdbtest_test

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/google/uuid"

	"github.com/annal-crm/annal/eventlog/eventstoredb/esdbtest"
)

func start(t *testing.T, config esdbtest.Config) (*esdbtest.Cluster, *esdb.Client) {
	t.Helper()
	cluster, err := esdbtest.New(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	settings, err := esdb.ParseConnectionString(cluster.URL())
	if err != nil {
		t.Fatal(err)
	}
	settings.Logger = nil
	client, err := esdb.NewClient(settings)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	return cluster, client
}

func event(id uuid.UUID) esdb.EventData {
	return esdb.EventData{EventID: id, EventType: "a.b", ContentType: esdb.ContentTypeJson, Data: []byte(`{}`)}
}

// What the server's index writer answers, case by case.
func TestExpectationsAndIdempotency(t *testing.T) {
	_, client := start(t, esdbtest.Config{})
	ids := make([]uuid.UUID, 8)
	for i := range ids {
		ids[i] = uuid.New()
	}
	pick := func(at ...int) (events []esdb.EventData) {
		for _, i := range at {
			events = append(events, event(ids[i]))
		}
		return events
	}
	const wrong = -1
	var first uint64
	for i, step := range []struct {
		expected esdb.ExpectedRevision
		events   []esdb.EventData
		revision int // of the last event
	}{
		{esdb.Revision(0), pick(0), wrong},
		{esdb.StreamExists{}, pick(0), wrong},
		{esdb.NoStream{}, pick(0, 1, 2), 2},
		{esdb.NoStream{}, pick(0, 1, 2), 2},     // all of it again
		{esdb.NoStream{}, pick(0, 1), 1},        // its beginning
		{esdb.NoStream{}, pick(0, 1, 3), wrong}, // some are there, some not
		{esdb.NoStream{}, pick(1), wrong},
		{esdb.NoStream{}, pick(0, 1, 2, 3), wrong},
		{esdb.Revision(0), pick(1, 2), 2},
		{esdb.Revision(1), pick(3), wrong},
		{esdb.Revision(3), pick(3), wrong},
		{esdb.Revision(2), pick(3), 3},
		{esdb.Any{}, pick(1, 2), 2},
		{esdb.Any{}, pick(1, 4), wrong},
		{esdb.Any{}, pick(4), 4},
		{esdb.StreamExists{}, pick(4), 4},
		{esdb.StreamExists{}, pick(5), 5},
	} {
		result, err := client.AppendToStream(t.Context(), "s-1", esdb.AppendToStreamOptions{ExpectedRevision: step.expected}, step.events...)
		if of, ok := errors.AsType[*esdb.Error](err); (step.revision == wrong) != (ok && of.Code() == esdb.ErrorCodeWrongExpectedVersion) {
			t.Fatalf("step %d: %v, %v", i, result, err)
		}
		if step.revision == wrong {
			continue
		}
		if err != nil || result.NextExpectedVersion != uint64(step.revision) {
			t.Fatalf("step %d: %+v, %v", i, result, err)
		}
		switch i {
		case 2:
			first = result.CommitPosition
		case 3:
			if result.CommitPosition != first {
				t.Fatalf("sent again: position %d after %d", result.CommitPosition, first)
			}
		}
	}
}

func types(t *testing.T, stream *esdb.ReadStream, err error) (read []string) {
	t.Helper()
	for err == nil {
		var e *esdb.ResolvedEvent
		if e, err = stream.Recv(); err == nil {
			read = append(read, fmt.Sprintf("%s@%d", e.Event.StreamID, e.Event.EventNumber))
		}
	}
	if !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	return read
}

func TestReadsBothWays(t *testing.T) {
	cluster, client := start(t, esdbtest.Config{})
	var positions []esdb.Position
	for _, stream := range []string{"a", "b", "a", "a"} {
		result, err := client.AppendToStream(t.Context(), stream, esdb.AppendToStreamOptions{ExpectedRevision: esdb.Any{}}, event(uuid.New()))
		if err != nil {
			t.Fatal(err)
		}
		positions = append(positions, esdb.Position{Commit: result.CommitPosition, Prepare: result.PreparePosition})
	}
	all := func(direction esdb.Direction, from esdb.AllPosition, count uint64) []string {
		stream, err := client.ReadAll(t.Context(), esdb.ReadAllOptions{Direction: direction, From: from}, count)
		return types(t, stream, err)
	}
	one := func(direction esdb.Direction, from esdb.StreamPosition, count uint64) []string {
		stream, err := client.ReadStream(t.Context(), "a", esdb.ReadStreamOptions{Direction: direction, From: from}, count)
		return types(t, stream, err)
	}
	for i, test := range []struct{ got, want []string }{
		{all(esdb.Forwards, esdb.Start{}, 9), []string{"a@0", "b@0", "a@1", "a@2"}},
		{all(esdb.Forwards, positions[1], 2), []string{"b@0", "a@1"}},
		{all(esdb.Backwards, esdb.End{}, 2), []string{"a@2", "a@1"}},
		{all(esdb.Backwards, positions[2], 9), []string{"b@0", "a@0"}},
		{one(esdb.Forwards, esdb.Revision(1), 9), []string{"a@1", "a@2"}},
		{one(esdb.Forwards, esdb.Revision(7), 9), nil},
		{one(esdb.Backwards, esdb.End{}, 1), []string{"a@2"}},
		{one(esdb.Backwards, esdb.Revision(1), 9), []string{"a@1", "a@0"}},
	} {
		if !slices.Equal(test.got, test.want) {
			t.Errorf("read %d: %v, not %v", i, test.got, test.want)
		}
	}
	stream, err := client.ReadStream(t.Context(), "unknown", esdb.ReadStreamOptions{}, 1)
	if err == nil {
		_, err = stream.Recv()
	}
	if of, ok := errors.AsType[*esdb.Error](err); !ok || of.Code() != esdb.ErrorCodeResourceNotFound {
		t.Errorf("an unknown stream: %v", err)
	}
	if cluster.Len() != 4 {
		t.Errorf("%d events", cluster.Len())
	}
}

func TestSubscriptionsCatchUpAndGoOn(t *testing.T) {
	cluster, client := start(t, esdbtest.Config{})
	put := func(stream, eventType string) { cluster.Put(stream, eventType, nil, nil) }
	put("a", "x.one")
	for range 5 {
		put("$stats", "$s")
	}
	put("b", "y.two")
	for name, filter := range map[string]*esdb.SubscriptionFilter{
		"by type's pattern":   esdb.ExcludeSystemEventsFilter(),
		"by type's prefix":    {Type: esdb.EventFilterType, Prefixes: []string{"x.", "$"}},
		"by stream's prefix":  {Type: esdb.StreamFilterType, Prefixes: []string{"b"}},
		"by stream's pattern": {Type: esdb.StreamFilterType, Regex: "^[ab]$"},
	} {
		before := cluster.Len()
		sub, err := client.SubscribeToAll(t.Context(), esdb.SubscribeToAllOptions{From: esdb.Start{}, Filter: filter, MaxSearchWindow: 3, CheckpointInterval: 1})
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for caughtUp, live := false, 0; live < 1; {
			m := sub.Recv()
			switch {
			case m.SubscriptionDropped != nil:
				t.Fatal(m.SubscriptionDropped.Error)
			case m.CaughtUp != nil:
				got, caughtUp = append(got, "caught-up"), true
				put("b", "x.three")
			case m.CheckPointReached != nil:
				got = append(got, "checkpoint")
			case m.EventAppeared != nil:
				got = append(got, m.EventAppeared.Event.StreamID)
				if caughtUp {
					live++
				}
			}
		}
		if err := sub.Close(); err != nil {
			t.Fatal(err)
		}
		text := strings.Join(got, " ")
		checkpoints := strings.Count(text, "checkpoint")
		if !strings.HasSuffix(text, "caught-up b") || checkpoints != before/3 || strings.Contains(text, "$") != (name == "by type's prefix") ||
			strings.HasPrefix(text, "a") == (name == "by stream's prefix") {
			t.Errorf("%s, with %d events: %s", name, before, text)
		}
	}
}

func TestNodesComeBackWithTheirData(t *testing.T) {
	cluster, client := start(t, esdbtest.Config{Nodes: 2})
	if _, err := client.AppendToStream(t.Context(), "s", esdb.AppendToStreamOptions{ExpectedRevision: esdb.NoStream{}}, event(uuid.New())); err != nil {
		t.Fatal(err)
	}
	before := cluster.URL()
	cluster.Stop(cluster.Leader())
	if cluster.Leader() != 1 {
		t.Fatal("a node that is stopped leads")
	}
	if err := cluster.Restart(10 * time.Millisecond); err != nil {
		t.Fatal(err)
	}
	if cluster.URL() != before || cluster.Len() != 1 {
		t.Fatalf("%s after %s, %d events", cluster.URL(), before, cluster.Len())
	}
}
