package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/annal-crm/annal/app"
	"github.com/annal-crm/annal/commands"
	"github.com/annal-crm/annal/domain/audit"
	"github.com/annal-crm/annal/transparency"
)

type auditKeysCmd struct {
	place
	JSON    bool   `help:"As JSON." name:"json" xor:"json"`
	Replace bool   `help:"Sign with a new key from now on, and print the statement that says so. The old key signs the statement, too, if it is available." xor:"json"`
	Reason  string `help:"With --replace: why, one line for strangers to read." placeholder:"TEXT"`
	OldKey  string `help:"With --replace, where ANNAL_CHECKPOINT_KEY is the new key already: the file with the old one." placeholder:"FILE" type:"existingfile" xor:"old"`
	Lost    bool   `help:"With --replace: the old key is lost. Nothing vouches for the new one then." xor:"old"`
}

// Run prints the verifier key in the form of sumdb/note; keys that were replaced come after it, with their periods.
func (c auditKeysCmd) Run(ctx context.Context) error {
	if !c.Replace && (c.Reason != "" || c.OldKey != "" || c.Lost) {
		return errors.New("--reason, --old-key and --lost go with --replace")
	}
	open := c.openEvidence
	if c.Replace {
		open = c.open
	}
	i, err := open(ctx)
	if err != nil {
		return err
	}
	defer i.Close()
	if c.Replace {
		return c.replace(ctx, i)
	}
	if err := i.Audit.Ready(); err != nil {
		return err
	}
	periods, err := i.Audit.Keys(ctx)
	if err != nil {
		return err
	}
	if here := i.Audit.VerifierKey(); here != periods[0].VerifierKey {
		fmt.Fprintf(os.Stderr, "warning: this is the key here, and nothing can be signed with it: the checkpoints in the database are signed with %s\n", periods[0].VerifierKey)
	}
	if c.JSON {
		keys := make([]keyPeriod, len(periods))
		for n, p := range periods {
			keys[n] = newKeyPeriod(p)
		}
		return json.NewEncoder(os.Stdout).Encode(map[string]any{"name": i.Audit.Origin(), "verifierKey": i.Audit.VerifierKey(), "keys": keys})
	}
	fmt.Println(i.Audit.VerifierKey())
	if len(periods) > 1 {
		fmt.Println()
		for _, p := range periods {
			fmt.Println(periodText(p))
		}
	}
	return nil
}

// replace prints the statement and then the first checkpoint, and says on standard error what is to be done with them.
func (c auditKeysCmd) replace(ctx context.Context, i *app.Instance) error {
	var old transparency.KeySource
	if c.OldKey != "" {
		old.File = c.OldKey
	}
	h, first, err := i.Audit.Replace(ctx, transparency.Replacement{Reason: strings.TrimSpace(c.Reason), Old: old, Lost: c.Lost, Record: func(old, new string) error {
		return recordedWhy(ctx, i, commands.Home, i.Commands.ReplaceKey, audit.KeyReplaced{Old: old, New: new, Lost: c.Lost}, ": "+c.Reason)
	}})
	if err != nil {
		return err
	}
	fmt.Printf("%s\n%s", h.Note, first.Note)
	vouch := "The old key has signed it, so who trusts that can trust the new one."
	if !h.Vouched {
		vouch = "Nothing vouches for the new key but you: hand it over yourself, and say why."
	}
	fmt.Fprintf(os.Stderr, `
%s signs from now on; above are the statement and the first checkpoint.
%s
- Give the new key to who holds the old one. What was signed stays good under the old key, so keep that, too.
- A witness knows the log by its key: its operator starts it again with --log and the new key, on the same directory.
- A process whose key comes from the environment, or had none, is to be started again with the new one.
`, h.New, vouch)
	return nil
}

// keyPeriod is the JSON of a [transparency.Period].
type keyPeriod struct {
	VerifierKey string     `json:"verifierKey"`
	From        uint64     `json:"from"`         // events when it began
	To          uint64     `json:"to,omitempty"` // of its newest checkpoint, once it was replaced
	Since       *time.Time `json:"since,omitempty"`
	Reason      string     `json:"reason,omitempty"`
	Lost        bool       `json:"lost,omitempty"` // the key before it
	Statement   string     `json:"statement,omitempty"`
}

func newKeyPeriod(p transparency.Period) keyPeriod {
	k := keyPeriod{VerifierKey: p.VerifierKey, From: p.From, To: p.To}
	if h := p.Handover; h != nil {
		k.Since, k.Reason, k.Lost, k.Statement = &h.At, h.Reason, !h.Vouched, string(h.Note)
	}
	return k
}

func periodText(p transparency.Period) string {
	text := p.VerifierKey + "\n  signs"
	if p.Handover == nil && p.To == 0 {
		text = p.VerifierKey + "\n  signed no checkpoint"
	}
	if h := p.Handover; h != nil {
		text += fmt.Sprintf(" since %s, after %d events: %s; the key before %s", h.At.Format(time.RFC3339), p.From, h.Reason,
			cmp.Or(map[bool]string{true: "vouches for it"}[h.Vouched], "was lost"))
	}
	if p.To > 0 {
		text = strings.Replace(text, "\n  signs", "\n  signed", 1) + fmt.Sprintf(" up to %d events", p.To)
	}
	return text
}
