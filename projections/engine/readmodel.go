package engine

import (
	"fmt"
	"regexp"
	"slices"

	"github.com/annal-crm/annal/internal/eventcodec"
)

// Schema names a read model's tables: they lie in the Postgres schema "<name>_v<version>". Read models never migrate:
// one whose tables or fold change gets the next version, and is folded from the start of the log.
type Schema struct {
	Name    string
	Version int
}

// String returns the name of the Postgres schema that is served.
func (s Schema) String() string { return fmt.Sprintf("%s_v%d", s.Name, s.Version) }

// next is the schema of the tables that a rebuild fills, replaced that of the tables whose place they have taken.
func (s Schema) next() string     { return s.String() + "_next" }
func (s Schema) replaced() string { return s.String() + "_old" }

// ReadModel is a fold of the log into tables.
type ReadModel struct {
	Schema
	Tables []Relation

	// Events lists the types of the events it folds; others cost nothing. Nil means every event there is, also of types
	// that this program does not know.
	Events []string

	// Keys asks for the rows that Fold will need for f, by [Table.Touch] and [Table.Peek]. It runs before Fold for all
	// events of a page, more than once if it peeks. It changes nothing. Nil for a model that only appends.
	Keys func(f *eventcodec.Event, rows *Rows) error

	// Fold changes the rows that Keys has asked for, as f says. It depends on nothing but f and those rows: the same
	// history always gives the same rows. An error, or a panic, stops the read model before f until it is mended,
	// except one that wraps [domain.ErrUnknownEvent], returned before any change: that skips f and counts it.
	Fold func(f *eventcodec.Event, rows *Rows) error
}

var identifier = regexp.MustCompile(`^[a-z][a-z0-9_]{0,39}$`)

func (m *ReadModel) validate() error {
	switch {
	case !identifier.MatchString(m.Name) || m.Version < 1:
		return fmt.Errorf("projections: %q, version %d, does not name a read model", m.Name, m.Version)
	case len(m.Tables) == 0 || m.Fold == nil:
		return fmt.Errorf("projections: %s needs tables and a fold", m.Name)
	}
	return nil
}

// folds reports whether events of a type matter to the model.
func (m *ReadModel) folds(eventType string) bool {
	return m.Events == nil || slices.Contains(m.Events, eventType)
}

// only returns the events of a page that matter to the model.
func (m *ReadModel) only(page []*eventcodec.Event) []*eventcodec.Event {
	if m.Events == nil {
		return page
	}
	var mine []*eventcodec.Event
	for _, f := range page {
		if m.folds(f.Type) {
			mine = append(mine, f)
		}
	}
	return mine
}
