package engine_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/holdfast-go/holdfast/engine"
	"github.com/holdfast-go/holdfast/internal/enginetest"
	"github.com/holdfast-go/holdfast/internal/redistest"
	"github.com/holdfast-go/holdfast/internal/testkit"
	"github.com/holdfast-go/holdfast/lease"
)

// places returns how many places the queue for r has.
func places(servers []*redistest.Server) (n int64) {
	for _, s := range servers {
		n += s.MustDo("ZCARD", "queue:{r}").(int64)
	}
	return n
}

// queueKeysAt returns the keys of queues that the servers have.
func queueKeysAt(servers []*redistest.Server) (keys []string) {
	for _, s := range servers {
		for _, key := range s.Keys() {
			if strings.HasPrefix(key, "queue") {
				keys = append(keys, key)
			}
		}
	}
	return keys
}

func TestProcessesAreServedInTheOrderOfTheirComing(t *testing.T) {
	for _, n := range []int{1, 3} {
		t.Run(fmt.Sprintf("N=%d", n), func(t *testing.T) {
			servers := redistest.StartN(t, n)
			const engines = 20
			held := acquire(t, open(t, servers, engine.Config{}), "r")
			var mu sync.Mutex
			var served []int
			var all sync.WaitGroup
			for k := range engines {
				e := open(t, servers, engine.Config{})
				all.Go(func() {
					l, err := e.Acquire(within(t), "r")
					if err != nil {
						t.Errorf("engine %d: %v", k, err)
						return
					}
					mu.Lock()
					served = append(served, k)
					mu.Unlock()
					if err := l.Release(within(t)); err != nil {
						t.Errorf("release by engine %d: %v", k, err)
					}
				})
				eventually(t, fmt.Sprintf("engine %d has its place", k), func() bool { return places(servers) == int64(k+1) })
			}
			release(t, held)
			all.Wait()
			for k, who := range served {
				if who != k {
					t.Fatalf("they were served in the order %v", served)
				}
			}
			eventually(t, "no queue is left", func() bool { return len(queueKeysAt(servers)) == 0 })
		})
	}
}

// Each of them keeps its place twice a second, so that a machine that is too slow for their number never sees all of them at once.
func TestNoQueueIsLeftOfThousandsOfWaiters(t *testing.T) {
	const waiters = 2500
	servers := redistest.StartN(t, 1)
	e := open(t, servers, engine.Config{InstanceTimeout: 10 * time.Second})
	args := []string{"MSET"}
	for k := range waiters {
		args = append(args, fmt.Sprint("r", k), "another library's")
	}
	servers[0].MustDo(args...)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var all sync.WaitGroup
	for k := range waiters {
		all.Go(func() {
			if _, err := e.Acquire(ctx, fmt.Sprint("r", k)); !errors.Is(err, context.Canceled) {
				t.Errorf("waiter %d: %v", k, err)
			}
		})
	}
	keys := func() int64 { return servers[0].MustDo("DBSIZE").(int64) }
	eventually(t, "all have their places", func() bool { return keys() == 4*waiters })
	cancel()
	all.Wait()
	eventually(t, "nothing is left but the locks", func() bool { return keys() == waiters })
}

// The tries of an acquire come to their end, however often the lock changes hands meanwhile.
func TestTriesEndThoughProcessesHandTheLockOnAllTheTime(t *testing.T) {
	for _, n := range []int{1, 3} {
		t.Run(fmt.Sprintf("N=%d", n), func(t *testing.T) {
			servers := redistest.StartN(t, n)
			e := open(t, servers, engine.Config{Backoff: constantly(50 * time.Millisecond)})
			over := make(chan struct{})
			var others sync.WaitGroup
			for _, s := range servers {
				s.MustDo("SET", "r", "another library's")
				others.Go(func() {
					for k := 0; ; k++ {
						select {
						case <-over:
							return
						case <-time.After(2 * time.Millisecond):
							s.MustDo("SET", "r", fmt.Sprint("another library's ", k))
						}
					}
				})
			}
			_, err := e.Acquire(within(t), "r", engine.WithTries(4))
			close(over)
			others.Wait()
			isAll(t, err, engine.ErrHeld)
			isNone(t, err, context.DeadlineExceeded)
		})
	}
}

// A place ends as soon after it was last kept, whoever stands or has stood before it.
func TestPlacesEndTogether(t *testing.T) {
	servers := redistest.StartN(t, 1)
	s := servers[0]
	acquire(t, open(t, servers, engine.Config{}), "r")
	for k := range 50 {
		e := open(t, servers, engine.Config{})
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go func() { _, _ = e.Acquire(ctx, "r") }()
		eventually(t, fmt.Sprintf("engine %d has its place", k), func() bool { return places(servers) == int64(k+1) })
	}
	// The set of when they end is as old as the last of them.
	latest := s.MustDo("EVAL", "return redis.call('ZRANGE', KEYS[1], -1, -1, 'WITHSCORES')[2] - redis.call('TIME')[1] * 1000", "1", "queue-lives:{r}")
	if left := time.Duration(latest.(int64)) * time.Millisecond; left > placeLife+time.Second { // whole seconds of the clock
		t.Errorf("a place lives for another %v: want %v at most", left, placeLife)
	}
	for _, key := range queueKeysAt(servers) {
		if left := s.PTTL(key); left > placeLife {
			t.Errorf("%s lives for another %v: want %v at most", key, left, placeLife)
		}
	}
}

// standing has an engine wait for r until leave is called, and waits until it has its place, the only one.
func standing(t *testing.T, servers []*redistest.Server) (leave func()) {
	t.Helper()
	e := open(t, servers, engine.Config{})
	ctx, cancel := context.WithCancel(t.Context())
	go func() { _, _ = e.Acquire(ctx, "r") }()
	eventually(t, "it has its place", func() bool { return places(servers) == 1 })
	return cancel
}

// Whoever keeps a place takes out those that have ended, wherever they stand.
func TestPlacesThatHaveEndedAreTakenOut(t *testing.T) {
	servers := redistest.StartN(t, 1)
	acquire(t, open(t, servers, engine.Config{}), "r")
	defer standing(t, servers)()
	for k := range 50 {
		dead := fmt.Sprint("dead", k)
		servers[0].MustDo("ZADD", "queue:{r}", fmt.Sprint(k), dead)
		servers[0].MustDo("ZADD", "queue-lives:{r}", "1", dead)
	}
	for end := time.Now().Add(placeLife); places(servers) > 1; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("there are %d places: want the one that is kept", places(servers))
		}
	}
}

// A place that nobody keeps ends, although its end has been lost, or is far off since the clock was stepped back: who has
// stood behind it for long sees to that. Else it would stay for as long as anybody waits.
func TestPlacesWhoseEndIsLostEndAllTheSame(t *testing.T) {
	hence := fmt.Sprint(time.Now().Add(time.Hour).UnixMilli())
	for name, ends := range map[string]string{"lost": "", "an hour off": hence} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			servers := redistest.StartN(t, 1)
			s := servers[0]
			acquire(t, open(t, servers, engine.Config{}), "r")
			defer standing(t, servers)()
			place := s.MustDo("ZRANGE", "queue:{r}", "0", "-1").([]any)[0].(string)
			s.MustDo("ZADD", "queue:{r}", "1", "dead", "2", place) // both have stood there for long
			if ends != "" {
				s.MustDo("ZADD", "queue-lives:{r}", ends, "dead")
			}
			hasEnd := func() bool {
				end, _ := s.MustDo("ZSCORE", "queue-lives:{r}", "dead").(string)
				at, err := strconv.ParseInt(end, 10, 64)
				return err == nil && at <= time.Now().Add(placeLife).UnixMilli()
			}
			for end := time.Now().Add(2 * placeLife); !hasEnd(); time.Sleep(10 * time.Millisecond) {
				if time.Now().After(end) {
					t.Fatal("the dead one has no end")
				}
			}
		})
	}
}

// Who gives up its place does so although the ends of the places have been overwritten.
func TestWhoLeavesASpoiltQueueLeavesItAllTheSame(t *testing.T) {
	servers := redistest.StartN(t, 1)
	acquire(t, open(t, servers, engine.Config{}), "r")
	leave := standing(t, servers)
	servers[0].MustDo("SET", "queue-lives:{r}", "something else")
	leave()
	for end := time.Now().Add(placeLife / 3); places(servers) > 0; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("its place is still there")
		}
	}
}

// A queue whose keys hold something else costs nobody else a place, and its own waiters are served all the same.
func TestASpoiltQueueIsNobodyElsesTrouble(t *testing.T) {
	for _, spoilt := range []string{"queue:{r}", "queue-lives:{r}"} {
		t.Run(spoilt, func(t *testing.T) {
			servers := redistest.StartN(t, 1)
			e, other := open(t, servers, engine.Config{}), open(t, servers, engine.Config{})
			held := acquire(t, other, "r")
			acquire(t, other, "s")
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			next := acquiring(ctx, e, "r")
			acquiring(ctx, e, "s")
			card := func(queue string) int64 {
				n, _ := servers[0].MustDo("ZCARD", queue).(int64)
				return n
			}
			eventually(t, "both have their places", func() bool { return card("queue:{r}") == 1 && card("queue:{s}") == 1 })
			place := servers[0].MustDo("ZRANGE", "queue:{s}", "0", "-1")
			servers[0].MustDo("SET", spoilt, "something else")
			time.Sleep(placeLife + placeLife/2)
			if now := servers[0].MustDo("ZRANGE", "queue:{s}", "0", "-1"); fmt.Sprint(now) != fmt.Sprint(place) {
				t.Errorf("the places of the other queue are %v, and were %v", now, place)
			}
			release(t, held)
			if r := <-next; r.err != nil {
				t.Errorf("acquire: %v", r.err)
			}
		})
	}
}

// A place that is given up goes at once, not with its life.
func TestWhoLeavesTheQueueLeavesNothing(t *testing.T) {
	servers := redistest.StartN(t, 1)
	acquire(t, open(t, servers, engine.Config{}), "r")
	standing(t, servers)()
	for end := time.Now().Add(placeLife / 3); len(queueKeysAt(servers)) > 0; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("there is still %q", queueKeysAt(servers))
		}
	}
}

// Without the rights to a queue everybody is served as before, and that is said once.
func TestWithoutTheRightsToAQueueNobodyStandsInOne(t *testing.T) {
	for name, rules := range map[string]string{
		"no sorted sets":           "~* +@all -zadd -zrem -zrange",
		"no keys beside the locks": "~r +@all",
	} {
		t.Run(name, func(t *testing.T) {
			servers := redistest.StartN(t, 1)
			servers[0].User(enginetest.User, enginetest.Password, rules)
			log := new(testkit.Log)
			cfg := engine.Config{Logger: slog.New(slog.NewTextHandler(log, nil))}
			e, err := enginetest.OpenAsUser(t, servers, cfg)
			if err != nil {
				t.Fatalf("enginetest.OpenAsUser: %v", err)
			}
			other := open(t, servers, engine.Config{})
			for range 3 {
				held := acquire(t, other, "r")
				served := make(chan *lease.Lease, 1)
				go func() {
					l, err := e.Acquire(within(t), "r")
					if err != nil {
						t.Errorf("acquire: %v", err)
					}
					served <- l
				}()
				eventually(t, "it is to be told", func() bool { return enginetest.Tracked(servers) > 0 })
				release(t, held)
				if l := <-served; l != nil {
					release(t, l)
				}
			}
			if n := log.Count("waiters are not served in turn"); n != 1 {
				t.Errorf("it is said %d times:\n%s", n, log)
			}
			if keys := queueKeysAt(servers); len(keys) > 0 {
				t.Errorf("there is %q", keys)
			}
		})
	}
}

// Whoever waits when the server that has the queue is killed is served by the others, one after the other.
func TestQueueWhoseServerIsKilled(t *testing.T) {
	t.Parallel() // it waits most of the time
	servers := redistest.StartN(t, 3)
	held := acquire(t, open(t, servers, engine.Config{}), "r")
	everywhere(t, servers, held)
	var line []<-chan result
	for k := range 5 {
		line = append(line, acquiring(within(t), open(t, servers, engine.Config{}), "r"))
		eventually(t, fmt.Sprintf("engine %d has its place", k), func() bool { return places(servers) == int64(k+1) })
	}
	var living []*redistest.Server
	for _, s := range servers {
		if s.MustDo("ZCARD", "queue:{r}").(int64) > 0 {
			s.Kill()
			continue
		}
		living = append(living, s)
	}
	release(t, held)
	served := make(chan result)
	for _, results := range line {
		go func() { served <- <-results }()
	}
	for range line {
		r := <-served
		if r.err != nil {
			t.Errorf("acquire: %v", r.err)
			continue
		}
		everywhere(t, living, r.lease)
		release(t, r.lease)
	}
	eventually(t, "no queue is left", func() bool { return len(queueKeysAt(living)) == 0 })
}
