package vault

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

func TestAKeyFileIsNeverOverwritten(t *testing.T) {
	source := KeySource{File: filepath.Join(t.TempDir(), "master.key")}
	if _, err := source.load(); !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	first, err := source.make()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := source.make(); !errors.Is(err, fs.ErrExist) {
		t.Errorf("made another one: %v", err)
	}
	if key, err := source.load(); err != nil || key != first {
		t.Errorf("the file has changed: %v", err)
	}
	if left, err := os.ReadDir(filepath.Dir(source.File)); err != nil || len(left) != 1 {
		t.Errorf("%v, %v", left, err)
	}
}
