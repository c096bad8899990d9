package main

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/annal-crm/annal/app"
	"github.com/annal-crm/annal/commands"
	"github.com/annal-crm/annal/domain"
	"github.com/annal-crm/annal/domain/audit"
	"github.com/annal-crm/annal/domain/kinds"
	"github.com/annal-crm/annal/eventlog"
	"github.com/annal-crm/annal/transparency"
)

type auditBundleCmd struct {
	place
	File         string `arg:"" help:"The file to write." type:"path"`
	From         string `help:"Position of the first event." default:"1"`
	To           string `help:"Position of the last event. Default: all."`
	Stream       string `help:"Instead: the events of one stream, customer/ID, account/ID, opportunity/ID." placeholder:"CATEGORY/ID"`
	Organization string `help:"The stream's organization: its name, or its id. Default: the one that up makes." placeholder:"NAME|ID"`
}

// Run writes a new file, whole or not at all.
func (c auditBundleCmd) Run(ctx context.Context) (err error) {
	scope, err := c.scope()
	if err != nil {
		return err
	}
	i, err := c.openEvidence(ctx)
	if err != nil {
		return err
	}
	defer i.Close()
	if scope.Stream.Category != "" {
		if scope.Stream.Organization, err = c.organization(ctx, i); err != nil {
			return err
		}
	}
	if head, err := i.Log.Head(ctx); err != nil || scope.To > head {
		return cmp.Or(err, fmt.Errorf("%w: %s; the log ends at %s", transparency.ErrNotThere, scope.To, head))
	}
	f, err := os.CreateTemp(filepath.Dir(c.File), ".bundle-*") // mode 0600: only its owner may read events
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	out := bufio.NewWriter(f)
	made, err := i.Audit.Bundle(ctx, out, scope)
	if err := errors.Join(err, out.Flush(), f.Close()); err != nil {
		return err
	}
	of, organization := "positions "+c.From+" to "+made.End.String(), commands.Home
	if scope.Stream.Category != "" {
		of, organization = scope.Stream.Category+"/"+scope.Stream.ID.String(), scope.Stream.Organization
	}
	if err := checked(ctx, i, organization, audit.Bundled, of); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), c.File); err != nil {
		return err
	}
	fmt.Printf("%s: %d events; annal audit verify-bundle %s --key '%s'\n", c.File, made.Events, c.File, i.Audit.VerifierKey())
	return nil
}

func (c auditBundleCmd) scope() (s transparency.Scope, err error) {
	if c.Stream != "" {
		category, id, _ := strings.Cut(c.Stream, "/")
		s.Stream.Category = category
		if s.Stream.ID, err = uuid.Parse(id); err != nil || category == "" {
			return s, fmt.Errorf("%q is not a stream: customer/ID, for one", c.Stream)
		}
		if _, known := kinds.Of(category); !known {
			all := categories(func(domain.Kind) bool { return true })
			return s, fmt.Errorf("there is no category %q: a stream is one of %s", category, strings.Join(all, ", "))
		}
		return s, nil
	}
	if s.From, err = eventlog.ParsePosition(c.From); err == nil && c.To != "" {
		s.To, err = eventlog.ParsePosition(c.To)
	}
	if err != nil || s.From == 0 || c.To != "" && s.To < s.From {
		return s, fmt.Errorf("%s to %s is no range of positions: whole numbers, from 1", c.From, c.To)
	}
	return s, nil
}

// categories are those of streams of the kinds that pass a test, sorted.
func categories(of func(domain.Kind) bool) (names []string) {
	for _, k := range kinds.All {
		if of(k) {
			names = append(names, k.Category)
		}
	}
	slices.Sort(names)
	return names
}

// organization is that of the stream.
func (c auditBundleCmd) organization(ctx context.Context, i *app.Instance) (uuid.UUID, error) {
	if id, err := uuid.Parse(c.Organization); err == nil {
		return id, nil
	}
	if i.Evidence() && c.Organization != "" {
		return uuid.Nil, fmt.Errorf("%q is not an id, and names are looked up with the master key only", c.Organization)
	}
	return named(ctx, i, c.Organization)
}

// bundledEvent is a line of verify-bundle: the event as it was recorded. Sealed fields stay sealed.
type bundledEvent struct {
	Index        uint64          `json:"index"`
	ID           uuid.UUID       `json:"id"`
	Organization uuid.UUID       `json:"organization"`
	Category     string          `json:"category"`
	Stream       uuid.UUID       `json:"stream"`
	Version      uint64          `json:"version"`
	Type         string          `json:"type"`
	Schema       int             `json:"schema"`
	OccurredAt   time.Time       `json:"occurredAt"`
	RecordedAt   time.Time       `json:"recordedAt"`
	Data         json.RawMessage `json:"data"`
	Metadata     json.RawMessage `json:"metadata"`
}

func newBundledEvent(index uint64, e eventlog.Event) bundledEvent {
	return bundledEvent{index, e.ID, e.Stream.Organization, e.Stream.Category, e.Stream.ID, uint64(e.Version), e.Type, e.Schema, e.OccurredAt, e.RecordedAt, e.Data, e.Meta}
}
