package graph

import (
	"context"
	"net/http"
	"net/netip"
	"strings"
	"sync"

	"github.com/google/uuid"

	"github.com/annal-crm/annal/commands"
)

// caller is who an operation comes from: a token, if any, and a place. Whose token it is, is looked up when it is first needed.
type caller struct {
	commands *commands.Commands
	token    string
	origin   commands.Origin

	mu        sync.Mutex
	asked     bool
	principal *commands.Principal
	err       error
}

type callerKey struct{}

func withCaller(ctx context.Context, c *caller) context.Context {
	return context.WithValue(ctx, callerKey{}, c)
}

func callerOf(ctx context.Context) *caller { return ctx.Value(callerKey{}).(*caller) }

// again is the same caller for another operation: on a websocket each is authenticated anew.
func (c *caller) again() *caller {
	origin := c.origin
	origin.Correlation = uuid.New()
	return &caller{commands: c.commands, token: c.token, origin: origin}
}

// who returns the principal as it was when the operation first asked.
func (c *caller) who(ctx context.Context) (*commands.Principal, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.asked {
		c.asked = true
		c.principal, c.err = c.authenticate(ctx)
	}
	return c.principal, c.err
}

// now returns the principal as it is at this instant. Each mutation of an operation asks: the one before may have taken a right.
func (c *caller) now(ctx context.Context) (*commands.Principal, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.asked = true
	c.principal, c.err = c.authenticate(ctx)
	return c.principal, c.err
}

// becomes makes p the principal of the rest of the operation: who has just signed in sees the answer.
func (c *caller) becomes(p *commands.Principal) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.asked, c.principal, c.err = true, p, nil
}

func (c *caller) authenticate(ctx context.Context) (*commands.Principal, error) {
	if c.token == "" {
		return nil, commands.ErrUnauthenticated
	}
	return c.commands.Authenticate(ctx, c.token, c.origin)
}

func personal(p *commands.Principal) bool { return p.Sees("").Personal }

// bearer takes the token out of an Authorization header. A header of another kind is no token, and opens nothing.
func bearer(header string) string {
	scheme, token, _ := strings.Cut(header, " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return strings.TrimSpace(token)
}

// origin tells where a request came from. X-Forwarded-For is believed as far as trusted proxies have written it: its right-most
// address that is none of theirs.
func origin(r *http.Request, trusted []netip.Prefix) commands.Origin {
	return commands.Origin{IP: clientIP(r, trusted), Device: r.UserAgent(), Correlation: uuid.New()}
}

func clientIP(r *http.Request, trusted []netip.Prefix) string {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return ""
	}
	ip := peer.Addr().Unmap().WithZone("")
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for i := len(hops) - 1; i >= 0 && contains(trusted, ip); i-- {
		hop, err := netip.ParseAddr(strings.TrimSpace(hops[i]))
		if err != nil {
			break
		}
		ip = hop.Unmap().WithZone("")
	}
	return ip.String()
}

func contains(prefixes []netip.Prefix, ip netip.Addr) bool {
	for _, p := range prefixes {
		if p.Contains(ip) {
			return true
		}
	}
	return false
}
