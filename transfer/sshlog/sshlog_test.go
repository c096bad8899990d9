package sshlog

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/annal-crm/annal/commands"
	"github.com/annal-crm/annal/domain/account"
)

var now = time.Date(2024, 5, 1, 12, 0, 0, 0, time.UTC)

func at(s string) time.Time {
	t, err := time.Parse("2006-01-02 15:04:05", s)
	if err != nil {
		panic(err)
	}
	return t
}

func TestRead(t *testing.T) {
	for name, c := range map[string]struct {
		line string
		want []commands.Attempt
	}{
		"refused": {
			"Feb 29 23:59:59 gate sshd[77]: Failed password for ada from 192.0.2.1 port 4000 ssh2\r",
			[]commands.Attempt{{Attempt: account.Attempt{At: at("2024-02-29 23:59:59")}, LoginName: "ada", IP: "192.0.2.1", Device: "ssh2, port 4000, to sshd[77] on gate"}},
		},
		"accepted, of a newer server, by IPv6": {
			"Mar  3 01:02:03 gate sshd-session[78]: Accepted password for ada from 2001:db8::1 port 4000 ssh2",
			[]commands.Attempt{{Attempt: account.Attempt{At: at("2024-03-03 01:02:03"), Accepted: true}, LoginName: "ada", IP: "2001:db8::1", Device: "ssh2, port 4000, to sshd-session[78] on gate"}},
		},
		"a name that the server has not": {
			"Mar  3 01:02:03 gate sshd[79]: Failed password for invalid user  bob from 192.0.2.1 port 1 ssh2",
			[]commands.Attempt{{Attempt: account.Attempt{At: at("2024-03-03 01:02:03"), Unknown: true}, LoginName: " bob", IP: "192.0.2.1", Device: "ssh2, port 1, to sshd[79] on gate"}},
		},
		"no name": {
			"Mar  3 01:02:03 gate sshd[79]: Failed password for invalid user  from 192.0.2.1 port 1 ssh2",
			[]commands.Attempt{{Attempt: account.Attempt{At: at("2024-03-03 01:02:03"), Unknown: true}, IP: "192.0.2.1", Device: "ssh2, port 1, to sshd[79] on gate"}},
		},
		"a name that looks like the rest of the line": {
			"Mar  3 01:02:03 gate sshd[79]: Failed password for invalid user x from 203.0.113.9 port 9 ssh2 from 192.0.2.1 port 1 ssh2",
			[]commands.Attempt{{Attempt: account.Attempt{At: at("2024-03-03 01:02:03"), Unknown: true}, LoginName: "x from 203.0.113.9 port 9 ssh2", IP: "192.0.2.1", Device: "ssh2, port 1, to sshd[79] on gate"}},
		},
		"summed up": {
			"Mar  3 01:02:03 gate sshd[79]: message repeated 2 times: [ Failed password for ada from 192.0.2.1 port 1 ssh2]",
			[]commands.Attempt{
				{Attempt: account.Attempt{At: at("2024-03-03 01:02:03")}, LoginName: "ada", IP: "192.0.2.1", Device: "ssh2, port 1, to sshd[79] on gate"},
				{Attempt: account.Attempt{At: at("2024-03-03 01:02:03")}, LoginName: "ada", IP: "192.0.2.1", Device: "ssh2, port 1, to sshd[79] on gate"},
			},
		},
		"not a password":        {"Mar  3 01:02:03 gate sshd[79]: Failed none for invalid user bob from 192.0.2.1 port 1 ssh2", nil},
		"a key":                 {"Mar  3 01:02:03 gate sshd[79]: Accepted publickey for ada from 192.0.2.1 port 1 ssh2: ED25519 SHA256:x", nil},
		"another program":       {"Mar  3 01:02:03 gate cron[79]: Failed password for ada from 192.0.2.1 port 1 ssh2", nil},
		"still being written":   {"Mar  3 01:02:03 gate sshd[79]: Failed password for ada from 192.0.2.1 port 1", nil},
		"a message within one":  {"Mar  3 01:02:03 gate sshd[79]: Invalid user x: Failed password for ada from 192.0.2.1 port 1 ssh2", nil},
		"nothing like a log":    {"\x00\xff", nil},
		"summed up, of another": {"Mar  3 01:02:03 gate sshd[79]: message repeated 2 times: [ Connection closed]", nil},
	} {
		t.Run(name, func(t *testing.T) {
			keys := make(map[string]bool)
			var got []commands.Attempt
			for a, err := range Read(strings.NewReader(c.line+"\n"+c.line+"\n"), 2024, now) {
				if err != nil {
					t.Fatal(err)
				}
				keys[a.Key] = true
				a.Key = ""
				got = append(got, a)
			}
			if want := append(c.want, c.want...); fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("%+v\nwant %+v", got, want)
			}
			if len(keys) != len(got) {
				t.Errorf("%d keys of %d attempts", len(keys), len(got))
			}
		})
	}
}

// The same line of a file has the same key, however long the file has become.
func TestKeysStay(t *testing.T) {
	const one = "Mar  3 01:02:03 gate sshd[79]: Failed password for ada from 192.0.2.1 port 1 ssh2\n"
	keys := func(text string, year int) (all []string) {
		for a, err := range Read(strings.NewReader(text), year, now) {
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, a.Key)
		}
		return all
	}
	short, long := keys(one+"noise\n", 2024), keys(one+"noise\n"+one, 2024)
	if len(short) != 1 || len(long) != 2 || short[0] != long[0] || long[0] == long[1] || keys(one, 2023)[0] == short[0] {
		t.Errorf("%q, %q", short, long)
	}
}

func TestBadFilesNameTheLine(t *testing.T) {
	const good = "Mar  3 01:02:03 gate sshd[79]: Failed password for ada from 192.0.2.1 port 1 ssh2\n"
	for want, line := range map[string]string{
		"line 2: Feb 30 01:02:03 is not a time of the year 2024":                    strings.Replace(good, "Mar  3", "Feb 30", 1),
		"line 2: 3 December 2024 is yet to come; is the year right?":                strings.Replace(good, "Mar", "Dec", 1),
		"line 2: says that it was repeated 86401 times; at most 86400 can be":       "Mar  3 01:02:03 gate sshd[79]: message repeated 86401 times: [ Failed password for ada from 192.0.2.1 port 1 ssh2]\n",
		"line 2: says that it was repeated 99999999999999999999 times; at most 864": "Mar  3 01:02:03 gate sshd[79]: message repeated 99999999999999999999 times: [ Failed password for ada from 192.0.2.1 port 1 ssh2]\n",
		"line 2: is longer than 65536 bytes: not a log of sshd":                     strings.Repeat("x", maxLine+1),
	} {
		n, said := 0, ""
		for _, err := range Read(strings.NewReader(good+line), 2024, now) {
			if err != nil {
				said = err.Error()
				continue
			}
			n++
		}
		if n != 1 || !strings.HasPrefix(said, want) {
			t.Errorf("%d attempts, %q\nwant %q", n, said, want)
		}
	}
}
