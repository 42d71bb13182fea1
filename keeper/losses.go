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
	ch      chan *lease.Lease // sent to and closed under mu; capacity lostBuffer. nil: nobody has needed it
	dropped uint64
	closed  bool
}

// lost returns the channel.
func (l *losses) lost() <-chan *lease.Lease {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.channel()
}

// channel makes it if there is none: it is large. Called with mu held.
func (l *losses) channel() chan *lease.Lease {
	if l.ch == nil {
		l.ch = make(chan *lease.Lease, lostBuffer)
		if l.closed {
			close(l.ch)
		}
	}
	return l.ch
}

func (l *losses) emit(lost *lease.Lease) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		l.dropped++
		return
	}
	for ch := l.channel(); ; {
		select {
		case ch <- lost:
			return
		default:
		}
		select {
		case <-ch: // the only sender holds mu, so this makes room, or a reader did
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
		if l.ch != nil {
			close(l.ch)
		}
	}
}

func (l *losses) count() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.dropped
}
