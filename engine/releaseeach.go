package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/holdfast-go/holdfast/lease"
)

// ReleaseEach releases many leases of this engine as Lease.Release does each of them, however they were acquired, with
// few messages and few wake-ups: up to 256 go out together, in one post to each instance. All end locally at once,
// before the first message leaves; then the instances are told, whether or not ctx has ended. It is over when a quorum
// has answered, or cannot, for each of them.
//
// It returns nil when all were released, and each was held until then. Else the errors are in the order of leases, nil
// for those of which that is true: what Lease.Release would have returned, or that it is nil or not a lease of this
// engine, which is left as it is then. There may be any number of leases; none is fine. Safe for concurrent use, also
// with Close: what has been begun before is finished.
func (e *Engine) ReleaseEach(_ context.Context, leases []*lease.Lease) []error {
	if e.enter() == nil { // else all have ended, and Release says so
		defer e.exit()
	}
	errs := make([]error, len(leases))
	failed := false
	note := func(k int, err error) {
		if err != nil {
			errs[k], failed = err, true
		}
	}
	ends := make([]leaseEnd, 0, len(leases))
	for k, l := range leases {
		if h := e.holdingOf(l); h != nil {
			first, cause := h.endAs(lease.ErrReleased)
			ends = append(ends, leaseEnd{holding: h, which: k, first: first, cause: cause})
		} else {
			note(k, fmt.Errorf("release each: leases[%d]: %w", k, errNotOurs))
		}
	}
	e.giveBackEach(ends, note)
	if !failed {
		return nil
	}
	return errs
}

// giveBackEach gives back leases that have ended, a chunk after the other, and a second one while the first is under way.
func (e *Engine) giveBackEach(ends []leaseEnd, note func(which int, err error)) {
	var posted *giving
	for len(ends) > 0 || posted != nil {
		var next *giving
		if n := min(chunkSize, len(ends)); n > 0 && e.enterGate(n, posted == nil) {
			next = e.newGiving(ends[:n])
			next.post()
			ends = ends[n:]
		}
		if posted != nil {
			n := int64(posted.entered)
			posted.wait(note)
			e.gate.Release(n)
		}
		posted = next
	}
}

// enterGate enters so many, and waits for that, or not.
func (e *Engine) enterGate(n int, wait bool) bool {
	if wait {
		return e.gate.Acquire(context.Background(), int64(n)) == nil // it comes to an end: all that is under way is answered in time
	}
	return e.gate.TryAcquire(int64(n))
}

var errNotOurs = errors.New("it is no lease of this engine: Lease.Release releases any")

// holdingOf returns the record of a lease, if it is this engine's; else nil.
func (e *Engine) holdingOf(l *lease.Lease) *holding {
	if l == nil {
		return nil
	}
	if h, ok := lease.BackendOf(l).(*holding); ok && h.engine == e {
		return h
	}
	return nil
}

// discardAll releases leases that nobody has got, and does not wait for that.
func (e *Engine) discardAll(results []Each) {
	var ends []leaseEnd
	for k := range results {
		if l := results[k].Lease; l != nil {
			h := e.holdingOf(l)
			first, cause := h.endAs(lease.ErrReleased)
			ends = append(ends, leaseEnd{holding: h, first: first, cause: cause})
		}
	}
	for some := range slices.Chunk(ends, chunkSize) {
		g := e.newGiving(some)
		g.post()
		g.leaveAll()
	}
}
