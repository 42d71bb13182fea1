package engine

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/holdfast-go/holdfast/instance"
)

// Status is the holder of a resource, as a quorum of the instances saw it a moment
// ago: a look, not a lock.
type Status struct {
	Resource  string
	Held      bool          // a quorum of the instances has the same holder
	Token     string        // the holder's; "" when not held
	Owner     string        // the holder's Config.Owner; "" when it has none
	Remaining time.Duration // until a quorum no longer has the holder, if nobody renews; negative: it never expires
	Votes     []instance.Vote

	undecided bool
}

// String is one line, with the token abbreviated.
func (s Status) String() string {
	switch {
	case s.undecided:
		return fmt.Sprintf("who holds %q is not known", s.Resource)
	case !s.Held:
		return fmt.Sprintf("%q is free", s.Resource)
	}
	return fmt.Sprintf("%q is held by %s for another %v", s.Resource, instance.Abbreviate(s.Token), s.Remaining.Round(time.Millisecond))
}

// GoString keeps the whole token out of %#v.
func (s Status) GoString() string { return s.String() }

// Inspect asks every instance for the holder of the resource, and for how long it holds it. It waits
// for all of them, at most as long as their timeout. When so many do not answer
// that a majority may or may not have a holder, the error is ErrNoQuorum, and the
// Status has the votes that did come.
func (e *Engine) Inspect(ctx context.Context, resource string) (Status, error) {
	s := Status{Resource: resource}
	if err := checkResource(resource); err != nil {
		return s, fmt.Errorf("engine: inspect: %w", err)
	}
	if err := e.enter(); err != nil {
		return s, fmt.Errorf("inspect %q: %w", resource, err)
	}
	defer e.exit()

	s.Votes = make([]instance.Vote, len(e.instances))
	var asked errgroup.Group
	for place, i := range e.instances {
		asked.Go(func() (err error) {
			s.Votes[place], err = ask(ctx, i, e.key(resource))
			return err
		})
	}
	stopped := asked.Wait()
	if !s.count(e.need) {
		s.undecided = true
		return s, &QuorumError{Op: "inspect", Resource: resource, Need: e.need, Votes: s.Votes, reason: ErrNoQuorum, stop: stopped}
	}
	return s, nil
}

// ask puts the question to one instance and waits for the answer.
func ask(ctx context.Context, i *instance.Instance, key string) (instance.Vote, error) {
	answer := make(answerCaster, 1)
	i.Post(&instance.Inspect{Key: key, To: answer})
	select {
	case v := <-answer:
		return v, nil
	case <-ctx.Done():
		return instance.Vote{Instance: i.Name()}, ended(ctx)
	}
}

// answerCaster has room for the one vote.
type answerCaster chan instance.Vote

func (c answerCaster) Cast(v instance.Vote) { c <- v }

// count decides from the votes which token holds the resource, and reports whether that
// can be decided: whether those that have not answered could not change it.
func (s *Status) count(need int) (decided bool) {
	lefts := make(map[string][]time.Duration) // by token
	silent := 0
	for _, v := range s.Votes {
		switch v.Kind {
		case instance.Held:
			lefts[v.Holder] = append(lefts[v.Holder], v.Left)
		case instance.Free:
		default:
			silent++
		}
	}
	decided = silent < need
	for token, left := range lefts {
		if len(left) >= need {
			s.Held, s.Token, s.Owner = true, token, ownerOf(token)
			s.Remaining = majorityEnds(left, need)
			return true
		}
		if len(left)+silent >= need {
			decided = false
		}
	}
	return decided
}

// majorityEnds returns when fewer than need of the keys are left. A negative
// time is a key that never expires.
func majorityEnds(left []time.Duration, need int) time.Duration {
	slices.SortFunc(left, func(a, b time.Duration) int {
		switch {
		case a < 0 && b >= 0:
			return -1
		case b < 0 && a >= 0:
			return 1
		}
		return cmp.Compare(b, a)
	})
	return left[need-1]
}
