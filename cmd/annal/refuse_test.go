package main

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/annal-crm/annal/eventlog/eventstoredb/esdbtest"
	"github.com/annal-crm/annal/internal/pgtest"
	"github.com/annal-crm/annal/internal/vault"
)

// onPostgres lets a home use a database of its own on the tests' server: that is quicker than a Postgres of its own.
func (h *home) onPostgres() *home {
	h.env = append(h.env, "ANNAL_DATABASE_URL="+pgtest.URL(h.t), "ANNAL_MASTER_KEY="+vault.NewMasterKey())
	return h
}

// What is wrong with the EventStoreDB is said in one sentence, without the password, and no half of Annal starts.
func TestAnEventStoreDBThatCannotBeUsedIsOneSentence(t *testing.T) {
	t.Parallel()
	store, err := esdbtest.New(esdbtest.Config{TLS: true, User: "annal", Password: "open sesame"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(store.Close)
	h := newHome(t).onPostgres()
	authority := filepath.Join(h.dir, "ca.pem")
	if err := os.WriteFile(authority, store.Authority(), 0o644); err != nil {
		t.Fatal(err)
	}
	trusted := store.URL() + "&tlsCaFile=" + authority
	unused, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := unused.Addr().String()
	unused.Close()

	for name, c := range map[string]struct{ url, want string }{
		"another scheme":    {"http://127.0.0.1:2113", "the URL must begin with esdb://"},
		"a misspelt name":   {store.URL() + "&tlsCAfil=x", `the URL has a setting "tlsCAfil", which is unknown`},
		"nobody there":      {"esdb://annal:open+sesame@" + nobody + "?tls=false", "EventStoreDB cannot be reached: "},
		"no cluster there":  {"esdb+discover://annal:open+sesame@" + nobody + "?tls=true", "EventStoreDB cannot be reached: "},
		"a wrong password":  {strings.Replace(trusted, "sesame", "barley", 1), "EventStoreDB does not know this user name and password: "},
		"a wrong authority": {store.URL(), "EventStoreDB has a certificate that is not trusted (tlsCaFile=… names another authority): "},
		"no such authority": {trusted + ".missing", "ca.pem.missing"},
		"no TLS":            {strings.Replace(store.URL(), "tls=true", "tls=false", 1), "EventStoreDB cannot be reached: "},
	} {
		out, status := h.run("serve", "--listen", "127.0.0.1:0", "--eventstore-url", c.url)
		if status != 1 || !strings.Contains(out, c.want) || strings.Count(strings.TrimSpace(out), "\n") != 0 {
			t.Errorf("%s: exit status %d, wanted %q in one line:\n%s", name, status, c.want, out)
		}
		for _, never := range []string{"sesame", "barley", "goroutine", "eventlog:", "eventstoredb:", "rpc error"} {
			if strings.Contains(out, never) {
				t.Errorf("%s: it says %q:\n%s", name, never, out)
			}
		}
	}

	// The same one as it should be, from a file, as secrets are given.
	file := filepath.Join(h.dir, "eventstore-url")
	if err := os.WriteFile(file, []byte(trusted+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	h.env = append(h.env, "ANNAL_EVENTSTORE_URL_FILE="+file)
	if status := h.start("serve").stop(t); status != 0 {
		t.Errorf("stopped with exit status %d", status)
	}
	h.env = append(h.env, "ANNAL_EVENTSTORE_URL="+trusted)
	if out, status := h.run("readmodels"); status != 1 || !strings.Contains(out, "ANNAL_EVENTSTORE_URL and ANNAL_EVENTSTORE_URL_FILE are both set") {
		t.Errorf("exit status %d:\n%s", status, out)
	}
}

// What is wrong with a command line is said in one sentence that names the command whose help tells what is right.
func TestAWrongCommandLineIsOneSentence(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	for want, args := range map[string][]string{
		"annal: unknown flag --nope; see annal audit prove --help\n":                                                                                           {"audit", "prove", "1", "--nope"},
		"annal: unexpected argument nope; see annal --help\n":                                                                                                  {"nope"},
		"annal: expected \"<position>\"; see annal audit prove --help\n":                                                                                       {"audit", "prove"},
		"annal: --session: \"abc\" is not an id: an id is written like 01890a5d-ac96-774b-bcce-b302099a8057; see annal replay --help\n":                        {"replay", "account", "x", "--session", "abc"},
		"annal: --from: \"2017-3-1\" is not a time: write 2017-03-01T09:00:00Z, or 2017-03-01 for the beginning of that day in UTC; see annal replay --help\n": {"replay", "account", "x", "--from", "2017-3-1"},
		"annal: --key is empty; leave it out, or give it a value\n":                                                                                            {"audit", "verify", "--key", ""},
		"annal: --witness-key is empty; leave it out, or give it a value\n":                                                                                    {"audit", "verify", "--witness-key="},
	} {
		if out, status := h.run(args...); status != 80 || out != want {
			t.Errorf("%v: exit status %d: %q, want %q", args, status, out, want)
		}
	}
}
