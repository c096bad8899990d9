package web

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/annal-crm/annal/eventlog/eventstoredb"
	"github.com/annal-crm/annal/projections/engine"
)

// health says that the process is alive, and nothing of what it depends on: a restart would not mend that.
func (s *Server) health(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Write([]byte("alive\n"))
}

// readiness is the answer of /readyz. Strangers read it: it has no position, no address and no error text of others.
type readiness struct {
	Ready      bool        `json:"ready"`
	Problems   []string    `json:"problems"`
	Version    string      `json:"version"`
	Log        *connection `json:"log,omitempty"` // absent: the log lies in the database
	ReadModels []readModel `json:"readModels"`
}

// connection is that to EventStoreDB.
type connection struct {
	Connected bool      `json:"connected"`
	Since     time.Time `json:"since"`  // it is so
	Losses    int64     `json:"losses"` // since the start
	LastError string    `json:"lastError,omitempty"`
}

type readModel struct {
	Name   string `json:"name"`
	Status string `json:"status"`
	Behind *int64 `json:"behind"` // events; null: the log cannot count them
	Parked int    `json:"parked"` // parked events, see [engine.Parked]; the read model serves without them
}

// ready says whether requests should be sent here, and if not why.
func (s *Server) ready(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), 2*time.Second)
	defer cancel()
	answer := readiness{Version: s.config.Version, Problems: []string{}, ReadModels: []readModel{}}
	problem := func(format string, args ...any) {
		answer.Problems = append(answer.Problems, fmt.Sprintf(format, args...))
	}
	if s.ending.Load() {
		problem("the server is going down")
	}
	if !s.caught.Load() {
		problem("the read models have not caught up with the log since the start")
	}
	half, stop := context.WithTimeout(ctx, time.Second) // a log that hangs leaves time to ask the database
	defer stop()
	if _, err := s.deps.Log.Head(half); err != nil {
		problem("the log cannot be reached")
	}
	if l, ok := s.deps.Log.(interface{ State() eventstoredb.State }); ok { // what that call has found out
		state := l.State()
		answer.Log = &connection{state.Connected, state.Since, state.Losses, public(state.Err)}
	}
	if err := s.deps.Database.Ping(ctx); err != nil {
		problem("the database of the read models cannot be reached")
	} else if statuses, err := s.deps.Readers.Statuses(ctx); err != nil {
		problem("it is not known how far the read models are")
	} else {
		for _, m := range statuses {
			answer.ReadModels = append(answer.ReadModels, readModel{m.Name, strings.ToLower(string(m.State)), m.Behind, m.Parked})
			switch {
			case m.State == engine.Failed:
				problem("the read model %s has failed", m.Name)
			case m.Behind != nil && *m.Behind > s.config.Behind:
				problem("the read model %s is %d events behind", m.Name, *m.Behind)
			}
		}
	}
	answer.Ready = len(answer.Problems) == 0
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	if !answer.Ready {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	json.NewEncoder(w).Encode(answer)
}

// public is of a connection's error what strangers may read: what kind it is, without the addresses in it. The rest is logged.
func public(err error) string {
	if err == nil {
		return ""
	}
	if kind, _, ok := strings.Cut(err.Error(), ": "); ok && strings.HasPrefix(kind, "EventStoreDB ") {
		return kind
	}
	return "the connection was lost"
}
