package commands_test

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/uuid"

	"github.com/annal-crm/annal/commands"
	"github.com/annal-crm/annal/domain/customer"
	"github.com/annal-crm/annal/eventlog"
)

func (w *world) edit(by *commands.Principal, id uuid.UUID, cmd commands.Command, phone string) (commands.Result, error) {
	return w.EditCustomer(w.Context(), by, commands.EditCustomer{On: commands.On{Command: cmd, ID: id}, Fields: customer.Fields{Phone: &phone}})
}

func TestAResentCommandAnswersWithItsFirstReceipt(t *testing.T) {
	w := newWorld(t)
	register := commands.RegisterCustomer{Command: commands.Command{ID: uuid.New()}, Registered: customer.Registered{Name: "Northwind"}}
	made := must(w.RegisterCustomer(t.Context(), w.admin, register))
	command := commands.Command{ID: uuid.New(), ExpectedVersion: 1}
	first := must(w.edit(w.admin, made.ID, command, "1"))
	for i := range 300 { // more than the ids that are kept
		must(w.edit(w.admin, made.ID, commands.Command{}, fmt.Sprint("+49 ", i)))
	}
	recent := commands.Command{ID: uuid.New(), ExpectedVersion: 302}
	last := must(w.edit(w.admin, made.ID, recent, "2"))
	head := w.head()
	for name, c := range map[string]*commands.Commands{"the same process": w.Commands, "another process": w.another(commands.Config{}), "one that forgets": w.another(commands.Config{CachedStreams: 1})} {
		for range 2 {
			if again, err := c.RegisterCustomer(t.Context(), w.admin, register); err != nil || again != made {
				t.Errorf("%s: registered %v %v, first %v", name, again, err, made)
			}
			in := commands.EditCustomer{On: commands.On{Command: command, ID: made.ID}, Fields: customer.Fields{Phone: text("1")}}
			if again, err := c.EditCustomer(t.Context(), w.admin, in); err != nil || again != first {
				t.Errorf("%s: an old edit: %v %v, first %v", name, again, err, first)
			}
			in.Command, in.Phone = recent, text("2")
			if again, err := c.EditCustomer(t.Context(), w.admin, in); err != nil || again != last {
				t.Errorf("%s: the last edit: %v %v, first %v", name, again, err, last)
			}
		}
	}
	if w.head() != head {
		t.Error("a resent command has written")
	}

	other := w.invite("other", uuid.Nil, "administrator")
	if again, err := w.edit(other, made.ID, commands.Command{ID: command.ID}, "3"); err != nil || again == first {
		t.Errorf("another actor's command of the same id is taken for the first one's: %v %v", again, err)
	}
}

func TestTheSameCommandAtOnceIsOneEvent(t *testing.T) {
	w := newWorld(t)
	id := w.customer(w.admin, "Northwind", uuid.Nil)
	before, command := w.head(), commands.Command{ID: uuid.New()}
	results := make([]commands.Result, 16)
	var wg sync.WaitGroup
	for i := range results {
		wg.Go(func() { results[i] = must(w.edit(w.admin, id, command, "+1")) })
	}
	wg.Wait()
	w.since(before, "customer.edited")
	for _, r := range results {
		if r != results[0] {
			t.Errorf("%v and %v", r, results[0])
		}
	}
}

func TestADecisionWithoutEventsAnswersWithTheStreamAsItIs(t *testing.T) {
	w := newWorld(t)
	id := w.customer(w.admin, "Northwind", uuid.Nil)
	first := must(w.edit(w.admin, id, commands.Command{}, "1"))
	w.customer(w.admin, "Another", uuid.Nil)
	if same, err := w.edit(w.admin, id, commands.Command{}, "1"); err != nil || same != first {
		t.Error(same, err, first)
	}
}

func TestAnEditAppliesToTheNewestState(t *testing.T) {
	w := newWorld(t)
	id := w.customer(w.admin, "Northwind", uuid.Nil)
	rival := w.another(commands.Config{})
	w.log.rival = func() {
		must(rival.EditCustomer(t.Context(), w.admin, commands.EditCustomer{On: commands.On{ID: id}, Fields: customer.Fields{Sector: text("retail"), Phone: text("0")}}))
	}
	r := must(w.edit(w.admin, id, commands.Command{}, "1"))
	_, _, payloads := w.facts(r.Position - 1)
	if change := payloads[0].(customer.Edited).Phone; r.Version != 3 || change.From != "0" || change.To != "1" {
		t.Error(r, change)
	}
}

func TestAnEditOfAnOldVersionIsAConflictThatNamesWhatChanged(t *testing.T) {
	w := newWorld(t)
	id := w.customer(w.admin, "Northwind", uuid.Nil)
	must(w.edit(w.admin, id, commands.Command{ExpectedVersion: 1}, "1"))
	must(w.EditCustomer(t.Context(), w.admin, commands.EditCustomer{On: commands.On{ID: id}, Fields: customer.Fields{Sector: text("retail")}}))
	head := w.head()
	for expected, fields := range map[eventlog.Version]string{1: "[phone sector]", 2: "[sector]", 4: "[]"} {
		_, err := w.edit(w.admin, id, commands.Command{ExpectedVersion: expected}, "2")
		c, ok := errors.AsType[*commands.Conflict](err)
		if !ok || c.CurrentVersion != 3 || fmt.Sprint(c.ChangedFields) != fields {
			t.Errorf("expected %d: %v", expected, err)
		}
	}
	if w.head() != head {
		t.Error("a conflict has written")
	}
	must(w.edit(w.admin, id, commands.Command{ExpectedVersion: 3}, "2"))
}

func TestOfTwoEditsOfOneVersionOneWins(t *testing.T) {
	w := newWorld(t)
	id := w.customer(w.admin, "Northwind", uuid.Nil)
	for version := eventlog.Version(1); version < 10; version++ {
		var won, lost atomic.Int32
		var wg sync.WaitGroup
		for i := range 4 {
			wg.Go(func() {
				_, err := w.edit(w.admin, id, commands.Command{ExpectedVersion: version}, fmt.Sprint(version, "-", i))
				if _, conflict := errors.AsType[*commands.Conflict](err); conflict {
					lost.Add(1)
				} else if err == nil {
					won.Add(1)
				}
			})
		}
		wg.Wait()
		if won.Load() != 1 || lost.Load() != 3 {
			t.Fatalf("version %d: %d won, %d lost", version, won.Load(), lost.Load())
		}
	}
}

func TestManyEditsAtOnceAllLand(t *testing.T) {
	w := newWorld(t)
	id := w.customer(w.admin, "Northwind", uuid.Nil)
	before := w.head()
	processes := []*commands.Commands{w.Commands, w.another(commands.Config{})}
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			in := commands.EditCustomer{On: commands.On{ID: id}, Fields: customer.Fields{Phone: text(fmt.Sprint("+49 ", i))}}
			if _, err := processes[i%2].EditCustomer(t.Context(), w.admin, in); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	_, _, payloads := w.facts(before)
	phone := ""
	for _, e := range payloads {
		change := e.(customer.Edited).Phone
		if change.From != phone {
			t.Errorf("an edit of %q saw %q", phone, change.From)
		}
		phone = change.To
	}
	if len(payloads) != 16 {
		t.Error(len(payloads), "edits")
	}
}

func TestAStreamThatANewerProgramWroteToIsNotJudged(t *testing.T) {
	w := newWorld(t)
	id := w.customer(w.admin, "Northwind", uuid.Nil)
	stream := eventlog.Stream{Organization: commands.Home, Category: "customer", ID: id}
	must(w.log.Append(t.Context(), stream, 1, eventlog.NewEvent{ID: uuid.New(), Type: "customer.merged", Schema: 1, Data: []byte(`{}`), Meta: []byte(`{}`)}))
	_, err := w.edit(w.admin, id, commands.Command{}, "1")
	w.wantErr("an unknown event", err, commands.ErrTooOld)
}

func TestWhatIsKnownAboutAnAct(t *testing.T) {
	w := newWorld(t)
	by := *w.admin
	by.Origin.Device = "Mozilla/5.0 \x00\x1b[31m\n" + string(make([]rune, 0)) + "ü" + fmt.Sprint(make([]int, 500))
	command := commands.Command{ID: uuid.New(), Reason: " called back ", Causation: uuid.New()}
	id := w.customer(w.admin, "Northwind", uuid.Nil)
	r := must(w.edit(&by, id, command, "1"))
	_, about, _ := w.facts(r.Position - 1)
	m := about[0]
	if m.Actor != by.Account || m.IP != office.IP || m.Reason != "called back" || m.Command != command.ID || m.Causation != command.Causation || m.Correlation != office.Correlation {
		t.Errorf("%+v", m)
	}
	if n := len([]rune(m.Device)); n != 300 || m.Device[:18] != "Mozilla/5.0 [31mü" {
		t.Errorf("%d %q", n, m.Device)
	}
	_, err := w.edit(&by, id, commands.Command{Reason: "a\x00b"}, "2")
	w.wantInvalid("a reason with a control character", err, "reason")
}
