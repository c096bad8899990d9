package esdbtest

import (
	"encoding/binary"
	"errors"
	"io"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"github.com/google/uuid"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

func (n *node) propose(p *streams.AppendReq_ProposedMessage, size *int) (proposal, error) {
	e := proposal{
		id: eventID(p.GetId()), eventType: p.GetMetadata()["type"], contentType: p.GetMetadata()["content-type"],
		data: p.GetData(), metadata: p.GetCustomMetadata(),
	}
	if e.eventType == "" || e.contentType == "" {
		return e, status.Error(codes.InvalidArgument, "Required Metadata Property 'type' or 'content-type' is missing")
	}
	if *size += len(e.data) + len(e.metadata) + 2*len(e.eventType); *size > n.cluster.config.MaxAppendSize {
		return e, status.Errorf(codes.InvalidArgument, "Maximum Append Size of %d Exceeded.", n.cluster.config.MaxAppendSize)
	}
	return e, nil
}

// Append implements Streams.
func (n *node) Append(stream streams.Streams_AppendServer) error {
	first, err := stream.Recv()
	if err != nil {
		return err
	}
	options := first.GetOptions()
	var expected int64
	switch of := options.GetExpectedStreamRevision().(type) {
	case *streams.AppendReq_Options_Revision:
		expected = int64(of.Revision)
	case *streams.AppendReq_Options_NoStream:
		expected = expectNoStream
	case *streams.AppendReq_Options_Any:
		expected = expectAny
	case *streams.AppendReq_Options_StreamExists:
		expected = expectStreamExists
	default:
		return status.Error(codes.InvalidArgument, "an append begins with a stream and what is expected of it")
	}
	var events []proposal
	for size := 0; ; {
		message, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		event, err := n.propose(message.GetProposedMessage(), &size)
		if err != nil {
			stream.SetTrailer(metadata.Pairs("exception", "maximum-append-size-exceeded"))
			return err
		}
		events = append(events, event)
	}
	if _, err := n.led(stream); err != nil {
		return err
	}
	name := string(options.GetStreamIdentifier().GetStreamName())
	fault, faulty := n.cluster.fault()
	if faulty {
		switch fault {
		case WrongVersion:
			return stream.SendAndClose(wrong(expected, appended{wrong: true, revision: expected + 7}))
		case NotLeader:
			return n.notLeader(stream)
		case TimeoutBefore:
			return status.Error(codes.Aborted, "Operation timed out: injected")
		case NotReady:
			return status.Error(codes.Unavailable, "Server Is Not Ready")
		}
	}
	answer := n.cluster.store.append(name, expected, events)
	if faulty {
		switch fault {
		case TimeoutAfter:
			return status.Error(codes.Aborted, "Operation timed out: injected")
		case DropAfter:
			n.drop()
			return status.Error(codes.Unavailable, "dropped")
		case SilentAfter:
			<-stream.Context().Done()
			return stream.Context().Err()
		}
	}
	if answer.wrong {
		return stream.SendAndClose(wrong(expected, answer))
	}
	success := &streams.AppendResp_Success{
		CurrentRevisionOption: &streams.AppendResp_Success_CurrentRevision{CurrentRevision: uint64(answer.revision)},
		PositionOption: &streams.AppendResp_Success_Position{Position: &streams.AppendResp_Position{
			CommitPosition: answer.position, PreparePosition: answer.position,
		}},
	}
	return stream.SendAndClose(&streams.AppendResp{Result: &streams.AppendResp_Success_{Success: success}})
}

func wrong(expected int64, answer appended) *streams.AppendResp {
	w := &streams.AppendResp_WrongExpectedVersion{}
	if answer.revision < 0 {
		w.CurrentRevisionOption = &streams.AppendResp_WrongExpectedVersion_CurrentNoStream{CurrentNoStream: &shared.Empty{}}
	} else {
		w.CurrentRevisionOption = &streams.AppendResp_WrongExpectedVersion_CurrentRevision{CurrentRevision: uint64(answer.revision)}
	}
	switch expected {
	case expectNoStream:
		w.ExpectedRevisionOption = &streams.AppendResp_WrongExpectedVersion_ExpectedNoStream{ExpectedNoStream: &shared.Empty{}}
	case expectAny:
		w.ExpectedRevisionOption = &streams.AppendResp_WrongExpectedVersion_ExpectedAny{ExpectedAny: &shared.Empty{}}
	case expectStreamExists:
		w.ExpectedRevisionOption = &streams.AppendResp_WrongExpectedVersion_ExpectedStreamExists{ExpectedStreamExists: &shared.Empty{}}
	default:
		w.ExpectedRevisionOption = &streams.AppendResp_WrongExpectedVersion_ExpectedRevision{ExpectedRevision: uint64(expected)}
	}
	return &streams.AppendResp{Result: &streams.AppendResp_WrongExpectedVersion_{WrongExpectedVersion: w}}
}

func eventID(id *shared.UUID) (u uuid.UUID) {
	if s := id.GetStructured(); s != nil {
		binary.BigEndian.PutUint64(u[:8], uint64(s.MostSignificantBits))
		binary.BigEndian.PutUint64(u[8:], uint64(s.LeastSignificantBits))
		return u
	}
	u, _ = uuid.Parse(id.GetString_())
	return u
}

func protoUUID(u uuid.UUID) *shared.UUID {
	return &shared.UUID{Value: &shared.UUID_Structured_{Structured: &shared.UUID_Structured{
		MostSignificantBits:  int64(binary.BigEndian.Uint64(u[:8])),
		LeastSignificantBits: int64(binary.BigEndian.Uint64(u[8:])),
	}}}
}
