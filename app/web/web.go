// Package web is the HTTP server around GraphQL: its limits, its log, its health, and the small page at "/". Of a process
// without GraphQL, a projector, it serves the health alone.
//
// [Server.Serve] answers until its context ends; then it tells load balancers that it is not ready, lets running requests
// finish and closes subscriptions. Bodies, tokens and query texts are never logged.
package web

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/annal-crm/annal/eventlog"
	"github.com/annal-crm/annal/graph"
	"github.com/annal-crm/annal/projections/engine"
)

// Dependencies are what the server serves. All but Graph are required.
type Dependencies struct {
	// Graph is nil where no GraphQL is answered.
	Graph   *graph.Handler
	Readers interface { // usually a *projections.Engine
		Statuses(ctx context.Context) ([]engine.Status, error)
	}
	Database interface {
		Ping(ctx context.Context) error
	} // of the read models
	Log interface { // usually an eventlog.Log; one with a connection tells its State
		Head(ctx context.Context) (eventlog.Position, error)
	}
	Metrics *prometheus.Registry // shown at /metrics; the server adds its own
	Logger  *slog.Logger
}

// Config tunes a [Server]; the zero value is fit to serve.
type Config struct {
	Version string        // of the program, shown on the page
	Role    string        // of the process, shown in the metrics
	Behind  int64         // a server is ready while no read model is more events behind than this; default 10 000
	Grace   time.Duration // what running requests get to finish at the end; default 15 s
}

// The bounds of a connection. A request is read within 30 s and may run for 30 s (see [graph.Config]); what is left of a
// minute is for a slow client to take the answer.
const (
	headerTimeout = 10 * time.Second
	readTimeout   = 30 * time.Second
	writeTimeout  = 90 * time.Second
	idleTimeout   = 2 * time.Minute
	headerLimit   = 32 << 10 // bytes
)

// Server serves /graphql, /healthz, /readyz, /metrics and the page.
type Server struct {
	deps    Dependencies
	config  Config
	http    *http.Server
	seconds *prometheus.HistogramVec
	ending  atomic.Bool
	caught  atomic.Bool // up, once since the start
}

// New returns a server.
func New(d Dependencies, c Config) *Server {
	c.Behind, c.Grace = cmp.Or(c.Behind, 10_000), cmp.Or(c.Grace, 15*time.Second)
	s := &Server{deps: d, config: c, seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "annal_http_request_seconds", Help: "Time that HTTP requests took.", Buckets: prometheus.ExponentialBuckets(0.0005, 2, 16),
	}, []string{"route", "status"})}
	info := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "annal_info", Help: "1; what runs here.", ConstLabels: prometheus.Labels{"version": c.Version, "role": c.Role},
	})
	info.Set(1)
	d.Metrics.MustRegister(s.seconds, info)
	s.http = &http.Server{
		Handler: s.Handler(), ErrorLog: slog.NewLogLogger(d.Logger.Handler(), slog.LevelDebug), // broken handshakes and the like
		ReadHeaderTimeout: headerTimeout, ReadTimeout: readTimeout, WriteTimeout: writeTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: headerLimit,
	}
	return s
}

// Handler returns what the server answers with, for tests.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", s.health)
	mux.HandleFunc("GET /readyz", s.ready)
	mux.Handle("GET /metrics", promhttp.HandlerFor(s.deps.Metrics, promhttp.HandlerOpts{}))
	if s.deps.Graph == nil {
		mux.HandleFunc("/graphql", elsewhere)
		return s.logged(mux)
	}
	mux.Handle("/graphql", s.deps.Graph)
	s.page(mux)
	return s.logged(mux)
}

// CaughtUp tells the server that every read model has been at the head of the log once since the start. Before that it is not
// ready: a log that cannot count what is behind gives no other sign.
func (s *Server) CaughtUp() { s.caught.Store(true) }

// elsewhere answers who asks a projector for GraphQL.
func elsewhere(w http.ResponseWriter, _ *http.Request) {
	http.Error(w, "This process folds read models and answers no GraphQL: ask one that runs with --role all or api.", http.StatusNotFound)
}

// Serve answers on l until ctx ends, then for as long as running requests need, at most [Config.Grace]. It closes l.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	failed := make(chan error, 1)
	go func() { failed <- s.http.Serve(l) }()
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	s.ending.Store(true)
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.config.Grace)
	defer cancel()
	subscriptions := make(chan error, 1)
	go func() {
		if s.deps.Graph == nil {
			subscriptions <- nil
			return
		}
		subscriptions <- s.deps.Graph.Shutdown(grace)
	}()
	err := errors.Join(s.http.Shutdown(grace), <-subscriptions)
	if err != nil {
		s.http.Close()
	}
	return err
}

// logged writes a line and a measurement for each request.
func (s *Server) logged(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := time.Now()
		h := w.Header()
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
		h.Set("Cache-Control", "no-store")

		var op graph.Operation
		answer := &answer{ResponseWriter: w, status: http.StatusOK}
		next.ServeHTTP(answer, r.WithContext(graph.Observe(r.Context(), &op)))

		took, route, level := time.Since(start), "other", slog.LevelInfo
		switch r.URL.Path {
		case "/graphql":
			route = r.URL.Path
		case "/healthz", "/readyz", "/metrics":
			route, level = r.URL.Path, slog.LevelDebug
		}
		if answer.status != http.StatusSwitchingProtocols { // that is how long somebody listened
			s.seconds.WithLabelValues(route, strconv.Itoa(answer.status)).Observe(took.Seconds())
		}
		s.deps.Logger.LogAttrs(r.Context(), level, "request",
			slog.String("method", r.Method), slog.String("path", r.URL.Path), slog.Int("status", answer.status),
			slog.Duration("took", took), slog.String("kind", op.Kind), slog.String("operation", op.Name))
	})
}

// answer remembers a response's status.
type answer struct {
	http.ResponseWriter
	status int
}

func (a *answer) WriteHeader(status int) {
	a.status = status
	a.ResponseWriter.WriteHeader(status)
}

// Hijack hands over the connection of a websocket.
func (a *answer) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	a.status = http.StatusSwitchingProtocols
	return http.NewResponseController(a.ResponseWriter).Hijack()
}
