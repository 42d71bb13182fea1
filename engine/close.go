package engine

import (
	"context"
	"fmt"

	"golang.org/x/sync/errgroup"

	"github.com/holdfast-go/holdfast/lease"
)

// Close ends what waits, releases every lease that the engine holds, and closes
// the connections. Acquires that are under way return ErrClosed; held leases end
// with lease.ErrClosed. The error has the leases whose release no quorum
// confirmed (its text names the first few, Unwrap() []error has all): their keys
// go by their TTL.
//
// It blocks until everything that was accepted is answered, which the instances'
// timeouts bound: an instance that is not up is not waited for, and 512 releases
// wait at once. Then it waits until the Logger and the Trace have been told of all
// that, for a second at most. When ctx ends it breaks off what is still on the wire, and
// waits no longer to tell.
//
// When it returns, every goroutine of the engine is gone, but for those in which a
// func of the user's hangs: of a Logger, a Trace, a Backoff, a Dialer, Credentials, TLS or
// a client. Such a goroutine ends when the func returns.
//
// Closing twice is fine: the second call waits for the first and returns the same.
func (e *Engine) Close(ctx context.Context) error {
	e.closeOnce.Do(func() {
		e.closeErr = e.close(ctx)
		close(e.closeDone)
	})
	<-e.closeDone
	return e.closeErr
}

func (e *Engine) close(ctx context.Context) error {
	stop := context.AfterFunc(ctx, e.stopActors) // what hangs is broken off, and answers then
	defer stop()

	e.mu.Lock()
	e.closed = true // no more calls, no more leases
	e.mu.Unlock()
	e.beginClose()
	e.calls.Wait()

	e.queues.loop.Wait()
	err := e.releaseAll()

	for _, i := range e.instances {
		i.Close()
	}
	err = join(err, e.actors.Wait())
	e.stopActors()
	e.stopKeeper()
	err = join(err, e.keeperLoop.Wait())
	e.telling.close(ctx)
	return err
}

// releaseLimit is how many releases wait for their answers at once.
const releaseLimit = 512

// releaseAll releases every lease, all that fit at once.
func (e *Engine) releaseAll() error {
	var releases errgroup.Group
	releases.SetLimit(releaseLimit)
	entries := e.keeper.Entries()
	errs := make([]error, len(entries))
	for k, entry := range entries {
		releases.Go(func() error {
			entry.Control.End(lease.ErrClosed)
			if h := holdingOf(entry); h.lease().Err() == lease.ErrClosed { // the bare cause
				errs[k] = h.close()
			}
			return nil
		})
	}
	_ = releases.Wait() // none returns an error: every one is to be reported
	return join(errs...)
}

// close gives the lease back on the instances.
func (h *holding) close() error {
	if keys := h.several(); keys != nil {
		return h.closeAll(keys)
	}
	p, _ := h.giveUp(false)
	if p == nil {
		return nil
	}
	votes, won := p.wait()
	if won {
		h.settled.Store(true)
		return nil
	}
	return fmt.Errorf("close: %w", h.engine.unproven("release", h.lease().Resource(), votes, nil))
}
