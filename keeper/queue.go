package keeper

import "time"

// grain is how fine the far future is divided. It is also the most by which a
// renewal is moved to go out together with others.
const grain = 1 << 24 * time.Nanosecond // 17 ms

// queue hands out entries when their time has come. What is due in the grain of
// time that has begun is in order; what is due later is only divided into grains,
// since it need not be in order before it is near: most entries are renewed, or
// released, and never are. So it takes a few writes to move an entry, however
// many there are; in a heap of a million it would take a hundred cache misses.
type queue struct {
	near dueHeap
	edge int64    // the first grain that has not begun
	far  []*Entry // the lists of the grains from edge on, round and round; the farthest in use has all that is due later, too. None until there is an entry
	size int
}

// grains is how many lists there are.
const grains = 1024

// add puts an entry where its due time belongs.
func (q *queue) add(e *Entry) {
	q.size++
	g := int64(e.due / grain)
	if g < q.edge {
		q.near.add(e)
		return
	}
	if q.far == nil {
		q.far = make([]*Entry, grains)
	}
	// Not all the way round, or take would meet again what it puts there.
	g = min(g, q.edge+grains-2)
	e.link(q.list(g))
}

// remove takes an entry out, if it is in.
func (q *queue) remove(e *Entry) {
	if !e.queued() {
		return
	}
	q.size--
	if e.index > 0 {
		q.near.remove(e)
		return
	}
	e.unlink()
}

// move puts an entry that is in where its new due time belongs.
func (q *queue) move(e *Entry, due time.Duration) {
	q.remove(e)
	e.due = due
	q.add(e)
}

// take calls each with every entry that is due by now, which is out of the queue
// then; each may add it again, for later.
func (q *queue) take(now time.Duration, each func(*Entry)) {
	begun := int64(now / grain)
	if q.far == nil {
		q.edge = max(q.edge, begun+1)
	}
	for q.edge <= begun {
		list := q.list(q.edge)
		q.edge++
		for e := *list; e != nil; e = *list {
			q.remove(e)
			if e.due <= now {
				each(e)
			} else { // it is near now, or was too far for the list that it belongs to
				q.add(e)
			}
		}
	}
	for len(q.near) > 0 && q.near[0].due <= now {
		e := q.near[0]
		q.remove(e)
		each(e)
	}
}

// next returns when to look again: when something is due, or may be, but not
// later than limit.
func (q *queue) next(limit time.Duration) time.Duration {
	if len(q.near) > 0 {
		limit = min(limit, q.near[0].due)
	}
	for g := q.edge; g < q.edge+int64(len(q.far)); g++ {
		begin := time.Duration(g) * grain
		if begin >= limit {
			break
		}
		if *q.list(g) != nil {
			return begin
		}
	}
	return limit
}

// all yields every entry. The queue must not be changed meanwhile.
func (q *queue) all(yield func(*Entry) bool) {
	for _, e := range q.near {
		if !yield(e) {
			return
		}
	}
	for _, e := range q.far {
		for ; e != nil; e = e.next {
			if !yield(e) {
				return
			}
		}
	}
}

// list returns the head of a grain's list.
func (q *queue) list(g int64) **Entry { return &q.far[g%grains] }

// The list of a grain is linked through its entries: next, and the place that
// points here, be that another's next or the head of the list.

func (e *Entry) link(head **Entry) {
	e.next, e.at = *head, head
	if e.next != nil {
		e.next.at = &e.next
	}
	*head = e
}

func (e *Entry) unlink() {
	*e.at = e.next
	if e.next != nil {
		e.next.at = e.at
	}
	e.next, e.at = nil, nil
}

func (e *Entry) queued() bool { return e.index > 0 || e.at != nil }
