package engine

import (
	"context"
	"sync"
	"sync/atomic"

	"github.com/holdfast-go/holdfast/instance"
)

// tally counts the votes on one question about one lock, and decides when there is a quorum.
//
//	need = N/2 + 1
//
// Won as soon as need have said yes, lost as soon as need cannot be reached any
// more: the instances that have not answered by then are not waited for.
type tally struct {
	voters, need int
	yes, no      int
}

func quorum(voters int) int { return voters/2 + 1 }

func (t *tally) count(yes bool) {
	if yes {
		t.yes++
	} else {
		t.no++
	}
}

func (t *tally) won() bool     { return t.yes >= t.need }
func (t *tally) lost() bool    { return t.voters-t.no < t.need }
func (t *tally) decided() bool { return t.won() || t.lost() }
func (t *tally) all() bool     { return t.yes+t.no == t.voters }

// against reports whether a quorum has said no. With an even number of
// instances that is more than it takes for a question to be lost.
func (t *tally) against() bool { return t.no >= t.need }

// ballot is where the actors cast their votes on one question about one lock, and where its
// caller waits. The caller is woken when it is decided. Where one instance is asked before the
// others, it is woken by that one's vote, and by the decision if that needs the others (resume).
// What is cast later is recorded for a caller that still looks, and wakes nobody.
//
// It is used again when nothing refers to it any more: neither its caller, nor a
// message that has not been answered.
type ballot struct {
	free func()        // puts it back into its pool
	refs atomic.Int32  // the caller's, and one a message that has not been answered
	done chan struct{} // one slot: sent to once each time that the caller waits

	mu     sync.Mutex
	tally  tally
	kinds  []instance.Kind // one an instance
	votes  []instance.Vote // as kinds; not kept for those that granted or have not answered
	first  bool            // the caller is to be woken by the first vote, whatever it says
	closed bool            // decided, or the caller has left
	voters []*instance.Instance
}

// open prepares the ballot for a question to these instances. The caller has a
// reference, which it gives up by release.
func (b *ballot) open(instances []*instance.Instance) {
	b.refs.Store(1)
	if b.done == nil {
		b.done = make(chan struct{}, 1)
		b.kinds = make([]instance.Kind, len(instances))
		b.votes = make([]instance.Vote, len(instances))
	}
	b.voters = instances
	b.tally = tally{voters: len(instances), need: quorum(len(instances))}
	clear(b.kinds)
	b.first, b.closed = false, false
}

// resume opens a ballot that was closed by its first vote for those still to
// come, and reports whether there is no need of them.
func (b *ballot) resume() (decided bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.first, b.closed = false, b.tally.decided()
	return b.closed
}

// kind returns what the instance of this seat has voted.
func (b *ballot) kind(seat int) instance.Kind {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.kinds[seat]
}

// cast records the vote of the instance of this seat.
func (b *ballot) cast(seat int, v instance.Vote, yes bool) {
	b.mu.Lock()
	b.kinds[seat] = v.Kind
	if v.Kind != instance.Granted {
		b.votes[seat] = v
	}
	b.tally.count(yes)
	wake := !b.closed && (b.first || b.tally.decided())
	if wake {
		b.closed = true
	}
	b.mu.Unlock()
	if wake {
		b.done <- struct{}{} // never blocks: one slot, sent to once
	}
}

// release gives up one reference.
func (b *ballot) release() {
	if b.refs.Add(-1) == 0 {
		b.free()
	}
}

// await waits until the ballot is decided, or the caller's context ends: then stop
// says why, and decided whether it was decided all the same, at the last moment. Of
// two reasons to go on a select takes any, and a cancelled caller must get nothing.
func (b *ballot) await(ctx context.Context) (decided bool, stop error) {
	select { // Close need not interrupt it: the instances' timeouts bound it
	case <-b.done:
		if ctx.Err() != nil {
			return true, ended(ctx)
		}
		return true, nil
	case <-ctx.Done():
		return b.leave(), ended(ctx)
	}
}

// leave closes the ballot for a caller that does not wait any longer, and
// reports whether it was decided before that. Then the wake-up is taken back.
func (b *ballot) leave() (decided bool) {
	b.mu.Lock()
	decided = b.closed
	b.closed = true
	b.mu.Unlock()
	if decided {
		<-b.done // sent, or about to be
	}
	return decided
}

// won reports whether the quorum said yes.
func (b *ballot) won() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.tally.won()
}

// result returns a copy of the votes so far.
func (b *ballot) result() []instance.Vote {
	b.mu.Lock()
	defer b.mu.Unlock()
	votes := make([]instance.Vote, len(b.kinds))
	for seat, kind := range b.kinds {
		switch kind {
		case instance.Granted, instance.Unanswered:
			votes[seat] = instance.Vote{Instance: b.voters[seat].Name(), Kind: kind}
		default:
			votes[seat] = b.votes[seat]
		}
	}
	return votes
}
