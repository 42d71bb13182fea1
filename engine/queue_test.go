package engine_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cenkalti/backoff/v4"

	"github.com/holdfast-go/holdfast/engine"
	"github.com/holdfast-go/holdfast/instance"
	"github.com/holdfast-go/holdfast/internal/sim"
	"github.com/holdfast-go/holdfast/internal/testkit"
	"github.com/holdfast-go/holdfast/lease"
)

// What the engine promises of its queues.
const (
	placeLife = 3 * time.Second        // how long a place lives that nobody keeps
	keeping   = 700 * time.Millisecond // how often a place is kept, at the latest
	aTurn     = 10 * time.Millisecond  // how long an engine serves its own waiters
	aHop      = 100 * time.Microsecond // one way, in most of these tests
)

// queuing runs a test in a bubble, with n fast servers.
func queuing(t *testing.T, n int, test func(*testing.T, *sim.Fleet)) {
	t.Helper()
	testkit.Simulate(t, func(t *testing.T) {
		fleet := sim.NewNative(t, n)
		fleet.Each(func(s *sim.Server) { s.Latency(aHop, aHop) })
		test(t, fleet)
	})
}

// contender is an engine on a host of its own.
type contender struct {
	*engine.Engine
	host   *sim.Host
	result <-chan result // of its acquire
}

func newContender(t *testing.T, fleet *sim.Fleet, cfg engine.Config) *contender {
	t.Helper()
	host := fleet.Host()
	e, err := engine.New(host.Instances(instance.Config{Timeout: timeout}), cfg)
	if err != nil {
		t.Fatalf("engine.New: %v", err)
	}
	t.Cleanup(func() { _ = e.Close(context.Background()) })
	time.Sleep(10 * time.Millisecond)
	synctest.Wait()
	return &contender{Engine: e, host: host}
}

// stand has it begin to wait for r, and waits until it has its place.
func (c *contender) stand(ctx context.Context, opts ...engine.Option) {
	c.result = acquiring(ctx, c.Engine, "r", opts...)
	time.Sleep(10 * time.Millisecond)
	synctest.Wait()
}

// die cuts it off for good, with all that it has not sent yet.
func (c *contender) die(fleet *sim.Fleet) { fleet.Each(c.host.Part) }

// anyServed waits until one of them has the lock.
func anyServed(t *testing.T, line []*contender, what string, low, high time.Duration, then func(*contender, *lease.Lease)) {
	t.Helper()
	begun := time.Now()
	for {
		for _, c := range line {
			select {
			case r := <-c.result:
				if r.err != nil {
					t.Fatalf("%s: %v", what, r.err)
				}
				between(t, what, r.at.Sub(begun), low, high)
				then(c, r.lease)
				return
			default:
			}
		}
		if time.Since(begun) > time.Minute {
			t.Fatalf("%s: nobody is served within a minute", what)
		}
		time.Sleep(time.Millisecond)
	}
}

func keepIt(*contender, *lease.Lease) {}

// served waits until it has the lock, and returns the lease.
func (c *contender) served(t *testing.T, what string, low, high time.Duration) *lease.Lease {
	t.Helper()
	begun := time.Now()
	var r result
	select {
	case r = <-c.result:
	case <-time.After(time.Minute):
		t.Fatalf("%s is not served within a minute", what)
	}
	if r.err != nil {
		t.Fatalf("%s: %v", what, r.err)
	}
	between(t, what, r.at.Sub(begun), low, high)
	return r.lease
}

// inLine has so many engines begin to wait for r, one after the other.
func inLine(t *testing.T, fleet *sim.Fleet, n int, cfg engine.Config, opts ...engine.Option) (line []*contender) {
	t.Helper()
	for range n {
		c := newContender(t, fleet, cfg)
		c.stand(t.Context(), opts...)
		line = append(line, c)
	}
	return line
}

// queueKeys are the keys of queues that the servers have.
func queueKeys(fleet *sim.Fleet) (keys []string) {
	for _, s := range fleet.Servers {
		for _, key := range s.Keys() {
			if strings.HasPrefix(key, "queue") {
				keys = append(keys, s.Name()+": "+key)
			}
		}
	}
	return keys
}

// noQueue fails the test when there is a queue.
func noQueue(t *testing.T, fleet *sim.Fleet, when string) {
	t.Helper()
	time.Sleep(10 * time.Millisecond)
	synctest.Wait()
	if keys := queueKeys(fleet); len(keys) > 0 {
		t.Errorf("%s there is still %q", when, keys)
	}
}

func TestEnginesAreServedInTheOrderOfTheirComing(t *testing.T) {
	for _, n := range []int{1, 3, 5} {
		t.Run(fmt.Sprintf("N=%d", n), func(t *testing.T) {
			queuing(t, n, func(t *testing.T, fleet *sim.Fleet) {
				held := acquire(t, newContender(t, fleet, config()).Engine, "r")
				line := inLine(t, fleet, 20, config())
				time.Sleep(20 * time.Second) // the places are kept
				for k, c := range line {
					release(t, held)
					held = c.served(t, fmt.Sprint("engine ", k), 0, 10*aHop)
					time.Sleep(50 * time.Millisecond)
				}
				release(t, held)
				noQueue(t, fleet, "when all have been served")
			})
		})
	}
}

// Between two holders the lock is free for a moment. Who is told so twice, with others before it, is not to think that
// these have died: as long as another is the first each time.
func TestAQueueThatMovesIsNotPassedBy(t *testing.T) {
	queuing(t, 1, func(t *testing.T, fleet *sim.Fleet) {
		held := acquire(t, newContender(t, fleet, config()).Engine, "r")
		line := inLine(t, fleet, 80, config())
		fleet.Each(func(s *sim.Server) { s.Latency(20*time.Millisecond, 20*time.Millisecond) }) // so that it is free for most of the time
		for k, c := range line {
			release(t, held)
			held = c.served(t, fmt.Sprint("engine ", k), 0, 200*time.Millisecond)
		}
		release(t, held)
	})
}

// However many have died: their places end together.
func TestDeadWaitersCostOneLifeTogether(t *testing.T) {
	for _, c := range []struct {
		name          string
		before, dead  int
		dieLongBefore time.Duration
		within        time.Duration
	}{
		{"the first", 0, 1, 0, placeLife * 3 / 2},
		{"the first 50", 0, 50, 0, placeLife * 3 / 2},
		{"20 behind one that is served", 1, 20, 0, placeLife * 3 / 2},
		{"20 that died long before", 0, 20, placeLife + keeping, keeping}, // when it keeps its place, at the latest
		{"20 behind another that died long before", 1, 20, placeLife + keeping, keeping},
	} {
		for _, n := range []int{1, 3} {
			t.Run(fmt.Sprintf("%s, N=%d", c.name, n), func(t *testing.T) {
				queuing(t, n, func(t *testing.T, fleet *sim.Fleet) {
					held := acquire(t, newContender(t, fleet, config()).Engine, "r")
					line := inLine(t, fleet, c.before+c.dead+1, config())
					time.Sleep(2 * time.Second)
					for _, d := range line[c.before:][:c.dead] {
						d.die(fleet)
					}
					time.Sleep(c.dieLongBefore)
					for _, living := range line[:c.before] {
						release(t, held)
						held = living.served(t, "the one before the dead", 0, 10*aHop)
					}
					release(t, held)
					line[len(line)-1].served(t, "the next living one", 0, c.within)
				})
			})
		}
	}
}

// A process that hangs when its turn has come is passed over. When it goes on it stands at
// the end, and has the lock only when a quorum has voted for it.
func TestWaiterThatHangsInItsTurnIsPassedOver(t *testing.T) {
	queuing(t, 3, func(t *testing.T, fleet *sim.Fleet) {
		held := acquire(t, newContender(t, fleet, config()).Engine, "r")
		line := inLine(t, fleet, 3, config())
		frozen, second, third := line[0], line[1], line[2]
		time.Sleep(2 * time.Second)
		frozen.host.Freeze()
		release(t, held)
		held = second.served(t, "the one behind the frozen one", 0, 2*keeping+20*time.Millisecond)
		time.Sleep(2 * placeLife)
		frozen.host.Resume()
		time.Sleep(time.Second)
		pending(t, frozen.result)
		if s, err := second.Inspect(t.Context(), "r"); err != nil || s.Waiting != 2 {
			t.Errorf("%d wait, want the one that was frozen and one before it; error %v", s.Waiting, err)
		}
		if n := fleet.Count("r", held.Token()); n < 2 {
			t.Errorf("%d servers have the holder's token", n)
		}
		release(t, held)
		held = third.served(t, "the one that stood in line", 0, 10*aHop)
		pending(t, frozen.result)
		time.Sleep(50 * time.Millisecond)
		release(t, held)
		held = frozen.served(t, "the one that was frozen", 0, keeping)
		if n := fleet.Count("r", held.Token()); n < 2 {
			t.Errorf("%d servers have the token of the one that was frozen", n)
		}
	})
}

// crowd has engines contend for r until the context ends. It complains of two that hold it together,
// and returns the longest that each has waited, the last time included.
func crowd(ctx context.Context, t *testing.T, engines []*contender, hold, think time.Duration) (longest []time.Duration) {
	longest = make([]time.Duration, len(engines))
	var holders atomic.Int32
	var all sync.WaitGroup
	for k, e := range engines {
		all.Go(func() {
			for ctx.Err() == nil {
				begun := time.Now()
				l, err := e.Acquire(ctx, "r")
				longest[k] = max(longest[k], time.Since(begun))
				if err != nil {
					if !errors.Is(err, context.DeadlineExceeded) {
						t.Errorf("engine %d: %v", k, err)
					}
					return
				}
				if n := holders.Add(1); n != 1 {
					t.Errorf("%d holders", n)
				}
				time.Sleep(hold)
				if !l.Valid() {
					t.Errorf("the lease of engine %d has ended: %v", k, l.Err())
				}
				holders.Add(-1)
				_ = l.Release(context.Background())
				time.Sleep(think)
			}
		})
	}
	all.Wait()
	return longest
}

// outside is how long an engine may go without the lock after it has lost its place: it asks all instances
// again after 8 s at the latest (mostPatience), and is in the queue by then.
const outside = 10 * time.Second

// Whatever becomes of one instance, be it the one that has the queue: no two hold the lock, and
// everybody is served.
func TestQueueMayBeLost(t *testing.T) {
	const recovery = 15 * time.Second // how long until the next instance fails
	for name, f := range map[string]struct {
		fault, mend func(*sim.Server, []*contender)
		recovery    time.Duration
	}{
		"killed": {
			func(s *sim.Server, _ []*contender) { s.Cut() },
			func(s *sim.Server, _ []*contender) { s.Mend() },
			recovery,
		},
		"restarted empty": {
			func(s *sim.Server, _ []*contender) { s.Restart() },
			func(*sim.Server, []*contender) {},
			time.Minute, // until it votes again
		},
		"flushed": {
			func(s *sim.Server, _ []*contender) { s.Forget() },
			func(*sim.Server, []*contender) {},
			recovery,
		},
		"paused": {
			func(s *sim.Server, _ []*contender) { s.Hang() },
			func(s *sim.Server, _ []*contender) { s.Thaw() },
			recovery,
		},
		"its answers are lost": {
			func(s *sim.Server, _ []*contender) { s.LoseReplies(true) },
			func(s *sim.Server, _ []*contender) { s.LoseReplies(false) },
			recovery,
		},
		"its questions are lost": {
			func(s *sim.Server, _ []*contender) { s.LoseRequests(true) },
			func(s *sim.Server, _ []*contender) { s.LoseRequests(false) },
			recovery,
		},
	} {
		t.Run(name, func(t *testing.T) {
			queuing(t, 3, func(t *testing.T, fleet *sim.Fleet) {
				fleet.Each(func(s *sim.Server) { s.Jitter(aHop/2, aHop) })
				var engines []*contender
				for range 6 {
					engines = append(engines, newContender(t, fleet, config()))
				}
				ctx, cancel := context.WithTimeout(t.Context(), 3*(10*time.Second+f.recovery))
				defer cancel()
				go func() {
					for _, s := range fleet.Servers {
						time.Sleep(2 * time.Second)
						f.fault(s, engines)
						time.Sleep(8 * time.Second)
						f.mend(s, engines)
						time.Sleep(f.recovery)
					}
				}()
				for k, longest := range crowd(ctx, t, engines, 100*time.Millisecond, 100*time.Millisecond) {
					between(t, fmt.Sprintf("the longest wait of engine %d", k), longest, 0, outside)
				}
			})
		})
	}
}

// An engine with many callers leaves a chance to those who stand in no queue and are told of changes, such
// as engines with a Backoff of their own.
func TestThoseWhoStandInNoQueueHaveTheirChance(t *testing.T) {
	outsider := config()
	outsider.Backoff = func() engine.Backoff { return backoff.NewConstantBackOff(5 * time.Millisecond) }
	for _, n := range []int{1, 3} {
		t.Run(fmt.Sprintf("N=%d", n), func(t *testing.T) {
			queuing(t, n, func(t *testing.T, fleet *sim.Fleet) {
				busy, other := newContender(t, fleet, config()), newContender(t, fleet, outsider)
				ctx, cancel := context.WithTimeout(t.Context(), 4*time.Second)
				defer cancel()
				var all sync.WaitGroup
				for range 4 {
					all.Go(func() { crowd(ctx, t, []*contender{busy}, time.Millisecond, 0) })
				}
				longest := crowd(ctx, t, []*contender{other}, time.Millisecond, 10*time.Millisecond)
				all.Wait()
				between(t, "the longest wait", longest[0], 0, time.Second)
			})
		})
	}
}

// Those who stand in the queue are served among others who stand in none and hold the lock for moments: the first asks as
// soon as it is told, as they do.
func TestThoseInTheQueueAreServedAmongOthers(t *testing.T) {
	outsider := config()
	outsider.Backoff = func() engine.Backoff { return backoff.NewConstantBackOff(20 * time.Millisecond) }
	for _, queued := range []int{1, 4} {
		t.Run(fmt.Sprint(queued), func(t *testing.T) {
			queuing(t, 1, func(t *testing.T, fleet *sim.Fleet) {
				fleet.Each(func(s *sim.Server) { s.Jitter(aHop/2, aHop) })
				var inQueue, others []*contender
				for range queued {
					inQueue = append(inQueue, newContender(t, fleet, config()))
				}
				for range 4 {
					others = append(others, newContender(t, fleet, outsider))
				}
				ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
				defer cancel()
				var all sync.WaitGroup
				all.Go(func() {
					for _, longest := range crowd(ctx, t, others, time.Millisecond, time.Millisecond) {
						between(t, "the longest wait of another", longest, 0, 3*time.Second)
					}
				})
				for _, longest := range crowd(ctx, t, inQueue, time.Millisecond, time.Millisecond) {
					between(t, "the longest wait in the queue", longest, 0, 3*time.Second)
				}
				all.Wait()
			})
		})
	}
}

// One who asks when it likes, beside many in the queue: it is told of each release as soon as the first of these, and what it
// asks then does not put off its round of all. Nor does it always lose that: whoever wins against the vote of the arbiter
// leaves the next release to who asks there first.
func TestOneWhoStandsInNoQueueIsServedBesideIt(t *testing.T) {
	paced, tries := config(), config()
	paced.Backoff = constantly(20 * time.Millisecond)
	tries.Tries = 1 << 20
	for name, c := range map[string]struct {
		n        int
		outsider engine.Config
	}{
		"a Backoff, N=3": {3, paced},
		"tries, N=3":     {3, tries},
		"a Backoff, N=5": {5, paced},
	} {
		t.Run(name, func(t *testing.T) {
			queuing(t, c.n, func(t *testing.T, fleet *sim.Fleet) {
				const longestWait = 200 * time.Millisecond
				other := newContender(t, fleet, c.outsider)
				var line []*contender
				for range 6 {
					line = append(line, newContender(t, fleet, config()))
				}
				ctx, cancel := context.WithTimeout(t.Context(), 3*longestWait)
				defer cancel()
				var all sync.WaitGroup
				all.Go(func() {
					for k, longest := range crowd(ctx, t, line, time.Millisecond, time.Millisecond) {
						between(t, fmt.Sprintf("the longest wait of number %d in the queue", k), longest, 0, longestWait)
					}
				})
				longest := crowd(ctx, t, []*contender{other}, time.Millisecond, time.Millisecond)
				all.Wait()
				between(t, "the longest wait of the one outside", longest[0], 0, longestWait)
			})
		})
	}
}

// The tries of an acquire come to their end, however often the lock changes hands meanwhile; so do those for several
// resources, and for permits, whose bell is rung each time.
func TestTriesEndThoughTheLockChangesHandsAllTheTime(t *testing.T) {
	const permit, bell = "permit-0:{r}", "permit-bell:{r}"
	for name, acquire := range map[string]func(context.Context, *engine.Engine) (*lease.Lease, error){
		"one": func(ctx context.Context, e *engine.Engine) (*lease.Lease, error) {
			return e.Acquire(ctx, "r", engine.WithTries(5))
		},
		"several": func(ctx context.Context, e *engine.Engine) (*lease.Lease, error) {
			return e.AcquireAll(ctx, []string{"a", "r"}, engine.WithTries(5))
		},
		"permits": func(ctx context.Context, e *engine.Engine) (*lease.Lease, error) {
			return e.Acquire(ctx, "r", engine.WithTries(5), engine.Permits(1))
		},
	} {
		for _, n := range []int{1, 3} {
			t.Run(fmt.Sprintf("%s, N=%d", name, n), func(t *testing.T) {
				queuing(t, n, func(t *testing.T, fleet *sim.Fleet) {
					hands := func(k int) {
						fleet.Each(func(s *sim.Server) {
							s.Set("r", fmt.Sprint("another library's ", k), time.Hour)
							s.Set(permit, fmt.Sprint("another's ", k), time.Hour)
							s.Del(bell)
						})
					}
					hands(0)
					cfg := config()
					cfg.Backoff = constantly(20 * time.Millisecond)
					c := newContender(t, fleet, cfg)
					begun := time.Now()
					acquiring := make(chan result, 1)
					go func() {
						l, err := acquire(t.Context(), c.Engine)
						acquiring <- result{l, err, time.Now()}
					}()
					for k := range 500 {
						time.Sleep(2 * time.Millisecond)
						hands(k + 1)
					}
					r := got(t, acquiring)
					isAll(t, r.err, engine.ErrHeld)
					between(t, "five tries", r.at.Sub(begun), 80*time.Millisecond, 80*time.Millisecond+50*aHop)
				})
			})
		}
	}
}

// Nobody loses its place because its slot moves: those who wait are served in their order when it has, however long it has taken
// within the life of a place. (While it moves, a bell that moves is taken for one that rings.)
func TestPlacesOutliveAMoveOfTheirSlot(t *testing.T) {
	for _, lasts := range []time.Duration{20 * time.Millisecond, 2 * time.Second} {
		for name, opts := range map[string][]engine.Option{"plain": nil, "fenced": {engine.WithFencing()}} {
			t.Run(fmt.Sprintf("%s, %v", name, lasts), func(t *testing.T) {
				queuing(t, 0, func(t *testing.T, fleet *sim.Fleet) {
					cluster := fleet.AddCluster(3, 0)
					fleet.Each(func(s *sim.Server) { s.Jitter(aHop/2, aHop) })
					held := acquire(t, newContender(t, fleet, config()).Engine, "r", opts...)
					line := inLine(t, fleet, 6, config(), opts...)
					time.Sleep(time.Second)
					for range 2 {
						from := cluster.Owner("r")
						mv := cluster.BeginMove("r", cluster.Nodes[(slices.Index(cluster.Nodes, from)+1)%3])
						keys := from.Keys()
						for _, one := range keys {
							mv.Keys(func(key string) bool { return key == one })
							time.Sleep(lasts / time.Duration(len(keys)))
						}
						if !mv.End(time.Millisecond) {
							t.Fatal("the slot does not move")
						}
						time.Sleep(2 * keeping)
					}
					for k, c := range line {
						release(t, held)
						held = c.served(t, fmt.Sprint("engine ", k), 0, 20*aHop)
						time.Sleep(50 * time.Millisecond)
					}
				})
			})
		}
	}
}

// Where engines disagree about the instance that has the queue, there are two: no two hold the lock, and
// everybody is served when they agree again.
func TestTwoQueuesBecomeOne(t *testing.T) {
	queuing(t, 3, func(t *testing.T, fleet *sim.Fleet) {
		fleet.Each(func(s *sim.Server) { s.Jitter(aHop/2, aHop) })
		var engines []*contender
		for range 6 {
			engines = append(engines, newContender(t, fleet, config()))
		}
		const apart = 3 * time.Second
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		go func() {
			for _, s := range fleet.Servers {
				time.Sleep(2 * time.Second)
				for _, e := range engines[:3] {
					e.host.Part(s)
				}
				time.Sleep(apart)
				for _, e := range engines[:3] {
					e.host.Join(s, time.Millisecond)
				}
				time.Sleep(14 * time.Second)
			}
		}()
		for k, longest := range crowd(ctx, t, engines, 20*time.Millisecond, 20*time.Millisecond) {
			between(t, fmt.Sprintf("the longest wait of engine %d", k), longest, 0, apart+outside)
		}
	})
}

// Whatever is asked of a lock that has a queue: those who wait are served in turn, and no place is left.
func TestQueueGoesWithEverythingElse(t *testing.T) {
	handing, tries, paced := config(), config(), config()
	handing.LocalHandoff = 16
	tries.Tries, tries.Backoff = 1000, constantly(20*time.Millisecond)
	paced.Backoff = constantly(20 * time.Millisecond)
	for name, c := range map[string]struct {
		cfg     engine.Config
		opts    []engine.Option
		end     func(*testing.T, *sim.Fleet, *contender, *lease.Lease)
		within  time.Duration
		anybody bool // who paces or counts its rounds stands in no queue
	}{
		"nothing":      {cfg: config(), within: 10 * aHop},
		"fencing":      {cfg: config(), opts: []engine.Option{engine.WithFencing()}, within: 10 * aHop},
		"LocalHandoff": {cfg: handing, within: 10 * aHop},
		"WithMaxHold":  {cfg: config(), opts: []engine.Option{engine.WithMaxHold(time.Minute)}, within: 10 * aHop},
		"tries":        {cfg: tries, within: time.Second, anybody: true},
		"a Backoff":    {cfg: paced, within: time.Second, anybody: true},
		"TryAcquire": {cfg: config(), within: 10 * aHop, end: func(t *testing.T, _ *sim.Fleet, c *contender, l *lease.Lease) {
			_, err := c.TryAcquire(t.Context(), "r")
			isAll(t, err, engine.ErrHeld)
			release(t, l)
		}},
		"Detach and Adopt": {cfg: config(), within: 10 * aHop, end: func(t *testing.T, _ *sim.Fleet, c *contender, l *lease.Lease) {
			adopted, err := c.Adopt(t.Context(), "r", detach(t, l))
			if err != nil {
				t.Fatalf("adopt: %v", err)
			}
			release(t, adopted)
		}},
		"ForceRelease": {cfg: config(), within: 2*keeping + 10*aHop, anybody: true, end: func(t *testing.T, _ *sim.Fleet, c *contender, _ *lease.Lease) {
			seen, err := c.Inspect(t.Context(), "r")
			if err != nil {
				t.Fatalf("inspect: %v", err)
			}
			if err := c.ForceRelease(t.Context(), seen); err != nil {
				t.Fatalf("force release: %v", err)
			}
		}},
		"an expiry": {
			cfg: config(), opts: []engine.Option{engine.WithoutRenewal()}, within: ttl + time.Second,
			end: func(*testing.T, *sim.Fleet, *contender, *lease.Lease) {},
		},
	} {
		t.Run(name, func(t *testing.T) {
			queuing(t, 3, func(t *testing.T, fleet *sim.Fleet) {
				held := acquire(t, newContender(t, fleet, config()).Engine, "r")
				line := inLine(t, fleet, 4, c.cfg, c.opts...)
				time.Sleep(5 * time.Second)
				if n := len(queueKeys(fleet)); (n > 0) == (c.cfg.Backoff != nil) {
					t.Errorf("there are %d keys of a queue", n)
				}
				finish := func(o *contender, l *lease.Lease) {
					if c.end == nil {
						release(t, l)
						return
					}
					c.end(t, fleet, o, l)
				}
				release(t, held)
				for k := range line {
					if c.anybody {
						anyServed(t, line, fmt.Sprint("number ", k), 0, c.within, func(o *contender, l *lease.Lease) { finish(o, l) })
						continue
					}
					l := line[k].served(t, fmt.Sprint("engine ", k), 0, c.within)
					time.Sleep(50 * time.Millisecond)
					finish(line[k], l)
				}
				if name == "ForceRelease" || name == "an expiry" { // the place goes with the lease, when that is found to be lost
					time.Sleep(placeLife)
				}
				noQueue(t, fleet, "when all have been served")
			})
		})
	}
}

// Nobody tells of an expiry, and whoever deletes the lock leaves no queue: the first in line watches the
// lock itself.
func TestFirstInLineIsToldWhateverEndsTheLock(t *testing.T) {
	for name, c := range map[string]struct {
		end  func(*sim.Server)
		life time.Duration // of the lock
		low  time.Duration
		high time.Duration
	}{
		"deleted": {func(s *sim.Server) { s.Del("r") }, time.Hour, 0, 10 * aHop},
		"flushed": {(*sim.Server).Forget, time.Hour, 0, 2 * keeping},
		"expired": {func(*sim.Server) {}, 20 * time.Second, 9 * time.Second, 10*time.Second + 10*time.Millisecond},
	} {
		for _, n := range []int{1, 3} {
			t.Run(fmt.Sprintf("%s, N=%d", name, n), func(t *testing.T) {
				queuing(t, n, func(t *testing.T, fleet *sim.Fleet) {
					fleet.Each(func(s *sim.Server) { s.Set("r", "another library's", c.life) })
					begun := time.Now()
					line := inLine(t, fleet, 3, config())
					time.Sleep(10*time.Second - time.Since(begun))
					fleet.Each(c.end)
					if name == "flushed" { // the queue, too
						anyServed(t, line, "one of them", c.low, c.high, keepIt)
						return
					}
					line[0].served(t, "the first", c.low, c.high)
					pending(t, line[1].result)
				})
			})
		}
	}
}

// Just behind one that has been served, a waiter watches the bell of that one, which an operator's DEL does not
// ring. It is told when it keeps its place.
func TestSecondInLineLearnsOfADeletedLockWhenItKeepsItsPlace(t *testing.T) {
	for _, held := range []time.Duration{20 * time.Millisecond, 500 * time.Millisecond, 2 * time.Second, placeLife + keeping} {
		t.Run(held.String(), func(t *testing.T) {
			queuing(t, 3, func(t *testing.T, fleet *sim.Fleet) {
				first := acquire(t, newContender(t, fleet, config()).Engine, "r")
				line := inLine(t, fleet, 3, config())
				time.Sleep(time.Second)
				release(t, first)
				line[0].served(t, "the first", 0, 10*aHop)
				time.Sleep(held)
				fleet.Each(func(s *sim.Server) { s.Del("r") })
				within := 2 * keeping // the lock may be free for a moment: it must be said twice
				if held > placeLife {
					within = 10 * aHop
				}
				anyServed(t, line[1:], "one of those who wait", 0, within+10*aHop, keepIt)
			})
		})
	}
}

func TestNothingIsLeftOfAQueueWhoseWaitersHaveDied(t *testing.T) {
	queuing(t, 3, func(t *testing.T, fleet *sim.Fleet) {
		fleet.Each(func(s *sim.Server) { s.Set("r", "another library's", time.Hour) })
		line := inLine(t, fleet, 30, config())
		time.Sleep(5 * time.Second)
		if n := len(queueKeys(fleet)); n != len(line)+2 {
			t.Errorf("%d waiters have %d keys: want one each, and two", len(line), n)
		}
		for _, c := range line {
			c.die(fleet)
		}
		time.Sleep(placeLife)
		noQueue(t, fleet, "when the life of the last place is over")
	})
}

func TestNothingIsLeftOfWaitersThatGiveUpTheirPlaces(t *testing.T) {
	queuing(t, 3, func(t *testing.T, fleet *sim.Fleet) {
		fleet.Each(func(s *sim.Server) { s.Set("r", "another library's", time.Hour) })
		ctx, cancel := context.WithCancel(t.Context())
		var line []*contender
		for range 20 {
			c := newContender(t, fleet, config())
			c.stand(ctx)
			line = append(line, c)
		}
		last := newContender(t, fleet, config())
		last.stand(t.Context())
		time.Sleep(2 * time.Second)
		cancel()
		for _, c := range line {
			isAll(t, (<-c.result).err, context.Canceled)
		}
		time.Sleep(10 * time.Millisecond)
		synctest.Wait()
		if n := len(queueKeys(fleet)); n != 3 {
			t.Errorf("of one waiter there are %d keys: %q", n, queueKeys(fleet))
		}
		fleet.Each(func(s *sim.Server) { s.Del("r") })
		release(t, last.served(t, "the last", 0, 10*aHop))
		noQueue(t, fleet, "when nobody waits any more")
	})
}

// A waiter asks to be told of the bell before it. That one may have gone just before.
func TestWaiterWhoseForegoerLeavesBeforeItWatchesIsTheFirst(t *testing.T) {
	queuing(t, 1, func(t *testing.T, fleet *sim.Fleet) {
		const slow = 5 * time.Millisecond
		held := acquire(t, newContender(t, fleet, config()).Engine, "r")
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		before, c := newContender(t, fleet, config()), newContender(t, fleet, config())
		other := newContender(t, fleet, config()) // whose watching makes no difference, but that it has a connection for it
		before.stand(ctx)
		other.stand(ctx)
		time.Sleep(time.Second)
		c.result = acquiring(t.Context(), c.Engine, "r")
		time.Sleep(4 * aHop) // it is in the queue, and has not been told, or has just been
		fleet.Each(func(s *sim.Server) { s.Latency(slow, slow) })
		cancel()
		time.Sleep(8 * slow)
		release(t, held) // long before places are kept
		c.served(t, "the one behind", 0, 6*slow)
	})
}

// A bell that nobody hears costs one keeping, not a life.
func TestBellThatIsNotHeardCostsOneKeeping(t *testing.T) {
	for name, lose := range map[string]func(s *sim.Server, do func()){
		"the connections break": func(s *sim.Server, do func()) {
			s.Break()
			do()
		},
		"the word is lost": func(s *sim.Server, do func()) {
			s.LoseReplies(true)
			do()
			s.LoseReplies(false)
		},
	} {
		t.Run(name, func(t *testing.T) {
			queuing(t, 1, func(t *testing.T, fleet *sim.Fleet) {
				s := fleet.Servers[0]
				held := acquire(t, newContender(t, fleet, config()).Engine, "r")
				line := inLine(t, fleet, 3, config())
				time.Sleep(time.Second)
				release(t, held)
				held = line[0].served(t, "the first", 0, 10*aHop)
				time.Sleep(time.Second)
				lose(s, func() {
					_ = held.Release(t.Context())
					time.Sleep(2 * time.Millisecond)
				})
				// An instance may be taken for down until it is probed; and to those who are not told any more, all the same
				// has happened.
				anyServed(t, line[1:], "one of those who wait", -2*time.Millisecond, 2*keeping+timeout, keepIt)
			})
		})
	}
}

// One engine is one place, however many of its callers wait. Its turn is for those who stood in line when it began;
// who comes later, and who is not served in time, waits until the others have had theirs.
func TestTurnIsForThoseWhoStoodInLine(t *testing.T) {
	for _, c := range []struct {
		hold   time.Duration
		served string
	}{
		{time.Millisecond, "AAAAABA"},
		{4 * time.Millisecond, "AAABAAA"},
		{20 * time.Millisecond, "ABAAAAA"},
	} {
		for _, n := range []int{1, 3} {
			t.Run(fmt.Sprintf("held for %v, N=%d", c.hold, n), func(t *testing.T) {
				queuing(t, n, func(t *testing.T, fleet *sim.Fleet) {
					held := acquire(t, newContender(t, fleet, config()).Engine, "r")
					a, b := newContender(t, fleet, config()), newContender(t, fleet, config())
					var mu sync.Mutex
					var served strings.Builder
					var all sync.WaitGroup
					late := make(chan struct{})
					serve := func(name string, e *contender) {
						l, err := e.Acquire(t.Context(), "r")
						if err != nil {
							t.Errorf("acquire: %v", err)
							return
						}
						mu.Lock()
						if served.WriteString(name); served.Len() == 1 {
							close(late)
						}
						mu.Unlock()
						time.Sleep(c.hold)
						if err := l.Release(t.Context()); err != nil {
							t.Errorf("release: %v", err)
						}
					}
					for range 5 {
						all.Go(func() { serve("A", a) })
						time.Sleep(10 * time.Millisecond)
					}
					all.Go(func() { serve("B", b) })
					all.Go(func() {
						<-late // in the turn of the others
						serve("A", a)
					})
					time.Sleep(time.Second)
					release(t, held)
					all.Wait()
					if got := served.String(); got != c.served {
						t.Errorf("served were %s, want %s", got, c.served)
					}
					noQueue(t, fleet, "when all have been served")
				})
			})
		}
	}
}

// An engine that has had the resource for a turn without being refused looks whether others stand in the queue: a break would
// be too short for one that is slow to be told and to ask.
func TestWhoIsSlowToAskIsServedAmongThoseWhoAreFast(t *testing.T) {
	for _, n := range []int{1, 3} {
		t.Run(fmt.Sprintf("N=%d", n), func(t *testing.T) {
			queuing(t, n, func(t *testing.T, fleet *sim.Fleet) {
				busy, slow := newContender(t, fleet, config()), newContender(t, fleet, config())
				ctx, cancel := context.WithTimeout(t.Context(), 4*time.Second)
				defer cancel()
				var all sync.WaitGroup
				all.Go(func() { // it has a moment to read and to write only now and then
					for ctx.Err() == nil {
						slow.host.Freeze()
						time.Sleep(20 * time.Millisecond)
						slow.host.Resume()
						time.Sleep(aHop / 10)
					}
				})
				for range 2 {
					all.Go(func() { crowd(ctx, t, []*contender{busy}, time.Millisecond, 0) })
				}
				longest := crowd(ctx, t, []*contender{slow}, time.Millisecond, 10*time.Millisecond)
				all.Wait()
				between(t, "the longest wait", longest[0], 0, time.Second)
			})
		})
	}
}
