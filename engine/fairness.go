package engine

import (
	"hash/maphash"
	"sync"
	"time"
)

// fairness keeps an engine from having a resource again and again, while waiters in
// other processes never get a chance: the engine that releases knows of it first, and
// what it asks for next travels right behind the release. So an engine whose turn has
// lasted for a quantum owes the others a break: it waits for as long as they need to
// be told and to ask, and asks the arbiter first.
//
// Nobody can tell whether there are others. When a break finds that the resource
// was taken, there are, and the quantum is the shortest; when nobody took it, the
// next one may be twice as long. So a break costs a resource that nobody else
// wants next to nothing, and the longest quantum is how long an engine that
// begins to wait may be kept waiting by one that does not know of it.
//
// Waiters defer to each other, too. Each of them is told of every release, also
// in the middle of somebody's turn, when to ask is in vain; and at its end all
// would ask at once. So a waiter that was told in vain, and has not waited for about
// as long as one usually must, lets a short time pass before it asks to be told
// again: that leaves the next turn to the one that has waited longest, and the server
// in peace.
type fairness struct {
	quantum time.Duration // the shortest
	turns   [1 << 10]turn // by hash; of two resources in one place the earlier is forgotten
}

// turn is the time that a resource has been this engine's without a break.
type turn struct {
	mu           sync.Mutex
	key          uint64 // hash
	began, ended time.Time
	quantum      time.Duration
	wait         time.Duration // how long others' turns usually are waited for; 0 is not known
}

const (
	// shortestQuantum is a turn where others wait; a longer one where the lock is
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
	// longestDeferral is shorter than a break, or nobody would see one.
	longestDeferral = shortestBreak * 3 / 4
	// forgetting is how long an engine remembers that nobody else wanted it.
	forgetting = time.Second
)

var fairnessSeed = maphash.MakeSeed()

// turn returns a resource's place, locked, and whether it is the resource's now.
func (f *fairness) turn(key string) (t *turn, hash uint64, its bool) {
	hash = maphash.String(fairnessSeed, key)
	t = &f.turns[hash%uint64(len(f.turns))]
	t.mu.Lock()
	return t, hash, t.key == hash
}

// had notes that the engine had the resource from since until now.
func (f *fairness) had(key string, since, now time.Time) {
	t, hash, its := f.turn(key)
	defer t.mu.Unlock()
	switch {
	case !its || now.Sub(t.ended) > forgetting:
		t.key, t.began, t.quantum, t.wait = hash, since, f.quantum, 0
	case since.Sub(t.ended) > shortestBreak: // others had their chance
		t.began = since
	}
	t.ended = now
}

// due reports whether it is time for a break, after a turn of that length at least.
func (f *fairness) due(key string, now time.Time, length time.Duration) bool {
	t, _, its := f.turn(key)
	defer t.mu.Unlock()
	return its && now.Sub(t.ended) <= shortestBreak && t.ended.Sub(t.began) >= max(t.quantum, length)
}

// tookBreak notes what came of a break: whether somebody else took the resource.
func (f *fairness) tookBreak(key string, now time.Time, taken bool) {
	t, _, its := f.turn(key)
	defer t.mu.Unlock()
	if !its {
		return
	}
	t.began, t.ended = now, now
	t.quantum = min(2*t.quantum, longestQuantum)
	if taken {
		t.quantum = f.quantum
	}
}

// waited notes how long others' turns had to be waited for.
func (f *fairness) waited(key string, d time.Duration) {
	t, _, its := f.turn(key)
	defer t.mu.Unlock()
	switch {
	case !its:
	case t.wait == 0:
		t.wait = d
	default:
		t.wait += (d - t.wait) / 4
	}
}

// deferral is how long a waiter that has waited for so long, and was told in vain,
// lets pass.
func (f *fairness) deferral(key string, waited time.Duration) time.Duration {
	t, _, its := f.turn(key)
	defer t.mu.Unlock()
	if !its {
		return 0
	}
	return min(max(t.wait*3/4-waited, 0), longestDeferral)
}

// owesBreak reports whether others are to have a chance now, and which to ask first
// afterwards. Far away, where a change of turns takes long, turns are longer.
func (e *Engine) owesBreak(key string, now time.Time) (first int, owes bool) {
	if !e.fairness.due(key, now, 0) {
		return everybody, false
	}
	first = e.arbiter(key, nil)
	return first, e.fairness.due(key, now, min(turnTrips*e.trip(first), longestQuantum))
}

// breakTime is how long a break is: enough for a message from the arbiter to
// the others and for their question.
func (e *Engine) breakTime(arbiter int) time.Duration {
	return min(max(shortestBreak, 3*e.trip(arbiter)), longestBreak)
}

// trip is how long an instance takes to answer.
func (e *Engine) trip(place int) time.Duration {
	if place == everybody {
		return 0
	}
	return e.instances[place].Health().Latency
}
