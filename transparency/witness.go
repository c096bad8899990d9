package transparency

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/annal-crm/annal/internal/keyfile"
)

// Witness checks that each checkpoint of some logs continues the one it saw before, and cosigns it: who has its signature
// knows that one history was shown to all. It is an [http.Handler] for POST /add-checkpoint (C2SP tlog-witness), and needs no
// database: what it saw lies in files. A checkpoint that contradicts it is the proof of a fraud, and lies there, too. Safe for concurrent use, also by processes that share the directory.
type Witness struct {
	name string
	key  ed25519.PrivateKey
	logs map[string]note.Verifier // by origin
	seen memory
}

// NewWitness returns a witness of the logs with the given verifier keys. Its own key, made if there is not one, signs under
// name; what it has seen it keeps in dir.
func NewWitness(name string, source KeySource, dir string, logs []string) (*Witness, error) {
	if name == "" || strings.ContainsAny(name, " +\n\t") {
		return nil, fmt.Errorf("transparency: %q cannot be the name of a witness: it has no spaces and no plus", name)
	}
	w := &Witness{name: name, logs: make(map[string]note.Verifier), seen: memory{dir: dir}}
	for _, key := range logs {
		v, err := note.NewVerifier(key)
		if err != nil {
			return nil, fmt.Errorf("transparency: %q is not a verifier key", key)
		}
		w.logs[v.Name()] = v
	}
	var err error
	w.key, _, err = source.loadOrMake()
	return w, err
}

// A cosignature is of type 4 (C2SP tlog-cosignature): it signs the time, too.
const cosignature = 0x04

func cosignatureKey(name string, public ed25519.PublicKey) (hash uint32, encoded []byte) {
	encoded = append([]byte{cosignature}, public...)
	sum := sha256.Sum256(append([]byte(name+"\n"), encoded...))
	return binary.BigEndian.Uint32(sum[:]), encoded
}

// VerifierKey is the witness' public key, in the form of sumdb/note with the type of cosignatures.
func (w *Witness) VerifierKey() string {
	hash, encoded := cosignatureKey(w.name, w.key.Public().(ed25519.PublicKey))
	return fmt.Sprintf("%s+%08x+%s", w.name, hash, base64.StdEncoding.EncodeToString(encoded))
}

func timed(text string, at uint64) []byte {
	return fmt.Appendf(nil, "cosignature/v1\ntime %d\n%s", at, text)
}

// Name, KeyHash and Sign make the witness a [note.Signer].
func (w *Witness) Name() string { return w.name }

// KeyHash implements [note.Signer].
func (w *Witness) KeyHash() uint32 {
	hash, _ := cosignatureKey(w.name, w.key.Public().(ed25519.PublicKey))
	return hash
}

// Sign implements [note.Signer].
func (w *Witness) Sign(text []byte) ([]byte, error) {
	at := uint64(time.Now().Unix())
	return append(binary.BigEndian.AppendUint64(nil, at), ed25519.Sign(w.key, timed(string(text), at))...), nil
}

// witnessVerifier is a [note.Verifier] of cosignatures.
type witnessVerifier struct {
	name string
	hash uint32
	key  ed25519.PublicKey
}

// NewWitnessVerifier reads what [Witness.VerifierKey] returns.
func NewWitnessVerifier(key string) (note.Verifier, error) {
	parts := strings.SplitN(key, "+", 3) // base64 may contain a plus
	if len(parts) == 3 {
		b, err := base64.StdEncoding.DecodeString(parts[2])
		if err == nil && len(b) == 1+ed25519.PublicKeySize && b[0] == cosignature {
			if hash, _ := cosignatureKey(parts[0], b[1:]); fmt.Sprintf("%08x", hash) == parts[1] {
				return witnessVerifier{parts[0], hash, b[1:]}, nil
			}
		}
	}
	return nil, fmt.Errorf("%w: %q is not the key of a witness", ErrCheckpoint, key)
}

func (v witnessVerifier) Name() string    { return v.name }
func (v witnessVerifier) KeyHash() uint32 { return v.hash }
func (v witnessVerifier) Verify(text, sig []byte) bool {
	return len(sig) == 8+ed25519.SignatureSize && ed25519.Verify(v.key, timed(string(text), binary.BigEndian.Uint64(sig)), sig[8:])
}

// Cosigned checks that a checkpoint bears the cosignature of the witness with a key; [ErrCheckpoint] if not.
func Cosigned(signed []byte, key string) error {
	v, err := NewWitnessVerifier(key)
	if err != nil {
		return err
	}
	if _, err := note.Open(signed, note.VerifierList(v)); err != nil {
		return fmt.Errorf("%w: it is not cosigned by %s", ErrCheckpoint, v.Name())
	}
	return nil
}

// refusal is an answer of the protocol that is not a cosignature.
type refusal struct {
	status int
	text   string
}

func (r refusal) Error() string { return r.text }

// keptRefused is how many contradicting checkpoints are kept: one is proof enough, and the log's owner could send any number.
const keptRefused = 100

// contradicted keeps a checkpoint, signed by the log's key, that does not continue the one that was seen before.
func (w *Witness) contradicted(seen, c Checkpoint) {
	said := []any{"log", c.Origin, "seen", seen.Size, "refused", c.Size}
	if w.seen.dir != "" {
		sum := sha256.Sum256(c.Note)
		file := filepath.Join(w.seen.dir, fmt.Sprintf("refused-%d-%x.note", c.Size, sum[:8]))
		kept, _ := filepath.Glob(filepath.Join(w.seen.dir, "refused-*.note"))
		_, err := os.Stat(file)
		if errors.Is(err, os.ErrNotExist) {
			if err = fmt.Errorf("there are %d already", len(kept)); len(kept) < keptRefused {
				err = keyfile.Make(file, string(c.Note))
			}
		}
		if said = append(said, "kept", file); err != nil {
			said = append(said[:len(said)-2], "not kept", err.Error())
		}
	}
	slog.Error("witness: the log has signed another history than the one that was cosigned: both checkpoints together are the proof", said...)
}

// ServeHTTP implements [http.Handler].
func (w *Witness) ServeHTTP(out http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost || r.URL.Path != "/add-checkpoint" {
		http.Error(out, "POST /add-checkpoint", http.StatusNotFound)
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(out, r.Body, 64<<10)) // a proof has at most 63 hashes of 45 bytes
	if err != nil {
		http.Error(out, "too long", http.StatusRequestEntityTooLarge)
		return
	}
	line, err := w.add(body)
	if no, ok := errors.AsType[refusal](err); ok {
		if no.status == http.StatusConflict {
			out.Header().Set("Content-Type", "text/x.tlog.size")
		}
		out.WriteHeader(no.status)
		fmt.Fprintln(out, no.text)
		return
	}
	if err != nil {
		http.Error(out, "what was seen cannot be kept", http.StatusInternalServerError)
		return
	}
	out.Write(line)
}

// add checks a request and returns the cosignature.
func (w *Witness) add(body []byte) (line []byte, err error) {
	head, signed, ok := bytes.Cut(body, []byte("\n\n"))
	lines := strings.Split(string(head), "\n")
	size, isOld := strings.CutPrefix(lines[0], "old ")
	old, err := strconv.ParseUint(size, 10, 63)
	if !ok || !isOld || err != nil || len(lines) > 64 {
		return nil, refusal{http.StatusBadRequest, "not a request of a log"}
	}
	var proof tlog.TreeProof
	for _, l := range lines[1:] {
		h, err := tlog.ParseHash(l)
		if err != nil {
			return nil, refusal{http.StatusBadRequest, "not a request of a log"}
		}
		proof = append(proof, h)
	}
	c, err := parseCheckpoint(signed)
	if err != nil {
		return nil, refusal{http.StatusBadRequest, "not a checkpoint"}
	}
	verifier := w.logs[c.Origin]
	if verifier == nil {
		return nil, refusal{http.StatusNotFound, "an unknown log"}
	}
	if _, err := OpenCheckpoint(signed, verifier); err != nil {
		return nil, refusal{http.StatusForbidden, "not signed by the key of the log"}
	}
	err = w.seen.update(c.Origin, func(last []byte) ([]byte, error) {
		var seen Checkpoint
		if len(last) > 0 {
			if seen, err = parseCheckpoint(last); err != nil {
				return nil, err
			}
		}
		switch {
		case old > c.Size:
			return nil, refusal{http.StatusBadRequest, "the old size is larger than the new one"}
		case old != seen.Size:
			return nil, refusal{http.StatusConflict, strconv.FormatUint(seen.Size, 10)}
		case old > 0 && tlog.CheckTree(proof, int64(c.Size), c.Root, int64(old), seen.Root) != nil:
			w.contradicted(seen, c)
			return nil, refusal{http.StatusUnprocessableEntity, "it does not continue what was seen before"}
		}
		return signed, nil
	})
	if err != nil {
		return nil, err
	}
	text, _, _ := strings.Cut(string(signed), "\n\n") // with extensions, if it has any
	cosigned, err := note.Sign(&note.Note{Text: text + "\n"}, w)
	if err != nil {
		return nil, err
	}
	_, line, _ = bytes.Cut(cosigned, []byte("\n\n"))
	return line, nil
}
