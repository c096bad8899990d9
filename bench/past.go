package main

import (
	"context"
	"fmt"
	"math/rand/v2"

	"github.com/annal-crm/annal/commands"
	"github.com/annal-crm/annal/domain/organization"
	"github.com/annal-crm/annal/eventlog"
	"github.com/annal-crm/annal/history/asof"
	"github.com/annal-crm/annal/history/timeline"
	"github.com/annal-crm/annal/projections/activity"
	"github.com/annal-crm/annal/projections/customers"
	"github.com/annal-crm/annal/projections/engine"
)

const (
	longHistory  = 1000 // events of one customer
	timelinePage = 50
)

// thePast measures how a customer was at some instant, and pages of the timeline of an account that did everything there is.
func thePast(ctx context.Context, b *bench) {
	w := b.long(ctx)
	one := w.newHistory(b.events)
	var instants []eventlog.Position
	for one.events < longHistory {
		check(one.append(ctx, 20))
		instants = append(instants, one.receipt.Position)
	}
	w.rebuild(ctx, activity.Model, nil)
	reader := asof.Reader{Log: w.Log, Codec: w.Codec}
	pages := timeline.Pages{Log: w.Log, Codec: w.Codec, DB: w.Pool, Engine: w.Engine}
	viewer := engine.Viewer{Organization: commands.Home, Account: w.administrator, Scope: organization.All, Personal: true}

	state := func() error {
		history, err := reader.Events(ctx, one.stream, eventlog.AsOf{Position: instants[rand.IntN(len(instants))]})
		if err != nil {
			return err
		}
		c, there, err := customers.Of(one.stream.ID, history, nil)
		if err == nil && (!there || c.Name == "" || int(c.Version) != len(history)) {
			err = fmt.Errorf("%d events make %+v", len(history), c)
		}
		return err
	}
	stream := func() error {
		for _, err := range w.Log.ReadStream(ctx, one.stream, 0) {
			if err != nil {
				return err
			}
		}
		return nil
	}
	page := func() error {
		after := activity.Cursor(eventlog.Position(rand.Uint64N(uint64(instants[0]) * 9 / 10)))
		found, err := pages.Of(ctx, viewer, activity.Sight{}, activity.Filter{Account: w.administrator}, timeline.Filter{}, timelinePage, after)
		if err == nil && len(found.Rows) != timelinePage {
			err = fmt.Errorf("a page of %d", len(found.Rows))
		}
		return err
	}
	b.measure(true, &Figure{
		What: fmt.Sprintf("a customer with %s events at any instant, p50", grouped(longHistory)), Against: "reading its stream alone", Unit: "s", Wanted: "< 5 ms",
		Note:  "From the log, opened and folded with the read model's own fold; half of the events on average.",
		calls: [2]func() error{state, stream},
	}, &Figure{
		What: fmt.Sprintf("a page of %d anywhere in a timeline of %s events, p50", timelinePage, grouped(w.events)), Unit: "s", Wanted: "< 10 ms",
		Note:  "Of the account that did everything in the log: looked up in the index, read from the log, held one against the other, opened.",
		calls: [2]func() error{page},
	})
}
