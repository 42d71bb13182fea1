package engine

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/holdfast-go/holdfast/lease"
)

// waitLoop is one Acquire: its place in line, then rounds of votes, with waits
// between them in which it is told when to look again.
//
// What it does on an event depends on its state: in line, behind a holder of this
// engine, relying on being told of a change, or deferring to others. A lease that is
// handed over ends the loop in every state, and so does the end of the context.
//
//	            in line   behind   relying      deferring
//	head        askAll
//	headBehind  behind
//	questioned  askAll    askAll   askAll       askAll
//	none        askAll    askAll   askAll       askAll
//	released              askAll   askAll       askAll
//	changed                        askArbiter   askArbiter
//	expired                        askArbiter
//	early                          waitOn
//	due                   askAll   askAll       relyAgain
//
// The first two states are in the func line, the others in rely. When the arbiter
// alone refuses, the loop defers, or relies on being told again (afterRefusal). When
// the arbiter grants and the others refuse, it begins to rely anew.
type waitLoop struct {
	engine  *Engine
	request *request
	waiter  *waiter
	rounds  int
	pauses  Backoff
	refused error // what stood in the way in the last round of all
	watch   watch
	asked   time.Time // when the watch was last asked to tell
	wakeup  wakeup
	since   time.Time // when it became the head of the line

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

// run waits in line and takes part in rounds until one is won.
func (c *waitLoop) run(ctx context.Context) (*lease.Lease, error) {
	defer func() { c.watch.end() }()
	if l, err := c.line(ctx); l != nil || err != nil {
		return l, err
	}
	first, err := c.takeBreak(ctx)
	if err != nil {
		return nil, err
	}
	for {
		if l, err := c.round(ctx, first); l != nil || err != nil {
			return l, err
		}
		for again := true; again; {
			var l *lease.Lease
			if l, again, err = c.rely(ctx); l != nil || err != nil {
				return l, err
			}
		}
		first = everybody
	}
}

// line waits until all waiters before c are served. When the last of them holds the
// resource now, no instance need be asked for it: c waits for its release, too, which
// may leave something to c.
func (c *waitLoop) line(ctx context.Context) (l *lease.Lease, err error) {
	if c.waiter.head == nil {
		return nil, nil
	}
	l, what, err := c.event(ctx, watch{}, nil)
	if what == headBehind && c.request.tries == 0 {
		timer := c.waiter.after(patient(0))
		defer timer.Stop()
		l, _, err = c.event(ctx, watch{}, timer.C)
	}
	if err != nil {
		return nil, fmt.Errorf("acquire %q: %w, waiting in line: %w", c.request.resource, err, ErrHeld)
	}
	return l, nil
}

// rely waits for the time of the next round of all, and relies on being told when
// the lock changes before. again says that the arbiter has granted in vain, because
// the others did not, and that it is not yet time.
func (c *waitLoop) rely(ctx context.Context) (l *lease.Lease, again bool, err error) {
	pause, err := c.pause(ctx)
	if err != nil {
		return nil, false, err
	}
	until := time.Now().Add(patient(c.rounds))
	v := c.watchArbiter()
	timer := c.waiter.after(pause)
	defer timer.Stop()
	for state := relying; ; {
		l, what, err := c.event(ctx, v, timer.C)
		switch {
		case l != nil:
			return l, false, nil
		case err != nil:
			return nil, false, because(err, c.refused)
		}
		var rest time.Duration
		if state == relying && what == due {
			what, rest = c.judge(v, until)
		}
		switch state.on(what) {
		case askAll:
			return nil, false, nil
		case waitOn:
			timer.Reset(rest)
			continue
		case askArbiter:
			l, again, err := c.askArbiter(ctx, v)
			if l != nil || again || err != nil {
				return l, again, err
			}
			state, rest = c.afterRefusal()
		case relyAgain:
			state = relying
		}
		if state == relying {
			c.ask(v)
			rest = pause
		}
		timer.Reset(rest)
	}
}
