// Package esdbtest is a double of EventStoreDB in the process, for tests and benchmarks.
//
// It speaks the server's gRPC interface through the stubs that the client library is built on: Streams (Append with
// every expectation, Read of streams and of $all both ways, with filters, and catch-up subscriptions with checkpoint and
// caught-up messages), ServerFeatures, and Gossip with a leader and followers. Appends are idempotent by event id just as
// the server's are. It can fail in the server's ways: see [Cluster] and [Fault].
//
// What it does not do: BatchAppend, which the client library never calls; anything on a disk (data last as long as the
// Cluster, also through [Cluster.Restart]); replication (all nodes have one store: no write is lost with its leader, and a
// follower lags as far as Config says); elections that take time; deletion, tombstones, stream metadata ($maxAge, $acl) and scavenging; links and their resolution; explicit transactions; persistent
// subscriptions, projections, users but one; FellBehind messages; limits but MaxAppendSize. Positions are made up, with
// gaps like a log file's, and it is strict where the server is vague: a position that is no event's is always refused.
package esdbtest

import (
	"cmp"
	"crypto/tls"
	"encoding/pem"
	"fmt"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
)

// Config tunes a [Cluster]. The zero value is one node without TLS that lets everybody in.
type Config struct {
	Nodes          int    // default 1
	TLS            bool   // with a certificate of its own making; its authority is [Cluster.Authority]
	User, Password string // asked for by Streams if there is a user; the client sends them by TLS only
	MaxAppendSize  int    // bytes of one append; default 1 MiB as the server's
	Version        string // that ServerFeatures tells; default "24.10.0"
	FollowerLag    int    // the newest events, of $all and of each stream, that followers do not have yet when they are read
}

// Cluster is the nodes of one database. All methods are safe for concurrent use.
type Cluster struct {
	config    Config
	store     *store
	nodes     []*node
	authority []byte

	mu     sync.Mutex
	leader int
	delay  time.Duration
	faults []Fault
}

// Fault is how an append goes wrong.
type Fault int

// What the server answers; the last three after, or instead of, having written.
const (
	WrongVersion  Fault = iota // wrong expected version, whatever the version is
	NotLeader                  // not leader, though it is, with its own address as the leader's
	TimeoutBefore              // a time-out, with nothing written
	TimeoutAfter               // a time-out, with all written
	DropAfter                  // no answer: the connection ends, with all written
	SilentAfter                // no answer and no end, with all written
	NotReady                   // as a node answers that is starting or without a leader; nothing is written
)

// New starts a cluster on ports of its own on the loopback. End it by [Cluster.Close].
func New(config Config) (*Cluster, error) {
	config.Nodes = cmp.Or(config.Nodes, 1)
	config.MaxAppendSize = cmp.Or(config.MaxAppendSize, 1<<20)
	config.Version = cmp.Or(config.Version, "24.10.0")
	c := &Cluster{config: config, store: newStore()}
	var certificate *tls.Certificate
	if config.TLS {
		certificate, c.authority = certify()
	}
	for i := range config.Nodes {
		n := &node{cluster: c, index: i, instance: uuid.New(), certificate: certificate}
		if err := n.start("127.0.0.1:0"); err != nil {
			c.Close()
			return nil, err
		}
		c.nodes = append(c.nodes, n)
	}
	return c, nil
}

// Close stops all nodes.
func (c *Cluster) Close() {
	for i := range c.nodes {
		c.nodes[i].stop()
	}
}

// URL is a connection string: of the node, or with all nodes as seeds for discovery.
func (c *Cluster) URL() string {
	addresses := make([]string, len(c.nodes))
	for i, n := range c.nodes {
		addresses[i] = n.address
	}
	return c.url("esdb", strings.Join(addresses, ","))
}

// DiscoverURL is a connection string of one node, in the way of a name that stands for the cluster.
func (c *Cluster) DiscoverURL(node int) string { return c.url("esdb+discover", c.nodes[node].address) }

// NodeURL is a connection string of one node, without discovery.
func (c *Cluster) NodeURL(node int) string { return c.url("esdb", c.nodes[node].address) }

func (c *Cluster) url(scheme, hosts string) string {
	user := ""
	if c.config.User != "" {
		user = url.UserPassword(c.config.User, c.config.Password).String() + "@"
	}
	return fmt.Sprintf("%s://%s%s?tls=%v", scheme, user, hosts, c.config.TLS)
}

// Authority is the certificate, in PEM, that the nodes' is signed by; nil without TLS.
func (c *Cluster) Authority() []byte { return c.authority }

// Leader returns the index of the node that leads.
func (c *Cluster) Leader() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.leader
}

// Lead makes a node the leader. Connections stay; the others answer calls that ask for the leader with its address, and
// end subscriptions that did.
func (c *Cluster) Lead(node int) {
	c.mu.Lock()
	before := c.leader
	c.leader = node
	c.mu.Unlock()
	if before != node {
		c.nodes[before].demote()
	}
}

// Drop cuts all connections of all nodes. New ones are taken.
func (c *Cluster) Drop() {
	for _, n := range c.nodes {
		n.drop()
	}
}

// Stop ends a node. If it was the leader, another one that runs is from now on.
func (c *Cluster) Stop(node int) {
	c.nodes[node].stop()
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, n := range c.nodes {
		if c.leader == node && n.running() {
			c.leader = i
		}
	}
}

// Start starts a node again that was stopped, on its port and with its data.
func (c *Cluster) Start(node int) error { return c.nodes[node].start(c.nodes[node].address) }

// Restart stops all nodes and starts them again after a time.
func (c *Cluster) Restart(away time.Duration) error {
	for _, n := range c.nodes {
		n.stop()
	}
	time.Sleep(away)
	for _, n := range c.nodes {
		if err := n.start(n.address); err != nil {
			return err
		}
	}
	return nil
}

// Delay makes each call begin that much later.
func (c *Cluster) Delay(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.delay = d
}

// Fail makes the next appends go wrong, one each.
func (c *Cluster) Fail(faults ...Fault) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.faults = append(c.faults, faults...)
}

// Faults returns how many of those that [Cluster.Fail] was told are still to come.
func (c *Cluster) Faults() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.faults)
}

// fault returns how the append that begins now goes wrong.
func (c *Cluster) fault() (Fault, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.faults) == 0 {
		return 0, false
	}
	f := c.faults[0]
	c.faults = c.faults[1:]
	return f, true
}

// Put adds an event as some other program, or the server itself, would: to any stream, "$stats" say, of any type and form.
func (c *Cluster) Put(stream, eventType string, data, metadata []byte) {
	c.store.put(stream, proposal{id: uuid.New(), eventType: eventType, contentType: "application/octet-stream", data: data, metadata: metadata})
}

// Len returns how many events there are in all streams.
func (c *Cluster) Len() int { return c.store.len() }

// certify returns a certificate for the loopback, and that of its authority: those of net/http/httptest.
func certify() (*tls.Certificate, []byte) {
	server := httptest.NewTLSServer(nil)
	defer server.Close()
	authority := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	return &server.TLS.Certificates[0], authority
}
