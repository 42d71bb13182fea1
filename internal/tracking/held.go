package tracking

import (
	"slices"
	"sync/atomic"
	"time"

	"github.com/holdfast-go/holdfast/internal/clock"
	"github.com/holdfast-go/holdfast/internal/fault"
	"github.com/holdfast-go/holdfast/internal/pace"
	"github.com/holdfast-go/holdfast/internal/resp"
)

// Held is the watch of a lock that is held, at one instance: Instance.WatchHeld begins it. The
// server is asked what the key has and how long it lives, and promises to tell of its next
// change; then it is asked anew. So a renewal of our own, which is a change too, costs
// one question and disturbs nobody.
//
// The exported fields are set before, and not changed.
type Held struct {
	Key   string
	Token string        // that the key is to have
	Often time.Duration // how often its holder looks anyway; 0: never

	// Tell is called when the lock is not the token's at this instance, or when the instance
	// has not got the key's slot any more, so that the watch is kept nowhere. It is called
	// with locks held: it must not block, and not come back here.
	Tell func()

	at       atomic.Pointer[watches] // where it is kept; nil: nowhere
	expected atomic.Bool             // the next change is the holder's own

	// Guarded by the mu of watches.
	round  uint32    // of questions: what belongs to an earlier one is void
	armed  bool      // the server has promised to tell
	begun  bool      // it has been asked about, or would have been if there were a connection
	due    time.Time // when to ask, if it is in the heap
	pace   pace.Pace // of the questions about it
	next   *Held     // of the same key
	index  int       // in the heap, counted from 1; 0: it is not there
	queued bool      // it is among those to be asked about now
}

// beginAfter is how long a lock is held before it is watched: one that is held for less
// costs nothing.
const beginAfter = 20 * time.Millisecond

// burst is how many questions about one lock may follow each other at once. What goes beyond
// that waits: a key that somebody changes all the time costs one question in each share. A share is a quarter of the
// time between two renewals, within these bounds.
const (
	burst     = 4
	leastTime = 10 * time.Millisecond
	mostTime  = time.Second
)

// maxHeldText is from how many bytes on questions go out, before there are more.
const maxHeldText = 64 << 10

// heldWatches are the watches of locks that are held, as a rule one a key: an engine that adopts a lease from itself has
// two for a while. All is guarded by watches.mu.
type heldWatches struct {
	byKey  map[string]*Held // the first of each key
	begun  int              // how many of them have
	later  heldHeap         // to be asked about at their times
	fresh  []heldAsking     // to be asked about now
	asked  []heldAsking     // and not answered yet, in their order
	sleeps time.Time        // what the tracker's goroutine sleeps until; zero: it is awake, or asleep for good
	mute   bool             // that the server does not say what keys have has been logged
}

func (w *heldWatches) all(yield func(*Held) bool) {
	for _, first := range w.byKey {
		for h := first; h != nil; h = h.next {
			if !yield(h) {
				return
			}
		}
	}
}

func (w *heldWatches) unlink(h *Held) {
	switch before := w.byKey[h.Key]; {
	case before != h:
		for before.next != h {
			before = before.next
		}
		before.next = h.next
	case h.next != nil:
		w.byKey[h.Key] = h.next
	default:
		delete(w.byKey, h.Key)
	}
	h.next = nil
}

// heldAsking is one round of questions about a Held, or one of the two questions.
type heldAsking struct {
	*Held
	round uint32
	life  bool // how long the key lives; of one of the two: that, and not what it has
}

// Expect says that the holder is about to change the key itself, so that it lives for long: at the next change
// it is asked only what the key has.
func (h *Held) Expect() { h.expected.Store(true) }

// KeepHeld takes a watch in, unless it is here.
func (s *watches) KeepHeld(h *Held) {
	if h.at.Load() == s {
		return
	}
	h.LeaveHeld()
	s.mu.Lock()
	now := time.Now()
	if s.held.byKey == nil {
		s.held.byKey = make(map[string]*Held)
	}
	h.at.Store(s)
	h.next = s.held.byKey[h.Key]
	s.held.byKey[h.Key] = h
	s.askHeldAt(h, now.Add(beginAfter))
	needed := s.held.sleeps.IsZero() || h.due.Before(s.held.sleeps)
	s.mu.Unlock()
	if needed {
		s.ring()
	}
}

// LeaveHeld takes a watch out of where it is kept, if it is. Tell is not called any more
// when it has returned.
func (h *Held) LeaveHeld() {
	if s := h.at.Load(); s != nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		if h.at.Load() == s {
			s.dropHeld(h)
		}
	}
}

// dropHeld takes a watch out. Called with mu held, as all that follow.
func (s *watches) dropHeld(h *Held) {
	s.held.unlink(h)
	s.held.later.remove(h)
	if h.begun {
		s.held.begun--
	}
	h.round++
	h.armed, h.begun, h.queued = false, false, false
	h.at.Store(nil)
}

// share is how much of the time one question uses up.
func (h *Held) share() time.Duration {
	if h.Often == 0 {
		return mostTime
	}
	return min(max(h.Often/burst, leastTime), mostTime)
}

// soonest is when it may be asked about again.
func (h *Held) soonest() time.Time { return h.pace.Next(h.share(), burst) }

// askHeldAt asks about the lock then, or later if it has been asked about too often.
func (s *watches) askHeldAt(h *Held, at time.Time) {
	s.held.later.remove(h)
	h.due = at
	if soonest := h.soonest(); at.Before(soonest) {
		h.due = soonest
	}
	s.held.later.add(h)
}

// ripen finds the watches whose time has come.
func (s *watches) ripen(now time.Time) {
	for {
		h := s.held.later.first()
		if h == nil || h.due.After(now) {
			return
		}
		h.pace.Take(h.share(), now)
		s.begin(h, true)
	}
}

// begin has a lock asked about with the next questions, and also how long it lives if life says so.
func (s *watches) begin(h *Held, life bool) {
	s.held.later.remove(h)
	if !h.begun {
		h.begun = true
		s.held.begun++
	}
	if s.conn != nil && !h.queued {
		h.round++
		h.armed, h.queued = false, true
		s.held.fresh = append(s.held.fresh, heldAsking{Held: h, round: h.round, life: life})
	}
}

// heldConnected begins to ask about all that have been asked about before.
func (s *watches) heldConnected() {
	for h := range s.held.all {
		if h.begun {
			s.begin(h, true)
		}
	}
}

// heldDisconnected forgets what has been promised, and asked. The next connection asks anew.
func (s *watches) heldDisconnected() {
	s.held.fresh, s.held.asked = nil, nil
	for h := range s.held.all {
		h.armed, h.queued = false, false
	}
}

// endHeld takes all of them out, and says so: nobody tells here any more.
func (s *watches) endHeld() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, h := range slices.Collect(s.held.all) {
		s.dropHeld(h)
		h.Tell()
	}
}

// heldChanged takes the server's word that a key has changed. While a question is on its way the
// answer will be younger.
func (s *watches) heldChanged(key string) {
	for h := s.held.byKey[key]; h != nil; h = h.next {
		s.askAnew(h)
	}
}

// heldFlushed takes the server's word that all keys are gone.
func (s *watches) heldFlushed() {
	for h := range s.held.all {
		s.askAnew(h)
	}
}

func (s *watches) askAnew(h *Held) {
	if !h.armed {
		return
	}
	h.armed = false
	own, now := h.expected.Swap(false), time.Now()
	if h.soonest().After(now) {
		s.askHeldAt(h, now)
	} else {
		h.pace.Take(h.share(), now)
		s.begin(h, !own)
	}
	s.ring()
}

// alarm returns how long the tracker's goroutine may sleep.
func (s *watches) alarm(now time.Time) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	if h := s.held.later.first(); h != nil {
		s.held.sleeps = h.due
		return max(0, h.due.Sub(now))
	}
	s.held.sleeps = time.Time{}
	return time.Hour
}

// isCurrent reports whether an asking is the latest about its lock, which is still watched here: elsewhere others guard it.
func (s *watches) isCurrent(q heldAsking) bool { return q.at.Load() == s && q.round == q.Held.round }

// askHeld appends the next questions to out.
func (s *watches) askHeld(out []byte) []byte {
	s.ripen(time.Now())
	n := 0
	for ; n < len(s.held.fresh) && len(out) < maxHeldText; n++ {
		q := s.held.fresh[n]
		if !s.isCurrent(q) {
			continue
		}
		q.queued = false
		if q.life {
			out = resp.AppendArray(out, 2)
			out = append(out, "$4\r\npttl\r\n"...)
			out = resp.AppendArg(out, q.Key)
			s.asked, s.held.asked = append(s.asked, question{}), append(s.held.asked, q)
		}
		q.life = false
		out = resp.AppendArray(out, 4) // last, since a later change may come between the two
		out = append(out, "$8\r\ngetrange\r\n"...)
		out = resp.AppendArg(out, q.Key)
		out = append(out, "$1\r\n0\r\n$4\r\n1024\r\n"...) // no more than a token can have, and one byte
		s.asked, s.held.asked = append(s.asked, question{}), append(s.held.asked, q)
	}
	s.held.fresh = slices.Delete(s.held.fresh, 0, n)
	return out
}

// answerHeld takes the answer to the oldest question, if that is about a lock that is held, which it reports. err is why
// the connection is of no use.
func (t *Tracker) answerHeld(r *resp.Reply) (taken bool, err error) {
	elsewhere := r.Kind == resp.Error && t.opt.Elsewhere(r)
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.asked) == 0 || len(t.asked[0]) > 0 {
		return false, nil
	}
	t.answered()
	q := t.held.asked[0]
	t.held.asked = t.held.asked[1:]
	h := q.Held
	current := t.isCurrent(q)
	switch {
	case elsewhere && !current:
	case elsewhere:
		t.dropHeld(h)
		h.Tell()
	case r.Kind == resp.Error && !q.life && fault.IsWrongType(r.Err()):
		if current {
			h.armed = true
			h.Tell()
		}
	case r.Kind == resp.Error && !q.life && isLasting(r.Err()):
		if current {
			h.armed = false
		}
		t.muteHeld(r.Err())
	case r.Kind == resp.Error:
		return true, r.Err()
	case !q.life && (r.Kind == resp.Text || r.Kind == resp.Nil):
		if current {
			h.armed = true
			if r.Kind != resp.Text || r.Cut || string(r.Text) != h.Token {
				h.Tell()
			}
		}
	case q.life && r.Kind == resp.Number:
		if current {
			t.promised(h, r.N)
		}
	default:
		return true, resp.ErrNotRedis
	}
	return true, nil
}

// promised takes the server's word that it will tell, and that the key still lives so many
// milliseconds. An expiry is no change that it tells in time: where it comes before the
// holder looks, it is waited for here.
func (s *watches) promised(h *Held, left int64) {
	h.armed = true
	life := clock.Units(left, time.Millisecond)
	if left >= 0 && (h.Often == 0 || life < h.Often) {
		s.askHeldAt(h, time.Now().Add(min(life, time.Hour)+time.Millisecond))
		s.ring() // it may be sooner than the tracker's goroutine wakes
	}
}

// muteHeld says in the log, once, that the server does not say what keys have.
func (t *Tracker) muteHeld(why error) {
	if !t.held.mute {
		t.held.mute = true
		t.log.Warn("the server does not tell holders that their locks are gone: they learn it with the next renewal", "reason", t.opt.Redact(why))
	}
}

func isLasting(err error) bool {
	r := fault.RefusalOf(err)
	return r != nil && r.Class == fault.Lasts
}
