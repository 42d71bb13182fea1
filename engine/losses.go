package engine

import (
	"sync"
	"time"

	"github.com/holdfast-go/holdfast/instance"
	"github.com/holdfast-go/holdfast/lease"
)

const (
	// recentLosses is how many losses an engine remembers for its Snapshot.
	recentLosses = 64
	// recentEnds is how many leases it remembers that have ended, however they did.
	recentEnds = 64
	mostRecent = max(recentLosses, recentEnds)
)

// End is a lease that has ended.
type End struct {
	Resource string        // of several, the first
	More     int           // of several: how many besides
	Slots    []int         // of permits: which
	Holder   string        // its token, abbreviated
	Fence    uint64        // 0: none
	Cause    error         // never nil; the func Cause has one word for it
	At       time.Time     // when it was noticed
	Held     time.Duration // until then, since the attempt began that was granted
}

// past is the most recent of the leases that have ended, in a ring, and the number
// of all: once of those that were lost, and once of all.
type past struct {
	mu    sync.Mutex
	ring  []bygone // mostRecent of them, once there have been so many
	count uint64
}

// bygone is what an End is made of when somebody looks: most are never looked at.
type bygone struct {
	lease *lease.Lease
	cause error
	at    time.Time
	held  time.Duration
}

func (p *past) add(x bygone) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.ring) < mostRecent {
		p.ring = append(p.ring, x)
	} else {
		p.ring[p.count%mostRecent] = x
	}
	p.count++
}

// latest returns the number of all, and the most recent ones, the newest first, at
// most so many.
func (p *past) latest(limit int) (all uint64, recent []End) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for n := range min(uint64(limit), p.count, mostRecent) {
		x := p.ring[(p.count-1-n)%mostRecent]
		recent = append(recent, End{
			Resource: x.lease.Resource(), More: len(x.lease.Resources()) - 1, Slots: x.lease.Slots(), Holder: instance.Abbreviate(x.lease.Token()), Fence: x.lease.Fence(),
			Cause: x.cause, At: x.at, Held: x.held,
		})
	}
	return p.count, recent
}
