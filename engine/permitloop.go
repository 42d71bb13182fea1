package engine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/holdfast-go/holdfast/internal/tracking"
	"github.com/holdfast-go/holdfast/lease"
)

// permitLoop is one Acquire of permits: its place in line, then rounds, with waits between them. Whoever finds too few of them
// free hangs up a bell there, one key for all permits. It stands in the queue for the resource, and when it is the first it
// watches the bell: that goes when a permit is given back, or ends by itself. Then the instance is asked to choose again. Whoever
// is served gives up its place at once, so that the next one asks whether there are more.
//
// An acquire of several permits might never find as many free, since others ask who stand in no queue. After a while it collects
// them: see collect.
type permitLoop struct {
	waitLoop
	begun time.Time // when it had become the head of the line
	quick int       // how often in a row it was told at once, in vain, outside of the queue

	pauseBegun time.Time     // when the pause before the next round began; zero: it has not
	pauseTakes time.Duration // and how long it is
}

// mostQuick is how often it asks again at once. Where one server tells and another votes, as after a failover, that might
// never end.
const mostQuick = 4

// acquirePermits is acquire for permits.
func (e *Engine) acquirePermits(ctx context.Context, r *request) (*lease.Lease, error) {
	if err := e.enter(); err != nil {
		return nil, fmt.Errorf("acquire %q: %w", r.resource, err)
	}
	start := e.traceStart()
	c := permitLoop{waitLoop: waitLoop{engine: e, request: r}}
	waiting, over := r.bound(ctx)
	l, err := c.waitFor(waiting)
	over()
	e.acquired(ctx, r, start, c.rounds, err)
	return l, err
}

// waitFor is waitLoop.waitFor for permits. Where nobody stands in line, or is known to stand in the queue, it asks at once, so
// that many may at the same time.
func (c *permitLoop) waitFor(ctx context.Context) (*lease.Lease, error) {
	e, r := c.engine, c.request
	defer e.exit()
	if e.lines.length(r.resource) == 0 && c.mayAsk(time.Now()) {
		if l, err := c.askEverybody(ctx); l != nil || err != nil {
			return l, err
		}
	}
	if c.waiter = e.lines.join(r.resource); c.waiter == nil {
		return nil, fmt.Errorf("acquire %q: %w: %d acquires wait in this engine already", r.resource, ErrHeld, e.cfg.MaxWaiters)
	}
	l, err := c.run(ctx)
	c.watch.end()
	if l != nil && r.place != nil { // others may be free: the next one is to ask
		e.queues.leave(r.place)
		r.place = nil
	}
	c.endWaiting(false)
	return l, err
}

func (c *permitLoop) run(ctx context.Context) (*lease.Lease, error) {
	inLine := c.waiter.head != nil
	if err := c.standInLine(ctx); err != nil {
		return nil, c.interruptedInLine(err)
	}
	c.begun = time.Now()
	if c.request.permits.weight > 1 && !c.isPaced() {
		c.collects = c.begun.Add(keepPatience)
	}
	ask := (inLine || c.rounds == 0) && c.request.place == nil && c.mayAsk(c.begun) // things have changed since, or it has not asked yet
	for {
		if ask {
			c.pauseBegun = time.Time{}
			if l, err := c.askEverybody(ctx); l != nil || err != nil {
				return l, err
			}
		}
		if c.mayCollect() {
			if l, err := c.collect(ctx); l != nil || err != nil {
				return l, err
			}
			c.collects = time.Now().Add(keepPatience)
			c.request.permits.inVain = true // what it has given back is a change, too
		}
		l, again, err := c.wait(ctx)
		if l != nil || err != nil {
			return l, err
		}
		ask = again
	}
}

// wait waits, in the queue if there is one, until there is something to do: a round that is counted, if ask says so.
func (c *permitLoop) wait(ctx context.Context) (l *lease.Lease, ask bool, err error) {
	if c.mayStand() {
		if l, ask, err = c.stand(ctx); l != nil || ask || err != nil || c.rounds == 0 {
			return l, true, err
		}
	}
	told, err := c.await(ctx)
	if err != nil || !told {
		return nil, true, err
	}
	l, err = c.tryRound(ctx, everybody, true)
	return l, false, err
}

// standInLine waits until it is the head of the line.
func (c *permitLoop) standInLine(ctx context.Context) error {
	if c.waiter.head == nil {
		return nil
	}
	select {
	case <-c.waiter.head:
		c.waiter.head = nil
		c.request.inherit(c.engine, c.waiter)
		return nil
	case <-ctx.Done():
		return ended(ctx)
	case <-c.engine.closing.Done():
		return ErrClosed
	}
}

// await waits outside of the queue until there is reason to ask. told: a permit may have been given back. Else it is time for a
// round.
func (c *permitLoop) await(ctx context.Context) (told bool, err error) {
	pause, err := c.untilRound(ctx)
	if err != nil {
		return false, err
	}
	if c.request.permits.inVain || c.quick > mostQuick { // it would be told at once
		c.quick = 0
		timer := c.waiter.after(pause)
		defer timer.Stop()
		if err := c.engine.wait(ctx, timer.C); err != nil {
			return false, because(err, c.refused)
		}
		return false, nil
	}
	until := time.Now().Add(patient(c.rounds))
	v := c.watchBell()
	timer := c.waiter.after(pause)
	defer timer.Stop()
	for {
		_, what, err := c.event(ctx, v, timer.C)
		if err != nil {
			return false, because(err, c.refused)
		}
		var rest time.Duration
		switch what {
		case changed:
			if c.quick++; time.Since(c.rewatched) > time.Millisecond {
				c.quick = 0
			}
		case due:
			what, rest = c.judge(v, until)
		}
		if what != early {
			return what == changed || what == expired || what == released, nil
		}
		timer.Reset(rest)
	}
}

// untilRound is how long it is until the next round. What it is told before that puts the round off only where nobody says when
// it is to be, as in waitLoop.rely.
func (c *permitLoop) untilRound(ctx context.Context) (time.Duration, error) {
	if c.isPaced() && !c.pauseBegun.IsZero() {
		return max(0, c.pauseTakes-time.Since(c.pauseBegun)), nil
	}
	pause, err := c.pause(ctx)
	c.pauseBegun, c.pauseTakes = time.Now(), pause
	return pause, err
}

// watchBell watches the bell where it was hung up in the last round, if it was.
func (c *permitLoop) watchBell() watch {
	p := c.request.permits
	if c.watch.tracked == nil || c.watch.seat != p.heldAt {
		c.watch.end()
		c.watch = watch{}
		if p.heldAt == everybody {
			return c.watch
		}
		c.watch = watch{seat: p.heldAt, at: c.engine.instances[p.heldAt], tracked: tracking.NewWatch(p.pool.bell)}
	}
	c.rewatch(c.watch)
	return c.watch
}

// mayCollect reports whether it is time to collect permits: as it is to keep locks of several resources.
func (c *permitLoop) mayCollect() bool {
	return !c.collects.IsZero() && errors.Is(c.refused, ErrHeld) && !time.Now().Before(c.collects)
}

// collect takes permits one after the other, and keeps their locks, until it has as many as are wanted; then it asks for all
// of them, and the kept locks give way. One engine does so at a time, or two of them might each keep what the other wants:
// whose turn it is, is a lock as well. It returns neither a lease nor an error when the question was refused.
func (c *permitLoop) collect(ctx context.Context) (*lease.Lease, error) {
	e, all := c.engine, c.request
	p := all.permits
	c.watch.end()
	c.watch = watch{}
	turn, err := c.keepOne(ctx, c.waiter, all.resource, p.pool.turn)
	if err != nil {
		return nil, c.stoppedBy(ctx, err)
	}
	kept := []*holding{turn}
	defer func() {
		for k := len(kept) - 1; k >= 0; k-- { // the turn last
			kept[k].unkeep()
		}
	}()
	one := permitLoop{begun: c.begun, waitLoop: waitLoop{engine: e, waiter: c.waiter, request: &request{
		op: all.op, resource: all.resource, key: all.key, ttl: all.ttl, maxTTL: all.maxTTL, renew: true,
		permits: &permits{n: p.n, weight: 1, pool: p.pool, names: p.names, heldAt: everybody},
	}}}
	defer func() { one.watch.end() }()
	var which []int
	var tokens []string
	for len(which) < p.weight {
		one.request.keeps = new(keptLock)
		l, err := one.tryRound(ctx, everybody, false)
		if err != nil {
			return nil, c.stoppedBy(ctx, err)
		}
		if l == nil {
			if _, err := one.await(ctx); err != nil {
				return nil, c.stoppedBy(ctx, err)
			}
			continue
		}
		h := one.request.keeps.holding
		kept, which, tokens = append(kept, h), append(which, one.request.permits.chosen[0]), append(tokens, h.token())
	}
	inAscendingOrder(which, tokens)
	l, err := e.askForPermits(ctx, all, which, tokens)
	if stop := e.stopped(ctx); l == nil && stop != nil {
		return nil, because(stop, c.refused)
	}
	if errors.Is(err, ErrRefused) {
		return nil, err
	}
	return l, nil
}

// stoppedBy is the error of an acquire that could not go on.
func (c *permitLoop) stoppedBy(ctx context.Context, err error) error {
	if stop := c.engine.stopped(ctx); stop != nil {
		return because(stop, c.refused)
	}
	return err
}

// inAscendingOrder sorts permits, and their tokens with them.
func inAscendingOrder(which []int, tokens []string) {
	for k := range which {
		for n := k; n > 0 && which[n] < which[n-1]; n-- {
			which[n], which[n-1] = which[n-1], which[n]
			tokens[n], tokens[n-1] = tokens[n-1], tokens[n]
		}
	}
}
