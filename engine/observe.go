package engine

import (
	"context"
	"fmt"
	"iter"
	"time"

	"github.com/holdfast-go/holdfast/instance"
	"github.com/holdfast-go/holdfast/internal/tracking"
)

// Leadership is who leads an election, as a majority of the instances had it a moment ago. The zero value is that nobody does.
type Leadership struct {
	Held  bool   // somebody leads
	Term  uint64 // Leader.Term
	Value string // what the leader has proclaimed last
	Owner string // Config.Owner of the leader's engine; "" when it has none
}

// String is one line.
func (l Leadership) String() string {
	switch {
	case !l.Held:
		return "nobody leads"
	case l.Owner == "":
		return fmt.Sprintf("term %d: %q", l.Term, l.Value)
	}
	return fmt.Sprintf("term %d: %q, of %s", l.Term, l.Value, l.Owner)
}

// Observe tells who leads an election, and each change of that: another leader, another value of the same one, and that nobody
// leads any more. It begins with who leads now.
//
//	for now, err := range locks.Observe(ctx, "scheduler") {
//		…
//	}
//
// The servers tell of changes (CLIENT TRACKING), so they are seen within milliseconds. Each second, and where a server does not
// support or permit that, they are asked. What a change is made of are two leaders, or values, that were seen one after the
// other: those between may be missed. So a slow loop body misses some, and is told of the newest; nothing piles up.
//
// It says who *led* when a majority was asked. There may be another leader by now: what must not be done by two, or in an
// earlier leader's name, needs the term, compared where it is done. Terms never sink: a leader with a lower one than has been
// told of is not told of. Only leaders are told of (Campaign), once they have proclaimed: who holds the
// resource by Acquire leads nothing. No value is told that was not proclaimed by the leader of that term.
//
// An error with ErrNoQuorum says that it is not known who leads, because too few instances answer: once for each such time, half
// a second after it began at the earliest. Then it goes on, and tells who leads when that is known again. It ends with
// ctx, with the engine, and with input that makes no sense: then the last error says so, ctx's own or ErrClosed.
//
// It runs on the goroutine of the loop. Each loop asks for itself, which costs a server four small questions for each renewal of
// the leader's, and one a second. election is as for Campaign. Safe for concurrent use, and so is its result: each
// use of that is a loop of its own.
func (e *Engine) Observe(ctx context.Context, election string) iter.Seq2[Leadership, error] {
	return func(yield func(Leadership, error) bool) {
		if err := checkResource(election); err != nil {
			yield(Leadership{}, fmt.Errorf("engine: observe: %w", err))
			return
		}
		o := newObserver(e, election)
		defer o.end()
		for {
			now, err := o.next(ctx)
			if !yield(now, err) || o.over {
				return
			}
		}
	}
}

const (
	// unknownFor is how long it is not known who leads before that is told: while a leader changes, or one instance is
	// about to be down, it may be so for a moment. Meanwhile they are asked every askEvery.
	unknownFor = 500 * time.Millisecond
	askEvery   = 50 * time.Millisecond
	// lookOften is for the pace of a server's questions about a key that changes all the time: see tracking.Held.
	lookOften = 40 * time.Millisecond
)

// observer is one loop of Observe. All of it is done by the loop's goroutine, but for what the instances answer and tell.
type observer struct {
	engine   *Engine
	election string
	key      string
	value    string        // the key beside it
	told     chan struct{} // one slot: something has changed
	timer    *time.Timer   // of the next look
	seats    []seen        // one an instance
	look     *look         // the last; nil: none yet
	again    bool          // something has changed since it began
	over     bool          // there is nothing to be told any more

	newest  saying // of all that has been seen
	now     Leadership
	known   bool      // now has been told, and no error since
	unknown time.Time // since when it is not known who leads; zero: it is
	silent  bool      // that has been told
}

// seen is what an observer has of one instance.
type seen struct {
	vote instance.Vote // in the last look; Unanswered: not yet
	said string
	lock *tracking.Held // that it is to have what was seen there last; nil: nothing has been seen
	word *tracking.Held // the same of the value
}

// look is one question to all instances.
type look struct {
	answers chan sighting // has room for all
	open    int           // instances that have not answered
	decided bool          // it is known who leads, or all have answered
}

type sighting struct {
	seat int
	vote instance.Vote
	said string
}

// lookSeat takes the answer of one instance.
type lookSeat struct {
	instance.LookAtLeader
	answers chan<- sighting
	seat    int
}

func (s *lookSeat) Cast(v instance.Vote) { s.answers <- sighting{s.seat, v, s.Said} }

func newObserver(e *Engine, election string) *observer {
	key := e.key(election)
	return &observer{
		engine: e, election: election, key: key, value: e.valueKey(key),
		told: make(chan struct{}, 1), timer: time.NewTimer(0), seats: make([]seen, len(e.instances)),
	}
}

func (o *observer) end() {
	o.timer.Stop()
	for k := range o.seats {
		for _, h := range []*tracking.Held{o.seats[k].lock, o.seats[k].word} {
			if h != nil {
				h.LeaveHeld()
			}
		}
	}
}

// next waits until there is something to tell.
func (o *observer) next(ctx context.Context) (Leadership, error) {
	for {
		if o.again && (o.look == nil || o.look.decided) {
			if err := o.ask(); err != nil {
				return o.ends(err)
			}
		}
		var answers <-chan sighting
		if o.look != nil {
			answers = o.look.answers
		}
		select {
		case a := <-answers:
			o.take(a)
			if now, err, news := o.judge(); news {
				return now, err
			}
		case <-o.told:
			o.again = true
		case <-o.timer.C:
			o.again = true
		case <-ctx.Done():
			return o.ends(ended(ctx))
		case <-o.engine.closing.Done():
			return o.ends(ErrClosed)
		}
	}
}

// ends is the last that is told.
func (o *observer) ends(err error) (Leadership, error) {
	o.over = true
	return Leadership{}, fmt.Errorf("observe %q: %w", o.election, err)
}

// ask asks all instances.
func (o *observer) ask() error {
	e := o.engine
	if err := e.enter(); err != nil {
		return err
	}
	defer e.exit()
	o.again = false
	o.look = &look{answers: make(chan sighting, len(e.instances)), open: len(e.instances)}
	for seat, i := range e.instances {
		o.seats[seat].vote = instance.Vote{Instance: i.Name()}
		s := &lookSeat{answers: o.look.answers, seat: seat}
		s.Key, s.Value, s.To = o.key, o.value, s
		i.Post(&s.LookAtLeader)
	}
	return nil
}

// take takes what an instance has, and sees to it that its server tells when that changes.
func (o *observer) take(a sighting) {
	o.look.open--
	s := &o.seats[a.seat]
	s.vote, s.said = a.vote, a.said
	if a.vote.Kind == instance.Held || a.vote.Kind == instance.Free {
		o.watch(a.seat, &s.lock, o.key, a.vote.Holder)
		o.watch(a.seat, &s.word, o.value, a.said)
	}
}

// watch has the server tell when a key has not any more what it had.
func (o *observer) watch(seat int, h **tracking.Held, key, has string) {
	has = has[:min(len(has), heldText)]
	if *h == nil || (*h).Token != has {
		if *h != nil {
			(*h).LeaveHeld()
		}
		*h = &tracking.Held{Key: key, Token: has, Often: lookOften, Tell: o.tell}
	}
	o.engine.instances[seat].WatchHeld(*h)
}

// heldText is how much of a key tracking.Held compares.
const heldText = 1025

// tell is called with locks held.
func (o *observer) tell() {
	select {
	case o.told <- struct{}{}:
	default: // it has been told and not yet looked
	}
}

// judge says what is new, if anything is.
func (o *observer) judge() (now Leadership, err error, news bool) {
	status := Status{Votes: make([]instance.Vote, len(o.seats))}
	for k := range o.seats {
		status.Votes[k] = o.seats[k].vote
	}
	known := status.count(o.engine.need)
	switch {
	case known:
		o.look.decided = true
		o.unknown, o.silent = time.Time{}, false
		o.timer.Reset(reassurance)
	case o.look.open > 0:
		return now, nil, false
	default:
		o.look.decided = true
		o.timer.Reset(askEvery)
		return o.judgeUnknown(status.Votes)
	}
	if status.Held {
		if left := status.Remaining; left >= 0 && left < reassurance { // an expiry is not told in time
			o.timer.Reset(left + time.Millisecond)
		}
		now = o.leader(status)
	}
	if o.known && now == o.now {
		return now, nil, false
	}
	o.now, o.known = now, true
	return now, nil, true
}

// leader is who leads, where a majority has the same token.
func (o *observer) leader(status Status) Leadership {
	said := make([]string, len(o.seats))
	for k := range o.seats {
		said[k] = o.seats[k].said
	}
	latest := latestOf(status.Votes, said, status.Token)
	if latest.later(o.newest) {
		o.newest = latest
	}
	if latest.term == 0 || latest.term < o.newest.term {
		return Leadership{}
	}
	return Leadership{Held: true, Term: o.newest.term, Value: o.newest.value, Owner: status.Owner}
}

// judgeUnknown says that it is not known who leads, once that has been so for a while.
func (o *observer) judgeUnknown(votes []instance.Vote) (now Leadership, err error, news bool) {
	at := time.Now()
	if o.unknown.IsZero() {
		o.unknown = at
	}
	if o.silent || at.Sub(o.unknown) < unknownFor {
		return now, nil, false
	}
	o.silent, o.known = true, false
	return now, &QuorumError{Op: "observe", Resource: o.election, Need: o.engine.need, Votes: votes, reason: ErrNoQuorum}, true
}
