package instance

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/holdfast-go/holdfast/internal/fault"
	"github.com/holdfast-go/holdfast/internal/reach"
	"github.com/holdfast-go/holdfast/internal/resp"
)

// link is the connection that an instance's messages travel on. It belongs to the actor; what
// is written on it is written by the sender of the flow, and once it is open for messages, its
// reader reads.
type link struct {
	*reach.Link

	// deletionRefused: the user may not use the server's Deletion; set by the reader.
	deletionRefused atomic.Bool
	// bitfieldRefused: the same of BITFIELD.
	bitfieldRefused atomic.Bool
	// clock is the server's.
	clock serverClock

	// The reader's own, until done is closed by it.
	forgotten bool  // the server has forgotten our scripts, or refuses a native command: all from there on is sent again
	unloaded  bool  // it has forgotten them: they are loaded before that
	reloaded  bool  // they have been, once
	used      bool  // something has been answered
	full      bool  // there was no more room for replies
	err       error // why the reader ended
	done      chan struct{}
}

// nativeDeletion is the command that releases are sent as on this link; nil: they are scripts.
func (l *link) nativeDeletion() *reach.Deletion {
	if l.deletionRefused.Load() {
		return nil
	}
	return l.Deletion
}

// raisesFences reports whether fences are raised by BITFIELD on this link.
func (l *link) raisesFences() bool { return !l.bitfieldRefused.Load() }

// refusesNative reports whether the server refuses a native command that a script can replace, to this user or
// altogether. Then it is not used on this link any more, and as after a SCRIPT FLUSH all is sent again from this message on, so
// that the order stays. A release of a name that the user may not use says nothing of other releases, and a script may not
// do it either. Of a fence's table it says all.
func (r *reader) refusesNative(l *link, c Command) bool {
	if r.reply.Kind != resp.Error {
		return false
	}
	var refused *atomic.Bool
	switch c := original(c).(type) {
	case *Release:
		if !c.native {
			return false
		}
		refused = &l.deletionRefused
	case *raise:
		refused = &l.bitfieldRefused
	default:
		return false
	}
	err := r.reply.Err()
	refusal := fault.RefusalOf(err)
	if refusal == nil || refusal.Says != "ERR unknown command" && refusal.Says != "NOPERM" && !(refused == &l.bitfieldRefused && fault.IsNoKey(err)) {
		return false
	}
	refused.Store(true)
	return true
}

// freshClock is how old an answer of the server's clock may be to judge a proposal by it. When it is half as old, one acquire
// of a pipeline is sent as a script, which brings the next.
const freshClock = time.Second

// serverClock is what the server's clock has shown last on a link. The reader notes it, and the sender asks.
type serverClock struct {
	mu     sync.Mutex
	micros uint64
	at     time.Time // when the answer had come; zero: never
}

func (c *serverClock) note(micros int64, at time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.micros, c.at = uint64(max(micros, 0)), at
}

// least returns a lower bound of what the clock shows now, in µs; 0: unknown. ages: it is to be asked again.
func (c *serverClock) least(now time.Time) (micros uint64, ages bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	age := now.Sub(c.at)
	if c.at.IsZero() || age > freshClock {
		return 0, true
	}
	return c.micros + uint64(max(age, 0).Microseconds()), age > freshClock/2
}
