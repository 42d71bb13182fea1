package engine

import (
	"context"
	"slices"
	"sync"

	"github.com/holdfast-go/holdfast/instance"
)

// counts is where instances cast their votes on many questions that are asked together, and where their caller waits: it is
// woken once, when all are decided. It is to be used again when the caller has left it, and all votes have been cast.
type counts struct {
	done   chan struct{} // one slot: sent to once, when all are decided; the caller receives
	voters []*instance.Instance

	mu      sync.Mutex
	closed  bool            // all are decided, or the caller does not wait any longer
	open    int             // votes that have not been cast, and one for the caller
	pending int             // questions that are not decided
	tallies []tally         // one a question
	kinds   []instance.Kind // the votes on a question are side by side, one an instance
	votes   []instance.Vote // as kinds; not kept for those that granted or have not answered; empty while there are no others
}

// expect makes room for so many questions, before any of them is asked.
func (c *counts) expect(questions, need int) {
	voters := len(c.voters)
	c.tallies = slices.Grow(c.tallies[:0], questions)[:questions]
	for k := range c.tallies {
		c.tallies[k] = tally{voters: voters, need: need}
	}
	c.kinds = slices.Grow(c.kinds[:0], questions*voters)[:questions*voters]
	clear(c.kinds)
	clear(c.votes)
	c.votes = c.votes[:0]
	c.closed, c.pending = false, questions
	c.open += questions * voters
}

// cast counts an instance's votes on the questions in which, or on all: one each, or one for all of them. Each must be given
// up by release afterwards; cast returns how many there are.
func (c *counts) cast(seat int, which []int, votes []instance.Vote, yes func(instance.Kind) bool) (n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if n = len(which); which == nil {
		n = len(c.tallies)
	}
	for k := range n {
		item := k
		if which != nil {
			item = which[k]
		}
		c.count(item, seat, &votes[min(k, len(votes)-1)], yes)
	}
	if c.pending == 0 && !c.closed {
		c.closed = true
		c.done <- struct{}{} // never blocks: one slot, sent to once
	}
	return n
}

// count counts one vote. Called with mu held.
func (c *counts) count(item, seat int, v *instance.Vote, yes func(instance.Kind) bool) {
	at := item*len(c.voters) + seat
	c.kinds[at] = v.Kind
	if v.Kind != instance.Granted && v.Kind != instance.Unanswered {
		c.votes = slices.Grow(c.votes, len(c.kinds)-len(c.votes))[:len(c.kinds)]
		c.votes[at] = *v
	}
	t := &c.tallies[item]
	before := t.decided()
	if t.count(yes(v.Kind)); !before && t.decided() {
		c.pending--
	}
}

// expectMore adds votes that are to be cast.
func (c *counts) expectMore(votes int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.open += votes
}

// giveUp takes so many off, and reports whether they were the last.
func (c *counts) giveUp(votes int) (last bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.open -= votes
	return c.open == 0
}

// await waits until all is decided, or the caller's context ends: then stop says why, and leave must be called.
func (c *counts) await(ctx context.Context) (stop error) {
	select { // Close need not interrupt it: the instances' timeouts bound it
	case <-c.done:
		if ctx.Err() != nil {
			return ended(ctx)
		}
		return nil
	case <-ctx.Done():
		return ended(ctx)
	}
}

// leave closes it for a caller that does not wait any longer: nobody will be woken.
func (c *counts) leave() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	select { // what has been sent is taken back
	case <-c.done:
	default:
	}
}

// won reports whether a quorum has said yes to a question. Called with mu held, as the next.
func (c *counts) won(item int) bool { return c.tallies[item].won() }

// result returns a copy of the votes on a question so far.
func (c *counts) result(item int) []instance.Vote {
	votes := make([]instance.Vote, len(c.voters))
	for seat := range votes {
		at := item*len(c.voters) + seat
		switch kind := c.kinds[at]; kind {
		case instance.Granted, instance.Unanswered:
			votes[seat] = instance.Vote{Instance: c.voters[seat].Name(), Kind: kind}
		default:
			votes[seat] = c.votes[at]
		}
	}
	return votes
}
