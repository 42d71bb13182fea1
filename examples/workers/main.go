// Workers is a pool of workers on several hosts that share jobs without a queue:
//
//	go run ./examples/workers
//
// A job is a file. The worker that does one holds the lock of its name, and moves it to the
// folder done at the end. When a worker dies, its job is another's as soon as the
// lease is over.
//
// Without HOLDFAST_REDIS it starts three Redis servers inside this program, and
// three hosts with an engine each. With HOLDFAST_REDIS set it is one host, and -dir
// names the folder that all of them see:
//
//	HOLDFAST_REDIS=redis://host1:6379,redis://host2:6379,redis://host3:6379 go run ./examples/workers -dir /shared/jobs
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/signal"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/holdfast-go/holdfast/engine"
	"github.com/holdfast-go/holdfast/examples/internal/embedded"
	"github.com/holdfast-go/holdfast/lease"
)

const (
	workers = 3                     // of a host
	effort  = 40 * time.Millisecond // a job takes
	longest = time.Minute           // that a job may take: then it is another's turn
	pause   = 20 * time.Millisecond // before a worker looks for jobs again

	openTimeout = 5 * time.Second
)

func main() {
	dir := flag.String("dir", "", "the folder with the jobs; by default a new one, with 24 jobs in it")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, *dir)
	stop()
	if err != nil && !errors.Is(err, context.Canceled) { // that was ^C
		fmt.Fprintln(os.Stderr, "workers:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, dir string) error {
	if dir == "" {
		var err error
		if dir, err = newJobs(24); err != nil {
			return err
		}
		defer os.RemoveAll(dir)
	}
	if err := os.MkdirAll(filepath.Join(dir, "done"), 0o755); err != nil {
		return err
	}
	urls, own, err := embedded.Redis()
	if err != nil {
		return err
	}
	defer own.Close()
	names := []string{fmt.Sprint("process ", os.Getpid())}
	if own != nil {
		names = []string{"Ada", "Bob", "Cy"}
	}
	hosts, ctx := errgroup.WithContext(ctx)
	for _, name := range names {
		hosts.Go(func() error { return work(ctx, urls, host{name: name, dir: dir}) })
	}
	return hosts.Wait()
}

// newJobs makes a folder with jobs.
func newJobs(n int) (dir string, err error) {
	if dir, err = os.MkdirTemp("", "holdfast-workers-"); err != nil {
		return "", err
	}
	for k := range n {
		name := filepath.Join(dir, fmt.Sprintf("job-%02d", k+1))
		err = errors.Join(err, os.WriteFile(name, nil, 0o644))
	}
	return dir, err
}

// host is one of those that share the jobs.
type host struct {
	name  string
	dir   string
	locks *engine.Engine
}

// work returns when no job is left.
func work(ctx context.Context, urls []string, h host) (err error) {
	opening, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	h.locks, err = engine.Open(opening, urls, engine.Config{Owner: h.name, KeyPrefix: "holdfast-workers:"})
	if err != nil {
		return err
	}
	defer h.locks.Close(context.WithoutCancel(ctx))
	pool, ctx := errgroup.WithContext(ctx)
	for range workers {
		pool.Go(func() error { return h.worker(ctx) })
	}
	return pool.Wait()
}

// worker takes one job after the other, in any order: workers that all began with
// the first would only be in each other's way.
func (h host) worker(ctx context.Context) error {
	for {
		jobs, err := filepath.Glob(filepath.Join(h.dir, "job-*"))
		if err != nil || len(jobs) == 0 {
			return err
		}
		rand.Shuffle(len(jobs), func(i, j int) { jobs[i], jobs[j] = jobs[j], jobs[i] })
		for _, job := range jobs {
			if err := h.try(ctx, job); err != nil {
				return err
			}
		}
		select {
		case <-time.After(pause): // others are at what is left
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// try does a job, if nobody else is at it.
func (h host) try(ctx context.Context, job string) (err error) {
	name := filepath.Base(job)
	held, err := h.locks.TryAcquire(ctx, name, engine.WithMaxHold(longest))
	if errors.Is(err, engine.ErrHeld) {
		return nil // another's
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, released(held.Release(ctx))) }()
	ctx, cancel := held.Context(ctx)
	defer cancel()

	// Look again, now that nobody else can work at it: it may have been done since
	// it was listed.
	if _, err := os.Stat(job); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err := h.do(ctx, name); errors.Is(err, lease.ErrLost) {
		fmt.Printf("%s must leave %s to another: %v\n", h.name, name, err)
		return nil
	} else if err != nil {
		return err
	}
	return os.Rename(job, filepath.Join(h.dir, "done", name))
}

// released is what a release says that nobody has been told already.
func released(err error) error {
	if errors.Is(err, lease.ErrLost) {
		return nil
	}
	return err
}

// do is the work. It stops when ctx ends, and so when the lease does.
func (h host) do(ctx context.Context, name string) error {
	fmt.Println(h.name, "begins", name)
	select {
	case <-time.After(effort):
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	fmt.Println(h.name, "has done", name)
	return nil
}
