package auth

import (
	"crypto/rand"
	_ "embed"
	"fmt"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

const (
	minPassword = 15  // code points; NIST, where the password is the only factor
	maxPassword = 256 // code points; NIST asks for at least 64 to be allowed
)

// Refuse is the policy for new passwords: it returns why one must not be set, "" if it may. It asks for length, and that a
// password is not what everybody tries first; it asks for no kinds of characters, and passwords never grow old (NIST SP
// 800-63B-4, 3.1.1.2). The words are the account's and the organization's names: a password that is made of them is as bad
// as a common one.
func Refuse(password string, words ...string) string {
	n := utf8.RuneCountInString(password)
	switch {
	case !utf8.ValidString(password):
		return "is not UTF-8"
	case n < minPassword:
		return fmt.Sprintf("has %d characters, at least %d are needed: a few words that do not belong together are easy to keep in mind", n, minPassword)
	case n > maxPassword:
		return fmt.Sprintf("has %d characters, at most %d are possible", n, maxPassword)
	}
	folded := []rune(fold(password))
	if repeats(folded) || runs(folded) {
		return "repeats itself or counts up or down: it would be among the first to be tried"
	}
	known := map[string]bool{}
	for _, word := range words {
		for _, part := range append(strings.FieldsFunc(fold(word), notLetter), fold(word)) {
			if utf8.RuneCountInString(part) >= 3 {
				known[part] = true
			}
		}
	}
	if common(folded, known) {
		return "is made of common words and names only: it would be among the first to be tried"
	}
	return ""
}

// MakePassword returns a random password that the policy takes: 130 bits in 26 characters that are hard to confuse.
func MakePassword() string { return strings.ToLower(rand.Text()) }

//go:embed common.txt
var commonText string

// commonWords are what guessers try first, in lower case, of at least 3 characters.
var commonWords = sync.OnceValue(func() map[string]bool {
	words := map[string]bool{}
	for _, word := range strings.Fields(commonText) {
		words[word] = true
	}
	return words
})

const longest = 40 // code points of a word looked up

// common reports whether a password consists of nothing but known words, with anything that is no letter between them. Digits
// alone are judged by known runs of digits only: a random number is no word.
func common(password []rune, known map[string]bool) bool {
	letters := false
	for _, r := range password {
		letters = letters || unicode.IsLetter(r)
	}
	words := commonWords()
	reached := make([]bool, len(password)+1) // reached[i]: the first i characters are words
	reached[0] = true
	for i, r := range password {
		if !reached[i] {
			continue
		}
		if !unicode.IsLetter(r) && (letters || !unicode.IsDigit(r)) {
			reached[i+1] = true
		}
		for n := 3; n <= longest && i+n <= len(password); n++ {
			word := string(password[i : i+n])
			plain := leet.Replace(word)
			if words[word] || known[word] || words[plain] || known[plain] {
				reached[i+n] = true
			}
		}
	}
	return reached[len(password)]
}

// repeats reports whether a password is one short piece (at most a third of it) again and again.
func repeats(password []rune) bool {
	for period := 1; period <= len(password)/3; period++ {
		same := true
		for i := period; i < len(password) && same; i++ {
			same = password[i] == password[i-period]
		}
		if same {
			return true
		}
	}
	return false
}

// runs reports whether a password only counts: abcdefg…, 98765….
func runs(password []rune) bool {
	steps := 0
	for i := 1; i < len(password); i++ {
		if d := password[i] - password[i-1]; d == 1 || d == -1 || d == 0 {
			steps++
		}
	}
	return steps*4 >= (len(password)-1)*3 // three of four: 1234567890 starts over
}

// leet are the usual disguises of letters.
var leet = strings.NewReplacer("@", "a", "4", "a", "3", "e", "1", "i", "!", "i", "0", "o", "$", "s", "5", "s", "7", "t")

func fold(s string) string { return strings.ToLower(norm.NFKC.String(s)) }

func notLetter(r rune) bool { return !unicode.IsLetter(r) }
