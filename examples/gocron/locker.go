package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/go-co-op/gocron/v2"

	"github.com/holdfast-go/holdfast/engine"
	"github.com/holdfast-go/holdfast/lease"
)

// locker is a gocron.Locker for jobs that run at every multiple of a duration, as a
// cron table has them.
//
// gocron releases the lock when the job ends, and does not say which tick it is for. But
// a scheduler whose clock is late would then find it free, and run the job once more.
// So the lock is held to the end of a window after the tick, and nobody begins in the
// second half of it: clocks may differ by nearly half a window. The engine's TTL must
// not be below the window, for the case that the runner dies.
//
// Nor does gocron tell the job that its lock is lost. A job asks for that: Context.
type locker struct {
	locks         *engine.Engine
	every, window time.Duration

	mu   sync.Mutex
	held map[string]*lease.Lease // by job
}

func newLocker(locks *engine.Engine, every, window time.Duration) *locker {
	return &locker{locks: locks, every: every, window: window, held: make(map[string]*lease.Lease)}
}

// Lock returns an error when another scheduler runs the job, or did, or no quorum can be
// had in time.
func (l *locker) Lock(ctx context.Context, job string) (gocron.Lock, error) {
	tick := time.Now().Truncate(l.every)
	ctx, cancel := context.WithDeadline(ctx, tick.Add(l.window/2))
	defer cancel()
	held, err := l.locks.Acquire(ctx, job)
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.held[job] = held
	return &locked{l, held, tick.Add(l.window)}, nil
}

// Context returns a context for the job that is being run. It ends when the lock does.
func (l *locker) Context(parent context.Context, job string) (context.Context, context.CancelFunc, error) {
	l.mu.Lock()
	held := l.held[job]
	l.mu.Unlock()
	if held == nil {
		return nil, nil, fmt.Errorf("%q is not locked: is its name that of the job?", job)
	}
	ctx, cancel := held.Context(parent)
	return ctx, cancel, nil
}

// locked is a gocron.Lock.
type locked struct {
	*locker
	lease *lease.Lease
	until time.Time
}

// Unlock keeps the lock to the end of its window. gocron calls it on the goroutine of
// the job. When it shuts down ctx has ended, but the job has been run, and must not be run
// again: it waits for that as for the job, at most gocron.WithStopTimeout.
func (l *locked) Unlock(ctx context.Context) error {
	l.mu.Lock()
	delete(l.held, l.lease.Resource())
	l.mu.Unlock()
	select {
	case <-time.After(time.Until(l.until)):
	case <-l.lease.Done():
	}
	return l.lease.Release(ctx)
}
