package engine

import (
	"sync"
	"time"
)

// lines are the waiters of this engine, one FIFO a resource. Only the head of a
// line contends in Redis, so that an engine is one contender however many of its
// goroutines wait.
type lines struct {
	limit int

	mu      sync.Mutex
	heads   map[string]*waiter // the head of each line
	waiting int
	free    sync.Pool // of *waiter
}

// waiter is one Acquire in line.
type waiter struct {
	resource string
	turn     chan struct{} // one slot: "you are the head now"; nil for who came first
	wake     chan struct{} // one slot: "the lock has just been released here"; made by listen
	woken    bool          // the same, from before there was a channel
	served   bool          // w has got the resource; set by its owner before it leaves
	accepts  bool          // it would take what a holder in this engine leaves to it
	takes    *request      // for that, until somebody has promised it something; nil: nothing, now
	handed   chan bequest  // one slot: sent to once by who found takes
	behind   bool          // who stood before w has got the resource, and holds it now

	own channels

	prev, next *waiter
	last       *waiter // of the line; kept by the head only
	length     int     // of the line; kept by the head only
}

// channels are a waiter's own, empty while it is nobody's, and used again.
type channels struct {
	turn, wake chan struct{}
	handed     chan bequest
	timer      *time.Timer
}

// clear takes out what was sent to w after its owner had stopped listening.
// Nobody sends to w any more, and a bequest is always received.
func (c *channels) clear() {
	select {
	case <-c.turn:
	default:
	}
	select {
	case <-c.wake:
	default:
	}
}

// after returns w's timer, set. The caller stops it.
func (w *waiter) after(d time.Duration) *time.Timer {
	if w.own.timer == nil {
		w.own.timer = time.NewTimer(d)
	} else {
		w.own.timer.Reset(d)
	}
	return w.own.timer
}

func newLines(limit int) *lines {
	return &lines{limit: limit, heads: make(map[string]*waiter)}
}

// join stands a new waiter in line; its turn is nil when it is the head. It
// returns nil when too many wait already.
func (l *lines) join(resource string) *waiter {
	w, _ := l.free.Get().(*waiter)
	if w == nil {
		w = new(waiter)
	}
	w.resource = resource

	l.mu.Lock()
	defer l.mu.Unlock()
	if l.waiting >= l.limit {
		return nil
	}
	l.waiting++
	first := l.heads[resource]
	if first == nil {
		w.last, w.length = w, 1
		l.heads[resource] = w
		return w
	}
	if w.own.turn == nil {
		w.own.turn = make(chan struct{}, 1)
	}
	w.turn = w.own.turn
	w.prev = first.last
	first.last.next = w
	first.last = w
	first.length++
	return w
}

// leave takes w out of line, wherever it stands. When it was the head, the next
// one is told, at once. w must not be used afterwards.
func (l *lines) leave(w *waiter) {
	l.mu.Lock()
	if w.next != nil {
		w.next.behind = w.served
	}
	l.remove(w)
	l.mu.Unlock()
	w.own.clear()
	*w = waiter{own: w.own}
	l.free.Put(w)
}

func (l *lines) remove(w *waiter) {
	l.waiting--
	first := l.heads[w.resource]
	first.length--
	if first != w {
		w.prev.next = w.next
		if w.next != nil {
			w.next.prev = w.prev
		} else {
			first.last = w.prev
		}
		return
	}
	next := w.next
	if next == nil {
		delete(l.heads, w.resource)
		return
	}
	next.prev, next.last, next.length = nil, w.last, w.length
	l.heads[w.resource] = next
	next.turn <- struct{}{} // never blocks: one slot, sent to once
}

// released wakes the head of the resource's line, if there is one.
func (l *lines) released(resource string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	w := l.heads[resource]
	switch {
	case w == nil:
		return
	case w.wake == nil:
		w.woken = true
		return
	}
	select {
	case w.wake <- struct{}{}:
	default: // it has been woken and not yet looked
	}
}

// listen prepares w to be woken by released, also by one that came since w was
// the head.
func (l *lines) listen(w *waiter) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if w.wake != nil {
		return
	}
	if w.own.wake == nil {
		w.own.wake = make(chan struct{}, 1)
	}
	w.wake = w.own.wake
	if w.woken {
		w.wake <- struct{}{}
	}
}

// bequest is what a holder leaves to the next in line when it releases: the lock
// as it is, or a question that is already on its way, behind the release. Neither,
// if it came to nothing.
type bequest struct {
	holding  *holding
	question question
}

// accept says that w would take what is left to it when it is the head, until
// decline or took. Accepting again changes nothing.
func (l *lines) accept(w *waiter, r *request) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if w.own.handed == nil {
		w.own.handed = make(chan bequest, 1)
	}
	w.handed = w.own.handed
	if !w.accepts {
		w.accepts, w.takes = true, r
	}
}

// took says that w has received what it was left. So it is the head, whether or
// not it has heard of its turn.
func (l *lines) took(w *waiter) {
	l.mu.Lock()
	w.accepts = false
	l.mu.Unlock()
	w.turn = nil
}

// decline ends what accept began. What somebody is just leaving to w is taken.
func (l *lines) decline(w *waiter) bequest {
	if w.handed == nil { // it never has
		return bequest{}
	}
	l.mu.Lock()
	promised := w.accepts && w.takes == nil
	w.accepts, w.takes = false, nil
	l.mu.Unlock()
	if promised {
		w.turn = nil      // as in took
		return <-w.handed // sent, or about to be
	}
	return bequest{}
}

// heir returns the head of the resource's line, if it waits and suits, and
// promises that it will be sent to.
func (l *lines) heir(resource string, suits func(*request) bool) (takes *request, handed chan<- bequest) {
	l.mu.Lock()
	defer l.mu.Unlock()
	w := l.heads[resource]
	if w == nil || w.takes == nil || !suits(w.takes) {
		return nil, nil
	}
	takes, w.takes = w.takes, nil
	return takes, w.handed
}
