package domain

// Kind describes one kind of stream to everything that ranges over kinds: the event codec, the read models, proofs, history,
// erasure. The rules of a kind are in its own package; the list of all is in package kinds.
type Kind struct {
	// Category names its streams.
	Category string

	// Types are its events.
	Types EventTypes[Event]

	// View is the permission to see its records, or "" if there is not one of its own.
	View string

	// Owned says that each of its records belongs to an account: who may see a record depends on its owner.
	Owned bool

	// Subject says that each of its streams is a data subject of its own, which can be erased.
	Subject bool
}

// Any returns the same table for code that does not know the aggregate. E must be an [Event].
func (c EventTypes[E]) Any() EventTypes[Event] {
	events := make(map[string]Event, len(c.events))
	for name, e := range c.events {
		events[name] = any(e).(Event)
	}
	return NewEventTypes(events)
}
