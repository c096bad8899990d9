package memory_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/annal-crm/annal/eventlog"
	"github.com/annal-crm/annal/eventlog/memory"
)

func Example() {
	ctx, log := context.Background(), memory.New()
	acme := eventlog.Stream{Organization: uuid.New(), Category: "customer", ID: uuid.New()}
	registered := eventlog.NewEvent{
		ID: uuid.New(), Type: "customer.registered", Schema: 1,
		Data: json.RawMessage(`{"name":"Acme"}`), Meta: json.RawMessage(`{}`), OccurredAt: time.Now(),
	}

	fmt.Println(log.Append(ctx, acme, 0, registered))
	fmt.Println(log.Append(ctx, acme, 0, registered)) // sent again

	registered.ID = uuid.New()
	_, err := log.Append(ctx, acme, 0, registered) // another writer's idea of the same
	fmt.Println(errors.Is(err, eventlog.ErrConflict))

	for e, err := range log.ReadStream(ctx, acme, 0) {
		fmt.Println(e.Position, e.Version, e.Type, string(e.Data), err)
	}
	// Output:
	// {1 1} <nil>
	// {1 1} <nil>
	// true
	// 1 1 customer.registered {"name":"Acme"} <nil>
}
