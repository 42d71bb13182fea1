package engine

import "time"

// waiter is one Acquire in line. The lock of its lines guards what is not its
// owner's own.
type waiter struct {
	resource string
	another  bool      // of one that waits for several: not the first of them, which counts
	head     chan bool // own.head until the owner knows that it is the head; then nil

	offer offer
	takes *request // while the offer is open: what the owner asks for

	inherited *place // of the one before, in the queue; nil: none

	own channels

	prev, next *waiter
	last       *waiter // of the line; kept by the head only
	length     int     // of the line; kept by the head only
}

// channels are a waiter's own, empty while it is nobody's, and used again.
type channels struct {
	head   chan bool     // one slot: "you are the head now", and whether the one before holds the resource
	wake   chan struct{} // one slot: "the lock has just been released here"; sent to the head alone
	handed chan handoff  // one slot: sent to once by the one that has promised
	timer  *time.Timer
}

func newWaiter() *waiter {
	return &waiter{own: channels{
		head:   make(chan bool, 1),
		wake:   make(chan struct{}, 1),
		handed: make(chan handoff, 1),
	}}
}

// clear takes out what was sent to w after its owner had stopped listening.
// Nobody sends to w any more, and a handoff is always received.
func (c *channels) clear() {
	select {
	case <-c.head:
	default:
	}
	select {
	case <-c.wake:
	default:
	}
}

// after returns w's timer, set. The caller stops it.
func (w *waiter) after(d time.Duration) *time.Timer {
	if w.own.timer == nil {
		w.own.timer = time.NewTimer(d)
	} else {
		w.own.timer.Reset(d)
	}
	return w.own.timer
}
