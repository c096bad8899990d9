// Package sshlog reads the log of an OpenSSH server and imports its attempts to sign in.
//
// It knows the lines "Failed password for …" and "Accepted password for …", also as
// syslog sums them up ("message repeated 5 times: [ … ]"), and passes over all
// others. [Read] yields the attempts; [Run] puts them on record (see
// [commands.Attempts]): a file imported again adds nothing, a longer one what is new.
package sshlog

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/annal-crm/annal/commands"
	"github.com/annal-crm/annal/domain/account"
)

const (
	maxLine = 64 << 10 // bytes; sshd cuts a message off at 1 kB (log.c), syslog at 8 kB
	// maxRepeated is how often syslog may say that a message was repeated: one a second for a day. A line that says more was
	// not written by syslog, and would fill the log.
	maxRepeated = 86_400
	batch       = 500 // attempts recorded at once: with their metadata a quarter of a megabyte
)

// ErrNone reports a file without any attempt in it.
var ErrNone = errors.New("sshlog: no line of sshd about a password in it")

var (
	prefix   = regexp.MustCompile(`^([A-Z][a-z]{2}) +(\d{1,2}) (\d\d:\d\d:\d\d) (\S+) (sshd(?:-session)?\[\d+\]): (.*)$`)
	repeated = regexp.MustCompile(`^message repeated (\d+) times: \[ (.*)\]$`)
	// The name is whatever somebody typed, nothing and " from " included. The line is whole only with the protocol at its end:
	// the last line of a file may still be being written.
	password = regexp.MustCompile(`^(Failed|Accepted) password for (invalid user )?(.*) from (\S+) port (\d+) (ssh\d)$`)
)

// Read yields the attempts in a log, in its order. Its lines have no year and no time zone: year is what they lack, and they
// are taken to be in UTC. An error names its line, and ends the sequence: a line that is too long, a day that the year does
// not have, a time after now, a repetition that cannot be.
func Read(r io.Reader, year int, now time.Time) iter.Seq2[commands.Attempt, error] {
	return func(yield func(commands.Attempt, error) bool) {
		lines := bufio.NewScanner(r)
		lines.Buffer(nil, maxLine)
		n := 0
		for lines.Scan() {
			n++
			a, times, err := parse(strings.TrimRight(lines.Text(), "\r"), year, now)
			if err != nil {
				yield(commands.Attempt{}, fmt.Errorf("line %d: %w", n, err))
				return
			}
			line := fmt.Sprintf("%d:%d:%s", year, n, a.Key)
			for i := range times {
				if a.Key = fmt.Sprintf("%d:%s", i, line); !yield(a, nil) {
					return
				}
			}
		}
		if err := lines.Err(); errors.Is(err, bufio.ErrTooLong) {
			yield(commands.Attempt{}, fmt.Errorf("line %d: is longer than %d bytes: not a log of sshd", n+1, maxLine))
		} else if err != nil {
			yield(commands.Attempt{}, err)
		}
	}
}

// parse returns the attempt of a line, with the line as its key, and how often it happened: 0 in a line about something else.
func parse(line string, year int, now time.Time) (a commands.Attempt, times int, err error) {
	p := prefix.FindStringSubmatch(line)
	if p == nil {
		return a, 0, nil
	}
	message, times := p[6], 1
	if r := repeated.FindStringSubmatch(message); r != nil {
		if times, err = strconv.Atoi(r[1]); err != nil || times > maxRepeated {
			return a, 0, fmt.Errorf("says that it was repeated %s times; at most %d can be", r[1], maxRepeated)
		}
		message = r[2]
	}
	m := password.FindStringSubmatch(message)
	if m == nil {
		return a, 0, nil
	}
	at, err := time.Parse("2006 Jan 2 15:04:05", fmt.Sprintf("%04d %s %s %s", year, p[1], p[2], p[3]))
	switch {
	case err != nil:
		return a, 0, fmt.Errorf("%s %s %s is not a time of the year %d", p[1], p[2], p[3], year)
	case at.After(now.Add(24 * time.Hour)): // its clock may be in another time zone
		return a, 0, fmt.Errorf("%s is yet to come; is the year right?", at.Format("2 January 2006"))
	}
	return commands.Attempt{
		Attempt:   account.Attempt{At: at, Accepted: m[1] == "Accepted", Unknown: m[2] != ""},
		Key:       line,
		LoginName: m[3],
		IP:        m[4],
		Device:    fmt.Sprintf("%s, port %s, to %s on %s", m[6], m[5], p[5], p[4]),
	}, times, nil
}

// Run imports the attempts of a file, from its beginning, into the organization of a name, which it makes if it is not there. The
// file is read twice: one that is not good to its end imports nothing. progress, if there is one, is told how many of all
// attempts are done. Errors: those of [Read], [ErrNone], those of [commands.Commands.Attempts].
func Run(ctx context.Context, c *commands.Commands, organization string, file io.ReadSeeker, year int, progress func(done, total int)) (sum commands.AttemptsImported, err error) {
	now, total := time.Now(), 0
	for _, err := range Read(file, year, now) {
		if err != nil {
			return sum, err
		}
		total++
	}
	if total == 0 {
		return sum, ErrNone
	}
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return sum, err
	}
	into, err := c.Attempts(ctx, organization)
	if err != nil {
		return sum, err
	}
	done := 0
	var next []commands.Attempt
	flush := func() error {
		n, err := into.Import(ctx, next)
		sum.Added, sum.Known, sum.Refused = sum.Added+n.Added, sum.Known+n.Known, sum.Refused+n.Refused
		done += len(next)
		next = next[:0]
		if progress != nil {
			progress(done, max(total, done)) // the file may grow meanwhile
		}
		return err
	}
	for a, err := range Read(file, year, now) {
		if err != nil {
			return sum, err
		}
		if next = append(next, a); len(next) == batch {
			if err := flush(); err != nil {
				return sum, err
			}
		}
	}
	return sum, flush()
}
