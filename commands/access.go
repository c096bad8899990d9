package commands

import (
	"time"

	lru "github.com/hashicorp/golang-lru/v2"

	"github.com/annal-crm/annal/domain/organization"
)

// Sees says whose records the principal may look at with a permission, which may be nobody's.
func (p *Principal) Sees(permission organization.Permission) organization.Viewer {
	return organization.Viewer{
		Organization: p.Organization, Account: p.Account, Scope: p.Scope(permission), Teams: p.Teams(),
		Personal: p.Scope(organization.ViewPersonal) != organization.None,
	}
}

// Viewer is [Principal.Sees] for a permission that the principal must have: without it the error is [ErrForbidden].
func (p *Principal) Viewer(permission organization.Permission) (organization.Viewer, error) {
	v := p.Sees(permission)
	if v.Scope == organization.None {
		return v, ErrForbidden
	}
	return v, nil
}

// Everything says that all records of the organization may be shown, personal data as far as the principal may see them. It is
// for what was judged already: what the principal gave away a moment ago would be out of its scope.
func (p *Principal) Everything() organization.Viewer {
	v := p.Sees("")
	v.Scope, v.Teams = organization.All, nil
	return v
}

// sameAccess is how long reading on is one access. It bounds what can be read by pages alone without a new event.
const sameAccess = time.Hour

// AccessRecords remembers what was put on record lately, so that reading page by page is one event and not one for each page.
// It is safe for concurrent use.
type AccessRecords struct{ since *lru.Cache[string, time.Time] }

// NewAccessRecords returns an empty memory.
func NewAccessRecords() AccessRecords {
	cache, err := lru.New[string, time.Time](10_000) // accesses at once; one forgotten is on record twice
	if err != nil {
		panic(err)
	}
	return AccessRecords{cache}
}

// Once records an access: always, or, if it continues one, when that was not recorded within the hour under the same key.
func (a AccessRecords) Once(key string, continues bool, record func() error) error {
	if since, known := a.since.Get(key); continues && known && time.Since(since) < sameAccess {
		return nil
	}
	err := record()
	if err == nil {
		a.since.Add(key, time.Now())
	}
	return err
}
