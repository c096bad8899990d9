package graph

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"runtime/debug"
	"strconv"
	"strings"

	"github.com/99designs/gqlgen/graphql"
	"github.com/99designs/gqlgen/graphql/errcode"
	"github.com/google/uuid"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"

	"github.com/annal-crm/annal/commands"
	"github.com/annal-crm/annal/domain"
	"github.com/annal-crm/annal/eventlog"
	"github.com/annal-crm/annal/history/timeline"
	"github.com/annal-crm/annal/internal/vault"
	"github.com/annal-crm/annal/projections/engine"
	"github.com/annal-crm/annal/transparency"
)

// table turns errors of what lies below into codes and what is said of them; the first match counts. A rule, a command or a
// report refuses by a [domain.Refusal], which brings both. What is neither is INTERNAL.
var table = []struct {
	err     error
	code    domain.Code
	message string
}{
	{vault.ErrErased, domain.CodeConflict, "the person was erased"},
	{transparency.ErrNotThere, domain.CodeNotFound, domain.NoSuch().Error()},
	{transparency.ErrNoKey, domain.CodeUnavailable, "there is no key here to sign checkpoints with"},
	{transparency.ErrWrongKey, domain.CodeUnavailable, "the key here is not the one that checkpoints are signed with"},
	{transparency.ErrForked, domain.CodeConflict, "the log does not continue what was signed: verify it"},
	{transparency.ErrChanged, domain.CodeConflict, "this is not as it was recorded: verify the log"},
	{transparency.ErrCheckpoint, domain.CodeInvalid, "not a checkpoint of this log by this key"},
	{transparency.ErrUnavailable, domain.CodeUnavailable, "the tree over the log cannot be reached: try again in a moment"},
	{transparency.ErrVerifying, domain.CodeConflict, "the log is being verified already; one verification at a time"},
	{engine.ErrBehind, domain.CodeUnavailable, "not folded up to that position yet: try again in a moment"},
	{eventlog.ErrUnavailable, domain.CodeUnavailable, "the log cannot be reached: try again in a moment"},
	{vault.ErrUnavailable, domain.CodeUnavailable, "the vault cannot be reached: try again in a moment"},
	{context.DeadlineExceeded, domain.CodeUnavailable, "it took too long: try again, or ask for less"},
	{context.Canceled, domain.CodeUnavailable, "the request was given up"},
}

// presenter turns any error into what a client may see of it.
type presenter struct {
	logger *slog.Logger
	schema *ast.Schema
}

func (p presenter) present(ctx context.Context, err error) *gqlerror.Error {
	e := gqlerror.WrapIfUnwrapped(err)
	if e.Path == nil {
		e = &gqlerror.Error{Err: e.Err, Message: e.Message, Path: graphql.GetPath(ctx), Locations: e.Locations, Extensions: e.Extensions}
	}
	if _, ours := e.Extensions["code"].(domain.Code); ours {
		return e
	}
	code, message, more := p.judge(ctx, e)
	out := &gqlerror.Error{Message: message, Path: e.Path, Locations: e.Locations, Extensions: map[string]any{"code": code}}
	maps.Copy(out.Extensions, more)
	return out
}

func (p presenter) judge(ctx context.Context, e *gqlerror.Error) (code domain.Code, message string, more map[string]any) {
	switch e.Extensions["code"] {
	case errcode.ParseFailed, errcode.ValidationFailed: // of the document or its variables, in the parser's words
		if len(e.Path) > 1 && e.Path[0] == ast.PathName("variable") {
			return domain.CodeInvalid, e.Message, map[string]any{"fields": map[string]string{dotted(e.Path[1:]): e.Message}}
		}
		return domain.CodeInvalid, e.Message, nil
	}
	cause := e.Err
	if cause == nil {
		cause = errors.New(e.Message)
	}
	if argumentsRefused(ctx) {
		field := dotted(e.Path[min(len(e.Path), len(graphql.GetFieldContext(ctx).Path())):])
		return domain.CodeInvalid, cause.Error(), map[string]any{"fields": map[string]string{field: cause.Error()}}
	}
	if late, ok := errors.AsType[*notShown](cause); ok {
		return domain.CodeUnavailable, "the command is carried out, but its result cannot be shown yet: ask again in a moment", map[string]any{"receipt": map[string]any{
			"position": late.receipt.Position.String(), "version": late.receipt.Version,
		}}
	}
	if bad, ok := errors.AsType[domain.Invalid](cause); ok {
		return domain.CodeInvalid, bad.Error(), map[string]any{"fields": p.paths(ctx, bad)}
	}
	if c, ok := errors.AsType[*commands.Conflict](cause); ok {
		return domain.CodeConflict, c.Error(), map[string]any{"currentVersion": c.CurrentVersion, "changedFields": append([]string{}, c.ChangedFields...)}
	}
	if refused, ok := errors.AsType[*domain.Refusal](cause); ok {
		if errors.Is(cause, commands.ErrUnreadable) || errors.Is(cause, timeline.ErrIndex) { // somebody has to mend that
			p.logger.ErrorContext(ctx, "an event cannot be read", "path", e.Path.String(), "error", cause)
		}
		return refused.Code, refused.Sentence, nil
	}
	for _, known := range table {
		if errors.Is(cause, known.err) {
			return known.code, known.message, nil
		}
	}
	if engine.Unreachable(cause) {
		p.logger.WarnContext(ctx, "the database cannot be reached", "path", e.Path.String(), "error", cause)
		return domain.CodeUnavailable, "the database cannot be reached: try again in a moment", nil
	}
	reference := uuid.NewString()
	p.logger.ErrorContext(ctx, "a request failed", "reference", reference, "path", e.Path.String(), "error", cause)
	return domain.CodeInternal, "a fault of the server; the operator finds it in the log by its reference", map[string]any{"reference": reference}
}

// paths names the arguments that wrong fields came in: the domain's team is input.teamId here.
func (p presenter) paths(ctx context.Context, bad domain.Invalid) map[string]string {
	fc := graphql.GetFieldContext(ctx)
	if fc == nil || fc.Field.Definition == nil {
		return bad
	}
	input := fc.Field.Definition.Arguments.ForName("input")
	if input == nil {
		return bad
	}
	fields := make(map[string]string, len(bad))
	for name, reason := range bad {
		if of := p.schema.Types[input.Type.Name()].Fields; of.ForName(name) == nil && of.ForName(name+"Id") != nil {
			name += "Id"
		}
		fields["input."+name] = reason
	}
	return fields
}

// recovered makes an error of a panic, with its stack for the log.
func (presenter) recovered(_ context.Context, cause any) error {
	return fmt.Errorf("panic: %v\n%s", cause, debug.Stack())
}

// argumentsRefused reports whether the error is about the arguments of the field being resolved: gqlgen has not set them yet.
func argumentsRefused(ctx context.Context) bool {
	fc := graphql.GetFieldContext(ctx)
	return fc != nil && fc.Args == nil && fc.Field.Definition != nil && len(fc.Field.Definition.Arguments) > 0
}

// notShown reports a mutation that was done but whose read models have not come so far.
type notShown struct {
	receipt eventlog.Receipt
	err     error
}

func (n *notShown) Error() string { return "done, not shown: " + n.err.Error() }
func (n *notShown) Unwrap() error { return n.err }

// invalid is an error about one argument.
func invalid(field, reason string) error { return domain.Invalid{field: reason} }

func tooComplex(message string, cost, limit int) *gqlerror.Error {
	return &gqlerror.Error{Message: message, Extensions: map[string]any{"code": domain.CodeTooComplex, "cost": cost, "limit": limit}}
}

// dotted writes a path as input.roles.0.
func dotted(path ast.Path) string {
	parts := make([]string, len(path))
	for i, p := range path {
		switch p := p.(type) {
		case ast.PathName:
			parts[i] = string(p)
		case ast.PathIndex:
			parts[i] = strconv.Itoa(int(p))
		}
	}
	return strings.Join(parts, ".")
}
