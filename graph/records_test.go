package graph_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/annal-crm/annal/commands"
	"github.com/annal-crm/annal/domain/record"
	"github.com/annal-crm/annal/graph"
)

const (
	createContract = `mutation($i: CreateContractInput!) { createContract(input: $i) { contract { id version stage } receipt { position version } } }`
	editContract   = `mutation($i: EditContractInput!) { editContract(input: $i) { contract { title value { amount currency } endsOn version } } }`
	moveRecord     = `mutation($i: MoveInput!) { moveRecord(input: $i) { record { id version ... on Contract { stage } } receipt { position } } }`
	reassignRecord = `mutation($i: ReassignInput!) { reassignRecord(input: $i) { record { owner { loginName } } receipt { position } } }`
	archiveRecord  = `mutation($i: RecordIdInput!) { archiveRecord(input: $i) { record { archived viewerCan { edit reassign archive } } receipt { position } } }`
	restoreRecord  = `mutation($i: RecordIdInput!) { restoreRecord(input: $i) { record { archived version } receipt { position } } }`
	listContracts  = `query($filter: ContractFilter, $orderBy: [ContractOrder!], $search: String, $first: Int, $after: String, $last: Int, $before: String) {
		contracts(filter: $filter, orderBy: $orderBy, search: $search, first: $first, after: $after, last: $last, before: $before) {
			nodes { number } edges { cursor node { number } } pageInfo { hasNextPage hasPreviousPage startCursor endCursor } totalCount } }`
)

// contracts is a world with a customer and some contracts, three of them of sam's.
type contracts struct {
	*world
	admin, sam *client
	samID      string
	team       string
	customer   string
	ids        map[string]string
}

func newContracts(t testing.TB) *contracts {
	w := newWorld(t, graph.Config{})
	c := &contracts{world: w, admin: w.signIn("admin"), ids: make(map[string]string)}
	c.team = get[string](c.admin.ask(`mutation($i: CreateTeamInput!) { createTeam(input: $i) { team { id } } }`, vars{"i": vars{"name": "North"}}), "createTeam.team.id")
	c.sam, c.samID = w.member(c.admin, "sam", c.team, "sales")
	c.customer = get[string](c.admin.ask(register, vars{"i": vars{"name": "Northwind", "ownerId": c.samID}}), "registerCustomer.customer.id")
	for _, in := range []struct {
		by    *client
		input vars
	}{
		{c.sam, vars{"number": "C-1", "title": "Ärmel und Kragen", "value": vars{"amount": "100.50", "currency": "CHF"}, "startsOn": "2026-01-01", "endsOn": "2026-12-31"}},
		{c.sam, vars{"number": "C-2", "title": "Zaun", "value": vars{"amount": "20", "currency": "EUR"}, "startsOn": "2026-02-01"}},
		{c.admin, vars{"number": "C-3", "title": "Apfel", "value": vars{"amount": "3000", "currency": "CHF"}}},
		{c.admin, vars{"number": "C-4", "title": "Birne", "startsOn": "2025-06-01", "endsOn": "2027-06-01"}},
	} {
		in.input["customerId"] = c.customer
		c.ids[in.input["number"].(string)] = get[string](in.by.ask(createContract, vars{"i": in.input}), "createContract.contract.id")
	}
	return c
}

// numbers lists contracts.
func (c *contracts) numbers(by *client, arguments vars) string {
	c.Helper()
	found := by.ask(listContracts, arguments)
	var numbers []string
	for _, node := range get[[]any](found, "contracts.nodes") {
		numbers = append(numbers, get[string](node, "number"))
	}
	if _, paged := arguments["first"]; !paged {
		if n := get[float64](found, "contracts.totalCount"); int(n) != len(numbers) {
			c.Errorf("%v: counted %v of %v", arguments, n, numbers)
		}
	}
	return strings.Join(numbers, " ")
}

func TestARecordIsReadAsItWasCreated(t *testing.T) {
	c := newContracts(t)
	got := c.sam.ask(`query($id: ID!) {
		contract(id: $id) { __typename id version number title customer { name owner { loginName } } opportunity { id } value { amount currency } startsOn signedOn
			endsOn stage archived owner { loginName } createdAt updatedAt viewerCan { edit reassign archive } timeline { totalCount nodes { type actor { loginName } } } }
		node(id: $id) { __typename ... on Contract { number } ... on Record { version viewerCan { edit } } }
		customerNode: node(id: $id) { id } }`, vars{"id": c.ids["C-1"]})
	one := get[map[string]any](got, "contract")
	created, err := time.Parse(time.RFC3339, one["createdAt"].(string))
	if err != nil || time.Since(created) > time.Hour || one["updatedAt"] != one["createdAt"] {
		t.Errorf("created %v, changed %v", one["createdAt"], one["updatedAt"])
	}
	delete(one, "createdAt")
	delete(one, "updatedAt")
	want := map[string]any{
		"__typename": "Contract", "id": c.ids["C-1"], "version": 1., "number": "C-1", "title": "Ärmel und Kragen", "opportunity": nil,
		"customer": map[string]any{"name": "Northwind", "owner": map[string]any{"loginName": "sam"}},
		"value":    map[string]any{"amount": "100.5", "currency": "CHF"}, "startsOn": "2026-01-01", "signedOn": nil, "endsOn": "2026-12-31",
		"stage": "DRAFT", "archived": false, "owner": map[string]any{"loginName": "sam"},
		"viewerCan": map[string]any{"edit": true, "reassign": true, "archive": true},
		"timeline":  map[string]any{"totalCount": 1., "nodes": []any{map[string]any{"type": "contract.created", "actor": map[string]any{"loginName": "sam"}}}},
	}
	if fmt.Sprint(one) != fmt.Sprint(want) {
		t.Errorf("%v\nwant %v", one, want)
	}
	if node := fmt.Sprint(got["node"]); node != "map[__typename:Contract number:C-1 version:1 viewerCan:map[edit:true]]" {
		t.Error(node)
	}

	kinds := c.sam.ask(`query($i: ID!) { node(id: $i) { id ... on Customer { name archived createdAt viewerCan { edit reassign archive } timeline { nodes { type } } } } }`, vars{"i": c.customer})
	if fmt.Sprint(get[any](kinds, "node.viewerCan"), get[any](kinds, "node.timeline")) != "map[archive:true edit:true reassign:true] map[nodes:[map[type:customer.registered]]]" {
		t.Errorf("a customer is a record: %v", kinds)
	}
	if none := c.sam.ask(`query($i: ID!) { node(id: $i) { id } contract(id: $i) { id } }`, vars{"i": somebody}); none["node"] != nil || none["contract"] != nil {
		t.Errorf("what is not there is null: %v", none)
	}
}

func TestListsOfRecords(t *testing.T) {
	c := newContracts(t)
	for stage := range strings.SplitSeq("SENT SIGNED", " ") {
		c.sam.ask(moveRecord, vars{"i": vars{"id": c.ids["C-2"], "stage": stage}})
	}
	c.admin.ask(archiveRecord, vars{"i": vars{"id": c.ids["C-4"]}})
	by := func(field, direction string) []vars { return []vars{{"by": field, "direction": direction}} }
	number := []vars{{"by": "NUMBER"}}
	for name, arguments := range map[string]struct {
		arguments vars
		want      string
	}{
		"the newest first":         {vars{}, "C-4 C-3 C-2 C-1"},
		"in the order of creation": {vars{"orderBy": by("CREATED_AT", "ASC")}, "C-1 C-2 C-3 C-4"},
		"as people sort":           {vars{"orderBy": by("TITLE", "ASC")}, "C-3 C-1 C-4 C-2"},
		"by amount, falling":       {vars{"orderBy": by("VALUE", "DESC")}, "C-3 C-1 C-2 C-4"},
		"what has none is first":   {vars{"orderBy": []vars{{"by": "ENDS_ON"}, {"by": "NUMBER", "direction": "DESC"}}}, "C-3 C-2 C-1 C-4"},
		"text":                     {vars{"filter": vars{"title": vars{"startsWith": "A"}}}, "C-3"},
		"one of":                   {vars{"filter": vars{"number": vars{"in": []string{"C-1", "C-3"}}}, "orderBy": number}, "C-1 C-3"},
		"ref":                      {vars{"filter": vars{"customer": vars{"eq": c.customer}, "opportunity": vars{"isNull": true}}, "orderBy": number}, "C-1 C-2 C-3 C-4"},
		"amounts":                  {vars{"filter": vars{"value": vars{"gte": "20", "lt": "3000"}}, "orderBy": number}, "C-1 C-2"},
		"days":                     {vars{"filter": vars{"startsOn": vars{"gte": "2026-01-01", "lt": "2026-02-01"}}}, "C-1"},
		"no value":                 {vars{"filter": vars{"endsOn": vars{"isNull": true}}, "orderBy": number}, "C-2 C-3"},
		"stage":                    {vars{"filter": vars{"stage": vars{"in": []string{"SIGNED", "ENDED"}}}}, "C-2"},
		"archived":                 {vars{"filter": vars{"archived": true}}, "C-4"},
		"owner":                    {vars{"filter": vars{"owner": vars{"eq": c.samID}}, "orderBy": number}, "C-1 C-2"},
		"created":                  {vars{"filter": vars{"createdAt": vars{"lt": "2020-01-01T00:00:00Z"}}}, ""},
		"or":                       {vars{"filter": vars{"or": []vars{{"number": vars{"eq": "C-1"}}, {"stage": vars{"eq": "SIGNED"}}}}, "orderBy": number}, "C-1 C-2"},
		"and, not": {vars{"filter": vars{"and": []vars{{"archived": false}, {"not": vars{"value": vars{"lt": "1000"}}}}}, "orderBy": number},
			"C-3"},
		"search":                  {vars{"search": "armel"}, "C-1"},
		"search, a part of words": {vars{"search": "kra ärm"}, "C-1"},
	} {
		if got := c.numbers(c.admin, arguments.arguments); got != arguments.want {
			t.Errorf("%s: %q, want %q", name, got, arguments.want)
		}
	}
	if got := c.sam.ask(`{ contracts(filter: {number: {in: "C-1"}}, orderBy: {by: TITLE}) { nodes { number } } }`, nil); fmt.Sprint(got) != "map[contracts:map[nodes:[map[number:C-1]]]]" {
		t.Errorf("one in place of a list: %v", got)
	}

	// Pages, there and back.
	var forwards, backwards []string
	after, before := any(nil), any(nil)
	for range 4 {
		page := c.admin.ask(listContracts, vars{"orderBy": by("VALUE", "ASC"), "first": 1, "after": after})
		forwards, after = append(forwards, get[string](page, "contracts.edges.0.node.number")), get[string](page, "contracts.pageInfo.endCursor")
		page = c.admin.ask(listContracts, vars{"orderBy": by("VALUE", "ASC"), "last": 1, "before": before})
		backwards, before = append(backwards, get[string](page, "contracts.nodes.0.number")), get[string](page, "contracts.pageInfo.startCursor")
	}
	slices.Reverse(backwards)
	if fmt.Sprint(forwards) != "[C-4 C-2 C-1 C-3]" || !slices.Equal(forwards, backwards) {
		t.Errorf("%v %v", forwards, backwards)
	}

	for name, wrong := range map[string]struct {
		arguments vars
		field     string
	}{
		"null filter":            {vars{"filter": vars{"title": nil}}, "filter.title"},
		"null test":              {vars{"filter": vars{"and": []vars{{"title": vars{"eq": nil}}}}}, "filter.and.0.title.eq"},
		"no day":                 {vars{"filter": vars{"startsOn": vars{"gte": "yesterday"}}}, "filter.startsOn.gte"},
		"no number":              {vars{"filter": vars{"value": vars{"lt": "much"}}}, "filter.value.lt"},
		"no id":                  {vars{"filter": vars{"customer": vars{"in": []string{"x"}}}}, "filter.customer.in.0"},
		"no instant":             {vars{"filter": vars{"createdAt": vars{"gte": "now"}}}, "filter.createdAt.gte"},
		"no direction":           {vars{"orderBy": []vars{{"by": "TITLE", "direction": nil}}}, "orderBy.0.direction"},
		"cursor of another list": {vars{"orderBy": by("TITLE", "ASC"), "first": 1, "after": after}, "after"},
		"too large a page":       {vars{"first": 201}, "first"},
	} {
		if code, more := c.admin.refused(listContracts, wrong.arguments); code != "INVALID" || get[map[string]any](more, "fields")[wrong.field] == nil {
			t.Errorf("%s: %s %v", name, code, more)
		}
	}
	if code, _ := c.admin.refused(listContracts, vars{"filter": vars{"nothing": vars{}}}); code != "INVALID" {
		t.Error(code)
	}
}

func TestRecordsAreChanged(t *testing.T) {
	c := newContracts(t)
	id := c.ids["C-1"]
	edited := c.sam.ask(editContract, vars{"i": vars{"id": id, "expectedVersion": 1, "title": "Hosen", "endsOn": nil, "reason": "asked to"}})
	if got := fmt.Sprint(get[any](edited, "editContract.contract")); got != "map[endsOn:<nil> title:Hosen value:map[amount:100.5 currency:CHF] version:2]" {
		t.Errorf("null clears, absent stays: %s", got)
	}
	code, more := c.sam.refused(editContract, vars{"i": vars{"id": id, "expectedVersion": 1, "title": "Mäntel"}})
	if code != "CONFLICT" || more["currentVersion"] != 2. || !strings.Contains(fmt.Sprint(more["changedFields"]), "title") {
		t.Errorf("%s %v", code, more)
	}
	for field, in := range map[string]vars{
		"input.title":           {"title": ""},
		"input.endsOn":          {"endsOn": "2025-01-01"},
		"input.startsOn":        {"startsOn": "tomorrow"},
		"input.value":           {"value": vars{"amount": "1", "currency": "francs"}},
		"input.customerId":      {"customerId": somebody},
		"input.opportunityId":   {"opportunityId": "x"},
		"input.expectedVersion": {"expectedVersion": 0},
	} {
		in["id"] = id
		if code, more := c.sam.refused(editContract, vars{"i": in}); code != "INVALID" || get[map[string]any](more, "fields")[field] == nil {
			t.Errorf("%s: %s %v", field, code, more)
		}
	}

	if code, _ := c.sam.refused(moveRecord, vars{"i": vars{"id": id, "stage": "SIGNED"}}); code != "CONFLICT" {
		t.Errorf("from draft to signed: %s", code)
	}
	if code, more := c.sam.refused(moveRecord, vars{"i": vars{"id": id, "stage": "LOST"}}); code != "INVALID" || get[map[string]any](more, "fields")["input.stage"] == nil {
		t.Errorf("no such stage: %s %v", code, more)
	}
	moved := c.sam.ask(moveRecord, vars{"i": vars{"id": id, "stage": "SENT"}})
	if got := get[string](moved, "moveRecord.record.stage"); got != "SENT" {
		t.Error(got)
	}

	archived := c.sam.ask(archiveRecord, vars{"i": vars{"id": id}})
	if got := fmt.Sprint(get[any](archived, "archiveRecord.record")); got != "map[archived:true viewerCan:map[archive:true edit:false reassign:false]]" {
		t.Error(got)
	}
	if code, _ := c.sam.refused(editContract, vars{"i": vars{"id": id, "title": "x"}}); code != "CONFLICT" {
		t.Errorf("an archived one is edited: %s", code)
	}
	if got := c.sam.ask(restoreRecord, vars{"i": vars{"id": id}}); get[bool](got, "restoreRecord.record.archived") {
		t.Error(got)
	}
	given := c.admin.ask(reassignRecord, vars{"i": vars{"id": id, "ownerId": nil}})
	if get[map[string]any](given, "reassignRecord.record")["owner"] != nil {
		t.Error(given)
	}

	timeline := c.admin.ask(`query($id: ID!) { contract(id: $id) {
		all: timeline(first: 2) { nodes { type reason } pageInfo { hasNextPage endCursor } totalCount }
		some: timeline(types: ["contract.moved", "contract.edited"]) { nodes { summary type } totalCount } } }`, vars{"id": id})
	if got := fmt.Sprint(get[any](timeline, "contract.all.nodes"), get[any](timeline, "contract.all.totalCount")); got != "[map[reason:<nil> type:contract.reassigned] map[reason:<nil> type:contract.restored]] 6" {
		t.Error(got)
	}
	if got := get[string](timeline, "contract.some.nodes.1.type"); got != "contract.edited" || get[float64](timeline, "contract.some.totalCount") != 2 {
		t.Error(timeline)
	}
	next := c.admin.ask(`query($id: ID!, $after: String) { contract(id: $id) { timeline(after: $after) { nodes { type } pageInfo { hasNextPage hasPreviousPage } } } }`,
		vars{"id": id, "after": get[string](timeline, "contract.all.pageInfo.endCursor")})
	if got := fmt.Sprint(get[any](next, "contract.timeline")); got != "map[nodes:[map[type:contract.archived] map[type:contract.moved] map[type:contract.edited] map[type:contract.created]] pageInfo:map[hasNextPage:false hasPreviousPage:true]]" {
		t.Error(got)
	}
	if code, _ := c.admin.refused(`query($id: ID!) { contract(id: $id) { timeline(types: ["contract.eaten"]) { totalCount } } }`, vars{"id": id}); code != "INVALID" {
		t.Error(code)
	}
}

func TestCustomersAndOpportunitiesAreRecords(t *testing.T) {
	c := newContracts(t)
	deal := get[string](c.sam.ask(open, vars{"i": vars{"reference": "D-1", "customerId": c.customer}}), "openOpportunity.opportunity.id")
	got := c.sam.ask(`query($d: ID!) { opportunity(id: $d) { archived createdAt updatedAt viewerCan { edit reassign archive } timeline { nodes { type } } } node(id: $d) { __typename } }`, vars{"d": deal})
	if fmt.Sprint(get[any](got, "opportunity.viewerCan"), get[any](got, "opportunity.timeline"), get[any](got, "node")) !=
		"map[archive:false edit:true reassign:true] map[nodes:[map[type:opportunity.opened]]] map[__typename:Opportunity]" {
		t.Error(got)
	}
	if got := c.sam.ask(`mutation($i: MoveInput!) { moveRecord(input: $i) { record { ... on Opportunity { stage engagedAt } } } }`, vars{"i": vars{"id": deal, "stage": "ENGAGING"}}); get[string](got, "moveRecord.record.stage") != "ENGAGING" {
		t.Error(got)
	}
	c.sam.ask(archiveRecord, vars{"i": vars{"id": c.customer}})
	if got := c.sam.ask(restoreRecord, vars{"i": vars{"id": c.customer}}); get[bool](got, "restoreRecord.record.archived") {
		t.Error(got)
	}
	if code, _ := c.sam.refused(archiveRecord, vars{"i": vars{"id": deal}}); code != "INVALID" && code != "CONFLICT" {
		t.Errorf("an opportunity is not archived: %s", code)
	}
	for _, id := range []string{deal, c.customer} {
		if got := c.admin.ask(reassignRecord, vars{"i": vars{"id": id, "ownerId": c.samID}}); get[string](got, "reassignRecord.record.owner.loginName") != "sam" {
			t.Error(got)
		}
	}
	if code, _ := c.sam.refused(moveRecord, vars{"i": vars{"id": c.customer, "stage": "SENT"}}); code != "INVALID" {
		t.Errorf("a customer has no stages: %s", code)
	}
}

func TestRightsOnRecords(t *testing.T) {
	c := newContracts(t)
	manager, _ := c.member(c.admin, "mia", c.team, "manager")
	auditor, _ := c.member(c.admin, "ann", nil, "auditor")
	other, _ := c.member(c.admin, "tom", nil, "sales")

	const all = `{ contracts(orderBy: {by: NUMBER}) { nodes { number viewerCan { edit } } } }`
	for name, who := range map[string]struct {
		*client
		want string
	}{
		"administrator":       {c.admin, "C-1 true C-2 true C-3 true C-4 true"},
		"sales, one's own":    {c.sam, "C-1 true C-2 true"},
		"sales, of another":   {other, ""},
		"manager, the team's": {manager, "C-1 true C-2 true"},
		"auditor, no edits":   {auditor, "C-1 false C-2 false C-3 false C-4 false"},
	} {
		var got []string
		for _, node := range get[[]any](who.ask(all, nil), "contracts.nodes") {
			got = append(got, fmt.Sprint(get[string](node, "number"), " ", get[bool](node, "viewerCan.edit")))
		}
		if strings.Join(got, " ") != who.want {
			t.Errorf("%s: %v, want %s", name, got, who.want)
		}
	}
	for name, who := range map[string]struct {
		*client
		want string
	}{"out of reach": {other, "NOT_FOUND"}, "no right at all": {auditor, "FORBIDDEN"}} {
		for query, in := range map[string]vars{
			editContract: {"title": "Mine"}, moveRecord: {"stage": "SENT"}, archiveRecord: {}, restoreRecord: {}, reassignRecord: {"ownerId": nil},
		} {
			in["id"] = c.ids["C-1"]
			if code, _ := who.refused(query, vars{"i": in}); code != who.want {
				t.Errorf("%s: %s %s", name, query, code)
			}
		}
	}
	if code, _ := auditor.refused(createContract, vars{"i": vars{"number": "1", "title": "t", "customerId": c.customer}}); code != "FORBIDDEN" {
		t.Error(code)
	}
	if code, _ := c.stranger().refused(all, nil); code != "UNAUTHENTICATED" {
		t.Error(code)
	}
	hidden := other.ask(`query($i: ID!) { node(id: $i) { id } contract(id: $i) { id } }`, vars{"i": c.ids["C-1"]})
	if hidden["node"] != nil || hidden["contract"] != nil {
		t.Error(hidden)
	}
	manager.ask(editContract, vars{"i": vars{"id": c.ids["C-1"], "title": "By the manager"}})

	// What fails blanks itself alone.
	a := auditor.raw(`{ one: contracts(first: 0) { totalCount } two: contracts { totalCount } }`, nil)
	if len(a.Errors) != 1 || a.Data["one"] != nil || get[float64](a.Data, "two.totalCount") != 4 {
		t.Errorf("%+v", a)
	}
}

func TestThePastOfRecords(t *testing.T) {
	c := newContracts(t)
	created := get[string](c.admin.ask(`query($i: ID!) { contract(id: $i) { timeline { nodes { position } } } }`, vars{"i": c.ids["C-1"]}), "contract.timeline.nodes.0.position")
	done := c.sam.ask(moveRecord, vars{"i": vars{"id": c.ids["C-1"], "stage": "SENT"}})
	got := c.admin.ask(`query($i: ID!, $then: Position!, $now: Position!) {
		then: contract(id: $i, asOf: {position: $then}) { stage version title customer { name } }
		before: contract(id: $i, asOf: {position: "1"}) { id }
		now: contract(id: $i, minPosition: $now) { stage }
		list: contracts(asOf: {position: $then}, filter: {stage: {eq: DRAFT}}) { nodes { number stage } totalCount } }`,
		vars{"i": c.ids["C-1"], "then": created, "now": get[string](done, "moveRecord.receipt.position")})
	if fmt.Sprint(got["then"]) != "map[customer:map[name:Northwind] stage:DRAFT title:Ärmel und Kragen version:1]" || got["before"] != nil ||
		fmt.Sprint(got["now"]) != "map[stage:SENT]" || fmt.Sprint(got["list"]) != "map[nodes:[map[number:C-1 stage:DRAFT]] totalCount:1]" {
		t.Error(got)
	}
	if code, _ := c.sam.refused(`query($p: Position!) { contracts(asOf: {position: $p}) { totalCount } }`, vars{"p": created}); code != "FORBIDDEN" {
		t.Errorf("whose the records were is not whose they are: %s", code)
	}
}

func TestImportedRecordsAreListed(t *testing.T) {
	c := newContracts(t)
	p, err := c.Commands.Authenticate(t.Context(), c.admin.token, commands.Origin{})
	if err != nil {
		t.Fatal(err)
	}
	row := record.Row{Source: "old", Stage: "ended", Values: record.Values{"number": "I-1", "title": "Imported", "customer": c.customer}}
	done, err := c.Commands.ImportRecord(t.Context(), p, commands.Command{}, uuid.New(), "contract", row)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Engine.Wait(t.Context(), done.Position); err != nil {
		t.Fatal(err)
	}
	if got := c.numbers(c.admin, vars{"filter": vars{"stage": vars{"eq": "ENDED"}}}); got != "I-1" {
		t.Error(got)
	}
}

// A page of records with all their edges takes the same number of statements however long it is.
func TestEdgesOfRecordsAreLoadedAtOnce(t *testing.T) {
	c := newContracts(t)
	statements := func(first int) int64 {
		before := c.statements.n.Load()
		c.sam.ask(`query($n: Int) { contracts(first: $n) { nodes { owner { loginName } customer { name owner { loginName } } opportunity { reference } viewerCan { edit } } } }`, vars{"n": first})
		return c.statements.n.Load() - before
	}
	if one, two := statements(1), statements(2); one != two {
		t.Errorf("%d statements for one, %d for two", one, two)
	}
}
