package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

type healthCmd struct {
	URL    string `arg:"" optional:"" help:"Of a running Annal. Default: the one that ANNAL_LISTEN or the default address names." placeholder:"URL"`
	Listen string `hidden:"" default:"127.0.0.1:8420" env:"ANNAL_LISTEN"`
}

// healthTimeout is a little more than what /readyz gives the servers that it asks.
const healthTimeout = 4 * time.Second

// Run asks a running Annal whether it is ready: for health checks where there is no curl. Exit status 1 means no.
func (c healthCmd) Run(ctx context.Context) error {
	address, err := c.address()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, healthTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return fmt.Errorf("nobody answers at %s: %w", address, errors.Unwrap(err))
	}
	defer response.Body.Close()
	var answer struct {
		Ready    bool
		Problems []string
	}
	if err := json.NewDecoder(io.LimitReader(response.Body, 1<<20)).Decode(&answer); err != nil {
		return fmt.Errorf("what answers at %s is no Annal", address)
	}
	if !answer.Ready {
		return errors.New("not ready: " + strings.Join(answer.Problems, "; "))
	}
	fmt.Println("ready")
	return nil
}

// address returns the address of /readyz. One that listens everywhere is asked on the loopback.
func (c healthCmd) address() (string, error) {
	if c.URL == "" {
		host, port, err := net.SplitHostPort(c.Listen)
		if err != nil {
			return "", fmt.Errorf("%q is no address to listen on", c.Listen)
		}
		if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
			host = "127.0.0.1"
		}
		return "http://" + net.JoinHostPort(host, port) + "/readyz", nil
	}
	u, err := url.Parse(c.URL)
	if err != nil || u.Host == "" {
		return "", fmt.Errorf("%q is no URL like http://127.0.0.1:8420", c.URL)
	}
	return u.JoinPath("/readyz").String(), nil
}
