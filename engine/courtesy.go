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
type courtesy struct {
	mu     sync.Mutex
	spells [1 << 10]spell // by hash; of two resources in one place the earlier is forgotten
}

// spell is the time that a resource has been this engine's without a break.
type spell struct {
	key          uint64 // hash
	began, ended time.Time
	quantum      time.Duration
}

const (
	shortestQuantum = 5 * time.Millisecond
	longestQuantum  = 320 * time.Millisecond
	// shortestBreak is how long others need to be told of a release and to ask,
	// where a round trip takes next to no time.
	shortestBreak = time.Millisecond
	longestBreak  = 50 * time.Millisecond
	// forgetting is how long an engine remembers that nobody else wanted it.
	forgetting = time.Second
)

var courtesySeed = maphash.MakeSeed()

func (c *courtesy) spell(key string) (*spell, uint64) {
	h := maphash.String(courtesySeed, key)
	return &c.spells[h%uint64(len(c.spells))], h
}

// had notes that the engine had the resource from since until now.
func (c *courtesy) had(key string, since, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s, h := c.spell(key)
	switch {
	case s.key != h || now.Sub(s.ended) > forgetting:
		*s = spell{key: h, began: since, quantum: shortestQuantum}
	case since.Sub(s.ended) > shortestBreak: // others had their chance
		s.began = since
	}
	s.ended = now
}

// due reports whether it is time for a break.
func (c *courtesy) due(key string, now time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	s, h := c.spell(key)
	return s.key == h && now.Sub(s.ended) <= shortestBreak && s.ended.Sub(s.began) >= s.quantum
}

// paid notes what came of a break: whether somebody else took the resource.
func (c *courtesy) paid(key string, now time.Time, taken bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s, h := c.spell(key)
	if s.key != h {
		return
	}
	s.began, s.ended = now, now
	s.quantum = min(2*s.quantum, longestQuantum)
	if taken {
		s.quantum = shortestQuantum
	}
}

// courtesyPause is how long a break is: enough for a message from the arbiter to
// the others and for their question.
func (e *Engine) courtesyPause(arbiter int) time.Duration {
	pause := shortestBreak
	if arbiter != everybody {
		pause = max(pause, 3*e.instances[arbiter].Health().Latency)
	}
	return min(pause, longestBreak)
}
