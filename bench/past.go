package main

import (
	"context"
	"fmt"
	"math/rand/v2"

	"github.com/annal-crm/annal/commands"
	"github.com/annal-crm/annal/domain/organization"
	"github.com/annal-crm/annal/eventlog"
	"github.com/annal-crm/annal/history/asof"
	lives "github.com/annal-crm/annal/history/timeline"
	"github.com/annal-crm/annal/projections/activity"
	"github.com/annal-crm/annal/projections/customers"
	"github.com/annal-crm/annal/projections/engine"
)

const (
	longLife = 1000 // events of one customer
	lifePage = 50
)

// thePast measures how a customer was at some instant, and pages of the life of an account that did everything there is.
func thePast(ctx context.Context, b *bench) ([]Figure, error) {
	w, err := b.long(ctx)
	if err != nil {
		return nil, err
	}
	one := w.newLife(b.config.Events)
	var places []eventlog.Position
	for one.events < longLife {
		if err := one.append(ctx, 20); err != nil {
			return nil, err
		}
		places = append(places, one.receipt.Position)
	}
	statuses, err := w.Engine.Statuses(ctx)
	if err != nil {
		return nil, err
	}
	for _, s := range statuses {
		if s.Name == activity.Model.Name && s.Position < one.receipt.Position {
			if _, err := w.Engine.Rebuild(ctx, s.Name, engine.RebuildOptions{}); err != nil {
				return nil, err
			}
		}
	}
	reader := asof.Reader{Log: w.Log, Codec: w.Codec}
	pages := lives.Pages{Log: w.Log, Codec: w.Codec, DB: w.Pool, Engine: w.Engine}
	viewer := engine.Viewer{Organization: commands.Home, Account: w.administrator, Scope: organization.All, Personal: true}
	var state, read, page series
	err = b.rounds("past", true, func() error {
		ours, floor, err := inTurn(b.span(), 10, func(int) error {
			history, err := reader.Events(ctx, one.stream, eventlog.AsOf{Position: places[rand.IntN(len(places))]})
			if err != nil {
				return err
			}
			c, there, err := customers.Of(one.stream.ID, history, nil)
			if err == nil && (!there || c.Name == "" || int(c.Version) != len(history)) {
				err = fmt.Errorf("%d events make %+v", len(history), c)
			}
			return err
		}, func(int) error {
			for _, err := range w.Log.ReadStream(ctx, one.stream, 0) {
				if err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
		state.add(percentile(ours, 50))
		read.add(percentile(floor, 50))
		_, took, err := load(ctx, 1, b.span(), func(ctx context.Context, _, _ int) (bool, error) {
			after := activity.Cursor(eventlog.Position(rand.Uint64N(uint64(places[0]) * 9 / 10)))
			found, err := pages.Of(ctx, viewer, activity.Sight{}, activity.Filter{Account: w.administrator}, lives.Filter{}, lifePage, after)
			if err == nil && len(found.Rows) != lifePage {
				err = fmt.Errorf("a page of %d", len(found.Rows))
			}
			return true, err
		})
		page.add(percentile(took, 50))
		return err
	})
	if err != nil {
		return nil, err
	}
	r, text := ratio(state[1:], read[1:])
	return []Figure{{
		What: fmt.Sprintf("a customer with %s events at any instant, p50", grouped(longLife)), Against: "reading its stream alone", Ours: timeText(state[1:]), Floor: timeText(read[1:]),
		Ratio: text, Wanted: "< 5 ms", Met: state[1:].median() < 0.005 && r > 0,
		Note: "From the log, opened and folded with the read model's own fold; half of the events on average.",
	}, {
		What: fmt.Sprintf("a page of %d anywhere in a life of %s events, p50", lifePage, grouped(float64(w.events))), Against: "–", Ours: timeText(page[1:]), Floor: "–", Ratio: "–",
		Wanted: "< 10 ms", Met: page[1:].median() < 0.010,
		Note: "Of the account that did everything in the log: looked up in the index, read from the log, held one against the other, opened.",
	}}, nil
}
