package commands

import (
	"net/netip"
	"sync"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
)

// The bound on guessing from one source: an office behind one address mistypes less often, and one who tries many names slowly
// is stopped by it where no account's lock would be. It is kept in the process: a restart forgives.
const (
	guesses      = 60 // by default, in a window
	guessWindow  = 15 * time.Minute
	guessSources = 1 << 16 // sources remembered, about 100 bytes each; with more the one unseen longest is forgiven
)

// limiter counts the failed attempts of each source in a bucket that fills up again evenly.
type limiter struct {
	size    float64
	mu      sync.Mutex
	buckets *lru.Cache[string, bucket]
}

type bucket struct {
	left float64
	at   time.Time
}

func newLimiter(size int) *limiter {
	buckets, _ := lru.New[string, bucket](guessSources) // fails for sizes below one only
	return &limiter{size: float64(size), buckets: buckets}
}

// take counts an attempt in advance, so that attempts at once cannot slip through together. It reports whether one was left.
func (l *limiter) take(source string, now time.Time) bool { return l.add(source, now, -1) }

// giveBack undoes a take: the attempt did not fail.
func (l *limiter) giveBack(source string, now time.Time) { l.add(source, now, 1) }

func (l *limiter) add(source string, now time.Time, n float64) bool {
	if source == "" { // within the process
		return true
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	b, ok := l.buckets.Get(source)
	if !ok {
		b = bucket{l.size, now}
	}
	refilled := b.left + max(0, now.Sub(b.at).Seconds())*l.size/guessWindow.Seconds()
	b = bucket{min(refilled, l.size), now}
	if b.left+n < 0 {
		l.buckets.Add(source, b)
		return false
	}
	b.left = min(b.left+n, l.size)
	l.buckets.Add(source, b)
	return true
}

// sourceOf names where an attempt came from: its address, of IPv6 the network of 64 bits that one customer is given whole.
func sourceOf(ip string) string {
	address, err := netip.ParseAddr(ip)
	if err != nil {
		return line(ip, 64)
	}
	address = address.Unmap().WithZone("")
	if address.Is6() {
		network, _ := address.Prefix(64)
		return network.String()
	}
	return address.String()
}
