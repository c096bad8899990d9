package domain

import (
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Limits of what people write, in code points.
const (
	MaxName           = 200
	MaxReference      = 64
	MaxEmail          = 254 // RFC 5321 §4.5.3.1.3: a path of 256 with its brackets
	MaxAttributes     = 100
	MaxAttributeValue = 4000
)

// Invalid is the error of a wish with wrong fields: each field's name → the reason. Its methods clean one field each: they
// return the text without surrounding space and note what is wrong with it, so that one answer names every wrong field.
type Invalid map[string]string

// Error lists the fields in order.
func (v Invalid) Error() string {
	parts := make([]string, 0, len(v))
	for _, field := range slices.Sorted(maps.Keys(v)) {
		parts = append(parts, field+" "+v[field])
	}
	return "invalid: " + strings.Join(parts, "; ")
}

// Err is v, or nil if nothing is wrong.
func (v Invalid) Err() error {
	if len(v) == 0 {
		return nil
	}
	return v
}

// Text cleans a line of text that may be blank.
func (v Invalid) Text(field, s string, limit int) string {
	s = strings.TrimSpace(s)
	switch {
	case !utf8.ValidString(s):
		v[field] = "is not UTF-8"
	case utf8.RuneCountInString(s) > limit:
		v[field] = fmt.Sprintf("is longer than %d characters", limit)
	case strings.ContainsFunc(s, unicode.IsControl):
		v[field] = "contains control characters"
	}
	return s
}

// Name cleans a line of text that may not be blank.
func (v Invalid) Name(field, s string, limit int) string {
	if s = v.Text(field, s, limit); s == "" {
		v[field] = "must not be blank"
	}
	return s
}

// Email cleans an e-mail address that may be blank. Whether mail arrives there is not judged.
func (v Invalid) Email(field, s string) string {
	s = v.Text(field, s, MaxEmail)
	if name, host, _ := strings.Cut(s, "@"); s != "" && (name == "" || host == "" || strings.ContainsAny(host, "@") || strings.ContainsFunc(s, unicode.IsSpace)) {
		v[field] = "is not an e-mail address"
	}
	return s
}

// Website cleans the address of a web page that may be blank. Other schemes than http and https are refused: a browser
// would run some of them.
func (v Invalid) Website(field, s string) string {
	s = v.Text(field, s, MaxName)
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "" && u.Scheme != "http" && u.Scheme != "https" {
		v[field] = "is not the address of a web page"
	}
	return s
}

// Attribute cleans the value of an attribute; it may be blank and have several lines.
func (v Invalid) Attribute(field, s string) string {
	s = strings.TrimSpace(s)
	control := func(r rune) bool { return unicode.IsControl(r) && r != '\n' && r != '\r' && r != '\t' }
	switch {
	case !utf8.ValidString(s):
		v[field] = "is not UTF-8"
	case utf8.RuneCountInString(s) > MaxAttributeValue:
		v[field] = fmt.Sprintf("is longer than %d characters", MaxAttributeValue)
	case strings.ContainsFunc(s, control):
		v[field] = "contains control characters"
	}
	return s
}
