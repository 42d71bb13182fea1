package engine

import (
	"context"
	"sync/atomic"
)

// together is where a caller waits for many ballots, and is woken once: when the last of them is decided.
type together struct {
	open atomic.Int32  // ballots that are not decided
	done chan struct{} // one slot: sent to once, with the last; the caller receives
}

// expect prepares for so many ballots, at least one, each of which is joined before it is asked for.
func (t *together) expect(ballots int) {
	if t.done == nil {
		t.done = make(chan struct{}, 1)
	}
	t.open.Store(int32(ballots))
}

// decided notes that one more is. It is called with that ballot's mutex held.
func (t *together) decided() {
	if t.open.Add(-1) == 0 {
		t.done <- struct{}{} // never blocks: one slot, sent to once
	}
}

// await waits until all are decided, or the caller's context ends: then stop says why, and leave must be called.
func (t *together) await(ctx context.Context) (stop error) {
	select { // Close need not interrupt it: the instances' timeouts bound it
	case <-t.done:
		if ctx.Err() != nil {
			return ended(ctx)
		}
		return nil
	case <-ctx.Done():
		return ended(ctx)
	}
}

// leave takes back the wake-up, if there was one, for a caller that does not wait any longer. It has closed all of the
// ballots before, so none of them calls decided from now on.
func (t *together) leave() {
	select {
	case <-t.done:
	default:
	}
}

// close closes the ballot for a caller that does not wait any longer, where others are waited for with it.
func (b *ballot) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
}
