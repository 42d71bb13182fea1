package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// timing says of what the latencies are taken.
type timing int

const (
	untimed timing = iota // of nothing: no clock is read
	acquires
	cycles // acquire and release
)

// load is a number of callers, each of whom acquires and releases a session of its own again and again, from startLoad
// to stop. What they achieve is counted only while a window is open:
//
//	startLoad ──warm-up──┤ window ├──pause a server──┤ window ├── stop
type load struct {
	timing   timing
	callers  int
	patience time.Duration
	cancel   context.CancelFunc     // ends what still waits
	latest   atomic.Pointer[window] // the one opened last
	over     atomic.Bool
	done     chan struct{} // closed when every caller is gone
}

// window is a stretch of time and what the callers did in it.
type window struct {
	start, end time.Time // end once it is closed
	closed     atomic.Bool
	begun      atomic.Bool   // that first is about to be closed
	first      chan struct{} // closed by the caller who finishes the first cycle
	former     *window
	tallies    []tally // one a caller, who alone writes to it, until the load has stopped
}

// tally is one caller's part of a window.
type tally struct {
	cycles, errors int
	samples        []time.Duration
	_              [24]byte // to the end of a cache line
}

// startLoad starts a caller for every session.
func (b *bench) startLoad(ctx context.Context, sessions []session, t timing) *load {
	ctx, cancel := context.WithCancel(ctx)
	l := &load{timing: t, callers: len(sessions), patience: b.patience, cancel: cancel, done: make(chan struct{})}
	var callers sync.WaitGroup
	for caller, s := range sessions {
		callers.Go(func() { l.run(ctx, caller, s) })
	}
	go func() {
		callers.Wait()
		close(l.done)
	}()
	return l
}

// measure opens a window for d, and for longer when nothing has been finished by then, until something is, or patience
// ends: of nothing there is no rate. The window may be read once the load has stopped.
func (l *load) measure(ctx context.Context, d time.Duration) *window {
	w := &window{tallies: make([]tally, l.callers), first: make(chan struct{}), former: l.latest.Load(), start: time.Now()}
	l.latest.Store(w)
	sleep(ctx, d)
	select {
	case <-w.first:
	case <-ctx.Done():
	case <-time.After(l.patience):
	}
	w.end = time.Now()
	w.closed.Store(true)
	return w
}

// limit is how long callers whose contexts have ended may take to come to their own end: peers that do not heed a
// context wait for a stopped server for as long as their timeouts and retries together. Then something hangs.
const limit = time.Minute

// stop returns when every caller has finished what it was doing, or with an error when some do not.
func (l *load) stop() error {
	defer l.cancel()
	l.over.Store(true)
	for _, wait := range []time.Duration{l.patience, limit} {
		select {
		case <-l.done:
			return nil
		case <-time.After(wait):
			l.cancel()
		}
	}
	return fmt.Errorf("callers have not come back %v after their contexts ended", limit)
}

// run is one caller. startLoad starts it, and stop ends it and waits for it.
func (l *load) run(ctx context.Context, caller int, s session) {
	ctx, cancel := context.WithCancel(ctx) // its own, as a request's is: callers must not meet at the lock of a common one
	defer cancel()
	for !l.over.Load() && ctx.Err() == nil {
		start := l.now()
		err := s.acquire(ctx)
		end := start
		if l.timing == acquires {
			end = time.Now()
		}
		if err == nil {
			err = s.release(ctx)
		}
		if l.timing == cycles {
			end = time.Now()
		}
		l.note(caller, start, end.Sub(start), err)
	}
}

// note writes down one cycle: in the window that is open, and, when it began before the end of one that has closed
// meanwhile, as far as it lasted then.
func (l *load) note(caller int, start time.Time, took time.Duration, err error) {
	for w := l.latest.Load(); w != nil; w = w.former {
		t := &w.tallies[caller]
		switch {
		case !w.closed.Load():
			t.count(err)
			if err == nil && !w.begun.Load() && w.begun.CompareAndSwap(false, true) {
				close(w.first)
			}
			if l.timing != untimed {
				t.sample(took)
			}
		case l.timing == untimed || !start.Before(w.end):
			return
		default:
			t.sample(min(took, w.end.Sub(start)))
		}
	}
}

func (l *load) now() time.Time {
	if l.timing == untimed {
		return time.Time{}
	}
	return time.Now()
}

func (t *tally) count(err error) {
	if err != nil {
		t.errors++
		return
	}
	t.cycles++
}

func (t *tally) sample(d time.Duration) { t.samples = append(t.samples, d) }

func (w *window) cycles() (n int) {
	for i := range w.tallies {
		n += w.tallies[i].cycles
	}
	return n
}

func (w *window) errors() (n int) {
	for i := range w.tallies {
		n += w.tallies[i].errors
	}
	return n
}

// rate is in cycles a second.
func (w *window) rate() float64 { return float64(w.cycles()) / w.end.Sub(w.start).Seconds() }

// samples returns all latencies, sorted. Those of failed attempts are among them, and those of attempts that the end of
// the window cut off, as long as they had lasted by then: a peer that hangs does not look fast.
func (w *window) samples() []time.Duration {
	var all []time.Duration
	for i := range w.tallies {
		all = append(all, w.tallies[i].samples...)
	}
	slices.Sort(all)
	return all
}

// steady is the common measurement: warm up, measure, stop.
func (b *bench) steady(ctx context.Context, sessions []session, t timing, d time.Duration) (*window, error) {
	l := b.startLoad(ctx, sessions, t)
	sleep(ctx, b.warmup)
	w := l.measure(ctx, d)
	return w, errors.Join(l.stop(), context.Cause(ctx))
}

// ownResources gives every caller a session on a resource of its own.
func ownResources(l locker, callers int) []session {
	sessions := make([]session, callers)
	for i := range sessions {
		sessions[i] = l.session(fmt.Sprintf("order-%06d", i))
	}
	return sessions
}
