package organization

import (
	"strings"
	"testing"
)

// What docs/audit.md says of built-in roles: who verifies the log, who erases, and that auditors change nothing.
func TestWhatBuiltInRolesMayAudit(t *testing.T) {
	verify, erase := "", ""
	for _, role := range BuiltIn() {
		if role.Permissions[VerifyLog] == All {
			verify += role.Role + " "
		}
		if role.Permissions[RequestErasure] == All && role.Permissions[ApproveErasure] == All {
			erase += role.Role + " "
		}
		if role.Role != "auditor" {
			continue
		}
		for permission := range role.Permissions {
			if !strings.HasSuffix(string(permission), ".view") && permission != VerifyLog {
				t.Errorf("auditors have %s", permission)
			}
		}
	}
	if verify != "administrator auditor " || erase != "administrator " {
		t.Errorf("%sverify, %serase", verify, erase)
	}
}
