package trial

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-go/holdfast/engine"
	"github.com/holdfast-go/holdfast/instance"
	"github.com/holdfast-go/holdfast/internal/sim"
)

// trial is one plan carried out.
type trial struct {
	plan   *plan
	begun  time.Time
	fleet  *sim.Fleet
	voters []*voter
	hosts  []*sim.Host
	logf   func(format string, args ...any) // nil: nobody wants to know

	engines []*engine.Engine
	ledger  *ledger
	locks   *locks
	counts  counts

	moves  map[int]*sim.Move // slots on their way, by the number of the fault
	moving sync.WaitGroup    // what goes on behind a fault
	calm   chan struct{}     // closed when the faults have ended, and what went on behind them

	mu         sync.Mutex
	complaints []string
	events     []event
}

// event is a line of the trace.
type event struct {
	at   time.Duration
	text string
}

func (e event) String() string { return fmt.Sprintf("%14v  %s", e.at, e.text) }

// counts is what a trial, or many of them, exercised.
type counts struct {
	mu                                         sync.Mutex
	seeds, acquires, refused, losses, extended int
	overlaps, looks                            int // two leases at once, outside the assumptions; looks at a lease's keys
	strays                                     int // locks left behind in clusters
	failovers, revenants                       int // of pairs; and locks that came back by them
	handed, adopted, held, tokens              int // leases handed on, adopted, held for the longest time, and with a token of the user's
	waits, paces                               int // acquires bounded by WithWait; pauses of the user's own
	batches                                    int // of resources that were asked for in one call
	sets, kept                                 int // acquires of several at once; and locks that were kept for one, and gave way
	watched, checks                            int // leases that are watched; and questions about them, since a server told
	faults                                     map[string]int
	failed                                     atomic.Bool
	wait                                       time.Duration // the longest of a waiter, when the faults had ended
}

func (c *counts) count(n *int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	*n++
}

// run carries out a plan.
func run(t *testing.T, p *plan, logf func(string, ...any)) *trial {
	t.Helper()
	tr := &trial{plan: p, logf: logf, counts: counts{seeds: 1, faults: make(map[string]int)}, moves: make(map[int]*sim.Move)}
	synctest.Test(t, tr.run)
	return tr
}

func (t *trial) run(tt *testing.T) {
	t.begun, t.calm = time.Now(), make(chan struct{})
	t.build(tt)
	var workers sync.WaitGroup
	for h := range t.plan.hosts {
		for w := range t.plan.workers {
			workers.Go(newWorker(t, h, w).run)
		}
	}
	t.direct()
	t.await(&workers)
	time.Sleep(calmLength) // what is owed is paid
	t.sweep(false)
	for h, e := range t.engines {
		if err := e.Close(context.Background()); err != nil {
			t.complain("left behind: engine %d closed with: %v", h+1, err)
		}
	}
	t.sweep(true)
}

func (t *trial) build(tt *testing.T) {
	p := t.plan
	if p.mini {
		t.fleet = sim.New(tt, p.votes)
	} else {
		t.fleet = sim.NewNative(tt, p.votes-len(p.clusters)-p.pairs)
	}
	for _, c := range p.clusters {
		t.fleet.AddCluster(c.masters, c.replicas)
	}
	for range p.pairs {
		t.fleet.AddPair()
	}
	t.enlist()
	t.fleet.Seed(p.seed)
	t.ledger, t.locks = newLedger(t), newLocks(t)
	for k, s := range t.fleet.Servers {
		if !p.mini {
			s.SwingClock(p.clocks[k].offset, p.clocks[k].rate, p.clocks[k].swing)
			s.Age(24 * time.Hour)
		}
		if p.unkind {
			s.ForbidKill()
		}
		if !p.mini && p.seed%5 == 0 { // it takes no random number, so that the other seeds stay what they are
			deletion := []string{"DELIFEQ", "DELEX"}[(p.seed/5+uint64(k))%2] // as of Valkey 9, and Redis 8.4
			s.HasDeletion(deletion, p.seed%3 != 0)
		}
		s.Jitter(p.low, p.high)
		s.Observe(t.locks.see)
	}
	for h, ep := range p.engines {
		h, host := t.fleet.Host(), h
		e, err := engine.New(h.Instances(instance.Config{Timeout: p.timeout}), engine.Config{
			TTL:          p.ttl,
			MaxTTL:       p.maxTTL,
			KeyPrefix:    p.prefix,
			LocalHandoff: ep.handoff,
			Owner:        ep.owner,
			Tries:        ep.tries,
			Guard:        ep.guard,
			DriftFactor:  p.drift,
			RenewEvery:   ep.renew,
			Backoff:      ep.backoff.config(func() { t.counts.count(&t.counts.paces) }),
			MaxWaiters:   ep.waiters,
			Trace: &engine.Trace{
				Checked: func(engine.CheckedInfo) { t.counts.count(&t.counts.checks) },
				Ended:   func(e engine.EndedInfo) { t.ledger.ended(e.Lease, host, e.Cause) },
				Woken: func(w engine.WokenInfo) {
					if w.Granted && w.Took == 0 && ep.handoff > 0 {
						t.counts.count(&t.counts.handed)
					}
				},
			},
		})
		if err != nil {
			tt.Fatal(err)
		}
		t.hosts, t.engines = append(t.hosts, h), append(t.engines, e)
	}
}

// direct has the faults strike, looks at the keys at the end of every calm, and
// returns when the faults have ended.
func (t *trial) direct() {
	type cue struct {
		at time.Duration
		do func()
	}
	var cues []cue
	for _, f := range t.plan.faults {
		cues = append(cues, cue{f.at, func() {
			t.counts.faults[f.kind.name]++
			t.log("fault: %v", f)
			f.kind.begin(t, f)
		}})
		if f.kind.end != nil {
			cues = append(cues, cue{f.at + f.length, func() {
				t.log("end of: %v", f)
				f.kind.end(t, f)
			}})
		}
	}
	for _, c := range t.plan.calms {
		cues = append(cues, cue{c.to, func() { t.sweep(false) }})
	}
	slices.SortStableFunc(cues, func(a, b cue) int { return cmp.Compare(a.at, b.at) })
	for _, c := range cues {
		time.Sleep(c.at - t.now())
		c.do()
	}
	time.Sleep(t.plan.length - t.now())
	t.moving.Wait()
	t.log("the faults have ended")
	close(t.calm)
}

// await waits for the workers, all of whose calls return in time.
func (t *trial) await(workers *sync.WaitGroup) {
	done := make(chan struct{})
	go func() {
		workers.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(2 * t.plan.patience()):
		t.complain("waiting: the faults have ended, and a call has not returned since")
		panic(verdict(t)) // there is no other way out of a bubble in which somebody waits for ever
	}
}

func (t *trial) now() time.Duration { return time.Since(t.begun) }

// log adds a line to the trace. What is said behind a complaint is not kept.
func (t *trial) log(format string, args ...any) {
	e := event{t.now(), fmt.Sprintf(format, args...)}
	if t.logf != nil {
		t.logf("%v", e)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.complaints) == 0 {
		t.events = append(t.events, e)
	}
}

// latest returns the end of the trace.
func (t *trial) latest(n int) []event {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.events[max(0, len(t.events)-n):]
}

// complain notes that a promise was broken. The first words say which.
func (t *trial) complain(format string, args ...any) {
	complaint := fmt.Sprintf("at %v: %s", t.now(), fmt.Sprintf(format, args...))
	t.log("COMPLAINT %s", complaint)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.complaints = append(t.complaints, complaint)
}

// over reports whether there is anything to complain about: one is enough.
func (t *trial) over() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.complaints) > 0
}
