package engine

import (
	"hash/maphash"
	"sync"
	"time"
)

// courtesy keeps an engine from having a resource again and again, while those
// who wait for it in other processes never get a chance: who releases knows it
// first, and what it asks for next travels right behind the release. So an engine
// that has had a resource for a quantum without a break owes the others one: it
// waits for as long as they need to be told and to ask, and asks the arbiter first.
//
// Nobody can tell whether there are others. When a break finds that the resource
// was taken, there are, and the quantum is the shortest; when nobody took it, the
// next one may be twice as long. So a break costs a resource that nobody else
// wants next to nothing, and the longest quantum is how long an engine that
// begins to wait may be kept waiting by one that does not know of it.
//
// Those who wait are courteous, too. Each of them is told of every release, also
// in the middle of somebody's turn, when to ask is in vain; and at its end all
// would ask at once. So who was told in vain, and has not waited for about as long
// as one usually must, lets a moment pass before it asks to be told again: that
// leaves the next turn to who has waited longest, and the server in peace.
type courtesy struct {
	quantum time.Duration  // the shortest
	spells  [1 << 10]spell // by hash; of two resources in one place the earlier is forgotten
}

// spell is the time that a resource has been this engine's without a break.
type spell struct {
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
	// longestMoment is shorter than a break, or nobody would see one.
	longestMoment = shortestBreak * 3 / 4
	// forgetting is how long an engine remembers that nobody else wanted it.
	forgetting = time.Second
)

var courtesySeed = maphash.MakeSeed()

// spell returns a resource's place, locked, and whether it is the resource's now.
func (c *courtesy) spell(key string) (s *spell, hash uint64, its bool) {
	hash = maphash.String(courtesySeed, key)
	s = &c.spells[hash%uint64(len(c.spells))]
	s.mu.Lock()
	return s, hash, s.key == hash
}

// had notes that the engine had the resource from since until now.
func (c *courtesy) had(key string, since, now time.Time) {
	s, hash, its := c.spell(key)
	defer s.mu.Unlock()
	switch {
	case !its || now.Sub(s.ended) > forgetting:
		s.key, s.began, s.quantum, s.wait = hash, since, c.quantum, 0
	case since.Sub(s.ended) > shortestBreak: // others had their chance
		s.began = since
	}
	s.ended = now
}

// due reports whether it is time for a break, after a turn of that length at least.
func (c *courtesy) due(key string, now time.Time, turn time.Duration) bool {
	s, _, its := c.spell(key)
	defer s.mu.Unlock()
	return its && now.Sub(s.ended) <= shortestBreak && s.ended.Sub(s.began) >= max(s.quantum, turn)
}

// paid notes what came of a break: whether somebody else took the resource.
func (c *courtesy) paid(key string, now time.Time, taken bool) {
	s, _, its := c.spell(key)
	defer s.mu.Unlock()
	if !its {
		return
	}
	s.began, s.ended = now, now
	s.quantum = min(2*s.quantum, longestQuantum)
	if taken {
		s.quantum = c.quantum
	}
}

// waited notes how long others' turns had to be waited for.
func (c *courtesy) waited(key string, d time.Duration) {
	s, _, its := c.spell(key)
	defer s.mu.Unlock()
	switch {
	case !its:
	case s.wait == 0:
		s.wait = d
	default:
		s.wait += (d - s.wait) / 4
	}
}

// moment is how long who has waited for so long, and was told in vain, lets pass.
func (c *courtesy) moment(key string, waited time.Duration) time.Duration {
	s, _, its := c.spell(key)
	defer s.mu.Unlock()
	if !its {
		return 0
	}
	return min(max(s.wait*3/4-waited, 0), longestMoment)
}

// owesBreak reports whether others are to have a chance now, and whom to ask first
// afterwards. Far away, where a change of turns takes long, turns are longer.
func (e *Engine) owesBreak(key string, now time.Time) (first int, owes bool) {
	if !e.courtesy.due(key, now, 0) {
		return everybody, false
	}
	first = e.arbiter(key, nil)
	return first, e.courtesy.due(key, now, min(turnTrips*e.trip(first), longestQuantum))
}

// courtesyPause is how long a break is: enough for a message from the arbiter to
// the others and for their question.
func (e *Engine) courtesyPause(arbiter int) time.Duration {
	return min(max(shortestBreak, 3*e.trip(arbiter)), longestBreak)
}

// trip is how long an instance takes to answer.
func (e *Engine) trip(place int) time.Duration {
	if place == everybody {
		return 0
	}
	return e.instances[place].Health().Latency
}
