package eventstoredb_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/annal-crm/annal/eventlog"
	"github.com/annal-crm/annal/eventlog/eventstoredb"
	"github.com/annal-crm/annal/eventlog/eventstoredb/esdbtest"
	"github.com/annal-crm/annal/eventlog/logtest"
)

// These tests break what no real server breaks on demand, so they always run on the double.

// patient is for tests under load on a machine that may be busy with other things.
var patient = eventstoredb.Config{Timeout: 30 * time.Second}

// load appends and reads by way of a log while trouble is made after every few appends, and demands that every acknowledged event
// is there exactly once and in order, that none is there that was not sent, and that followers saw all of that without a gap or a
// repeat. It goes on until enough trouble was made and met says that the log has met it, however fast the machine is.
func load(t *testing.T, log eventlog.Log, trouble func(), met func() bool) {
	const writers, streams, rounds, every, enough = 6, 4, 25, 5, 25
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	type written struct {
		stream  eventlog.Stream
		receipt eventlog.Receipt
	}
	var mu sync.Mutex
	acknowledged, sent := make(map[uuid.UUID]written), make(map[uuid.UUID]bool)
	var writing, reading sync.WaitGroup
	var answered atomic.Int64
	done := make(chan struct{}) // closed when the log has met enough trouble
	troubled := func() bool {
		select {
		case <-done:
			return true
		default:
			return false
		}
	}
	for range writers {
		writing.Go(func() {
			at := make(map[eventlog.Stream]eventlog.Version)
			var own []eventlog.Stream
			for range streams {
				own = append(own, newStream())
			}
			for round := 0; round < rounds || !troubled(); round++ {
				stream, events := own[round%streams], newEvents(1+round%3)
				mu.Lock()
				for _, e := range events {
					sent[e.ID] = true
				}
				mu.Unlock()
				// Sent again until it is answered, as a command is.
				for {
					receipt, err := log.Append(ctx, stream, at[stream], events...)
					if errors.Is(err, eventlog.ErrUnavailable) && ctx.Err() == nil {
						continue
					}
					if err != nil {
						t.Errorf("append at %d: %v", at[stream], err)
						return
					}
					at[stream] = receipt.Version
					mu.Lock()
					acknowledged[events[len(events)-1].ID] = written{stream, receipt}
					mu.Unlock()
					answered.Add(1)
					break
				}
			}
			for _, stream := range own {
				count := eventlog.Version(0)
				for e, err := range log.ReadStream(ctx, stream, 0) {
					if count++; err != nil || e.Version != count {
						t.Errorf("version %d of a stream: %d, %v", count, e.Version, err)
						return
					}
				}
				if count != at[stream] {
					t.Errorf("%d events in a stream at %d", count, at[stream])
				}
			}
		})
	}
	end := newEvents(1)[0]
	followed := make([][]eventlog.Event, 3)
	for i := range followed {
		reading.Go(func() {
			var after eventlog.Position
			for {
				if err := log.Wait(ctx, after); err != nil {
					t.Errorf("reader %d waiting: %v", i, err)
					return
				}
				page, err := log.ReadAll(ctx, after, 5+20*i)
				if errors.Is(err, eventlog.ErrUnavailable) && ctx.Err() == nil {
					continue
				}
				if err != nil {
					t.Errorf("reader %d: %v", i, err)
					return
				}
				followed[i] = append(followed[i], page...)
				if len(page) > 0 {
					after = page[len(page)-1].Position
					if page[len(page)-1].ID == end.ID {
						return
					}
				}
			}
		})
	}
	for made := 0; ctx.Err() == nil && !t.Failed() && (made < enough || !met()); {
		if made > 0 && answered.Load() < int64(every*made) {
			time.Sleep(time.Millisecond)
			continue
		}
		trouble()
		made++
	}
	close(done)
	writing.Wait()
	if ctx.Err() != nil {
		t.Errorf("after %d appends the log has not met the trouble", answered.Load())
	}
	mustAppend(t, log, newStream(), 0, end)
	reading.Wait()
	if t.Failed() {
		return
	}
	all := readAll(t, log, 300)
	logtest.InOrder(t, all, true)
	found := 0
	for _, e := range all {
		if !sent[e.ID] && e.ID != end.ID {
			t.Fatalf("position %d holds an event that nobody sent", e.Position)
		}
		if w, ok := acknowledged[e.ID]; ok {
			if found++; w != (written{e.Stream, eventlog.Receipt{Position: e.Position, Version: e.Version}}) {
				t.Fatalf("acknowledged as %+v, found as %+v", w, e)
			}
		}
	}
	if found != len(acknowledged) || found != int(answered.Load()) || found < writers*rounds || len(all) != len(sent)+1 {
		t.Fatalf("%d of %d acknowledged appends found; %d events of %d sent", found, len(acknowledged), len(all)-1, len(sent))
	}
	for i, events := range followed {
		if len(events) != len(all) {
			t.Fatalf("reader %d saw %d events of %d", i, len(events), len(all))
		}
		for j := range events {
			if events[j].ID != all[j].ID || events[j].Position != all[j].Position {
				t.Fatalf("reader %d saw another event in place %d", i, j)
			}
		}
	}
}

func TestUnderLoad(t *testing.T) {
	t.Parallel()
	faults, faulty := []esdbtest.Fault{esdbtest.TimeoutAfter, esdbtest.TimeoutBefore, esdbtest.DropAfter, esdbtest.NotReady}, 0
	for name, test := range map[string]struct {
		nodes   int
		trouble func(*testing.T, *esdbtest.Cluster, int)
		losses  int64 // connections that are lost at the least
	}{
		"connections are dropped": {1, func(_ *testing.T, c *esdbtest.Cluster, _ int) { c.Drop() }, 5},
		"the server restarts": {1, func(t *testing.T, c *esdbtest.Cluster, i int) {
			if i%10 == 3 {
				if err := c.Restart(150 * time.Millisecond); err != nil {
					t.Error(err)
				}
			}
		}, 2},
		"the leader changes": {3, func(_ *testing.T, c *esdbtest.Cluster, i int) { c.Lead(i % 3) }, 1},
		"leaders die": {3, func(t *testing.T, c *esdbtest.Cluster, i int) {
			if i%5 == 2 {
				leader := c.Leader()
				c.Stop(leader)
				time.Sleep(100 * time.Millisecond)
				if err := c.Start(leader); err != nil {
					t.Error(err)
				}
			}
		}, 2},
		"appends go wrong in every way": {3, func(_ *testing.T, c *esdbtest.Cluster, i int) {
			if i%2 == 0 && c.Faults() == 0 { // more, and most of the time is spent waiting between attempts
				c.Fail(faults[faulty%len(faults)])
				faulty++
			}
		}, 1},
	} {
		t.Run(strings.ReplaceAll(name, " ", "_"), func(t *testing.T) {
			t.Parallel()
			cluster := double(t, esdbtest.Config{Nodes: test.nodes})
			log := open(t, cluster.URL(), patient)
			round, bitten := 0, log.State().Losses
			lost := func() int64 { return log.State().Losses - bitten }
			trouble := func() { test.trouble(t, cluster, round); round++ }
			load(t, log, trouble, func() bool { return lost() >= test.losses && cluster.Faults() == 0 })
			t.Logf("%d troubles, %d connections lost", round, lost())
		})
	}
}

func TestAnAppendThatTimesOutAfterTheWriteIsOneEvent(t *testing.T) {
	t.Parallel()
	cluster := double(t, esdbtest.Config{})
	log := open(t, cluster.URL(), eventstoredb.Config{Timeout: 2 * time.Second})
	const none esdbtest.Fault = -1 // what follows must hold without a fault as well
	for name, fault := range map[string]esdbtest.Fault{
		"a time-out": esdbtest.TimeoutAfter, "not the leader": esdbtest.NotLeader, "not ready": esdbtest.NotReady, "a lost connection": esdbtest.DropAfter, "silence": esdbtest.SilentAfter,
		"nothing": none,
	} {
		stream, events := newStream(), newEvents(2)
		mustAppend(t, log, stream, 0, newEvents(1)...)
		before := cluster.Len()
		if fault != none {
			cluster.Fail(fault)
		}
		receipt := mustAppend(t, log, stream, 1, events...)
		read := readStream(t, log, stream, 0)
		if len(read) != 3 || cluster.Len() != before+2 || read[2].Position != receipt.Position || receipt.Version != 3 {
			t.Fatalf("%s: %d events in the stream, %d new ones, receipt %+v", name, len(read), cluster.Len()-before, receipt)
		}
		if again := mustAppend(t, log, stream, 1, events...); again != receipt {
			t.Fatalf("%s: sent again: %+v after %+v", name, again, receipt)
		}
	}
}

// A server that has restarted has forgotten which events it took, and compares only the first: the stream decides.
func TestAConflictThatIsNoneIsTheFirstReceipt(t *testing.T) {
	t.Parallel()
	cluster := double(t, esdbtest.Config{})
	log := open(t, cluster.URL(), eventstoredb.Config{})
	stream, events := newStream(), newEvents(3)
	receipt := mustAppend(t, log, stream, 0, events...)
	mustAppend(t, log, stream, 3, newEvents(1)...)
	cluster.Fail(esdbtest.WrongVersion)
	if again := mustAppend(t, log, stream, 0, events...); again != receipt {
		t.Fatalf("%+v after %+v", again, receipt)
	}
	cluster.Fail(esdbtest.WrongVersion, esdbtest.WrongVersion)
	for _, others := range [][]eventlog.NewEvent{events[:2:2], append(events[:2:2], newEvents(1)...)} {
		receipt, err := log.Append(t.Context(), stream, 0, others...)
		if len(others) == 2 && (err != nil || receipt.Version != 2) || len(others) == 3 && !errors.Is(err, eventlog.ErrConflict) {
			t.Fatalf("%d events: %+v, %v", len(others), receipt, err)
		}
	}
}

func TestAnAppendWhoseContextEndsMayBeSentAgain(t *testing.T) {
	cluster := double(t, esdbtest.Config{})
	log := open(t, cluster.URL(), eventstoredb.Config{})
	stream, events := newStream(), newEvents(1)
	before := cluster.Len()
	cluster.Fail(esdbtest.SilentAfter)
	for patience := 100 * time.Millisecond; cluster.Len() == before; patience *= 2 { // until the server had the time to write it
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		_, err := log.Append(ctx, stream, 0, events...)
		cancel()
		if err == nil { // written after all, by the attempt before
			break
		}
		if !errors.Is(err, eventlog.ErrUnavailable) || !errors.Is(err, context.DeadlineExceeded) {
			t.Fatal(err)
		}
	}
	if losses := log.State().Losses; losses != 0 {
		t.Fatalf("an impatient caller cost %d connections", losses)
	}
	if receipt := mustAppend(t, log, stream, 0, events...); receipt.Version != 1 || len(readStream(t, log, stream, 0)) != 1 {
		t.Fatalf("%+v", receipt)
	}
}

// The library's client dies in an outage that is longer than its discovery.
func TestALongOutageEnds(t *testing.T) {
	for _, nodes := range []int{1, 3} {
		t.Run(fmt.Sprint(nodes), func(t *testing.T) {
			t.Parallel()
			cluster := double(t, esdbtest.Config{Nodes: nodes})
			log := open(t, cluster.URL()+"&maxDiscoverAttempts=2", eventstoredb.Config{Timeout: time.Second})
			stream := newStream()
			first := mustAppend(t, log, stream, 0, newEvents(1)...)
			woken := make(chan error, 1)
			go func() { woken <- log.Wait(t.Context(), first.Position) }()
			for i := range nodes {
				cluster.Stop(i)
			}
			began := time.Now()
			var refused atomic.Int64
			var calls sync.WaitGroup
			for time.Since(began) < 2*time.Second || refused.Load() < 20 {
				calls.Go(func() {
					_, err := log.Append(t.Context(), stream, 1, newEvents(1)...)
					_, read := log.ReadAll(t.Context(), 0, 10)
					_, tails := log.ReadStreams(t.Context(), eventlog.Tail{Stream: stream})
					if !errors.Is(err, eventlog.ErrUnavailable) || !errors.Is(read, eventlog.ErrUnavailable) || !errors.Is(tails, eventlog.ErrUnavailable) {
						t.Errorf("without a server: %v, %v, %v", err, read, tails)
					}
					refused.Add(1)
				})
				time.Sleep(20 * time.Millisecond)
			}
			state := log.State()
			if state.Connected || state.Err == nil || state.Losses != 1 || state.Since.Before(began.Add(-time.Second)) {
				t.Fatalf("%+v", state)
			}
			now := time.Now()
			if _, err := log.Append(t.Context(), stream, 1, newEvents(1)...); !errors.Is(err, eventlog.ErrUnavailable) || time.Since(now) > 500*time.Millisecond {
				t.Fatalf("after a long outage a call took %v: %v", time.Since(now), err)
			}
			calls.Wait()
			select {
			case err := <-woken:
				t.Fatalf("woken by an outage: %v", err)
			default:
			}
			for i := range nodes {
				if err := cluster.Start(i); err != nil {
					t.Fatal(err)
				}
			}
			for deadline := time.Now().Add(30 * time.Second); !log.State().Connected; {
				if time.Now().After(deadline) {
					t.Fatalf("no recovery: %+v", log.State())
				}
				time.Sleep(10 * time.Millisecond)
			}
			mustAppend(t, open(t, cluster.URL(), log.config), stream, 1, newEvents(1)...) // of another process, so that the subscription must wake us
			if err := <-woken; err != nil {
				t.Fatal(err)
			}
			if all := readAll(t, log, 10); len(all) != 2 {
				t.Fatalf("%d events after %d calls that were refused", len(all), refused.Load())
			}
		})
	}
}

func TestSlowIsNotGone(t *testing.T) {
	cluster := double(t, esdbtest.Config{})
	log := open(t, cluster.URL(), patient)
	cluster.Delay(300 * time.Millisecond)
	mustAppend(t, log, newStream(), 0, newEvents(1)...)
	if all := readAll(t, log, 10); len(all) != 1 || log.State().Losses != 0 {
		t.Fatalf("%d events, %+v", len(all), log.State())
	}
}

func TestOpenSaysWhatIsWrong(t *testing.T) {
	secured := double(t, esdbtest.Config{TLS: true, User: "annal", Password: "s3cret"})
	plain := double(t, esdbtest.Config{})
	old := double(t, esdbtest.Config{Version: "22.10.4"})
	stopped := double(t, esdbtest.Config{Nodes: 3})
	for i := range 3 {
		stopped.Stop(i)
	}
	authority := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(authority, secured.Authority(), 0o600); err != nil {
		t.Fatal(err)
	}
	trusted := secured.URL() + "&tlsCaFile=" + authority
	log, err := eventstoredb.Open(t.Context(), strings.Replace(trusted, "esdb://", "kurrentdb://", 1), eventstoredb.Config{})
	if err != nil {
		t.Fatal(err)
	}
	mustAppend(t, log, newStream(), 0, newEvents(1)...)
	log.Close()
	for name, test := range map[string]struct{ url, says string }{
		"no URL":                {"localhost:2113", "must begin with esdb://"},
		"another database's":    {"postgres://localhost", "must begin with esdb://"},
		"no host":               {"esdb://", "cannot be used"},
		"a bad port":            {"esdb://annal:s3cret@localhost:no", "cannot be used"},
		"a bad escape":          {"esdb://annal:s3cret%@localhost", "cannot be used"},
		"a misspelt setting":    {plain.URL() + "&tlsVerify=false", `"tlsVerify", which is unknown`},
		"too little to append":  {plain.URL() + "&maxAppendSize=1000", "number of bytes from 65536"},
		"a follower preferred":  {plain.URL() + "&nodePreference=follower", "must be leader"},
		"no such file":          {secured.URL() + "&tlsCaFile=/nowhere/ca.pem", "cannot be used"},
		"nobody there":          {stopped.NodeURL(0), "cannot be reached"},
		"a cluster that is off": {stopped.URL(), "cannot be reached"},
		"discovery of nobody":   {stopped.DiscoverURL(1), "cannot be reached"},
		"a vanished host":       {"esdb://192.0.2.1:2113?tls=false", "cannot be reached"}, // an address for documentation
		"no such host":          {"esdb://host.invalid:2113?tls=false", "cannot be reached"},
		"a wrong certificate":   {secured.URL(), "certificate that is not trusted"},
		"no TLS there":          {strings.Replace(plain.URL(), "tls=false", "tls=true", 1), "not using TLS"},
		"TLS there":             {strings.Replace(secured.URL(), "tls=true", "tls=false", 1), "cannot be reached"},
		"a wrong password":      {strings.Replace(trusted, "s3cret", "s3crets", 1), "user name and password"},
		"an old server":         {old.URL(), "too old"},
	} {
		began := time.Now()
		_, err := eventstoredb.Open(t.Context(), test.url, eventstoredb.Config{})
		if err == nil || !strings.Contains(err.Error(), test.says) || strings.Contains(err.Error(), "s3cret") || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v", name, err)
		}
		if took := time.Since(began); took > 8*time.Second {
			t.Errorf("%s: told after %v", name, took)
		}
		t.Logf("%s: %v", name, err)
	}
	if _, err := eventstoredb.Open(t.Context(), plain.URL(), eventstoredb.Config{Name: "a~b"}); err == nil {
		t.Error("a name that no log can have")
	}
}

// Whichever node is asked first, what is read is what the leader has.
func TestEveryWayToACluster(t *testing.T) {
	t.Parallel()
	cluster := double(t, esdbtest.Config{Nodes: 3, FollowerLag: 2})
	cluster.Lead(1)
	config, stream := eventstoredb.Config{}, newStream()
	for i, url := range []string{cluster.URL(), cluster.DiscoverURL(2), strings.Replace(cluster.DiscoverURL(0), "esdb", "kurrentdb", 1), cluster.NodeURL(0)} {
		log := open(t, url, config)
		config = log.config
		mustAppend(t, log, stream, eventlog.Version(i), newEvents(1)...)
		head, err := log.Head(t.Context())
		all, held := readAll(t, log, 10), readStream(t, log, stream, 0)
		if len(all) != i+1 || len(held) != i+1 || err != nil || head != all[i].Position {
			t.Errorf("%s: %d events, %d in the stream, head %d, %v", url, len(all), len(held), head, err)
		}
	}
}

func TestTwoThatOpenAtOnceMakeOneLog(t *testing.T) {
	t.Parallel()
	url := server(t, esdbtest.Config{})
	config := eventstoredb.Config{Name: fmt.Sprintf("n%d", time.Now().UnixNano())}
	ids := make([]uuid.UUID, 6)
	var wg sync.WaitGroup
	for i := range ids {
		wg.Go(func() {
			log, err := eventstoredb.Open(t.Context(), url, config)
			if err != nil {
				t.Error(err)
				return
			}
			defer log.Close()
			ids[i], _ = log.Identity(t.Context())
		})
	}
	wg.Wait()
	for _, id := range ids {
		if id == uuid.Nil || id != ids[0] {
			t.Fatalf("%v", ids)
		}
	}
}

func TestALongReadGoesOnAfterADrop(t *testing.T) {
	t.Parallel()
	cluster := double(t, esdbtest.Config{})
	log := open(t, cluster.URL(), patient)
	stream, events := newStream(), newEvents(2500)
	for after := 0; after < len(events); after += 500 {
		mustAppend(t, log, stream, eventlog.Version(after), events[after:after+500]...)
	}
	seen := 0
	for e, err := range log.ReadStream(t.Context(), stream, 0) {
		if err != nil || e.ID != events[seen].ID {
			t.Fatalf("event %d: version %d, %v", seen, e.Version, err)
		}
		if seen++; seen%500 == 250 {
			cluster.Drop()
		}
	}
	if losses := log.State().Losses; seen != len(events) || losses == 0 {
		t.Fatalf("%d events, %d connections lost", seen, losses)
	}
}
