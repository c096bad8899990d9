package main

import (
	"context"
	"fmt"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// rounds runs round several times, the first of them only to warm up if asked; fewer if they take longer than a line may.
func (b *bench) rounds(what string, warm bool, round func() error) error {
	n, patience := 3, 100*time.Second
	if b.config.Quick {
		n, patience = 2, 12*time.Second
	}
	if b.config.instant > 0 {
		n = 1
	}
	if warm {
		b.say("%s: warming up", what)
		if err := round(); err != nil {
			return err
		}
	}
	began := time.Now()
	for i := range n {
		b.say("%s: round %d of %d", what, i+1, n)
		if err := round(); err != nil {
			return err
		}
		if took := time.Since(began); took+took/time.Duration(i+1) > patience {
			break
		}
	}
	return nil
}

// span is how long one side of a round takes where that can be chosen.
func (b *bench) span() time.Duration {
	switch {
	case b.config.instant > 0:
		return b.config.instant
	case b.config.Quick:
		return 800 * time.Millisecond
	}
	return 3 * time.Second
}

// series is the values of one quantity, by round.
type series []float64

func (s *series) add(v float64) { *s = append(*s, v) }

func (s series) median() float64 {
	if len(s) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(s))
	if n := len(sorted); n%2 == 0 {
		return (sorted[n/2-1] + sorted[n/2]) / 2
	}
	return sorted[len(s)/2]
}

// ratio is that of two medians, and what it was in single rounds.
func ratio(ours, floor series) (float64, string) {
	low, high := 0.0, 0.0
	for i := range min(len(ours), len(floor)) {
		r := ours[i] / floor[i]
		if low, high = min(low, r), max(high, r); i == 0 {
			low, high = r, r
		}
	}
	r := ours.median() / floor.median()
	return r, fmt.Sprintf("%.2f (%.2f–%.2f)", r, low, high)
}

// percentile returns a percentile of durations, in seconds.
func percentile(all []time.Duration, p float64) float64 {
	if len(all) == 0 {
		return 0
	}
	slices.Sort(all)
	return all[min(len(all)-1, int(float64(len(all))*p/100))].Seconds()
}

// load lets clients call work over and over for some time. It returns the calls a second that did not fail, and how long
// each took. work's error ends it; errCounted is a failure that was wanted.
func load(ctx context.Context, clients int, span time.Duration, work func(ctx context.Context, client, i int) (counted bool, err error)) (rate float64, took []time.Duration, err error) {
	group, ctx := errgroup.WithContext(ctx)
	var mu sync.Mutex
	began, count := time.Now(), 0
	for client := range clients {
		group.Go(func() error {
			mine, n := make([]time.Duration, 0, 4096), 0
			for i := 0; time.Since(began) < span; i++ {
				start := time.Now()
				counted, err := work(ctx, client, i)
				if err != nil {
					return err
				}
				if counted {
					mine, n = append(mine, time.Since(start)), n+1
				}
			}
			mu.Lock()
			defer mu.Unlock()
			took, count = append(took, mine...), count+n
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return 0, nil, err
	}
	return float64(count) / time.Since(began).Seconds(), took, nil
}

// inTurn calls two works of one client, so many calls of each before the other's turn. It returns how long the calls took.
func inTurn(span time.Duration, calls int, ours, floor func(i int) error) (o, f []time.Duration, err error) {
	began := time.Now()
	for i := 0; time.Since(began) < span; i += calls {
		for j := range calls {
			start := time.Now()
			if err := ours(i + j); err != nil {
				return nil, nil, err
			}
			o = append(o, time.Since(start))
		}
		for j := range calls {
			start := time.Now()
			if err := floor(i + j); err != nil {
				return nil, nil, err
			}
			f = append(f, time.Since(start))
		}
	}
	return o, f, nil
}

// peak runs work and returns the most memory that the Go runtime held from the system meanwhile, in bytes: heap, stacks and
// what the collector had not given back, of the whole process.
func peak(work func() error) (most uint64, err error) {
	runtime.GC()
	debug.FreeOSMemory()
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		samples := []metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for {
			metrics.Read(samples)
			most = max(most, samples[0].Value.Uint64()-samples[1].Value.Uint64())
			select {
			case <-stop:
				return
			case <-tick.C:
			}
		}
	}()
	err = work()
	close(stop)
	<-done
	return most, err
}

// seconds runs work and returns how long it took.
func seconds(work func() error) (float64, error) {
	began := time.Now()
	err := work()
	return time.Since(began).Seconds(), err
}

func rateText(unit string, s series) string { return fmt.Sprintf("%s %s/s", grouped(s.median()), unit) }

func timeText(s series) string {
	switch v := s.median(); {
	case v < 0.001:
		return fmt.Sprintf("%.0f µs", v*1e6)
	case v < 0.1:
		return fmt.Sprintf("%.2f ms", v*1e3)
	default:
		return fmt.Sprintf("%.0f ms", v*1e3)
	}
}

// grouped writes a number with its thousands apart.
func grouped(v float64) string {
	digits := fmt.Sprintf("%.0f", v)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + " " + digits[i:]
	}
	return digits
}
