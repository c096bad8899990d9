package accounts

import (
	"cmp"
	"context"
	"strings"
	"time"

	"github.com/google/uuid"
	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"

	"github.com/annal-crm/annal/domain/organization"
	"github.com/annal-crm/annal/projections/engine"
	"github.com/annal-crm/annal/projections/engine/where"
)

// Filter narrows the list. Fields that are not given let everything pass.
type Filter struct {
	LoginName   *where.Text
	DisplayName *where.Text
	Status      Status    // empty: any
	Team        uuid.UUID // zero: any
	Now         time.Time // when Status is asked for; zero: now
}

var (
	byName = table.Ascending("display_name", "id")
	byID   = table.Ascending("id") // tells nothing about hidden names
)

// Get returns those of ids that the viewer may see.
func Get(ctx context.Context, db engine.DB, v engine.Viewer, ids []uuid.UUID) (map[uuid.UUID]Account, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	c := visible(v)
	c.And("t.id = any(?)", ids)
	rows, err := table.Find(ctx, db, c.SQL(), c.Args()...)
	if err != nil {
		return nil, err
	}
	found := make(map[uuid.UUID]Account, len(rows))
	for _, a := range rows {
		found[a.ID] = a.ShownTo(v)
	}
	return found, nil
}

// ByLoginName returns the account that signs in with a name, letter case not told apart, if the viewer may see it.
func ByLoginName(ctx context.Context, db engine.DB, v engine.Viewer, name string) (Account, bool, error) {
	if !v.Personal {
		return Account{}, false, where.ErrHidden
	}
	c := visible(v)
	name = normalised(name)
	c.Text("t.login_name", &where.Text{Eq: &name})
	rows, err := table.Find(ctx, db, c.SQL(), c.Args()...)
	if err != nil || len(rows) == 0 {
		return Account{}, false, err
	}
	return rows[0], true, nil
}

// Holders returns the accounts of an organization, not erased, that have one of some roles. It is for the program itself: names are in it.
func Holders(ctx context.Context, db engine.DB, organization uuid.UUID, roles []string) ([]Account, error) {
	return table.Find(ctx, db, "t.organization = $1 and t.roles && $2 and not t.erased order by t.id", organization, roles)
}

// normalised is the form in which names are claimed and stored (package commands does it on the way in).
func normalised(name string) string {
	return norm.NFKC.String(cases.Fold().String(norm.NFKC.String(strings.TrimSpace(name))))
}

// List returns a page of the accounts that the viewer may see, by display name; by id if names are hidden from the viewer.
// Then a filter on names is [where.ErrHidden].
func List(ctx context.Context, db engine.DB, v engine.Viewer, f Filter, page engine.PageRequest) (engine.Page[Account], error) {
	c, err := f.clause(v)
	if err != nil {
		return engine.Page[Account]{}, err
	}
	order := byName
	if !v.Personal {
		order = byID
	}
	found, err := table.Page(ctx, db, order, page, c.SQL(), c.Args()...)
	for i := range found.Rows {
		found.Rows[i] = found.Rows[i].ShownTo(v)
	}
	return found, err
}

// Count returns how many accounts List has in all its pages.
func Count(ctx context.Context, db engine.DB, v engine.Viewer, f Filter) (int, error) {
	c, err := f.clause(v)
	if err != nil {
		return 0, err
	}
	return table.Count(ctx, db, c.SQL(), c.Args()...)
}

// visible are the accounts in the viewer's scope: its own, those of its teams' members, all.
func visible(v engine.Viewer) *where.Clause {
	c := new(where.Clause)
	c.And("t.organization = ?", v.Organization)
	switch v.Scope {
	case organization.All:
	case organization.Team:
		c.And("t.id = ? or t.team = any(?)", v.Account, v.Teams)
	case organization.Own:
		c.And("t.id = ?", v.Account)
	default:
		c.And("false")
	}
	return c
}

func (f Filter) clause(v engine.Viewer) (*where.Clause, error) {
	c := visible(v)
	if !v.Personal && (f.LoginName != nil || f.DisplayName != nil) {
		return nil, where.ErrHidden
	}
	c.Text("t.login_name", f.LoginName)
	c.Text("t.display_name", f.DisplayName)
	if f.Team != uuid.Nil {
		c.And("t.team = ?", f.Team)
	}
	now := cmp.Or(f.Now, time.Now())
	switch f.Status { // as Account.Status
	case "":
	case Erased:
		c.And("t.erased")
	case Deactivated:
		c.And("not t.erased and t.deactivated")
	case Expired:
		c.And("not t.erased and not t.deactivated and not t.activated and t.activation_until <= ?", now)
	case Invited:
		c.And("not t.erased and not t.deactivated and not t.activated and (t.activation_until is null or t.activation_until > ?)", now)
	case Locked:
		c.And("not t.erased and not t.deactivated and t.activated and t.locked_until > ?", now)
	case Active:
		c.And("not t.erased and not t.deactivated and t.activated and (t.locked_until is null or t.locked_until <= ?)", now)
	default:
		c.And("false")
	}
	return c, nil
}

// ShownTo hides what is personal from viewers who may not see it. One's own name is no secret.
func (a Account) ShownTo(v engine.Viewer) Account {
	switch {
	case a.LoginName == "": // erased: nobody else has none
		a.LoginName, a.DisplayName = "account-"+a.ID.String()[:8], "erased"
	case !v.Personal && a.ID != v.Account:
		a.LoginName, a.DisplayName, a.Email = "account-"+a.ID.String()[:8], "hidden", ""
	}
	return a
}
