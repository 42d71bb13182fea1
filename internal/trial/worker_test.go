package trial

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"time"

	"github.com/holdfast-go/holdfast/engine"
	"github.com/holdfast-go/holdfast/lease"
)

// worker acquires, holds and releases, over and over, until the faults have
// ended; and then once more.
type worker struct {
	*rand.Rand
	trial  *trial
	host   int
	place  int
	engine *engine.Engine
	uses   atomic.Int64 // of tokens of its own
	watch  *rand.Rand   // whether its leases are watched; apart, since that decides nothing else
	each   *rand.Rand   // whether it asks for others beside; apart as well
	sets   *rand.Rand   // whether it acquires several at once, and which
}

func newWorker(t *trial, host, place int) *worker {
	r := rand.New(rand.NewPCG(t.plan.seed, uint64(1+host*100+place)))
	watch := rand.New(rand.NewPCG(t.plan.seed, uint64(1_000_001+host*100+place)))
	each := rand.New(rand.NewPCG(t.plan.seed, uint64(2_000_001+host*100+place)))
	sets := rand.New(rand.NewPCG(t.plan.seed, uint64(3_000_001+host*100+place)))
	return &worker{
		Rand: r, trial: t, host: host, place: place, engine: t.engines[host], watch: watch, each: each, sets: sets,
	}
}

func (w *worker) run() {
	for w.trial.now() < w.trial.plan.length && !w.trial.over() {
		w.think()
		w.work()
	}
	if !w.trial.over() {
		w.last()
	}
}

// grid: workers begin at the same moments, so that they contend, and propose the
// same fences.
const grid = 20 * time.Millisecond

func (w *worker) think() {
	now := w.trial.now()
	next := now.Truncate(grid) + grid*time.Duration(1+w.IntN(25))
	time.Sleep(next - now)
}

// work is one try to get a lock, and what is done with it.
func (w *worker) work() {
	which := w.IntN(len(w.trial.plan.fenced))
	r, err := w.acquire(which)
	switch {
	case err == nil:
		w.hold(r)
	case errors.Is(err, engine.ErrHeld), errors.Is(err, engine.ErrNoQuorum), errors.Is(err, lease.ErrLost),
		errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		w.trial.counts.count(&w.trial.counts.refused)
	default:
		w.trial.complain("errors: an acquire must not fail so: %v", err)
	}
}

func resource(which int) string { return fmt.Sprintf("r%d", which) }

func (w *worker) acquire(which int) (*holding, error) {
	p := w.trial.plan
	ttl := pick(w.Rand, p.ttl, p.ttl, p.ttl, p.maxTTL, p.ttl/2)
	opts := []engine.Option{engine.WithTTL(ttl)}
	if p.fenced[which] {
		opts = append(opts, engine.WithFencing())
	}
	if w.IntN(3) == 0 {
		opts = append(opts, engine.WithoutRenewal())
	}
	patience := pick(w.Rand, between(w.Rand, 0, 50*time.Millisecond), between(w.Rand, 0, 2*p.ttl), between(w.Rand, 0, 2*p.ttl))
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if w.IntN(3) == 0 { // the same bound, said otherwise
		ctx = context.Background()
		opts = append(opts, engine.WithWait(patience+1))
		w.trial.counts.count(&w.trial.counts.waits)
	}
	acquire, once := w.engine.Acquire, w.IntN(5) == 0
	if once {
		ctx, acquire = context.Background(), w.engine.TryAcquire
	}
	var as terms
	if w.IntN(8) == 0 {
		n := w.IntN(4) * int(w.uses.Add(1)) // every fourth is one that has been used before
		as.own, as.loose = true, !once || p.fenced[which] || n == 0
		opts = append(opts, engine.WithToken(fmt.Sprintf("%s%d-%d-%d", userToken, w.host, w.place, n)))
		w.trial.counts.count(&w.trial.counts.tokens)
	}
	if w.IntN(4) == 0 {
		as.maxHold = w.maxHold()
		opts = append(opts, engine.WithMaxHold(as.maxHold))
	}
	if w.IntN(16) == 0 {
		opts = append(opts, engine.WithTries(1+w.IntN(3)))
	}
	opts = w.mayWatch(opts)
	set := w.set()
	switch {
	case !as.own && len(set) > 1:
		acquire, opts = w.asOne(set, once, opts)
	case once && !as.own && w.each.IntN(2) == 0:
		acquire, set = w.tryEach(as), []string{resource(which)}
	default:
		set = []string{resource(which)}
	}
	r, err := w.get(ctx, acquire, set, as, opts)
	if err == nil && w.IntN(12) == 0 && len(set) == 1 {
		return w.giveAway(r)
	}
	return r, err
}

// set is some of the resources, in any order: most often none.
func (w *worker) set() (set []string) {
	n := len(w.trial.plan.fenced)
	if w.sets.IntN(3) > 0 {
		return nil
	}
	for _, k := range w.sets.Perm(n)[:1+w.sets.IntN(n)] {
		set = append(set, resource(k))
	}
	return set
}

// asOne acquires several resources at once, with a fence if one of them has it.
func (w *worker) asOne(set []string, once bool, opts []engine.Option) (acquireFunc, []engine.Option) {
	for k, fenced := range w.trial.plan.fenced {
		if fenced && slices.Contains(set, resource(k)) {
			opts = append(opts, engine.WithFencing())
		}
	}
	w.trial.counts.count(&w.trial.counts.sets)
	return func(ctx context.Context, _ string, opts ...engine.Option) (*lease.Lease, error) {
		w.trial.ledger.want(set, +1)
		defer w.trial.ledger.want(set, -1)
		if once {
			return w.engine.TryAcquireAll(ctx, set, opts...)
		}
		return w.engine.AcquireAll(ctx, set, opts...)
	}, opts
}

// mayWatch has every other lease watched.
func (w *worker) mayWatch(opts []engine.Option) []engine.Option {
	if w.watch.IntN(2) == 0 {
		return opts
	}
	w.trial.counts.count(&w.trial.counts.watched)
	return append(opts, engine.WithWatch())
}

func (w *worker) maxHold() time.Duration {
	return between(w.Rand, time.Millisecond, 2*w.trial.plan.ttl)
}

// giveAway has another engine adopt the lease. Its holder lets go of it first, as it
// should, or else may be told that it is valid for a while, and is not asked.
func (w *worker) giveAway(r *holding) (*holding, error) {
	t := w.trial
	host := (w.host + 1) % t.plan.hosts
	as := terms{asked: time.Now(), loose: r.loose}
	var opts []engine.Option
	if w.IntN(2) == 0 {
		opts = append(opts, engine.WithoutRenewal())
	}
	if w.IntN(4) == 0 {
		as.maxHold = w.maxHold()
		opts = append(opts, engine.WithMaxHold(as.maxHold))
	}
	t.ledger.giving(r.record)
	token, kept, err := r.lease.Token(), w.shows(r) && w.IntN(4) == 0, error(nil)
	if !kept {
		token, err = r.lease.Detach()
	}
	if err != nil {
		return nil, err
	}
	l, err := t.engines[host].Adopt(context.Background(), r.lease.Resource(), token, w.mayWatch(opts)...)
	if err != nil && kept {
		w.release(r)
	}
	if err != nil {
		return nil, err
	}
	t.counts.count(&t.counts.adopted)
	return t.ledger.granted(l, host, as), nil
}

// shows reports whether a lease's token is that of its lock.
func (w *worker) shows(r *holding) bool { return r.own || w.trial.plan.engines[w.host].handoff == 0 }

type acquireFunc = func(context.Context, string, ...engine.Option) (*lease.Lease, error)

func (w *worker) get(ctx context.Context, acquire acquireFunc, set []string, as terms, opts []engine.Option) (*holding, error) {
	t := w.trial
	as.before, as.asked = t.ledger.before(set), time.Now()
	l, err := acquire(ctx, set[0], opts...)
	if err != nil {
		return nil, err
	}
	t.counts.count(&t.counts.acquires)
	return t.ledger.granted(l, w.host, as), nil
}

// hold looks at the lease again and again, for a moment or for longer than it
// lasts, and gives it back, or does not.
func (w *worker) hold(r *holding) {
	p := w.trial.plan
	for end := time.Now().Add(w.duration()); ; {
		w.trial.ledger.look(r)
		if w.trial.over() || r.over && w.IntN(4) == 0 {
			break
		}
		left := time.Until(end)
		if left <= 0 {
			break
		}
		time.Sleep(min(left, between(w.Rand, time.Millisecond, p.ttl/4)))
		if w.IntN(20) == 0 {
			w.extend(r)
		}
	}
	if r.over && w.IntN(2) == 0 {
		return // a lost lease need not be given back
	}
	w.release(r)
}

func (w *worker) duration() time.Duration {
	p := w.trial.plan
	switch w.IntN(10) {
	case 0, 1, 2:
		return 0
	case 3, 4, 5, 6:
		return between(w.Rand, 0, 100*time.Millisecond)
	}
	return between(w.Rand, 0, 3*p.ttl)
}

func (w *worker) extend(r *holding) {
	p := w.trial.plan
	err := r.lease.Extend(context.Background(), pick(w.Rand, 0, p.ttl, p.maxTTL))
	switch {
	case err == nil:
		w.trial.counts.count(&w.trial.counts.extended)
	case !errors.Is(err, lease.ErrLost) && !errors.Is(err, engine.ErrNoQuorum):
		w.trial.complain("errors: an extension must not fail so: %v", err)
	}
}

func (w *worker) release(r *holding) {
	w.trial.ledger.releasing(r.record)
	w.released(r, r.lease.Release(context.Background()))
}

// last is an acquire when the faults have ended: it must succeed.
func (w *worker) last() {
	t := w.trial
	<-t.calm
	which := w.place % len(t.plan.fenced)
	opts := []engine.Option{engine.WithTries(0)}
	if t.plan.fenced[which] {
		opts = append(opts, engine.WithFencing())
	}
	begun := time.Now()
	ctx, cancel := context.WithTimeout(context.Background(), t.plan.patience())
	defer cancel()
	set, acquire := []string{resource(which)}, w.engine.Acquire
	if several := w.set(); len(several) > 1 {
		set = several
		acquire, opts = w.asOne(set, false, opts)
	}
	r, err := w.get(ctx, acquire, set, terms{}, opts)
	for t.plan.engines[w.host].hasty() && (errors.Is(err, engine.ErrHeld) || errors.Is(err, engine.ErrNoQuorum)) && ctx.Err() == nil {
		time.Sleep(grid)
		r, err = w.get(ctx, acquire, set, terms{}, opts)
	}
	if err != nil {
		t.complain("waiting: the faults have ended, and a waiter did not get %s in %v: %v", set, time.Since(begun), err)
		return
	}
	t.counts.mu.Lock()
	t.counts.wait = max(t.counts.wait, time.Since(begun))
	t.counts.mu.Unlock()
	time.Sleep(between(w.Rand, 0, 20*time.Millisecond))
	t.ledger.look(r)
	t.ledger.releasing(r.record)
	if err := r.lease.Release(context.Background()); err != nil && !r.over {
		t.complain("waiting: the faults have ended, and a release was not confirmed: %v", err)
	}
}
