package instance

import (
	"sync/atomic"

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
	used      bool  // something has been answered
	full      bool  // there was no more room for replies
	err       error // why the reader ended
	done      chan struct{}
}

// raisesFences reports whether fences are raised by BITFIELD on this link.
func (l *link) raisesFences() bool { return !l.bitfieldRefused.Load() }

// refusesNative reports whether the server refuses a native command that a script can replace, to this user or
// altogether. Then it is not used on this link any more, and as after a SCRIPT FLUSH all is sent again from this message on, so
// that the order stays.
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
	refusal := fault.RefusalOf(r.reply.Err())
	if refusal == nil || refusal.Says != "NOPERM" && refusal.Says != "ERR unknown command" {
		return false
	}
	refused.Store(true)
	return true
}
