package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// A child is this program once more, as another process that locks with the same servers:
//
//	parent ── assignment, then orders ──▶ stdin
//	stdout ── one answer for "ready", one for each order ──▶ parent
//
// It ends when its standard input does.

// assignment is what a child begins with.
type assignment struct {
	Peer      string // one that can wait
	Servers   []place
	Resources []string // a session for each
}

type place struct{ Network, Addr string }

// order tells a child what to do. The orders of one session are carried out in turn, each when the one before it has
// been answered; those of different sessions at once.
type order struct {
	Do          deed
	Session     int           // whose acquire or release
	Warmup, For time.Duration // how long to load
}

type deed string

const (
	toAcquire deed = "acquire"
	toRelease deed = "release"
	toLoad    deed = "load" // all sessions acquire and release, again and again
)

// answer is what comes of an order.
type answer struct {
	Session int   // nobody's: of "ready" and toLoad
	At      int64 // when an acquire had returned, or a release was to begin, by the clock of now
	Err     string
	Stretch *stretch // of toLoad
}

// nobody is the session of what concerns the whole child.
const nobody = -1

// stretch is what the sessions of one child did in a window, and what they held since the start of the load.
type stretch struct {
	Rate    float64 // cycles a second
	Cycles  []int   // by session
	Errors  int
	Waits   []time.Duration
	Tenures []tenure
}

// tenure is a time in which a resource was held, by the clock of now.
type tenure struct{ From, To int64 }

// now reads the clock that all processes of this machine share, in nanoseconds. It never goes back.
func now() int64 {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &t); err != nil {
		panic(err) // there is no system without this clock
	}
	return t.Nano()
}

// childArg is the one argument of a child.
const childArg = "child"

func isChild() bool { return len(os.Args) == 2 && os.Args[1] == childArg }

// beChild is the whole life of a child. It returns the exit status.
func beChild(in io.Reader, out io.Writer) int {
	if err := serve(json.NewDecoder(in), json.NewEncoder(out)); err != nil {
		fmt.Fprintln(os.Stderr, "bench, child:", err)
		return 1
	}
	return 0
}

func serve(in *json.Decoder, out *json.Encoder) error {
	var a assignment
	if err := in.Decode(&a); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	l, err := a.open(ctx)
	if err != nil {
		return err
	}
	defer l.close()
	w := newWorkers(ctx, l, a.Resources, out)
	defer w.stop()
	defer cancel() // first: an acquire may still wait
	w.answer(answer{Session: nobody})
	for {
		var o order
		switch err := in.Decode(&o); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		case o.Do == toLoad:
			w.answer(loadAll(ctx, w.sessions, o))
		default:
			w.orders[o.Session] <- o
		}
	}
}

// open connects as the assignment says.
func (a *assignment) open(ctx context.Context) (locker, error) {
	i := slices.IndexFunc(waiting, func(p peer) bool { return p.name == a.Peer })
	if i < 0 {
		return nil, fmt.Errorf("no peer is called %q", a.Peer)
	}
	f := new(fleet)
	for _, s := range a.Servers {
		f.servers = append(f.servers, &server{network: s.Network, addr: s.Addr})
	}
	return waiting[i].open(ctx, f)
}

// workers are a child's goroutines, one a session.
type workers struct {
	sessions []session
	orders   []chan order // one a session, sent to and closed by serve; one slot, since one order is open at a time
	running  sync.WaitGroup

	mu  sync.Mutex
	out *json.Encoder
}

func newWorkers(ctx context.Context, l locker, resources []string, out *json.Encoder) *workers {
	w := &workers{out: out}
	for i, resource := range resources {
		orders := make(chan order, 1)
		s := l.session(resource)
		w.sessions, w.orders = append(w.sessions, s), append(w.orders, orders)
		w.running.Go(func() { w.run(ctx, i, s, orders) })
	}
	return w
}

// run carries out the orders of one session. newWorkers starts it, stop ends it and waits for it.
func (w *workers) run(ctx context.Context, i int, s session, orders <-chan order) {
	for o := range orders {
		a := answer{Session: i}
		var err error
		if o.Do == toAcquire {
			err = acquireInTime(ctx, s)
			a.At = now()
		} else {
			a.At = now()
			err = s.release(ctx)
		}
		if err != nil {
			a.Err = err.Error()
		}
		w.answer(a)
	}
}

// acquireInTime waits for a lock no longer than callers may: a peer that misses the message of a release, and does not look
// again by itself, would wait for ever. That is something to count, not the end of the run. The context stays as it is once the
// lock is there, without a deadline, since a peer may tie the lock to it.
func acquireInTime(ctx context.Context, s session) error {
	ctx, cancel := context.WithCancel(ctx)
	enough := time.AfterFunc(full.patience, cancel)
	defer enough.Stop()
	return s.acquire(ctx)
}

// answer writes to the parent. If it has gone, so will this process when it reads the next order.
func (w *workers) answer(a answer) {
	w.mu.Lock()
	defer w.mu.Unlock()
	_ = w.out.Encode(a)
}

func (w *workers) stop() {
	for _, orders := range w.orders {
		close(orders)
	}
	w.running.Wait()
}

// loadAll has all sessions acquire and release, as an order says.
func loadAll(ctx context.Context, sessions []session, o order) answer {
	logged := make([]session, len(sessions))
	logs := make([]*tenured, len(sessions))
	for i, s := range sessions {
		logs[i] = &tenured{session: s}
		logged[i] = logs[i]
	}
	b := &bench{plan: plan{warmup: o.Warmup, patience: full.patience}}
	w, err := b.steady(ctx, logged, acquires, o.For)
	a := answer{Session: nobody}
	if err != nil {
		a.Err = err.Error()
		return a
	}
	a.Stretch = &stretch{Rate: w.rate(), Errors: w.errors(), Waits: w.samples()}
	for i, log := range logs {
		a.Stretch.Cycles = append(a.Stretch.Cycles, w.tallies[i].cycles)
		a.Stretch.Tenures = append(a.Stretch.Tenures, log.tenures...)
	}
	return a
}

// tenured is a session that notes when it held its resource.
type tenured struct {
	session
	tenures []tenure
}

func (s *tenured) acquire(ctx context.Context) error {
	err := s.session.acquire(ctx)
	if err == nil {
		s.tenures = append(s.tenures, tenure{From: now()})
	}
	return err
}

func (s *tenured) release(ctx context.Context) error {
	s.tenures[len(s.tenures)-1].To = now()
	return s.session.release(ctx)
}
