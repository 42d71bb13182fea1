package keeper

import (
	"sync"

	"github.com/holdfast-go/holdfast/lease"
)

// lostBuffer is how many losses wait for a reader of Lost.
const lostBuffer = 1024

// losses is the channel that nobody is ever blocked by: when it is full the
// oldest loss gives way.
type losses struct {
	mu      sync.Mutex
	ch      chan *lease.Lease // sent to and closed under mu; capacity lostBuffer
	dropped uint64
	closed  bool
}

func newLosses() *losses { return &losses{ch: make(chan *lease.Lease, lostBuffer)} }

func (l *losses) emit(lost *lease.Lease) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		l.dropped++
		return
	}
	for {
		select {
		case l.ch <- lost:
			return
		default:
		}
		select {
		case <-l.ch: // the only sender holds mu, so this makes room, or a reader did
			l.dropped++
		default:
		}
	}
}

func (l *losses) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.closed {
		l.closed = true
		close(l.ch)
	}
}

func (l *losses) count() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.dropped
}
