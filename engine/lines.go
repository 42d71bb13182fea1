package engine

import "sync"

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

func newLines(limit int) *lines {
	return &lines{limit: limit, heads: make(map[string]*waiter)}
}

// join stands a new waiter in line; its head is nil when it is the head already. It
// returns nil when too many wait already.
func (l *lines) join(resource string) *waiter {
	w, _ := l.free.Get().(*waiter)
	if w == nil {
		w = newWaiter()
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
	w.head = w.own.head
	w.prev = first.last
	first.last.next = w
	first.last = w
	first.length++
	return w
}

// leave takes w out of line, wherever it stands. When it was the head, the next
// one is told, at once, and also whether w holds the resource now. w must not be
// used afterwards.
func (l *lines) leave(w *waiter, holds bool) {
	l.mu.Lock()
	l.remove(w, holds)
	l.mu.Unlock()
	w.own.clear()
	*w = waiter{own: w.own}
	l.free.Put(w)
}

func (l *lines) remove(w *waiter, holds bool) {
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
	next.head <- holds // never blocks: one slot, sent to once
}

// released wakes the head of the resource's line, if there is one.
func (l *lines) released(resource string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	w := l.heads[resource]
	if w == nil {
		return
	}
	select {
	case w.own.wake <- struct{}{}:
	default: // it has been woken and not yet looked
	}
}
