package annal_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// A word that readers had to translate, and what to say instead.
type outdated struct {
	word    *regexp.Regexp
	instead string
}

// out returns a word of the list: any of the forms, as whole words, in any letter case.
func out(forms, instead string) outdated {
	return outdated{regexp.MustCompile(`(?i)\b(` + forms + `)\b`), instead}
}

// The words that are out. A name of the API or of a command may still be one: it stands in backticks.
var outdatedWords = []outdated{
	// Names of our own where the field has a name.
	out("life|lives", "timeline, history; of a token: is valid for"),
	out("acts?", "action, or what it was: an edit, a sign-in"),
	out("looks (at|of|behind|are|were)|(of|their|and) looks", "access record, read"),
	out("facts?|worded", "event, decoded event"),
	out("shel(f|ves)", "cache"),
	out("pasts|a past|the past", "history, an earlier state, as of"),
	out("set aside|aside", "parked"),
	out("shadow|former", "next version's tables, previous version"),
	out("from afar", "remote"),
	out("moved house", "the log was moved"),

	// Riddles: the noun is missing.
	out("whoever|whomever|whatever", "anyone who, every; or name the person"),
	out("of whom|(list|for|than|those) whom", "the person, the account"),
	out("(for|of|from|by|than) who( may| has| have| is| was| can)?", "for accounts that, for people who"),
	out("(is|are|be|was) none|none is|that there (is|are) none of", "does not exist, is not set"),
	out("so many", "this many, the number of"),
	out("to be had|is had|are had", "is available, comes from"),

	// Words that nobody says.
	out("anew", "again, from the start"),
	out("likewise", "also, the same way"),
	out("tells|told|telling", "shows, says, reports; told apart: distinguished"),
	out("mends?|mended|mending", "fix, repair"),
	out("(go|goes|going|went|gone) on", "continue"),
	out("for ever", "forever, permanently"),
	out("(tools?|reports?|files?|postgres|organization) of (your|one's|their|its) own|of one's own", "your own X, a separate X"),
	out("thereof|wherein|hitherto|lest|ere|whence", "say it plainly"),
	out("outlives?|outlived", "lasts longer than"),
	out("lively", "realistic"),
}

// Rooms whose sentences are still to be rewritten. A room that is done leaves this list.
var stillToRewrite = regexp.MustCompile(`^(commands|domain|graph|history|internal/eventcodec)/`)

// What people read says what the field says: pages, schema, help texts, and every sentence that a program can print or log.
// docs/decisions keeps the words of its day.
func TestOutdatedWordsAreGone(t *testing.T) {
	t.Parallel()
	texts := make(map[string]string)
	for _, pattern := range []string{"*.md", "docs/*.md", "deploy/*.md", "schema/*.graphqls", "app/web/page/*", "deploy/*.yaml", "examples/*.yaml", "Taskfile.yml"} {
		for _, name := range glob(t, pattern) {
			texts[name] = readText(t, name)
		}
	}
	for _, name := range goFiles(t) {
		if !stillToRewrite.MatchString(filepath.ToSlash(name)) {
			texts[name] = sentences(t, name)
		}
	}
	if len(texts) < 150 {
		t.Fatalf("only %d texts: does this test look at the right place?", len(texts))
	}

	for name, text := range texts {
		for n, line := range strings.Split(withoutCode(name, text), "\n") {
			for _, o := range outdatedWords {
				for _, word := range o.word.FindAllString(line, -1) {
					t.Errorf("%s:%d: %q is out; say: %s", name, n+1, word, o.instead)
				}
			}
		}
	}
}

// withoutCode blanks what is code in a text, and keeps its lines: names in backticks, the examples of a page, the types of a schema.
func withoutCode(name, text string) string {
	blank := func(code string) string { return strings.Repeat("\n", strings.Count(code, "\n")) }
	switch filepath.Ext(name) {
	case ".md":
		text = regexp.MustCompile("(?s)```.*?```").ReplaceAllStringFunc(text, blank)
		text = regexp.MustCompile(`\]\([^)]*\)`).ReplaceAllString(text, "]")
	case ".graphqls":
		text = regexp.MustCompile(`(?s)""".*?"""|"[^"\n]*"|#[^\n]*|[^"#]+`).ReplaceAllStringFunc(text, func(part string) string {
			if strings.ContainsAny(part[:1], `"#`) {
				return part
			}
			return blank(part)
		})
	}
	return regexp.MustCompile("`[^`\n]*`").ReplaceAllStringFunc(text, blank)
}

// sentences returns the string literals of a Go file that have several words, each on its line: help texts, and what is printed.
func sentences(t *testing.T, name string) string {
	t.Helper()
	files := token.NewFileSet()
	file, err := parser.ParseFile(files, name, nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	lines := make([]string, files.File(file.Pos()).LineCount()+1)
	ast.Inspect(file, func(n ast.Node) bool {
		literal, isLiteral := n.(*ast.BasicLit)
		if isLiteral && literal.Kind == token.STRING {
			text, err := strconv.Unquote(literal.Value)
			if err != nil {
				t.Fatal(err)
			}
			if strings.Contains(text, " ") && !strings.HasPrefix(text, "query ") { // the names in a GraphQL document are the API's
				lines[files.Position(literal.Pos()).Line-1] += " " + strings.ReplaceAll(text, "\n", " ")
			}
		}
		return true
	})
	return strings.Join(lines, "\n")
}

func glob(t *testing.T, pattern string) []string {
	t.Helper()
	names, err := filepath.Glob(pattern)
	if err != nil || names == nil {
		t.Fatalf("nothing matches %s: %v", pattern, err)
	}
	return names
}

func readText(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
