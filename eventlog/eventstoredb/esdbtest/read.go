package esdbtest

import (
	"cmp"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"github.com/google/uuid"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// source is what a read or subscription goes through.
type source struct {
	events  func() ([]*record, <-chan struct{}) // in order; closed when there are more
	from    func(events []*record, subscribed bool) (int, error)
	matches func(*record) bool
	window  int // events looked through per checkpoint; 0 for none
}

// Read implements Streams.
func (n *node) Read(request *streams.ReadReq, stream streams.Streams_ReadServer) error {
	demoted, err := n.led(stream)
	if err != nil {
		return err
	}
	options := request.GetOptions()
	src, err := n.source(options)
	if err != nil {
		return err
	}
	if lag := n.cluster.config.FollowerLag; lag > 0 && n.cluster.Leader() != n.index {
		whole := src.events
		src.events = func() ([]*record, <-chan struct{}) {
			events, grown := whole()
			return events[:max(0, len(events)-lag)], grown
		}
	}
	if options.GetSubscription() != nil {
		return subscribe(stream, src, demoted)
	}
	if id := options.GetStream().GetStreamIdentifier(); id != nil {
		if events, _ := src.events(); len(events) == 0 {
			return stream.Send(&streams.ReadResp{Content: &streams.ReadResp_StreamNotFound_{
				StreamNotFound: &streams.ReadResp_StreamNotFound{StreamIdentifier: id},
			}})
		}
	}
	return read(stream, src, options.GetReadDirection() == streams.ReadReq_Options_Backwards, options.GetCount())
}

func (n *node) source(options *streams.ReadReq_Options) (src source, err error) {
	store := n.cluster.store
	backwards := options.GetReadDirection() == streams.ReadReq_Options_Backwards
	src.matches, src.window, err = filter(options.GetFilter())
	switch of := options.GetStreamOption().(type) {
	case *streams.ReadReq_Options_Stream:
		name := string(of.Stream.GetStreamIdentifier().GetStreamName())
		src.events = func() ([]*record, <-chan struct{}) { return store.of(name) }
		src.from = func(events []*record, subscribed bool) (int, error) {
			switch from := of.Stream.GetRevisionOption().(type) {
			case *streams.ReadReq_Options_StreamOptions_End:
				return len(events), nil
			case *streams.ReadReq_Options_StreamOptions_Revision:
				at := from.Revision
				if subscribed || backwards { // behind it; backwards, with it
					at++
				}
				return int(min(at, uint64(len(events)))), nil
			}
			return 0, nil
		}
	case *streams.ReadReq_Options_All:
		src.events = store.everything
		src.from = func(events []*record, subscribed bool) (int, error) {
			switch from := of.All.GetAllOption().(type) {
			case *streams.ReadReq_Options_AllOptions_End:
				return len(events), nil
			case *streams.ReadReq_Options_AllOptions_Position:
				at := from.Position.GetCommitPosition()
				if at == 0 {
					return 0, nil
				}
				if at == math.MaxUint64 {
					return len(events), nil
				}
				i, found := slices.BinarySearchFunc(events, at, func(r *record, p uint64) int { return cmp.Compare(r.position, p) })
				if !found {
					return 0, status.Error(codes.InvalidArgument, "Trying to read from an invalid position.")
				}
				if subscribed {
					i++
				}
				return i, nil
			}
			return 0, nil
		}
	default:
		return src, status.Error(codes.InvalidArgument, "neither a stream nor $all")
	}
	return src, err
}

func filter(options *streams.ReadReq_Options_FilterOptions) (matches func(*record) bool, window int, err error) {
	if options == nil {
		return func(*record) bool { return true }, 0, nil
	}
	subject, expression := func(r *record) string { return r.eventType }, options.GetEventType()
	if expression == nil {
		subject, expression = func(r *record) string { return r.stream }, options.GetStreamIdentifier()
	}
	window = int(max(options.GetMax(), 1) * options.GetCheckpointIntervalMultiplier())
	if expression.GetRegex() == "" {
		return func(r *record) bool {
			return slices.ContainsFunc(expression.GetPrefix(), func(p string) bool { return strings.HasPrefix(subject(r), p) })
		}, window, nil
	}
	pattern, err := regexp.Compile(expression.GetRegex())
	if err != nil {
		return nil, 0, status.Error(codes.InvalidArgument, err.Error())
	}
	return func(r *record) bool { return pattern.MatchString(subject(r)) }, window, nil
}

func read(stream streams.Streams_ReadServer, src source, backwards bool, count uint64) error {
	events, _ := src.events()
	at, err := src.from(events, false)
	if err != nil {
		return err
	}
	rest := events[at:]
	if backwards {
		rest = slices.Clone(events[:at])
		slices.Reverse(rest)
	}
	for _, r := range rest {
		if count == 0 {
			break
		}
		if !src.matches(r) {
			continue
		}
		count--
		if err := stream.Send(message(r)); err != nil {
			return err
		}
	}
	return nil
}

// subscribe sends what there is, says that it has caught up, and goes on with what comes until the client leaves.
func subscribe(stream streams.Streams_ReadServer, src source, demoted <-chan struct{}) error {
	events, _ := src.events()
	at, err := src.from(events, true)
	if err != nil {
		return err
	}
	confirmation := &streams.ReadResp_Confirmation{Confirmation: &streams.ReadResp_SubscriptionConfirmation{SubscriptionId: uuid.NewString()}}
	if err := stream.Send(&streams.ReadResp{Content: confirmation}); err != nil {
		return err
	}
	caughtUp, looked := false, 0
	for {
		events, grown := src.events()
		for ; at < len(events); at++ {
			if src.matches(events[at]) {
				if err := stream.Send(message(events[at])); err != nil {
					return err
				}
			}
			if looked++; src.window > 0 && looked%src.window == 0 {
				position := events[at].position
				checkpoint := &streams.ReadResp_Checkpoint_{Checkpoint: &streams.ReadResp_Checkpoint{CommitPosition: position, PreparePosition: position}}
				if err := stream.Send(&streams.ReadResp{Content: checkpoint}); err != nil {
					return err
				}
			}
		}
		if !caughtUp {
			caughtUp = true
			if err := stream.Send(&streams.ReadResp{Content: &streams.ReadResp_CaughtUp_{CaughtUp: &streams.ReadResp_CaughtUp{}}}); err != nil {
				return err
			}
		}
		select {
		case <-grown:
		case <-demoted:
			return status.Error(codes.Unavailable, "Server Is Not Ready")
		case <-stream.Context().Done():
			return stream.Context().Err()
		}
	}
}

func message(r *record) *streams.ReadResp {
	return &streams.ReadResp{Content: &streams.ReadResp_Event{Event: &streams.ReadResp_ReadEvent{
		Event: &streams.ReadResp_ReadEvent_RecordedEvent{
			Id: protoUUID(r.id), StreamIdentifier: &shared.StreamIdentifier{StreamName: []byte(r.stream)},
			StreamRevision: uint64(r.revision), PreparePosition: r.position, CommitPosition: r.position,
			Metadata: map[string]string{
				"type": r.eventType, "content-type": r.contentType,
				"created": strconv.FormatInt(r.created.UnixNano()/100, 10), // ticks of .NET, since 1970
			},
			CustomMetadata: r.metadata, Data: r.data,
		},
		Position: &streams.ReadResp_ReadEvent_CommitPosition{CommitPosition: r.position},
	}}}
}
