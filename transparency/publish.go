package transparency

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Publisher hands checkpoints to those who keep them where the operator of the database cannot reach. The zero value has
// nobody to hand them to.
type Publisher struct {
	Targets   []string // files, replaced each time, or http(s) URLs, which get a PUT
	Witnesses []string // URLs of witnesses (C2SP tlog-witness), which check and cosign
}

// patience bounds one request: a checkpoint is small, and who does not answer gets the next one.
const patience = 10 * time.Second

// Publish has a checkpoint cosigned by the witnesses, keeps the cosigned one in the database, and sends it to the targets.
// Each is tried even if others fail; the error joins what failed. It returns the checkpoint with the cosignatures it got.
func (p Publisher) Publish(ctx context.Context, t *Tree, c Checkpoint) (Checkpoint, error) {
	var errs []error
	for _, witness := range p.Witnesses {
		line, err := t.cosigned(ctx, witness, c)
		if err != nil {
			t.failures.count(Cosigning)
			errs = append(errs, fmt.Errorf("witness %s: %w", witness, err))
			continue
		}
		if name := strings.Fields(line)[1]; !strings.Contains(string(c.Note), "\n— "+name+" ") { // one is enough
			c.Note = append(bytes.Clone(c.Note), line...)
		}
	}
	if len(p.Witnesses) > len(errs) {
		_, err := t.pool.Exec(ctx, `update transparency.checkpoints set note = $3 where log = $1 and size = $2 and length(note) < length($3::bytea)`,
			t.id, int64(c.Size), c.Note)
		errs = append(errs, unavailable(err))
	}
	for _, target := range p.Targets {
		if err := put(ctx, target, c.Note); err != nil {
			t.failures.count(Publishing)
			errs = append(errs, fmt.Errorf("publish the checkpoint to %s: %w", target, err))
		}
	}
	return c, errors.Join(errs...)
}

func put(ctx context.Context, target string, signed []byte) error {
	if !strings.HasPrefix(target, "http://") && !strings.HasPrefix(target, "https://") {
		f, err := os.CreateTemp(filepath.Dir(target), ".checkpoint-*")
		if err != nil {
			return err
		}
		defer os.Remove(f.Name())
		_, err = f.Write(signed)
		if err := errors.Join(err, f.Chmod(0o644), f.Sync(), f.Close()); err != nil {
			return err
		}
		return os.Rename(f.Name(), target) // whoever reads it reads one whole
	}
	status, answer, err := send(ctx, http.MethodPut, target, signed)
	if err == nil && status/100 != 2 {
		err = fmt.Errorf("it answered %d %s", status, answer)
	}
	return err
}

func send(ctx context.Context, method, url string, body []byte) (status int, answer string, err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		return 0, "", err
	}
	request.Header.Set("Content-Type", "text/plain; charset=utf-8")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, "", err
	}
	defer response.Body.Close()
	b, err := io.ReadAll(io.LimitReader(response.Body, 64<<10))
	return response.StatusCode, strings.TrimRight(string(b), "\n"), err
}

// cosigned asks a witness for its signature of a checkpoint: it gets the proof that the checkpoint continues the one it saw
// last, whose size it tells by 409 if it is not the one we think.
func (t *Tree) cosigned(ctx context.Context, witness string, c Checkpoint) (line string, err error) {
	from := t.witnessed(witness)
	for range 3 {
		old := Checkpoint{Size: min(from, c.Size)}
		if old.Size > 0 {
			e, _, err := t.edgeAt(ctx, old.Size)
			if err != nil {
				return "", err
			}
			old.Root = e.root()
		}
		proof, err := t.consistency(ctx, old, c)
		if err != nil {
			return "", err
		}
		var body bytes.Buffer
		fmt.Fprintf(&body, "old %d\n", old.Size)
		for _, h := range proof {
			body.WriteString(base64.StdEncoding.EncodeToString(h[:]) + "\n")
		}
		body.WriteString("\n")
		body.Write(c.Note)
		status, answer, err := send(ctx, http.MethodPost, strings.TrimSuffix(witness, "/")+"/add-checkpoint", body.Bytes())
		if err != nil {
			return "", err
		}
		switch status {
		case http.StatusOK:
			t.witness(witness, c.Size)
			return signature(answer)
		case http.StatusConflict:
			if from, err = strconv.ParseUint(answer, 10, 63); err != nil || from > c.Size {
				return "", fmt.Errorf("it has seen %.40q events of this log, this checkpoint has %d: it is older, or the log was rolled back", answer, c.Size)
			}
		case http.StatusUnprocessableEntity:
			return "", fmt.Errorf("%w: it has cosigned another history of this log and refuses this one permanently; it keeps this checkpoint as evidence (%d %s)", ErrForked, status, answer)
		default:
			return "", fmt.Errorf("it answered %d %s", status, answer)
		}
	}
	return "", errors.New("it does not say which checkpoint it has seen")
}

// signature takes the line of a witness if it has the form of a signature.
func signature(answer string) (string, error) {
	fields := strings.Split(answer, " ")
	if len(fields) == 3 && fields[0] == "—" && fields[1] != "" && !strings.Contains(answer, "\n") {
		if b, err := base64.StdEncoding.DecodeString(fields[2]); err == nil && len(b) > 4 {
			return answer + "\n", nil
		}
	}
	return "", errors.New("it answered with something else than a signature")
}

// witnessed is the size that a witness has cosigned last, as far as this process knows.
func (t *Tree) witnessed(url string) uint64 {
	size, _ := t.seen.Load(url)
	n, _ := size.(uint64)
	return n
}

func (t *Tree) witness(url string, size uint64) { t.seen.Store(url, size) }
