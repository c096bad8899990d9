package records

import (
	"encoding/binary"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unicode"

	"golang.org/x/text/cases"
	"golang.org/x/text/collate"
	"golang.org/x/text/language"
	"golang.org/x/text/runes"
	"golang.org/x/text/transform"
	"golang.org/x/text/unicode/norm"

	"github.com/annal-crm/annal/domain/record"
)

// maxKey bounds sort keys in bytes, far below what an index of Postgres takes. Texts that agree so far stand beside each other.
const maxKey = 500

// sortKey returns bytes that are ordered as the values of the field are. That of no value is empty and comes first.
func (f *field) sortKey(value string) string {
	if value == "" {
		return ""
	}
	switch f.Type {
	case record.Choice:
		return string([]byte{byte(1 + slices.Index(f.Options, value))})
	case record.Integer:
		n, _ := strconv.ParseInt(value, 10, 64) // what is no number is parked
		return string(binary.BigEndian.AppendUint64(nil, uint64(n)^1<<63))
	case record.Decimal:
		return decimalKey(value)
	case record.Money:
		amount, currency := record.Amount(value)
		return decimalKey(string(amount)) + currency
	case record.Time:
		return strings.TrimSuffix(value, "Z") // so that "05" is before "05.5"
	case record.Day, record.Bool, record.Ref:
		return value
	}
	return TextKey(value)
}

// decimalKey is for numbers in their shortest form, with at most [wholeDigits] before the point.
func decimalKey(number string) string {
	digits, negative := strings.CutPrefix(number, "-")
	whole, fraction, _ := strings.Cut(digits, ".")
	key := []byte(strings.Repeat("0", max(0, wholeDigits-len(whole))) + whole + (fraction + "0000")[:max(4, len(fraction))])
	if !negative {
		return "1" + string(key)
	}
	for i := range key {
		key[i] = '9' - key[i] + '0'
	}
	return "0" + string(key)
}

const wholeDigits = 20

type collator struct {
	*collate.Collator
	buffer collate.Buffer
}

var collators = sync.Pool{New: func() any { return &collator{Collator: collate.New(language.Und)} }}

// TextKey returns bytes that are ordered as people order texts: by letters, then by accents, then by case.
func TextKey(text string) string {
	c := collators.Get().(*collator)
	defer collators.Put(c)

	c.buffer.Reset()
	key := c.KeyFromString(&c.buffer, text)
	return string(key[:min(len(key), maxKey)])
}

var folders = sync.Pool{New: func() any {
	return transform.Chain(norm.NFKD, runes.Remove(runes.In(unicode.Mn)), cases.Fold(), norm.NFC)
}}

// Words returns the words of a text without case and accents, and without what is neither letter nor digit.
func Words(text string) []string {
	folder := folders.Get().(transform.Transformer)
	defer folders.Put(folder)

	folded, _, err := transform.String(folder, text)
	if err != nil { // not of any text
		folded = text
	}
	return strings.FieldsFunc(folded, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) && !unicode.IsMark(r) })
}

// words returns the words by which a value is found. A phone number is one word, however it is grouped.
func (f *field) words(value string) []string {
	words := Words(value)
	if f.Type == record.Phone && len(words) > 0 {
		return []string{strings.Join(words, "")}
	}
	return words
}

// pairs returns the pairs of neighbouring characters in words, sorted.
func pairs(words []string) (all []string) {
	for _, word := range words {
		characters := []rune(word)
		for i := range len(characters) - 1 {
			all = append(all, string(characters[i:i+2]))
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}
