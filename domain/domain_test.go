package domain

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
)

type (
	event interface{}
	moved struct {
		Name string `json:"name" pii:"seal"`
		Town string `json:"town,omitempty"`
		Note string `json:"note,omitempty" pii:"seal"`
	}
)

func TestCodec(t *testing.T) {
	types := NewEventTypes(map[string]event{"person.moved": moved{}})
	name, schema, data, err := types.Encode(moved{Name: "Ada"})
	if err != nil || name != "person.moved" || schema != 1 || string(data) != `{"name":"Ada"}` {
		t.Errorf("encoded as %s, %d, %s, %v", name, schema, data, err)
	}
	if e, err := types.Decode(name, schema, data); err != nil || e != (moved{Name: "Ada"}) {
		t.Errorf("decoded as %v, %v", e, err)
	}
	if fields := types.Sealed(name); !slices.Equal(fields, []string{"name", "note"}) {
		t.Errorf("sealed: %v", fields)
	}
	if _, _, _, err := types.Encode(struct{}{}); !errors.Is(err, ErrUnknownEvent) {
		t.Errorf("a type without a name: %v", err)
	}
	if _, err := types.Decode("person.flew", 1, []byte("{}")); !errors.Is(err, ErrUnknownEvent) {
		t.Errorf("an unknown name: %v", err)
	}
	if _, err := types.Decode(name, 2, data); !errors.Is(err, ErrUnknownEvent) {
		t.Errorf("a later schema: %v", err)
	}
	if _, err := types.Decode(name, 1, []byte(`{"name":1}`)); err == nil || errors.Is(err, ErrUnknownEvent) {
		t.Errorf("a wrong form: %v", err)
	}
	defer func() {
		if recover() == nil {
			t.Error("two names for one type are no mistake?")
		}
	}()
	NewEventTypes(map[string]event{"a": moved{}, "b": moved{}})
}

func TestMetadata(t *testing.T) {
	if !slices.Equal(SealedMetadata, []string{"ip", "device"}) {
		t.Errorf("sealed: %v", SealedMetadata)
	}
	actor, stream := uuid.New(), uuid.New()
	if got := (Metadata{Actor: actor}).Subject(stream); got != actor {
		t.Error("an actor's metadata is not the actor's")
	}
	if got := (Metadata{}).Subject(stream); got != stream {
		t.Error("nobody's metadata is not the stream's")
	}
}

func TestParseDecimal(t *testing.T) {
	for s, want := range map[string]Decimal{
		"1054": "1054", "007.50": "7.5", "0": "0", "000": "0", "-0.0": "0", "-12.3400": "-12.34", "0.0001": "0.0001", "1.0": "1", "123456789012345.6789": "123456789012345.6789",
	} {
		if got, err := ParseDecimal(s); err != nil || got != want {
			t.Errorf("%s: %s, %v; want %s", s, got, err, want)
		}
	}
	for _, s := range []string{"", "1e3", "1,5", ".5", "5.", "+1", "1.00000", "1234567890123456", "--1", "NaN", "1\n"} {
		if got, err := ParseDecimal(s); err == nil {
			t.Errorf("%q is %s", s, got)
		}
	}
}

func TestTextForms(t *testing.T) {
	var d Duration
	if err := d.UnmarshalText([]byte("30m0s")); err != nil || time.Duration(d) != 30*time.Minute {
		t.Errorf("%v, %v", d, err)
	}
	if err := d.UnmarshalText([]byte("soon")); err == nil {
		t.Error("soon is a duration")
	}
	var h Hash
	for _, s := range []string{"", strings.Repeat("0", 63), strings.Repeat("x", 64), strings.Repeat("0", 66)} {
		if err := h.UnmarshalText([]byte(s)); err == nil {
			t.Errorf("%q is a hash", s)
		}
	}
	if ParseRef(Ref(uuid.Nil)) != uuid.Nil || Ref(uuid.Nil) != "" || ParseRef("nobody") != uuid.Nil {
		t.Error("no reference is one")
	}
	if id := uuid.New(); ParseRef(Ref(id)) != id {
		t.Error("a reference does not come back")
	}
}

func TestInvalid(t *testing.T) {
	for name, c := range map[string]struct {
		check func(Invalid) string
		want  string
		bad   string
	}{
		"trimmed":               {func(v Invalid) string { return v.Name("f", "\u00a0 a b\t", 3) }, "a b", ""},
		"blank":                 {func(v Invalid) string { return v.Name("f", " \n", 3) }, "", "must not be blank"},
		"blank allowed":         {func(v Invalid) string { return v.Text("f", " ", 3) }, "", ""},
		"too long":              {func(v Invalid) string { return v.Text("f", "éééé", 3) }, "éééé", "is longer than 3 characters"},
		"characters, not bytes": {func(v Invalid) string { return v.Text("f", "ééé", 3) }, "ééé", ""},
		"not UTF-8":             {func(v Invalid) string { return v.Text("f", "\xff", 3) }, "\xff", "is not UTF-8"},
		"an escape":             {func(v Invalid) string { return v.Text("f", "a\x1b", 3) }, "a\x1b", "contains control characters"},
		"e-mail":                {func(v Invalid) string { return v.Email("f", "a@b") }, "a@b", ""},
		"no e-mail":             {func(v Invalid) string { return v.Email("f", "") }, "", ""},
		"two at signs":          {func(v Invalid) string { return v.Email("f", "a@b@c") }, "a@b@c", "is not an e-mail address"},
		"space in e-mail":       {func(v Invalid) string { return v.Email("f", "a b@c") }, "a b@c", "is not an e-mail address"},
		"long e-mail":           {func(v Invalid) string { return v.Email("f", strings.Repeat("a", 253)+"@b")[:1] }, "a", "is longer than 254 characters"},
		"website":               {func(v Invalid) string { return v.Website("f", "https://a.b/c") }, "https://a.b/c", ""},
		"bare website":          {func(v Invalid) string { return v.Website("f", "a.b") }, "a.b", ""},
		"a script":              {func(v Invalid) string { return v.Website("f", "JavaScript:x()") }, "JavaScript:x()", "is not the address of a web page"},
		"lines":                 {func(v Invalid) string { return v.Attribute("f", "a\nb") }, "a\nb", ""},
		"bell in an value":      {func(v Invalid) string { return v.Attribute("f", "a\x07b") }, "a\x07b", "contains control characters"},
		"4001 in a value":       {func(v Invalid) string { return v.Attribute("f", strings.Repeat("é", 4001))[:1] }, "\xc3", "is longer than 4000 characters"},
		"a value not UTF-8":     {func(v Invalid) string { return v.Attribute("f", "\xff") }, "\xff", "is not UTF-8"},
		"4000 fit in a value":   {func(v Invalid) string { return v.Attribute("f", strings.Repeat("é", 4000))[:1] }, "\xc3", ""},
	} {
		bad := Invalid{}
		if got := c.check(bad); got != c.want || bad["f"] != c.bad {
			t.Errorf("%s: %q, %q; want %q, %q", name, got, bad["f"], c.want, c.bad)
		}
		if (bad.Err() == nil) != (c.bad == "") {
			t.Errorf("%s: %v", name, bad.Err())
		}
	}
	if got := (Invalid{"b": "is 2", "a": "is 1"}).Error(); got != "invalid: a is 1; b is 2" {
		t.Error(got)
	}
}
