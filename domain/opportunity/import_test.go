package opportunity

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"github.com/annal-crm/annal/domain"
	"github.com/annal-crm/annal/domain/domaintest"
)

var (
	prospect = Row{Reference: "Z063", Product: "GTX Pro", Customer: isdom, Owner: ada, Stage: Prospecting, Source: "crm"}
	talking  = with(prospect, func(r *Row) { r.Stage, r.EngagedAt = Engaging, day(2) })
	sold     = with(talking, func(r *Row) { r.Stage, r.ClosedAt, r.Value = StageWon, day(5), "4514" })
	missed   = with(talking, func(r *Row) { r.Stage, r.ClosedAt = StageLost, day(5) })

	crmOpened  = Opened{"Z063", "GTX Pro", isdom, ada, day(2), "crm"}
	crmEngaged = Engaged{day(2), "crm"}
	crmWon     = Won{"4514", day(5), "crm"}
	crmLost    = Lost{day(5), "crm"}
)

func with(r Row, edit func(*Row)) Row {
	edit(&r)
	return r
}

func TestImport(t *testing.T) {
	row := func(r Row, edit ...func(*Row)) func(State) ([]Event, error) {
		return func(s State) ([]Event, error) {
			for _, e := range edit {
				e(&r)
			}
			return Import(s, r, now)
		}
	}
	prospected := events{Opened{"Z063", "GTX Pro", isdom, ada, now, "crm"}}
	engaged := events{crmOpened, crmEngaged}
	won := events{crmOpened, crmEngaged, crmWon}
	and := func(given events, more ...Event) events { return append(given[:len(given):len(given)], more...) }
	reopened := Reopened{now, "crm"}

	domaintest.Run(t, EventTypes, Evolve,
		story{Name: "a new row, prospecting, is opened now", When: row(prospect), Then: prospected},
		story{Name: "a new row, engaging, is opened when engaged", When: row(talking), Then: engaged},
		story{Name: "a new row, won", When: row(sold, func(r *Row) { r.Value = "4514.0" }), Then: won},
		story{Name: "a new row, lost, has no value", When: row(missed, func(r *Row) { r.Value = "0" }), Then: events{crmOpened, crmEngaged, crmLost}},
		story{Name: "a new row, won without a date of engagement", When: row(sold, func(r *Row) { r.EngagedAt = time.Time{} }), Then: events{
			Opened{"Z063", "GTX Pro", isdom, ada, now, "crm"}, Engaged{day(5), "crm"}, crmWon, Edited{Imported: map[string]string{"engagedAt": ""}, Source: "crm"},
		}},
		story{Name: "prospecting again", Given: prospected, When: row(prospect)},
		story{Name: "engaging again", Given: engaged, When: row(talking)},
		story{Name: "won again", Given: won, When: row(sold)},
		story{Name: "won again, without a date of engagement", Given: and(won, Edited{Imported: map[string]string{"engagedAt": ""}, Source: "crm"}), When: row(sold, func(r *Row) { r.EngagedAt = time.Time{} })},

		story{Name: "engaged since", Given: prospected, When: row(talking), Then: events{crmEngaged}},
		story{Name: "won since", Given: engaged, When: row(sold), Then: events{crmWon}},
		story{Name: "engaged and lost since", Given: prospected, When: row(missed), Then: events{crmEngaged, crmLost}},
		story{Name: "lost after all", Given: won, When: row(missed), Then: events{reopened, crmLost}},
		story{Name: "reopened", Given: won, When: row(talking), Then: events{reopened}},
		story{Name: "prospecting after all: no event leads there", Given: engaged, When: row(prospect), Then: events{
			Edited{Imported: map[string]string{"stage": "prospecting", "engagedAt": ""}, Source: "crm"},
		}},
		story{Name: "closed at another date", Given: won, When: row(sold, func(r *Row) { r.ClosedAt = day(6) }), Then: events{reopened, Won{"4514", day(6), "crm"}}},
		story{Name: "engaged at another date", Given: engaged, When: row(talking, func(r *Row) { r.EngagedAt = day(1) }), Then: events{Engaged{day(1), "crm"}}},
		story{Name: "won, engaged at another date", Given: won, When: row(sold, func(r *Row) { r.EngagedAt = day(1) }), Then: events{reopened, Engaged{day(1), "crm"}, crmWon}},
		story{Name: "of another value", Given: won, When: row(sold, func(r *Row) { r.Value = "1" }), Then: events{Edited{Value: change("4514", "1"), Source: "crm"}}},
		story{
			Name:  "of another owner, customer and product",
			Given: engaged,
			When:  row(talking, func(r *Row) { r.Owner, r.Customer, r.Product = grace, uuid.Nil, "MG" }),
			Then:  events{Reassigned{ada, grace, "crm"}, Edited{Customer: change(isdom.String(), ""), Product: change("GTX Pro", "MG"), Source: "crm"}},
		},

		story{Name: "what people did since stays", Given: and(engaged, Won{Value: "7", At: day(9)}, Reassigned{From: ada, To: grace}, Edited{Product: change("GTX Pro", "MG")}), When: row(talking)},
		story{Name: "reopened by people, stays so", Given: and(won, Reopened{At: day(9)}), When: row(sold)},
		story{
			Name:  "reopened by people, a new value is noted",
			Given: and(won, Reopened{At: day(9)}),
			When:  row(sold, func(r *Row) { r.Value = "1" }),
			Then:  events{Edited{Imported: map[string]string{"value": "1"}, Source: "crm"}},
		},
		story{
			Name:  "reopened by people, another date of the closing is noted",
			Given: and(won, Reopened{At: day(9)}),
			When:  row(sold, func(r *Row) { r.ClosedAt = day(6) }),
			Then:  events{Edited{Imported: map[string]string{"closedAt": instant(day(6))}, Source: "crm"}},
		},
		story{
			Name:  "a date of engagement left out is noted",
			Given: won,
			When:  row(sold, func(r *Row) { r.EngagedAt = time.Time{} }),
			Then:  events{Edited{Imported: map[string]string{"engagedAt": ""}, Source: "crm"}},
		},
		story{
			Name:  "and does not undo what people do next",
			Given: and(won, Reopened{At: day(9)}, Edited{Imported: map[string]string{"value": "1"}, Source: "crm"}, Won{Value: "2", At: day(9)}),
			When:  row(sold, func(r *Row) { r.Value = "1" }),
		},
		story{
			Name:  "won by people and now in the row too: noted",
			Given: and(engaged, Won{Value: "4514", At: day(5)}),
			When:  row(sold),
			Then:  events{Edited{Imported: map[string]string{"stage": "won", "closedAt": instant(day(5)), "value": "4514"}, Source: "crm"}},
		},
		story{
			Name: "every wrong field at once",
			When: row(Row{Stage: StageWon, EngagedAt: day(2), ClosedAt: day(1)}),
			Err: domain.Invalid{
				"reference": "must not be blank", "owner": "must not be blank", "source": "must not be blank", "closedAt": "is before the opportunity was engaged",
				"value": `"" is not a decimal number of at most 15 digits and 4 decimal places`,
			},
		},
		story{Name: "a stage there is not", When: row(with(prospect, func(r *Row) { r.Stage = "sold" })), Err: domain.Invalid{"stage": "must be prospecting, engaging, won or lost"}},
		story{Name: "closed without a date", When: row(with(missed, func(r *Row) { r.ClosedAt = time.Time{} })), Err: domain.Invalid{"closedAt": "must not be blank for a closed opportunity"}},
	)
}

// Any history of rows and of people's acts: a row imported again adds nothing, whatever people did in between.
func TestImportsNeverUndo(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		row := prospect
		draw := func() {
			row.Stage = rapid.SampledFrom([]Stage{Prospecting, Engaging, StageWon, StageLost}).Draw(t, "stage")
			row.EngagedAt = rapid.SampledFrom([]time.Time{{}, day(1), day(2)}).Draw(t, "engaged")
			row.ClosedAt = rapid.SampledFrom([]time.Time{day(5), day(6)}).Draw(t, "closed")
			row.Value = rapid.SampledFrom([]domain.Decimal{"1", "2"}).Draw(t, "value")
			row.Owner = rapid.SampledFrom([]uuid.UUID{ada, grace}).Draw(t, "owner")
			row.Product = rapid.SampledFrom([]string{"", "MG"}).Draw(t, "product")
		}
		var s State
		var said Stage
		happen := func(events []Event, err error) int {
			for _, e := range events {
				s = Evolve(s, e)
			}
			return len(events)
		}
		for range rapid.IntRange(1, 8).Draw(t, "exports") {
			draw()
			if _, err := Import(s, row, now); err != nil {
				t.Fatal(err)
			}
			happen(Import(s, row, now))
			if news := row.Stage != said; news && s.Stage() != row.Stage && row.Stage != Prospecting {
				t.Fatalf("stage %s after news of %s", s.Stage(), row.Stage)
			}
			said = row.Stage
			for range rapid.IntRange(0, 4).Draw(t, "acts") {
				product, value := rapid.SampledFrom([]string{"", "MG", "GTX"}).Draw(t, "product"), domain.Decimal("3")
				switch rapid.IntRange(0, 5).Draw(t, "act") {
				case 0:
					happen(Win(s, "3", day(7)))
				case 1:
					happen(Lose(s, day(7)))
				case 2:
					happen(Reopen(s, day(8)))
				case 3:
					happen(Reassign(s, grace))
				case 4:
					happen(Edit(s, Fields{Product: &product}))
				case 5:
					happen(Edit(s, Fields{Value: &value}))
				}
				if n := happen(Import(s, row, now)); n > 0 {
					t.Fatalf("importing %+v again added %d events", row, n)
				}
			}
		}
	})
}
