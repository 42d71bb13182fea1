package engine

import (
	"context"
	"errors"
	"fmt"

	"github.com/holdfast-go/holdfast/instance"
)

// ForceRelease takes a resource from the holder that was seen: seen is what
// Inspect returned, and on each instance the very token is deleted that was found
// there, nothing else. So a holder that has come since is not hit, and what a
// person was asked to confirm is what happens. What a minority has, as a holder
// that died in the middle of an acquire leaves it, goes as well. What is no lock
// (instance.ErrForeign) stays.
//
// The holder is not asked: with WithWatch it is told at once; without, it learns of it with its next renewal, and works on
// unprotected until then. Its fencing token stays the highest.
//
// It returns nil when a quorum confirmed that what was seen is gone, also if
// another holds the resource now; else an error with ErrNoQuorum, or ctx's own if it ended
// first. A Status that holds nothing is nothing to do. It waits for as long as the
// instances' timeout at most.
func (e *Engine) ForceRelease(ctx context.Context, seen Status) error {
	err := checkResource(seen.Resource)
	if err == nil && len(seen.Votes) != len(e.instances) {
		err = errors.New("the Status is not from this engine's Inspect")
	}
	if err != nil {
		return fmt.Errorf("engine: force release: %w", err)
	}
	if err := e.enter(); err != nil {
		return fmt.Errorf("force release %q: %w", seen.Resource, err)
	}
	defer e.exit()

	p := e.newPoll(notTheirs)
	defer p.release()
	for seat, i := range e.instances {
		s := &p.seats[seat]
		token := seen.Votes[seat].Holder
		switch {
		case errors.Is(seen.Votes[seat].Err, instance.ErrForeign): // what was seen is not all of it
			s.Cast(seen.Votes[seat])
			continue
		case token != "":
		case seen.Token != "" && seen.Votes[seat].Kind != instance.Free:
			token = seen.Token // it has not said, and may have what the others have
		default:
			s.Cast(seen.Votes[seat])
			continue
		}
		s.release = instance.Release{Key: e.key(seen.Resource), Token: token, TTL: e.cfg.MaxTTL, To: s}
		i.Post(&s.release)
	}
	decided, stop := p.await(ctx)
	if decided && p.won() {
		return nil
	}
	return &QuorumError{Op: "force release", Resource: seen.Resource, Need: e.need, Votes: p.result(), reason: ErrNoQuorum, decided: decided, stop: stop}
}

// notTheirs: the token that was seen is not there any more.
func notTheirs(k instance.Kind) bool {
	switch k {
	case instance.Granted, instance.Gone, instance.Stolen, instance.Free:
		return true
	}
	return false
}
