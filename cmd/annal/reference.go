package main

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

// referenceCmd writes the configuration reference, from the same structures that the command line is parsed by.
type referenceCmd struct {
	Write string `help:"A Markdown file in which to replace what is between the markers; else it is printed." type:"existingfile"`
}

// The markers in the file; what is between them is never edited by hand.
const (
	referenceBegins = "<!-- reference: written by task generate -->\n"
	referenceEnds   = "<!-- end of reference -->\n"
)

// environmentOnly are variables without a flag: a secret does not belong on a command line.
var environmentOnly = map[string]string{
	"ANNAL_ADMIN_PASSWORD": "Password of the administrator that the first start creates. Default: a generated one, printed once.",
}

// Run writes the reference.
func (c referenceCmd) Run() error {
	text, err := reference()
	if err != nil {
		return err
	}
	if c.Write == "" {
		fmt.Print(text)
		return nil
	}
	page, err := os.ReadFile(c.Write)
	if err != nil {
		return err
	}
	before, rest, begins := strings.Cut(string(page), referenceBegins)
	_, after, ends := strings.Cut(rest, referenceEnds)
	if !begins || !ends {
		return fmt.Errorf("%s has not the markers of the reference", c.Write)
	}
	return os.WriteFile(c.Write, []byte(before+referenceBegins+"\n"+text+"\n"+referenceEnds+after), 0o644)
}

// section is the flags that the same subcommands have.
type section struct {
	commands []string
	rows     []string
}

// reference returns every subcommand, and every flag once, under the subcommands that have it.
func reference() (string, error) {
	parser, err := kong.New(&cli{}, kong.Name("annal"))
	if err != nil {
		return "", err
	}
	commands := parser.Model.Leaves(true)
	var sections []*section
	var rows []string
	having := map[string][]string{} // by row
	for _, n := range commands {
		for _, f := range n.Flags {
			r := row(f)
			if f.Hidden {
				continue
			}
			if having[r] == nil {
				rows = append(rows, r)
			}
			having[r] = append(having[r], path(n))
		}
	}
	for _, r := range rows {
		at := slices.IndexFunc(sections, func(s *section) bool { return slices.Equal(s.commands, having[r]) })
		if at < 0 {
			at, sections = len(sections), append(sections, &section{commands: having[r]})
		}
		sections[at].rows = append(sections[at].rows, r)
	}
	slices.SortStableFunc(sections, func(a, b *section) int { return len(b.commands) - len(a.commands) })

	var b strings.Builder
	b.WriteString("| Subcommand | What it does |\n|---|---|\n")
	for _, n := range commands {
		fmt.Fprintf(&b, "| `annal %s` | %s |\n", strings.Join(append([]string{path(n)}, arguments(n)...), " "), cell(n.Help))
	}
	for _, s := range sections {
		fmt.Fprintf(&b, "\n%s\n\n| Flag | Environment | Default | What it is |\n|---|---|---|---|\n", title(s.commands, commands))
		for _, r := range s.rows {
			b.WriteString(r)
		}
	}
	b.WriteString("\nOnly in the environment:\n\n| Variable | What it is |\n|---|---|\n")
	for _, name := range slices.Sorted(maps.Keys(environmentOnly)) {
		fmt.Fprintf(&b, "| `%s` | %s |\n", name, environmentOnly[name])
	}
	return b.String(), nil
}

// variables returns the names of all variables that the program reads from the environment.
func variables() ([]string, error) {
	parser, err := kong.New(&cli{}, kong.Name("annal"))
	if err != nil {
		return nil, err
	}
	names := slices.Collect(maps.Keys(environmentOnly))
	for _, n := range parser.Model.Leaves(false) {
		for _, f := range n.Flags {
			names = append(names, f.Envs...)
		}
	}
	return names, nil
}

// title says whose flags follow; where nearly all have them, who has not.
func title(commands []string, all []*kong.Node) string {
	if len(commands) <= len(all)/2 {
		return "`annal " + strings.Join(commands, "`, `annal ") + "`:"
	}
	var without []string
	for _, n := range all {
		if !slices.Contains(commands, path(n)) {
			without = append(without, "`"+path(n)+"`")
		}
	}
	return "All subcommands but " + strings.Join(without, ", ") + ":"
}

func path(n *kong.Node) string { return strings.TrimPrefix(n.FullPath(), "annal ") }

func arguments(n *kong.Node) (all []string) {
	for _, p := range n.Positional {
		all = append(all, p.Summary())
	}
	return all
}

func row(f *kong.Flag) string {
	name, value := "`--"+f.Name, ""
	if !f.IsBool() && !f.HasDefault {
		name += "=" + strings.TrimSuffix(f.FormatPlaceHolder(), ",...")
	}
	if f.HasDefault && f.Default != "" {
		value = "`" + f.Default + "`"
	}
	var environment []string
	for _, e := range f.Envs {
		environment = append(environment, "`"+e+"`")
	}
	return fmt.Sprintf("| %s` | %s | %s | %s |\n", cell(name), strings.Join(environment, ", "), value, cell(f.Help))
}

// cell is text that a table's cell holds.
func cell(text string) string {
	return strings.ReplaceAll(strings.ReplaceAll(text, "\n", " "), "|", "\\|")
}
