package tell

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// Config says how a Queue tells.
type Config[E any] struct {
	Tell func(E) // the only caller of it is the queue's goroutine

	// Limit is how many events may wait. As many as that again have been taken
	// and are being told.
	Limit int

	// Reserve is how many more may wait that are put by PutReserved: there is room for
	// them when others flood the queue.
	Reserve int

	// Gather is how long events are let come together when some have just been
	// told: waking a goroutine for each costs more than telling it. 0: not at all.
	Gather time.Duration

	// Dropping is called, if it is not nil, by a Put that drops its event: by the
	// first, and then once a minute at most. It must not block.
	Dropping func(dropped uint64)
}

// Queue tells events, on a goroutine of its own, in the order in which they were
// put. All methods are safe for concurrent use.
type Queue[E any] struct {
	cfg  Config[E]
	wake chan struct{} // one slot: "look again"; received by the goroutine
	done chan struct{} // closed by the goroutine, last

	left atomic.Bool // Close has gone away: nothing more is to be told

	mu      sync.Mutex
	waiting []E
	started bool // there is a goroutine, or there has been
	idle    bool // it waits until it is woken
	closed  bool
	dropped uint64
	said    time.Time // when Dropping was last called
}

// sayEvery is how often it is said at most that events are dropped.
const sayEvery = time.Minute

// New makes a queue. Its goroutine is started by the first Put, and ended and
// waited for by Close.
func New[E any](cfg Config[E]) *Queue[E] {
	return &Queue[E]{cfg: cfg, wake: make(chan struct{}, 1), done: make(chan struct{})}
}

// Put has an event told.
func (q *Queue[E]) Put(e E) { q.put(e, false) }

// PutReserved is Put for one that others must not push out.
func (q *Queue[E]) PutReserved(e E) { q.put(e, true) }

func (q *Queue[E]) put(e E, reserved bool) {
	q.mu.Lock()
	limit := q.cfg.Limit
	if reserved {
		limit += q.cfg.Reserve
	}
	if q.closed || len(q.waiting) >= limit {
		q.drop()
		return
	}
	q.waiting = append(q.waiting, e)
	if !q.started {
		q.started = true
		go q.run()
	}
	ring := q.idle || len(q.waiting) == q.cfg.Limit/2
	q.idle = false
	q.mu.Unlock()
	if ring {
		q.ring()
	}
}

// drop counts an event that is not told, and says so now and then. Called with mu
// held, which it gives up.
func (q *Queue[E]) drop() {
	q.dropped++
	dropped, now := q.dropped, time.Now()
	say := q.cfg.Dropping != nil && !q.closed && now.Sub(q.said) >= sayEvery
	if say {
		q.said = now
	}
	q.mu.Unlock()
	if say {
		q.cfg.Dropping(dropped)
	}
}

func (q *Queue[E]) ring() {
	select {
	case q.wake <- struct{}{}:
	default: // it has been rung and not yet looked
	}
}

// Dropped returns how many events were not told.
func (q *Queue[E]) Dropped() uint64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.dropped
}

// Close lets nothing more in and waits until all that was put has been told, and
// the goroutine is gone. When ctx ends first it goes away: the goroutine ends when
// the func returns that it is in, and what was left is dropped.
func (q *Queue[E]) Close(ctx context.Context) {
	q.mu.Lock()
	q.closed = true
	started := q.started
	q.mu.Unlock()
	if !started {
		return
	}
	q.ring()
	select {
	case <-q.done:
	case <-ctx.Done():
		q.left.Store(true)
	}
}

// run is the queue's goroutine. The first Put starts it; Close ends it, and waits for it
// unless a func hangs.
func (q *Queue[E]) run() {
	defer close(q.done)
	var events []E
	for q.take(&events) {
		for n := range events {
			if q.left.Load() {
				q.abandon(len(events) - n)
				return
			}
			q.cfg.Tell(events[n])
		}
		clear(events)
		q.gather()
	}
}

// take waits for events and takes all of them, with into as the room for the next.
// It reports false when the queue is closed and empty.
func (q *Queue[E]) take(into *[]E) bool {
	for {
		q.mu.Lock()
		if len(q.waiting) > 0 {
			q.waiting, *into = (*into)[:0], q.waiting
			q.mu.Unlock()
			return true
		}
		if q.closed {
			q.mu.Unlock()
			return false
		}
		q.idle = true
		q.mu.Unlock()
		<-q.wake
	}
}

// gather lets events come together, until there are many, or the queue is closed.
func (q *Queue[E]) gather() {
	if q.cfg.Gather == 0 {
		return
	}
	timer := time.NewTimer(q.cfg.Gather)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-q.wake:
	}
}

// abandon counts what will never be told: so many that were taken, and all that wait.
func (q *Queue[E]) abandon(taken int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.dropped += uint64(taken + len(q.waiting))
	q.waiting = nil
}
