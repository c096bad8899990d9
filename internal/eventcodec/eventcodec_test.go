package eventcodec_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/annal-crm/annal/domain"
	"github.com/annal-crm/annal/domain/account"
	"github.com/annal-crm/annal/domain/customer"
	"github.com/annal-crm/annal/domain/erasure"
	"github.com/annal-crm/annal/domain/opportunity"
	"github.com/annal-crm/annal/domain/organization"
	"github.com/annal-crm/annal/domain/reservation"
	"github.com/annal-crm/annal/domain/source"
	"github.com/annal-crm/annal/eventlog"
	"github.com/annal-crm/annal/internal/eventcodec"
	"github.com/annal-crm/annal/internal/pgtest"
	"github.com/annal-crm/annal/internal/vault"
)

func newBook(t testing.TB) (*eventcodec.Codec, *vault.Vault) {
	t.Helper()
	v, _, err := vault.Open(t.Context(), pgtest.New(t, vault.Migrate), vault.KeySource{Value: vault.NewMasterKey()}, vault.Config{})
	if err != nil {
		t.Fatal(err)
	}
	return eventcodec.New(v), v
}

var (
	org  = uuid.New()
	when = time.Date(2026, 3, 1, 9, 30, 0, 123456000, time.UTC)
)

// log is what a log makes of new events of one stream.
func log(s eventlog.Stream, events ...eventlog.NewEvent) []eventlog.Event {
	stored := make([]eventlog.Event, len(events))
	for i, e := range events {
		stored[i] = eventlog.Event{NewEvent: e, Stream: s, Version: eventlog.Version(i + 1), Position: eventlog.Position(i + 1), RecordedAt: when}
	}
	return stored
}

func encode[E any](t testing.TB, b *eventcodec.Codec, codec domain.EventTypes[E], s eventlog.Stream, e E, meta domain.Metadata) eventlog.Event {
	t.Helper()
	n, err := eventcodec.Encode(t.Context(), b, codec, s, uuid.New(), e, meta, when)
	if err != nil {
		t.Fatal(err)
	}
	return log(s, n)[0]
}

func page(t testing.TB, b *eventcodec.Codec, events ...eventlog.Event) []*eventcodec.Event {
	t.Helper()
	page, err := b.Page(t.Context(), events)
	if err != nil {
		t.Fatal(err)
	}
	return page
}

func TestEveryEventComesBackAsItWas(t *testing.T) {
	b, _ := newBook(t)
	comesBack(t, b, account.Category, account.EventTypes)
	comesBack(t, b, customer.Category, customer.EventTypes)
	comesBack(t, b, erasure.Category, erasure.EventTypes)
	comesBack(t, b, opportunity.Category, opportunity.EventTypes)
	comesBack(t, b, organization.Category, organization.EventTypes)
	comesBack(t, b, reservation.Category, reservation.EventTypes)
	comesBack(t, b, source.Category, source.EventTypes)
}

func comesBack[E any](t *testing.T, b *eventcodec.Codec, category string, codec domain.EventTypes[E]) {
	s := eventlog.Stream{Organization: org, Category: category, ID: uuid.New()}
	for name, zero := range codec.All() {
		if eventcodec.Category(name) != category && name != domain.ErasedType {
			t.Errorf("%s is said to be of %q", name, eventcodec.Category(name))
		}
		r := rand.New(rand.NewPCG(1, 2))
		for range 50 {
			v := reflect.New(reflect.TypeOf(zero)).Elem()
			fill(v, r)
			want := v.Interface().(E)
			var meta domain.Metadata
			fill(reflect.ValueOf(&meta).Elem(), r)
			stored := encode(t, b, codec, s, want, meta)

			clear, _ := json.Marshal(want)
			if bare, err := codec.Decode(name, 1, clear); err != nil || !reflect.DeepEqual(bare, want) {
				t.Fatalf("%s: the test's own value does not survive encoding/json: %v", name, err)
			}
			if got, err := eventcodec.Decode(t.Context(), b, codec, stored); err != nil || !reflect.DeepEqual(got, want) {
				t.Fatalf("%s: decoded %#v of %#v: %v", name, got, want, err)
			}
			f := page(t, b, stored)[0]
			if got, err := f.Payload(); err != nil || !reflect.DeepEqual(got, any(want)) {
				t.Fatalf("%s: payload %#v of %#v: %v", name, got, want, err)
			}
			if got, err := f.Metadata(); err != nil || got != meta {
				t.Fatalf("%s: metadata %+v of %+v: %v", name, got, meta, err)
			}
			if got, err := f.Actor(); err != nil || got != meta.Actor {
				t.Fatalf("%s: actor %s of %s: %v", name, got, meta.Actor, err)
			}
			view, err := f.Display()
			if err != nil || !bytes.Equal(view.Data, clear) || view.Meta != meta || view.Erased || view.Summary == "" {
				t.Fatalf("%s: displayed as %s %+v of %s: %v", name, view.Data, view.Meta, clear, err)
			}
			if masked, err := f.Masked(); err != nil || !json.Valid(masked.Data) || masked.Summary == "" {
				t.Fatalf("%s: masked as %s: %v", name, masked.Data, err)
			}
		}
	}
}

// fill sets every field to something random: quotes, escapes, other scripts, what HTML would mind.
func fill(v reflect.Value, r *rand.Rand) {
	switch v.Addr().Interface().(type) {
	case *uuid.UUID, *domain.Hash:
		for i := range v.Len() {
			v.Index(i).SetUint(r.Uint64N(256))
		}
		return
	case *time.Time:
		v.Set(reflect.ValueOf(when.Add(time.Duration(r.Int64N(1e9)) * time.Microsecond)))
		return
	}
	texts := []string{"", "x", "Ada Lovelace", `say "hi" \ {"sealed":"bm8="}`, "a<b>&c\u2028", "名前 🙂", "\x01\t\n", "sealed", "null", "{}", ",:]"}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			fill(v.Field(i), r)
		}
	case reflect.String:
		v.SetString(texts[r.IntN(len(texts))])
	case reflect.Int, reflect.Int64:
		v.SetInt(r.Int64N(1e12))
	case reflect.Pointer:
		if r.IntN(3) > 0 {
			v.Set(reflect.New(v.Type().Elem()))
			fill(v.Elem(), r)
		}
	case reflect.Slice:
		for range r.IntN(3) {
			v.Set(reflect.Append(v, reflect.Zero(v.Type().Elem())))
			fill(v.Index(v.Len()-1), r)
		}
	case reflect.Map:
		if n := r.IntN(3); n > 0 {
			v.Set(reflect.MakeMap(v.Type()))
			for range n {
				key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
				fill(key, r)
				fill(value, r)
				v.SetMapIndex(key, value)
			}
		}
	default:
		panic(fmt.Sprintf("no random %s", v.Type()))
	}
}

func TestPersonalFieldsAreStoredSealed(t *testing.T) {
	b, _ := newBook(t)
	s := eventlog.Stream{Organization: org, Category: account.Category, ID: uuid.New()}
	e := encode[account.Event](t, b, account.EventTypes, s, account.Invited{LoginName: "ada@home", DisplayName: "Ada Lovelace", Email: "ada@example.com", Roles: []string{"sales"}},
		domain.Metadata{Actor: uuid.New(), IP: "192.0.2.7", Device: "Firefox 1.0", Reason: "joins us"})

	if got := shape(t, e.Data); got != "loginName=sealed displayName=sealed email=sealed roles=clear" {
		t.Error(got)
	}
	if got := shape(t, e.Meta); got != "actor=clear ip=sealed device=sealed reason=clear" {
		t.Error(got)
	}
	for _, secret := range []string{"ada@home", "Ada Lovelace", "ada@example", "192.0.2", "Firefox 1.0"} {
		if bytes.Contains(e.Data, []byte(secret)) || bytes.Contains(e.Meta, []byte(secret)) {
			t.Errorf("%q is readable in %s %s", secret, e.Data, e.Meta)
		}
	}
	if err := eventlog.Validate(s, []eventlog.NewEvent{e.NewEvent}); err != nil {
		t.Error(err)
	}
}

// shape tells the members of an object in their order.
func shape(t *testing.T, data []byte) string {
	t.Helper()
	var members map[string]json.RawMessage
	if err := json.Unmarshal(data, &members); err != nil {
		t.Fatal(err)
	}
	type member struct {
		at   int
		text string
	}
	var all []member
	for name, value := range members {
		kind := "clear"
		if bytes.HasPrefix(value, []byte(`{"sealed":"`)) {
			kind = "sealed"
		}
		all = append(all, member{bytes.Index(data, []byte(`"`+name+`":`)), name + "=" + kind})
	}
	slices.SortFunc(all, func(a, b member) int { return a.at - b.at })
	var texts []string
	for _, m := range all {
		texts = append(texts, m.text)
	}
	return strings.Join(texts, " ")
}

func TestWhoseKey(t *testing.T) {
	b, v := newBook(t)
	customerID, actor := uuid.New(), uuid.New()
	s := eventlog.Stream{Organization: org, Category: customer.Category, ID: customerID}
	edit := customer.Edited{Phone: &domain.Change{From: "+1", To: "+2"}, Sector: &domain.Change{To: "retail"}}
	e := encode[customer.Event](t, b, customer.EventTypes, s, edit, domain.Metadata{Actor: actor, IP: "192.0.2.7"})
	other := encode[customer.Event](t, b, customer.EventTypes, s, edit, domain.Metadata{IP: "192.0.2.7"})

	// The actor's key seals the address, the customer's what it is about.
	if err := v.Erase(t.Context(), vault.Subject{Organization: org, ID: actor}); err != nil {
		t.Fatal(err)
	}
	kept := page(t, b, e)[0]
	view, err := kept.Display()
	if err != nil || view.Meta.IP != "erased" || !strings.Contains(string(view.Data), "+2") || !view.Erased {
		t.Errorf("%+v %s %v", view, view.Data, err)
	}
	if meta, err := kept.Metadata(); err != nil || meta.IP != "" || meta.Actor != actor {
		t.Errorf("%+v, %v", meta, err)
	}
	if err := v.Erase(t.Context(), vault.Subject{Organization: org, ID: customerID}); err != nil {
		t.Fatal(err)
	}
	gone := page(t, b, e, other)
	for _, f := range gone {
		view, err = f.Display()
		if err != nil || string(view.Data) != `{"sector":{"from":"","to":"retail"},"phone":"erased"}` || view.Meta.IP != "erased" || !view.Erased {
			t.Errorf("%+v %s %v", view, view.Data, err)
		}
		if want := `sector set to "retail", phone changed (erased)`; view.Summary != want {
			t.Errorf("%q", view.Summary)
		}
		if payload, err := f.Payload(); err != nil || !reflect.DeepEqual(payload, customer.Edited{Sector: edit.Sector}) {
			t.Errorf("%+v, %v", payload, err)
		}
	}
	if _, err := eventcodec.Encode[customer.Event](t.Context(), b, customer.EventTypes, s, uuid.New(), edit, domain.Metadata{}, when); !errors.Is(err, vault.ErrErased) {
		t.Errorf("sealed for an erased customer: %v", err)
	}
	if _, err := eventcodec.Encode[customer.Event](t.Context(), b, customer.EventTypes, s, uuid.New(), customer.Archived{}, domain.Metadata{}, when); err != nil {
		t.Errorf("nothing personal in it, and yet: %v", err)
	}
}

func TestMaskedShowsNothingPersonal(t *testing.T) {
	b, _ := newBook(t)
	s := eventlog.Stream{Organization: org, Category: customer.Category, ID: uuid.New()}
	e := encode[customer.Event](t, b, customer.EventTypes, s, customer.Registered{Name: "Ada", Sector: "retail", Email: "ada@example.com"},
		domain.Metadata{IP: "192.0.2.7", Device: "Firefox", Reason: "met at the fair"})
	view, err := page(t, b, e)[0].Masked()
	if err != nil || string(view.Data) != `{"name":"hidden","sector":"retail","email":"hidden"}` || view.Summary != "registered hidden" || view.Erased ||
		view.Meta != (domain.Metadata{IP: "hidden", Device: "hidden", Reason: "met at the fair"}) {
		t.Errorf("%+v %s, %v", view, view.Data, err)
	}
	e.Data = json.RawMessage(`{"name":"stored in clear"}`)
	if view, err := page(t, b, e)[0].Masked(); err != nil || string(view.Data) != `{"name":"hidden"}` {
		t.Errorf("%s, %v", view.Data, err)
	}
}

func TestMovedFieldsAreTamperedNotErased(t *testing.T) {
	b, _ := newBook(t)
	s := eventlog.Stream{Organization: org, Category: customer.Category, ID: uuid.New()}
	meta := domain.Metadata{IP: "192.0.2.7", Device: "Firefox"}
	e := encode[customer.Event](t, b, customer.EventTypes, s, customer.Registered{Name: "Ada", Phone: "+1", Email: "ada@example.com"}, meta)
	swap := func(data []byte, a, b string) []byte {
		return []byte(strings.NewReplacer(`"`+a+`":`, `"`+b+`":`, `"`+b+`":`, `"`+a+`":`).Replace(string(data)))
	}
	for name, change := range map[string]func(*eventlog.Event){
		"another field":   func(e *eventlog.Event) { e.Data = swap(e.Data, "phone", "email") },
		"another stream":  func(e *eventlog.Event) { e.Stream.ID = uuid.New() },
		"another type":    func(e *eventlog.Event) { e.Type = "customer.edited" },
		"metadata fields": func(e *eventlog.Event) { e.Meta = swap(e.Meta, "ip", "device") },
		"data from metadata": func(e *eventlog.Event) {
			e.Data = []byte(`{"name":` + string(e.Meta[bytes.Index(e.Meta, []byte(`{"sealed`)):bytes.IndexByte(e.Meta, '}')+1]) + `}`)
		},
	} {
		t.Run(name, func(t *testing.T) {
			changed := e
			change(&changed)
			f := page(t, b, changed)[0]
			_, first := f.Payload()
			_, second := f.Metadata()
			_, third := f.Display()
			err := errors.Join(first, second)
			// Under another stream's id there is no key at all: that is no erasure either.
			if !errors.Is(err, vault.ErrTampered) && !errors.Is(err, vault.ErrNoKey) || third == nil {
				t.Errorf("%v, %v, %v", first, second, third)
			}
		})
	}
}

func TestOnlyPersonalFieldsAreEverOpened(t *testing.T) {
	b, _ := newBook(t)
	s := eventlog.Stream{Organization: org, Category: customer.Category, ID: uuid.New()}
	// An attribute whose name and value look like a sealed field is somebody's text.
	want := customer.Registered{Name: "Ada", Attributes: map[string]string{"sealed": "bm90IHNlYWxlZA=="}}
	e := encode[customer.Event](t, b, customer.EventTypes, s, want, domain.Metadata{Reason: `"actor":"x" {"sealed":"`})
	f := page(t, b, e)[0]
	if got, err := f.Payload(); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %v", got, err)
	}
	if view, err := f.Display(); err != nil || !bytes.Contains(view.Data, []byte(`"attributes":{"sealed":"bm90IHNlYWxlZA=="}`)) {
		t.Errorf("%s, %v", view.Data, err)
	}
}

// An event that somebody wrote past the program: the page around it must stay readable, and nothing personal may slip out.
func TestAMalformedEventIsShownAsItIs(t *testing.T) {
	b, _ := newBook(t)
	s := eventlog.Stream{Organization: org, Category: customer.Category, ID: uuid.New()}
	e := encode[customer.Event](t, b, customer.EventTypes, s, customer.Registered{Sector: "retail"}, domain.Metadata{})
	e.Data = json.RawMessage(`{"name":"Ada","sector":["not","a","text"]}`)
	f := page(t, b, e)[0]
	if _, err := f.Payload(); err == nil {
		t.Fatal("a fold would take it")
	}
	if view, err := f.Display(); err != nil || !bytes.Equal(view.Data, e.Data) || !strings.Contains(view.Summary, "cannot be read") {
		t.Errorf("%+v, %v", view, err)
	}
	if view, err := f.Masked(); err != nil || string(view.Data) != `"hidden"` {
		t.Errorf("masked: %+v, %v", view, err)
	}
}

func TestAnUnknownEventIsShownAndNotDecoded(t *testing.T) {
	b, _ := newBook(t)
	s := eventlog.Stream{Organization: org, Category: customer.Category, ID: uuid.New()}
	known := encode[customer.Event](t, b, customer.EventTypes, s, customer.Archived{}, domain.Metadata{})
	newer, other := known, known
	newer.Schema = 2
	other.Type, other.Data = "customer.merged", []byte(`{"into":"x"}`)
	for _, e := range []eventlog.Event{newer, other} {
		f := page(t, b, e)[0]
		if _, err := f.Payload(); !errors.Is(err, domain.ErrUnknownEvent) {
			t.Error(err)
		}
		if view, err := f.Display(); err != nil || view.Summary != e.Type || !bytes.Equal(view.Data, e.Data) {
			t.Errorf("%+v, %v", view, err)
		}
		if _, err := eventcodec.Decode(t.Context(), b, customer.EventTypes, e); !errors.Is(err, domain.ErrUnknownEvent) {
			t.Error(err)
		}
	}
	if _, err := eventcodec.Decode(t.Context(), b, account.EventTypes, known); !errors.Is(err, domain.ErrUnknownEvent) {
		t.Errorf("a customer's event in an account: %v", err)
	}
	for _, data := range []string{``, `[]`, `{`, `{"name"`, `{"name":`, `{"name":"`, `{"name":"x"`, `{"name":1}`, `null`, `{"name":"\`, `{]`, `{"name":}`} {
		e := known
		e.Type, e.Data = "customer.registered", []byte(data)
		if got, err := page(t, b, e)[0].Payload(); err == nil && data != `{"name":}` {
			t.Errorf("%s: %+v", data, got)
		}
	}
}

func TestAFactIsReadByManyAtOnce(t *testing.T) {
	b, _ := newBook(t)
	s := eventlog.Stream{Organization: org, Category: customer.Category, ID: uuid.New()}
	f := page(t, b, encode[customer.Event](t, b, customer.EventTypes, s, customer.Registered{Name: "Ada"}, domain.Metadata{IP: "192.0.2.7"}))[0]
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if p, err := f.Payload(); err != nil || p.(customer.Registered).Name != "Ada" {
				t.Error(p, err)
			}
			if m, err := f.Metadata(); err != nil || m.IP != "192.0.2.7" {
				t.Error(m, err)
			}
			if v, err := f.Display(); err != nil || v.Summary != "registered Ada" {
				t.Error(v, err)
			}
		})
	}
	wg.Wait()
}

// A page of 1 000 edits of a thousand customers, decoded. It bounds how fast customers can be folded again.
func BenchmarkPage(b *testing.B) {
	for name, edit := range map[string]customer.Edited{
		"clear":  {Sector: &domain.Change{From: "retail", To: "medical"}},
		"sealed": {Phone: &domain.Change{From: "+1 555 0100", To: "+1 555 0199"}},
		"both":   {Phone: &domain.Change{From: "+1 555 0100", To: "+1 555 0199"}, Sector: &domain.Change{From: "retail", To: "medical"}},
	} {
		b.Run(name, func(b *testing.B) {
			codec, _ := newBook(b)
			events := make([]eventlog.Event, 1000)
			meta := domain.Metadata{Actor: uuid.New(), Session: uuid.New(), IP: "192.0.2.7", Device: "Mozilla/5.0 (X11; Linux x86_64)", Command: uuid.New(), Correlation: uuid.New()}
			for i := range events {
				s := eventlog.Stream{Organization: org, Category: customer.Category, ID: uuid.New()}
				events[i] = encode[customer.Event](b, codec, customer.EventTypes, s, edit, meta)
			}
			b.ReportAllocs()
			n := 0
			for b.Loop() {
				for _, f := range page(b, codec, events...) {
					if _, err := f.Payload(); err != nil {
						b.Fatal(err)
					}
					n++
				}
			}
			b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "events/s")
		})
	}
}
