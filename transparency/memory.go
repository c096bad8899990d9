package transparency

import (
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"syscall"
)

// memory holds the newest checkpoint seen of each origin, outside of the database: in a file each of a directory, or, without
// one, while the process runs.
type memory struct {
	dir  string
	mu   sync.Mutex
	last map[string][]byte
}

func (m *memory) file(origin string) string {
	return filepath.Join(m.dir, "checkpoint-"+url.PathEscape(origin))
}

// recall returns what is remembered of an origin, nil if nothing is.
func (m *memory) recall(origin string) (last []byte, err error) {
	err = m.update(origin, func(b []byte) ([]byte, error) { last = b; return b, nil })
	return last, err
}

// update replaces what is remembered of an origin by what next makes of it, unless next fails. One at a time does so, of all
// processes that share the directory.
func (m *memory) update(origin string, next func(last []byte) ([]byte, error)) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.dir == "" {
		b, err := next(m.last[origin])
		if err == nil {
			if m.last == nil {
				m.last = make(map[string][]byte)
			}
			m.last[origin] = b
		}
		return err
	}
	f, err := os.OpenFile(m.file(origin), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("transparency: the remembered checkpoint: %w", err)
	}
	defer f.Close()
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil { // goes with the file's closing
		return fmt.Errorf("transparency: the remembered checkpoint: %w", err)
	}
	last, err := io.ReadAll(f)
	if err != nil {
		return fmt.Errorf("transparency: the remembered checkpoint: %w", err)
	}
	b, err := next(last)
	if err != nil || string(b) == string(last) {
		return err
	}
	// In place, because the lock is on this very file. A power cut in the middle leaves one that cannot be read; then
	// nothing is signed until a person has looked.
	if _, err = f.WriteAt(b, 0); err == nil {
		err = f.Truncate(int64(len(b)))
	}
	if err == nil {
		err = f.Sync()
	}
	if err != nil {
		return fmt.Errorf("transparency: remember the checkpoint: %w", err)
	}
	return nil
}
