package app

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/annal-crm/annal/eventlog/eventstoredb"
)

// connection is a log that lies behind a connection of its own: EventStoreDB.
type connection interface{ State() eventstoredb.State }

// pools is a log in Postgres.
type pools interface {
	Pools() map[string]*pgxpool.Stat
}

var (
	logUp        = prometheus.NewDesc("annal_log_up", "1 if the log has answered within two seconds just now.", nil, nil)
	logConnected = prometheus.NewDesc("annal_log_connected", "1 while there is a connection to EventStoreDB.", nil, nil)
	logSince     = prometheus.NewDesc("annal_log_connected_changed_timestamp_seconds", "When the connection to EventStoreDB came or was lost.", nil, nil)
	logLosses    = prometheus.NewDesc("annal_log_connection_losses_total", "Connections to EventStoreDB that were lost.", nil, nil)
	connections  = prometheus.NewDesc("annal_postgres_connections", "Connections to Postgres, by pool and what they do; most is the limit.", []string{"pool", "state"}, nil)
	signedSize   = prometheus.NewDesc("annal_audit_checkpoint_size", "Events under the newest checkpoint.", nil, nil)
	signedAge    = prometheus.NewDesc("annal_audit_checkpoint_age_seconds", "Age of the newest checkpoint; a log that does not grow gets no new one.", nil, nil)
	unsigned     = prometheus.NewDesc("annal_audit_unsigned_events", "Events that are not under the newest checkpoint.", nil, nil)
	auditFailed  = prometheus.NewDesc("annal_audit_failures_total", "How often this process could not keep the tree over the log, by step: grow, sign, cosign, publish.", []string{"step"}, nil)
	waits        = prometheus.NewDesc("annal_postgres_waits_total", "How often somebody had to wait for a connection of a pool.", []string{"pool"}, nil)
	waited       = prometheus.NewDesc("annal_postgres_wait_seconds_total", "How long was waited for connections of a pool.", []string{"pool"}, nil)
)

// metrics collects the state of what an instance depends on, when somebody asks.
type metrics Instance

// Metrics returns the state of the log, of its checkpoints and of the connections to Postgres, for a registry.
func (i *Instance) Metrics() prometheus.Collector { return (*metrics)(i) }

// Describe implements [prometheus.Collector].
func (m *metrics) Describe(descs chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{logUp, logConnected, logSince, logLosses, connections, signedSize, signedAge, unsigned, auditFailed, waits, waited} {
		descs <- d
	}
}

// Collect implements [prometheus.Collector].
func (m *metrics) Collect(values chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	gauge := func(d *prometheus.Desc, value float64, labels ...string) {
		values <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
	}
	counter := func(d *prometheus.Desc, value float64, labels ...string) {
		values <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, value, labels...)
	}
	_, err := m.Log.Head(ctx) // also: the connection's state is what the last call has found
	gauge(logUp, truth(err == nil))
	if c, ok := m.Log.(connection); ok {
		state := c.State()
		gauge(logConnected, truth(state.Connected))
		gauge(logSince, float64(state.Since.UnixMilli())/1000)
		counter(logLosses, float64(state.Losses))
	}
	if s, err := m.Audit.Status(ctx); err == nil {
		gauge(signedSize, float64(s.Signed))
		gauge(unsigned, float64(s.Unsigned))
		if s.Age > 0 {
			gauge(signedAge, s.Age.Seconds())
		}
	}
	for step, n := range m.Audit.Failures() {
		counter(auditFailed, float64(n), step.String())
	}
	pool := func(name string, s *pgxpool.Stat) {
		gauge(connections, float64(s.AcquiredConns()), name, "busy")
		gauge(connections, float64(s.IdleConns()), name, "idle")
		gauge(connections, float64(s.MaxConns()), name, "most")
		counter(waits, float64(s.EmptyAcquireCount()), name)
		counter(waited, s.EmptyAcquireWaitTime().Seconds(), name)
	}
	pool("readmodels", m.Pool.Stat())
	if l, ok := m.Log.(pools); ok {
		for name, s := range l.Pools() {
			pool("log_"+name, s)
		}
	}
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
