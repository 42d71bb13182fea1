package engine

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/holdfast-go/holdfast/instance"
)

const opening = "open" // the Op of its errors

// openPatience is how long Open waits for a quorum when its context would let it
// wait for ever.
const openPatience = 5 * time.Second

// openEvery is how often Open looks at instances that have all been tried.
const openEvery = 10 * time.Millisecond

// AwaitQuorum waits until a quorum is up, and until the others have been tried, or
// have had as long again as the quorum took, or a twentieth of their timeout if that
// is longer. Of a quorum that may not vote yet, all are waited for: they may be new,
// which shows only when all have been seen. It is what Open does with the engine that
// it makes, for an engine that was made with New.
//
// It returns why there is no quorum when ctx ends, after 5 seconds if ctx has no
// deadline, or at once, with ErrRefused, when waiting does not mend it. The engine
// stays as it is.
func (e *Engine) AwaitQuorum(ctx context.Context) error {
	if _, bounded := ctx.Deadline(); !bounded {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, openPatience, late{openPatience, ""})
		defer cancel()
	}
	ctx2, cancel := context.WithCancel(ctx)
	var asking errgroup.Group
	defer func() { cancel(); _ = asking.Wait() }()
	ready := make(chan struct{}, len(e.instances)) // one slot an instance: nobody blocks
	for _, i := range e.instances {
		asking.Go(func() error {
			select {
			case <-i.Ready():
				ready <- struct{}{}
			case <-ctx2.Done():
			}
			return nil
		})
	}
	look := time.NewTicker(openEvery)
	defer look.Stop()
	begun := time.Now()
	var enough <-chan time.Time // the others have had their time; nil: it has not begun
	for tried, late := 0, false; ; {
		select {
		case <-ready:
			tried++
		case <-enough:
			late = true
		case <-look.C:
		case <-ctx.Done():
			return e.openError(ended(ctx))
		}
		all := tried == len(e.instances)
		up, voting, hopeless := e.turnout()
		switch err := e.unusable(); {
		case err != nil:
			return err
		case voting >= e.need && late, up >= e.need && all:
			return nil
		case hopeless && all:
			refused := e.openError(nil)
			refused.reason = ErrRefused
			return refused
		case voting >= e.need && enough == nil:
			enough = time.After(max(time.Since(begun), e.slowest()/20))
		}
	}
}

// slowest is the longest of the instances' timeouts.
func (e *Engine) slowest() (d time.Duration) {
	for _, i := range e.instances {
		d = max(d, i.Timeout())
	}
	return d
}

// turnout counts the instances that are up, and of those the ones that may vote on
// new acquires, and says whether so many refuse us that waiting is of no use.
func (e *Engine) turnout() (up, voting int, hopeless bool) {
	refusing := 0
	for _, i := range e.instances {
		switch h := i.Health(); {
		case h.State == instance.Up:
			voting++
			up++
		case h.State == instance.Quarantined:
			up++
		case instance.IsRefusal(h.Err):
			refusing++
		}
	}
	return up, voting, len(e.instances)-refusing < e.need
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
	q := &QuorumError{Op: opening, Need: e.need, reason: ErrNoQuorum, stop: stop}
	for _, i := range e.instances {
		q.Votes = append(q.Votes, i.Vote())
	}
	return q
}
