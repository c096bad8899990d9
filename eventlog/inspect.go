package eventlog

import "context"

// Inspector is a log whose store can hold what reading it from its beginning to its head does not meet, put there past it.
type Inspector interface {
	// Inspect tells, for people, what is in the store beside the log, and the first position of the log that it concerns; an
	// empty text if there is nothing.
	Inspect(ctx context.Context) (problem string, position Position, err error)
}
