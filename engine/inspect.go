package engine

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/holdfast-go/holdfast/instance"
	"github.com/holdfast-go/holdfast/internal/slots"
)

// Status is the holder of a resource, as a quorum of the instances saw it a moment
// ago: a look, not a lock.
type Status struct {
	Resource  string
	Held      bool          // a quorum of the instances has the same holder
	Token     string        // the holder's; "" when not held
	Owner     string        // the holder's Config.Owner; "" when it has none
	Readers   int           // how many share it (Shared), as a majority of the instances has them at least; 0: nobody does, or it is not known. Then Token is instance.SharedMark
	Remaining time.Duration // until a quorum no longer has the holder, if nobody renews; negative: it never expires
	Votes     []instance.Vote

	// Term and Value are those of a leader, when it holds the resource by Campaign: see Leadership. Term is 0 when not.
	Term  uint64
	Value string

	// Waiting is how many engines stand in the queue for the resource, as the instances that answered
	// have it: one that waits for many of its goroutines is one, and one that has died is one for
	// another 3 s. Who waits without a place there is not counted: other libraries, engines with a
	// Backoff or Tries, and those that have no right to the queue. Negative: it is not known, since an
	// instance did not say, or does not permit the question.
	Waiting    int
	WaitingFor time.Duration // how long the first of them has waited, by the server's clock; 0: nobody waits, or it is not known

	undecided bool
}

// String is one line, with the token abbreviated.
func (s Status) String() string {
	switch {
	case s.undecided:
		return fmt.Sprintf("who holds %q is not known", s.Resource)
	case !s.Held:
		return fmt.Sprintf("%q is free", s.Resource) + s.queue()
	case s.Token == instance.SharedMark:
		return fmt.Sprintf("%q is shared by %d for another %v", s.Resource, s.Readers, s.Remaining.Round(time.Millisecond)) + s.queue()
	case s.Remaining < 0:
		return fmt.Sprintf("%q is held by %s, and does not expire", s.Resource, instance.Abbreviate(s.Token)) + s.leader() + s.queue()
	}
	return fmt.Sprintf("%q is held by %s for another %v", s.Resource, instance.Abbreviate(s.Token), s.Remaining.Round(time.Millisecond)) + s.leader() + s.queue()
}

// leader is the part of String that says what a leader says: nothing if it is none.
func (s Status) leader() string {
	if s.Term == 0 {
		return ""
	}
	return fmt.Sprintf("; it leads in term %d: %q", s.Term, s.Value)
}

// queue is the part of String that says who waits: nothing if nobody does.
func (s Status) queue() string {
	first := s.WaitingFor.Round(time.Millisecond)
	switch {
	case s.Waiting < 0:
		return "; how many wait is not known"
	case s.Waiting == 0:
		return ""
	case s.Waiting == 1:
		return fmt.Sprintf("; 1 engine has waited for %v", first)
	}
	return fmt.Sprintf("; %d engines wait, the first for %v", s.Waiting, first)
}

// GoString keeps the whole token out of %#v.
func (s Status) GoString() string { return s.String() }

// Inspect asks every instance for the holder of the resource, for how long it holds it, and how many
// engines wait in the queue, all in one round trip; how many share it takes another. It changes nothing there. It waits for all of them, at most as
// long as their timeout. When so many do not answer that a majority may or may not have a holder, the
// error is ErrNoQuorum, and the Status has the votes that did come; else it is ErrClosed, or the context's.
func (e *Engine) Inspect(ctx context.Context, resource string) (Status, error) {
	s := Status{Resource: resource, Waiting: -1}
	if err := checkResource(resource); err != nil {
		return s, fmt.Errorf("engine: inspect: %w", err)
	}
	if err := e.enter(); err != nil {
		return s, fmt.Errorf("inspect %q: %w", resource, err)
	}
	defer e.exit()

	s.Votes = make([]instance.Vote, len(e.instances))
	queues := make([]instance.QueueLook, len(e.instances))
	said := make([]string, len(e.instances))
	var asked errgroup.Group
	for seat, i := range e.instances {
		asked.Go(func() (err error) {
			s.Votes[seat], queues[seat], said[seat], err = e.ask(ctx, i, e.key(resource))
			return err
		})
	}
	stopped := asked.Wait()
	s.countWaiting(queues)
	if !s.count(e.need) {
		s.undecided = true
		return s, &QuorumError{Op: "inspect", Resource: resource, Need: e.need, Votes: s.Votes, reason: ErrNoQuorum, stop: stopped}
	}
	if latest := latestOf(s.Votes, said, s.Token); s.Held {
		s.Term, s.Value = latest.term, latest.value
	}
	return s, nil
}

// ask puts all questions to one instance and waits for the answers.
func (e *Engine) ask(ctx context.Context, i *instance.Instance, key string) (v instance.Vote, q instance.QueueLook, said string, err error) {
	answer, look, leads := make(answerCaster, 1), make(chan instance.QueueLook, 1), make(answerCaster, 1)
	order, lives := queueKeys(e.cfg.KeyPrefix, key)
	leader := &instance.LookAtLeader{Key: key, Value: e.valueKey(key), To: leads}
	i.Post(&instance.Inspect{Key: key, To: answer}, &instance.LookAtQueue{Key: key, Order: order, Lives: lives, To: look}, leader)
	v, q = instance.Vote{Instance: i.Name()}, instance.QueueLook{Waiting: -1}
	for range 3 {
		select {
		case v = <-answer:
		case q = <-look:
		case <-leads:
			said = leader.Said
		case <-ctx.Done():
			return v, q, said, ended(ctx)
		}
	}
	if isSharedVote(v) {
		readers := make(chan int, 1)
		i.Post(&instance.CountReaders{Key: key, Readers: slots.Beside(e.cfg.KeyPrefix, slots.Readers, key), To: readers})
		select {
		case n := <-readers:
			v.Readers = max(n, 0)
		case <-ctx.Done():
			return v, q, said, ended(ctx)
		}
	}
	return v, q, said, nil
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
			s.countReaders(need)
			return true
		}
		if len(left)+silent >= need {
			decided = false
		}
	}
	return decided
}

// countReaders makes Readers the largest number that a majority has, each by itself.
func (s *Status) countReaders(need int) {
	if s.Token != instance.SharedMark {
		return
	}
	var readers []int
	for _, v := range s.Votes {
		if isSharedVote(v) {
			readers = append(readers, v.Readers)
		}
	}
	slices.Sort(readers)
	s.Readers = readers[len(readers)-need]
}

// countWaiting adds up what the instances say that have answered: the queue is at one of them, or
// at two, and nobody stands in both.
func (s *Status) countWaiting(queues []instance.QueueLook) {
	waiting, first, answered := 0, time.Duration(0), false
	for seat, q := range queues {
		switch v := s.Votes[seat]; {
		case v.Kind != instance.Held && v.Kind != instance.Free:
		case q.Waiting < 0:
			return
		default:
			waiting, first, answered = waiting+q.Waiting, max(first, q.First), true
		}
	}
	if answered {
		s.Waiting, s.WaitingFor = waiting, first
	}
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
