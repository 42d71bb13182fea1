package engine

import (
	"hash/maphash"
	"sync"
	"sync/atomic"
	"time"
)

// fairness remembers of each resource whether others want it, too: so that an engine
// that has just had it does not take it again and again while others wait. The engine that
// releases knows of it first, and what it asks for next travels right behind the release.
//
// An engine that has had a resource for a quantum looks at the queue before it asks again.
// When somebody waits there, it takes a place, and looks first for a while. When nobody does,
// it takes a break, since others may stand in no queue, and the next quantum is twice as long.
// So that costs a resource that nobody else wants next to nothing, and the longest quantum is
// how long an engine that begins to wait may be kept waiting by one that does not know of it.
type fairness struct {
	quantum time.Duration             // the shortest
	turns   [32]atomic.Pointer[turns] // by hash; of two resources in one place the earlier is forgotten
}

// turns are made when one of them is needed first: an engine that does nothing is small.
type turns [32]turn

// turn is the time that a resource has been this engine's without a look.
type turn struct {
	mu           sync.Mutex
	key          uint64 // hash
	began, ended time.Time
	quantum      time.Duration
	crowd        time.Time // when others were last known to wait; zero: they were not
	shared       time.Time // when readers were last known to have it; zero: they had it not
	mixed        time.Time // when one that does not stand in the queue was last overruled; zero: never
}

const (
	// shortestQuantum is a turn where others may wait; a longer one where the lock is
	// handed on, since one turn has hundreds of holders there.
	shortestQuantum = 2 * time.Millisecond
	handoffQuantum  = 5 * time.Millisecond
	longestQuantum  = 320 * time.Millisecond
	// turnTrips is how many round trips a turn is at least.
	turnTrips = 8
	// shortestBreak is how long others need to be told of a release and to ask,
	// where a round trip takes next to no time.
	shortestBreak = time.Millisecond
	longestBreak  = 50 * time.Millisecond
	// forgetting is how long an engine remembers whether others wanted it.
	forgetting = time.Second
)

var fairnessSeed = maphash.MakeSeed()

// turn returns a resource's place, locked, and whether it is the resource's now.
func (f *fairness) turn(key string) (t *turn, hash uint64, its bool) {
	hash = maphash.String(fairnessSeed, key)
	some := &f.turns[hash%uint64(len(f.turns))]
	list := some.Load()
	if list == nil {
		some.CompareAndSwap(nil, new(turns)) // or another has
		list = some.Load()
	}
	t = &list[hash/uint64(len(f.turns))%uint64(len(list))]
	t.mu.Lock()
	return t, hash, t.key == hash
}

// had notes that the engine had the resource from since until now.
func (f *fairness) had(key string, since, now time.Time) {
	t, hash, its := f.turn(key)
	defer t.mu.Unlock()
	switch {
	case !its:
		t.key, t.began, t.quantum, t.crowd, t.mixed, t.shared = hash, since, f.quantum, time.Time{}, time.Time{}, time.Time{}
	case now.Sub(t.ended) > forgetting:
		t.began, t.quantum = since, f.quantum
	case since.Sub(t.ended) > shortestBreak: // others had their chance
		t.began = since
	}
	t.ended = now
}

// over reports whether a turn has lasted for its quantum, and for that length at least.
func (f *fairness) over(key string, now time.Time, length time.Duration) bool {
	t, _, its := f.turn(key)
	defer t.mu.Unlock()
	return its && now.Sub(t.ended) <= shortestBreak && t.ended.Sub(t.began) >= max(t.quantum, length)
}

// mustLook reports whether an acquire begins with a look at the queue: others are known to
// wait, or may have begun to in a long turn.
func (f *fairness) mustLook(key string, now time.Time) bool {
	t, _, its := f.turn(key)
	defer t.mu.Unlock()
	switch {
	case !its:
		return false
	case !t.crowd.IsZero() && now.Sub(t.crowd) <= forgetting:
		return true
	}
	return now.Sub(t.ended) <= shortestBreak && t.ended.Sub(t.began) >= t.quantum
}

// crowded notes that others wait.
func (f *fairness) crowded(key string, now time.Time) {
	t, hash, its := f.turn(key)
	defer t.mu.Unlock()
	if !its {
		t.key, t.began, t.ended, t.mixed, t.shared = hash, now, now, time.Time{}, time.Time{}
	}
	t.quantum, t.crowd = f.quantum, now
}

// mixed notes that the resource was granted against the vote of the instance that has the
// queue. Others, who do not stand in it, ask that instance first, and would never be served if its
// vote did not count.
func (f *fairness) mixed(key string, now time.Time) {
	t, _, its := f.turn(key)
	defer t.mu.Unlock()
	if its {
		t.mixed = now
	}
}

func (f *fairness) isMixed(key string, now time.Time) bool {
	t, _, its := f.turn(key)
	defer t.mu.Unlock()
	return its && !t.mixed.IsZero() && now.Sub(t.mixed) <= forgetting
}

// sharedBy notes that readers have the resource.
func (f *fairness) sharedBy(key string, now time.Time) {
	t, hash, its := f.turn(key)
	defer t.mu.Unlock()
	if !its {
		t.key, t.began, t.ended, t.quantum, t.crowd, t.mixed = hash, now, now, f.quantum, time.Time{}, time.Time{}
	}
	t.shared = now
}

func (f *fairness) isShared(key string, now time.Time) bool {
	t, _, its := f.turn(key)
	defer t.mu.Unlock()
	return its && !t.shared.IsZero() && now.Sub(t.shared) <= knownShared
}

// alone notes that nobody else waits.
func (f *fairness) alone(key string, now time.Time) {
	t, _, its := f.turn(key)
	defer t.mu.Unlock()
	if its {
		t.began, t.ended, t.crowd = now, now, time.Time{}
		t.quantum = min(2*t.quantum, longestQuantum)
	}
}

// turnOver reports whether others are to have a chance now. Far away, where a change of
// turns takes long, turns are longer.
func (e *Engine) turnOver(key string, now time.Time) bool {
	return e.fairness.over(key, now, 0) &&
		e.fairness.over(key, now, min(turnTrips*e.trip(e.arbiter(key, nil)), longestQuantum))
}

// breakTime is how long a break is: enough for a message from the arbiter to the others
// and for their question.
func (e *Engine) breakTime(key string) time.Duration {
	return min(max(shortestBreak, 3*e.trip(e.arbiter(key, nil))), longestBreak)
}

// trip is how long an instance takes to answer.
func (e *Engine) trip(seat int) time.Duration {
	if seat == everybody {
		return 0
	}
	return e.instances[seat].Health().Latency
}
