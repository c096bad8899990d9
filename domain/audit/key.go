package audit

import (
	"fmt"

	"github.com/annal-crm/annal/domain"
)

// KeyReplaced says that from now on another key signs the checkpoints of the log. The first of them has this event under it.
type KeyReplaced struct {
	Old  string `json:"old"` // public keys, as annal audit keys prints them
	New  string `json:"new"`
	Lost bool   `json:"lost,omitempty"` // the old one could not sign the handover
}

func (KeyReplaced) auditEvent() {}

func (e KeyReplaced) Summary() string {
	s := fmt.Sprintf("checkpoint key %s replaced by %s", e.Old, e.New)
	if e.Lost {
		s += "; the old key was lost"
	}
	return s
}

// ReplaceKey records that a key is replaced.
func ReplaceKey(wish KeyReplaced) ([]Event, error) {
	if wish.Old == "" || wish.New == "" || wish.Old == wish.New || len(wish.Old)+len(wish.New) > maxFilter {
		return nil, domain.Invalid{"key": "is not replaced by itself, or by none"}.Err()
	}
	return []Event{wish}, nil
}
