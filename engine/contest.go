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

// contest is one Acquire: its place in line, then rounds of votes, with waits
// between them in which it is told when to look again.
//
//	turn ─▶ round of all ──refused──▶ wait ──time is up──▶ round of all ─▶ …
//	                                 ▲    │
//	                                 │    └─ it changed ─▶ arbiter, and if it grants, the others
//	                                 └──────────refused────────┘
type contest struct {
	engine  *Engine
	request *request
	waiter  *waiter
	rounds  int
	pauses  Backoff
	refused error // what stood in the way in the last round of all
	watch   watch
	asked   time.Time // when the watch was last asked to tell
	told    told
	since   time.Time // when it became the head of the line

	unwanted *holding // what it was handed when its context had ended: the next one's
}

// How long a contest relies on being told, since a message may be lost: now and
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

// run waits for its turn and takes part in rounds until one is won.
func (c *contest) run(ctx context.Context) (*lease.Lease, error) {
	defer func() { c.watch.end() }()
	if l, err := c.turn(ctx); l != nil || err != nil {
		return l, err
	}
	first, err := c.yield(ctx)
	if err != nil {
		return nil, err
	}
	for {
		if l, err := c.round(ctx, first); l != nil || err != nil {
			return l, err
		}
		for waiting := true; waiting; {
			var l *lease.Lease
			if l, waiting, err = c.between(ctx); l != nil || err != nil {
				return l, err
			}
		}
		first = everybody
	}
}

// turn waits until everyone who came before is served. What the one right before
// holds now, nobody else need be asked for: its release is waited for, too, and
// may leave something to c.
func (c *contest) turn(ctx context.Context) (l *lease.Lease, err error) {
	w := c.waiter
	if w.turn == nil {
		return nil, nil
	}
	l, what, err := c.event(ctx, watch{}, nil)
	if what == turned && w.behind && c.request.tries == 0 {
		c.engine.lines.listen(w)
		timer := w.after(patient(0))
		defer timer.Stop()
		l, _, err = c.event(ctx, watch{}, timer.C)
	}
	if err != nil {
		return nil, fmt.Errorf("acquire %q: %w, waiting in line: %w", c.request.resource, err, ErrHeld)
	}
	return l, nil
}

// event is what a contest waits for.
type event uint8

const (
	none     event = iota
	turned         // it is the head of the line now
	asked          // it has been left its question, which is on its way
	released       // the lock, in this engine
	changed        // the lock, in Redis
	due            // the timer
)

// event waits for one, or for a lease that is handed over in its place, or returns
// why it cannot wait any longer. While it waits, and only then, something may be
// left to c: what has been promised by the end of it is taken, whatever else came.
func (c *contest) event(ctx context.Context, v watch, timer <-chan time.Time) (l *lease.Lease, what event, err error) {
	w, e := c.waiter, c.engine
	e.lines.accept(w, c.request)
	select {
	case b := <-w.handed:
		e.lines.took(w)
		return c.inherits(ctx, b)
	case <-w.turn:
		w.turn = nil
		what = turned
	case <-w.wake:
		what = released
		c.hears(ByRelease)
	case <-v.changed():
		what = changed
		c.hears(ByServer)
	case <-timer:
		what = due
	case <-ctx.Done():
		err = ended(ctx)
	case <-e.closing.Done():
		err = ErrClosed
	}
	if l, left, stop := c.inherits(ctx, e.lines.decline(w)); left == asked || l != nil || stop != nil {
		return l, left, stop
	}
	return nil, what, err
}

// yield lets others have a chance where this engine has had the resource for a
// while. It returns whom to ask first.
func (c *contest) yield(ctx context.Context) (first int, err error) {
	e := c.engine
	c.since = time.Now()
	if c.request.asked.attempt != nil {
		return everybody, nil
	}
	first, owes := e.owesBreak(c.request.key, c.since)
	if !owes {
		return everybody, nil
	}
	timer := c.waiter.after(e.courtesyPause(first))
	defer timer.Stop()
	if err := e.wait(ctx, timer.C); err != nil {
		return first, fmt.Errorf("acquire %q: %w", c.request.resource, err)
	}
	return first, nil
}

// round asks everybody, or first the one and then the others. It returns neither
// a lease nor an error when there is reason to wait and try again.
func (c *contest) round(ctx context.Context, first int) (*lease.Lease, error) {
	e, r := c.engine, c.request
	l, err := e.round(ctx, r, first, c.rounds > 0)
	c.rounds++
	c.looked(err)
	if first != everybody {
		e.courtesy.paid(r.key, time.Now(), errors.Is(err, ErrHeld))
	}
	switch stop := e.stopped(ctx); {
	case err == nil:
		if c.rounds > 1 {
			e.courtesy.waited(r.key, time.Since(c.since))
		}
		return l, nil
	case stop != nil:
		return nil, interrupted(stop, err, c.refused)
	case c.rounds == r.tries, errors.Is(err, ErrRefused):
		return nil, err
	}
	c.refused = err
	return nil, nil
}

// between waits for the time of the next round of all. Whenever the lock changes
// meanwhile, the arbiter is asked, and the others if that one grants. again says
// that this was in vain, because the others did not, and that it is not yet time.
func (c *contest) between(ctx context.Context) (l *lease.Lease, again bool, err error) {
	pause, err := c.pause(ctx)
	if err != nil {
		return nil, false, err
	}
	until := time.Now().Add(patient(c.rounds))
	v := c.watchArbiter()
	timer := c.waiter.after(pause)
	defer timer.Stop()
	for courteous := false; ; {
		l, what, err := c.event(ctx, v, timer.C)
		switch {
		case l != nil:
			return l, false, nil
		case err != nil:
			return nil, false, because(err, c.refused)
		case what == released, what == asked, what == none:
			return nil, false, nil
		case what == due && courteous:
			courteous = false
			c.ask(v)
			timer.Reset(pause)
			continue
		case what == due:
			rest, expired := c.rely(v, until)
			if rest > 0 {
				timer.Reset(rest)
				continue
			}
			if !expired {
				return nil, false, nil
			}
			c.hears(ByExpiry)
		}
		courteous = false
		l, err = c.engine.round(ctx, c.request, v.place, true)
		c.looked(err)
		switch stop := c.engine.stopped(ctx); {
		case err == nil:
			c.engine.courtesy.waited(c.request.key, time.Since(c.since))
			return l, false, nil
		case stop != nil:
			return nil, false, because(stop, c.refused)
		case errors.Is(err, ErrRefused):
			return nil, false, err
		case !refusedBy(err, v.place):
			c.refused = err
			return nil, true, nil
		}
		if moment := c.engine.courtesy.moment(c.request.key, time.Since(c.since)); moment > 0 {
			courteous = true
			timer.Reset(moment)
			continue
		}
		c.ask(v)
		timer.Reset(pause)
	}
}

// pause is how long to wait until the next round, if nothing happens before.
func (c *contest) pause(ctx context.Context) (pause time.Duration, err error) {
	c.engine.lines.listen(c.waiter)
	if !c.engine.paced {
		pause = c.nextPause()
	} else if pause, err = c.nextOfTheUsers(ctx); err != nil {
		return 0, because(err, c.refused)
	}
	if pause < 0 { // backoff.Stop, or a time that has grown beyond what can be counted
		return 0, c.refused
	}
	return soonest(c.refused, pause), nil
}

func (c *contest) nextPause() time.Duration {
	if c.pauses == nil {
		if c.pauses = c.engine.cfg.Backoff(); c.pauses == nil {
			c.pauses = defaultBackoff()
		}
	}
	return c.pauses.NextBackOff()
}

// nextOfTheUsers is nextPause on a goroutine of its own, which is left behind when
// ctx ends, or the engine, while the user's Backoff has not returned.
func (c *contest) nextOfTheUsers(ctx context.Context) (time.Duration, error) {
	apart := &contest{engine: c.engine, pauses: c.pauses}
	next := make(chan time.Duration, 1) // one slot: sent to once, perhaps when nobody waits any more
	go func() { next <- apart.nextPause() }()
	select {
	case pause := <-next:
		c.pauses = apart.pauses
		return pause, nil
	case <-ctx.Done():
		return 0, ended(ctx)
	case <-c.engine.closing.Done():
		return 0, ErrClosed
	}
}

// rely returns how much longer a contest may wait to be told, rather than go on to
// the next round: not at all where rounds are counted or paced by the user's own
// Backoff, or where nobody tells. expired says that the lock must have expired by
// now, so that it is worth a try.
func (c *contest) rely(v watch, until time.Time) (rest time.Duration, expired bool) {
	now := time.Now()
	rest = until.Sub(now)
	outlook, expires := v.outlook()
	switch {
	case outlook == instance.Silent || c.engine.paced || c.request.tries > 0 || rest <= 0:
		return 0, false
	case outlook == instance.Asked:
		return min(rest, anAnswer), false
	}
	if !expires.IsZero() {
		left := untilExpiry(expires, now)
		if left <= 0 {
			return 0, true
		}
		rest = min(rest, left)
	}
	if now.Sub(c.asked) >= reassurance {
		c.ask(v)
		return min(rest, anAnswer), false
	}
	return min(rest, reassurance-now.Sub(c.asked)), false
}

// untilExpiry is how long it takes until a lock that expires then is gone: Redis
// counts in milliseconds. Time.Sub knows no sum that is too large.
func untilExpiry(expires, now time.Time) time.Duration {
	return expires.Add(time.Millisecond).Sub(now)
}

// refusedBy reports whether it was this one alone that refused, without the
// others having been asked, because somebody holds the lock there. One that minds
// the proposed fence is no arbiter: the lock may be free there, and to be told so
// again at once would never end.
func refusedBy(err error, place int) bool {
	var q *QuorumError
	return errors.As(err, &q) && q.Votes[place].Kind == instance.Held
}

// soonest shortens a pause to when the lock that stands in the way expires.
func soonest(err error, pause time.Duration) time.Duration {
	var q *QuorumError
	if !errors.As(err, &q) {
		return pause
	}
	for _, v := range q.Votes {
		if v.Kind == instance.Held && v.Left >= 0 && v.Left < pause-time.Millisecond {
			pause = v.Left + time.Millisecond
		}
	}
	return pause
}
