package domain

import (
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/google/uuid"
)

// Hash is a SHA-256, stored as hex.
type Hash [32]byte

// MarshalText implements [encoding.TextMarshaler].
func (h Hash) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, h[:]), nil }

// UnmarshalText implements [encoding.TextUnmarshaler].
func (h *Hash) UnmarshalText(b []byte) error {
	if len(b) != 2*len(h) {
		return errors.New("domain: a hash has 64 hex digits")
	}
	_, err := hex.Decode(h[:], b)
	return err
}

// Duration is a [time.Duration] stored in Go's notation, "30m0s".
type Duration time.Duration

// MarshalText implements [encoding.TextMarshaler].
func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// UnmarshalText implements [encoding.TextUnmarshaler].
func (d *Duration) UnmarshalText(b []byte) error {
	v, err := time.ParseDuration(string(b))
	*d = Duration(v)
	return err
}

// Decimal is an exact number in decimal notation, as people write money: at most 15 digits, a point and 4 more, so that
// any sum of a million of them fits Postgres' numeric and a spreadsheet. The zero value is no number.
type Decimal string

var decimal = regexp.MustCompile(`^-?\d{1,15}(\.\d{1,4})?$`)

// ParseDecimal returns the number s in its shortest form ("007.50" is "7.5"), so that equal numbers are equal strings, or an
// error that says what s must look like.
func ParseDecimal(s string) (Decimal, error) {
	if !decimal.MatchString(s) {
		return "", fmt.Errorf("%q is not a decimal number of at most 15 digits and 4 decimal places", s)
	}
	digits, negative := strings.CutPrefix(s, "-")
	whole, fraction, _ := strings.Cut(digits, ".")
	whole, fraction = strings.TrimLeft(whole, "0"), strings.TrimRight(fraction, "0")
	if whole == "" {
		whole = "0"
	}
	if fraction != "" {
		whole += "." + fraction
	}
	if negative && whole != "0" {
		whole = "-" + whole
	}
	return Decimal(whole), nil
}

// Change is one edited field: what it was, what it is. An empty string is a field without a value.
type Change struct {
	From string `json:"from"`
	To   string `json:"to"`
}

// Ref returns the text of a reference to another object; empty: none.
func Ref(id uuid.UUID) string {
	if id == uuid.Nil {
		return ""
	}
	return id.String()
}

// ParseRef is the inverse of [Ref]; what is no id refers to nothing.
func ParseRef(s string) uuid.UUID {
	id, err := uuid.Parse(s)
	if err != nil {
		return uuid.Nil
	}
	return id
}
