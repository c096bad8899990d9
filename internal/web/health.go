package web

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/annal-crm/annal/projections"
)

// health says that the process is alive, and nothing of what it depends on: a restart would not mend that.
func (s *Server) health(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Write([]byte("alive\n"))
}

// readiness is the answer of /readyz. Strangers read it: it has no position and no error text.
type readiness struct {
	Ready      bool        `json:"ready"`
	Problems   []string    `json:"problems"`
	Version    string      `json:"version"`
	ReadModels []readModel `json:"readModels"`
}

type readModel struct {
	Name   string `json:"name"`
	Status string `json:"status"`
	Behind *int64 `json:"behind"` // events; null: the log cannot count them
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
	if err := s.deps.Database.Ping(ctx); err != nil {
		problem("the database of the read models cannot be reached")
	} else if statuses, err := s.deps.Readers.Statuses(ctx); err != nil {
		problem("it cannot be told how far the read models are")
	} else {
		for _, m := range statuses {
			answer.ReadModels = append(answer.ReadModels, readModel{m.Name, strings.ToLower(string(m.State)), m.Behind})
			switch {
			case m.State == projections.Failed:
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
