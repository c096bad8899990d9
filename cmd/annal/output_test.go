package main

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// A file that was good is there until another one is, whole.
func TestAFileIsReplacedWhole(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	name := filepath.Join(dir, "report.csv")
	write := func(text string, failure error) error {
		t.Helper()
		out, err := create(name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := out.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
		return out.end(failure)
	}
	is := func(want string) {
		t.Helper()
		files, err := os.ReadDir(dir)
		if text, failed := os.ReadFile(name); string(text) != want || failed != nil || err != nil || len(files) != 1 {
			t.Errorf("%q, %v; %v, %v; want %q", text, failed, files, err, want)
		}
	}
	if err := write("good", nil); err != nil {
		t.Fatal(err)
	}
	is("good")
	failure := errors.New("the disk is full")
	if err := write("half of", failure); !errors.Is(err, failure) {
		t.Error(err)
	}
	is("good")
	if err := write("better", nil); err != nil {
		t.Fatal(err)
	}
	is("better")
	out, err := create(os.DevNull) // no file of ours to put something in the place of
	if err != nil || out.end(nil) != nil {
		t.Error(err)
	}
	if there, err := os.Stat(os.DevNull); err != nil || there.Mode().IsRegular() {
		t.Error("the device was replaced")
	}
}
