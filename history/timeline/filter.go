package timeline

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/annal-crm/annal/domain"
)

// Filter narrows a life: all that is given must hold. The zero value lets everything pass.
type Filter struct {
	Types            []string  // any of them; nil: any at all
	From, To         time.Time // by when it happened, From <= t < To; zero: no bound
	IP               netip.Prefix
	Device           string    // a part of what the device called itself, letter case not told apart
	Session, Request uuid.UUID // the request is what an event's metadata calls its correlation
}

// ParseIP reads an address (203.0.113.7) or a network (203.0.113.0/24).
func ParseIP(s string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(s); err == nil {
		return netip.PrefixFrom(a.Unmap(), a.Unmap().BitLen()), nil
	}
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return p, fmt.Errorf("%q is neither an address nor a network", s)
	}
	return p.Masked(), nil
}

// Personal reports whether the filter asks for personal data.
func (f Filter) Personal() bool { return f.IP.IsValid() || f.Device != "" }

// Opened reports whether an event has to be opened to know if it passes.
func (f Filter) Opened() bool { return f.Personal() || f.Session != uuid.Nil || f.Request != uuid.Nil }

// Takes reports whether an event passes, of which the metadata are open.
func (f Filter) Takes(eventType string, occurredAt time.Time, meta domain.Metadata) bool {
	return (f.Types == nil || slices.Contains(f.Types, eventType)) &&
		(f.From.IsZero() || !occurredAt.Before(f.From)) && (f.To.IsZero() || occurredAt.Before(f.To)) &&
		(!f.IP.IsValid() || f.within(meta.IP)) &&
		(f.Device == "" || strings.Contains(strings.ToLower(meta.Device), strings.ToLower(f.Device))) &&
		(f.Session == uuid.Nil || meta.Session == f.Session) && (f.Request == uuid.Nil || meta.Correlation == f.Request)
}

func (f Filter) within(ip string) bool {
	a, err := netip.ParseAddr(ip)
	return err == nil && f.IP.Contains(a.Unmap())
}

// Words says what was filtered by, for the record: addresses and devices are personal, so of these only that there was one.
func (f Filter) Words() (words []string) {
	if f.Types != nil {
		types := strings.Join(f.Types, " ")
		words = append(words, "types="+types[:min(len(types), 200)])
	}
	for _, bound := range []struct {
		name string
		at   time.Time
	}{{"from", f.From}, {"to", f.To}} {
		if !bound.at.IsZero() {
			words = append(words, bound.name+"="+bound.at.UTC().Format(time.RFC3339))
		}
	}
	if f.IP.IsValid() {
		words = append(words, "ip")
	}
	if f.Device != "" {
		words = append(words, "device")
	}
	for _, id := range []struct {
		name string
		uuid.UUID
	}{{"session", f.Session}, {"request", f.Request}} {
		if id.UUID != uuid.Nil {
			words = append(words, id.name+"="+id.String())
		}
	}
	return words
}
