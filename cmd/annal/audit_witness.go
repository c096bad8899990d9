package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/annal-crm/annal/transparency"
)

type auditWitnessCmd struct {
	Listen string   `help:"Address to listen on." default:"127.0.0.1:8421" env:"ANNAL_WITNESS_LISTEN"`
	Dir    string   `help:"Directory of the witness' key and of what it has seen." default:"witness" env:"ANNAL_WITNESS_DIR" type:"path"`
	Name   string   `help:"The name it signs under: a domain of yours, without a scheme." required:"" env:"ANNAL_WITNESS_NAME"`
	Log    []string `help:"Public key of a log to watch, as its annal audit keys prints it. May be repeated." required:"" env:"ANNAL_WITNESS_LOGS" placeholder:"KEY"`
}

// Run serves until it is stopped. It needs no database, and must not run where that of the watched log does.
func (c auditWitnessCmd) Run(ctx context.Context) error {
	if err := os.MkdirAll(c.Dir, 0o700); err != nil {
		return err
	}
	w, err := transparency.NewWitness(c.Name, transparency.KeySource{File: filepath.Join(c.Dir, "witness.key")}, c.Dir, c.Log)
	if err != nil {
		return err
	}
	listener, err := front{Listen: c.Listen}.listen()
	if err != nil {
		return err
	}
	server := &http.Server{Handler: w, ReadTimeout: 10 * time.Second, WriteTimeout: 10 * time.Second} // a request is a kilobyte or two
	stop := context.AfterFunc(ctx, func() {
		ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		server.Shutdown(ending)
	})
	defer stop()
	fmt.Printf("witness %s\nready http://%s\n", w.VerifierKey(), listener.Addr())
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
