package organization

import "github.com/google/uuid"

// Viewer says whose records may be shown.
type Viewer struct {
	Organization uuid.UUID
	Account      uuid.UUID
	Scope        Scope       // of the permission that the question needs
	Teams        []uuid.UUID // the viewer's own, those it manages, and all below
	Personal     bool        // personal data may be shown
}
