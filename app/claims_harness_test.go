package app_test

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/annal-crm/annal/domain"
	"github.com/annal-crm/annal/transparency"
)

func verifierOf(t *testing.T, tree *transparency.Tree) note.Verifier {
	t.Helper()
	return must(note.NewVerifier(tree.VerifierKey()))
}

// cosignedAt is the time in a witness' signature: behind 4 bytes of key hash, 8 of Unix time.
func cosignedAt(t *testing.T, signed []byte, key string) int64 {
	t.Helper()
	name, _, _ := strings.Cut(key, "+")
	for line := range strings.Lines(string(signed)) {
		if fields := strings.Fields(line); len(fields) == 3 && fields[1] == name {
			return int64(binary.BigEndian.Uint64(must(base64.StdEncoding.DecodeString(fields[2]))[4:]))
		}
	}
	t.Fatalf("no signature of %s in\n%s", name, signed)
	return 0
}

// domainHash is a hash in the form of the log.
func domainHash(sum [32]byte) domain.Hash { return domain.Hash(sum) }

// run keeps the ledger's tree until the test ends, with a checkpoint whenever it has grown.
func (l *ledger) run(logs *logs, publisher transparency.Publisher) {
	l.Helper()
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	runner := transparency.NewRunner(l.with(l.key, l.dir), transparency.RunnerConfig{Interval: 20 * time.Millisecond, Pause: time.Millisecond,
		Lease: 400 * time.Millisecond, Publisher: publisher, Logger: slog.New(slog.NewTextHandler(logs, nil))})
	running.Go(func() { runner.Run(ctx) })
	l.Cleanup(func() { stop(); running.Wait() })
}
