package holdfast_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/holdfast-go/holdfast/engine"
	"github.com/holdfast-go/holdfast/instance"
	"github.com/holdfast-go/holdfast/internal/enginetest"
	"github.com/holdfast-go/holdfast/internal/redistest"
	"github.com/holdfast-go/holdfast/internal/testkit"
	"github.com/holdfast-go/holdfast/lease"
)

// The README's promises, one by one, on 1, 3 and 5 real redis-servers.
func TestPromises(t *testing.T) {
	for _, n := range []int{1, 3, 5} {
		t.Run(fmt.Sprintf("N=%d", n), func(t *testing.T) {
			if testing.Short() && n != 3 {
				t.Skip("three are the usual number, and make test has them all")
			}
			servers := redistest.StartN(t, n)
			for _, promise := range []struct {
				name string
				test func(*testing.T, []*redistest.Server)
			}{
				{"a lock is held by one", oneHolder},
				{"a held lease outlives its TTL", outlives},
				{"a lease without renewal ends by itself", endsByItself},
				{"the next in line gets a released lock", handover},
				{"a waiter takes over from a holder that died", takeover},
				{"a cancelled acquire says why and leaves no key", cancelled},
				{"done closes before the keys expire", doneFirst},
				{"a forced release ends the lease as stolen or gone", forced},
				{"do runs while the lock is held and releases it", do},
				{"do tells its function when the lease is lost", doLost},
				{"inspect says who holds it, vote by vote", inspect},
				{"adopt takes a lease over by its token", adopt},
				{"extend moves the deadline and never re-creates", extend},
				{"fencing tokens rise", fences},
				{"a lease is held no longer than its max hold", maxHold},
				{"close releases everything", closes},
				{"an existing client is used and never closed", existingClient},
				{"the key prefix comes before the resource", prefixed},
				{"even the longest strange name is a resource", strangeNames},
			} {
				t.Run(promise.name, func(t *testing.T) { promise.test(t, servers) })
			}
		})
	}
}

func oneHolder(t *testing.T, servers []*redistest.Server) {
	a, b := open(t, servers, engine.Config{}), open(t, servers, engine.Config{})
	l := acquire(t, a, "one")
	everywhere(t, servers, l)
	for _, e := range []*engine.Engine{a, b} {
		_, err := e.TryAcquire(within(t), "one")
		oneLine(t, err)
		var q *engine.QuorumError
		if !errors.Is(err, engine.ErrHeld) || errors.Is(err, engine.ErrNoQuorum) || !errors.As(err, &q) {
			t.Errorf("want ErrHeld in a QuorumError, got %v", err)
		}
	}
	if !l.Valid() || l.Err() != nil || len(a.Leases()) != 1 || len(b.Leases()) != 0 {
		t.Error("the holder's lease is not as it was")
	}
	release(t, l)
	clean(t, servers, "one")
	if !errors.Is(l.Err(), lease.ErrReleased) || l.Valid() || len(a.Leases()) != 0 {
		t.Errorf("after release: %v", l.Err())
	}
	release(t, acquire(t, b, "one"))
}

func outlives(t *testing.T, servers []*redistest.Server) {
	e := open(t, servers, engine.Config{TTL: time.Second})
	l := acquire(t, e, "outlives")
	first := l.Deadline()
	eventually(t, "the deadline has moved by more than a TTL", func() bool {
		if !l.Valid() {
			t.Fatalf("the lease has ended, want it valid: %v", l.Err())
		}
		return l.Deadline().Sub(first) > 1500*time.Millisecond
	})
	release(t, l)
}

func endsByItself(t *testing.T, servers []*redistest.Server) {
	e := open(t, servers, engine.Config{})
	l := acquire(t, e, "fixed", engine.WithoutRenewal(), engine.WithTTL(200*time.Millisecond))
	if err := ended(t, l); !errors.Is(err, lease.ErrExpired) || !errors.Is(err, lease.ErrLost) {
		t.Errorf("ended with %v", err)
	}
	select {
	case lost := <-e.Lost():
		if lost != l {
			t.Errorf("lost %v, want %v", lost, l)
		}
	case <-time.After(testkit.Patience):
		t.Error("the loss is not reported")
	}
	if err := l.Release(within(t)); !errors.Is(err, lease.ErrExpired) {
		t.Errorf("a release that came too late returns %v", err)
	}
}

func handover(t *testing.T, servers []*redistest.Server) {
	a, b := open(t, servers, engine.Config{}), open(t, servers, engine.Config{})
	l := acquire(t, a, "handover")
	next := make(chan *lease.Lease)
	for _, e := range []*engine.Engine{a, b} {
		go func() {
			l, err := e.Acquire(within(t), "handover")
			if err != nil {
				t.Errorf("e.Acquire: %v", err)
			}
			next <- l
		}()
	}
	select {
	case <-next:
		t.Fatal("two holders")
	case <-time.After(50 * time.Millisecond):
	}
	release(t, l)
	release(t, <-next)
	release(t, <-next)
}

func takeover(t *testing.T, servers []*redistest.Server) {
	for _, s := range servers {
		s.Set("takeover", "somebody who died", 300*time.Millisecond)
	}
	e := open(t, servers, engine.Config{})
	start := time.Now()
	release(t, acquire(t, e, "takeover"))
	if d := time.Since(start); d > 5*time.Second {
		t.Errorf("it took %v to notice that the lock had expired", d)
	}
}

func cancelled(t *testing.T, servers []*redistest.Server) {
	a, b := open(t, servers, engine.Config{}), open(t, servers, engine.Config{})
	l := acquire(t, a, "cancelled")
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	_, err := b.Acquire(ctx, "cancelled")
	oneLine(t, err)
	if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, engine.ErrHeld) {
		t.Errorf("want the context's error and ErrHeld, got %v", err)
	}
	reason := errors.New("changed my mind")
	ctx, stop := context.WithCancelCause(context.Background())
	stop(reason)
	if _, err := b.Acquire(ctx, "other"); !errors.Is(err, reason) || !errors.Is(err, context.Canceled) {
		t.Errorf("want the context's error and its cause, got %v", err)
	}
	if _, err := b.TryAcquire(ctx, "other"); !errors.Is(err, reason) {
		t.Errorf("want the context's cause, got %v", err)
	}
	release(t, l)
	clean(t, servers, "cancelled")
	clean(t, servers, "other")
}

func doneFirst(t *testing.T, servers []*redistest.Server) {
	// Much drift, so that there is time to look at the servers between the two.
	e := open(t, servers, engine.Config{DriftFactor: 0.5})
	l := acquire(t, e, "done", engine.WithoutRenewal(), engine.WithTTL(500*time.Millisecond))
	everywhere(t, servers, l)
	<-l.Done()
	for n, s := range servers {
		if s.PTTL("done") < 0 {
			t.Errorf("server %d has lost the key before Done was closed", n)
		}
	}
}

func forced(t *testing.T, servers []*redistest.Server) {
	e := open(t, servers, engine.Config{TTL: 20 * time.Second, RenewEvery: 100 * time.Millisecond})
	l := acquire(t, e, "forced")
	everywhere(t, servers, l)
	for _, s := range servers {
		s.Set("forced", "another", time.Minute)
	}
	if err := ended(t, l); !errors.Is(err, lease.ErrStolen) {
		t.Errorf("replaced: ended with %v", err)
	}
	for _, s := range servers {
		if s.Get("forced") != "another" {
			t.Error("the other's key is gone")
		}
		s.Del("forced")
	}
	l = acquire(t, e, "forced")
	everywhere(t, servers, l)
	for _, s := range servers {
		s.Del("forced")
	}
	if err := ended(t, l); !errors.Is(err, lease.ErrGone) {
		t.Errorf("deleted: ended with %v", err)
	}
	clean(t, servers, "forced")
}

func do(t *testing.T, servers []*redistest.Server) {
	e := open(t, servers, engine.Config{})
	failure := errors.New("the function's own")
	err := e.Do(within(t), "do", func(ctx context.Context) error {
		for _, s := range servers {
			eventually(t, "the key is everywhere", func() bool { return s.Get("do") != "" })
		}
		return failure
	})
	if !errors.Is(err, failure) || errors.Is(err, lease.ErrLost) {
		t.Errorf("do returns %v", err)
	}
	clean(t, servers, "do")

	func() {
		defer func() {
			if recover() == nil {
				t.Error("the panic is gone")
			}
		}()
		_ = e.Do(within(t), "do", func(context.Context) error { panic("oops") })
	}()
	clean(t, servers, "do")
}

func doLost(t *testing.T, servers []*redistest.Server) {
	e := open(t, servers, engine.Config{TTL: 20 * time.Second, RenewEvery: 100 * time.Millisecond})
	err := e.Do(within(t), "dolost", func(ctx context.Context) error {
		for _, s := range servers {
			eventually(t, "the key is everywhere", func() bool { return s.Get("dolost") != "" })
			s.Del("dolost")
		}
		<-ctx.Done()
		return context.Cause(ctx)
	})
	if !errors.Is(err, lease.ErrGone) {
		t.Errorf("do returns %v", err)
	}
}

func inspect(t *testing.T, servers []*redistest.Server) {
	a := open(t, servers, engine.Config{Owner: "host-1/job 7"})
	b := open(t, servers, engine.Config{})
	s, err := b.Inspect(within(t), "inspect")
	if err != nil || s.Held || len(s.Votes) != len(servers) {
		t.Errorf("free: %v %v", s, err)
	}
	l := acquire(t, a, "inspect")
	everywhere(t, servers, l)
	s, err = b.Inspect(within(t), "inspect")
	if err != nil || !s.Held || s.Token != l.Token() || s.Owner != "host-1/job 7" || s.Remaining <= 0 || s.Remaining > 10*time.Second {
		t.Errorf("held: %#v %v", s, err)
	}
	for _, v := range s.Votes {
		if v.Kind != instance.Held || v.Holder != l.Token() {
			t.Errorf("vote %v", v)
		}
	}
	release(t, l)
}

func adopt(t *testing.T, servers []*redistest.Server) {
	a, b := open(t, servers, engine.Config{}), open(t, servers, engine.Config{TTL: 300 * time.Millisecond})
	l := acquire(t, a, "adopt", engine.WithoutRenewal())
	_, err := b.Adopt(within(t), "adopt", "not the token")
	if !errors.Is(err, lease.ErrStolen) {
		t.Errorf("with a wrong token: %v", err)
	}
	_, err = b.Adopt(within(t), "nobody's", l.Token())
	if !errors.Is(err, lease.ErrGone) {
		t.Errorf("of nothing: %v", err)
	}
	clean(t, servers, "nobody's")
	adopted, err := b.Adopt(within(t), "adopt", detach(t, l))
	if err != nil {
		t.Fatalf("b.Adopt: %v", err)
	}
	if err := l.Release(within(t)); !errors.Is(err, lease.ErrDetached) {
		t.Errorf("released what is detached: %v", err)
	}
	first := adopted.Deadline()
	eventually(t, "the adopted lease is renewed", func() bool { return adopted.Deadline().After(first) })
	if len(b.Leases()) != 1 {
		t.Error("the adopted lease is not tracked")
	}
	c := open(t, servers, engine.Config{}) // the holder is not told
	taken, err := c.Adopt(within(t), "adopt", adopted.Token())
	if err != nil {
		t.Fatalf("c.Adopt: %v", err)
	}
	<-adopted.Done() // by its next renewal
	if err := adopted.Err(); !errors.Is(err, lease.ErrStolen) {
		t.Errorf("taken over, and %v", err)
	}
	if err := adopted.Release(within(t)); !errors.Is(err, lease.ErrStolen) {
		t.Errorf("released what another has: %v", err)
	}
	if err := a.Close(within(t)); err != nil {
		t.Errorf("a.Close: %v", err)
	}
	if err := b.Close(within(t)); err != nil {
		t.Errorf("b.Close: %v", err)
	}
	everywhere(t, servers, taken)
	release(t, taken)
	clean(t, servers, "adopt")
}

func extend(t *testing.T, servers []*redistest.Server) {
	e := open(t, servers, engine.Config{})
	l := acquire(t, e, "extend", engine.WithoutRenewal(), engine.WithTTL(time.Second))
	before := l.Deadline()
	if err := l.Extend(within(t), 30*time.Second); err != nil {
		t.Fatalf("l.Extend: %v", err)
	}
	if moved := l.Deadline().Sub(before); moved < 20*time.Second {
		t.Errorf("the deadline moved by %v", moved)
	}
	for _, s := range servers {
		eventually(t, "the key lives longer", func() bool { return s.PTTL("extend") > 20*time.Second })
	}
	if err := l.Extend(within(t), time.Second); err != nil || l.Remaining() < 20*time.Second {
		t.Errorf("extending for less: %v, %v left", err, l.Remaining())
	}
	if err := l.Extend(within(t), -1); err == nil || !l.Valid() {
		t.Errorf("extending by less than nothing: %v", err)
	}
	everywhere(t, servers, l)
	for _, s := range servers {
		s.Del("extend")
	}
	if err := l.Extend(within(t), 0); !errors.Is(err, lease.ErrGone) || l.Valid() {
		t.Errorf("extending what is gone: %v", err)
	}
	clean(t, servers, "extend")
}

func fences(t *testing.T, servers []*redistest.Server) {
	a, b := open(t, servers, engine.Config{}), open(t, servers, engine.Config{})
	var last uint64
	for k := range 20 {
		e := []*engine.Engine{a, b}[k%2]
		l := acquire(t, e, "fences", engine.WithFencing())
		if l.Fence() <= last {
			t.Fatalf("the fence fell from %d to %d", last, l.Fence())
		}
		last = l.Fence()
		release(t, l)
	}
	clean(t, servers, "fences")
	if l := acquire(t, a, "unfenced"); l.Fence() != 0 {
		t.Errorf("a lease without fencing has fence %d", l.Fence())
	}
}

func maxHold(t *testing.T, servers []*redistest.Server) {
	e := open(t, servers, engine.Config{TTL: time.Second})
	start := time.Now()
	l := acquire(t, e, "maxhold", engine.WithMaxHold(1500*time.Millisecond))
	if err := ended(t, l); !errors.Is(err, lease.ErrMaxHold) || !errors.Is(err, lease.ErrLost) {
		t.Errorf("ended with %v", err)
	}
	if held := time.Since(start); held < 1500*time.Millisecond {
		t.Errorf("held for %v only", held)
	}
	hangs := acquire(t, e, "hangs", engine.WithTTL(time.Minute), engine.WithMaxHold(300*time.Millisecond))
	everywhere(t, servers, hangs)
	for _, s := range servers {
		if left := s.PTTL("hangs"); left > 400*time.Millisecond {
			t.Errorf("the key of a lease that ends in 300ms lives for another %v", left)
		}
	}
	release(t, acquire(t, e, "hangs")) // which its holder has not released
}

func closes(t *testing.T, servers []*redistest.Server) {
	e, err := engine.Open(within(t), redistest.URLs(servers), engine.Config{})
	if err != nil {
		t.Fatalf("engine.Open: %v", err)
	}
	var held []*lease.Lease
	for k := range 100 {
		held = append(held, acquire(t, e, fmt.Sprintf("close-%d", k)))
	}
	waiting := make(chan error)
	go func() {
		_, err := e.Acquire(within(t), "close-0")
		waiting <- err
	}()
	if err := e.Close(within(t)); err != nil {
		t.Fatalf("e.Close: %v", err)
	}
	if err := <-waiting; !errors.Is(err, engine.ErrClosed) {
		t.Errorf("the waiter got %v", err)
	}
	for k, l := range held {
		if !errors.Is(l.Err(), lease.ErrClosed) || errors.Is(l.Err(), lease.ErrLost) {
			t.Fatalf("lease %d ended with %v", k, l.Err())
		}
		clean(t, servers, l.Resource())
	}
	if _, open := <-e.Lost(); open {
		t.Error("a closed engine has lost a lease")
	}
	if err := e.Close(within(t)); err != nil {
		t.Errorf("closing twice: %v", err)
	}
	for _, use := range []func() error{
		func() error { _, err := e.Acquire(within(t), "x"); return err },
		func() error { _, err := e.TryAcquire(within(t), "x"); return err },
		func() error { _, err := e.Inspect(within(t), "x"); return err },
		func() error { _, err := e.Adopt(within(t), "x", "token"); return err },
		func() error { return e.Do(within(t), "x", func(context.Context) error { return nil }) },
	} {
		if err := use(); !errors.Is(err, engine.ErrClosed) {
			t.Errorf("after close: %v", err)
		}
	}
}

func existingClient(t *testing.T, servers []*redistest.Server) {
	var clients []*redis.Client
	var instances []*instance.Instance
	for _, s := range servers {
		c := redis.NewClient(&redis.Options{Network: s.Network(), Addr: s.Addr(), DB: 2})
		defer func() { _ = c.Close() }()
		clients = append(clients, c)
		instances = append(instances, instance.New(c, instance.Config{}))
	}
	e, err := engine.New(instances, engine.Config{})
	if err != nil {
		t.Fatalf("engine.New: %v", err)
	}
	acquire(t, e, "existing")
	for _, c := range clients {
		eventually(t, "the key is in the client's database", func() bool { return c.Exists(within(t), "existing").Val() == 1 })
	}
	if err := e.Close(within(t)); err != nil {
		t.Fatalf("e.Close: %v", err)
	}
	for _, c := range clients {
		if err := c.Ping(within(t)).Err(); err != nil {
			t.Errorf("the client was closed: %v", err)
		}
	}
}

func prefixed(t *testing.T, servers []*redistest.Server) {
	e := open(t, servers, engine.Config{KeyPrefix: "locks:"})
	l := acquire(t, e, "it")
	if l.Resource() != "it" {
		t.Errorf("the resource is %q", l.Resource())
	}
	for _, s := range servers {
		eventually(t, "the key has the prefix", func() bool { return s.Get("locks:it") == l.Token() })
	}
	release(t, l)
}

func strangeNames(t *testing.T, servers []*redistest.Server) {
	e := open(t, servers, engine.Config{})
	for _, name := range []string{
		"\x00", "a\r\nDEL b\r\n", "{", "}", "{}", "{tag}x", "x}", " ", "日本", string([]byte{0xff, 0xfe}),
		string(slices.Repeat([]byte("n"), 1024)),
	} {
		for _, opts := range [][]engine.Option{nil, {engine.WithFencing()}} {
			l := acquire(t, e, name, opts...)
			everywhere(t, servers, l)
			release(t, l)
		}
	}
}

// Eight engines of eight goroutines contend for one resource on five servers.
// What only the holder may touch is touched without any other protection: the
// race detector and the overlap of validities are the judges.
func TestMutualExclusion(t *testing.T) {
	const engines, workers = 8, 8
	grants := 4000
	if testing.Short() {
		grants = 400
	}
	servers := redistest.StartN(t, 5)
	type span struct{ from, to time.Time }
	var (
		counter int // guarded by the lock alone
		spans   []span
		wg      sync.WaitGroup
	)
	for range engines {
		e := open(t, servers, engine.Config{Backoff: enginetest.Eager})
		for range workers {
			wg.Go(func() {
				for {
					l, err := e.Acquire(within(t), "counter")
					if err != nil {
						t.Errorf("e.Acquire: %v", err)
						return
					}
					from := time.Now()
					done := counter >= grants
					if !done {
						counter++
						spans = append(spans, span{from, time.Now()})
					}
					valid := l.Valid()
					if err := l.Release(within(t)); err != nil || !valid {
						t.Errorf("not held to the end: valid %v, %v", valid, err)
					}
					if done {
						return
					}
				}
			})
		}
	}
	wg.Wait()
	if counter != grants || len(spans) != grants {
		t.Errorf("%d grants were counted, want %d", counter, grants)
	}
	slices.SortFunc(spans, func(a, b span) int { return a.from.Compare(b.from) })
	for k := 1; k < len(spans); k++ {
		if spans[k].from.Before(spans[k-1].to) {
			t.Fatalf("grants %d and %d overlap by %v", k-1, k, spans[k-1].to.Sub(spans[k].from))
		}
	}
	clean(t, servers, "counter")
}
