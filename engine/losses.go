package engine

import (
	"sync"
	"time"

	"github.com/holdfast-go/holdfast/instance"
	"github.com/holdfast-go/holdfast/lease"
)

// RecentLosses is how many losses an engine remembers for its Snapshot.
const RecentLosses = 64

// Loss is a lease that ended without being released.
type Loss struct {
	Resource string
	Holder   string // its token, abbreviated
	Cause    error
	At       time.Time
	Held     time.Duration
}

// losses are the most recent ones, in a ring, and the number of all.
type losses struct {
	mu    sync.Mutex
	ring  [RecentLosses]loss
	count uint64
}

type loss struct {
	lease *lease.Lease
	cause error
	at    time.Time
	held  time.Duration
}

func (s *losses) add(l *lease.Lease, cause error, held time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ring[s.count%RecentLosses] = loss{l, cause, time.Now(), held}
	s.count++
}

// latest returns the number of all losses, and the most recent ones, the newest
// first, at most so many.
func (s *losses) latest(limit int) (all uint64, recent []Loss) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for n := range min(uint64(limit), s.count, RecentLosses) {
		x := s.ring[(s.count-1-n)%RecentLosses]
		recent = append(recent, Loss{
			Resource: x.lease.Resource(), Holder: instance.Abbreviate(x.lease.Token()),
			Cause: x.cause, At: x.at, Held: x.held,
		})
	}
	return s.count, recent
}
