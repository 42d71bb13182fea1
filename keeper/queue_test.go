package keeper

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// queued is a queue and what must be in it.
type queued struct {
	*testing.T
	queue
	in  map[*Entry]bool
	now time.Duration
}

// check fails the test unless exactly what must be is in the queue.
func (q *queued) check() {
	q.Helper()
	n := 0
	for e := range q.all {
		n++
		if !q.in[e] || !e.queued() {
			q.Fatal("an entry is in that was taken out")
		}
	}
	if n != len(q.in) || q.size != n {
		q.Fatalf("%d entries in the queue, size %d, want %d", n, q.size, len(q.in))
	}
	for n, e := range q.near {
		if int(e.index) != n+1 {
			q.Fatalf("the entry at %d thinks it is at %d", n+1, e.index)
		}
	}
}

// moment is a due time now or later: near, far, or beyond all lists.
func (q *queued) moment() time.Duration {
	return q.now + rand.N([]time.Duration{1, time.Millisecond, time.Second, time.Minute, time.Hour}[rand.N(5)])
}

func (q *queued) step() {
	switch e := q.any(); {
	case e == nil || rand.N(3) == 0:
		e = &Entry{due: q.moment()}
		q.add(e)
		q.in[e] = true
	case rand.N(2) == 0:
		q.move(e, q.moment())
	default:
		q.remove(e)
		q.remove(e) // twice is fine
		delete(q.in, e)
	}
}

func (q *queued) any() *Entry {
	for e := range q.in {
		return e
	}
	return nil
}

// pass lets time go on to the next time to look, and takes what is due then.
func (q *queued) pass() {
	limit := q.now + time.Minute
	earliest := limit
	for e := range q.in {
		earliest = min(earliest, e.due)
	}
	next := q.next(limit)
	if next > earliest {
		q.Fatalf("it would be looked at %v too late", next-earliest)
	}
	q.now = max(q.now, next)
	var late []*Entry
	q.take(q.now, func(e *Entry) {
		if e.due > q.now || !q.in[e] {
			q.Fatalf("taken %v too early", e.due-q.now)
		}
		if delete(q.in, e); rand.N(2) == 0 { // as the keeper does with what it renews
			e.due = q.now + 1 + rand.N(time.Hour)
			q.add(e)
			late = append(late, e)
		}
	})
	for _, e := range late {
		q.in[e] = true
	}
	for e := range q.in {
		if e.due <= q.now {
			q.Fatalf("an entry is left that was due %v ago", q.now-e.due)
		}
	}
}

func TestQueueHandsOutWhatIsDueAndNothingElse(t *testing.T) {
	for range 20 {
		q := &queued{T: t, in: make(map[*Entry]bool)}
		for range 200 {
			for range rand.N(20) {
				q.step()
			}
			q.check()
			q.pass()
			q.check()
		}
	}
}

func TestQueueLooksAgainExactlyWhenSomethingIsDueOnceItIsNear(t *testing.T) {
	var q queue
	due := []time.Duration{5, grain + 1, grain + 2, 3*grain - 1, 5000*grain + 7}
	for _, d := range due {
		q.add(&Entry{due: d})
	}
	var taken []time.Duration
	looks := 0
	for now := time.Duration(0); q.size > 0; looks++ {
		now = q.next(time.Hour)
		q.take(now, func(e *Entry) {
			if e.due != now {
				t.Errorf("due at %v, taken at %v", e.due, now)
			}
			taken = append(taken, e.due)
		})
	}
	if !slices.Equal(taken, due) {
		t.Errorf("taken: %v", taken)
	}
	if looks > 20 {
		t.Errorf("it was looked at %d times", looks)
	}
}
