package record

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/annal-crm/annal/domain"
)

// Type says which values a field takes and how they are stored. Every value is stored as text, in one form only, so that
// equal values are equal texts.
type Type int

const (
	Text    Type = iota // one line, at most Max characters
	Note                // several lines, at most [domain.MaxAttributeValue] characters
	Email               // an e-mail address
	Phone               // a phone number as people type it
	Website             // the address of a web page
	Integer             // a whole number: "12"
	Decimal             // an exact number: "12.5", see [domain.Decimal]
	Money               // an amount and the ISO 4217 code of its currency: "12.5 EUR"
	Day                 // a day of the calendar: "2026-01-31"
	Time                // an instant, in UTC: RFC 3339 with at most six decimal places of seconds
	Bool                // "true" or "false"
	Choice              // one of Options
	Ref                 // the id of a record of the category Of
)

// Field declares a field of a kind.
type Field struct {
	Name  string // in lower camel case, as the API has it
	Type  Type
	About string // one sentence for the documentation of the API; may be empty

	Of       string   // the category that a Ref refers to
	Options  []string // of a Choice, in the order in which they are listed
	Max      int      // characters of a Text; 0: [domain.MaxName]
	Required bool     // every record has a value
	Personal bool     // sealed in the log under the record's own key, gone when the record is erased
	Sorted   bool     // lists can be put in the order of this field
	Searched bool     // the search of lists looks into it
}

// Input returns the name of the field in the inputs of the API, by which refusals name it too: a reference is given by an id.
func (f *Field) Input() string {
	if f.Type == Ref {
		return f.Name + "Id"
	}
	return f.Name
}

// maxPhone bounds a phone number: E.164 has 15 digits, people add extensions and remarks.
const maxPhone = 64

// clean returns a value in the form in which it is stored, and notes in bad what is wrong with it.
func (f *Field) clean(bad domain.Invalid, value string) string {
	name := f.Input()
	value = strings.TrimSpace(value)
	if value == "" {
		if f.Required {
			bad[name] = "must not be blank"
		}
		return ""
	}

	problem := ""
	switch f.Type {
	case Text:
		limit := f.Max
		if limit == 0 {
			limit = domain.MaxName
		}
		return bad.Text(name, value, limit)
	case Note:
		return bad.Attribute(name, value)
	case Email:
		return bad.Email(name, value)
	case Phone:
		return bad.Text(name, value, maxPhone)
	case Website:
		return bad.Website(name, value)
	case Integer:
		value, problem = integer(value)
	case Decimal:
		value, problem = decimal(value)
	case Money:
		value, problem = money(value)
	case Day:
		value, problem = day(value)
	case Time:
		value, problem = instant(value)
	case Bool:
		if value != "true" && value != "false" {
			problem = "must be true or false"
		}
	case Choice:
		if !slices.Contains(f.Options, value) {
			problem = "must be one of " + strings.Join(f.Options, ", ")
		}
	case Ref:
		value, problem = reference(value)
	}
	if problem != "" {
		bad[name] = problem
	}
	return value
}

func integer(s string) (value, problem string) {
	n, err := strconv.ParseInt(s, 10, 32) // the range of GraphQL's Int
	if err != nil {
		return s, "is not a whole number of at most 32 bits"
	}
	return strconv.FormatInt(n, 10), ""
}

func decimal(s string) (value, problem string) {
	n, err := domain.ParseDecimal(s)
	if err != nil {
		return s, err.Error()
	}
	return string(n), ""
}

// currency is the form of an ISO 4217 code. Which codes are in use changes over the years, and stored ones stay.
var currency = regexp.MustCompile(`^[A-Z]{3}$`)

func money(s string) (value, problem string) {
	amount, code, _ := strings.Cut(s, " ")
	n, err := domain.ParseDecimal(amount)
	switch {
	case err != nil:
		return s, err.Error()
	case !currency.MatchString(code):
		return s, "has no currency of three capital letters (ISO 4217)"
	}
	return string(n) + " " + code, ""
}

// Amount returns the parts of a [Money] value; both are empty if there is not one.
func Amount(value string) (amount domain.Decimal, currency string) {
	n, code, _ := strings.Cut(value, " ")
	return domain.Decimal(n), code
}

func day(s string) (value, problem string) {
	t, err := time.Parse(time.DateOnly, s)
	if err != nil || t.Year() < 1 {
		return s, "is not a day such as 2026-01-31"
	}
	return t.Format(time.DateOnly), ""
}

// instantForm keeps what Postgres keeps of an instant: microseconds.
const instantForm = "2006-01-02T15:04:05.999999Z"

func instant(s string) (value, problem string) {
	t, err := time.Parse(time.RFC3339, s)
	if err != nil || t.Year() < 1 || t.Year() > 9999 {
		return s, "is not an instant such as 2026-01-31T15:04:05Z"
	}
	return t.UTC().Format(instantForm), ""
}

func reference(s string) (value, problem string) {
	id, err := uuid.Parse(s)
	if err != nil || id == uuid.Nil {
		return s, "is not an id"
	}
	return id.String(), ""
}

// clean checks values. Of a whole record all required fields must be there; otherwise only those that are given are looked at.
func (k *Kind) clean(values Values, whole bool) (Values, error) {
	bad := domain.Invalid{}
	cleaned := make(Values, len(k.Fields))
	for i := range k.Fields {
		f := &k.Fields[i]
		value, given := values[f.Name]
		if given || whole {
			cleaned[f.Name] = f.clean(bad, value)
		}
	}
	for name := range values {
		if k.Field(name) == nil {
			bad[name] = "is not a field of a " + k.Category
		}
	}
	return cleaned, bad.Err()
}
