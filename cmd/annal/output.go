package main

import (
	"errors"
	"io"
	"os"
)

// output is where a command writes: standard output, or a file that has its name only when all of it is there, so that one that was
// good is not lost to a command that fails.
type output struct {
	io.Writer
	name string
	file *os.File // nil: not ours to close
}

// create begins to write to a file; "": to standard output. End it with [output.end].
func create(name string) (*output, error) {
	if name == "" {
		return &output{Writer: os.Stdout}, nil
	}
	o := &output{name: name}
	at := name + ".partial"
	if there, err := os.Stat(name); err == nil && !there.Mode().IsRegular() { // a pipe, a device
		o.name, at = "", name
	}
	f, err := os.OpenFile(at, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o666)
	o.Writer, o.file = f, f
	return o, err
}

// end gives the file its name if the command has not failed, and removes it otherwise.
func (o *output) end(failed error) error {
	if o.file == nil {
		return failed
	}
	err := errors.Join(failed, o.file.Close())
	switch {
	case o.name == "":
		return err
	case err != nil:
		return errors.Join(err, os.Remove(o.file.Name()))
	}
	return os.Rename(o.file.Name(), o.name)
}
