package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/alicebob/miniredis/v2"

	"github.com/holdfast-go/holdfast/engine"
)

// world is what the demo plays with: servers and workers inside this program.
// The servers know enough of Redis to vote.
type world struct {
	pace    time.Duration
	ttl     time.Duration
	start   time.Time
	servers []*miniredis.Miniredis
	workers []*worker
	working sync.WaitGroup // the workers
	said    func(event)    // called with each event, in order; nil: nobody listens

	mu     sync.Mutex
	up     []bool // as servers
	events []event
	terms  int // of all leaders
	most   int // leaders that were seen at the same time
}

// event is something that has happened.
type event struct {
	at   time.Duration // since the start
	text string
}

const leaderLock = "leader" // what all the workers want

func newWorld(pace time.Duration) (*world, error) {
	w := &world{pace: pace, ttl: max(50*time.Millisecond, (pace / 3).Round(time.Millisecond)), start: time.Now()}
	for range 3 {
		m := miniredis.NewMiniRedis()
		m.ClockTTL(true) // keys expire as time goes by
		if err := m.Start(); err != nil {
			w.close()
			return nil, err
		}
		w.servers, w.up = append(w.servers, m), append(w.up, true)
	}
	for _, name := range []string{"Ada", "Bob", "Cy", "Dee"} {
		worker, err := newWorker(w, name)
		if err != nil {
			w.close()
			return nil, err
		}
		w.workers = append(w.workers, worker)
	}
	return w, nil
}

func (w *world) close() {
	for _, worker := range w.workers {
		worker.connect() // so that nothing needs to time out
		_ = worker.locks.Close(context.Background())
	}
	for _, m := range w.servers {
		m.Close()
	}
}

func (w *world) pause(ctx context.Context) error {
	select {
	case <-time.After(w.pace):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (w *world) kill(n int) {
	w.servers[n].Close()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.up[n] = false
}

func (w *world) revive(n int) error {
	if err := w.servers[n].Restart(); err != nil {
		return fmt.Errorf("server %d does not come back: %w", n+1, err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.up[n] = true
	return nil
}

// say records an event.
func (w *world) say(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.record(format, args...)
}

// record is say with mu held.
func (w *world) record(format string, args ...any) {
	e := event{time.Since(w.start), fmt.Sprintf(format, args...)}
	w.events = append(w.events, e)
	if w.said != nil {
		w.said(e)
	}
}

// awaitLeader returns the worker that leads, when somebody has begun to.
func (w *world) awaitLeader(ctx context.Context) (*worker, error) {
	tick := time.NewTicker(w.ttl / 20)
	defer tick.Stop()
	for {
		for _, worker := range w.workers {
			if l := worker.lease(); l != nil && l.Remaining() > w.ttl/2 {
				return worker, nil
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// leaders counts the workers who may rely on the lock now.
func (w *world) leaders() (n int) {
	for _, worker := range w.workers {
		if l := worker.lease(); l != nil && l.Valid() {
			n++
		}
	}
	return n
}

// verdict is the moral: there was one leader at a time, and there were some.
func (w *world) verdict() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.most > 1:
		return fmt.Errorf("there were %d leaders at the same time: this must never happen", w.most)
	case w.terms == 0:
		return errors.New("nobody ever led")
	}
	w.record("the end: there were %d leaders, and never two at once", w.terms)
	return nil
}

// config is that of every worker's engine.
func (w *world) config(name string) engine.Config {
	return engine.Config{TTL: w.ttl, Owner: name, KeyPrefix: "demo:"}
}
