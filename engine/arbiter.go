package engine

import (
	"github.com/holdfast-go/holdfast/instance"
)

// The arbiter of a resource is the instance that all contenders ask first; only the
// one that it grants asks the other instances. So when several are woken at once,
// one of them gets a quorum and the rest cost one message each, where a fan-out of
// all would split the votes, again and again.
//
// It has no say that the others have not. A grant is a majority of votes for one
// token, with a validity that counts from the first of the messages, in whatever
// order they go out. Nor does it matter for safety whether all agree on it: it is
// the first in an order that is the resource's own (rendezvous hashing), of those
// that can vote and are not known to lack the lock that everybody waits for. One
// that does not answer is passed over in the same round, and a contender that died
// holding nothing but the arbiter stands in nobody's way for longer than
// patience, since every so often everybody is asked at once.
//
// arbiter returns its seat, or everybody when there is none, or no need of one.
// votes are the last full round's; nil: none has been.
func (e *Engine) arbiter(key string, votes []instance.Vote) int {
	best, highest := everybody, uint64(0)
	if len(e.instances) == 1 {
		return 0
	}
	for seat, i := range e.instances {
		if votes != nil && votes[seat].Kind != instance.Held && votes[seat].Kind != instance.Unanswered {
			continue
		}
		h := i.Health()
		if h.State != instance.Up {
			continue
		}
		name := h.RunID // the same for all contenders, whatever they call it
		if name == "" {
			name = h.Name
		}
		if rank := rank(name, key); best == everybody || rank > highest {
			best, highest = seat, rank
		}
	}
	return best
}

// rank is a hash of both, the same in every process: FNV-1a, and a finish that
// spreads it (the one of MurmurHash3).
func rank(name, key string) uint64 {
	h := uint64(14695981039346656037)
	for _, s := range [...]string{name, "\x00", key} {
		for k := range len(s) {
			h = (h ^ uint64(s[k])) * 1099511628211
		}
	}
	h = (h ^ h>>33) * 0xff51afd7ed558ccd
	h = (h ^ h>>33) * 0xc4ceb9fe1a85ec53
	return h ^ h>>33
}

// arbiterBut is the arbiter if those that have been passed over could not vote.
func (e *Engine) arbiterBut(key string, passed []bool) int {
	votes := make([]instance.Vote, len(passed))
	for seat, over := range passed {
		if over {
			votes[seat].Kind = instance.Unreachable
		}
	}
	if len(passed) == 1 && passed[0] {
		return everybody
	}
	return e.arbiter(key, votes)
}
