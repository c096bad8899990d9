package esdbtest

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"net"
	"strconv"
	"sync"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/gossip"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/serverfeatures"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"github.com/google/uuid"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// node is one server of a cluster.
type node struct {
	streams.UnimplementedStreamsServer
	serverfeatures.UnimplementedServerFeaturesServer
	cluster     *Cluster
	index       int
	instance    uuid.UUID
	certificate *tls.Certificate
	address     string // fixed by the first start

	mu       sync.Mutex
	server   *grpc.Server  // nil while stopped
	conns    []net.Conn    // all since the start, also those that have ended
	demoted  chan struct{} // closed and replaced when the node stops leading
	stopping sync.WaitGroup
}

// gossiper is apart from node because Streams has a Read as well.
type gossiper struct {
	gossip.UnimplementedGossipServer
	*node
}

func (n *node) start(address string) error {
	var listener net.Listener
	var err error
	for range 50 { // the port may still be in the last connections' hands
		if listener, err = net.Listen("tcp", address); err == nil {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	if err != nil {
		return err
	}
	options := []grpc.ServerOption{
		grpc.MaxRecvMsgSize(17 << 20),
		// The client pings every 10 s; gRPC's default takes that for an attack.
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: time.Second, PermitWithoutStream: true}),
		grpc.StreamInterceptor(func(srv any, stream grpc.ServerStream, _ *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
			n.wait(stream.Context())
			if err := n.authenticate(stream.Context()); err != nil {
				return err
			}
			return handler(srv, stream)
		}),
	}
	if n.certificate != nil {
		options = append(options, grpc.Creds(credentials.NewServerTLSFromCert(n.certificate)))
	}
	server := grpc.NewServer(options...)
	streams.RegisterStreamsServer(server, n)
	serverfeatures.RegisterServerFeaturesServer(server, n)
	gossip.RegisterGossipServer(server, gossiper{node: n})
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.address == "" {
		n.address = listener.Addr().String()
	}
	n.server, n.conns, n.demoted = server, nil, make(chan struct{})
	n.stopping.Go(func() { _ = server.Serve(tracked{listener, n}) })
	return nil
}

func (n *node) stop() {
	n.mu.Lock()
	server := n.server
	n.server = nil
	n.mu.Unlock()
	if server != nil {
		n.drop() // Stop would wait for handlers that wait for nothing else
		server.Stop()
		n.stopping.Wait()
	}
}

func (n *node) running() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.server != nil
}

// tracked is a listener that knows its connections.
type tracked struct {
	net.Listener
	node *node
}

func (t tracked) Accept() (net.Conn, error) {
	conn, err := t.Listener.Accept()
	if err == nil {
		t.node.mu.Lock()
		defer t.node.mu.Unlock()
		t.node.conns = append(t.node.conns, conn)
	}
	return conn, err
}

func (n *node) drop() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, conn := range n.conns {
		_ = conn.Close()
	}
}

func (n *node) demote() {
	n.mu.Lock()
	defer n.mu.Unlock()
	close(n.demoted)
	n.demoted = make(chan struct{})
}

func (n *node) wait(ctx context.Context) {
	n.cluster.mu.Lock()
	delay := n.cluster.delay
	n.cluster.mu.Unlock()
	if delay > 0 {
		select {
		case <-time.After(delay):
		case <-ctx.Done():
		}
	}
}

func (n *node) authenticate(ctx context.Context) error {
	c := n.cluster.config
	if c.User == "" {
		return nil
	}
	given := metadata.ValueFromIncomingContext(ctx, "authorization")
	if len(given) != 1 || given[0] != "Basic "+base64.StdEncoding.EncodeToString([]byte(c.User+":"+c.Password)) {
		return status.Error(codes.Unauthenticated, "wrong user name or password")
	}
	return nil
}

// led refuses a call that asks for the leader elsewhere. The channel is closed when the node leads no longer, nil if the
// call does not mind.
func (n *node) led(stream grpc.ServerStream) (<-chan struct{}, error) {
	asked := metadata.ValueFromIncomingContext(stream.Context(), "requires-leader")
	if len(asked) == 0 || asked[0] != "true" {
		return nil, nil
	}
	n.mu.Lock()
	demoted := n.demoted
	n.mu.Unlock()
	if n.cluster.Leader() != n.index {
		return nil, n.notLeader(stream)
	}
	return demoted, nil
}

func (n *node) notLeader(stream grpc.ServerStream) error {
	host, port, err := net.SplitHostPort(n.cluster.nodes[n.cluster.Leader()].address)
	if err != nil {
		return err
	}
	stream.SetTrailer(metadata.Pairs("exception", "not-leader", "leader-endpoint-host", host, "leader-endpoint-port", port))
	return status.Error(codes.NotFound, "Leader info available")
}

// Read implements Gossip.
func (g gossiper) Read(ctx context.Context, _ *shared.Empty) (*gossip.ClusterInfo, error) {
	g.wait(ctx)
	info := &gossip.ClusterInfo{}
	leader := g.cluster.Leader()
	for i, n := range g.cluster.nodes {
		host, port, err := net.SplitHostPort(n.address)
		if err != nil {
			return nil, err
		}
		number, err := strconv.ParseUint(port, 10, 16)
		if err != nil {
			return nil, err
		}
		state := gossip.MemberInfo_Follower
		if i == leader {
			state = gossip.MemberInfo_Leader
		}
		info.Members = append(info.Members, &gossip.MemberInfo{
			InstanceId: protoUUID(n.instance), TimeStamp: time.Now().Unix(), State: state, IsAlive: n.running(),
			HttpEndPoint: &gossip.EndPoint{Address: host, Port: uint32(number)},
		})
	}
	return info, nil
}

// GetSupportedMethods implements ServerFeatures.
func (n *node) GetSupportedMethods(ctx context.Context, _ *shared.Empty) (*serverfeatures.SupportedMethods, error) {
	n.wait(ctx)
	features := &serverfeatures.SupportedMethods{EventStoreServerVersion: n.cluster.config.Version}
	for _, method := range []string{"append", "read"} {
		features.Methods = append(features.Methods, &serverfeatures.SupportedMethod{MethodName: method, ServiceName: "event_store.client.streams.streams"})
	}
	return features, nil
}
