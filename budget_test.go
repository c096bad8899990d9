package annal_test

import (
	"go/ast"
	"go/parser"
	"go/scanner"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const budgetFile = ".ci/budget"

// What is written by hand stays small. Each room (a directory at the top) has a budget of Go tokens, and so has the whole tree.
// Tokens are counted as the compiler's scanner sees them: comments, blank lines and long names cost nothing.
func TestEveryRoomKeepsItsBudget(t *testing.T) {
	budget := readBudget(t)
	used := countTokens(t)

	for room, tokens := range used {
		allowed, known := budget[room]
		switch {
		case !known:
			t.Errorf("%s has %d tokens and no line in %s", room, tokens, budgetFile)
		case tokens > allowed:
			t.Errorf("%s has %d tokens, %d more than its budget of %d", room, tokens, tokens-allowed, allowed)
		}
	}
	for room := range budget {
		if _, there := used[room]; !there {
			t.Errorf("%s has a line for %s, where there is no Go code", budgetFile, room)
		}
	}
	if t.Failed() {
		t.Logf("Delete what is no longer needed first. A number in %s is raised by a commit of its own, which says what was deleted before.", budgetFile)
	}
}

// readBudget returns how many tokens each room may have, and "total" all together.
func readBudget(t *testing.T) map[string]int {
	t.Helper()
	text, err := os.ReadFile(budgetFile)
	if err != nil {
		t.Fatal(err)
	}

	budget := make(map[string]int)
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		if len(fields) != 2 {
			t.Fatalf("%s: %q is not a room and its tokens", budgetFile, line)
		}
		if budget[fields[0]], err = strconv.Atoi(fields[1]); err != nil {
			t.Fatalf("%s: %v", budgetFile, err)
		}
	}
	return budget
}

// countTokens counts the tokens of what was written by hand, by room and in "total". It leaves out tests and generated code, and
// directories that the go command leaves out too.
func countTokens(t *testing.T) map[string]int {
	t.Helper()
	used := make(map[string]int)
	err := fs.WalkDir(os.DirFS("."), ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			aside := path != "." && strings.ContainsAny(d.Name()[:1], "._")
			if aside || slices.Contains([]string{"testdata", "node_modules"}, d.Name()) || path == "graph/generated" {
				return fs.SkipDir
			}
			return nil
		}
		if filepath.Ext(path) != ".go" || strings.HasSuffix(path, "_test.go") {
			return nil
		}

		tokens, err := tokensOf(path)
		room, _, _ := strings.Cut(path, "/")
		used[room] += tokens
		used["total"] += tokens
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return used
}

// tokensOf counts the tokens of a file, none if it is generated. A semicolon that the scanner adds at the end of a line is not one.
func tokensOf(path string) (int, error) {
	source, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	files := token.NewFileSet()
	file, err := parser.ParseFile(files, path, source, parser.PackageClauseOnly|parser.ParseComments)
	if err != nil || ast.IsGenerated(file) {
		return 0, err
	}

	var s scanner.Scanner
	s.Init(files.AddFile(path, -1, len(source)), source, nil, 0)
	for tokens := 0; ; {
		_, kind, literal := s.Scan()
		switch {
		case kind == token.EOF:
			return tokens, nil
		case kind != token.SEMICOLON || literal != "\n":
			tokens++
		}
	}
}
