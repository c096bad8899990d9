package graph

import (
	"context"
	"encoding/json"

	"github.com/google/uuid"

	"github.com/annal-crm/annal/commands"
	"github.com/annal-crm/annal/eventlog"
	"github.com/annal-crm/annal/graph/model"
)

// mutation resolves the fields of Mutation. Each is one command; the object it shows is read when its read model has folded
// the receipt.
type mutation struct{ *resolver }

// command makes what every command may carry of what every input may hold.
func command(id *uuid.UUID, reason *string) commands.Command {
	return commands.Command{ID: value(id), Reason: value(reason)}
}

// expecting is command for an object that must be at a version, if one is given; [onRecord] judges that.
func expecting(id *uuid.UUID, reason *string, version *int) commands.Command {
	c := command(id, reason)
	c.ExpectedVersion = eventlog.Version(value(version))
	return c
}

// value is what p points to, or nothing.
func value[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}

func receipt(r eventlog.Receipt) *model.Receipt {
	return &model.Receipt{Position: r.Position, Version: int(r.Version)}
}

// shown reads what a command has changed, as soon as the read models it is read from have folded the receipt. A failure from
// here on is not one of the command: the error says that it is done.
func shown[T any](ctx context.Context, r *resolver, done eventlog.Receipt, models []string, read func() (*T, error)) (*T, error) {
	err := r.Engine.Wait(ctx, done.Position, models...)
	if err == nil {
		var object *T
		if object, err = read(); err == nil && object != nil {
			return object, nil
		}
	}
	if err == nil {
		err = commands.ErrNotFound // erased meanwhile
	}
	return nil, &notShown{done, err}
}

// texts reads the attributes of an input: an object of texts, in which null clears one.
func texts(attributes json.RawMessage) (map[string]*string, error) {
	if len(attributes) == 0 {
		return nil, nil
	}
	var m map[string]*string
	if json.Unmarshal(attributes, &m) != nil {
		return nil, invalid("attributes", "is not an object of texts")
	}
	return m, nil
}
