package reports

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/annal-crm/annal/domain"
	"github.com/annal-crm/annal/eventlog"
	"github.com/annal-crm/annal/internal/eventcodec"
	"github.com/annal-crm/annal/projections/acts"
	"github.com/annal-crm/annal/projections/engine"
	"github.com/annal-crm/annal/reports/report"
)

var outcomes = []string{"signed_in", "failed", "refused", "locked", "unlocked", "muted"}

var signins = &report.Report{
	Name: "signins", About: "How signing in went: failures, their causes and sources, locks.", Model: acts.Model.Name,
	From: acts.Acts, Where: "t.outcome is not null", At: "t.at", Visible: visible(acts.Tree, "t.account"),
	Joins: append(withTeam(acts.Tree, "t.account"), report.Join{Name: "source", Open: sources}),
	Dimensions: byTime("t.account",
		report.Column{Name: "outcome", Kind: report.Text, SQL: "t.outcome", Wrong: report.OneOf(outcomes...), About: strings.Join(outcomes, ", ")},
		report.Column{Name: "cause", Kind: report.Text, SQL: "t.cause", About: "wrong_password, unknown_name, locked, not_activated, deactivated, timer, administrator, …"},
		report.Column{Name: "source", Kind: report.Text, SQL: "source.text", Joins: []string{"source"}, Personal: true, About: "the address that an attempt came from"},
	),
	Measures: []report.Column{
		{Name: "signedIn", Kind: report.Count, SQL: "count(*) {counted}", When: "t.outcome = 'signed_in'"},
		{Name: "failed", Kind: report.Count, SQL: "count(*) {counted}", When: "t.outcome = 'failed'"},
		{Name: "refused", Kind: report.Count, SQL: "count(*) {counted}", When: "t.outcome = 'refused'"},
		{Name: "locks", Kind: report.Count, SQL: "count(*) {counted}", When: "t.outcome = 'locked'"},
		{Name: "unlocks", Kind: report.Count, SQL: "count(*) {counted}", When: "t.outcome = 'unlocked'"},
		{Name: "accounts", Kind: report.Count, SQL: "count(distinct t.account) {counted}"},
		{Name: "sources", Kind: report.Count, SQL: "count(distinct source.text) {counted}", Joins: []string{"source"}, Personal: true, About: "different addresses"},
	},
	Evidence: "array[t.position]",
}

// maxOpened attempts are opened for one report: some 8 µs each.
const maxOpened = 100_000

// sources opens where attempts came from. One that was erased, or tells of none, has no source.
func sources(ctx context.Context, db engine.DB, codec *eventcodec.Codec, condition string, args []any) (positions []int64, texts []string, err error) {
	rows, err := db.Query(ctx, fmt.Sprintf("select t.organization, t.position, t.type, t.stream, t.metadata from %s t where t.stream is not null and %s limit %d",
		acts.Acts.In(db), condition, maxOpened+1), args...)
	if err != nil {
		return nil, nil, err
	}
	events, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (e eventlog.Event, err error) {
		err = row.Scan(&e.Stream.Organization, &e.Position, &e.Type, &e.Stream.ID, &e.Meta)
		e.Stream.Category = eventcodec.Category(e.Type)
		return e, err
	})
	if err != nil {
		return nil, nil, err
	}
	if len(events) > maxOpened {
		return nil, nil, domain.Invalid{"filter": fmt.Sprintf("sources are shown for at most %d attempts at once: narrow it by from and to", maxOpened)}
	}
	page, err := codec.Page(ctx, events)
	if err != nil {
		return nil, nil, err
	}
	for _, f := range page {
		meta, err := f.Metadata()
		if err != nil {
			return nil, nil, err
		}
		if meta.IP != "" {
			positions, texts = append(positions, int64(f.Position)), append(texts, meta.IP)
		}
	}
	return positions, texts, nil
}
