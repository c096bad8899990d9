package graph

import (
	"context"
	"fmt"
	"strings"

	"github.com/google/uuid"

	"github.com/annal-crm/annal/commands"
	"github.com/annal-crm/annal/domain"
	"github.com/annal-crm/annal/domain/declared"
	"github.com/annal-crm/annal/domain/record"
	"github.com/annal-crm/annal/eventlog"
	"github.com/annal-crm/annal/graph/generated"
	"github.com/annal-crm/annal/graph/model"
)

// createRecord creates a record of a declared kind and shows it.
func createRecord[T any](ctx context.Context, m mutation, category string, in model.Input) (*T, *model.Receipt, error) {
	r := newInputReader(in)
	wish := commands.CreateRecord{Command: r.command(), Kind: category, Owner: r.id("ownerId"), Values: r.values(category)}
	return changedRecord[T](ctx, m, r, func(p *commands.Principal) (commands.Result, error) {
		done, err := m.Commands.CreateRecord(ctx, p, wish)
		done.Kind = category
		return done, err
	})
}

// editRecord edits a record of a declared kind and shows it.
func editRecord[T any](ctx context.Context, m mutation, category string, in model.Input) (*T, *model.Receipt, error) {
	r := newInputReader(in)
	wish := commands.EditRecord{On: r.on(), Values: r.values(category)}
	wish.Kind = category
	return changedRecord[T](ctx, m, r, func(p *commands.Principal) (commands.Result, error) {
		done, err := m.Commands.EditRecord(ctx, p, wish)
		done.Kind = category
		return done, err
	})
}

func (m mutation) MoveRecord(ctx context.Context, in model.Input) (*generated.RecordPayload, error) {
	r := newInputReader(in)
	wish := commands.MoveRecord{On: r.on(), Stage: strings.ToLower(r.text("stage"))}
	return m.onRecord(ctx, r, func(p *commands.Principal) (commands.Result, error) {
		return m.Commands.MoveRecord(ctx, p, wish)
	})
}

func (m mutation) ReassignRecord(ctx context.Context, in model.Input) (*generated.RecordPayload, error) {
	r := newInputReader(in)
	wish := commands.ReassignRecord{On: r.on(), Owner: r.id("ownerId")}
	return m.onRecord(ctx, r, func(p *commands.Principal) (commands.Result, error) {
		return m.Commands.ReassignRecord(ctx, p, wish)
	})
}

func (m mutation) ArchiveRecord(ctx context.Context, in model.Input) (*generated.RecordPayload, error) {
	r := newInputReader(in)
	on := r.on()
	return m.onRecord(ctx, r, func(p *commands.Principal) (commands.Result, error) {
		return m.Commands.ArchiveRecord(ctx, p, on)
	})
}

func (m mutation) RestoreRecord(ctx context.Context, in model.Input) (*generated.RecordPayload, error) {
	r := newInputReader(in)
	on := r.on()
	return m.onRecord(ctx, r, func(p *commands.Principal) (commands.Result, error) {
		return m.Commands.RestoreRecord(ctx, p, on)
	})
}

// onRecord is the way of a mutation on a record of any kind.
func (m mutation) onRecord(ctx context.Context, r inputReader, do func(*commands.Principal) (commands.Result, error)) (*generated.RecordPayload, error) {
	node, receipt, err := m.changed(ctx, r, do)
	if err != nil {
		return nil, err
	}
	return &generated.RecordPayload{Record: node.(model.Record), Receipt: receipt}, nil
}

func changedRecord[T any](ctx context.Context, m mutation, r inputReader, do func(*commands.Principal) (commands.Result, error)) (*T, *model.Receipt, error) {
	node, receipt, err := m.changed(ctx, r, do)
	if err != nil {
		return nil, nil, err
	}
	return any(node).(*T), receipt, nil
}

// changed carries out a command on a record, and returns the record as it is by then.
func (m mutation) changed(ctx context.Context, r inputReader, do func(*commands.Principal) (commands.Result, error)) (model.Node, *model.Receipt, error) {
	if err := r.bad.Err(); err != nil {
		return nil, nil, err
	}
	p, err := callerOf(ctx).now(ctx)
	if err != nil {
		return nil, nil, err
	}
	done, err := do(p)
	if err != nil {
		return nil, nil, err
	}

	node, err := shown(ctx, m.resolver, done.Receipt, []string{recordKinds[done.Kind].model}, func() (*model.Node, error) {
		found, err := m.nodes(ctx, p, p.Everything(), done.Kind, []uuid.UUID{done.ID})
		return found[done.ID], err
	})
	if err != nil {
		return nil, nil, err
	}
	return *node, receipt(done.Receipt), nil
}

// inputReader reads the input of a mutation, and notes in bad what is wrong with it.
type inputReader struct {
	object model.Input
	bad    domain.Invalid
}

func newInputReader(in model.Input) inputReader { return inputReader{in, domain.Invalid{}} }

func (r inputReader) command() commands.Command {
	return commands.Command{ID: r.id("commandId"), Reason: r.text("reason")}
}

func (r inputReader) on() commands.On {
	c := r.command()
	if v := r.object["expectedVersion"]; v != nil {
		n, _ := number(v)
		if n < 1 {
			r.bad["expectedVersion"] = "must be at least 1"
		}
		c.ExpectedVersion = eventlog.Version(n)
	}
	return commands.On{Command: c, ID: r.id("id")}
}

// id is zero for none.
func (r inputReader) id(name string) (id uuid.UUID) {
	v := r.object[name]
	if v == nil {
		return uuid.Nil
	}
	id, err := model.UnmarshalID(v)
	if err != nil {
		r.bad[name] = err.Error()
	}
	return id
}

// text is empty for none.
func (r inputReader) text(name string) (s string) {
	v := r.object[name]
	if v == nil {
		return ""
	}
	s, err := model.UnmarshalString(v)
	if err != nil {
		r.bad[name] = err.Error()
	}
	return s
}

// values are the fields of a kind that are there, in their stored form; null is an empty one. The rules of the kind judge them.
func (r inputReader) values(category string) record.Values {
	values := record.Values{}
	k := declared.Kind(category)
	for i := range k.Fields {
		f := &k.Fields[i]
		v, present := r.object[f.Input()]
		if !present {
			continue
		}
		value, err := stored(f, v)
		if err != nil {
			r.bad[f.Input()] = err.Error()
		}
		values[f.Name] = value
	}
	return values
}

// stored writes a value of an input as the rules take it.
func stored(f *record.Field, v any) (string, error) {
	switch f.Type {
	case record.Money:
		if money, ok := v.(map[string]any); ok {
			return fmt.Sprint(money["amount"], " ", money["currency"]), nil
		}
	case record.Integer:
		if n, ok := number(v); ok {
			return fmt.Sprint(n), nil
		}
	case record.Bool:
		if is, ok := v.(bool); ok {
			return fmt.Sprint(is), nil
		}
	case record.Choice:
		s, err := optionalText(v)
		return strings.ToLower(s), err
	}
	return optionalText(v)
}

func optionalText(v any) (string, error) {
	if v == nil {
		return "", nil
	}
	return model.UnmarshalString(v)
}
