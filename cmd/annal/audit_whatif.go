package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"
	"text/tabwriter"
	"time"

	"github.com/google/uuid"

	"github.com/annal-crm/annal/commands"
	"github.com/annal-crm/annal/domain"
	"github.com/annal-crm/annal/domain/audit"
	"github.com/annal-crm/annal/domain/organization"
	"github.com/annal-crm/annal/history/whatif"
)

type auditWhatIfCmd struct {
	place
	Organization string        `help:"Name of the organization whose attempts are judged. Default: the one where people work." placeholder:"NAME"`
	Attempts     int           `required:"" placeholder:"N" help:"This many wrong passwords …"`
	Window       time.Duration `required:"" placeholder:"15m" help:"… within this time …"`
	LockFor      time.Duration `required:"" placeholder:"30m" help:"… lock an account for this long."`
	JSON         bool          `help:"As JSON." name:"json"`
}

// Run judges the log; all it writes is that it was asked.
func (c auditWhatIfCmd) Run(ctx context.Context) error {
	rule := organization.Lockout{Attempts: c.Attempts, Window: c.Window, LockFor: c.LockFor}
	// A rule that no organization could have is not tried.
	_, err := organization.ChangeLockoutPolicy(organization.State{Name: "any"}, rule)
	if bad, ok := errors.AsType[domain.Invalid](err); ok {
		for _, flag := range []struct{ field, name string }{{"attempts", "--attempts"}, {"window", "--window"}, {"lockFor", "--lock-for"}} {
			if why, wrong := bad[flag.field]; wrong {
				return fmt.Errorf("%s %s", flag.name, why)
			}
		}
	}
	if err != nil {
		return err
	}
	i, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer i.Close()
	history, err := whatif.Read(ctx, i.Log, i.Codec, c.Organization)
	if err != nil {
		return err
	}
	would, err := history.Try(ctx, rule)
	if err != nil {
		return err
	}
	if err := checked(ctx, i, commands.Home, audit.Judged, fmt.Sprintf("attempts=%d window=%s lockFor=%s of %.200q", rule.Attempts, rule.Window, rule.LockFor, history.Organization)); err != nil {
		return err
	}
	if c.JSON {
		return json.NewEncoder(os.Stdout).Encode(whatIf{
			Organization: history.Organization, Attempts: history.Attempts, Accounts: history.Accounts,
			outcome: newOutcome(would), Happened: newOutcome(history.Happened),
		})
	}
	return tell(history, would)
}

// whatIf is the JSON of the answer.
type whatIf struct {
	Organization string `json:"organization"`
	Attempts     int    `json:"attempts"`
	Accounts     int    `json:"accounts"`
	outcome
	Happened outcome `json:"happened"`
}

type outcome struct {
	RefusedWhileLocked int    `json:"refusedWhileLocked"`
	Locks              []lock `json:"locks"`
}

type lock struct {
	Account   uuid.UUID `json:"account"`
	LoginName string    `json:"loginName"`
	Erased    bool      `json:"erased,omitempty"`
	From      time.Time `json:"from"`
	Until     time.Time `json:"until"`
	Refused   int       `json:"refused"`
}

func newOutcome(o whatif.Outcome) outcome {
	j := outcome{o.RefusedWhileLocked, make([]lock, len(o.Locks))}
	for i, l := range o.Locks {
		j.Locks[i] = lock{l.Account, l.LoginName, l.Erased, l.From.UTC(), l.Until.UTC(), l.Refused}
	}
	return j
}

const second = "2006-01-02 15:04:05"

// print writes the answer for a person.
func tell(h *whatif.History, would whatif.Outcome) error {
	fmt.Printf("%s: %d attempts to sign in to %d accounts", h.Organization, h.Attempts, h.Accounts)
	if h.Attempts > 0 {
		fmt.Printf(", %s to %s (UTC)", h.First.UTC().Format(second), h.Last.UTC().Format(second))
	}
	fmt.Printf("\nwith this rule:     %d locks, %d attempts refused meanwhile\nwhat happened then: %d locks, %d attempts refused meanwhile\n",
		len(would.Locks), would.RefusedWhileLocked, len(h.Happened.Locks), h.Happened.RefusedWhileLocked)
	for _, part := range []struct {
		title string
		locks []whatif.Lock
	}{{"with this rule", would.Locks}, {"what happened then", h.Happened.Locks}} {
		if len(part.locks) == 0 {
			continue
		}
		fmt.Printf("\n%s\n", part.title)
		w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
		fmt.Fprintln(w, "locked\tfrom\tuntil\tfor\trefused")
		for _, l := range part.locks {
			who := strconv.Quote(l.LoginName) // somebody may have typed anything
			if l.Erased {
				who = "erased " + l.Account.String()
			}
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%d\n", who, l.From.UTC().Format(second), l.Until.UTC().Format(second), l.Until.Sub(l.From).Round(time.Second), l.Refused)
		}
		if err := w.Flush(); err != nil {
			return err
		}
	}
	return nil
}
