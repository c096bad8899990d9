package main

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Figure is a line of the result: what was measured, beside its floor.
type Figure struct {
	What    string
	Against string // the floor, if there is one
	Unit    string // "s", "MB", or what there are of in a second, such as "events/s"
	Wanted  string // "≥ 4" of the floor, or with a unit of ours: "< 10 ms"
	Note    string // what a reader needs to know to believe it

	// Medians of these count. A figure without functions of its own is filled by those of another one.
	Ours, Floor series

	ours, floor func() float64  // measure one value each in a round
	twice       bool            // in the order ours, floor, floor, ours: the second finds a longer log
	calls       [2]func() error // instead of these: calls in turn, of which the medians are the values
	spoiled     bool            // the figure is not of what was meant to be measured
}

// callsInTurn is how often one side is called before it is the other's turn.
const callsInTurn = 20

// measure takes some rounds of figures, less if they take too long. With warm, the values of the first are forgotten.
func (b *bench) measure(warm bool, figures ...*Figure) {
	b.figures = append(b.figures, figures...)
	if warm {
		b.say("warming up")
		b.round(figures)
		for _, f := range figures {
			f.Ours, f.Floor = nil, nil
		}
	}
	began := time.Now()
	for i := range b.rounds {
		b.say("round %d of %d", i+1, b.rounds)
		b.round(figures)
		if took := time.Since(began); took+took/time.Duration(i+1) > b.patience {
			return
		}
	}
}

func (b *bench) round(figures []*Figure) {
	for _, f := range figures {
		if f.calls[0] != nil {
			f.inTurn(2 * b.span)
		}
		f.Ours.measure(f.ours)
		f.Floor.measure(f.floor)
		if f.twice {
			f.Floor.measure(f.floor)
			f.Ours.measure(f.ours)
		}
	}
}

// inTurn adds the medians of the two sides' calls.
func (f *Figure) inTurn(span time.Duration) {
	var took [2][]time.Duration
	for began := time.Now(); time.Since(began) < span; {
		for side, call := range f.calls {
			for range callsInTurn {
				if call == nil {
					break
				}
				start := time.Now()
				check(call())
				took[side] = append(took[side], time.Since(start))
			}
		}
	}
	f.Ours.add(percentile(took[0], 50))
	if took[1] != nil {
		f.Floor.add(percentile(took[1], 50))
	}
}

// ratio is that of the medians, and how low and how high it was in single rounds.
func (f *Figure) ratio() (ratio, low, high float64) {
	var each []float64
	for i := range min(len(f.Ours), len(f.Floor)) {
		each = append(each, f.Ours[i]/f.Floor[i])
	}
	if each == nil {
		return 0, 0, 0
	}
	return f.Ours.median() / f.Floor.median(), slices.Min(each), slices.Max(each)
}

// bound is a sign, a number and perhaps a unit in [Figure.Wanted].
var bound = regexp.MustCompile(`([≥≤<]) ([0-9. ]*[0-9]) ?([a-zA-Z/]*)`)

// Met reports whether the figure is as wanted.
func (f *Figure) Met() bool {
	for _, parts := range bound.FindAllStringSubmatch(f.Wanted, -1) {
		limit, err := strconv.ParseFloat(strings.ReplaceAll(parts[2], " ", ""), 64)
		value := f.Ours.median()
		switch parts[3] {
		case "":
			value, _, _ = f.ratio()
		case "ms":
			value *= 1000
		}
		if err != nil || (value >= limit) != (parts[1] == "≥") {
			return false
		}
	}
	return !f.spoiled
}

// Ratio is the text of the ratio, with that of the lowest and the highest round.
func (f *Figure) Ratio() string {
	if f.Floor == nil {
		return ""
	}
	ratio, low, high := f.ratio()
	return fmt.Sprintf("%.2f (%.2f–%.2f)", ratio, low, high)
}

// series is the values of one quantity, by round.
type series []float64

func (s *series) add(v float64) { *s = append(*s, v) }

// measure adds what a function measures, if there is one.
func (s *series) measure(once func() float64) {
	if once != nil {
		s.add(once())
	}
}

func (s series) median() float64 {
	if len(s) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(s))
	n := len(sorted)
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}

// Text is the median, with the unit.
func (f *Figure) Text(s series) string {
	v := s.median()
	switch {
	case s == nil:
		return ""
	case f.Unit != "s":
		return grouped(v) + " " + f.Unit
	case v < 0.001:
		return fmt.Sprintf("%.0f µs", v*1e6)
	case v < 0.1:
		return fmt.Sprintf("%.2f ms", v*1e3)
	case v < 1:
		return fmt.Sprintf("%.0f ms", v*1e3)
	}
	return fmt.Sprintf("%.2f s", v)
}

// grouped writes a number with its thousands apart.
func grouped[N int | uint64 | float64](v N) string {
	digits := fmt.Sprintf("%.0f", float64(v))
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + " " + digits[i:]
	}
	return digits
}
