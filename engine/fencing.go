package engine

import (
	"time"

	"github.com/holdfast-go/holdfast/instance"
)

// The fencing tokens of a resource: every acquire proposes a number, an instance
// grants it only if it is higher than all that it has seen, and two majorities
// share an instance. So later acquires have higher numbers.
//
//	proposal = max(our clock in µs, highest seen + 1)
//
// fenceTTL is how long a cluster remembers a fence that nobody uses. It need
// only be longer than clocks are apart.
const fenceTTL = time.Hour

// propose returns what an acquire that begins at start carries, or nothing when
// it has no fencing token.
func (r *request) propose(prefix string, start time.Time) instance.Fencing {
	if !r.fencing {
		return instance.Fencing{}
	}
	clock := uint64(start.UnixMicro())
	if r.clock != 0 {
		clock = r.clock
	}
	fence := proposal(clock, r.seen)
	// A proposal from the future would be everybody's lower bound until the
	// future comes, and forgotten before: half a quarantine bounds it.
	maxAhead := r.maxTTL / 2
	return instance.Fencing{
		Prefix:   prefix,
		Fence:    fence,
		Reserved: reserve(r.reserve, fence, clock, maxAhead),
		FenceTTL: fenceTTL,
		MaxAhead: maxAhead,
	}
}

// reserve is how many of the numbers that are wanted behind a fence may come with it.
// They are everybody's lower bound, used or not, and time makes a million of them a
// second: an engine that took more would be ahead of all clocks in the end, and refused. So
// what is reserved never reaches further ahead of the clock than the largest wish
// alone would, and than an eighth of what servers allow: most of that is for clocks
// that differ.
func reserve(wanted, fence, clock uint64, maxAhead time.Duration) uint64 {
	furthest := min(clock+min(maxHandoff, uint64(maxAhead.Microseconds())/8), instance.MaxFence)
	if fence >= furthest {
		return 0
	}
	return min(wanted, furthest-fence)
}

// proposal is the fence that an acquire asks for.
func proposal(clock, seen uint64) uint64 {
	return min(max(clock, seen+1), instance.MaxFence)
}

// learn takes from the votes what the next proposal must exceed, and reports
// whether proposing again at once makes sense: when nothing stood in the way but
// numbers.
func (r *request) learn(votes []instance.Vote) bool {
	again, held, ahead, leaves, before := false, false, false, false, r.seen
	for _, v := range votes {
		switch v.Kind {
		case instance.Granted: // in vain, and the fence there is ours by now
			r.seen = max(r.seen, r.proposed)
		case instance.Unanswered: // it may yet be granted
			leaves = true
		case instance.Held:
			held = true
			r.seen = max(r.seen, v.Fence)
		case instance.Stale: // and it is undone there, which leaves a tombstone
			leaves = true
			again = again || v.Fence >= before
			r.seen = max(r.seen, v.Fence)
		case instance.Ahead: // our clock is far ahead: go by the slowest server's
			ahead = true
			again = again || r.clock == 0 || v.Fence < r.clock
			if r.clock == 0 || v.Fence < r.clock {
				r.clock = v.Fence
			}
		}
	}
	if leaves && !held && !ahead {
		r.seen = max(r.seen, r.proposed)
	}
	return again && !held
}
