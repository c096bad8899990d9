package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"

	"golang.org/x/mod/sumdb/note"

	"github.com/annal-crm/annal/commands"
	"github.com/annal-crm/annal/domain/audit"
	"github.com/annal-crm/annal/eventlog"
	"github.com/annal-crm/annal/transparency"
)

type auditCmd struct {
	Keys         auditKeysCmd         `cmd:"" help:"Print the public key that checkpoints of this log are signed with, and the earlier ones; or replace the key. Auditors keep the public key elsewhere."`
	Checkpoint   auditCheckpointCmd   `cmd:"" help:"Bring the tree up to the head of the log, sign it, and print the checkpoint."`
	Verify       auditVerifyCmd       `cmd:"" help:"Read the whole log and compare it with everything that was signed. Exit status 1: it differs, 2: it could not be judged."`
	Prove        auditProveCmd        `cmd:"" help:"Prove that the event at a position is in the log as it was recorded."`
	Bundle       auditBundleCmd       `cmd:"" help:"Write events with their proofs into a file that can be verified without this log."`
	VerifyBundle auditVerifyBundleCmd `cmd:"" help:"Verify a bundle, anywhere. Exit status 1: it does not hold."`
	WhatIf       auditWhatIfCmd       `cmd:"" help:"Apply another lockout rule to the recorded attempts to sign in, and show which accounts it would have locked beside the locks that happened."`
	Witness      auditWitnessCmd      `cmd:"" help:"Run a witness for other logs: it checks that each checkpoint continues the one before, and cosigns it."`
}

// unjudged is the exit status when a log could not be verified, as opposed to one that differs.
const unjudged = 2

// publishing says where checkpoints go; who serves and who makes one by hand have it.
type publishing struct {
	PublishCheckpoints []string `help:"Where each checkpoint goes: a file, or an http(s) URL that takes a PUT. May be repeated." env:"ANNAL_PUBLISH_CHECKPOINTS" placeholder:"FILE|URL"`
	Witness            []string `help:"A witness that cosigns each checkpoint: its URL (annal audit witness). May be repeated." env:"ANNAL_WITNESS" placeholder:"URL"`
}

func (p publishing) publisher() transparency.Publisher {
	return transparency.Publisher{Targets: p.PublishCheckpoints, Witnesses: p.Witness}
}

type auditCheckpointCmd struct {
	place
	publishing
}

// Run prints the signed note, with the cosignatures of witnesses.
func (c auditCheckpointCmd) Run(ctx context.Context) error {
	i, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer i.Close()
	made, err := i.Audit.Checkpoint(ctx)
	if err != nil {
		return err
	}
	made, err = c.publisher().Publish(ctx, i.Audit, made)
	os.Stdout.Write(made.Note)
	return err
}

type auditVerifyCmd struct {
	place
	Checkpoint string   `help:"A checkpoint that was kept elsewhere." placeholder:"FILE" type:"path"`
	Key        string   `help:"The public key that was kept elsewhere. Default: that of the key here, else the one that the database names." placeholder:"KEY"`
	WitnessKey []string `help:"Public key of a witness that must have cosigned the given checkpoint. May be repeated." placeholder:"KEY"`
	JSON       bool     `help:"As JSON." name:"json"`
}

// Run answers with exit status 0, 1 or 2.
func (c auditVerifyCmd) Run(ctx context.Context) error {
	i, err := c.openEvidence(ctx)
	if err != nil {
		return exit{unjudged, err}
	}
	defer i.Close()
	options := transparency.VerifyOptions{Key: c.Key}
	if c.Checkpoint != "" {
		if options.Checkpoint, err = os.ReadFile(c.Checkpoint); err != nil {
			return exit{unjudged, err}
		}
	}
	for _, key := range c.WitnessKey {
		if err := transparency.Cosigned(options.Checkpoint, key); err != nil {
			return exit{unjudged, err}
		}
	}
	bar := newProgress("verify")
	options.Progress = func(part float64) { bar.at("verify", part) }
	v, err := i.Audit.Verify(ctx, options)
	bar.finish()
	if err != nil {
		return exit{unjudged, err}
	}
	if v.OK { // to a log that differs nothing is added: it is evidence
		if err := checked(ctx, i, commands.Home, audit.Verified, fmt.Sprintf("size=%d", v.Size)); err != nil {
			slog.Warn("the log is as it was recorded", "but", err.Error())
		}
	}
	if c.JSON {
		if err := json.NewEncoder(os.Stdout).Encode(newVerdict(v)); err != nil {
			return err
		}
	}
	if !v.OK {
		if v.Position == 0 {
			return exit{1, fmt.Errorf("the log does not verify: %s", v.Problem)}
		}
		return exit{1, fmt.Errorf("the log does not verify, from position %s on: %s", v.Position, v.Problem)}
	}
	if !c.JSON {
		if v.Signed == 0 {
			fmt.Printf("%d events, none of them under a signed checkpoint: they are as the tree has them, if it has any, and nothing vouches for that\n", v.Size)
		} else {
			fmt.Printf("%d events, %d of them under a signed checkpoint: all as they were recorded\n", v.Size, v.Signed)
		}
		if v.Remark != "" {
			fmt.Println(v.Remark)
		}
	}
	return nil
}

// verdict is the JSON of a [transparency.Verdict].
type verdict struct {
	OK       bool   `json:"ok"`
	Size     uint64 `json:"size"`
	Signed   uint64 `json:"signed"`
	Position string `json:"position,omitempty"`
	Problem  string `json:"problem,omitempty"`
	Remark   string `json:"remark,omitempty"`
}

func newVerdict(v transparency.Verdict) verdict {
	j := verdict{OK: v.OK, Size: v.Size, Signed: v.Signed, Problem: v.Problem, Remark: v.Remark}
	if v.Position > 0 {
		j.Position = v.Position.String()
	}
	return j
}

type auditProveCmd struct {
	place
	Position string `arg:"" help:"The position of the event, as receipts and activities have it."`
	JSON     bool   `help:"As JSON, for verifiers other than Annal." name:"json"`
}

// Run proves, and checks its own proof.
func (c auditProveCmd) Run(ctx context.Context) error {
	at, err := eventlog.ParsePosition(c.Position)
	if err != nil {
		return fmt.Errorf("%q is not a position: a whole number, from 1", c.Position)
	}
	i, err := c.openEvidence(ctx)
	if err != nil {
		return err
	}
	defer i.Close()
	p, err := i.Audit.Prove(ctx, at)
	if err != nil {
		return err
	}
	_, e, err := transparency.ParseLeaf(p.Leaf)
	if err != nil {
		return err
	}
	if err := checked(ctx, i, e.Stream.Organization, audit.Proved, "position="+at.String()); err != nil {
		return err
	}
	if c.JSON {
		return json.NewEncoder(os.Stdout).Encode(p)
	}
	fmt.Printf("position %s: %s of %s %s, recorded %s\nis event %d (index %d) of the %d that this checkpoint signs (%d hashes lead there):\n\n%s",
		at, e.Type, e.Stream.Category, e.Stream.ID, e.RecordedAt.Format("2006-01-02 15:04:05.000000"), p.Index+1, p.Index, p.Checkpoint.Size, len(p.Proof), p.Checkpoint.Note)
	return nil
}

type auditVerifyBundleCmd struct {
	File string `arg:"" help:"The bundle." type:"path"`
	Key  string `help:"The public key of the log, from a source that you trust: not from the bundle." required:"" placeholder:"KEY"`
	JSON bool   `help:"Print each event, one JSON object a line." name:"json"`
}

// Run needs neither a log nor a network.
func (c auditVerifyBundleCmd) Run() error {
	verifier, err := note.NewVerifier(c.Key)
	if err != nil {
		return exit{unjudged, errors.New("this is not a public key as annal audit keys prints it")}
	}
	f, err := os.Open(c.File)
	if err != nil {
		return exit{unjudged, err}
	}
	defer f.Close()
	var each func(uint64, eventlog.Event) error
	if c.JSON {
		out := json.NewEncoder(os.Stdout)
		each = func(index uint64, e eventlog.Event) error { return out.Encode(newBundledEvent(index, e)) }
	}
	b, err := transparency.VerifyBundle(f, verifier, each)
	if err != nil {
		return err
	}
	of := fmt.Sprintf("all events from number %d to number %d of the log (index %d to %d)", b.First+1, b.Last+1, b.First, b.Last)
	if b.Stream != "" {
		of = fmt.Sprintf("the first %d events of %s", b.Events, b.Stream)
	}
	fmt.Fprintf(os.Stderr, "the bundle holds: %d events, %s, as they stand in the log of %d events that the checkpoint signs\n", b.Events, of, b.Checkpoint.Size)
	return nil
}
