// Package graph serves the GraphQL schema: it turns a request into one command or one read, and holds no rule.
//
// [New] returns an [http.Handler] for /graphql. A resolver parses its arguments, calls package commands or a query of a
// read model with the caller's principal or viewer, and maps what comes back to the objects of package model. Every error
// passes the table in errors.go; limits.go weighs an operation before anything of it runs. Package generated is gqlgen's
// work from schema/*.graphqls.
package graph

import (
	"cmp"
	"context"
	"log/slog"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"github.com/99designs/gqlgen/graphql"
	"github.com/99designs/gqlgen/graphql/executor"
	"github.com/99designs/gqlgen/graphql/handler/lru"
	"github.com/99designs/gqlgen/graphql/handler/transport"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"

	"github.com/annal-crm/annal/commands"
	"github.com/annal-crm/annal/eventlog"
	"github.com/annal-crm/annal/graph/generated"
	"github.com/annal-crm/annal/history/asof"
	"github.com/annal-crm/annal/history/timeline"
	"github.com/annal-crm/annal/internal/eventcodec"
	"github.com/annal-crm/annal/projections/engine"
	"github.com/annal-crm/annal/reports"
	"github.com/annal-crm/annal/reports/results"
	"github.com/annal-crm/annal/transparency"
)

// Dependencies are what the graph resolves from. All are required.
type Dependencies struct {
	Commands *commands.Commands
	Engine   *engine.Engine
	Log      eventlog.Log
	Audit    *transparency.Tree // over the log
	DB       engine.DB          // of the read models
	Codec    *eventcodec.Codec  // opens the personal fields of activity
	Logger   *slog.Logger
}

// Config tunes a [Handler]; the zero value is fit to serve.
type Config struct {
	Cost           int            // of an operation, at most; default 10 000
	Depth          int            // of an operation, at most; default 12
	Timeout        time.Duration  // of a query or mutation; default 30 s
	Recheck        time.Duration  // how often a subscription looks whether its session still holds; default 2 s
	Sockets        int            // websockets open at once; default 1000
	Slow           time.Duration  // a websocket that takes nothing for so long is closed; default 10 s
	TrustedProxies []netip.Prefix // whose X-Forwarded-For is believed; default none
}

// Handler answers GraphQL requests: POST, and GET for websockets. It is safe for concurrent use.
type Handler struct {
	exec    *executor.Executor
	deps    Dependencies
	config  Config
	errors  presenter
	sockets *sockets
}

// New returns a handler. [Handler.Shutdown] ends its websockets.
func New(d Dependencies, c Config) *Handler {
	c.Cost, c.Depth = cmp.Or(c.Cost, 10_000), cmp.Or(c.Depth, deepestQuery)
	c.Timeout, c.Recheck = cmp.Or(c.Timeout, 30*time.Second), cmp.Or(c.Recheck, 2*time.Second)
	going, stop := context.WithCancel(context.Background())
	h := &Handler{deps: d, config: c, sockets: &sockets{
		limit: cmp.Or(c.Sockets, 1000), slow: cmp.Or(c.Slow, 10*time.Second), going: going, stop: stop,
	}}
	h.sockets.init = h.connect

	recent, lists := commands.NewAccessRecords(), asof.NewLists(d.Engine, d.DB)
	resolver := &resolver{
		Dependencies: d, config: c, background: going, lists: lists,
		access:    timeline.Access{Commands: d.Commands, Log: d.Log, DB: d.DB, Recent: recent},
		timelines: timeline.Pages{Log: d.Log, Codec: d.Codec, DB: d.DB, Engine: d.Engine},
		history:   asof.Reader{Log: d.Log, Codec: d.Codec, DB: d.DB},
		catalogue: reports.Catalogue{
			Commands: d.Commands, Log: d.Log, Engine: d.Engine, DB: d.DB, Codec: d.Codec,
			Results: results.New(d.Engine, d.DB, results.Config{}), Lists: lists, Recent: recent,
		},
		checks: transparency.NewVerifications(d.Audit),
	}
	schema := generated.NewExecutableSchema(generated.Config{Resolvers: resolver})
	h.errors = presenter{d.Logger, schema.Schema()}
	resolver.errors = h.errors
	h.exec = executor.New(schema)
	h.exec.SetErrorPresenter(h.errors.present)
	h.exec.SetRecoverFunc(h.errors.recovered)
	h.exec.SetQueryCache(documents{lru.New[*ast.QueryDocument](500)})
	h.exec.SetParserTokenLimit(maxTokens)
	h.exec.Use(limits{c.Cost, c.Depth})
	h.exec.AroundOperations(h.operation)
	return h
}

// ServeHTTP implements [http.Handler].
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost && (r.Method != http.MethodGet || r.Header.Get("Upgrade") == "") {
		w.Header().Set("Allow", "POST")
		http.Error(w, "GraphQL is spoken here by POST, and by websocket for subscriptions", http.StatusMethodNotAllowed)
		return
	}
	c := &caller{commands: h.deps.Commands, token: bearer(r.Header.Get("Authorization")), origin: origin(r, h.config.TrustedProxies)}
	r = r.WithContext(withCaller(graphql.StartOperationTrace(r.Context()), c))
	if r.Method == http.MethodPost {
		h.post(w, r)
		return
	}
	h.sockets.Do(w, r, h.exec)
}

// Shutdown closes every websocket, telling it that the server is going down, and waits until their work has ended or ctx has.
func (h *Handler) Shutdown(ctx context.Context) error {
	done := make(chan struct{})
	go func() { h.sockets.shutdown(); close(done) }()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// connect takes the token from connection_init. Strangers get no connection; each operation looks at the token anew.
func (h *Handler) connect(ctx context.Context, payload transport.InitPayload) (context.Context, *transport.InitPayload, error) {
	c := callerOf(ctx).again()
	c.token = bearer(cmp.Or(payload.Authorization(), "Bearer "+c.token))
	if _, err := c.who(ctx); err != nil {
		ctx = transport.AppendCloseReason(transport.WithWebsocketCloseCode(ctx, unauthorized), "Unauthorized")
		return ctx, nil, commands.ErrUnauthenticated
	}
	return context.WithValue(withCaller(ctx, c), connectionKey{}, &connection{slots: make(chan struct{}, perConnection)}), nil, nil
}

// connection bounds what runs at once on one websocket.
type connection struct{ slots chan struct{} }

type connectionKey struct{}

// perConnection is how many operations may run at once on a websocket: a page has a few subscriptions.
const perConnection = 16

// operation runs around every operation: its time-out, and on a websocket its own caller and its place among the others.
func (h *Handler) operation(ctx context.Context, next graphql.OperationHandler) (respond graphql.ResponseHandler) {
	if c, ok := ctx.Value(connectionKey{}).(*connection); ok {
		select {
		case c.slots <- struct{}{}:
			free := sync.OnceFunc(func() { <-c.slots })
			context.AfterFunc(ctx, free) // gqlgen ends ctx with the operation,
			defer func() { respond = freeing(respond, free) }()
		default:
			return graphql.OneShot(&graphql.Response{Errors: gqlerror.List{h.errors.present(ctx, commands.ErrRateLimited)}})
		}
		ctx = withCaller(ctx, callerOf(ctx).again())
	}
	if graphql.GetOperationContext(ctx).Operation.Operation == ast.Subscription {
		return next(ctx)
	}
	ctx, cancel := context.WithTimeout(ctx, h.config.Timeout)
	answer := next(ctx)
	return func(ctx context.Context) *graphql.Response {
		defer cancel()
		return answer(ctx)
	}
}

// freeing calls free when there are no more responses: before the client is told that the operation is complete, so that the place
// is free for its next one.
func freeing(respond graphql.ResponseHandler, free func()) graphql.ResponseHandler {
	return func(ctx context.Context) *graphql.Response {
		response := respond(ctx)
		if response == nil {
			free()
		}
		return response
	}
}

// Operation is what is worth logging of a request to a [Handler]: never what it asked or was answered.
type Operation struct {
	Name string // as the client calls it
	Kind string // query, mutation or subscription; empty if it was refused before
}

type operationKey struct{}

// Observe returns a context under which a [Handler] notes in o what it was asked to do.
func Observe(ctx context.Context, o *Operation) context.Context {
	return context.WithValue(ctx, operationKey{}, o)
}

func observe(ctx context.Context, c *graphql.OperationContext) {
	o, ok := ctx.Value(operationKey{}).(*Operation)
	if !ok || c == nil || c.Operation == nil {
		return
	}
	o.Name, o.Kind = c.Operation.Name[:min(len(c.Operation.Name), 64)], string(c.Operation.Operation)
}
