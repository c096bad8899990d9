// Package record decides what may become of records whose kind is a declaration.
//
// A [Kind] says which fields and stages the records of a kind have. Each kind has the same events, stored under names of its
// own ("contract.created"): a record is created, edited, moved through its stages, given to another owner, archived, restored,
// erased; by people or by an import. A rule that only one kind has is the kind's Check. A kind with more rules than that is an
// aggregate of its own, like an opportunity.
//
// [Evolve] folds the events into a [State]; a decision ([Kind.Create], [Kind.Edit], …) returns the events that a wish leads
// to, or the error of the rule that it breaks. A wish for what is so already leads to none. A State is never changed in place,
// so any number of goroutines may read it.
package record

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/annal-crm/annal/domain"
)

// Kind declares a kind of record. It is complete when the program starts and does not change.
type Kind struct {
	// Category names the streams, the permissions ("contract.view", "contract.edit") and, in the API, the type.
	Category string

	// About describes a record of the kind in one sentence, for the documentation of the API.
	About string

	// Fields in the order in which people read them.
	Fields []Field

	// Stages in the order in which they are listed. A new record is at the first. Nil: the kind has no stages.
	Stages []Stage

	// Check is a rule of the kind's own, or nil. It is asked about every change with the record as it is (of a new one the
	// zero State) and with all its fields as they would be. It returns a [domain.Invalid] or another refusal.
	Check func(before State, after Values) error
}

// Stage is a stage of a record and those that may follow it.
type Stage struct {
	Name string
	Next []string
}

// Values are fields by name. A field without a value is missing or empty.
type Values map[string]string

// Events returns the stored names of the kind's events.
func (k *Kind) Events() domain.EventTypes[Event] {
	events := map[string]Event{
		k.Category + ".created":    Created{},
		k.Category + ".edited":     Edited{},
		k.Category + ".reassigned": Reassigned{},
		k.Category + ".archived":   Archived{},
		k.Category + ".restored":   Restored{},
	}
	if k.Stages != nil {
		events[k.Category+".moved"] = Moved{}
	}
	if k.Personal() {
		events[domain.ErasedType] = Erased{}
	}
	return domain.NewEventTypes(events)
}

// Describe returns the kind for the list of all kinds. It panics if the declaration contradicts itself: that is a mistake in
// the program text.
func (k *Kind) Describe() domain.Kind {
	if err := k.validate(); err != nil {
		panic(err)
	}
	return domain.Kind{
		Category: k.Category,
		Types:    k.Events().Any(),
		View:     k.ViewPermission(),
		Owned:    true,
		Subject:  k.Personal(),
	}
}

// ViewPermission names the permission to see records of the kind.
func (k *Kind) ViewPermission() string { return k.Category + ".view" }

// EditPermission names the permission to create, edit, move, reassign, archive and restore them.
func (k *Kind) EditPermission() string { return k.Category + ".edit" }

// Plural returns the English plural of the category, which names lists: contracts, companies, boxes.
func (k *Kind) Plural() string {
	stem, y := strings.CutSuffix(k.Category, "y")
	switch {
	case y && !strings.HasSuffix(stem, "a") && !strings.HasSuffix(stem, "e") && !strings.HasSuffix(stem, "o") && !strings.HasSuffix(stem, "u"):
		return stem + "ies"
	case strings.HasSuffix(k.Category, "s"), strings.HasSuffix(k.Category, "x"), strings.HasSuffix(k.Category, "ch"):
		return k.Category + "es"
	}
	return k.Category + "s"
}

// Personal reports whether any field is personal, so that a record is a data subject.
func (k *Kind) Personal() bool {
	return slices.ContainsFunc(k.Fields, func(f Field) bool { return f.Personal })
}

// Field returns a field by its name, nil if it does not exist.
func (k *Kind) Field(name string) *Field {
	for i := range k.Fields {
		if k.Fields[i].Name == name {
			return &k.Fields[i]
		}
	}
	return nil
}

// stage returns a stage by its name, nil if it does not exist.
func (k *Kind) stage(name string) *Stage {
	for i := range k.Stages {
		if k.Stages[i].Name == name {
			return &k.Stages[i]
		}
	}
	return nil
}

var (
	categoryForm = regexp.MustCompile(`^[a-z][a-z0-9]{0,29}$`)
	fieldForm    = regexp.MustCompile(`^[a-z][A-Za-z0-9]{0,29}$`)
)

// reserved are the names that every record has already, in the rules or in the API.
var reserved = []string{
	"id", "version", "archived", "erased", "owner", "ownerId", "stage", "createdAt", "updatedAt", "organization", "position",
	"viewerCan", "timeline", "custom", "commandId", "reason", "expectedVersion", "search", "and", "or", "not",
}

func (k *Kind) validate() error {
	if !categoryForm.MatchString(k.Category) {
		return fmt.Errorf("record: %q does not name a kind", k.Category)
	}
	seen := make(map[string]bool)
	for _, f := range k.Fields {
		if !fieldForm.MatchString(f.Name) || slices.Contains(reserved, f.Name) || seen[f.Name] {
			return fmt.Errorf("record: %s has a field %q twice, or it is not a name for one", k.Category, f.Name)
		}
		if (f.Type == Ref) != (f.Of != "") || (f.Type == Choice) != (f.Options != nil) {
			return fmt.Errorf("record: %s.%s says Of or Options, and its type does not, or the other way round", k.Category, f.Name)
		}
		if f.Required && f.Personal && f.Type != Text { // where it may not be shown a text stands in for it
			return fmt.Errorf("record: %s.%s is personal and required, so it must be a Text", k.Category, f.Name)
		}
		seen[f.Name] = true
	}
	for _, s := range k.Stages {
		for _, next := range s.Next {
			if k.stage(next) == nil {
				return fmt.Errorf("record: %s has no stage %q", k.Category, next)
			}
		}
	}
	return nil
}
