package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// statements are the paragraphs, items and rows of a page, each as one line: what may hold a claim.
func statements(page string) (all []string) {
	page = regexp.MustCompile("(?s)```.*?```|<!--.*?-->").ReplaceAllString(page, "")
	for block := range strings.SplitSeq(page, "\n\n") {
		lines := strings.Split(strings.Trim(block, "\n"), "\n")
		switch {
		case strings.HasPrefix(lines[0], "#"), strings.HasPrefix(lines[0], "    "):
		case strings.HasPrefix(lines[0], "|"):
			all = append(all, lines[min(2, len(lines)):]...) // below the head
		default:
			all = append(all, regexp.MustCompile(`(?m)^- `).Split(strings.Join(lines, "\n"), -1)...)
		}
	}
	var said []string
	for _, s := range all {
		if s = strings.Join(strings.Fields(s), " "); s != "" {
			said = append(said, s)
		}
	}
	return said
}

// docs/audit-claims.md is to be relied on: its claims are those of the page, none of its statements is without one, and the
// tests that it names are there.
func TestEachClaimOfTheAuditPageNamesItsTests(t *testing.T) {
	t.Parallel()
	read := func(name string) string {
		t.Helper()
		b, err := os.ReadFile(filepath.Join("../..", name))
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	page := read("docs/audit.md")
	left := strings.Join(strings.Fields(page), " ")
	var claims []string
	row, of := regexp.MustCompile(`(?m)^\| (.+) \| (.+) \|$`), regexp.MustCompile("^`([a-z/]+)` (Test\\w+(?:, Test\\w+)*)$")
	sources := make(map[string]string)
	for _, m := range row.FindAllStringSubmatch(read("docs/audit-claims.md"), -1)[1:] {
		claim, tests := m[1], m[2]
		claims = append(claims, claim)
		if _, rest, found := strings.Cut(left, claim); found {
			left = rest
		} else {
			t.Errorf("docs/audit.md does not say, or not in this order: %s", claim)
		}
		if why, untested := strings.CutPrefix(tests, "none: "); untested {
			if why == "" {
				t.Errorf("no test and no reason: %s", claim)
			}
			continue
		}
		for part := range strings.SplitSeq(tests, "; ") {
			named := of.FindStringSubmatch(part)
			if named == nil {
				t.Errorf("%q names no test: %s", part, claim)
				continue
			}
			dir := named[1]
			if sources[dir] == "" {
				files, err := filepath.Glob(filepath.Join("../..", dir, "*_test.go"))
				if err != nil {
					t.Fatal(err)
				}
				for _, file := range files {
					sources[dir] += read(strings.TrimPrefix(file, "../../"))
				}
			}
			for name := range strings.SplitSeq(named[2], ", ") {
				if !strings.Contains(sources[dir], "\nfunc "+name+"(t *testing.T)") {
					t.Errorf("there is no %s in %s: %s", name, dir, claim)
				}
			}
		}
	}
	if len(claims) < 100 {
		t.Errorf("only %d claims", len(claims))
	}
	for _, s := range statements(page) {
		named := false
		for _, claim := range claims {
			named = named || strings.Contains(s, claim)
		}
		if !named {
			t.Errorf("no claim in docs/audit-claims.md is of this statement of docs/audit.md, so nobody knows what tests it: %s", s)
		}
	}
}
