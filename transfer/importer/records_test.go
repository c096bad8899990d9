package importer_test

import (
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/annal-crm/annal/commands"
	"github.com/annal-crm/annal/domain"
	"github.com/annal-crm/annal/domain/record"
	"github.com/annal-crm/annal/transfer/importer"
)

const contracts = `
source: old crm
objects:
  - {name: people, kind: account, file: contracts.csv, key: who, fields: {loginName: {column: who, rule: loginName}, displayName: who}}
  - {name: clients, kind: customer, file: contracts.csv, key: client, fields: {name: client}}
  - name: agreements
    kind: contract
    file: contracts.csv
    key: no
    fields:
      number: no
      title: {text: Service}
      customer: {column: client, refers: clients}
      owner: {column: who, refers: people}
      stage: state
      value: amount
      valueCurrency: {text: CHF}
      startsOn: {column: start, layout: 02.01.2006}
`

// The rows of a declared kind are imported as its declaration says, and refer to objects of other rows by their keys.
func TestARecordIsImported(t *testing.T) {
	w, dir := newWorld(t), t.TempDir()
	load := func(rows string) (payloads []any, summary importer.Summary) {
		t.Helper()
		check(t, os.WriteFile(filepath.Join(dir, "contracts.csv"), []byte("no,client,who,state,amount,start\n"+rows), 0o600))
		m, err := importer.ParseMapping(strings.NewReader(contracts))
		check(t, err)
		plan, err := importer.Read(m, dir, commands.Home)
		check(t, err)
		check(t, plan.Check(t.Context(), w.Commands, w.system))
		head, err := w.log.Head(t.Context())
		check(t, err)
		summary, err = plan.Run(t.Context(), w.Commands, w.system, importer.Config{})
		check(t, err)
		return w.since(head), summary
	}

	payloads, summary := load("C-1,Acme,Ada Lovelace,signed,1200.50,31.01.2026\nC-2,Acme,Ada Lovelace,sent,,\nC-3,Acme,Ada Lovelace,lost,x,1.1.26\nC-4,,Ada Lovelace,sent,,\n")
	created := of[record.Created](payloads)
	if len(created) != 2 {
		t.Fatalf("%+v %+v", created, summary)
	}
	first := find(t, payloads, func(e record.Created) bool { return e.Fields["number"] == "C-1" })
	customer := first.Fields["customer"]
	delete(first.Fields, "customer")
	want := record.Values{"number": "C-1", "title": "Service", "value": "1200.5 CHF", "startsOn": "2026-01-31"}
	if !reflect.DeepEqual(record.Values(first.Fields), want) || first.Stage != "signed" || domain.Ref(first.Owner) == "" || customer == "" || first.Source != "old crm" {
		t.Errorf("%+v of %s", first, customer)
	}
	var bad []string
	for _, b := range summary.Bad {
		bad = append(bad, b.String())
	}
	if want := []string{
		`contracts.csv:4: stage a contract has no stage "lost"; startsOn "1.1.26" is not a date like 02.01.2006`,
		"contracts.csv:5: client must not be blank", "contracts.csv:5: customer must not be blank",
	}; !slices.Equal(bad, want) {
		t.Errorf("%q", bad)
	}
	if n := summary.Counts[len(summary.Counts)-1]; n != (importer.Count{Kind: "contract", Added: 2}) {
		t.Errorf("%+v", summary.Counts)
	}

	payloads, _ = load("C-1,Acme,Ada Lovelace,ended,1200.50,31.01.2026\nC-2,Acme,Ada Lovelace,sent,,\n")
	if len(payloads) != 1 || !reflect.DeepEqual(payloads[0], record.Moved{From: "signed", To: "ended", Source: "old crm"}) {
		t.Errorf("again, with a change: %+v", payloads)
	}
}
