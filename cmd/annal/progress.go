package main

import (
	"os"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

// progress draws a bar with the time that is left, where a person watches: on a terminal. Elsewhere it is silent.
type progress struct{ bar *progressbar.ProgressBar }

const steps = 1000 // of a bar: finer than a terminal shows

func newProgress(what string) *progress {
	if !term.IsTerminal(int(os.Stderr.Fd())) {
		return &progress{}
	}
	return &progress{progressbar.NewOptions(steps,
		progressbar.OptionSetDescription(what), progressbar.OptionSetWriter(os.Stderr), progressbar.OptionSetPredictTime(true),
		progressbar.OptionThrottle(100*time.Millisecond), progressbar.OptionFullWidth(), progressbar.OptionClearOnFinish(),
	)}
}

// at says what is being done, and which part of the whole is done, from 0 to 1.
func (p *progress) at(phase string, part float64) {
	if p.bar != nil {
		p.bar.Describe(phase)
		_ = p.bar.Set(int(part * steps)) // a bar that cannot be drawn is no reason to stop
	}
}

func (p *progress) finish() {
	if p.bar != nil {
		_ = p.bar.Finish()
	}
}
