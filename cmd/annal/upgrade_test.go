package main

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/annal-crm/annal/projections/customers"
)

// A rolling upgrade with two builds: the new one has another version of a read model. It folds that beside the old one's and is
// ready when it has caught up; neither fails a single request.
func TestRollingUpgrade(t *testing.T) {
	f := newFleet(t, "")
	next := f.buildNext()

	old := f.start("all")
	f.pick(old)
	endOld := f.steadily(old, f.customers[:3])
	time.Sleep(500 * time.Millisecond)
	f.home.binary = next
	latest := f.start("all") // is back when it is ready
	endLatest := f.steadily(latest, f.customers[3:])
	f.start("projector") // finds a version that serves and one before it, which still is served, too
	time.Sleep(time.Second)

	var versions string
	if err := f.db.QueryRow(t.Context(), `select string_agg((version - $1)::text, ' ' order by version) from projections.checkpoints
		where name = 'customers' and served_at > clock_timestamp() - interval '1 minute' and to_regclass(format('%s_v%s.customers', name, version)) is not null`,
		customers.Model.Version).Scan(&versions); err != nil || versions != "0 1" {
		t.Errorf("versions that are served, from that of the old process on: %q, %v", versions, err)
	}
	endOld()
	if status := old.server.stop(t); status != 0 {
		t.Errorf("the old process stopped with exit status %d", status)
	}
	time.Sleep(500 * time.Millisecond)
	endLatest()
	latest.api.Load().settle()
	f.nothingIsMissing()
	f.verify(latest.api.Load())
	var edits, logged int
	if err := f.db.QueryRow(t.Context(), "select (select sum(edits) from "+nextCustomers+".customers), (select count(*) from eventlog.events where type = 'customer.edited')").
		Scan(&edits, &logged); err != nil || edits != logged || edits == 0 {
		t.Errorf("the new column counts %d edits, the log holds %d: %v", edits, logged, err)
	}

	// The way back stays open: the old tables are there, and the old program folds on from where it was.
	f.serve(old)
	phone, position, _, err := f.edit(t.Context(), latest, f.customers[0])
	if err != nil {
		t.Fatal(err)
	}
	seen := old.api.Load().ask(readPhone, vars{"id": f.customers[0], "p": strconv.Itoa(position)})
	if seen.at("customer.phone").String() != phone {
		t.Errorf("the old program reads %v, not %s", seen, phone)
	}
	f.home.binary = binary
	f.verify(old.api.Load())
}

// nextCustomers is the schema of the next version of the customers.
var nextCustomers = func() string {
	s := customers.Model.Schema
	s.Version++
	return s.String()
}()

// buildNext builds the program with another version of the read model of customers: a column more, and a change in the fold.
func (f *fleet) buildNext() (next string) {
	f.t.Helper()
	file, err := filepath.Abs("../../projections/customers/customers.go")
	if err != nil {
		f.t.Fatal(err)
	}
	code, err := os.ReadFile(file)
	if err != nil {
		f.t.Fatal(err)
	}
	source := string(code)
	change := func(pattern, with string) {
		re := regexp.MustCompile(pattern)
		if n := len(re.FindAllString(source, -1)); n != 1 {
			f.t.Fatalf("%s is in %s %d times", pattern, file, n)
		}
		source = re.ReplaceAllString(source, with)
	}
	change(`Name: "customers", Version: \d+`, `Name: "customers", Version: `+strconv.Itoa(customers.Model.Version+1))
	change(`(?m)^type Customer struct \{$`, "$0\n\tEdits int `db:\"edits\"`")
	change(`(?m)^\t\tcase customer\.Edited:$`, "$0\n\t\t\tc.Edits++")
	dir := f.t.TempDir()
	overlay, err := json.Marshal(map[string]map[string]string{"Replace": {file: filepath.Join(dir, "customers.go")}})
	if err != nil {
		f.t.Fatal(err)
	}
	for name, content := range map[string][]byte{"customers.go": []byte(source), "overlay.json": overlay} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			f.t.Fatal(err)
		}
	}
	next = filepath.Join(dir, "annal-next")
	if out, err := exec.CommandContext(f.t.Context(), "go", "build", "-overlay", filepath.Join(dir, "overlay.json"), "-o", next, ".").CombinedOutput(); err != nil {
		f.t.Fatalf("go build -overlay: %v\n%s", err, out)
	}
	return next
}

// steadily reads and writes by way of a process until end is called. No request may fail.
func (f *fleet) steadily(p *process, customers []string) (end func()) {
	ctx, stop := context.WithCancel(f.t.Context())
	var clients sync.WaitGroup
	var answered atomic.Int64
	client := func(ask func() error) {
		clients.Go(func() {
			for ctx.Err() == nil {
				if err := ask(); err != nil {
					f.t.Errorf("a request failed: %v", err)
					return
				}
				answered.Add(1)
				time.Sleep(5 * time.Millisecond)
			}
		})
	}
	for _, customer := range customers {
		client(func() error {
			_, _, _, err := f.edit(f.t.Context(), p, customer)
			return err
		})
	}
	for _, query := range []string{`{ customers(first: 20) { nodes { id name phone version owner { displayName } } } }`, `{ salesReport(groupBy: [MONTH]) { month won } }`} {
		client(func() error {
			data, err := p.api.Load().try(f.t.Context(), query, nil)
			if err == nil && strings.Count(data.String(), "{") < 5 {
				f.t.Errorf("%s: %v", query, data)
			}
			return err
		})
	}
	return func() {
		f.t.Helper()
		until(f.t, "enough requests are answered", func() bool { return answered.Load() >= enough || f.t.Failed() })
		stop()
		clients.Wait()
		f.t.Logf("%d requests", answered.Load())
	}
}
