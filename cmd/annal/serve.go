package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"golang.org/x/sync/errgroup"

	"github.com/annal-crm/annal/app"
	"github.com/annal-crm/annal/app/web"
	"github.com/annal-crm/annal/automations"
	"github.com/annal-crm/annal/graph"
	"github.com/annal-crm/annal/internal/vault"
	"github.com/annal-crm/annal/projections/engine"
	"github.com/annal-crm/annal/transparency"
)

// front is how Annal is reached.
type front struct {
	Listen         string         `help:"Address to listen on." default:"127.0.0.1:8420" env:"ANNAL_LISTEN"`
	TrustedProxies []netip.Prefix `help:"Networks of proxies whose X-Forwarded-For header is trusted: 10.0.0.0/8,…" env:"ANNAL_TRUSTED_PROXIES" placeholder:"CIDR"`
	MaxCost        int            `help:"The highest cost of one GraphQL operation." default:"10000" env:"ANNAL_MAX_COST"`
	MaxDepth       int            `help:"The greatest depth of one GraphQL operation." default:"12" env:"ANNAL_MAX_DEPTH"`
	Grace          time.Duration  `help:"How long running requests may take to finish when the process stops." default:"15s" env:"ANNAL_GRACE"`
	publishing
}

// role says what part of the work a process does; several processes share it.
type role string

// roleAPI and roleAll answer GraphQL; roleProjector and roleAll fold the read models and run the automations.
const (
	roleAll       role = "all"
	roleAPI       role = "api"
	roleProjector role = "projector"
)

type serveCmd struct {
	place
	front
	Role role `help:"What this process does: ${enum}. api answers GraphQL, projector folds the read models and runs the automations." enum:"all,api,projector" default:"all" env:"ANNAL_ROLE"`
}

// Run serves what is there. Unlike up it makes neither organization nor administrator nor sample.
func (c serveCmd) Run(ctx context.Context) error {
	return c.front.serve(ctx, c.Role, c.place.config(), nil, func(_ context.Context, _ *app.Instance, url string) error {
		if c.Role == roleProjector {
			url = strings.TrimSuffix(url, "graphql") + "readyz"
		}
		fmt.Println("ready", url)
		return nil
	})
}

// moment is something to be done with an instance that is served, or will be, at a URL.
type moment func(ctx context.Context, i *app.Instance, url string) error

// listen takes the port before anything else is done, so that a port in use is reported at once.
func (f front) listen() (net.Listener, error) {
	l, err := net.Listen("tcp", f.Listen)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("%s is in use by another program; choose another address with --listen", f.Listen)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot listen on %s: %w", f.Listen, err)
	}
	return l, nil
}

// serve opens the instance and does the work of a role until ctx ends; then it stops in the order that loses nothing: requests
// first, then the read models and automations, then the log and the database. It refuses to serve read models that do not fit
// the log. found, if not nil, runs before anything else does; ready once every read model has reached the head of the log.
func (f front) serve(ctx context.Context, role role, config app.Config, found, ready moment) (err error) {
	defer func() {
		if ctx.Err() != nil && errors.Is(err, context.Canceled) { // asked to end while it starts: no failure
			err = nil
		}
	}()
	listener, err := f.listen()
	if err != nil {
		return err
	}
	defer listener.Close()
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	config.Projections.Metrics = registry
	i, err := app.Open(ctx, config)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, i.Close()) }()
	if err := misfit(i.Fit(ctx)); err != nil {
		return err
	}
	if err := i.MeetErasures(ctx); err != nil {
		return err
	}
	registry.MustRegister(i.Metrics())
	url := fmt.Sprintf("http://%s/graphql", listener.Addr())
	if found != nil {
		if err := found(ctx, i, url); err != nil {
			return err
		}
	} else if head, err := i.Log.Head(ctx); err == nil && head == 0 {
		slog.Warn("the log is empty, so nobody can sign in: annal init makes the organization and its administrator")
	}

	logger := slog.Default()
	deps := web.Dependencies{Readers: i.Engine, Database: i.Pool, Log: i.Log, Metrics: registry, Logger: logger}
	if role != roleProjector {
		deps.Graph = graph.New(graph.Dependencies{Commands: i.Commands, Engine: i.Engine, DB: i.Pool, Codec: i.Codec, Log: i.Log, Audit: i.Audit, Logger: logger},
			graph.Config{Cost: f.MaxCost, Depth: f.MaxDepth, TrustedProxies: f.TrustedProxies})
	}
	server := web.New(deps, web.Config{Version: version, Role: string(role), Grace: f.Grace})

	// Folding and automations end after the requests that wait for them.
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	var behind errgroup.Group
	behind.Go(func() error { i.Watch(background); return nil })
	if role == roleAPI {
		behind.Go(func() error { i.Engine.Attend(background); return nil })
	} else {
		behind.Go(func() error { return i.Engine.Run(background) })
		behind.Go(func() error {
			automations.New(i.Deadlines(), i.Commands, automations.Config{Logger: logger}).Run(background)
			return nil
		})
		behind.Go(func() error { i.Erasures(logger).Run(background); return nil })
		behind.Go(func() error { i.Retention(logger).Run(background); return nil })
		behind.Go(func() error {
			transparency.NewRunner(i.Audit, transparency.RunnerConfig{Publisher: f.publisher(), Logger: logger}).Run(background)
			return nil
		})
	}

	serving, stopServing := context.WithCancel(ctx)
	defer stopServing()
	var work errgroup.Group
	work.Go(func() error { defer stopServing(); return server.Serve(serving, listener) })
	work.Go(func() error {
		err := misfit(i.CaughtUp(serving))
		if err == nil {
			server.CaughtUp()
			err = ready(serving, i, url)
		}
		if err != nil {
			stopServing()
			if ctx.Err() != nil { // stopped while starting: nothing is wrong
				return nil
			}
		}
		return err
	})
	err = work.Wait()
	stop()
	return errors.Join(err, behind.Wait())
}

// unfit is the exit status when log, vault and read models do not fit together: starting again would not fix that.
const unfit = 4

// misfit says what to do about an error which says that read models, log and vault do not belong together. Others it returns
// as they are.
func misfit(err error) error {
	if !errors.Is(err, engine.ErrForeign) && !errors.Is(err, vault.ErrNoKey) {
		return err
	}
	return exit{unfit, fmt.Errorf("log, vault and read models do not belong together, so nothing is served; \"After a restore\" in docs/operations.md says what to do\n%w", err)}
}
