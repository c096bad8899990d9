package eventlog

import "context"

// Inspector is a log whose store can hold what reading it from its beginning to its head does not meet, put there past it, or can be
// made to answer one asker otherwise than another.
type Inspector interface {
	// Inspect tells, for people, what is wrong with the store, and the first position of the log that it concerns (0: all
	// of it); an empty text if there is nothing.
	Inspect(ctx context.Context) (problem string, position Position, err error)
}
