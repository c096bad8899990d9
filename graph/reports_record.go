package graph

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/annal-crm/annal/commands"
	"github.com/annal-crm/annal/domain/audit"
	"github.com/annal-crm/annal/eventlog"
	"github.com/annal-crm/annal/graph/generated"
	"github.com/annal-crm/annal/reports/report"
	"github.com/annal-crm/annal/reports/results"
)

// lookedInto is the event of a look at people's acts by way of a report; of names what it was folded from.
func lookedInto(a asked, q report.Query, of []string) audit.ReportRead {
	return audit.ReportRead{Act: audit.Replayed, Report: a.Name, Definition: a.Version, Personal: a.Personal(q), Of: append(of, a.Words(q.Filter)...)}
}

// pastWords tell of a past.
func pastWords(in *generated.AsOf) []string {
	if in == nil {
		return nil
	}
	return results.Part{}.Words(eventlog.AsOf{KnownAt: value(in.KnownAt), HappenedBy: value(in.HappenedBy), Position: value(in.Position)})
}

// lookInto puts a look on record before anything of it is shown: once in an hour for the same question in the same session, so that
// the pages and rows of one report are one look.
func (r *resolver) lookInto(ctx context.Context, p *commands.Principal, wish audit.ReportRead, q report.Query) error {
	name := []string{fmt.Sprint(p.Account, p.Session, wish)}
	for _, dimension := range slices.Sorted(maps.Keys(q.Filter.In)) { // also values that are not put on record
		name = append(name, dimension, strings.Join(q.Filter.In[dimension], "\x00"))
	}
	key := strings.Join(name, "\x00\x00")
	r.looks.mu.Lock()
	since, known := r.looks.since.Get(key)
	r.looks.mu.Unlock()
	if known && time.Since(since) < oneLook {
		return nil
	}
	if _, err := r.Commands.ReadReport(ctx, p, commands.Command{}, wish); err != nil {
		return err
	}
	r.looks.mu.Lock()
	defer r.looks.mu.Unlock()
	r.looks.since.Add(key, time.Now())
	return nil
}
