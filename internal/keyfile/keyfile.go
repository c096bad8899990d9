// Package keyfile keeps secrets of an Annal outside of its database: each in a
// file of its own, made on the first start, readable by its owner alone and
// never overwritten.
package keyfile

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// Make writes a new file, mode 0600, and its directory, mode 0700, if that is missing. It appears complete or not at all, and outlives a power cut once Make has returned.
// The error is [os.ErrExist] if there is one: of several processes that make it at once one does.
func Make(file, content string) error {
	dir := filepath.Dir(file)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, ".key-*") // mode 0600; written under another name and linked
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.WriteString(content)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Link(f.Name(), file); err != nil { // fails if it exists
		return err
	}
	d, err := os.Open(dir)
	if err != nil {
		return nil // a directory that may be entered and not listed: then without the sync
	}
	if err := errors.Join(d.Sync(), d.Close()); err != nil {
		return fmt.Errorf("sync %s: %w", dir, err)
	}
	return nil
}
