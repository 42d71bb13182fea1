package engine_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-go/holdfast/engine"
	"github.com/holdfast-go/holdfast/internal/sim"
	"github.com/holdfast-go/holdfast/internal/testkit"
	"github.com/holdfast-go/holdfast/lease"
)

// atOnce is when the holder knows, when all messages take one way: the word of it, what the key has now, and all are asked.
const atOnce = 5*oneWay + time.Millisecond

// holdWatched has a lease that is watched, between two renewals, where messages take their time.
func holdWatched(t *testing.T, test func(*testing.T, *sim.Fleet, *engine.Engine, *lease.Lease), opts ...engine.Option) {
	t.Helper()
	simulate(t, 3, config(), func(t *testing.T, fleet *sim.Fleet, e *engine.Engine) {
		fleet.Each(slowly)
		l := acquire(t, e, "r", append(opts, engine.WithWatch())...)
		time.Sleep(2*every + every/2)
		test(t, fleet, e, l)
	})
}

// hasEnded waits for the end of a lease, and fails the test when it does not come by itself.
func hasEnded(t *testing.T, l *lease.Lease) {
	t.Helper()
	select {
	case <-l.Done():
	case <-time.After(6 * every):
		t.Fatalf("%v has not ended", l)
	}
}

// calls counts the commands of that name that a server was sent.
func calls(s *sim.Server, name string) (n int) {
	for _, c := range s.Calls() {
		if strings.EqualFold(c.Args[0], name) {
			n++
		}
	}
	return n
}

func TestAWatchedLeaseEndsWhenAMajorityHasLostItsLock(t *testing.T) {
	for name, c := range map[string]struct {
		lose  func(*sim.Server)
		after time.Duration
		cause error
	}{
		"deleted":     {func(s *sim.Server) { s.Del("r") }, 0, lease.ErrGone},
		"flushed":     {(*sim.Server).Forget, 0, lease.ErrGone},
		"overwritten": {func(s *sim.Server) { s.Set("r", "somebody else", time.Hour) }, 0, lease.ErrStolen},
		// Nobody tells of an expiry here.
		"made to expire": {func(s *sim.Server) { s.Set("r", s.Get("r"), 100*time.Millisecond) }, 100 * time.Millisecond, lease.ErrGone},
		"restarted":      {(*sim.Server).Restart, 30 * time.Millisecond, lease.ErrGone}, // it is connected to anew
	} {
		for kind, opts := range map[string][]engine.Option{
			"renewed":  nil,
			"fixed":    {engine.WithoutRenewal()},
			"bounded":  {engine.WithMaxHold(30 * time.Second)},
			"fenced":   {engine.WithFencing()},
			"my token": {engine.WithToken("mine")},
		} {
			t.Run(name+", "+kind, func(t *testing.T) {
				holdWatched(t, func(t *testing.T, fleet *sim.Fleet, e *engine.Engine, l *lease.Lease) {
					begun := time.Now()
					for _, s := range fleet.Servers[1:] {
						c.lose(s)
					}
					hasEnded(t, l)
					between(t, "it took", time.Since(begun), 0, c.after+atOnce)
					if !errors.Is(l.Err(), c.cause) {
						t.Errorf("ended with %v", l.Err())
					}
					if lost := <-e.Lost(); lost != l {
						t.Errorf("lost %v", lost)
					}
				}, opts...)
			})
		}
	}
}

// An operator deletes the key on one server, and on the next one a second later. Had it been put back meanwhile, there
// would be no end to that.
func TestAWatchedLeaseEndsWhenItsLockIsDeletedOnOneServerAfterTheOther(t *testing.T) {
	for _, pause := range []time.Duration{0, time.Microsecond, oneWay, 2 * oneWay, 3 * oneWay, time.Second} {
		holdWatched(t, func(t *testing.T, fleet *sim.Fleet, _ *engine.Engine, l *lease.Lease) {
			fleet.Servers[2].Del("r")
			time.Sleep(pause)
			if l.Err() != nil {
				t.Errorf("one server has ended it: %v", l.Err())
			}
			begun := time.Now()
			fleet.Servers[0].Del("r")
			hasEnded(t, l)
			between(t, fmt.Sprintf("with a pause of %v it took", pause), time.Since(begun), 0, atOnce+2*oneWay)
		})
	}
}

// What one server of three has lost comes back with the next renewal, and is watched again.
func TestAWatchedLeaseOutlivesTheLossOnAMinority(t *testing.T) {
	for name, lose := range map[string]func(*sim.Server){
		"deleted":     func(s *sim.Server) { s.Del("r") },
		"overwritten": func(s *sim.Server) { s.Set("r", "somebody else", time.Second) },
		"restarted":   (*sim.Server).RestartWithMemory,
		"broken":      (*sim.Server).Break,
	} {
		t.Run(name, func(t *testing.T) {
			holdWatched(t, func(t *testing.T, fleet *sim.Fleet, _ *engine.Engine, l *lease.Lease) {
				lose(fleet.Servers[1])
				time.Sleep(2 * every)
				if n := fleet.Count("r", l.Token()); n != 3 || l.Err() != nil {
					t.Fatalf("%d servers have it, and it is %v", n, l)
				}
				fleet.Servers[0].Del("r")
				begun := time.Now()
				fleet.Servers[1].Del("r")
				hasEnded(t, l)
				between(t, "it took", time.Since(begun), 0, atOnce)
			})
		})
	}
}

// A renewal is a change, too. It costs one question a server, and nothing comes of it.
func TestRenewingAWatchedLeaseAsksOnce(t *testing.T) {
	holdWatched(t, func(t *testing.T, fleet *sim.Fleet, _ *engine.Engine, l *lease.Lease) {
		fleet.Each((*sim.Server).ForgetCalls)
		const renewals = 100
		time.Sleep(renewals * every)
		for _, s := range fleet.Servers {
			scripts, others := calls(s, "EVALSHA"), len(s.Calls())-calls(s, "EVALSHA")
			if scripts < renewals || scripts > renewals*17/16+1 || others != scripts {
				t.Errorf("%s: %d scripts for %d renewals, and %d questions", s.Name(), scripts, renewals, others)
			}
		}
		if l.Err() != nil {
			t.Errorf("it ended: %v", l.Err())
		}
	})
}

func TestALeaseThatIsNotWatchedOrHeldForAMomentAsksNothing(t *testing.T) {
	simulate(t, 3, config(), func(t *testing.T, fleet *sim.Fleet, e *engine.Engine) {
		held := acquire(t, e, "not watched")
		for range 100 {
			l := acquire(t, e, "r", engine.WithWatch())
			time.Sleep(10 * time.Millisecond)
			release(t, l)
		}
		time.Sleep(every)
		for _, s := range fleet.Servers {
			if n, asked := s.Connections(), calls(s, "PTTL")+calls(s, "GETRANGE"); n != 1 || asked != 0 {
				t.Errorf("%s: %d connections, %d questions", s.Name(), n, asked)
			}
		}
		release(t, held)
	})
}

// Somebody changes the key all the time. At a minority it costs some questions and no lease.
func TestAKeyThatChangesAllTheTimeIsAskedAboutNowAndThen(t *testing.T) {
	for name, change := range map[string]func(s *sim.Server, token string, n int){
		"its life": func(s *sim.Server, token string, n int) {
			s.Set("r", token, 5*time.Second+time.Duration(n%2)*time.Second)
		},
		"its value": func(s *sim.Server, token string, n int) { s.Set("r", fmt.Sprint("somebody ", n), time.Minute) },
		"both":      func(s *sim.Server, token string, n int) { s.Set("r", []string{token, "x"}[n%2], time.Minute) },
	} {
		t.Run(name, func(t *testing.T) {
			holdWatched(t, func(t *testing.T, fleet *sim.Fleet, _ *engine.Engine, l *lease.Lease) {
				fleet.Each((*sim.Server).ForgetCalls)
				const long = 4 * every
				for n := range int(long / (100 * time.Microsecond)) {
					change(fleet.Servers[1], l.Token(), n)
					time.Sleep(100 * time.Microsecond)
				}
				for _, s := range fleet.Servers {
					if n := len(s.Calls()); n > 100 { // in 12s: some 20 questions of two commands, as many checks, and the renewals
						t.Errorf("%s was sent %d commands", s.Name(), n)
					}
				}
				if l.Err() != nil {
					t.Errorf("it ended: %v", l.Err())
				}
				fleet.Servers[1].Set("r", l.Token(), time.Minute)
				time.Sleep(2 * every) // it is trusted again
				begun := time.Now()
				fleet.Each(func(s *sim.Server) { s.Del("r") })
				hasEnded(t, l)
				between(t, "afterwards it took", time.Since(begun), 0, atOnce)
			})
		})
	}
}

// What a watched lease may be part of. None of it is a loss.
func TestWhatTheHolderDoesItselfIsNoLoss(t *testing.T) {
	cfg := config()
	var checks int
	cfg.Trace = &engine.Trace{Checked: func(engine.CheckedInfo) { checks++ }}
	cfg.LocalHandoff = 8
	simulate(t, 3, cfg, func(t *testing.T, fleet *sim.Fleet, e *engine.Engine) {
		fleet.Each(slowly)
		other := start(t, fleet, config())
		watch := engine.WithWatch()
		for range 3 {
			l := acquire(t, e, "r", watch)
			time.Sleep(every / 2)
			if err := l.Extend(t.Context(), 20*time.Second); err != nil {
				t.Fatalf("extend: %v", err)
			}
			next := acquiring(t.Context(), e, "r", watch) // handed over as it is
			time.Sleep(every / 2)
			release(t, l)
			second := <-next
			if second.err != nil {
				t.Fatalf("acquire: %v", second.err)
			}
			elsewhere := acquiring(t.Context(), other, "r", watch)
			time.Sleep(every)
			release(t, second.lease)
			third := <-elsewhere
			if third.err != nil {
				t.Fatalf("acquire: %v", third.err)
			}
			time.Sleep(every)
			token := detach(t, third.lease)
			time.Sleep(every / 2)
			adopted, err := e.Adopt(t.Context(), "r", token, watch)
			if err != nil {
				t.Fatalf("adopt: %v", err)
			}
			time.Sleep(every)
			if err := adopted.Err(); err != nil {
				t.Errorf("adopted: %v", err)
			}
			release(t, adopted)
		}
		synctest.Wait()
		if lost := e.Snapshot(1).Lost + other.Snapshot(1).Lost; lost != 0 || checks != 0 {
			t.Errorf("%d leases were lost, %d checks", lost, checks)
		}
		l := acquire(t, e, "r", watch)
		time.Sleep(every)
		begun := time.Now()
		seen, err := e.Inspect(t.Context(), "r")
		if err == nil {
			err = e.ForceRelease(t.Context(), seen) // by the engine that holds it
		}
		hasEnded(t, l)
		if err != nil || !errors.Is(l.Err(), lease.ErrGone) || time.Since(begun) > time.Second/2 {
			t.Errorf("force release: %v, and after %v it ended with %v", err, time.Since(begun), l.Err())
		}
	})
}

// However a watched lease ends, nothing is left of its watch: else its connection would stay.
func TestNothingStaysOfWatchedLeasesThatEnd(t *testing.T) {
	cfg := config()
	cfg.LocalHandoff = 4
	simulate(t, 3, cfg, func(t *testing.T, fleet *sim.Fleet, e *engine.Engine) {
		ends := []func(name string, l *lease.Lease){
			func(_ string, l *lease.Lease) { release(t, l) },
			func(_ string, l *lease.Lease) { detach(t, l) },
			func(name string, l *lease.Lease) { fleet.Each(func(s *sim.Server) { s.Del(name) }); hasEnded(t, l) },
			func(name string, l *lease.Lease) {
				adopted, err := e.Adopt(t.Context(), name, detach(t, l), engine.WithWatch())
				if err != nil {
					t.Errorf("adopt: %v", err)
					return
				}
				release(t, adopted)
			},
			func(name string, l *lease.Lease) { // while the former holder has it
				next := acquiring(t.Context(), e, name, engine.WithWatch())
				synctest.Wait()
				release(t, l)
				release(t, (<-next).lease)
			},
		}
		const cycles = 200
		for n := range cycles {
			name := fmt.Sprint("r", n)
			l := acquire(t, e, name, engine.WithWatch(), engine.WithTTL(time.Second))
			if n/len(ends)%2 == 0 {
				time.Sleep(25 * time.Millisecond) // it is being watched
			}
			ends[n%len(ends)](name, l)
		}
		expired := acquire(t, e, "expired", engine.WithWatch(), engine.WithoutRenewal())
		hasEnded(t, expired)
		time.Sleep(3 * time.Second)
		synctest.Wait()
		for _, s := range fleet.Servers {
			if n := s.Connections(); n != 1 {
				t.Errorf("%s has %d connections when nothing is held", s.Name(), n)
			}
		}
		acquire(t, e, "held when the engine closes", engine.WithWatch())
		time.Sleep(time.Second)
		if err := e.Close(context.Background()); err != nil {
			t.Errorf("close: %v", err)
		}
	})
}

func TestACheckOfAWatchedLeaseIsTold(t *testing.T) {
	cfg := config()
	var told []engine.CheckedInfo
	cfg.Trace = &engine.Trace{Checked: func(c engine.CheckedInfo) { told = append(told, c) }}
	simulate(t, 3, cfg, func(t *testing.T, fleet *sim.Fleet, e *engine.Engine) {
		fleet.Each(slowly)
		l := acquire(t, e, "r", engine.WithWatch())
		time.Sleep(time.Second)
		fleet.Servers[0].Del("r")
		time.Sleep(10 * time.Millisecond)
		fleet.Servers[1].Del("r")
		hasEnded(t, l)
		synctest.Wait()
		want := []engine.CheckedInfo{{Lease: l, Took: 2 * oneWay}, {Lease: l, Took: 2 * oneWay, Lost: true}}
		if !slices.Equal(told, want) {
			t.Errorf("told %+v, want %+v", told, want)
		}
	})
}

// A slot moves, or its master dies, and the new node tells.
func TestALeaseIsWatchedWhereItsSlotHasGone(t *testing.T) {
	for name, leave := range map[string]func(*sim.Cluster) bool{
		"it stays": func(*sim.Cluster) bool { return true },
		"it moves": func(c *sim.Cluster) bool {
			mv := c.BeginMove("r", c.Nodes[(slices.Index(c.Nodes, c.Owner("r"))+1)%3])
			time.Sleep(time.Second)
			return mv.End(100 * time.Millisecond)
		},
		"its master dies": func(c *sim.Cluster) bool {
			return c.Failover("r", 300*time.Millisecond, func(string) bool { return true })
		},
	} {
		t.Run(name, func(t *testing.T) {
			testkit.Simulate(t, func(t *testing.T) {
				fleet := sim.New(t, 0)
				cluster := fleet.AddCluster(3, 1)
				e := start(t, fleet, config())
				time.Sleep(time.Second)
				l := acquire(t, e, "r", engine.WithWatch())
				time.Sleep(time.Second)
				before := cluster.Owner("r")
				if !leave(cluster) {
					t.Fatal("it cannot leave")
				}
				if moved := cluster.Owner("r") != before; moved == (name == "it stays") {
					t.Fatalf("it has moved: %v", moved)
				}
				time.Sleep(2 * every) // so that a renewal has followed
				if l.Err() != nil {
					t.Fatalf("the lease has ended: %v", l.Err())
				}
				begun := time.Now()
				cluster.Owner("r").Del("r")
				hasEnded(t, l)
				between(t, "it took", time.Since(begun), 0, 10*time.Millisecond)
			})
		})
	}
}

// Sentinels make another server the master, which tells from then on, whether the old one dies or is only left.
func TestALeaseIsWatchedAtTheMasterThatSentinelsName(t *testing.T) {
	for name, lives := range map[string]bool{"the old one dies": false, "the old one lives": true} {
		t.Run(name, func(t *testing.T) {
			testkit.Simulate(t, func(t *testing.T) {
				fleet := sim.New(t, 0)
				pair := fleet.AddPair()
				e := start(t, fleet, config())
				time.Sleep(time.Second)
				l := acquire(t, e, "r", engine.WithWatch())
				time.Sleep(time.Second)
				if !pair.Failover(sim.Failover{Noticed: 300 * time.Millisecond, Lives: lives}) {
					t.Fatal("there was no failover")
				}
				time.Sleep(2 * every)
				if l.Err() != nil || pair.Nodes[1].Get("r") == "" {
					t.Fatalf("the lease has ended: %v", l.Err())
				}
				begun := time.Now()
				pair.Nodes[1].Del("r")
				hasEnded(t, l)
				between(t, "it took", time.Since(begun), 0, 10*time.Millisecond)
			})
		})
	}
}
