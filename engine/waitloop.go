package engine

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/holdfast-go/holdfast/instance"
	"github.com/holdfast-go/holdfast/lease"
)

// waitLoop is one Acquire: its place in line, then rounds of votes, with waits
// between them in which it is told when to look again: in the queue of all engines
// (inQueue), or, where there is none, by watching the lock (rely).
//
// What it does on an event then depends on its state: in line, behind a holder of this
// engine, or relying on being told of a change. A lease that is handed over ends the loop
// in every state, and so does the end of the context.
//
//	            in line   behind   relying
//	head        askAll
//	headBehind  behind
//	questioned  askAll    askAll   askAll
//	none        askAll    askAll   askAll
//	released              look     askAll
//	changed                        askArbiter
//	expired                        askArbiter
//	early                          waitOn
//	due                   askAll   askAll
//
// The first state is in the func line, the others in behind and rely. When the arbiter
// alone refuses, the loop relies on being told again. When the arbiter grants and
// the others refuse, it relies on another instance.
type waitLoop struct {
	engine    *Engine
	request   *request
	waiter    *waiter
	rounds    int
	pauses    Backoff
	refused   error // what stood in the way in the last round of all
	watch     watch
	rewatched time.Time // when the watch was last asked to tell
	wakeup    wakeup
	since     time.Time // when it became the head of the line
	owes      bool      // the turn of this engine is over: others are to have a chance before it asks
	closing   closing
	silent    time.Time // when the server was last found not to tell of changes: then it waits outside of the queue
	collects  time.Time // when it leaves the queue to collect permits; zero: never

	unwanted *holding // what it was handed when its context had ended: the next one's
}

// How long a wait loop relies on being told, since a message may be lost: now and
// then the arbiter's word is asked for again, which costs next to nothing, and
// less and less often all instances are asked.
const (
	reassurance  = time.Second
	patience     = time.Second // until the second round; twice as long until the next, and so on
	mostPatience = 8 * patience
	// anAnswer is how long to wait for the arbiter's word before looking again whether it is there.
	anAnswer = 250 * time.Millisecond
)

// patient is how long to rely on being told after so many rounds: all at once
// would be a herd.
func patient(rounds int) time.Duration {
	d := min(patience<<min(max(rounds, 1)-1, 8), mostPatience)
	return d - rand.N(d/4)
}

// run waits in line and takes part in rounds until one is won. It asks all, unless others are
// known to wait in the queue, or may have begun to: then it looks there first.
func (c *waitLoop) run(ctx context.Context) (*lease.Lease, error) {
	defer func() {
		c.watch.end()
		c.letReadersIn()
	}()
	if l, err := c.standInLine(ctx); l != nil || err != nil {
		return l, err
	}
	c.since = time.Now()
	ask := c.request.posed.attempt != nil || c.comesIn() || c.mayAsk(c.since) // it may have been asked in the turn of the one before
	for {
		if ask {
			if l, err := c.askAfterBreak(ctx); l != nil || err != nil {
				return l, err
			}
		}
		l, again, err := c.wait(ctx)
		if l != nil || err != nil {
			return l, err
		}
		ask = again
	}
}

// mayAsk reports whether it may ask all before it has looked at the queue, now that nobody here has the resource.
func (c *waitLoop) mayAsk(now time.Time) bool {
	c.owes = c.engine.turnOver(c.request.key, now)
	return !c.mayStand() || !c.engine.fairness.mustLook(c.request.key, now)
}

// wait waits until there is something to do: a round of all, if ask says so.
func (c *waitLoop) wait(ctx context.Context) (l *lease.Lease, ask bool, err error) {
	if c.isHeldHere() {
		l, what, err := c.behind(ctx)
		if l != nil || err != nil || what != released || c.mayAsk(time.Now()) {
			return l, true, err
		}
	}
	if c.mayStand() {
		l, ask, err = c.stand(ctx)
		c.owes = false // others have had their chance
		if l != nil || ask || err != nil {
			return l, ask, err
		}
	}
	return c.rely(ctx)
}

// standInLine waits until all waiters before c are served. When the last of them holds the
// resource now, no instance need be asked for it: c waits for its release, too, which
// may leave something to c.
func (c *waitLoop) standInLine(ctx context.Context) (l *lease.Lease, err error) {
	if c.waiter.head == nil {
		return nil, nil
	}
	l, what, err := c.event(ctx, watch{}, nil)
	if what == headBehind && c.request.tries == 0 {
		l, _, err = c.behind(ctx)
		return l, err
	}
	return l, c.interruptedInLine(err)
}

// behind waits for the release by a holder of this engine, and returns what has ended that.
func (c *waitLoop) behind(ctx context.Context) (l *lease.Lease, what event, err error) {
	timer := c.waiter.after(soonest(c.refused, patient(c.rounds)))
	defer timer.Stop()
	what = stood // as happens to one that has a place in the queue besides
	for what == stood {
		l, what, err = c.event(ctx, watch{}, timer.C)
	}
	if c.refused != nil && err != nil {
		return nil, what, because(err, c.refused)
	}
	return l, what, c.interruptedInLine(err)
}

func (c *waitLoop) interruptedInLine(stop error) error {
	if stop == nil {
		return nil
	}
	return fmt.Errorf("acquire %q: %w, waiting in line: %w", c.request.resource, stop, ErrHeld)
}

// isHeldHere reports whether it was a lease of this engine that stood in the way in the last
// round: its holder will leave the lock to the next in line. Nobody is told by other means, so
// it is not so where tries are counted, or the user paces them.
func (c *waitLoop) isHeldHere() bool {
	var q *QuorumError
	if c.request.tries > 0 || c.engine.paced || !errors.As(c.refused, &q) || !errors.Is(q, ErrHeld) {
		return false
	}
	for _, v := range q.Votes {
		if v.Kind == instance.Held && !c.engine.holds(v.Holder) {
			return false
		}
	}
	return true
}

// rely waits for the time of the next round of all, which ask then says, and relies on
// being told when the lock changes before. What it is told, and asks the arbiter then, puts that round off only where
// nobody says when it is to be: others may have the lock so often that it would never be.
// None of these: the arbiter has refused, so that others wait, too, and there may be a queue to stand in.
func (c *waitLoop) rely(ctx context.Context) (l *lease.Lease, ask bool, err error) {
	pause, err := c.pause(ctx)
	if err != nil {
		return nil, false, err
	}
	begun := time.Now()
	until := begun.Add(patient(c.rounds))
	v := c.watchArbiter()
	timer := c.waiter.after(pause)
	defer timer.Stop()
	for {
		c.keepReadersOut(time.Now())
		l, what, err := c.event(ctx, v, timer.C)
		switch {
		case l != nil:
			return l, false, nil
		case err != nil:
			return nil, false, because(err, c.refused)
		}
		var rest time.Duration
		if what == due {
			what, rest = c.judge(v, until)
		}
		switch on(what) {
		case askAll:
			return nil, true, nil
		case askArbiter:
			l, again, err := c.askArbiter(ctx, v)
			switch {
			case l != nil || err != nil:
				return l, false, err
			case again: // the arbiter has granted, and the others have refused
				v = c.watchArbiter()
			case c.mayStand() && time.Since(begun) >= pause:
				return nil, false, nil
			default:
				c.rewatch(v)
			}
			switch {
			case c.isPaced():
				rest = max(0, pause-time.Since(begun))
			case again:
				rest = soonest(c.refused, c.nextPause())
			default:
				rest = pause
			}
		}
		timer.Reset(rest)
	}
}

// isPaced reports whether rounds are counted, or paced by the user's own Backoff.
func (c *waitLoop) isPaced() bool { return c.engine.paced || c.request.tries > 0 }
