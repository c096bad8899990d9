package graph

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Every error that a rule or a command may answer is a [domain.Refusal]: another one would be INTERNAL.
func TestRulesAndCommandsRefuse(t *testing.T) {
	sentinel := regexp.MustCompile(`(?m)^(?:var |\t)(Err[A-Z]\w*)\s*=\s*(.*)`)
	rules, err := filepath.Glob("../domain/*/*.go")
	commands, also := filepath.Glob("../commands/*.go")
	if err != nil || also != nil {
		t.Fatal(err, also)
	}
	found := 0
	for _, file := range append(rules, commands...) {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		source, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range sentinel.FindAllStringSubmatch(string(source), -1) {
			found++
			if !strings.HasPrefix(m[2], "domain.Refuse(") && m[2] != "domain.NoSuch()" {
				t.Errorf("%s: %s is %s", file, m[1], m[2])
			}
		}
	}
	if found < 40 {
		t.Errorf("only %d errors found: does this test look at the right place?", found)
	}
}
