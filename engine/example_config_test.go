package engine_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync/atomic"
	"time"

	"github.com/cenkalti/backoff/v4"

	"github.com/holdfast-go/holdfast/engine"
	"github.com/holdfast-go/holdfast/lease"
)

// Everything that an engine may be told. The zero Config is good for most.
func ExampleConfig() {
	ctx := context.Background()
	locks, stop := exampleEngine(engine.Config{
		TTL:          30 * time.Second, // a resource of a dead holder is free after so long
		RenewEvery:   5 * time.Second,
		DriftFactor:  0.02, // servers' clocks run up to 2% faster than ours
		Tries:        3,
		Backoff:      func() engine.Backoff { return backoff.NewConstantBackOff(200 * time.Millisecond) },
		KeyPrefix:    "locks:",
		Owner:        "host-1",
		LocalHandoff: 64,   // a released lock may pass to goroutines of this process 64 times in a row
		MaxWaiters:   1000, // more are refused with ErrHeld
	})
	defer stop()

	held, err := locks.Acquire(ctx, "orders/42")
	fmt.Println(held.Valid(), err)
	// Output: true <nil>
}

// doubling doubles its waits, and gives up after the fifth.
type doubling struct{ next time.Duration }

func (d *doubling) NextBackOff() time.Duration {
	if d.next > 80*time.Millisecond {
		return -1 // no more rounds
	}
	d.next *= 2
	return d.next / 2
}

// A Backoff is any type with that one method.
func ExampleBackoff() {
	ctx := context.Background()
	locks, stop := exampleEngine(engine.Config{Backoff: func() engine.Backoff { return &doubling{5 * time.Millisecond} }})
	defer stop()

	var waits []time.Duration
	b := engine.Backoff(&doubling{5 * time.Millisecond})
	for wait := b.NextBackOff(); wait >= 0; wait = b.NextBackOff() {
		waits = append(waits, wait)
	}
	held, err := locks.Acquire(ctx, "orders/42")
	fmt.Println(waits, held.Resource(), err)
	// Output: [5ms 10ms 20ms 40ms 80ms] orders/42 <nil>
}

// A Trace is called at the steps of every lock. What a func is not interested in, it
// leaves out.
func ExampleTrace() {
	ctx := context.Background()
	var rounds atomic.Int32
	trace := &engine.Trace{
		Round: func(r engine.RoundInfo) {
			rounds.Add(1)
			for _, v := range r.Votes { // none when it was granted
				slog.Debug("vote", "resource", r.Resource, "says", v, "took", r.Took, "err", r.Err)
			}
		},
		Woken:   func(w engine.WokenInfo) { slog.Debug("handover", "resource", w.Resource, "took", w.Took) },
		Renewed: func(r engine.RenewedInfo) { slog.Debug("renewed", "lease", r.Lease, "margin", r.Margin) },
		Acquired: func(_ context.Context, a engine.AcquiredInfo) {
			fmt.Println(a.Resource, engine.Outcome(a.Err), "in round", a.Rounds)
		},
	}
	locks, stop := exampleEngine(engine.Config{Trace: trace})

	if _, err := locks.Acquire(ctx, "orders/42"); err != nil {
		fmt.Println(err)
	}
	stop() // waits until the trace has been told
	fmt.Println(rounds.Load(), "round of votes")
	// Output:
	// orders/42 granted in round 1
	// 1 round of votes
}

// LogTrace shows one engine at work, line by line.
func ExampleLogTrace() {
	plain := func(_ []string, a slog.Attr) slog.Attr { // without what differs from run to run
		if a.Key == slog.TimeKey || a.Key == "took" || a.Key == "waited" || a.Key == "held" {
			return slog.Attr{}
		}
		return a
	}
	log := slog.New(slog.NewTextHandler(os.Stdout, &slog.HandlerOptions{Level: slog.LevelDebug, ReplaceAttr: plain}))
	trace := engine.LogTrace(log)
	trace.Instance = nil // but not that the instances go up
	trace.Acquired = nil // which has a goroutine of its own, so that its line may come first
	locks, stop := exampleEngine(engine.Config{Trace: trace})

	err := locks.Do(context.Background(), "orders/42", func(context.Context) error { return nil })
	stop()
	fmt.Println(err)
	// Output:
	// level=DEBUG msg="round of votes" resource=orders/42 error=<nil>
	// level=DEBUG msg="lease ended" resource=orders/42 cause=released
	// <nil>
}

// What the error of an acquire says, for a program.
func ExampleQuorumError() {
	ctx := context.Background()
	locks, stop := exampleEngine(engine.Config{})
	defer stop()

	if _, err := locks.Acquire(ctx, "orders/42"); err != nil {
		fmt.Println(err)
	}
	_, err := locks.TryAcquire(ctx, "orders/42")
	var q *engine.QuorumError
	if errors.As(err, &q) {
		fmt.Printf("%s %q needs %d of %d\n", q.Op, q.Resource, q.Need, len(q.Votes))
	}
	// Output: acquire "orders/42" needs 2 of 3
}

// Why a lease has ended, and what to do then.
func ExampleCause() {
	ctx := context.Background()
	locks, stop := exampleEngine(engine.Config{})
	released, _ := locks.Acquire(ctx, "a")
	detached, _ := locks.Acquire(ctx, "b")
	closed, _ := locks.Acquire(ctx, "c")

	_ = released.Release(ctx)
	_, _ = detached.Detach()
	stop()
	for _, l := range []*lease.Lease{released, detached, closed} {
		switch err := l.Err(); {
		case errors.Is(err, lease.ErrLost):
			fmt.Println("somebody else may hold it: stop at once")
		case errors.Is(err, lease.ErrDetached):
			fmt.Println("it is locked until it is adopted:", engine.Cause(err))
		case errors.Is(err, lease.ErrClosed):
			fmt.Println("the engine was closed, and released it:", engine.Cause(err))
		default:
			fmt.Println(engine.Cause(err))
		}
	}
	_, err := locks.Acquire(ctx, "a")
	fmt.Println(errors.Is(err, engine.ErrClosed))
	// Output:
	// released
	// it is locked until it is adopted: detached
	// the engine was closed, and released it: closed
	// true
}

// A token of the caller's own: a request that comes twice finds out that it is under
// way already.
func ExampleWithToken() {
	ctx := context.Background()
	locks, stop := exampleEngine(engine.Config{})
	defer stop()

	held, err := locks.Acquire(ctx, "payment/42", engine.WithToken("request-7"))
	if err != nil {
		fmt.Println(err)
		return
	}
	status, err := locks.Inspect(ctx, "payment/42")
	fmt.Println(held.Token(), status.Token == held.Token(), err)
	// Output: request-7 true <nil>
}
