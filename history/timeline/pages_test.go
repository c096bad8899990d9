package timeline_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/google/uuid"

	"github.com/annal-crm/annal/domain"
	"github.com/annal-crm/annal/domain/account"
	"github.com/annal-crm/annal/domain/customer"
	"github.com/annal-crm/annal/domain/organization"
	"github.com/annal-crm/annal/eventlog"
	"github.com/annal-crm/annal/history/timeline"
	"github.com/annal-crm/annal/projections/activity"
	"github.com/annal-crm/annal/projections/engine"
	"github.com/annal-crm/annal/projections/engine/querytest"
)

// A life is the same in pages of any size, by any filter, from a log whose positions can be counted and from one whose cannot,
// as reading the whole log tells.
func TestPagesTellWhatTheWholeLogDoes(t *testing.T) {
	w := querytest.New(t, activity.Model)
	org := uuid.New()
	stream := func(category string) eventlog.Stream {
		return eventlog.Stream{Organization: org, Category: category, ID: uuid.New()}
	}
	ada, bob := stream(account.Category), stream(account.Category)
	sessions := []uuid.UUID{uuid.New(), uuid.New()}
	by := func(who eventlog.Stream, i int) domain.Metadata {
		return domain.Metadata{Actor: who.ID, Session: sessions[i%2], IP: fmt.Sprintf("192.0.2.%d", i%3), Device: fmt.Sprint("Browser ", i%4), Correlation: uuid.New()}
	}
	var history []querytest.Event
	for i := range 60 {
		who := []eventlog.Stream{ada, bob, ada}[i%3]
		switch i % 5 {
		case 0:
			history = append(history, querytest.Event{Stream: ada, Payload: account.LoggedIn{}, Meta: by(ada, i)})
		case 1, 2:
			history = append(history, querytest.Event{Stream: stream(customer.Category), Payload: customer.Registered{Name: fmt.Sprint(i)}, Meta: by(who, i)})
		default: // far between: somebody else's
			for range 9 {
				history = append(history, querytest.Event{Stream: bob, Payload: account.LoggedIn{}, Meta: by(bob, i)})
			}
		}
	}
	w.RecordAll(history...)
	w.Settle()
	network, err := timeline.ParseIP("192.0.2.1")
	if err != nil {
		t.Fatal(err)
	}
	viewer := engine.Viewer{Organization: org, Scope: organization.All, Personal: true}
	for name, f := range map[string]timeline.Filter{
		"all": {}, "types": {Types: []string{"customer.registered"}}, "an address": {IP: network}, "a device": {Device: "browser 2"}, "a session": {Session: sessions[1]},
		"several": {Types: []string{"account.logged_in"}, Session: sessions[0], IP: network}, "none": {Request: uuid.New()},
	} {
		var want []eventlog.Position
		for fact, err := range (timeline.Reader{Log: w.Log, Codec: w.Codec}).Of(t.Context(), account.Category, ada.ID) {
			if err != nil {
				t.Fatal(err)
			}
			meta, err := fact.Metadata()
			if err != nil {
				t.Fatal(err)
			}
			if f.Takes(fact.Type, fact.OccurredAt, meta) {
				want = append(want, fact.Position)
			}
		}
		for kind, log := range map[string]eventlog.Log{"counted": w.Log, "not counted": struct{ eventlog.Log }{w.Log}} {
			pages := timeline.Pages{Log: log, Codec: w.Codec, DB: w.Pool, Engine: w.Engine}
			for _, size := range []int{1, 7, 200} {
				var got []eventlog.Position
				for page := (timeline.Page{}); ; {
					if page, err = pages.Of(t.Context(), viewer, activity.Sight{}, activity.Filter{Account: ada.ID}, f, size, page.End); err != nil {
						t.Fatal(err)
					}
					for _, a := range page.Rows {
						got = append(got, a.Position)
					}
					if len(page.Rows) > size {
						t.Fatalf("a page of %d", len(page.Rows))
					}
					if !page.HasNext {
						break
					}
				}
				if !slices.Equal(got, want) {
					t.Errorf("%s, %s, %d at once: %v, want %v", name, kind, size, got, want)
				}
			}
		}
	}
}
