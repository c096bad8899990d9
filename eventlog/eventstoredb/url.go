package eventstoredb

import (
	"errors"
	"fmt"
	"math"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// settings are those that the client knows; it would pass over a misspelt one and only print a line.
var settings = []string{
	"defaultdeadline", "discoveryinterval", "gossiptimeout", "keepaliveinterval", "keepalivetimeout", "maxdiscoverattempts",
	"nodepreference", "tls", "tlscafile", "tlsverifycert", "usercertfile", "userkeyfile",
}

// maxAppendSize is a setting of our own: [Config.MaxAppendSize], for who has told the server to take more than it does by default.
const maxAppendSize = "maxappendsize"

// parse returns the client's configuration for a URL, and what the URL says of the server's MaxAppendSize, 0 if nothing. No
// error shows the URL: there may be a password in it.
func parse(address string) (config *esdb.Configuration, appendSize int, err error) {
	scheme, rest, ok := strings.Cut(address, "://")
	scheme = strings.Replace(scheme, "kurrentdb", "esdb", 1)
	if !ok || scheme != "esdb" && scheme != "esdb+discover" {
		return nil, 0, errors.New("eventstoredb: the URL must begin with esdb://, esdb+discover://, kurrentdb:// or kurrentdb+discover://")
	}
	gossipTimeout := 3 // seconds; the client's 5 would make a start against a vanished cluster long
	if before, query, ok := strings.Cut(rest, "?"); ok {
		values, err := url.ParseQuery(query)
		if err != nil {
			return nil, 0, errors.New("eventstoredb: the settings behind the URL's question mark cannot be read")
		}
		for name := range values {
			switch lower := strings.ToLower(name); {
			case lower == maxAppendSize:
				appendSize, err = strconv.Atoi(values.Get(name))
				if err != nil || appendSize < 1<<16 || appendSize > 1<<28 {
					return nil, 0, errors.New("eventstoredb: the URL's maxAppendSize must be a number of bytes from 65536, as the server's")
				}
				delete(values, name) // the client does not know it
				rest = before + "?" + values.Encode()
			case !slices.Contains(settings, lower):
				return nil, 0, fmt.Errorf("eventstoredb: the URL has a setting %q, which is unknown", name)
			case lower == "gossiptimeout":
				gossipTimeout = 0
			}
		}
	}
	config, err = esdb.ParseConnectionString(scheme + "://" + rest)
	if err != nil {
		if of, ok := errors.AsType[*url.Error](err); ok {
			err = of.Err
		}
		return nil, 0, fmt.Errorf("eventstoredb: the URL cannot be used: %w", err)
	}
	if config.NodePreference != esdb.NodePreferenceLeader {
		return nil, 0, errors.New("eventstoredb: nodePreference must be leader: Annal reads what it has just written")
	}
	if gossipTimeout > 0 {
		config.GossipTimeout = gossipTimeout
	}
	config.Logger = esdb.NoopLogging()
	return config, appendSize, config.Validate()
}

// lasting returns the configuration of a client that is used. Its discovery never gives up: one that does leaves every call
// inside it blocked for good.
func lasting(config esdb.Configuration) *esdb.Configuration {
	config.MaxDiscoverAttempts = math.MaxInt
	return &config
}

// probing returns the configuration of a client that looks once whether the server is there.
func probing(config esdb.Configuration) *esdb.Configuration {
	config.MaxDiscoverAttempts, config.DiscoveryInterval = 1, 0
	return &config
}

// explain says in one sentence, for who configures Annal, why the server cannot be used.
func explain(err error) error {
	reason, says := err.Error(), "cannot be reached"
	if of, ok := errors.AsType[interface {
		error
		GRPCStatus() *status.Status
	}](err); ok {
		reason = of.GRPCStatus().Message() // without the layers of the libraries: connection error: desc = "transport: …"
		if _, inner, ok := strings.Cut(reason, `desc = "`); ok {
			reason = strings.TrimSuffix(inner, `"`)
		}
	}
	switch code := statusOf(err); {
	case code == codes.Unauthenticated:
		says = "does not know this user name and password"
	case code == codes.PermissionDenied:
		says = "does not let this user in"
	case strings.Contains(reason, "x509:"):
		says = "has a certificate that is not trusted (tlsCaFile=… names another authority)"
	case strings.Contains(reason, "first record does not look like a TLS handshake"):
		says = "is not using TLS there (tls=false, if that is meant)"
	case errors.Is(err, errOld):
		says = "is of a version that is too old"
	}
	return &refusal{"EventStoreDB " + says + ": " + reason, err}
}

// refusal is an error in words of our own.
type refusal struct {
	text string
	err  error
}

func (r *refusal) Error() string { return r.text }
func (r *refusal) Unwrap() error { return r.err }
