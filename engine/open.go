package engine

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/holdfast-go/holdfast/instance"
)

// openPatience is how long Open waits for a quorum when its context would let it
// wait for ever.
const openPatience = 5 * time.Second

// AwaitQuorum waits until every instance has been tried once and a quorum of them is
// up: what Open does with the engine that it makes, for who has made one with New. It
// returns why there is none when ctx ends, after 5 seconds if ctx has no deadline, or at
// once, with ErrRefused, when waiting does not mend it. The engine stays as it is.
func (e *Engine) AwaitQuorum(ctx context.Context) error {
	if _, bounded := ctx.Deadline(); !bounded {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, openPatience)
		defer cancel()
	}
	tried, ctx2 := errgroup.WithContext(ctx)
	for _, i := range e.instances {
		tried.Go(func() error {
			select {
			case <-i.Ready():
				return nil
			case <-ctx2.Done():
				return ended(ctx2)
			}
		})
	}
	err := tried.Wait()
	for err == nil {
		up, hopeless := e.turnout()
		if err := e.unusable(); err != nil {
			return err
		}
		if up >= e.need {
			return nil
		}
		if hopeless {
			refused := e.openError(nil)
			refused.reason = ErrRefused
			return refused
		}
		select {
		case <-time.After(10 * time.Millisecond):
		case <-ctx.Done():
			err = ended(ctx)
		}
	}
	return e.openError(err)
}

// turnout counts the instances that are up, and says whether so many refuse us
// that waiting is of no use.
func (e *Engine) turnout() (up int, hopeless bool) {
	refusing := 0
	for _, i := range e.instances {
		switch h := i.Health(); {
		case h.State == instance.Up, h.State == instance.Quarantined:
			up++
		case instance.IsRefusal(h.Err):
			refusing++
		}
	}
	return up, len(e.instances)-refusing < e.need
}

// unusable returns an error for a set of instances that must not be used,
// however many of them are up: two that are the same server.
func (e *Engine) unusable() error {
	for _, i := range e.instances {
		if h := i.Health(); instance.IsSameServer(h.Err) {
			return fmt.Errorf("engine: open: instance %s: %w", h.Name, h.Err)
		}
	}
	return nil
}

func (e *Engine) openError(stop error) *QuorumError {
	q := &QuorumError{Op: "open", Need: e.need, reason: ErrNoQuorum, stop: stop}
	for _, i := range e.instances {
		q.Votes = append(q.Votes, i.Standing())
	}
	return q
}
