package record

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/annal-crm/annal/domain"
	"github.com/annal-crm/annal/domain/domaintest"
)

// machine is a kind with every type of field.
var machine = Kind{
	Category: "machine",
	Fields: []Field{
		{Name: "serial", Type: Text, Max: 8, Required: true},
		{Name: "keeper", Type: Text, Required: true, Personal: true},
		{Name: "remark", Type: Note, Personal: true},
		{Name: "email", Type: Email},
		{Name: "phone", Type: Phone},
		{Name: "manual", Type: Website},
		{Name: "hours", Type: Integer},
		{Name: "weight", Type: Decimal},
		{Name: "price", Type: Money},
		{Name: "builtOn", Type: Day},
		{Name: "seenAt", Type: Time},
		{Name: "leased", Type: Bool},
		{Name: "colour", Type: Choice, Options: []string{"red", "blue"}},
		{Name: "site", Type: Ref, Of: "customer"},
	},
	Stages: []Stage{{"planned", []string{"installed"}}, {"installed", []string{"retired"}}, {Name: "retired"}},
	Check: func(before State, after Values) error {
		if before.Stage() == "retired" && after["weight"] != before.Value("weight") {
			return domain.Invalid{"weight": "of a retired machine does not change"}
		}
		return nil
	},
}

type (
	story  = domaintest.Story[State, Event]
	events = []Event
)

var (
	ada     = uuid.MustParse("0195d3c4-0000-7000-8000-000000000001")
	grace   = uuid.MustParse("0195d3c4-0000-7000-8000-000000000002")
	created = Created{
		Fields: Values{"serial": "X-1"}, Personal: Values{"keeper": "Erika"}, Stage: "planned", Owner: ada,
	}
)

func change(from, to string) map[string]domain.Change {
	return map[string]domain.Change{"weight": {From: from, To: to}}
}

func TestStoredForms(t *testing.T) { domaintest.StoredForms(t, machine.Events()) }

func TestEvolveKnowsEveryEvent(t *testing.T) {
	domaintest.KnowsEveryEvent(t, machine.Events(), Evolve)
}

func TestARecord(t *testing.T) {
	create := func(values Values) func(State) ([]Event, error) {
		return func(s State) ([]Event, error) { return machine.Create(s, values, ada) }
	}
	edit := func(values Values) func(State) ([]Event, error) {
		return func(s State) ([]Event, error) { return machine.Edit(s, values) }
	}
	move := func(stage string) func(State) ([]Event, error) {
		return func(s State) ([]Event, error) { return machine.Move(s, stage) }
	}
	reassign := func(to uuid.UUID) func(State) ([]Event, error) {
		return func(s State) ([]Event, error) { return Reassign(s, to) }
	}
	certificate := domain.Erased{Reason: "asked for"}
	erase := func(s State) ([]Event, error) { return Erase(s, certificate) }
	one := events{created}
	archived := events{created, Archived{}}
	erased := events{created, Erased(certificate)}
	retired := events{created, Moved{From: "planned", To: "installed"}, Moved{From: "installed", To: "retired"}}
	domaintest.Run(t, machine.Events(), Evolve,
		story{Name: "created", When: create(Values{"serial": " X-1 ", "keeper": "Erika", "remark": " "}), Then: one},
		story{Name: "created twice", Given: one, When: create(Values{"serial": "X-1", "keeper": "Erika"}), Err: ErrExists},
		story{Name: "created without what is required", When: create(Values{"keeper": " ", "size": "1"}),
			Err: domain.Invalid{"serial": "must not be blank", "keeper": "must not be blank", "size": "is not a field of a machine"}},
		story{Name: "edited", Given: one, When: edit(Values{"serial": "X-2", "remark": "a\nb", "keeper": "Erika"}), Then: events{Edited{
			Fields: map[string]domain.Change{"serial": {From: "X-1", To: "X-2"}}, Personal: map[string]domain.Change{"remark": {To: "a\nb"}},
		}}},
		story{Name: "nothing new", Given: one, When: edit(Values{"serial": "X-1", "weight": ""})},
		story{Name: "what is required is cleared", Given: one, When: edit(Values{"serial": ""}), Err: domain.Invalid{"serial": "must not be blank"}},
		story{Name: "a rule of the kind", Given: retired, When: edit(Values{"weight": "1"}), Err: domain.Invalid{"weight": "of a retired machine does not change"}},
		story{Name: "unknown is edited", When: edit(Values{"serial": "X"}), Err: ErrNotFound},
		story{Name: "archived is edited", Given: archived, When: edit(Values{"serial": "X"}), Err: ErrArchived},
		story{Name: "erased is edited", Given: erased, When: edit(Values{"serial": "X"}), Err: ErrErased},
		story{Name: "moved", Given: one, When: move("installed"), Then: events{Moved{From: "planned", To: "installed"}}},
		story{Name: "moved to where it is", Given: one, When: move("planned")},
		story{Name: "a stage is left out", Given: one, When: move("retired"), Err: ErrStage},
		story{Name: "a stage that there is not", Given: one, When: move("sold"), Err: domain.Invalid{"stage": `a machine has no stage "sold"`}},
		story{Name: "archived is moved", Given: archived, When: move("installed"), Err: ErrArchived},
		story{Name: "reassigned", Given: one, When: reassign(grace), Then: events{Reassigned{From: ada, To: grace}}},
		story{Name: "reassigned to its owner", Given: one, When: reassign(ada)},
		story{Name: "reassigned to nobody", Given: one, When: reassign(uuid.Nil), Then: events{Reassigned{From: ada}}},
		story{Name: "archived", Given: one, When: Archive, Then: events{Archived{}}},
		story{Name: "archived twice", Given: archived, When: Archive},
		story{Name: "restored", Given: archived, When: Restore, Then: events{Restored{}}},
		story{Name: "restored, and it was not archived", Given: one, When: Restore},
		story{Name: "unknown is restored", When: Restore, Err: ErrNotFound},
		story{Name: "erased", Given: archived, When: erase, Then: events{Erased(certificate)}},
		story{Name: "erased twice", Given: erased, When: erase},
		story{Name: "unknown is erased", When: erase, Err: ErrNotFound},
	)
	s := domaintest.Fold(t, machine.Events(), Evolve, events{created, Moved{From: "planned", To: "installed"}, Erased(certificate)}...)
	if s.Value("serial") != "" || s.Value("keeper") != "" || s.Owner() != ada || s.Stage() != "installed" || !s.Erased {
		t.Errorf("an erased record is %+v", s)
	}
}

func TestImport(t *testing.T) {
	row := func(values Values, owner uuid.UUID, stage string) func(State) ([]Event, error) {
		return func(s State) ([]Event, error) {
			return machine.Import(s, Row{Values: values, Owner: owner, Stage: stage, Source: "crm"})
		}
	}
	said := Values{"serial": "X-1", "keeper": "Erika", "weight": "1"}
	first := Created{
		Fields: Values{"serial": "X-1", "weight": "1"}, Personal: Values{"keeper": "Erika"}, Stage: "installed", Owner: ada, Source: "crm",
	}
	heavier := Values{"serial": "X-1", "keeper": "Erika", "weight": "2"}
	domaintest.Run(t, machine.Events(), Evolve,
		story{Name: "of a new row, at any stage", When: row(said, ada, "installed"), Then: events{first}},
		story{Name: "of a new row that says no stage", When: row(Values{"serial": "X-1", "keeper": "Erika"}, ada, ""), Then: events{
			Created{Fields: Values{"serial": "X-1"}, Personal: Values{"keeper": "Erika"}, Stage: "planned", Owner: ada, Source: "crm"},
		}},
		story{Name: "of the same row", Given: events{first}, When: row(said, ada, "installed")},
		story{Name: "of what has changed", Given: events{first}, When: row(heavier, grace, "retired"), Then: events{
			Reassigned{From: ada, To: grace, Source: "crm"}, Moved{From: "installed", To: "retired", Source: "crm"},
			Edited{Fields: change("1", "2"), Source: "crm"},
		}},
		story{Name: "what people have changed stays", Given: events{first, Edited{Fields: change("1", "3")}, Reassigned{From: ada, To: grace}}, When: row(said, ada, "installed")},
		story{Name: "what people have made the same is noted", Given: events{first, Edited{Fields: change("1", "2")}}, When: row(heavier, ada, ""), Then: events{
			Edited{Imported: Values{"weight": "2"}, Source: "crm"},
		}},
		story{Name: "an owner that people have set is noted", Given: events{first, Reassigned{From: ada, To: grace}}, When: row(said, grace, ""), Then: events{
			Edited{Imported: Values{"owner": grace.String()}, Source: "crm"},
		}},
		story{Name: "of an archived one", Given: events{first, Archived{}}, When: row(heavier, ada, "")},
		story{Name: "of an erased one", Given: events{first, Erased{}}, When: row(said, ada, ""), Err: ErrErased},
		story{Name: "to a stage that there is not", When: row(said, ada, "sold"), Err: domain.Invalid{"stage": `a machine has no stage "sold"`}},
		story{Name: "of nowhere", When: func(s State) ([]Event, error) { return machine.Import(s, Row{Values: said}) }, Err: domain.Invalid{"source": "must not be blank"}},
	)
}

// Every value has one stored form, and what is not one is refused by the name that the API has for the field.
func TestValues(t *testing.T) {
	for _, c := range []struct{ field, value, stored, wrong string }{
		{"serial", "123456789", "", "is longer than 8 characters"},
		{"serial", "a\x00b", "", "contains control characters"},
		{"remark", " two\nlines ", "two\nlines", ""},
		{"email", "nobody", "", "is not an e-mail address"},
		{"phone", strings.Repeat("1", 65), "", "is longer than 64 characters"},
		{"manual", "javascript:x", "", "is not the address of a web page"},
		{"hours", "007", "7", ""},
		{"hours", "1.5", "", "is not a whole number of at most 32 bits"},
		{"hours", "2147483648", "", "is not a whole number of at most 32 bits"},
		{"weight", "1.50", "1.5", ""},
		{"weight", "1e3", "", `"1e3" is not a decimal number of at most 15 digits and 4 decimal places`},
		{"price", "5000.00 CHF", "5000 CHF", ""},
		{"price", "5000", "", "has no currency of three capital letters (ISO 4217)"},
		{"price", "x CHF", "", `"x" is not a decimal number of at most 15 digits and 4 decimal places`},
		{"builtOn", "2024-02-29", "2024-02-29", ""},
		{"builtOn", "2026-02-29", "", "is not a day such as 2026-01-31"},
		{"seenAt", "2026-01-31T01:00:00.5000001+01:00", "2026-01-31T00:00:00.5Z", ""},
		{"seenAt", "yesterday", "", "is not an instant such as 2026-01-31T15:04:05Z"},
		{"leased", "true", "true", ""},
		{"leased", "yes", "", "must be true or false"},
		{"colour", "green", "", "must be one of red, blue"},
		{"siteId", "nowhere", "", "is not an id"},
		{"siteId", strings.ToUpper(ada.String()), ada.String(), ""},
	} {
		name := strings.TrimSuffix(c.field, "Id")
		cleaned, err := machine.clean(Values{name: c.value}, false)
		bad, _ := err.(domain.Invalid)
		if bad[c.field] != c.wrong || c.wrong == "" && cleaned[name] != c.stored {
			t.Errorf("%s %q: %q, %v; want %q, %q", c.field, c.value, cleaned[name], err, c.stored, c.wrong)
		}
	}
	if amount, code := Amount("5000 CHF"); amount != "5000" || code != "CHF" {
		t.Errorf("%s, %s", amount, code)
	}
}

func TestADeclarationThatContradictsItselfPanics(t *testing.T) {
	for name, k := range map[string]Kind{
		"no name":               {Category: "Two Words"},
		"a field of every one":  {Category: "x", Fields: []Field{{Name: "owner"}}},
		"a field twice":         {Category: "x", Fields: []Field{{Name: "a"}, {Name: "a"}}},
		"refers to nothing":     {Category: "x", Fields: []Field{{Name: "a", Type: Ref}}},
		"no options":            {Category: "x", Fields: []Field{{Name: "a", Type: Choice}}},
		"nothing to hide it by": {Category: "x", Fields: []Field{{Name: "a", Type: Day, Required: true, Personal: true}}},
		"no such stage":         {Category: "x", Stages: []Stage{{"a", []string{"b"}}}},
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			k.Describe()
		}()
	}
	if described := machine.Describe(); !described.Subject || !described.Owned || described.View != "machine.view" {
		t.Errorf("%+v", described)
	}
	if sealed := machine.Events().Sealed("machine.edited"); !slices.Equal(sealed, []string{"personal.*", "importedPersonal.*"}) {
		t.Errorf("sealed: %v", sealed)
	}
}
