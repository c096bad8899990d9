package eventstoredb_test

import (
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/google/uuid"

	"github.com/annal-crm/annal/eventlog"
	"github.com/annal-crm/annal/eventlog/eventstoredb"
	"github.com/annal-crm/annal/eventlog/eventstoredb/esdbtest"
	"github.com/annal-crm/annal/eventlog/logtest"
)

// server returns the URL of a database: of a real server, if ANNAL_TEST_EVENTSTORE_URL names one, else of a double. Either
// has other programs' events in it.
func server(t *testing.T, config esdbtest.Config) string {
	t.Helper()
	url := os.Getenv("ANNAL_TEST_EVENTSTORE_URL")
	if url == "" {
		url = double(t, config).URL()
	}
	litter(t, url)
	return url
}

// double starts a cluster for a test that needs what no real server does on demand.
func double(t *testing.T, config esdbtest.Config) *esdbtest.Cluster {
	t.Helper()
	cluster, err := esdbtest.New(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	cluster.Put("$stats-127.0.0.1:2113", "$statsCollected", []byte(`{}`), nil)
	cluster.Put("$$customer-1", "$metadata", []byte(`{"$maxCount":1}`), nil)
	return cluster
}

// bare returns a client as other programs use it.
func bare(t *testing.T, url string) *esdb.Client {
	t.Helper()
	config, err := esdb.ParseConnectionString(strings.Replace(url, "kurrentdb", "esdb", 1))
	if err != nil {
		t.Fatal(err)
	}
	config.Logger = nil
	client, err := esdb.NewClient(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	return client
}

// litter appends events of some other program, in streams of every form.
func litter(t *testing.T, url string) {
	t.Helper()
	client := bare(t, url)
	id := uuid.NewString()
	for _, stream := range []string{
		id, "customer-" + id, "customer-" + id + ".", "other~customer-" + id + "." + uuid.NewString(),
		"customer-" + strings.ToUpper(id) + "." + uuid.NewString(), "-" + id + "." + id, "東京-" + id,
	} {
		for _, data := range []string{`{"a":1}`, "\x00\xff", ""} {
			event := esdb.EventData{EventID: uuid.New(), EventType: "something.else", Data: []byte(data), Metadata: []byte(data)}
			if _, err := client.AppendToStream(t.Context(), stream, esdb.AppendToStreamOptions{ExpectedRevision: esdb.Any{}}, event); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// opened is a log and how to get another client of it.
type opened struct {
	*eventstoredb.Log
	url    string
	config eventstoredb.Config
}

// open opens a log of its own in a database.
func open(t *testing.T, url string, config eventstoredb.Config) opened {
	t.Helper()
	config.Name = cmp.Or(config.Name, strings.ReplaceAll(uuid.NewString(), "-", "_"))
	log, err := eventstoredb.Open(t.Context(), url, config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(log.Close)
	return opened{log, url, config}
}

func contract(t *testing.T, double esdbtest.Config) {
	logtest.Run(t, logtest.Options{
		New: func(t *testing.T) eventlog.Log { return open(t, server(t, double), eventstoredb.Config{}) },
		Second: func(t *testing.T, log eventlog.Log) eventlog.Log {
			return open(t, log.(opened).url, log.(opened).config)
		},
		Gaps: true, NoCount: true, TimesRunBack: true, MaxAppendSize: 1 << 20,
	})
}

func TestContract(t *testing.T) { contract(t, esdbtest.Config{}) }

func TestContractOnACluster(t *testing.T) { contract(t, esdbtest.Config{Nodes: 3}) }

func newStream() eventlog.Stream {
	return eventlog.Stream{Organization: uuid.New(), Category: "customer", ID: uuid.New()}
}

func newEvents(n int) []eventlog.NewEvent {
	events := make([]eventlog.NewEvent, n)
	for i := range events {
		events[i] = eventlog.NewEvent{
			ID: uuid.New(), Type: "customer.registered", Schema: 1, Data: json.RawMessage(fmt.Sprintf(`{"n":%d}`, i)),
			Meta: json.RawMessage(`{"$correlationId":"c"}`), OccurredAt: time.Now().UTC().Truncate(time.Microsecond),
		}
	}
	return events
}

func mustAppend(t *testing.T, log eventlog.Log, s eventlog.Stream, expected eventlog.Version, events ...eventlog.NewEvent) eventlog.Receipt {
	t.Helper()
	receipt, err := log.Append(t.Context(), s, expected, events...)
	if err != nil {
		t.Fatal(err)
	}
	return receipt
}

func readAll(t *testing.T, log eventlog.Log, page int) (all []eventlog.Event) {
	t.Helper()
	var after eventlog.Position
	for {
		events, err := log.ReadAll(t.Context(), after, page)
		if err != nil {
			t.Fatal(err)
		}
		if len(events) == 0 {
			return all
		}
		all = append(all, events...)
		after = all[len(all)-1].Position
	}
}

func readStream(t *testing.T, log eventlog.Log, s eventlog.Stream, after eventlog.Version) (events []eventlog.Event) {
	t.Helper()
	for e, err := range log.ReadStream(t.Context(), s, after) {
		if err != nil {
			t.Fatal(err)
		}
		events = append(events, e)
	}
	return events
}
