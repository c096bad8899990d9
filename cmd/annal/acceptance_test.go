package main

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math/big"
	"os"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/google/uuid"

	"github.com/annal-crm/annal/eventlog/eventstoredb/esdbtest"
	"github.com/annal-crm/annal/projections/customers"
)

// The acceptance is one long story of a sales organization: its files are imported and compared with what is served, records
// are edited, accounts locked and unlocked, rights taken away, read models folded again and tampered with, the program killed.
// It is the same on every log.
func TestAcceptance(t *testing.T) {
	t.Parallel()
	for name, address := range map[string]func(*testing.T) string{
		"on Postgres":     func(*testing.T) string { return "" },
		"on EventStoreDB": eventStore,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHome(t)
			h.env = append(h.env, "ANNAL_ADMIN_PASSWORD="+password)
			if store := address(t); store != "" {
				h.env = append(h.env, "ANNAL_EVENTSTORE_URL="+store)
			}
			s := &story{T: t, home: h, files: newCRMFiles(t)}
			s.importsFiles()
			s.editsCustomer()
			s.guardsAccounts()
			s.foldsAnew()
			s.survivesKill()
		})
	}
}

// eventStore is the address of the server in ANNAL_TEST_EVENTSTORE_URL, in which no Annal may have lived yet, else of a double.
func eventStore(t *testing.T) string {
	if url := os.Getenv("ANNAL_TEST_EVENTSTORE_URL"); url != "" {
		return url
	}
	return double(t).URL()
}

func double(t *testing.T) *esdbtest.Cluster {
	t.Helper()
	store, err := esdbtest.New(esdbtest.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(store.Close)
	return store
}

const password = "correct horse battery staple 42"

const editCustomer = `mutation($i: EditCustomerInput!) { editCustomer(input: $i) { customer { id version phone sector } receipt { position version } } }`

// story is what one chapter leaves to the next.
type story struct {
	*testing.T
	home   *home
	files  crmFiles
	server *server
	admin  *api
}

func (s *story) equal(what string, got, want any) {
	s.Helper()
	if !reflect.DeepEqual(got, want) {
		s.Errorf("%s: got %v, want %v", what, got, want)
	}
}

func (s *story) importAll() {
	s.Helper()
	s.home.must("import", s.files.dir, "--mapping", mapping(s.T))
}

// mapping is the project's example, which people copy.
func mapping(t testing.TB) string {
	path, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	return path + "/../../examples/crm-sales.yaml"
}

func (s *story) closed(of *api) (figures closed) {
	s.Helper()
	figures, err := closedBusiness(s.Context(), of)
	if err != nil {
		s.Fatal(err)
	}
	return figures
}

// closedBusiness asks for what [crmFiles.closed] knows.
func closedBusiness(ctx context.Context, of *api) (figures closed, err error) {
	for i, by := range []struct{ dimension, shown, key string }{
		{"MONTH", "month", "month"}, {"OWNER", "owner { loginName }", "owner.loginName"}, {"CUSTOMER", "customer { name }", "customer.name"},
	} {
		data, err := of.try(ctx, `{ salesReport(groupBy: [`+by.dimension+`]) { won lost wonValue `+by.shown+` } }`, nil)
		if err != nil {
			return figures, err
		}
		figures[i] = map[string]string{}
		for _, row := range data.at("salesReport").list() {
			worth, ok := new(big.Rat).SetString(row.at("wonValue").String())
			if !ok {
				return figures, fmt.Errorf("wonValue of %v", row)
			}
			figures[i][row.at(by.key).String()] = closedRow(row.at("won").int(), row.at("lost").int(), worth)
		}
	}
	return figures, nil
}

// counts tells how many events there are of some types.
func (s *story) counts(types ...string) (counts []int) {
	s.Helper()
	for _, kind := range types {
		counts = append(counts, s.admin.ask(`query($t: [String!]) { activity(first: 1, filter: {types: $t}) { totalCount } }`, vars{"t": []string{kind}}).at("activity.totalCount").int())
	}
	return counts
}

func (s *story) importsFiles() {
	s.importAll()
	s.server = s.home.start("up", "--no-sample")
	s.admin = (&api{t: s, url: s.server.url}).as("admin", password)
	s.admin.settle()

	var names []string
	for _, n := range s.admin.pages(`query($after: String) { customers(first: 4, after: $after) { nodes { name } pageInfo { hasNextPage endCursor } } }`, nil) {
		names = append(names, n.at("name").String())
	}
	var want []string
	for _, c := range s.files.customers {
		want = append(want, c[0])
	}
	s.equal("customers by name", names, want) // the file is sorted
	first := s.files.customers[0]
	got := s.admin.ask(`query($n: String) { customers(filter: {name: {eq: $n}}) { nodes { sector country attributes } } }`, vars{"n": first[0]}).at("customers.nodes.0")
	s.equal("every column", []string{got.at("sector").String(), got.at("country").String(), got.at("attributes.revenue").String(), got.at("attributes.year_established").String()},
		[]string{first[1], first[5], first[3], first[2]})

	dates := map[string]string{}
	for _, n := range s.admin.pages(`query($after: String) { opportunities(first: 30, after: $after) { nodes { reference engagedAt closedAt stage } pageInfo { hasNextPage endCursor } } }`, nil) {
		reference := n.at("reference").String()
		if _, met := dates[reference]; met {
			s.Errorf("paging meets %s twice", reference)
		}
		engaged, _, _ := strings.Cut(n.at("engagedAt").String(), "T")
		closed, _, _ := strings.Cut(n.at("closedAt").String(), "T")
		dates[reference] = n.at("stage").String() + " " + engaged + " " + closed
	}
	wantDates := map[string]string{}
	for _, d := range s.files.deals {
		wantDates[d.id] = strings.ToUpper(d.stage) + " " + d.engaged + " " + d.closed
	}
	s.equal("opportunities", dates, wantDates)
	s.equal("closed business", s.closed(s.admin), s.files.closed())

	types := []string{"opportunity.opened", "opportunity.engaged", "opportunity.won", "opportunity.lost", "customer.registered", "customer.edited", "account.invited"}
	before := s.counts(types...)
	won, lost, all := s.files.in("Won"), s.files.in("Lost"), len(s.files.deals)
	s.equal("events of the opportunities", before[:4], []int{all, all - s.files.in("Prospecting"), won, lost})
	s.importAll()
	s.admin.settle()
	s.equal("events after importing the same again", s.counts(types...), before)
}

func (s *story) editsCustomer() {
	c := s.admin.ask(`{ customers(first: 1, filter: {name: {eq: "Elmgate"}}) { nodes { id version } } }`, nil).at("customers.nodes.0")
	id, version := c.at("id").String(), c.at("version").int()
	done := s.admin.ask(editCustomer, vars{"i": vars{"id": id, "expectedVersion": version, "phone": "+1 555 0100", "reason": "called back"}}).at("editCustomer")
	s.equal("the payload", []any{done.at("customer.phone").String(), done.at("customer.version").int()}, []any{"+1 555 0100", version + 1})
	seen := s.admin.ask(`query($id: ID!, $p: Position) { customer(id: $id, minPosition: $p) { phone } }`, vars{"id": id, "p": done.at("receipt.position").String()})
	s.equal("read back", seen.at("customer.phone").String(), "+1 555 0100")
	stale := s.admin.refused(editCustomer, vars{"i": vars{"id": id, "expectedVersion": version, "phone": "+1 555 0199"}})
	s.equal("a stale edit", fmt.Sprint(stale.code(), " ", stale.Extensions["changedFields"], " ", stale.Extensions["currentVersion"]), fmt.Sprintf("CONFLICT [phone] %d", version+1))

	command := vars{"i": vars{"commandId": uuid.NewString(), "id": id, "sector": "retail trade"}}
	one, two := s.admin.ask(editCustomer, command).at("editCustomer.receipt"), s.admin.ask(editCustomer, command).at("editCustomer.receipt")
	s.equal("the receipt of a command that comes twice", two, one)
	life := s.admin.ask(`query($c: ID, $p: Position) { activity(first: 50, minPosition: $p, filter: {customer: $c}) { nodes { position type reason actor { loginName } ip device data } } }`,
		vars{"c": id, "p": one.at("position").String()}).at("activity.nodes").list()
	var edits []value
	for _, e := range life {
		if e.at("type").String() == "customer.edited" {
			edits = append(edits, e)
		}
	}
	if len(edits) != 2 {
		s.Fatalf("two edits left %v", edits)
	}
	s.equal("who, why, from where", []string{edits[0].at("actor.loginName").String(), edits[0].at("reason").String(), edits[0].at("ip").String(), edits[0].at("device").String()},
		[]string{"admin", "called back", "127.0.0.1", "annal-test"})
	if !strings.Contains(edits[0].at("data").String(), "+1 555 0100") {
		s.Errorf("what changed is not told: %v", edits[0])
	}
	s.equal("a blank name", s.admin.refused(editCustomer, vars{"i": vars{"id": id, "name": ""}}).code(), "INVALID")
	s.equal("an unknown customer", s.admin.refused(editCustomer, vars{"i": vars{"id": uuid.NewString(), "phone": "1"}}).code(), "NOT_FOUND")
	s.equal("a position far ahead", s.admin.refused(`query($id: ID!) { customer(id: $id, minPosition: "9000000000000000") { id } }`, vars{"id": id}).code(), "UNAVAILABLE")
}

// invited takes an invited account to its first login.
func (s *story) invited(name string) (id string, who *api) {
	s.Helper()
	id = s.admin.ask(`query($n: String) { account(loginName: $n) { id } }`, vars{"n": name}).at("account.id").String()
	token := s.admin.ask(`mutation($i: IssueActivationInput!) { issueActivation(input: $i) { token } }`, vars{"i": vars{"accountId": id}}).at("issueActivation.token").String()
	const activate = `mutation($i: ActivateAccountInput!) { activateAccount(input: $i) { account { status } } }`
	redeem := vars{"i": vars{"token": token, "password": password}}
	guest := &api{t: s, url: s.server.url}
	guest.ask(activate, redeem)
	guest.refused(activate, redeem)
	return id, guest.as(name, password)
}

func (s *story) guardsAccounts() {
	const total, status = `{ opportunities(first: 1) { totalCount } }`, `query($n: String) { account(loginName: $n) { status roles } }`
	boss, seller := s.files.sellers[0].manager, s.files.sellers[0].agent
	name := login(seller)
	id, agent := s.invited(name)
	_, manager := s.invited(login(boss))
	s.equal("what an agent sees", agent.ask(total, nil).at("opportunities.totalCount").int(), s.files.owned(func(a string) bool { return a == seller }))
	s.equal("what a manager sees", manager.ask(total, nil).at("opportunities.totalCount").int(), s.files.owned(s.files.team(boss)))
	s.equal("a report in the same scope", slices.Collect(maps.Keys(s.closed(agent)[1])), []string{name})
	const unlock = `mutation($i: UnlockAccountInput!) { unlockAccount(input: $i) { account { status } } }`
	s.equal("an agent who unlocks", agent.refused(unlock, vars{"i": vars{"accountId": id, "reason": "x"}}).code(), "FORBIDDEN")

	guest := &api{t: s, url: s.server.url}
	try := func(name, password string) string {
		return guest.refused(logIn, vars{"i": vars{"loginName": name, "password": password}}).code()
	}
	attempts := s.admin.ask(`{ organization { lockoutPolicy { attempts } } }`, nil).at("organization.lockoutPolicy.attempts").int()
	for range attempts {
		s.equal("a wrong password", try(name, "wrong"), "INVALID_CREDENTIALS")
	}
	s.equal("then the right one", try(name, password), "INVALID_CREDENTIALS")
	s.equal("a name that nobody has", try("nobody.here", "wrong"), "INVALID_CREDENTIALS")
	s.admin.settle()
	s.equal("the account", s.admin.ask(status, vars{"n": name}).at("account.status").String(), "LOCKED")
	s.admin.ask(unlock, vars{"i": vars{"accountId": id, "reason": "identity checked by phone"}})
	agent = agent.as(name, password)
	for _, role := range s.admin.ask(status, vars{"n": name}).at("account.roles").list() {
		s.admin.ask(`mutation($i: RoleInput!) { revokeRole(input: $i) { account { roles } } }`, vars{"i": vars{"accountId": id, "role": role.String()}})
	}
	s.equal("the very next request after a revocation", agent.refused(total, nil).code(), "FORBIDDEN")
	agent.ask(`mutation { logOut { ended } }`, nil)
	s.equal("a token after the logout", agent.refused(`{ viewer { account { id } } }`, nil).code(), "UNAUTHENTICATED")
	s.equal("no token", guest.refused(total, nil).code(), "UNAUTHENTICATED")

	s.admin.settle()
	kinds, positions := map[string]int{}, []string{}
	for _, n := range s.admin.pages(`query($after: String, $a: ID) { activity(first: 10, after: $after, filter: {account: $a}) { nodes { position type } pageInfo { hasNextPage endCursor } } }`, vars{"a": id}) {
		kinds[n.at("type").String()]++
		positions = append(positions, n.at("position").String())
	}
	delete(kinds, "account.activation_issued")
	s.equal("the account's life", kinds, map[string]int{
		"account.invited": 1, "account.activated": 1, "account.logged_in": 2, "account.login_failed": attempts, "account.locked": 1, "account.login_refused": 1,
		"account.unlocked": 1, "account.role_revoked": 1, "account.logged_out": 1,
	})
	var replayed []string
	for l := range strings.Lines(s.home.must("replay", "account", name, "--json")) {
		var e struct{ Position string }
		if err := json.Unmarshal([]byte(l), &e); err != nil {
			s.Fatal(err)
		}
		replayed = append(replayed, e.Position)
	}
	s.equal("the same life, from the log", replayed, positions)
}

func (s *story) foldsAnew() {
	s.admin.settle()
	before := s.closed(s.admin)
	ctx, stop := context.WithCancel(s.Context())
	defer stop()
	var looks atomic.Int64
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for ; ; looks.Add(1) {
			now, err := closedBusiness(ctx, s.admin)
			if ctx.Err() != nil {
				return
			}
			if err != nil || !reflect.DeepEqual(now, before) {
				s.Errorf("while read models are folded anew: %v, %v", now, err)
				return
			}
		}
	}()
	for again := true; again && !s.Failed(); again = looks.Load() < 20 { // on a quick machine once is over too soon
		s.home.verify(s.admin)
	}
	stop()
	<-ended

	if _, err := s.home.database().Exec(s.Context(), "update "+customers.Model.Schema.String()+".customers set sector = 'sabotaged' where name = 'Greystane'"); err != nil {
		s.Fatal(err)
	}
	sector := func() string {
		return s.admin.ask(`{ customers(filter: {name: {eq: "Greystane"}}) { nodes { sector } } }`, nil).at("customers.nodes.0.sector").String()
	}
	s.equal("a row changed behind its back", sector(), "sabotaged")
	if out, status := s.home.run("reproject", "customers", "--verify"); status != differed {
		s.Errorf("exit status %d:\n%s", status, out)
	}
	for _, c := range s.files.customers {
		if c[0] == "Greystane" {
			s.equal("the row afterwards", sector(), c[1])
		}
	}
}

// verify compares every read model with a fresh fold.
func (h *home) verify(a *api) {
	h.t.Helper()
	for _, m := range a.ask(`{ readModels { name } }`, nil).at("readModels").list() {
		if out, status := h.run("reproject", m.at("name").String(), "--verify"); status != 0 || !strings.Contains(out, "the live rows were equal") {
			h.t.Errorf("reproject %v --verify: exit status %d\n%s", m.at("name"), status, out)
		}
	}
}

func (s *story) survivesKill() {
	var ids []string
	for _, n := range s.admin.ask(`{ customers(first: 4) { nodes { id } } }`, nil).at("customers.nodes").list() {
		ids = append(ids, n.at("id").String())
	}
	var acknowledged sync.Map // phone → position
	var edits atomic.Int64
	var writers sync.WaitGroup
	for _, id := range ids {
		writers.Go(func() {
			for {
				phone := uuid.NewString()
				done, err := s.admin.try(s.Context(), editCustomer, vars{"i": vars{"id": id, "phone": phone}})
				if err != nil {
					return // killed
				}
				acknowledged.Store(phone, done.at("editCustomer.receipt.position").String())
				edits.Add(1)
			}
		})
	}
	until(s.T, "it is under load", func() bool { return edits.Load() >= 20 })
	s.server.signal(syscall.SIGKILL)
	writers.Wait()
	s.server = s.home.start("up", "--no-sample")
	s.admin.url = s.server.url // the session holds
	s.admin.settle()
	found := map[string]string{}
	for _, id := range ids {
		for _, n := range s.admin.pages(`query($after: String, $c: ID) { activity(first: 200, after: $after, filter: {customer: $c, types: ["customer.edited"]}) { nodes { position data } pageInfo { hasNextPage endCursor } } }`, vars{"c": id}) {
			found[n.at("position").String()] = n.at("data").String()
		}
	}
	n := 0
	for phone, position := range acknowledged.Range {
		if n++; !strings.Contains(found[position.(string)], phone.(string)) {
			s.Errorf("the acknowledged edit at %v is not there", position)
		}
	}
	if n < 20 {
		s.Errorf("only %d edits before the kill", n)
	}
}
