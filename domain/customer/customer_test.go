package customer

import (
	"strconv"
	"strings"
	"testing"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"github.com/annal-crm/annal/domain"
	"github.com/annal-crm/annal/domain/domaintest"
)

type (
	story   = domaintest.Story[State, Event]
	events  = []Event
	changes = map[string]domain.Change
)

var (
	ada   = uuid.MustParse("0195d3c4-0000-7000-8000-000000000001") // accounts
	grace = uuid.MustParse("0195d3c4-0000-7000-8000-000000000002")
	acme  = Registered{Name: "Acme", Sector: "retail", Attributes: map[string]string{"revenue": "1100.04"}, Owner: ada}
)

func change(from, to string) *domain.Change { return &domain.Change{From: from, To: to} }

func is(s string) *string { return &s }

func edit(wish Fields) func(State) ([]Event, error) {
	return func(s State) ([]Event, error) { return Edit(s, wish) }
}

func TestRegister(t *testing.T) {
	register := func(wish Registered) func(State) ([]Event, error) {
		return func(s State) ([]Event, error) { return Register(s, wish) }
	}
	many := map[string]string{}
	for i := range domain.MaxAttributes + 1 {
		many[strconv.Itoa(i)] = "x"
	}
	domaintest.Run(t, EventTypes, Evolve,
		story{Name: "tidied", When: register(Registered{Name: " Acme ", Attributes: map[string]string{" a ": " 1 ", "b": " "}}), Then: events{Registered{Name: "Acme", Attributes: map[string]string{"a": "1"}}}},
		story{Name: "twice", Given: events{acme}, When: register(acme), Err: ErrExists},
		story{
			Name: "every wrong field at once",
			When: register(Registered{Name: "  ", Sector: strings.Repeat("é", 201), Country: "a\x1bb", Website: "javascript:alert(1)", Phone: strings.Repeat("1", 65), Email: "a@b@c", Attributes: map[string]string{"x": "\x00"}}),
			Err: domain.Invalid{
				"name": "must not be blank", "sector": "is longer than 200 characters", "country": "contains control characters", "website": "is not the address of a web page",
				"phone": "is longer than 64 characters", "email": "is not an e-mail address", "attributes.x": "contains control characters",
			},
		},
		story{Name: "limits are of characters, not bytes", When: register(Registered{Name: strings.Repeat("é", 200)}), Then: events{Registered{Name: strings.Repeat("é", 200)}}},
		story{
			Name: "a name of an attribute too long to be repeated",
			When: register(Registered{Name: "x", Attributes: map[string]string{strings.Repeat("k", 201): "x"}}), Err: domain.Invalid{"attributes": "has a name that is longer than 200 characters"},
		},
		story{Name: "too many attributes", When: register(Registered{Name: "x", Attributes: many}), Err: domain.Invalid{"attributes": "are more than 100"}},
	)
}

func TestEdit(t *testing.T) {
	many := map[string]*string{}
	for i := range domain.MaxAttributes {
		many[strconv.Itoa(i)] = is("x")
	}
	domaintest.Run(t, EventTypes, Evolve,
		story{Name: "unknown", When: edit(Fields{Phone: is("1")}), Err: ErrNotFound},
		story{Name: "a field set, one cleared, one kept", Given: events{acme}, When: edit(Fields{Phone: is(" 1 "), Sector: is("")}), Then: events{Edited{Phone: change("", "1"), Sector: change("retail", "")}}},
		story{
			Name:  "attributes",
			Given: events{acme},
			When:  edit(Fields{Attributes: map[string]*string{"revenue": nil, "employees": is("7"), "none": nil}}),
			Then:  events{Edited{Attributes: changes{"revenue": *change("1100.04", ""), "employees": *change("", "7")}}},
		},
		story{Name: "nothing new", Given: events{acme, Edited{Phone: change("", "1")}}, When: edit(Fields{Name: is("Acme"), Phone: is("1"), Email: is("")})},
		story{Name: "a blank name", Given: events{acme}, When: edit(Fields{Name: is(" "), Email: is("x")}), Err: domain.Invalid{"name": "must not be blank", "email": "is not an e-mail address"}},
		story{Name: "an attribute too many", Given: events{acme}, When: edit(Fields{Attributes: many}), Err: domain.Invalid{"attributes": "are more than 100"}},
		story{Name: "archived", Given: events{acme, Archived{}}, When: edit(Fields{Phone: is("1")}), Err: ErrArchived},
		story{Name: "restored", Given: events{acme, Archived{}, Restored{}}, When: edit(Fields{Phone: is("1")}), Then: events{Edited{Phone: change("", "1")}}},
	)
}

func TestOwnerAndArchive(t *testing.T) {
	reassign := func(to uuid.UUID) func(State) ([]Event, error) {
		return func(s State) ([]Event, error) { return Reassign(s, to) }
	}
	domaintest.Run(t, EventTypes, Evolve,
		story{Name: "reassigned", Given: events{acme}, When: reassign(grace), Then: events{Reassigned{From: ada, To: grace}}},
		story{Name: "reassigned to nobody", Given: events{acme}, When: reassign(uuid.Nil), Then: events{Reassigned{From: ada}}},
		story{Name: "hers already", Given: events{acme, Reassigned{From: ada, To: grace}}, When: reassign(grace)},
		story{Name: "archived customers stay whose they are", Given: events{acme, Archived{}}, When: reassign(grace), Err: ErrArchived},
		story{Name: "unknown is reassigned", When: reassign(grace), Err: ErrNotFound},
		story{Name: "archived", Given: events{acme}, When: Archive, Then: events{Archived{}}},
		story{Name: "archived twice", Given: events{acme, Archived{}}, When: Archive},
		story{Name: "unknown is archived", When: Archive, Err: ErrNotFound},
		story{Name: "restored", Given: events{acme, Archived{}}, When: Restore, Then: events{Restored{}}},
		story{Name: "restored without need", Given: events{acme}, When: Restore},
		story{Name: "unknown is restored", When: Restore, Err: ErrNotFound},
	)
}

func TestImport(t *testing.T) {
	row := acme
	row.Source = "crm"
	imported := func(edit func(*Registered)) func(State) ([]Event, error) {
		return func(s State) ([]Event, error) {
			row := row
			row.Attributes = map[string]string{"revenue": "1100.04"}
			edit(&row)
			return Import(s, row)
		}
	}
	same := imported(func(*Registered) {})
	news := imported(func(r *Registered) { r.Sector, r.Attributes["revenue"], r.Owner = "medical", "", grace })
	newsEvents := events{Reassigned{ada, grace, "crm"}, Edited{Sector: change("retail", "medical"), Attributes: changes{"revenue": *change("1100.04", "")}, Source: "crm"}}
	people := Edited{Sector: change("retail", "wholesale")}
	domaintest.Run(t, EventTypes, Evolve,
		story{Name: "a new row registers", When: imported(func(r *Registered) { r.Attributes["blank"] = "" }), Then: events{row}},
		story{Name: "again", Given: events{row}, When: same},
		story{Name: "after people have edited", Given: events{row, people, Reassigned{From: ada, To: grace}}, When: same},
		story{Name: "news", Given: events{row}, When: news, Then: newsEvents},
		story{Name: "news, again", Given: append(events{row}, newsEvents...), When: news},
		story{Name: "news wins over what people wrote before it", Given: events{row, people}, When: imported(func(r *Registered) { r.Sector = "medical" }), Then: events{Edited{Sector: change("wholesale", "medical"), Source: "crm"}}},
		story{Name: "there and back", Given: append(events{row}, newsEvents...), When: same, Then: events{Reassigned{grace, ada, "crm"}, Edited{Sector: change("medical", "retail"), Attributes: changes{"revenue": *change("", "1100.04")}, Source: "crm"}}},
		story{
			Name:  "news that people knew already is noted",
			Given: events{row, people},
			When:  imported(func(r *Registered) { r.Sector = "wholesale" }),
			Then:  events{Edited{Imported: map[string]string{"sector": "wholesale"}, Source: "crm"}},
		},
		story{
			Name:  "and does not undo what people write next",
			Given: events{row, people, Edited{Imported: map[string]string{"sector": "wholesale"}, Source: "crm"}, Edited{Sector: change("wholesale", "finance")}},
			When:  imported(func(r *Registered) { r.Sector = "wholesale" }),
		},
		story{Name: "archived stays so", Given: events{row, Archived{}}, When: news},
		story{Name: "and has its news after its return", Given: events{row, Archived{}, Restored{}}, When: news, Then: newsEvents},
		story{Name: "a bad row", Given: events{row}, When: imported(func(r *Registered) { r.Name = "" }), Err: domain.Invalid{"name": "must not be blank"}},
		story{Name: "of nowhere", When: func(s State) ([]Event, error) { return Import(s, acme) }, Err: domain.Invalid{"source": "must not be blank"}},
	)
}

func TestChangedSince(t *testing.T) {
	s := domaintest.Fold(t, EventTypes, Evolve, events{acme, Edited{Phone: change("", "1")}, Reassigned{From: ada, To: grace}, Edited{Attributes: changes{"revenue": *change("1", "2")}}, Archived{}, Restored{}}...)
	for since, want := range map[int]string{1: "archived attributes.revenue owner phone", 2: "archived attributes.revenue owner", 3: "archived attributes.revenue", 6: ""} {
		if got := strings.Join(s.ChangedSince(since), " "); got != want {
			t.Errorf("since %d: %s, want %s", since, got, want)
		}
	}
}

// Imports and people's edits in any order: a field is what the last one to say something new of it said, and an import that
// says what it said before is not news.
func TestImportsNeverUndoEdits(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		words := rapid.SampledFrom([]string{"", "a", "b", "c"})
		row := Registered{Name: "x", Source: "crm", Attributes: map[string]string{}}
		draw := func() {
			row.Sector, row.Country, row.Attributes = words.Draw(t, "sector"), words.Draw(t, "country"), map[string]string{"size": words.Draw(t, "size")}
		}
		draw()
		first, err := Import(State{}, row)
		if err != nil {
			t.Fatal(err)
		}
		s := Evolve(State{}, first[0])
		now := []string{row.Sector, row.Country, row.Attributes["size"]}
		said := append([]string(nil), now...)
		for range rapid.IntRange(1, 12).Draw(t, "acts") {
			var happened []Event
			if rapid.Bool().Draw(t, "import") {
				if rapid.Bool().Draw(t, "changed") {
					draw()
				}
				for i, v := range []string{row.Sector, row.Country, row.Attributes["size"]} {
					if v != said[i] {
						now[i], said[i] = v, v
					}
				}
				happened, err = Import(s, row)
			} else {
				i, v := rapid.IntRange(0, 2).Draw(t, "field"), words.Draw(t, "value")
				now[i] = v
				happened, err = Edit(s, []Fields{{Sector: &v}, {Country: &v}, {Attributes: map[string]*string{"size": &v}}}[i])
			}
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range happened {
				s = Evolve(s, e)
			}
			for i, field := range []string{"sector", "country", "attributes.size"} {
				if got := s.Value(field); got != now[i] {
					t.Fatalf("%s is %q, want %q", field, got, now[i])
				}
			}
			if again, err := Import(s, row); err != nil || len(again) > 0 && len(happened) > 0 && sourceOf(happened[0]) != "" {
				t.Fatalf("importing the same again: %v, %v", again, err)
			}
		}
	})
}

func sourceOf(e Event) string {
	edited, _ := e.(Edited)
	return edited.Source
}

func TestErase(t *testing.T) {
	certificate := domain.Erased{Request: grace, RequestedBy: ada, ApprovedBy: grace, Reason: "asked", Key: domain.Hash{1}}
	erase := func(s State) ([]Event, error) { return Erase(s, certificate) }
	row := acme
	row.Source = "crm"
	erased := events{acme, Archived{}, Erased(certificate)}
	domaintest.Run(t, EventTypes, Evolve,
		story{Name: "erased", Given: erased[:2], When: erase, Then: erased[2:]},
		story{Name: "twice", Given: erased, When: erase},
		story{Name: "unknown", When: erase, Err: ErrNotFound},
		story{Name: "then edited", Given: erased, When: edit(Fields{Name: is("Ada")}), Err: ErrErased},
		story{Name: "then imported again", Given: erased, When: func(s State) ([]Event, error) { return Import(s, row) }, Err: ErrErased},
		story{Name: "then reassigned", Given: erased, When: func(s State) ([]Event, error) { return Reassign(s, grace) }, Err: ErrErased},
		story{Name: "then archived", Given: erased, When: Archive, Err: ErrErased},
		story{Name: "then restored", Given: erased, When: Restore, Err: ErrErased},
		story{Name: "then registered", Given: erased, When: func(s State) ([]Event, error) { return Register(s, acme) }, Err: ErrExists},
	)
	s := domaintest.Fold(t, EventTypes, Evolve, erased...)
	if len(s.Record) != 1 || s.Owner() != ada || s.Version != 3 {
		t.Errorf("the rules still remember %v", s)
	}
}
