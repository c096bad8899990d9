package app_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/annal-crm/annal/app"
	"github.com/annal-crm/annal/domain"
	"github.com/annal-crm/annal/domain/account"
	"github.com/annal-crm/annal/domain/erasure"
	"github.com/annal-crm/annal/domain/kinds"
	"github.com/annal-crm/annal/domain/organization"
	"github.com/annal-crm/annal/internal/eventcodec"
)

// A model that shows records by their owner's team follows accounts through the teams. The rest of an account is not its matter.
var besidesTeams = []domain.Event{
	account.ActivationIssued{}, account.Activated{}, account.LoggedIn{}, account.LoginFailed{}, account.LoginRefused{},
	account.Locked{}, account.Unlocked{}, account.LoggedOut{}, account.PasswordChanged{}, account.RoleGranted{},
	account.RoleRevoked{}, account.Deactivated{}, account.Reactivated{}, account.Erased{},
}

// leftOut names, by read model, the events that it leaves out on purpose, of the kinds that it folds other events of.
var leftOut = map[string][]domain.Event{
	"customers":     besidesTeams,
	"opportunities": besidesTeams,
	"sales": append([]domain.Event{ // who a customer was is not its matter either
		organization.Registered{}, organization.RoleDefined{}, organization.PermissionAdded{}, organization.PermissionRemoved{},
		organization.TeamManagerSet{}, organization.LockoutPolicyChanged{}, organization.EventSkipped{},
		organization.SQLGranted{}, organization.SQLRevoked{},
	}, besidesTeams...),
	"deadlines": { // only locks and sessions end by time
		account.Invited{}, account.ActivationIssued{}, account.Activated{}, account.LoginFailed{}, account.LoginRefused{},
		account.PasswordChanged{}, account.RoleGranted{}, account.RoleRevoked{}, account.MovedToTeam{}, account.Deactivated{},
		account.Reactivated{},
	},
	"retention": { // it counts from the end of an account, and from what rules ask for
		account.Invited{}, account.ActivationIssued{}, account.Activated{}, account.LoggedIn{}, account.LoginFailed{},
		account.LoginRefused{}, account.Locked{}, account.Unlocked{}, account.LoggedOut{}, account.PasswordChanged{},
		account.RoleGranted{}, account.RoleRevoked{}, account.MovedToTeam{},
		erasure.Approved{}, erasure.Refused{}, erasure.Done{},
	},
}

// Every event of a kind that a read model folds is folded, or named here as left out: one that is new is forgotten nowhere. The
// end of a subject makes no read model one of its kind: some keep the certificates of all kinds.
func TestEveryEventIsFoldedOrLeftOut(t *testing.T) {
	for _, m := range app.Models() {
		if m.Events == nil { // it folds every event
			continue
		}
		left := eventcodec.Types(leftOut[m.Name]...)
		for _, kind := range kinds.All {
			folded, missing := 0, []string(nil)
			for name := range kind.Types.All() {
				switch {
				case slices.Contains(m.Events, name):
					if name != domain.ErasedType {
						folded++
					}
				case !slices.Contains(left, name):
					missing = append(missing, name)
				}
			}
			if folded > 0 && missing != nil {
				t.Errorf("%s folds events of %s, but neither folds nor leaves out %s", m.Name, kind.Category, missing)
			}
		}
		for _, name := range left {
			if slices.Contains(m.Events, name) && name != domain.ErasedType {
				t.Errorf("%s folds %s, which is named as left out", m.Name, name)
			}
		}
	}
}

// Only the domain writes the stored names of events; all else names their Go types. Tests may quote them.
func TestOnlyTheDomainWritesNamesOfEvents(t *testing.T) {
	known := make(map[string]bool)
	for _, kind := range kinds.All {
		for name := range kind.Types.All() {
			known[name] = true
		}
	}
	files := 0
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		switch path {
		case "../domain", "../graph/generated", "../eventlog": // the log knows no domain: its names are examples
			return filepath.SkipDir
		}
		if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		files++
		set := token.NewFileSet()
		parsed, err := parser.ParseFile(set, path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		ast.Inspect(parsed, func(n ast.Node) bool {
			if text, ok := n.(*ast.BasicLit); ok && text.Kind == token.STRING {
				if name, err := strconv.Unquote(text.Value); err == nil && known[name] {
					t.Error(fmt.Sprint(set.Position(text.Pos()), ": ", name, " is a string"))
				}
			}
			return true
		})
		return nil
	})
	if err != nil || files < 100 {
		t.Errorf("%d files, %v: does this test look at the right place?", files, err)
	}
}
