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
	"time"

	"github.com/holdfast-go/holdfast/engine"
	"github.com/holdfast-go/holdfast/instance"
	"github.com/holdfast-go/holdfast/internal/enginetest"
	"github.com/holdfast-go/holdfast/internal/redistest"
	"github.com/holdfast-go/holdfast/lease"
)

// The keys of the resource r.
const (
	readersOfR = "readers:{r}"
	closedOfR  = "closed:{r}"
)

// nothingOfR waits until no server has anything of r but places of those who wait.
func nothingOfR(t *testing.T, servers []*redistest.Server) {
	t.Helper()
	eventually(t, "nothing of r is left", func() bool {
		for _, s := range servers {
			if slices.ContainsFunc(s.Keys(), func(key string) bool { return !strings.HasPrefix(key, "queue") }) {
				return false
			}
		}
		return true
	})
}

// readersAt is how many are in at a server.
func readersAt(s *redistest.Server) int64 {
	n, _ := s.MustDo("ZCARD", readersOfR).(int64)
	return n
}

// everybodyIn waits until so many are in at every server.
func everybodyIn(t *testing.T, servers []*redistest.Server, n int64) {
	t.Helper()
	for _, s := range servers {
		eventually(t, fmt.Sprintf("%d are in", n), func() bool { return readersAt(s) == n })
	}
}

func refusedAs(t *testing.T, e *engine.Engine, opts ...engine.Option) {
	t.Helper()
	if l, err := e.TryAcquire(within(t), "r", opts...); !errors.Is(err, engine.ErrHeld) {
		t.Errorf("want ErrHeld, got %v, %v", l, err)
	}
}

func TestReadersShareAndKeepWritersOut(t *testing.T) {
	for _, n := range []int{1, 3} {
		for _, handoff := range []int{0, 16} {
			t.Run(fmt.Sprintf("N=%d, handoff %d", n, handoff), func(t *testing.T) {
				t.Parallel()
				servers := redistest.StartN(t, n)
				cfg := engine.Config{LocalHandoff: handoff}
				e, other := open(t, servers, cfg), open(t, servers, cfg)
				a, b, c := acquire(t, e, "r", engine.Shared()), acquire(t, other, "r", engine.Shared()), acquire(t, e, "r", engine.Shared())
				if !a.Shared() || !strings.Contains(a.String(), `"r", shared`) {
					t.Errorf("the lease is %v", a)
				}
				everybodyIn(t, servers, 3)
				refusedAs(t, e)
				refusedAs(t, other)
				if _, err := e.TryAcquireAll(within(t), []string{"q", "r"}); !errors.Is(err, engine.ErrHeld) {
					t.Errorf("with others: %v", err)
				}
				for _, s := range servers { // another library
					if got := s.MustDo("SET", "r", "redsync's", "NX", "PX", "1000"); got != nil {
						t.Errorf("SET NX: %v", got)
					}
				}
				release(t, a)
				release(t, b)
				if err := b.Release(within(t)); err != nil {
					t.Errorf("again: %v", err)
				}
				everybodyIn(t, servers, 1)
				refusedAs(t, other)
				if err := c.Extend(within(t), 0); err != nil {
					t.Errorf("extend: %v", err)
				}
				release(t, c)
				nothingOfR(t, servers)

				w := acquire(t, other, "r")
				refusedAs(t, e, engine.Shared())
				refusedAs(t, other, engine.Shared())
				if w.Shared() {
					t.Error("a writer's lease is shared")
				}
				release(t, w)
				nothingOfR(t, servers)
			})
		}
	}
}

func TestSharedIsRefusedWhereItCannotBe(t *testing.T) {
	servers := redistest.StartN(t, 1)
	e := open(t, servers, engine.Config{})
	is := func(err error, says string) {
		t.Helper()
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("the error is %v, want %q", err, says)
		}
	}
	ctx, shared := within(t), engine.Shared()
	_, err := e.Acquire(ctx, "r", shared, engine.Permits(3))
	is(err, "Shared with Permits")
	_, err = e.Acquire(ctx, "r", shared, engine.WithFencing())
	is(err, "Shared with WithFencing")
	_, err = e.TryAcquire(ctx, "r", shared, engine.WithToken("mine"))
	is(err, "Shared with WithToken")
	_, err = e.AcquireAll(ctx, []string{"q", "r"}, shared)
	is(err, "Shared with AcquireAll")
	_, err = e.TryAcquireEach(ctx, []string{"q", "r"}, shared)
	is(err, "Shared with TryAcquireEach")
	_, err = e.Adopt(ctx, "r", "a token", shared)
	is(err, "Shared with Adopt")
	for _, mark := range []string{"~shared", "~shared 12", "~writers"} {
		_, err = e.Acquire(ctx, "r", engine.WithToken(mark))
		is(err, "marks a lock that is shared")
		_, err = e.Adopt(ctx, "r", mark)
		is(err, "marks a lock that is shared")
	}
	l := acquire(t, e, "r", shared)
	_, err = l.Detach()
	is(err, "the lease is shared")
	if !l.Valid() {
		t.Error("it has ended")
	}
	release(t, l)
}

// TestADeadReaderIsNotKeptAlive: it keeps a writer out for as long as its own TTL says, whoever else comes and stays.
func TestADeadReaderIsNotKeptAlive(t *testing.T) {
	servers := redistest.StartN(t, 3)
	e := open(t, servers, engine.Config{TTL: time.Minute, RenewEvery: 50 * time.Millisecond})
	dead := acquire(t, e, "r", engine.Shared(), engine.WithTTL(500*time.Millisecond), engine.WithoutRenewal())
	alive := acquire(t, e, "r", engine.Shared())
	first := alive.Deadline()
	eventually(t, "the other is renewed", func() bool { return alive.Deadline().After(first) })
	if err := ended(t, dead); !errors.Is(err, lease.ErrExpired) {
		t.Errorf("it ended with %v", err)
	}
	eventually(t, "one reader is left", func() bool {
		s, err := e.Inspect(within(t), "r")
		return err == nil && s.Readers == 1
	})
	release(t, alive)
	nothingOfR(t, servers) // long before the other's minute is over

	acquire(t, e, "r", engine.Shared(), engine.WithTTL(time.Second), engine.WithoutRenewal()) // nobody gives it back
	release(t, acquire(t, e, "r", engine.Shared()))                                           // which had a minute
	release(t, acquire(t, e, "r"))
	nothingOfR(t, servers)
}

// TestTheLockLivesAsLongAsEachReader, whoever came last or left first.
func TestTheLockLivesAsLongAsEachReader(t *testing.T) {
	servers := redistest.StartN(t, 3)
	e := open(t, servers, engine.Config{TTL: 300 * time.Millisecond, RenewEvery: 50 * time.Millisecond})
	long := acquire(t, e, "r", engine.Shared(), engine.WithTTL(time.Minute), engine.WithoutRenewal())
	short := acquire(t, e, "r", engine.Shared())
	first := short.Deadline()
	eventually(t, "the other is renewed", func() bool { return short.Deadline().After(first) })
	release(t, short)
	everybodyIn(t, servers, 1)
	for _, s := range servers {
		if left := s.PTTL("r"); left < 50*time.Second {
			t.Errorf("the mark lives for another %v", left)
		}
	}
	refusedAs(t, e)
	release(t, long)
	nothingOfR(t, servers)

	short = acquire(t, e, "r", engine.Shared())
	long = acquire(t, e, "r", engine.Shared(), engine.WithTTL(time.Minute), engine.WithoutRenewal())
	everybodyIn(t, servers, 2)
	for _, s := range servers {
		if left := s.PTTL("r"); left < 50*time.Second {
			t.Errorf("the mark lives for another %v", left)
		}
	}
	release(t, short)
	release(t, long)
	nothingOfR(t, servers)
}

// TestReadersAreRenewedBesideOthers: what is renewed at the same time is of both kinds.
func TestReadersAreRenewedBesideOthers(t *testing.T) {
	servers := redistest.StartN(t, 3)
	e := open(t, servers, engine.Config{TTL: time.Minute, RenewEvery: 50 * time.Millisecond})
	var leases []*lease.Lease
	for k := range 4 {
		leases = append(leases, acquire(t, e, fmt.Sprintf("alone %d", k)), acquire(t, e, fmt.Sprintf("shared %d", k), engine.Shared()))
	}
	for range 2 {
		for _, l := range leases {
			first, left := l.Deadline(), servers[0].PTTL(l.Resource())
			eventually(t, "it is renewed", func() bool { return l.Deadline().After(first) })
			eventually(t, "its key lives longer", func() bool {
				before := left
				left = servers[0].PTTL(l.Resource())
				return left > before
			})
		}
	}
	for _, l := range leases {
		release(t, l)
	}
}

// TestAReaderIsNotHandedAWritersLock: what it gets is shared.
func TestAReaderIsNotHandedAWritersLock(t *testing.T) {
	servers := redistest.StartN(t, 3)
	e := open(t, servers, engine.Config{LocalHandoff: 16})
	for k := range 40 { // it is found waiting at some moment of the writer's turn
		w := acquire(t, e, "r")
		waits := acquiring(within(t), e, "r", engine.Shared())
		for e.Snapshot(0).Waiting == 0 {
			time.Sleep(10 * time.Microsecond)
		}
		time.Sleep(time.Duration(k%10) * 200 * time.Microsecond)
		release(t, w)
		r := <-waits
		if r.err != nil || !r.lease.Shared() {
			t.Fatalf("%v, %v", r.lease, r.err)
		}
		release(t, r.lease)
	}
	nothingOfR(t, servers)
}

func TestAReaderThatIsRefusedLeavesNothing(t *testing.T) {
	servers := redistest.StartN(t, 3)
	e := open(t, servers, engine.Config{TTL: time.Minute})
	for _, s := range servers[:2] {
		s.MustDo("SET", "r", "somebody's")
	}
	refusedAs(t, e, engine.Shared())
	nothingOfR(t, servers[2:])
}

// TestAReaderThatLeftWhileAServerHungIsTakenOut, when the server goes on.
func TestAReaderThatLeftWhileAServerHungIsTakenOut(t *testing.T) {
	servers := redistest.StartN(t, 3)
	e := open(t, servers, engine.Config{TTL: time.Minute})
	l, stays := acquire(t, e, "r", engine.Shared()), acquire(t, e, "r", engine.Shared())
	everybodyIn(t, servers, 2)
	servers[2].Pause()
	if err := stays.Extend(within(t), 0); err != nil { // which it does not answer
		t.Errorf("extend: %v", err)
	}
	state(t, e, 2, instance.Down)
	release(t, l)
	servers[2].Resume()
	everybodyIn(t, servers, 1)
	release(t, stays)
	nothingOfR(t, servers)
}

func TestReadersWithOneServerDown(t *testing.T) {
	servers := redistest.StartN(t, 3)
	for down := range servers {
		e := open(t, servers, engine.Config{TTL: 2 * time.Second, RenewEvery: 100 * time.Millisecond})
		a := acquire(t, e, "r", engine.Shared())
		everybodyIn(t, servers, 1)
		servers[down].Kill()
		state(t, e, down, instance.Down)
		b := acquire(t, e, "r", engine.Shared())
		refusedAs(t, e)
		first := a.Deadline()
		eventually(t, "it is renewed", func() bool { return a.Deadline().After(first) })
		servers[down].Restart()
		everybodyIn(t, servers[down:down+1], 2) // healed
		release(t, a)
		release(t, b)
		nothingOfR(t, servers)
		if err := e.Close(within(t)); err != nil {
			t.Error(err)
		}
	}
}

func TestASharedLeaseIsLost(t *testing.T) {
	servers := redistest.StartN(t, 3)
	for name, opts := range map[string][]engine.Option{
		"by renewing": {engine.Shared()},
		"watched":     {engine.Shared(), engine.WithWatch(), engine.WithTTL(time.Minute)},
	} {
		t.Run(name, func(t *testing.T) {
			e := open(t, servers, engine.Config{TTL: 5 * time.Second, RenewEvery: 200 * time.Millisecond})
			l, unrelated := acquire(t, e, "r", opts...), acquire(t, e, "r", opts...)
			everybodyIn(t, servers, 2)
			time.Sleep(50 * time.Millisecond) // it is watched by now
			for _, s := range servers {
				s.MustDo("ZREM", readersOfR, l.Token())
				s.MustDo("PERSIST", "r") // who watches is told
				s.MustDo("PEXPIRE", "r", "60000")
			}
			if err := ended(t, l); !errors.Is(err, lease.ErrGone) {
				t.Errorf("it is not in, and ended with %v", err)
			}
			if !unrelated.Valid() {
				t.Error("the other has ended as well")
			}
			for _, s := range servers[:2] {
				s.MustDo("SET", "r", "somebody's")
			}
			if err := ended(t, unrelated); !errors.Is(err, lease.ErrStolen) {
				t.Errorf("another has the lock, and it ended with %v", err)
			}
			for _, s := range servers {
				s.Del("r")
			}
		})
	}
}

func TestInspectAndForceReleaseOfAShared(t *testing.T) {
	servers := redistest.StartN(t, 3)
	e := open(t, servers, engine.Config{TTL: time.Minute, RenewEvery: 100 * time.Millisecond})
	a, b := acquire(t, e, "r", engine.Shared()), acquire(t, e, "r", engine.Shared())
	everybodyIn(t, servers, 2)
	s, err := e.Inspect(within(t), "r")
	if err != nil || !s.Held || s.Readers != 2 || s.Owner != "" || !strings.Contains(s.String(), `"r" is shared by 2 for another`) {
		t.Errorf("%v, %v", s, err)
	}
	if held := e.Snapshot(9).Leases; len(held) != 2 || !held[0].Shared || !held[1].Shared {
		t.Errorf("the snapshot has %v", held)
	}
	if err := e.ForceRelease(within(t), s); err != nil {
		t.Errorf("force: %v", err)
	}
	for _, l := range []*lease.Lease{a, b} {
		if err := ended(t, l); !errors.Is(err, lease.ErrGone) {
			t.Errorf("it ended with %v", err)
		}
	}
	release(t, acquire(t, e, "r"))
	release(t, acquire(t, e, "r", engine.Shared())) // which forgets who was in before
	nothingOfR(t, servers)
}

// TestAWriterThatWaitsKeepsReadersOut, is told when the last one leaves, and lets them in when it gives up.
func TestAWriterThatWaitsKeepsReadersOut(t *testing.T) {
	for _, n := range []int{1, 3} {
		t.Run(fmt.Sprintf("N=%d", n), func(t *testing.T) {
			t.Parallel()
			servers := redistest.StartN(t, n)
			e, other := open(t, servers, engine.Config{}), open(t, servers, engine.Config{})
			closes := func() bool {
				return !slices.ContainsFunc(servers, func(s *redistest.Server) bool { return s.Get(closedOfR) == "" })
			}
			reader := acquire(t, e, "r", engine.Shared())
			everybodyIn(t, servers, 1)

			ctx, giveUp := context.WithCancel(within(t))
			defer giveUp()
			writer := acquiring(ctx, other, "r")
			eventually(t, "it is closed", closes)
			refusedAs(t, e, engine.Shared())
			if err := reader.Extend(within(t), 0); err != nil { // who is in stays
				t.Errorf("extend: %v", err)
			}
			giveUp()
			if r := <-writer; !errors.Is(r.err, context.Canceled) {
				t.Errorf("it gave up with %v", r.err)
			}
			second := acquire(t, e, "r", engine.Shared())
			release(t, second)

			writer = acquiring(within(t), other, "r")
			eventually(t, "it is closed", closes)
			late := acquiring(within(t), e, "r", engine.Shared())
			time.Sleep(20 * time.Millisecond)
			left := time.Now()
			release(t, reader)
			w := <-writer
			if w.err != nil {
				t.Fatalf("the writer: %v", w.err)
			}
			t.Logf("the writer came %v after the last reader left", w.at.Sub(left))
			select {
			case r := <-late:
				t.Errorf("a reader came in before the writer that it found waiting: %v, %v", r.lease, r.err)
			case <-time.After(20 * time.Millisecond):
			}
			left = time.Now()
			release(t, w.lease)
			r := <-late
			if r.err != nil {
				t.Fatalf("the reader: %v", r.err)
			}
			t.Logf("the reader came %v after the writer left", r.at.Sub(left))
			release(t, r.lease)
			nothingOfR(t, servers)
		})
	}
}

// TestReadersInTheQueueComeInTogether: when a writer leaves, all that wait behind it and before the next.
func TestReadersInTheQueueComeInTogether(t *testing.T) {
	servers := redistest.StartN(t, 3)
	writer := acquire(t, open(t, servers, engine.Config{}), "r")
	const engines, each = 4, 5
	var waiting []<-chan result
	for range engines {
		e := open(t, servers, engine.Config{})
		for range each {
			waiting = append(waiting, acquiring(within(t), e, "r", engine.Shared()))
		}
		eventually(t, "it stands in the queue", func() bool { return e.Snapshot(0).Places == 1 && e.Snapshot(0).Waiting == each })
	}
	release(t, writer)
	var all []*lease.Lease
	for _, one := range waiting { // all of them, since none leaves
		r := <-one
		if r.err != nil {
			t.Fatal(r.err)
		}
		all = append(all, r.lease)
	}
	everybodyIn(t, servers, engines*each)
	for _, l := range all {
		if !l.Valid() {
			t.Errorf("%v", l)
		}
		release(t, l)
	}
	nothingOfR(t, servers)
	eventually(t, "no queue is left", func() bool { return len(queueKeysAt(servers)) == 0 })
}

// room counts who is in it, and complains when somebody is not alone that should be.
type room struct {
	readers, writers atomic.Int32
	grants           atomic.Int32
}

func (r *room) enter(t *testing.T, l *lease.Lease, d time.Duration) {
	r.grants.Add(1)
	mine, others := &r.writers, &r.readers
	if l.Shared() {
		mine, others = others, mine
	}
	n := mine.Add(1)
	if m := others.Load(); (m > 0 || n > 1 && !l.Shared()) && l.Valid() {
		t.Errorf("%d of its kind and %d others are in: %v", n, m, l)
	}
	time.Sleep(d)
	mine.Add(-1)
	if err := l.Release(context.Background()); err != nil {
		t.Errorf("release: %v", err)
	}
}

func TestReadersAndWritersOfManyEngines(t *testing.T) {
	servers := redistest.StartN(t, 3)
	var in room
	var everybody sync.WaitGroup
	for k := range 4 {
		e := open(t, servers, engine.Config{LocalHandoff: 16 * (k % 2)})
		for g := range 4 {
			everybody.Go(func() {
				for turn := range 15 {
					var opts []engine.Option
					if (g+turn)%3 > 0 {
						opts = append(opts, engine.Shared())
					}
					l, err := e.Acquire(within(t), "r", opts...)
					if err != nil {
						t.Errorf("engine %d: %v", k, err)
						return
					}
					in.enter(t, l, time.Millisecond)
				}
			})
		}
	}
	everybody.Wait()
	nothingOfR(t, servers)
}

// TestWritersAreServedAmongReaders that come all the time, and do not even wait.
func TestWritersAreServedAmongReaders(t *testing.T) {
	servers := redistest.StartN(t, 3)
	var in room
	ctx, stop := context.WithCancel(within(t))
	defer stop()
	var readers sync.WaitGroup
	for k := range 3 {
		e := open(t, servers, engine.Config{})
		for range 6 {
			readers.Go(func() {
				for ctx.Err() == nil {
					acquire := e.Acquire
					if k == 0 {
						acquire = e.TryAcquire
					}
					if l, err := acquire(ctx, "r", engine.Shared()); err == nil {
						in.enter(t, l, 3*time.Millisecond)
					}
				}
			})
		}
	}
	e := open(t, servers, engine.Config{})
	longest := time.Duration(0)
	for range 20 {
		begun := time.Now()
		l, err := e.Acquire(within(t), "r")
		if err != nil {
			t.Fatalf("the writer, after %v: %v", time.Since(begun), err)
		}
		longest = max(longest, time.Since(begun))
		in.enter(t, l, time.Millisecond)
	}
	stop()
	readers.Wait()
	t.Logf("%d grants, the longest wait of a writer: %v", in.grants.Load(), longest)
	nothingOfR(t, servers)
}

func TestSharedOnACluster(t *testing.T) {
	t.Parallel()
	c := redistest.StartCluster(t, 3, false)
	e := enginetest.New(t, engine.Config{RenewEvery: 100 * time.Millisecond}, enginetest.Dial(t, "", instance.Config{Cluster: c.Addrs()[:1]}))
	state(t, e, 0, instance.Up)
	if _, err := e.Acquire(within(t), "}{", engine.Shared()); !errors.Is(err, engine.ErrRefused) { // no names are in one slot
		t.Errorf("a name without a slot: %v", err)
	}
	if s, err := e.Inspect(within(t), "}{"); err == nil && s.Held {
		t.Errorf("a name without a slot: %v", s)
	}
	var leases []*lease.Lease
	for _, resource := range []string{"r", "in {braces}", "q"} {
		a, b := acquire(t, e, resource, engine.Shared()), acquire(t, e, resource, engine.Shared())
		if _, err := e.TryAcquire(within(t), resource); !errors.Is(err, engine.ErrHeld) {
			t.Errorf("alone: %v", err)
		}
		if s, err := e.Inspect(within(t), resource); err != nil || s.Readers != 2 {
			t.Errorf("%v, %v", s, err)
		}
		leases = append(leases, a, b)
	}
	for _, l := range leases {
		first := l.Deadline()
		eventually(t, "it is renewed", func() bool { return l.Deadline().After(first) })
	}
	to := c.Owner((c.Slot("r") + 8192) % 16384)
	if to != c.Owner(c.Slot("r")) {
		c.Migrate(c.Slot("r"), to)
	}
	for _, l := range leases {
		if err := l.Extend(within(t), 0); err != nil {
			t.Errorf("where the slot has moved: %v", err)
		}
		release(t, l)
	}
	for _, resource := range []string{"r", "in {braces}", "q"} {
		release(t, acquire(t, e, resource))
	}
}
