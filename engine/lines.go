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
	l.add(w)
	return w
}

// add puts w behind the last of its line.
func (l *lines) add(w *waiter) {
	first := l.heads[w.resource]
	if first == nil {
		w.last, w.length = w, 1
		l.heads[w.resource] = w
		return
	}
	w.head = w.own.head
	w.prev = first.last
	first.last.next = w
	first.last = w
	first.length++
}

// joinAll stands a waiter in line for each of these, all at one moment: so of two that want several, one is before the
// other in every line in which both are. They count as one that waits. It returns nil when too many wait already.
func (l *lines) joinAll(resources []string) []*waiter {
	all := make([]*waiter, len(resources))
	for k, resource := range resources {
		w, _ := l.free.Get().(*waiter)
		if w == nil {
			w = newWaiter()
		}
		w.resource, w.another = resource, k > 0
		all[k] = w
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.waiting >= l.limit {
		return nil
	}
	l.waiting++
	for _, w := range all {
		l.add(w)
	}
	return all
}

// leave takes w out of line, wherever it stands. When it was the head, the next
// one is told, at once, and also whether w holds the resource now. w must not be
// used afterwards.
//
// p is the place in the queue that w leaves behind, or nil: it is the next one's. leave
// reports whether there is a next one.
func (l *lines) leave(w *waiter, holds bool, p *place) (inherited bool) {
	l.mu.Lock()
	inherited = l.remove(w, holds, p)
	l.mu.Unlock()
	w.own.clear()
	*w = waiter{own: w.own}
	l.free.Put(w)
	return inherited
}

func (l *lines) remove(w *waiter, holds bool, p *place) (inherited bool) {
	if !w.another {
		l.waiting--
	}
	first := l.heads[w.resource]
	first.length--
	if first != w {
		w.prev.next = w.next
		if w.next != nil {
			w.next.prev = w.prev
		} else {
			first.last = w.prev
		}
		return false
	}
	next := w.next
	if next == nil {
		delete(l.heads, w.resource)
		return false
	}
	next.prev, next.last, next.length = nil, w.last, w.length
	l.heads[w.resource] = next
	next.inherited = p
	next.head <- holds // never blocks: one slot, sent to once
	return true
}

// inherit returns the place in the queue that the one before w has left, and takes it out.
func (l *lines) inherit(w *waiter) *place {
	l.mu.Lock()
	defer l.mu.Unlock()
	p := w.inherited
	w.inherited = nil
	return p
}

// bequeath has w leave a place behind.
func (l *lines) bequeath(w *waiter, p *place) {
	l.mu.Lock()
	defer l.mu.Unlock()
	w.inherited = p
}

// length is how many stand in line.
func (l *lines) length(resource string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	if first := l.heads[resource]; first != nil {
		return first.length
	}
	return 0
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
