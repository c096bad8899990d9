package graph

import (
	"net/http/httptest"
	"net/netip"
	"testing"
)

func TestClientIP(t *testing.T) {
	proxies := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("::1/128")}
	for name, c := range map[string]struct {
		peer, want string
		forwarded  []string
	}{
		"nobody in between":                   {"203.0.113.7:1234", "203.0.113.7", nil},
		"a stranger's header is not believed": {"203.0.113.7:1234", "203.0.113.7", []string{"198.51.100.1"}},
		"a proxy's header is":                 {"10.0.0.1:80", "198.51.100.1", []string{"198.51.100.1"}},
		"the right-most that is no proxy":     {"10.0.0.1:80", "198.51.100.1", []string{"192.0.2.66, 198.51.100.1, 10.9.9.9"}},
		"several headers are one":             {"10.0.0.1:80", "198.51.100.1", []string{"192.0.2.66", "198.51.100.1"}},
		"only proxies: the furthest":          {"10.0.0.1:80", "10.0.0.3", []string{"10.0.0.3, 10.0.0.2"}},
		"what is no address ends the trust":   {"10.0.0.1:80", "10.0.0.2", []string{"198.51.100.1, unknown, 10.0.0.2"}},
		"IPv6":                                {"[::1]:80", "2001:db8::1", []string{"2001:db8::1"}},
		"IPv4 in IPv6 is IPv4":                {"[::ffff:203.0.113.7]:80", "203.0.113.7", nil},
		"a trusted peer that says nothing":    {"10.0.0.1:80", "10.0.0.1", nil},
	} {
		t.Run(name, func(t *testing.T) {
			r := httptest.NewRequest("POST", "/graphql", nil)
			r.RemoteAddr = c.peer
			r.Header["X-Forwarded-For"] = c.forwarded
			if got := clientIP(r, proxies); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}

func TestBearer(t *testing.T) {
	for header, want := range map[string]string{
		"": "", "Bearer x": "x", "bearer  x ": "x", "Basic eDp5": "", "x": "", "Bearer": "", "Bearerx": "",
	} {
		if got := bearer(header); got != want {
			t.Errorf("%q: got %q, want %q", header, got, want)
		}
	}
}
