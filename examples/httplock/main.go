// Httplock serves HTTP requests, those of one user one after the other, whichever
// server they reach:
//
//	go run ./examples/httplock
//
// A deposit reads a balance, and writes another: two at once would lose one. Without
// HOLDFAST_REDIS, three Redis servers and two HTTP servers run inside this program,
// which makes many deposits at once, and looks at the balances. With HOLDFAST_REDIS
// set it is one HTTP server, until ^C, and -dir is the folder that all of them see:
//
//	HOLDFAST_REDIS=redis://host1:6379,redis://host2:6379,redis://host3:6379 go run ./examples/httplock -listen localhost:8080 -dir /shared/bank
//	curl -X POST localhost:8080/users/ann/deposits
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"time"

	"github.com/holdfast-go/holdfast/engine"
	"github.com/holdfast-go/holdfast/examples/internal/embedded"
)

const (
	patience    = 5 * time.Second // a request takes no longer, waiting included
	openTimeout = 5 * time.Second
)

func main() {
	listen := flag.String("listen", "localhost:0", "where to serve")
	dir := flag.String("dir", "", "the folder with the balances; by default a new one")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, *listen, *dir)
	stop()
	if err != nil && !errors.Is(err, context.Canceled) { // that was ^C
		fmt.Fprintln(os.Stderr, "httplock:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, listen, dir string) error {
	if dir == "" {
		var err error
		if dir, err = os.MkdirTemp("", "holdfast-httplock-"); err != nil {
			return err
		}
		defer os.RemoveAll(dir)
	}
	urls, own, err := embedded.Redis()
	if err != nil {
		return err
	}
	if own != nil {
		defer own.Close()
		return tryTwo(ctx, urls, dir)
	}
	addr, served, err := serve(ctx, urls, listen, dir)
	if err != nil {
		return err
	}
	fmt.Printf("serving http://%s/users/NAME/deposits\n", addr)
	return served()
}

// serve opens an engine and an HTTP server until ctx ends. served waits until the
// requests under way are answered, and the engine is closed.
func serve(ctx context.Context, urls []string, listen, dir string) (addr string, served func() error, err error) {
	opening, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	locks, err := engine.Open(opening, urls, engine.Config{KeyPrefix: "holdfast-httplock:"})
	if err != nil {
		return "", nil, err
	}
	listener, err := net.Listen("tcp", listen)
	if err != nil {
		return "", nil, errors.Join(err, locks.Close(ctx))
	}
	mux := http.NewServeMux()
	mux.Handle("POST /users/{user}/deposits", bank{locks, dir})
	server := &http.Server{Handler: mux, ReadHeaderTimeout: patience}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()
	return listener.Addr().String(), func() error {
		select {
		case err = <-failed:
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*patience)
			defer cancel()
			err = server.Shutdown(last)
			<-failed
		}
		return errors.Join(err, locks.Close(context.WithoutCancel(ctx)))
	}, nil
}
