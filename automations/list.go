package automations

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/google/uuid"

	"github.com/annal-crm/annal/commands"
	"github.com/annal-crm/annal/domain/erasure"
	"github.com/annal-crm/annal/eventlog"
	"github.com/annal-crm/annal/projections/engine"
	"github.com/annal-crm/annal/projections/erasures"
)

// list is the file that lists who was erased: a line each, only ever appended to.
type list struct {
	path string
	kept eventlog.Position  // up to which the log's erasures are in the file
	has  map[uuid.UUID]bool // subjects; nil: not read yet
}

// add appends those that the file does not have.
func (l *list) add(entries []Entry) error {
	if l.has == nil {
		there, err := ReadErasures(l.path)
		if err != nil {
			return err
		}
		l.has = make(map[uuid.UUID]bool)
		for _, e := range there {
			l.has[e.Subject] = true
		}
	}
	var lines bytes.Buffer
	out := json.NewEncoder(&lines)
	for _, e := range entries {
		if !l.has[e.Subject] {
			if err := out.Encode(e); err != nil {
				return err
			}
		}
	}
	if lines.Len() == 0 {
		return nil
	}
	f, err := os.OpenFile(l.path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("the list of erasures: %w", err)
	}
	_, err = f.Write(lines.Bytes())
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		l.has = nil // some of it may be there
		return fmt.Errorf("the list of erasures: %w", err)
	}
	for _, e := range entries {
		l.has[e.Subject] = true
	}
	return nil
}

// ReadErasures reads a list of erasures; a file that is not there has none. A last line that was cut short is left out.
func ReadErasures(path string) ([]Entry, error) {
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("the list of erasures: %w", err)
	}
	defer f.Close()
	var entries []Entry
	in := bufio.NewReader(f)
	for n := 1; ; n++ {
		line, err := in.ReadBytes('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, fmt.Errorf("the list of erasures: %w", err)
		}
		cut := err != nil
		if len(bytes.TrimSpace(line)) > 0 {
			var e Entry
			switch err := json.Unmarshal(line, &e); {
			case err != nil && cut:
			case err != nil:
				return nil, fmt.Errorf("the list of erasures, %s:%d: %w", path, n, err)
			case e.Organization == uuid.Nil || e.Subject == uuid.Nil || !erasure.Erasable(e.Category):
				return nil, fmt.Errorf("the list of erasures, %s:%d: names no data subject", path, n)
			default:
				entries = append(entries, e)
			}
		}
		if cut {
			return entries, nil
		}
	}
}

// MeetErasures makes a log, and a vault, that were restored from a backup meet the list of erasures: who is on it and is not erased
// in the log is erased again, by the certificate of then. It returns those who were. What read models hold of them is blanked when they
// fold the certificates; the automation does the rest (see [ErasureConfig])
func MeetErasures(ctx context.Context, c *commands.Commands, entries []Entry) (again []commands.Erased, err error) {
	for _, e := range entries {
		p, err := c.System(ctx, e.Organization)
		if err != nil {
			return again, err
		}
		known, err := c.IsErased(ctx, p, e.Category, e.Subject)
		if err != nil {
			return again, err
		}
		if known {
			continue
		}
		erased, err := c.Erase(ctx, p, e.Category, e.Subject, e.certificate())
		if err != nil {
			return again, fmt.Errorf("erase %s again: %w", e.Subject, err)
		}
		again = append(again, erased)
	}
	return again, nil
}

// AllErasures lists who was erased, of all organizations, as the list has it.
func AllErasures(ctx context.Context, db engine.DB) (entries []Entry, err error) {
	for after := eventlog.Position(0); ; {
		page, err := erasures.Subjects(ctx, db, after, metAtOnce)
		if err != nil || len(page) == 0 {
			return entries, err
		}
		for _, s := range page {
			entries, after = append(entries, entryOf(s)), s.Position
		}
	}
}
