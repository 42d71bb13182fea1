package engine_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"time"

	"github.com/alicebob/miniredis/v2"

	"github.com/holdfast-go/holdfast/engine"
	"github.com/holdfast-go/holdfast/lease"
)

// servers starts three servers inside this program, in place of three real ones.
func servers() (urls []string, stop func()) {
	var all []*miniredis.Miniredis
	for range 3 {
		s := miniredis.NewMiniRedis()
		if err := s.Start(); err != nil {
			log.Fatal(err)
		}
		all, urls = append(all, s), append(urls, "redis://"+s.Addr())
	}
	return urls, func() {
		for _, s := range all {
			s.Close()
		}
	}
}

// exampleEngine is an engine on three servers. Call stop when done.
func exampleEngine(cfg engine.Config) (locks *engine.Engine, stop func()) {
	urls, stopServers := servers()
	locks, err := engine.Open(context.Background(), urls, cfg)
	if err != nil {
		log.Fatal(err)
	}
	return locks, func() {
		if err := locks.Close(context.Background()); err != nil {
			log.Print(err)
		}
		stopServers()
	}
}

// The shortest way to a critical section: the context of the function ends when the lock does.
func ExampleEngine_Do() {
	ctx := context.Background()
	urls, stop := servers() // "redis://10.0.0.1:6379", "redis://10.0.0.2:6379", "redis://10.0.0.3:6379"
	defer stop()

	locks, err := engine.Open(ctx, urls, engine.Config{})
	if err != nil {
		log.Fatal(err)
	}
	defer locks.Close(ctx)

	err = locks.Do(ctx, "nightly-report", func(ctx context.Context) error {
		fmt.Println("nobody else writes the report now")
		return nil
	})
	fmt.Println(err)
	// Output:
	// nobody else writes the report now
	// <nil>
}

// Acquire waits for the lock as long as its context lets it.
func ExampleEngine_Acquire() {
	locks, stop := exampleEngine(engine.Config{})
	defer stop()

	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	held, err := locks.Acquire(ctx, "orders/42")
	if err != nil {
		log.Fatal(err)
	}
	select {
	case <-held.Done(): // the lease is over: stop what you do
		fmt.Println("lost:", held.Err())
	default:
		fmt.Println("held:", held.Resource())
	}
	fmt.Println(held.Release(ctx), held.Err())
	// Output:
	// held: orders/42
	// <nil> lease released
}

// TryAcquire asks once, and says who is in the way.
func ExampleEngine_TryAcquire() {
	ctx := context.Background()
	locks, stop := exampleEngine(engine.Config{})
	defer stop()

	first, err := locks.TryAcquire(ctx, "orders/42")
	if err != nil {
		log.Fatal(err)
	}
	_, err = locks.TryAcquire(ctx, "orders/42")
	fmt.Println(errors.Is(err, engine.ErrHeld))

	if err := first.Release(ctx); err != nil {
		log.Fatal(err)
	}
	_, err = locks.TryAcquire(ctx, "orders/42")
	fmt.Println(err)
	// Output:
	// true
	// <nil>
}

// AcquireAll has both accounts or none, so two transfers in opposite directions cannot wait for each other for ever.
func ExampleEngine_AcquireAll() {
	ctx := context.Background()
	locks, stop := exampleEngine(engine.Config{Trace: &engine.Trace{
		Acquired: func(_ context.Context, a engine.AcquiredInfo) {
			fmt.Printf("%s and %d more: %s\n", a.Resource, a.More, engine.Outcome(a.Err))
		},
	}})
	defer stop()

	held, err := locks.AcquireAll(ctx, []string{"account/7", "account/42"})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("held:", held.Resources())

	_, err = locks.TryAcquireAll(ctx, []string{"account/42", "account/99"})
	var q *engine.QuorumError
	if errors.As(err, &q) && errors.Is(err, engine.ErrHeld) {
		fmt.Printf("in the way: %s, of %d\n", q.Resource, len(q.Resources))
	}
	fmt.Println(held.Release(ctx))
	// Output:
	// account/42 and 1 more: granted
	// held: [account/42 account/7]
	// account/42 and 1 more: held
	// in the way: account/42, of 2
	// <nil>
}

// TryDo does the work, unless somebody else is about it.
func ExampleEngine_TryDo() {
	ctx := context.Background()
	locks, stop := exampleEngine(engine.Config{})
	defer stop()

	work := func(context.Context) error {
		fmt.Println("the cache is filled")
		return nil
	}
	other, err := locks.Acquire(ctx, "cache/refill")
	if err != nil {
		log.Fatal(err)
	}
	if err := locks.TryDo(ctx, "cache/refill", work); errors.Is(err, engine.ErrHeld) {
		fmt.Println("somebody else fills it")
	}
	if err := other.Release(ctx); err != nil {
		log.Fatal(err)
	}
	fmt.Println(locks.TryDo(ctx, "cache/refill", work))
	// Output:
	// somebody else fills it
	// the cache is filled
	// <nil>
}

// WithWait bounds the waiting. A deadline of ctx would bound the work as well.
func ExampleWithWait() {
	ctx := context.Background()
	locks, stop := exampleEngine(engine.Config{})
	defer stop()

	err := locks.Do(ctx, "orders/42", func(work context.Context) error {
		_, bounded := work.Deadline()
		fmt.Println("the work has a deadline:", bounded)

		err := locks.Do(ctx, "orders/42", func(context.Context) error { return nil }, engine.WithWait(50*time.Millisecond))
		fmt.Println("waited for too long:", errors.Is(err, context.DeadlineExceeded), "because it is held:", errors.Is(err, engine.ErrHeld))
		return nil
	}, engine.WithWait(5*time.Second))
	fmt.Println(err)
	// Output:
	// the work has a deadline: false
	// waited for too long: true because it is held: true
	// <nil>
}

// What the lock protects refuses the token of a holder who has been overtaken.
func ExampleWithFencing() {
	ctx := context.Background()
	locks, stop := exampleEngine(engine.Config{})
	defer stop()

	var highest uint64 // kept by what is written to, in one step with the write
	write := func(fence uint64) {
		if fence < highest {
			fmt.Println("refused")
			return
		}
		highest = fence
		fmt.Println("written")
	}

	first, err := locks.Acquire(ctx, "account/42", engine.WithFencing())
	if err != nil {
		log.Fatal(err)
	}
	write(first.Fence())
	if err := first.Release(ctx); err != nil {
		log.Fatal(err)
	}

	second, err := locks.Acquire(ctx, "account/42", engine.WithFencing())
	if err != nil {
		log.Fatal(err)
	}
	write(second.Fence())
	write(first.Fence()) // a write that was under way for too long
	// Output:
	// written
	// written
	// refused
}

// A lease without renewal ends by itself.
func ExampleWithoutRenewal() {
	ctx := context.Background()
	locks, stop := exampleEngine(engine.Config{})
	defer stop()

	held, err := locks.Acquire(ctx, "cache/refill", engine.WithTTL(50*time.Millisecond), engine.WithoutRenewal())
	if err != nil {
		log.Fatal(err)
	}
	<-held.Done()
	fmt.Println(errors.Is(held.Err(), lease.ErrExpired), held.Valid())
	// Output: true false
}

// Inspect says who holds a resource without touching it.
func ExampleEngine_Inspect() {
	ctx := context.Background()
	locks, stop := exampleEngine(engine.Config{Owner: "host-1"})
	defer stop()

	if _, err := locks.Acquire(ctx, "deploy/production"); err != nil {
		log.Fatal(err)
	}
	status, err := locks.Inspect(ctx, "deploy/production")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(status.Held, status.Owner, len(status.Votes))
	// Output: true host-1 3
}

// Lost has every lease that ended without being released.
func ExampleEngine_Lost() {
	ctx := context.Background()
	locks, stop := exampleEngine(engine.Config{})
	defer stop()

	if _, err := locks.Acquire(ctx, "leader", engine.WithMaxHold(50*time.Millisecond)); err != nil {
		log.Fatal(err)
	}
	lost := <-locks.Lost()
	fmt.Println(lost.Resource(), errors.Is(lost.Err(), lease.ErrMaxHold))
	// Output: leader true
}

// A holder that must stop at once when an operator takes its lock away, and not with the next renewal.
func ExampleWithWatch() {
	ctx := context.Background()
	trace := &engine.Trace{Checked: func(c engine.CheckedInfo) {
		if c.Lost {
			slog.Debug("a server told of the loss", "resource", c.Lease.Resource(), "took", c.Took)
		}
	}}
	locks, stop := exampleEngine(engine.Config{TTL: time.Minute, Trace: trace}) // renewed every 20s
	defer stop()

	held, err := locks.Acquire(ctx, "leader", engine.WithWatch())
	if err != nil {
		log.Fatal(err)
	}
	work := time.After(50 * time.Millisecond)
	select {
	case <-work:
		fmt.Println("done")
	case <-held.Done(): // where servers tell, some milliseconds after somebody has deleted the lock
		fmt.Println("stopped:", held.Err())
	}
	if err := held.Release(ctx); err != nil {
		log.Fatal(err)
	}
	// Output: done
}

// A lock is taken where a job is put into a queue, and adopted by the worker that does the job.
func ExampleEngine_Adopt() {
	urls, stop := servers()
	defer stop()
	ctx := context.Background()
	producer, err := engine.Open(ctx, urls, engine.Config{})
	if err != nil {
		log.Fatal(err)
	}
	worker, err := engine.Open(ctx, urls, engine.Config{})
	if err != nil {
		log.Fatal(err)
	}
	defer worker.Close(ctx)

	type job struct{ Video, Token string }
	queue := make(chan job, 1)

	held, err := producer.Acquire(ctx, "video/7", engine.WithTTL(time.Minute)) // for as long as the job may wait
	if err != nil {
		log.Fatal(err)
	}
	token, err := held.Detach()
	if err != nil {
		log.Fatal(err)
	}
	queue <- job{"video/7", token}
	fmt.Println("producer:", held.Err(), "·", producer.Close(ctx)) // which leaves the lock alone

	next := <-queue
	mine, err := worker.Adopt(ctx, next.Video, next.Token)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("worker:", mine.Valid(), "·", mine.Release(ctx))
	// Output:
	// producer: lease detached · <nil>
	// worker: true · <nil>
}
