package organization

import (
	"maps"
	"testing"

	"github.com/annal-crm/annal/domain/domaintest"
)

func TestWiden(t *testing.T) {
	older := func(without ...Permission) (all events) { // an organization founded before some permissions
		all = events{org}
		for _, role := range BuiltIn() {
			role.Permissions = maps.Clone(role.Permissions)
			for _, p := range without {
				delete(role.Permissions, p)
			}
			all = append(all, role)
		}
		return all
	}
	widen := func(s State) ([]Event, error) { return Widen(s), nil }
	both := events{PermissionAdded{"administrator", RequestErasure, All}, PermissionAdded{"administrator", ApproveErasure, All}}
	domaintest.Run(t, EventTypes, Evolve,
		story{Name: "nobody", When: widen},
		story{Name: "founded by this program", Given: older(), When: widen},
		story{Name: "founded before", Given: older(RequestErasure, ApproveErasure), When: widen, Then: both},
		story{Name: "widened before", Given: append(older(RequestErasure, ApproveErasure), both...), When: widen},
		story{
			Name:  "what people have taken away stays away",
			Given: append(append(older(RequestErasure, ApproveErasure), both...), PermissionRemoved{"administrator", ApproveErasure}), When: widen,
		},
		story{
			Name:  "what people have given to another role was theirs to decide",
			Given: append(older(RequestErasure, ApproveErasure), PermissionAdded{"auditor", RequestErasure, All}), When: widen, Then: both[1:],
		},
		story{Name: "a role that is not there", Given: events{org}, When: widen},
	)
}
