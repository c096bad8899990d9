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
	"github.com/annal-crm/annal/domain/account"
	"github.com/annal-crm/annal/domain/customer"
	"github.com/annal-crm/annal/domain/erasure"
	"github.com/annal-crm/annal/domain/opportunity"
	"github.com/annal-crm/annal/domain/organization"
	declaration "github.com/annal-crm/annal/domain/record"
	"github.com/annal-crm/annal/domain/reporting"
	"github.com/annal-crm/annal/domain/reservation"
	"github.com/annal-crm/annal/domain/retention"
	"github.com/annal-crm/annal/eventlog"
	"github.com/annal-crm/annal/history/asof"
	"github.com/annal-crm/annal/history/timeline"
	"github.com/annal-crm/annal/internal/vault"
	"github.com/annal-crm/annal/projections/engine"
	"github.com/annal-crm/annal/projections/engine/where"
	readretention "github.com/annal-crm/annal/projections/retention"
	"github.com/annal-crm/annal/reports"
	"github.com/annal-crm/annal/reports/results"
	"github.com/annal-crm/annal/transparency"
)

// Code says, in `extensions.code`, what kind of error a client has to do with.
type Code string

const (
	Unauthenticated    Code = "UNAUTHENTICATED"
	Forbidden          Code = "FORBIDDEN"
	InvalidCredentials Code = "INVALID_CREDENTIALS"
	RateLimited        Code = "RATE_LIMITED"
	Invalid            Code = "INVALID"
	NotFound           Code = "NOT_FOUND"
	Conflict           Code = "CONFLICT"
	TooComplex         Code = "TOO_COMPLEX"
	Unavailable        Code = "UNAVAILABLE"
	Internal           Code = "INTERNAL"
)

// table turns errors into codes and what is said of them; the first match counts. What is not in it, or above it in judge, is
// INTERNAL.
var table = []struct {
	err     error
	code    Code
	message string
}{
	{commands.ErrUnauthenticated, Unauthenticated, "sign in: there is no session, or it has ended"},
	{commands.ErrForbidden, Forbidden, "none of your roles allows this"},
	{commands.ErrOwnRights, Forbidden, "nobody takes away their own administration or account"},
	{commands.ErrInvalidCredentials, InvalidCredentials, "login name or password is wrong, or the account cannot sign in now"},
	{commands.ErrRateLimited, RateLimited, "too much at once: try again in a moment"},
	{commands.ErrNotFound, NotFound, notThere},
	{commands.ErrUnreadable, Unavailable, unreadable},
	{commands.ErrTooOld, Unavailable, "a newer version of the program wrote this: it must be updated here too"},

	{account.ErrNotFound, NotFound, notThere},
	{account.ErrExists, Conflict, "the account exists"},
	{account.ErrNotActive, Conflict, "the account is not active"},
	{account.ErrDeactivated, Conflict, "the account is deactivated"},
	{account.ErrErased, Conflict, "the account was erased"},
	{account.ErrActivation, Invalid, "the activation token is unknown, used or expired"},
	{organization.ErrNotFound, NotFound, notThere},
	{organization.ErrExists, Conflict, "the organization exists"},
	{organization.ErrRoleExists, Conflict, "the role exists with other permissions"},
	{organization.ErrUnknownRole, NotFound, "there is no such role"},
	{organization.ErrTeamExists, Conflict, "the team exists"},
	{organization.ErrUnknownTeam, NotFound, "there is no such team"},
	{organization.ErrCycle, Conflict, "a team cannot stand below itself"},
	{organization.ErrLastManage, Conflict, "no role would be left that may manage the organization"},
	{customer.ErrNotFound, NotFound, notThere},
	{customer.ErrExists, Conflict, "the customer exists"},
	{customer.ErrErased, Conflict, "the customer was erased"},
	{customer.ErrArchived, Conflict, "the customer is archived: restore it first"},
	{opportunity.ErrNotFound, NotFound, notThere},
	{opportunity.ErrExists, Conflict, "the opportunity exists"},
	{opportunity.ErrNotEngaged, Conflict, "the opportunity is not engaged yet"},
	{opportunity.ErrClosed, Conflict, "the opportunity is closed: reopen it first"},
	{declaration.ErrNotFound, NotFound, notThere},
	{declaration.ErrExists, Conflict, "the record exists"},
	{declaration.ErrErased, Conflict, "the record was erased"},
	{declaration.ErrArchived, Conflict, "the record is archived: restore it first"},
	{declaration.ErrStage, Conflict, "this stage does not follow the present one"},
	{erasure.ErrNotFound, NotFound, notThere},
	{erasure.ErrExists, Conflict, "the erasure was asked for before"},
	{erasure.ErrSamePerson, Forbidden, "who asks for an erasure, or is to be erased, does not approve it: somebody else must"},
	{erasure.ErrDecided, Conflict, "the request was approved or refused before"},
	{retention.ErrNotFound, NotFound, notThere},
	{retention.ErrExists, Conflict, "the rule was proposed before"},
	{retention.ErrSamePerson, Forbidden, "who proposes a rule does not approve it: somebody else must"},
	{retention.ErrApproved, Conflict, "the rule was approved before"},
	{retention.ErrEnded, Conflict, "the rule has ended"},
	{retention.ErrChanged, Conflict, "another number is due now than the dry run has shown: look again"},
	{commands.ErrWholeOrganization, Forbidden, "a rule is for the whole organization: it takes the permission for all of it"},
	{commands.ErrAnyAccount, Forbidden, "a rule about accounts takes somebody who has every right that any role gives"},
	{reservation.ErrTaken, Conflict, "the name is taken"},
	{vault.ErrErased, Conflict, "the person was erased"},

	{transparency.ErrNotThere, NotFound, notThere},
	{transparency.ErrNoKey, Unavailable, "there is no key here to sign checkpoints with"},
	{transparency.ErrWrongKey, Unavailable, "the key here is not the one that checkpoints are signed with"},
	{transparency.ErrForked, Conflict, "the log does not continue what was signed: verify it"},
	{transparency.ErrChanged, Conflict, "this is not as it was recorded: verify the log"},
	{transparency.ErrCheckpoint, Invalid, "not a checkpoint of this log by this key"},
	{transparency.ErrUnavailable, Unavailable, "the tree over the log cannot be reached: try again in a moment"},
	{errVerifying, Conflict, "the log is being verified already; one verification at a time"},
	{errBundleTooLarge, TooComplex, "that bundle is larger than 4 MiB: annal audit bundle writes it"},

	{results.ErrNotFound, NotFound, notThere},
	{results.ErrRunning, Conflict, "a result of this name is being made: wait for it, or drop it"},
	{results.ErrTaken, Conflict, "there is a result of this name: drop it first, or take another"},
	{results.ErrFull, Conflict, "there are as many named results as there may be: drop one first"},
	{results.ErrNotDone, Conflict, "the result is not done"},
	{results.ErrOutdated, Conflict, "another version of the program has made this result: drop it and rebuild the report"},
	{results.ErrBusy, RateLimited, "another report is being rebuilt: try again when it is done"},
	{results.ErrTooMuch, TooComplex, "the log is too long for a named result: ask for an earlier position"},
	{errManyRecords, TooComplex, "a difference with more than 100 000 records behind it, or 10 000 that differ, is not explained in part: group by more, or narrow it by filter"},
	{errManyGroups, TooComplex, "more than 10 000 groups are not compared: group by less, or narrow it by filter"},

	{reporting.ErrUnknown, NotFound, "your organization has no such report"},
	{reporting.ErrRetired, Conflict, "the report was retired: define it again to use it"},
	{reporting.ErrFull, Conflict, "the organization has a hundred reports of its own: retire one first"},
	{reports.ErrBuiltIn, Conflict, "a built-in report has this name: take another"},

	{asof.ErrTooMuch, TooComplex, "that past is too long to fold for one request: ask for one record, or an earlier position"},
	{asof.ErrBusy, RateLimited, "other lists of the past are being folded: try again in a moment"},
	{timeline.ErrIndex, Unavailable, "the log does not hold an event as the read model of activity says: an administrator has to verify the log (annal audit verify) and fold activity anew"},
	{where.ErrHidden, Invalid, "this asks for personal data, which are hidden from you"},
	{readretention.ErrParked, Unavailable, "events of an opportunity could not be read and are parked: nobody knows who is due before an administrator has mended them"},
	{engine.ErrNotParked, NotFound, "nothing is parked there"},
	{engine.ErrBehind, Unavailable, "not folded up to that position yet: try again in a moment"},
	{eventlog.ErrUnavailable, Unavailable, "the log cannot be reached: try again in a moment"},
	{vault.ErrUnavailable, Unavailable, "the vault cannot be reached: try again in a moment"},
	{context.DeadlineExceeded, Unavailable, "it took too long: try again, or ask for less"},
	{context.Canceled, Unavailable, "the request was given up"},
}

const unreadable = "this record's history holds an event that this version cannot read; an administrator finds it under parked events"

const notThere = "there is no such object, or not for you"

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
	if _, ours := e.Extensions["code"].(Code); ours {
		return e
	}
	code, message, more := p.judge(ctx, e)
	out := &gqlerror.Error{Message: message, Path: e.Path, Locations: e.Locations, Extensions: map[string]any{"code": code}}
	maps.Copy(out.Extensions, more)
	return out
}

func (p presenter) judge(ctx context.Context, e *gqlerror.Error) (code Code, message string, more map[string]any) {
	switch e.Extensions["code"] {
	case errcode.ParseFailed, errcode.ValidationFailed: // of the document or its variables, in the parser's words
		if len(e.Path) > 1 && e.Path[0] == ast.PathName("variable") {
			return Invalid, e.Message, map[string]any{"fields": map[string]string{dotted(e.Path[1:]): e.Message}}
		}
		return Invalid, e.Message, nil
	}
	cause := e.Err
	if cause == nil {
		cause = errors.New(e.Message)
	}
	if argumentsRefused(ctx) {
		field := dotted(e.Path[min(len(e.Path), len(graphql.GetFieldContext(ctx).Path())):])
		return Invalid, cause.Error(), map[string]any{"fields": map[string]string{field: cause.Error()}}
	}
	if late, ok := errors.AsType[*notShown](cause); ok {
		return Unavailable, "the act is done, but its result cannot be shown yet: ask again in a moment", map[string]any{"receipt": map[string]any{
			"position": late.receipt.Position.String(), "version": late.receipt.Version,
		}}
	}
	if bad, ok := errors.AsType[domain.Invalid](cause); ok {
		return Invalid, bad.Error(), map[string]any{"fields": p.paths(ctx, bad)}
	}
	if c, ok := errors.AsType[*commands.Conflict](cause); ok {
		return Conflict, c.Error(), map[string]any{"currentVersion": c.CurrentVersion, "changedFields": append([]string{}, c.ChangedFields...)}
	}
	for _, known := range table {
		if errors.Is(cause, known.err) {
			if known.err == commands.ErrUnreadable || known.err == timeline.ErrIndex { // somebody has to mend that
				p.logger.ErrorContext(ctx, "an event cannot be read", "path", e.Path.String(), "error", cause)
			}
			return known.code, known.message, nil
		}
	}
	if engine.Unreachable(cause) {
		p.logger.WarnContext(ctx, "the database cannot be reached", "path", e.Path.String(), "error", cause)
		return Unavailable, "the database cannot be reached: try again in a moment", nil
	}
	reference := uuid.NewString()
	p.logger.ErrorContext(ctx, "a request failed", "reference", reference, "path", e.Path.String(), "error", cause)
	return Internal, "a fault of the server; the operator finds it in the log by its reference", map[string]any{"reference": reference}
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

// argumentsRefused tells whether the error is about the arguments of the field being resolved: gqlgen has not set them yet.
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
	return &gqlerror.Error{Message: message, Extensions: map[string]any{"code": TooComplex, "cost": cost, "limit": limit}}
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
