package engine_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-go/holdfast/engine"
	"github.com/holdfast-go/holdfast/instance"
	"github.com/holdfast-go/holdfast/internal/enginetest"
	"github.com/holdfast-go/holdfast/internal/redistest"
	"github.com/holdfast-go/holdfast/internal/sim"
	"github.com/holdfast-go/holdfast/internal/testkit"
	"github.com/holdfast-go/holdfast/lease"
)

// resourcesNamed returns n different names.
func resourcesNamed(n int) (names []string) {
	for k := range n {
		names = append(names, fmt.Sprintf("r%d", k))
	}
	return names
}

// tryEach fails the test when there are no results.
func tryEach(t *testing.T, e *engine.Engine, resources []string, opts ...engine.Option) []engine.Each {
	t.Helper()
	results, err := e.TryAcquireEach(t.Context(), resources, opts...)
	if err != nil {
		t.Fatalf("TryAcquireEach: %v", err)
	}
	if len(results) != len(resources) {
		t.Fatalf("%d results for %d resources", len(results), len(resources))
	}
	for k, one := range results {
		if one.Resource != resources[k] || (one.Lease == nil) == (one.Err == nil) || one.Lease != nil && one.Lease.Resource() != resources[k] {
			t.Fatalf("results[%d] is of %q, with the lease %v and the error %v: want %q, and one of them", k, one.Resource, one.Lease, one.Err, resources[k])
		}
	}
	return results
}

// leasesOf are those that were granted.
func leasesOf(results []engine.Each) (leases []*lease.Lease) {
	for _, one := range results {
		if one.Lease != nil {
			leases = append(leases, one.Lease)
		}
	}
	return leases
}

// allGranted fails the test when anything was not.
func allGranted(t *testing.T, results []engine.Each) []*lease.Lease {
	t.Helper()
	for _, one := range results {
		if one.Err != nil {
			t.Fatalf("not granted: %v", one.Err)
		}
		if !one.Lease.Valid() {
			t.Fatalf("granted, and not valid: %v", one.Lease)
		}
	}
	return leasesOf(results)
}

// simulateMany is simulate on servers that answer many questions in little time.
func simulateMany(t *testing.T, n int, cfg engine.Config, test func(*testing.T, *sim.Fleet, *engine.Engine)) {
	t.Helper()
	testkit.Simulate(t, func(t *testing.T) {
		fleet := sim.NewNative(t, n)
		test(t, fleet, start(t, fleet, cfg))
	})
}

func releaseEach(t *testing.T, e *engine.Engine, leases []*lease.Lease) {
	t.Helper()
	for k, err := range e.ReleaseEach(t.Context(), leases) {
		if err != nil {
			t.Fatalf("release of leases[%d]: %v", k, err)
		}
	}
	for _, l := range leases {
		if !errors.Is(l.Err(), lease.ErrReleased) {
			t.Fatalf("after its release: %v", l)
		}
	}
}

// allEmpty fails the test when any server has a key that is no fence.
func allEmpty(t *testing.T, fleet *sim.Fleet) {
	t.Helper()
	synctest.Wait()
	for _, s := range fleet.Servers {
		for _, key := range s.Keys() {
			if !strings.HasPrefix(key, "fence") {
				t.Errorf("%s has the key %q", s.Name(), key)
			}
		}
	}
}

func TestEachOfManyIsLeasedByItselfAndWhoHoldsTheOthersIsTold(t *testing.T) {
	for _, n := range []int{1, 3} {
		for _, fenced := range []bool{false, true} {
			t.Run(fmt.Sprintf("N=%d, fenced %v", n, fenced), func(t *testing.T) {
				simulateMany(t, n, config(), func(t *testing.T, fleet *sim.Fleet, e *engine.Engine) {
					var opts []engine.Option
					if fenced {
						opts = append(opts, engine.WithFencing())
					}
					other := start(t, fleet, config())
					held := map[int]*lease.Lease{}
					for _, k := range []int{0, 255, 256, 599} {
						held[k] = acquire(t, other, fmt.Sprintf("r%d", k), opts...)
					}
					mine := acquire(t, e, "r7", opts...)
					held[7] = mine
					results := tryEach(t, e, resourcesNamed(600), opts...)
					for k, one := range results {
						holder := held[k]
						if holder == nil {
							if one.Err != nil || !one.Lease.Valid() || fleet.Count(one.Resource, one.Lease.Token()) < n/2+1 || fenced != (one.Lease.Fence() > 0) {
								t.Fatalf("%q is free, and: %v, %v", one.Resource, one.Lease, one.Err)
							}
							continue
						}
						isAll(t, one.Err, engine.ErrHeld)
						var q *engine.QuorumError
						says := func(v instance.Vote) bool { return v.Holder == holder.Token() }
						if !asQuorumError(one.Err, &q) || q.Resource != one.Resource || !slices.ContainsFunc(q.Votes, says) {
							t.Errorf("it does not say who holds it: %v", one.Err)
						}
					}
					if !strings.Contains(results[7].Err.Error(), "held by this engine itself") {
						t.Errorf("our own lease is in the way, and the error says: %v", results[7].Err)
					}
					time.Sleep(3 * ttl) // they are renewed
					leases := leasesOf(results)
					for _, l := range leases {
						if !l.Valid() {
							t.Fatalf("after three times the TTL: %v", l)
						}
					}
					releaseEach(t, e, leases)
					releaseEach(t, e, leases) // as releasing twice
					for k, l := range held {
						if k != 7 {
							release(t, l)
						}
					}
					releaseEach(t, e, []*lease.Lease{mine})
					allEmpty(t, fleet)
				})
			})
		}
	}
}

func TestBadInputOfEachIsNamedByIndex(t *testing.T) {
	simulateMany(t, 1, config(), func(t *testing.T, fleet *sim.Fleet, e *engine.Engine) {
		for _, c := range []struct {
			resources []string
			opts      []engine.Option
			want      []string
		}{
			{nil, nil, []string{"no resources: name 1 to 10000"}},
			{resourcesNamed(10_001), nil, []string{"10001 resources: at most 10000"}},
			{[]string{"a", "", "b", "a", "b"}, nil, []string{"resources[1]: the resource is empty", `resources[3] is "a", as resources[0] is`, `resources[4] is "b", as resources[2] is`}},
			{[]string{"a", strings.Repeat("x", 1025)}, nil, []string{"resources[1]: the resource's name has 1025 bytes"}},
			{[]string{"fences:1"}, nil, []string{"resources[0]:"}},
			{[]string{"a"}, []engine.Option{engine.WithTTL(-1)}, []string{"WithTTL is -1ns"}},
		} {
			results, err := e.TryAcquireEach(t.Context(), c.resources, c.opts...)
			if err == nil || results != nil {
				t.Errorf("%d resources are accepted", len(c.resources))
				continue
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("the error does not say %q: %v", want, err)
				}
			}
		}
		other := start(t, fleet, config())
		foreign, ours := acquire(t, other, "theirs"), acquire(t, e, "ours")
		errs := e.ReleaseEach(t.Context(), []*lease.Lease{nil, ours, foreign, new(lease.Lease)})
		for k, want := range []string{"leases[0]", "", "leases[2]", "leases[3]"} {
			if want == "" && errs[k] != nil || want != "" && (errs[k] == nil || !strings.Contains(errs[k].Error(), want)) {
				t.Errorf("errs[%d] is %v", k, errs[k])
			}
		}
		if !foreign.Valid() || ours.Valid() {
			t.Errorf("another engine's lease is %v, and ours is %v", foreign, ours)
		}
		if errs := e.ReleaseEach(t.Context(), nil); errs != nil {
			t.Errorf("a release of nothing: %v", errs)
		}
	})
}

// A number that is too low is proposed anew, higher, by those that it concerns.
func TestEachWithFencingExceedsWhatServersHaveSeen(t *testing.T) {
	simulateMany(t, 3, config(), func(t *testing.T, fleet *sim.Fleet, e *engine.Engine) {
		high := uint64(time.Now().Add(10 * time.Second).UnixMicro())
		fleet.Each(func(s *sim.Server) {
			for _, k := range []int{3, 299} {
				s.SetFence("", fmt.Sprintf("r%d", k), high)
			}
		})
		leases := allGranted(t, tryEach(t, e, resourcesNamed(300), engine.WithFencing()))
		for k, l := range leases {
			if above := l.Fence() > high; l.Fence() == 0 || above != (k == 3 || k == 299) {
				t.Errorf("%q has the fence %d, and the servers have seen %d of two others", l.Resource(), l.Fence(), high)
			}
		}
		releaseEach(t, e, leases)
		for k, l := range allGranted(t, tryEach(t, e, resourcesNamed(300), engine.WithFencing())) {
			if l.Fence() <= leases[k].Fence() {
				t.Errorf("%q: the fence is %d, and it was %d before", l.Resource(), l.Fence(), leases[k].Fence())
			}
		}
	})
}

func TestEachNeedsNoMoreThanAQuorum(t *testing.T) {
	simulateMany(t, 3, config(), func(t *testing.T, fleet *sim.Fleet, e *engine.Engine) {
		last := fleet.Servers[2]
		last.Hang()
		asked := time.Now()
		leases := allGranted(t, tryEach(t, e, resourcesNamed(700)))
		between(t, "with one that hangs", time.Since(asked), 0, 0)
		releaseEach(t, e, leases)
		between(t, "and with the release", time.Since(asked), 0, 0)
		time.Sleep(100 * time.Millisecond)
		last.Thaw()
		time.Sleep(2 * time.Second)
		allEmpty(t, fleet)

		fleet.Servers[0].Cut()
		last.Cut()
		for _, one := range tryEach(t, e, resourcesNamed(700)) {
			isAll(t, one.Err, engine.ErrNoQuorum)
			isNone(t, one.Err, engine.ErrHeld)
		}
		allEmpty(t, fleet)
	})
}

func TestEachThatIsBrokenOffLeavesNothing(t *testing.T) {
	for _, fenced := range []bool{false, true} {
		for name, c := range map[string]struct {
			breakOff func(*engine.Engine, context.CancelFunc)
			want     error
		}{
			"cancelled": {func(_ *engine.Engine, cancel context.CancelFunc) { cancel() }, context.Canceled},
			"closed":    {func(e *engine.Engine, _ context.CancelFunc) { _ = e.Close(context.Background()) }, engine.ErrClosed},
		} {
			for _, after := range []time.Duration{5, 15, 25} {
				t.Run(fmt.Sprintf("%s after %d ms, fenced %v", name, after, fenced), func(t *testing.T) {
					simulateMany(t, 3, config(), func(t *testing.T, fleet *sim.Fleet, e *engine.Engine) {
						fleet.Each(func(s *sim.Server) { s.Latency(5*time.Millisecond, 5*time.Millisecond) })
						ctx, cancel := context.WithCancel(t.Context())
						defer cancel()
						time.AfterFunc(after*time.Millisecond, func() { c.breakOff(e, cancel) })
						var opts []engine.Option
						if fenced {
							opts = append(opts, engine.WithFencing())
						}
						results, err := e.TryAcquireEach(ctx, resourcesNamed(1500), opts...)
						isAll(t, err, c.want)
						if results != nil {
							t.Errorf("there are %d results", len(results))
						}
						time.Sleep(time.Second)
						if held := e.Leases(); len(held) > 0 {
							t.Errorf("the engine holds %d leases, such as %v", len(held), held[0])
						}
						allEmpty(t, fleet)
					})
				})
			}
		}
	}
}

// What was sent on a connection that broke is asked again, each by itself, and counts once.
func TestEachOutlivesAConnection(t *testing.T) {
	for _, lose := range []bool{false, true} {
		for _, fenced := range []bool{false, true} {
			t.Run(fmt.Sprintf("replies lost %v, fenced %v", lose, fenced), func(t *testing.T) {
				simulateMany(t, 1, config(), func(t *testing.T, fleet *sim.Fleet, e *engine.Engine) {
					s := fleet.Servers[0]
					s.Latency(5*time.Millisecond, 5*time.Millisecond)
					s.LoseReplies(lose)
					time.AfterFunc(8*time.Millisecond, func() {
						s.Break()
						s.LoseReplies(false)
					})
					var opts []engine.Option
					if fenced {
						opts = append(opts, engine.WithFencing())
					}
					leases := allGranted(t, tryEach(t, e, resourcesNamed(500), opts...))
					for _, l := range leases {
						if s.Get(l.Resource()) != l.Token() {
							t.Fatalf("%v: the server has another token", l)
						}
					}
					releaseEach(t, e, leases)
					allEmpty(t, fleet)
				})
			})
		}
	}
}

func TestEachIsRefusedByAServerThatMayHaveForgotten(t *testing.T) {
	simulateMany(t, 1, config(), func(t *testing.T, fleet *sim.Fleet, e *engine.Engine) {
		releaseEach(t, e, allGranted(t, tryEach(t, e, resourcesNamed(3))))
		fleet.Servers[0].Restart()
		time.Sleep(time.Second)
		for _, one := range tryEach(t, e, resourcesNamed(3)) {
			var q *engine.QuorumError
			if !asQuorumError(one.Err, &q) || q.Votes[0].Kind != instance.InQuarantine {
				t.Errorf("after a restart: %v", one.Err)
			}
		}
		time.Sleep(2 * time.Minute)
		releaseEach(t, e, allGranted(t, tryEach(t, e, resourcesNamed(3))))
	})
}

func TestEachInClusters(t *testing.T) {
	for _, fenced := range []bool{false, true} {
		t.Run(fmt.Sprintf("fenced %v", fenced), func(t *testing.T) {
			testkit.Simulate(t, func(t *testing.T) {
				fleet := sim.NewNative(t, 2)
				fleet.AddCluster(3, 0)
				e := start(t, fleet, config())
				time.Sleep(time.Second)
				var opts []engine.Option
				if fenced {
					opts = append(opts, engine.WithFencing())
				}
				fleet.Servers[0].Cut() // so that the cluster's vote is needed
				time.Sleep(time.Second)
				held := acquire(t, e, "r5", opts...)
				results := tryEach(t, e, resourcesNamed(400), opts...)
				isAll(t, results[5].Err, engine.ErrHeld)
				leases := leasesOf(results)
				if len(leases) != 399 {
					t.Errorf("%d leases, want 399", len(leases))
				}
				releaseEach(t, e, append(leases, held))
				allEmpty(t, fleet)
			})
		})
	}
}

// A token of the user's own is that of each of them.
func TestEachWithATokenOfTheUsersOwn(t *testing.T) {
	simulateMany(t, 3, config(), func(t *testing.T, fleet *sim.Fleet, e *engine.Engine) {
		mine := engine.WithToken("mine")
		first := acquire(t, e, "r1", mine)
		results := tryEach(t, e, resourcesNamed(3), mine)
		isAll(t, results[1].Err, engine.ErrHeld)
		for _, l := range leasesOf(results) {
			if l.Token() != "mine" {
				t.Errorf("%q has the token %q", l.Resource(), l.Token())
			}
		}
		if n := len(leasesOf(results)); n != 2 {
			t.Errorf("%d leases, want 2", n)
		}
		releaseEach(t, e, append(leasesOf(results), first))
		allEmpty(t, fleet)
	})
}

// Who waits here for one of the leases has it next.
func TestReleaseEachServesThoseWhoWait(t *testing.T) {
	for _, handoff := range []int{0, 16} {
		t.Run(fmt.Sprintf("LocalHandoff %d", handoff), func(t *testing.T) {
			cfg := config()
			cfg.LocalHandoff, cfg.Backoff = handoff, never
			simulateMany(t, 3, cfg, func(t *testing.T, fleet *sim.Fleet, e *engine.Engine) {
				leases := allGranted(t, tryEach(t, e, resourcesNamed(600)))
				isAll(t, tryEach(t, e, []string{"r300"})[0].Err, engine.ErrHeld)
				waits := acquiring(t.Context(), e, "r300")
				pending(t, waits)
				releaseEach(t, e, leases)
				next := got(t, waits)
				if next.err != nil {
					t.Fatalf("who waited: %v", next.err)
				}
				releaseEach(t, e, []*lease.Lease{next.lease})
				allEmpty(t, fleet)
			})
		})
	}
}

func TestReleaseEachSaysWhichCouldNotBeConfirmed(t *testing.T) {
	simulateMany(t, 3, config(), func(t *testing.T, fleet *sim.Fleet, e *engine.Engine) {
		leases := allGranted(t, tryEach(t, e, resourcesNamed(300), engine.WithoutRenewal()))
		lost := leases[17]
		fleet.Each(func(s *sim.Server) { s.Forget() })
		time.Sleep(time.Second)
		if err := lost.Extend(t.Context(), 0); !errors.Is(err, lease.ErrGone) {
			t.Fatalf("a lease whose keys are gone: %v", err)
		}
		for k, err := range e.ReleaseEach(t.Context(), leases) {
			if k == 17 {
				isAll(t, err, lease.ErrGone)
			} else if err != nil {
				t.Errorf("leases[%d]: %v", k, err)
			}
		}

		leases = allGranted(t, tryEach(t, e, resourcesNamed(300)))
		sim.Each(fleet.Servers[:2], (*sim.Server).Cut)
		errs := e.ReleaseEach(t.Context(), leases)
		if len(errs) != len(leases) {
			t.Fatalf("%d errors of %d leases", len(errs), len(leases))
		}
		for _, err := range errs {
			isAll(t, err, engine.ErrNoQuorum)
		}
		sim.Each(fleet.Servers[:2], (*sim.Server).Mend)
		time.Sleep(ttl / 2)
		allEmpty(t, fleet) // they were owed
	})
}

func TestTraceTellsOfEachOnce(t *testing.T) {
	var mu sync.Mutex
	var told []engine.EachInfo
	cfg := config()
	cfg.Trace = engine.JoinTraces(&engine.Trace{
		Each: func(_ context.Context, i engine.EachInfo) {
			mu.Lock()
			defer mu.Unlock()
			told = append(told, i)
		},
		Acquired: func(context.Context, engine.AcquiredInfo) { t.Error("Acquired was called") },
		Round:    func(engine.RoundInfo) { t.Error("Round was called") },
	}, nil)
	simulateMany(t, 3, cfg, func(t *testing.T, _ *sim.Fleet, e *engine.Engine) {
		leases := allGranted(t, tryEach(t, e, resourcesNamed(300)))
		tryEach(t, e, resourcesNamed(301))
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := e.TryAcquireEach(ctx, resourcesNamed(5))
		isAll(t, err, context.Canceled)
		mu.Lock()
		defer mu.Unlock()
		if len(told) != 3 || told[0].Granted() != 300 || told[1].Granted() != 1 || told[1].Resources != 301 || told[2].Err == nil || told[2].Resources != 5 {
			t.Errorf("told %d times", len(told))
		}
		releaseEach(t, e, leases)
	})
}

// Engines that claim the same batches, and one server that hangs: nobody has what another has, and nothing is left behind.
func TestEachOnRealServersIsExclusive(t *testing.T) {
	t.Parallel()
	servers := redistest.StartN(t, 3)
	var holders [600]struct {
		sync.Mutex
		lease *lease.Lease
	}
	var wg sync.WaitGroup
	names := resourcesNamed(len(holders))
	for range 3 {
		e := open(t, servers, engine.Config{})
		for range 2 {
			wg.Go(func() {
				for range 8 {
					results, err := e.TryAcquireEach(within(t), names)
					if err != nil {
						t.Errorf("TryAcquireEach: %v", err)
						return
					}
					for k, one := range results {
						switch {
						case one.Err != nil:
							if !errors.Is(one.Err, engine.ErrHeld) && !errors.Is(one.Err, engine.ErrNoQuorum) {
								t.Errorf("%v", one.Err)
							}
						default:
							h := &holders[k]
							h.Lock()
							if h.lease != nil && h.lease.Valid() {
								t.Errorf("%v beside %v", h.lease, one.Lease)
							}
							h.lease = one.Lease
							h.Unlock()
						}
					}
					for _, err := range e.ReleaseEach(within(t), leasesOf(results)) {
						if err != nil {
							t.Errorf("%v", err)
						}
					}
				}
			})
		}
	}
	time.Sleep(50 * time.Millisecond)
	servers[1].Pause()
	time.Sleep(50 * time.Millisecond)
	servers[1].Resume()
	wg.Wait()
	for _, name := range []string{names[0], names[299], names[599]} {
		clean(t, servers, name)
	}
}

func TestEachOfTenThousandOnARealServer(t *testing.T) {
	t.Parallel()
	servers := redistest.StartN(t, 1)
	slow := instance.Config{Timeout: 5 * time.Second} // a part of so many may be that late where the machine is busy
	e := enginetest.New(t, engine.Config{KeyPrefix: "app:"}, enginetest.Dial(t, servers[0].URL(), slow))
	names := resourcesNamed(engine.MaxEach)
	leases := allGranted(t, tryEach(t, e, names))
	if n := len(servers[0].Keys()); n != len(names) {
		t.Errorf("the server has %d keys, want %d", n, len(names))
	}
	releaseEach(t, e, leases)
	if keys := servers[0].Keys(); len(keys) > 0 {
		t.Errorf("the server has %d keys", len(keys))
	}
}
