package eventcodec

import (
	"bytes"

	"github.com/annal-crm/annal/domain"
	"github.com/annal-crm/annal/eventlog"
)

// SealedFields lists the fields of a stored event that are sealed for the subject of its stream, by their JSON names; of its
// metadata, if nobody is known to have acted, with "metadata." before them. An event whose type is unknown has none that
// anybody could name.
func SealedFields(e eventlog.Event) (names []string, err error) {
	known := entryOf(&e)
	if known == nil {
		return nil, nil
	}
	sealed := func(data []byte, fields []string, prefix string) error {
		return personal(data, fields, func(name string, from, to int) error {
			if bytes.HasPrefix(data[from:to], sealedPrefix) {
				names = append(names, prefix+name)
			}
			return nil
		})
	}
	if err := sealed(e.Data, known.sealed, ""); err != nil {
		return nil, err
	}
	f := Event{Event: e}
	subject, err := f.metaSubject()
	if err == nil && subject == f.dataSubject() {
		err = sealed(e.Meta, domain.SealedMetadata, metaPrefix)
	}
	return names, err
}
