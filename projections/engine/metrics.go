package engine

import (
	"context"
	"errors"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/prometheus/client_golang/prometheus"
)

// metrics are the engine's, by read model.
type metrics struct {
	events    *prometheus.CounterVec
	unknown   *prometheus.CounterVec
	failures  *prometheus.CounterVec
	durations *prometheus.HistogramVec
	position  *prometheus.Desc
	behind    *prometheus.Desc
	failed    *prometheus.Desc
	parked    *prometheus.Desc
	runs      *prometheus.Desc
}

func newMetrics() *metrics {
	const prefix = "annal_projection_"
	counter := func(name, help string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: prefix + name, Help: help}, []string{"model"})
	}
	gauge := func(name, help string) *prometheus.Desc {
		return prometheus.NewDesc(prefix+name, help, []string{"model"}, nil)
	}
	return &metrics{
		events:   counter("events_total", "Events that live folding has taken a read model past."),
		unknown:  counter("unknown_events_total", "Events skipped because this program does not know their type."),
		failures: counter("failures_total", "Attempts to fold a page that failed, and events that cannot be folded."),
		durations: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: prefix + "fold_seconds", Help: "Time to fold and commit a page.",
			Buckets: prometheus.ExponentialBuckets(0.0005, 2, 14), // 0.5 ms, a round trip, to 4 s
		}, []string{"model"}),
		position: gauge("position", "Position in the log up to which a read model has folded."),
		behind:   gauge("behind", "Events that a read model has not folded yet."),
		failed:   gauge("failed", "1 if a read model has stopped: log, vault and read model do not belong together."),
		parked:   gauge("parked", "Parked events: those that cannot be folded, and the later ones of their streams."),
		runs:     gauge("runs_here", "1 if this process folds the read model, 0 if another does or nobody."),
	}
}

func (m *metrics) folded(model string, events int, took time.Duration) {
	m.events.WithLabelValues(model).Add(float64(events))
	m.durations.WithLabelValues(model).Observe(took.Seconds())
}

// count is the Watermill middleware that counts failed attempts.
func (m *metrics) count(next message.HandlerFunc) message.HandlerFunc {
	return func(msg *message.Message) ([]*message.Message, error) {
		produced, err := next(msg)
		if err != nil {
			m.failures.WithLabelValues(message.HandlerNameFromCtx(msg.Context())).Inc()
		}
		return produced, err
	}
}

func (e *Engine) register(registry prometheus.Registerer) error {
	for _, r := range e.runners { // an alert on a rise needs the zero before it
		e.metrics.unknown.WithLabelValues(r.model.Name)
		e.metrics.failures.WithLabelValues(r.model.Name)
	}
	var errs []error
	for _, c := range []prometheus.Collector{e.metrics.events, e.metrics.unknown, e.metrics.failures, e.metrics.durations, (*collector)(e)} {
		errs = append(errs, registry.Register(c))
	}
	return errors.Join(errs...)
}

// collector collects where the read models stand, when somebody asks.
type collector Engine

func (p *collector) Describe(descs chan<- *prometheus.Desc) {
	descs <- p.metrics.position
	descs <- p.metrics.behind
	descs <- p.metrics.failed
	descs <- p.metrics.parked
	descs <- p.metrics.runs
}

func (p *collector) Collect(values chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	statuses, err := (*Engine)(p).Statuses(ctx)
	if err != nil {
		return // no database, no values: better than old ones
	}
	gauge := func(desc *prometheus.Desc, model string, value float64) {
		values <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, value, model)
	}
	for _, s := range statuses {
		gauge(p.metrics.position, s.Name, float64(s.Position))
		if s.Behind != nil {
			gauge(p.metrics.behind, s.Name, float64(*s.Behind))
		}
		gauge(p.metrics.failed, s.Name, one(s.State == Failed))
		gauge(p.metrics.parked, s.Name, float64(s.Parked))
	}
	for _, r := range p.runners {
		gauge(p.metrics.runs, r.model.Name, one(r.epoch.Load() != 0))
	}
}

func one(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}
