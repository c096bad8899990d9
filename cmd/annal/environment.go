package main

import (
	"fmt"
	"os"
	"regexp"
	"strings"
)

// fromFiles sets each variable ANNAL_X of which only ANNAL_X_FILE is set to what that file holds, so that secrets can be
// given as files, as container engines do.
func fromFiles() error {
	for _, v := range os.Environ() {
		name, file, _ := strings.Cut(v, "=")
		name, ok := strings.CutSuffix(name, "_FILE")
		if !ok || file == "" || !strings.HasPrefix(name, "ANNAL_") {
			continue
		}
		if _, both := os.LookupEnv(name); both {
			return fmt.Errorf("%s and %s_FILE are both set; one of them must go", name, name)
		}
		content, err := os.ReadFile(file)
		if err != nil {
			return fmt.Errorf("%s_FILE: %w", name, err)
		}
		if err := os.Setenv(name, strings.TrimRight(string(content), "\r\n")); err != nil {
			return fmt.Errorf("%s_FILE: %w", name, err)
		}
	}
	return nil
}

// The prefixes by which programmers see where an error is from. People at the command line read a sentence.
var (
	unsaid   = regexp.MustCompile(`(^|: |\n)eventlog: unavailable: `)
	packages = regexp.MustCompile(`(^|: |\n)(?:app|asof|auth|commands|domain|embedded|engine|eventcodec|eventlog|eventstoredb|graph|importer|projections|retention|reporting|reports|results|sample|sqlviews|sshlog|timeline|transparency|vault|web|whatif): `)
)

// plainly returns an error's text without the names of our packages in it.
func plainly(err error) string {
	text := unsaid.ReplaceAllString(err.Error(), "$1")
	for packages.MatchString(text) {
		text = packages.ReplaceAllString(text, "$1")
	}
	return text
}
