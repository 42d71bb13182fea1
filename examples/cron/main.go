// Cron runs a job on time, on one of several hosts:
//
//	go run ./examples/cron
//
// A lock alone is not enough for that. A host whose clock is late finds the lock free
// again, and would run the job once more. So the host that has run it leaves the lock locked for
// a while after its time, a window, and nobody begins in the second half of the window. It
// detaches the lease for that, and the lock goes by its TTL: nobody waits for it.
// `holdfast run --at-least` does the same for a command.
//
// Without HOLDFAST_REDIS it starts three Redis servers inside this program, and three
// hosts with clocks that differ, for some seconds. With HOLDFAST_REDIS set it is one
// host, until ^C:
//
//	HOLDFAST_REDIS=redis://host1:6379,redis://host2:6379,redis://host3:6379 go run ./examples/cron -every 1m
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/holdfast-go/holdfast/engine"
	"github.com/holdfast-go/holdfast/examples/internal/embedded"
	"github.com/holdfast-go/holdfast/lease"
)

const (
	work        = 100 * time.Millisecond // what the job takes
	openTimeout = 5 * time.Second
)

func main() {
	every := flag.Duration("every", time.Second, "how often the job runs; at least 100ms")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	context.AfterFunc(ctx, stop) // a second ^C ends it at once
	err := run(ctx, *every)
	stop()
	if err != nil && !errors.Is(err, context.Canceled) { // that was ^C
		fmt.Fprintln(os.Stderr, "cron:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, every time.Duration) error {
	if every < 100*time.Millisecond {
		return fmt.Errorf("-every %v: must be 100ms or more", every)
	}
	// Clocks may differ by nearly half a window, and a window must end before the
	// next tick. No lease here may be longer than a minute, Config.MaxTTL's default.
	window := min(every*8/10, time.Minute).Truncate(time.Millisecond)
	urls, own, err := embedded.Redis()
	if err != nil {
		return err
	}
	if own == nil {
		return host{name: fmt.Sprint("process ", os.Getpid()), every: every, window: window}.run(ctx, urls)
	}
	defer own.Close()
	hosts, ctx := errgroup.WithContext(ctx)
	for n, name := range []string{"Ada", "Bob", "Cy"} {
		late := time.Duration(n) * window / 8 // each clock is later than the one before
		hosts.Go(func() error { return host{name, every, window, late, 4, nil}.run(ctx, urls) })
	}
	return hosts.Wait()
}

// host is one of those that could run the job.
type host struct {
	name          string
	every, window time.Duration
	late          time.Duration // of its clock
	ticks         int           // after which it ends; 0: never
	locks         *engine.Engine
}

func (h host) now() time.Time { return time.Now().Add(-h.late) }

func (h host) run(ctx context.Context, urls []string) (err error) {
	opening, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	// The TTL is as long as the window, so that nobody runs the job again whose
	// runner has died.
	h.locks, err = engine.Open(opening, urls, engine.Config{TTL: h.window, Owner: h.name, KeyPrefix: "holdfast-cron:"})
	if err != nil {
		return err
	}
	defer h.locks.Close(context.WithoutCancel(ctx))
	for n := 0; h.ticks == 0 || n < h.ticks; n++ {
		tick := h.now().Truncate(h.every).Add(h.every)
		if err := sleep(ctx, tick.Sub(h.now())); err != nil {
			return err
		}
		if err := h.once(ctx, tick); err != nil {
			return err
		}
	}
	return nil
}

// once runs the job of a tick, unless another host does, or did.
func (h host) once(ctx context.Context, tick time.Time) error {
	// To wait, rather than to try once: of hosts that try at the same moment, each may
	// be in the way of the others, and none would run the job.
	trying, cancel := context.WithTimeout(ctx, tick.Add(h.window/2).Sub(h.now()))
	defer cancel()
	held, err := h.locks.Acquire(trying, "report")
	if err != nil {
		return h.skip(ctx, tick, err)
	}
	during, done := held.Context(ctx)
	defer done()
	if err := h.job(during, tick); err != nil { // then another may run it
		fmt.Println(h.name, "breaks off", label(tick)+":", err)
		if err := held.Release(ctx); err != nil && !errors.Is(err, lease.ErrLost) {
			fmt.Println(h.name, "leaves the lock to its TTL:", err)
		}
		return nil
	}
	// It was run, and must not be run again: the lock lives on for the TTL, which is as
	// long as the window, from its last renewal.
	if _, err := held.Detach(); err != nil {
		fmt.Println(h.name, "has lost the lock:", err)
	}
	return nil
}

// skip says why a tick is lost, as it can be with any cron: there is no quorum, or it
// is late already. That another host has the lock is as it should be.
func (h host) skip(ctx context.Context, tick time.Time, err error) error {
	switch {
	case ctx.Err() != nil:
		return err
	case !errors.Is(err, engine.ErrHeld):
		fmt.Println(h.name, "skips", label(tick)+":", err)
	}
	return nil
}

// job is the work. It stops when ctx ends, and so when the lease does.
func (h host) job(ctx context.Context, tick time.Time) error {
	fmt.Println(h.name, "runs", label(tick))
	return sleep(ctx, work)
}

func label(tick time.Time) string { return tick.Format("15:04:05.000") }

// sleep returns early when ctx ends, and says why.
func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
