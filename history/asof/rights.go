package asof

import (
	"context"
	"slices"

	"github.com/google/uuid"

	"github.com/annal-crm/annal/domain/account"
	"github.com/annal-crm/annal/domain/organization"
	"github.com/annal-crm/annal/eventlog"
	"github.com/annal-crm/annal/internal/eventcodec"
)

// Rights are what an account could do as of some past.
type Rights struct {
	Account      account.State
	Organization organization.State
	Permissions  []Permission // by name
}

// Permission is one that an account had, with the widest scope that any of its roles gave it.
type Permission struct {
	organization.Permission
	Scope organization.Scope
	By    []Grant // in the order in which the roles were given
}

// Grant is a role that gave a permission: when the account got the role, and when the role got the permission.
type Grant struct {
	Role             string
	Scope            organization.Scope
	Granted, Defined *eventcodec.Event
}

// Rights folds an account's stream and its organization's as of a past, as the commands of that time did.
func (r Reader) Rights(ctx context.Context, org, id uuid.UUID, at eventlog.AsOf) (Rights, error) {
	var rights Rights
	granted := make(map[string]*eventcodec.Event)
	if err := evolve(ctx, r, eventlog.Stream{Organization: org, Category: account.Category, ID: id}, at, func(f *eventcodec.Event, e account.Event) {
		before := rights.Account.Roles
		rights.Account = account.Evolve(rights.Account, e)
		for _, role := range rights.Account.Roles {
			if !slices.Contains(before, role) {
				granted[role] = f
			}
		}
	}); err != nil {
		return rights, err
	}
	type permission struct {
		role string
		organization.Permission
	}
	defined := make(map[permission]*eventcodec.Event)
	if err := evolve(ctx, r, eventlog.Stream{Organization: org, Category: organization.Category, ID: org}, at, func(f *eventcodec.Event, e organization.Event) {
		before := rights.Organization.Roles
		rights.Organization = organization.Evolve(rights.Organization, e)
		for role, permissions := range rights.Organization.Roles {
			for name, scope := range permissions {
				if before[role][name] != scope {
					defined[permission{role, name}] = f
				}
			}
		}
	}); err != nil {
		return rights, err
	}
	for name, scope := range rights.Organization.Scopes(rights.Account.Roles) {
		if scope == organization.None {
			continue
		}
		one := Permission{Permission: name, Scope: scope}
		for _, role := range rights.Account.Roles {
			if scope := rights.Organization.Roles[role][name]; scope != organization.None {
				one.By = append(one.By, Grant{role, scope, granted[role], defined[permission{role, name}]})
			}
		}
		rights.Permissions = append(rights.Permissions, one)
	}
	slices.SortFunc(rights.Permissions, func(a, b Permission) int {
		if a.Permission < b.Permission {
			return -1
		}
		return 1
	})
	return rights, nil
}

// evolve shows the events of an aggregate's stream to its fold. One that this program does not know is an error: what it gave
// or took cannot be told.
func evolve[E any](ctx context.Context, r Reader, s eventlog.Stream, at eventlog.AsOf, next func(*eventcodec.Event, E)) error {
	history, err := r.Events(ctx, s, at)
	if err != nil {
		return err
	}
	for _, f := range history {
		payload, err := f.Payload()
		if err != nil {
			return err
		}
		if e, ok := payload.(E); ok {
			next(f, e)
		}
	}
	return nil
}
