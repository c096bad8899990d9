package instance_test

import (
	"encoding/base64"
	"encoding/binary"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/note"

	"github.com/annal-crm/annal/internal/transparency"
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
