package reports

import (
	"context"
	"maps"
	"slices"

	"github.com/google/uuid"

	"github.com/annal-crm/annal/domain"
	"github.com/annal-crm/annal/eventlog"
	"github.com/annal-crm/annal/projections/activity"
	"github.com/annal-crm/annal/projections/engine"
	"github.com/annal-crm/annal/reports/report"
)

// What is explained is explained whole: a group with more behind it is refused.
const (
	comparedRecords  = 100_000 // behind a group, of each side; held at once
	explainedRecords = 10_000  // that differ; all events of theirs are read, 1000 records at once
)

// ErrManyRecords reports a difference with more behind it than is explained.
var ErrManyRecords = domain.Refuse(domain.CodeTooComplex, "a difference with more than 100 000 records behind it, or 10 000 that differ, is not explained in part: group by more, or narrow it by filter")

// pair is a row behind a group that the two sides have otherwise; nil: one has it not.
type pair [2]*report.Record

// explain returns the positions of the events that make a group differ, in log order. Of each record behind it that does not bring the
// same to it on both sides they are those that only one side was folded from: a record that moved to another group is so
// explained by the event that moved it. What the sides took the same events of is explained by what it was judged by, if that differs
// (a forecast by closed deals); else by what is behind it on one side alone, or under two definitions by what is behind it at all.
func (d *Differences) explain(ctx context.Context, one report.Difference) ([]eventlog.Position, error) {
	row, ask := one.Row(), [2]report.Query{}
	reports := [2]*report.Report{d.sides[0].report.Report, d.sides[1].report.Report}
	learned := [2]*report.Report{}
	for i := range d.sides {
		s := &d.sides[i]
		ask[i] = s.table.Pick(d.asked(s), row)
		ask[i].Measures = one.Columns
		if learned[i] = reports[i].Learned(ask[i]); learned[i] != nil {
			ask[i].By = names(learned[i].Dimensions)
		} else {
			ask[i].By = nil
		}
	}
	differing, err := d.differing(ctx, reports, ask)
	if err != nil {
		return nil, err
	}
	head, err := d.catalogue.Log.Head(ctx)
	if err == nil {
		err = d.catalogue.Engine.Wait(ctx, head, activity.Model.Name)
	}
	if err != nil {
		return nil, err
	}
	explained := make(map[eventlog.Position]bool)
	rest, err := d.folded(ctx, differing, explained)
	if err != nil {
		return nil, err
	}
	if learned[0] != nil && len(rest) > 0 {
		if rest, err = d.judged(ctx, learned, rest, explained); err != nil {
			return nil, err
		}
	}
	a, b := d.sides[0].report, d.sides[1].report
	for _, p := range rest {
		alone := p.alone()
		if len(alone) == 0 && (a.Name != b.Name || a.Version != b.Version) {
			alone = p.events()
		}
		for _, at := range alone {
			explained[at] = true
		}
	}
	return slices.Sorted(maps.Keys(explained)), nil
}

func names(columns []report.Column) (all []string) {
	for _, c := range columns {
		all = append(all, c.Name)
	}
	return all
}

// differing are the rows that do not bring the same to the measures of a query on both sides, were they asked at the same time.
func (d *Differences) differing(ctx context.Context, reports [2]*report.Report, ask [2]report.Query) (all []pair, err error) {
	both := make(map[string]pair)
	for i := range d.sides {
		records, err := reports[i].Records(ctx, d.sides[i].db, d.catalogue.Codec, d.viewer, ask[i], d.sides[0].now, comparedRecords+1)
		if err != nil {
			return nil, err
		}
		if len(records) > comparedRecords {
			return nil, ErrManyRecords
		}
		for at := range records {
			p := both[records[at].Key]
			p[i] = &records[at]
			both[records[at].Key] = p
		}
	}
	for _, key := range slices.Sorted(maps.Keys(both)) {
		if p := both[key]; p[0] == nil || p[1] == nil || p[0].Numbers != p[1].Numbers || p[0].By != p[1].By {
			all = append(all, p)
		}
	}
	if len(all) > explainedRecords {
		return nil, ErrManyRecords
	}
	return all, nil
}

// folded notes the events of records that one side alone was folded from, and returns the pairs that there are none of.
func (d *Differences) folded(ctx context.Context, all []pair, explained map[eventlog.Position]bool) (rest []pair, err error) {
	for some := range slices.Chunk(all, 1000) {
		of := make(map[uuid.UUID][]int) // by stream, whom of some it is about
		var positions []eventlog.Position
		behind := make(map[eventlog.Position][]int)
		for i, p := range some {
			if id := p.id(); id != uuid.Nil {
				of[id] = append(of[id], i)
				for _, at := range p.events() {
					positions, behind[at] = append(positions, at), append(behind[at], i)
				}
			}
		}
		// A customer is touched by events of opportunities, too.
		if err := d.stored(ctx, activity.Filter{Positions: positions}, len(positions), func(e *eventlog.Event) {
			for _, i := range behind[e.Position] {
				if !slices.Contains(of[e.Stream.ID], i) {
					of[e.Stream.ID] = append(of[e.Stream.ID], i)
				}
			}
		}); err != nil {
			return nil, err
		}
		found := make(map[int]bool)
		streams := slices.Collect(maps.Keys(of))
		if err := d.stored(ctx, activity.Filter{Streams: streams}, len(streams), func(e *eventlog.Event) {
			if d.sides[0].takes(e) != d.sides[1].takes(e) {
				explained[e.Position] = true
				for _, i := range of[e.Stream.ID] {
					found[i] = true
				}
			}
		}); err != nil {
			return nil, err
		}
		for i, p := range some {
			if !found[i] {
				rest = append(rest, p)
			}
		}
	}
	return rest, nil
}

// stored goes through the events of a list, unless it is of nothing.
func (d *Differences) stored(ctx context.Context, f activity.Filter, of int, each func(*eventlog.Event)) error {
	if of == 0 {
		return nil
	}
	all := report.Everything(d.viewer.Organization)
	for request := (engine.PageRequest{First: 10_000}); ; {
		page, err := activity.Index(ctx, d.catalogue.DB, all, activity.Sight{}, f, request)
		if err != nil {
			return err
		}
		for _, row := range page.Rows {
			if e := row.Stored(); !row.Global {
				each(&e)
			}
		}
		if !page.HasNext {
			return nil
		}
		request.After = page.Cursors[len(page.Cursors)-1]
	}
}

// judged notes why what pairs were judged by differs, and returns those of which nothing of it does. It is told by the values that
// they are judged by; if that finds nothing they were judged by all there is.
func (d *Differences) judged(ctx context.Context, by [2]*report.Report, pairs []pair, explained map[eventlog.Position]bool) (rest []pair, err error) {
	ask := [2]report.Query{}
	for i := range d.sides {
		ask[i] = report.Query{By: names(by[i].Dimensions), Now: d.sides[i].now}
	}
	all, err := d.differing(ctx, by, ask)
	if err != nil || len(all) == 0 {
		return pairs, err
	}
	values := make(map[string]bool)
	for _, q := range all {
		for _, by := range q.by() {
			values[by] = true
		}
	}
	matters, everything := make(map[string]bool), false
	for _, p := range pairs {
		known := false
		for _, by := range p.by() {
			matters[by], known = true, known || values[by]
		}
		everything = everything || !known
	}
	if !everything {
		all = slices.DeleteFunc(all, func(q pair) bool { return !slices.ContainsFunc(q.by(), func(by string) bool { return matters[by] }) })
	}
	others, err := d.folded(ctx, all, explained)
	for _, p := range others {
		for _, at := range p.alone() {
			explained[at] = true
		}
	}
	return nil, err
}

func (p pair) one() *report.Record {
	if p[0] != nil {
		return p[0]
	}
	return p[1]
}

func (p pair) id() uuid.UUID { return p.one().ID }

// by are the values of its dimensions, on any side.
func (p pair) by() (all []string) {
	for _, r := range p {
		if r != nil {
			all = append(all, r.By)
		}
	}
	return all
}

// events are those behind it on any side.
func (p pair) events() (all []eventlog.Position) {
	for _, r := range p {
		if r != nil {
			all = append(all, r.Events...)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// alone are those behind it on one side only.
func (p pair) alone() []eventlog.Position {
	return slices.DeleteFunc(p.events(), func(at eventlog.Position) bool {
		return p[0] != nil && p[1] != nil && slices.Contains(p[0].Events, at) && slices.Contains(p[1].Events, at)
	})
}
