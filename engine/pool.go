package engine

import (
	"hash/maphash"
	"slices"
	"sync"
	"time"

	"github.com/holdfast-go/holdfast/internal/slots"
)

// pools remember which permits of a resource this engine had, so that it can ask for one that is free without
// looking. All of it is a guess: the votes decide.
type pools struct {
	mu  sync.Mutex
	all map[string]*pool // by the resource's key
}

// pool is what is remembered of one resource.
type pool struct {
	pools      *pools
	key        string // the resource's
	bell, turn string
	keys       []string // of the permits, by number

	// Guarded by the mutex of all pools.
	used   [MaxPermits]uint8 // how many leases of this engine have each
	held   int               // how many that is
	recent []uint8           // those that were given back, the last at the end
	doubts []time.Time       // until when each is thought to be taken at some instances; nil: none is
	start  int               // where this engine begins, if it has no better guess
}

// mostPools is how many resources are remembered whose permits nobody here has.
const mostPools = 1 << 10

var permitSeed = maphash.MakeSeed() // another in each process, so that they begin at different permits

// of returns the pool of a resource, with the names of n permits at least.
func (p *pools) of(prefix, key string, n int) *pool {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.all[key]
	if s == nil {
		p.makeRoom()
		s = &pool{
			pools: p,
			key:   key,
			bell:  slots.Beside(prefix, slots.PermitBell, key),
			turn:  slots.Beside(prefix, slots.PermitTurn, key),
			start: int(maphash.String(permitSeed, key) % MaxPermits),
		}
		if p.all == nil {
			p.all = make(map[string]*pool)
		}
		p.all[key] = s
	}
	if len(s.keys) < n { // a copy, since others read it
		keys := slices.Clone(s.keys)
		for k := len(keys); k < n; k++ {
			keys = append(keys, permitKey(prefix, key, k))
		}
		s.keys = keys
	}
	return s
}

// mostLooks is how many pools are looked at for one that may be forgotten.
const mostLooks = 8

// makeRoom forgets one that nobody here has a permit of, if there are many, and it finds one at once: a resource whose
// permits are all given back later is forgotten then.
func (p *pools) makeRoom() {
	if len(p.all) < mostPools {
		return
	}
	looks := 0
	for key, s := range p.all { // begins anywhere
		if s.held == 0 {
			delete(p.all, key)
			return
		}
		if looks++; looks == mostLooks {
			return
		}
	}
}

// names are the keys of the first n permits.
func (s *pool) names(n int) []string {
	s.pools.mu.Lock()
	defer s.pools.mu.Unlock()
	return s.keys[:n:n]
}

// guess returns so many permits that may be free, of the first n, in ascending order: those that this engine had last. For
// one permit it always has a guess; for more it may return nil. They count as used until they are given back.
func (s *pool) guess(n, weight int) []int {
	s.pools.mu.Lock()
	defer s.pools.mu.Unlock()
	order, known := s.inOrder(n, time.Now())
	if known < weight && weight > 1 || s.used[order[0]] > 0 {
		return nil
	}
	which := order[:weight:weight]
	slices.Sort(which)
	s.use(which)
	return which
}

// order returns all of the first n permits, in the order in which they are wanted.
func (s *pool) order(n int) []int {
	s.pools.mu.Lock()
	defer s.pools.mu.Unlock()
	order, _ := s.inOrder(n, time.Now())
	return order
}

// inOrder begins with the known: those that were given back here. Then come the others; behind them those that are thought
// to be taken elsewhere, and last those that leases of this engine have.
func (s *pool) inOrder(n int, now time.Time) (order []int, known int) {
	order = make([]int, 0, n)
	var placed [MaxPermits]bool
	put := func(slot int) {
		if slot < n && !placed[slot] {
			placed[slot] = true
			order = append(order, slot)
		}
	}
	for k := len(s.recent) - 1; k >= 0; k-- {
		if slot := int(s.recent[k]); s.used[slot] == 0 && !s.doubted(slot, now) {
			put(slot)
		}
	}
	known = len(order)
	for k := range n {
		if slot := (s.start + k) % n; s.used[slot] == 0 && !s.doubted(slot, now) {
			put(slot)
		}
	}
	for _, used := range []bool{false, true} {
		for slot := range n {
			if s.used[slot] > 0 == used {
				put(slot)
			}
		}
	}
	return order, known
}

func (s *pool) doubted(slot int, now time.Time) bool {
	return s.doubts != nil && s.doubts[slot].After(now)
}

// use counts a lease, or an attempt at one, of these permits. Called with mu held.
func (s *pool) use(which []int) {
	for _, slot := range which {
		s.used[slot]++
		s.held++
	}
	s.recent = slices.DeleteFunc(s.recent, func(slot uint8) bool { return s.used[slot] > 0 })
}

// took notes a lease of these permits.
func (s *pool) took(which []int) {
	s.pools.mu.Lock()
	defer s.pools.mu.Unlock()
	s.use(which)
}

// missed notes that permits which were guessed are not free, or are a lease's now. A resource of which nobody here has any more is
// forgotten if there are many.
func (s *pool) missed(which []int) {
	s.pools.mu.Lock()
	defer s.pools.mu.Unlock()
	for _, slot := range which {
		s.used[slot]--
		s.held--
	}
	if all := s.pools.all; s.held == 0 && len(all) > mostPools && all[s.key] == s {
		delete(all, s.key)
	}
}

// gaveBack notes the end of a lease of these permits.
func (s *pool) gaveBack(which []int) {
	s.missed(which)
	s.pools.mu.Lock()
	defer s.pools.mu.Unlock()
	for _, slot := range which {
		if s.used[slot] == 0 && !slices.Contains(s.recent, uint8(slot)) {
			s.recent = append(s.recent, uint8(slot))
		}
	}
}

// doubt notes that others refuse these permits, though one instance has granted them.
func (s *pool) doubt(which []int, until time.Time) {
	s.pools.mu.Lock()
	defer s.pools.mu.Unlock()
	if s.doubts == nil {
		s.doubts = make([]time.Time, MaxPermits)
	}
	for _, slot := range which {
		s.doubts[slot] = until
	}
}
