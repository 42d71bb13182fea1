package holdfast_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
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

// The bugs of aioredlock 0.7.3, each confirmed there by running it. None may
// come back. docs/from-aioredlock.md has the list.

func TestBug01ExtendRecreatesAnExpiredKeyAndValidNeverExpires(t *testing.T) {
	servers := redistest.StartN(t, 3)
	e := open(t, servers, engine.Config{})
	l := acquire(t, e, "bug1", engine.WithoutRenewal(), engine.WithTTL(100*time.Millisecond))
	for _, s := range servers {
		eventually(t, "the key has expired", func() bool { return s.Get("bug1") == "" })
	}
	if l.Valid() {
		t.Error("the lease is valid though its time is over")
	}
	if err := l.Extend(within(t), time.Second); !errors.Is(err, lease.ErrExpired) {
		t.Errorf("extend: %v", err)
	}
	for _, s := range servers {
		if s.Get("bug1") != "" {
			t.Error("extend has re-created the key")
		}
	}
}

func TestBug02WatchdogGivesUpAtTheFirstFailureAndTellsNobody(t *testing.T) {
	servers := redistest.StartN(t, 3)
	e := open(t, servers, engine.Config{TTL: 2 * time.Second, RenewEvery: 200 * time.Millisecond, InstanceTimeout: 100 * time.Millisecond})
	l := acquire(t, e, "bug2")
	servers[0].Pause()
	servers[1].Pause()
	state(t, e, 0, instance.Down) // a renewal has failed
	state(t, e, 1, instance.Down)
	servers[0].Resume()
	servers[1].Resume()
	was := l.Deadline()
	eventually(t, "renewal goes on", func() bool { return l.Deadline().After(was) })
	if !l.Valid() {
		t.Fatalf("the lease has ended, want it valid: %v", l.Err())
	}
	servers[0].Pause()
	servers[1].Pause()
	if err := ended(t, l); !errors.Is(err, lease.ErrExpired) {
		t.Errorf("ended with %v", err)
	}
	select {
	case lost := <-e.Lost():
		if lost != l {
			t.Errorf("lost %v", lost)
		}
	case <-time.After(testkit.Patience):
		t.Error("nobody was told")
	}
}

func TestBug03OneFailedExtendReleasesTheLockWhereItIsHealthy(t *testing.T) {
	servers := redistest.StartN(t, 3)
	e := open(t, servers, engine.Config{InstanceTimeout: 100 * time.Millisecond})
	l := acquire(t, e, "bug3")
	servers[0].Kill()
	servers[1].Kill()
	if err := l.Extend(within(t), 0); !errors.Is(err, engine.ErrNoQuorum) {
		t.Errorf("extend without a quorum: %v", err)
	}
	if servers[2].Get("bug3") != l.Token() {
		t.Error("the failed extend has released the healthy instance")
	}
	if !l.Valid() {
		t.Errorf("the failed extend has ended the lease: %v", l.Err())
	}
}

func TestBug04UnlockingAnOldLockStopsTheNewLocksWatchdog(t *testing.T) {
	servers := redistest.StartN(t, 3)
	e := open(t, servers, engine.Config{TTL: 300 * time.Millisecond})
	old := acquire(t, e, "bug4", engine.WithoutRenewal())
	<-old.Done()
	l := acquire(t, e, "bug4")
	if err := old.Release(within(t)); !errors.Is(err, lease.ErrExpired) {
		t.Errorf("releasing the old lock: %v", err)
	}
	was := l.Deadline()
	eventually(t, "the new lock is renewed", func() bool { return l.Deadline().Sub(was) > 600*time.Millisecond })
	release(t, l)
}

func TestBug05MinorityKeysAreHeldThroughAllRetries(t *testing.T) {
	servers := redistest.StartN(t, 3)
	e := open(t, servers, engine.Config{TTL: time.Minute, Backoff: enginetest.Eager})
	servers[0].Set("bug5", "another", time.Minute)
	servers[1].Set("bug5", "another", time.Minute)
	ctx, cancel := context.WithCancel(context.Background())
	over := make(chan error)
	go func() {
		_, err := e.Acquire(ctx, "bug5")
		over <- err
	}()
	// Between its tries the waiter holds nothing, though the key would live on.
	eventually(t, "the third server was asked", func() bool { return servers[2].Calls("set") > 0 })
	clean(t, servers[2:], "bug5")
	cancel()
	if err := <-over; !errors.Is(err, context.Canceled) || !errors.Is(err, engine.ErrHeld) {
		t.Errorf("the cancelled acquire: got %v, want the context's error and ErrHeld", err)
	}
	clean(t, servers[2:], "bug5")
}

func TestBug06OneStoppedInstanceHangsTheLock(t *testing.T) {
	servers := redistest.StartN(t, 3)
	timeout := 200 * time.Millisecond
	e := open(t, servers, engine.Config{InstanceTimeout: timeout})
	servers[1].Pause()
	for range 20 {
		start := time.Now()
		release(t, acquire(t, e, "bug6"))
		if d := time.Since(start); d > 8*time.Second {
			t.Fatalf("it took %v", d)
		}
	}
}

func TestBug07SentinelOperationsOpenConnectionsAndDestroyReleasesNothing(t *testing.T) {
	// A Sentinel client is a client with a dialer that asks the sentinels where
	// the master is, and an address that means nothing, as this one.
	servers := redistest.StartN(t, 3)
	var dials atomic.Int32
	var instances []*instance.Instance
	for _, s := range servers {
		c := redis.NewClient(&redis.Options{
			Addr: "FailoverClient",
			Dialer: func(ctx context.Context, _, _ string) (net.Conn, error) {
				dials.Add(1)
				return new(net.Dialer).DialContext(ctx, s.Network(), s.Addr())
			},
		})
		defer func() { _ = c.Close() }()
		instances = append(instances, instance.New(c, instance.Config{}))
	}
	e, err := engine.New(instances, engine.Config{})
	if err != nil {
		t.Fatalf("engine.New: %v", err)
	}
	l := acquire(t, e, "bug7")
	for k := range 200 {
		release(t, acquire(t, e, fmt.Sprintf("bug7-%d", k)))
	}
	if n := dials.Load(); n != 3 {
		t.Errorf("%d connections were opened, want one an instance", n)
	}
	for n, s := range servers {
		eventually(t, fmt.Sprintf("server %d has one connection", n), func() bool { return s.Clients() == 1 })
	}
	if err := e.Close(within(t)); err != nil {
		t.Fatalf("e.Close: %v", err)
	}
	clean(t, servers, "bug7")
	if !errors.Is(l.Err(), lease.ErrClosed) {
		t.Errorf("the lease ended with %v, want %v", l.Err(), lease.ErrClosed)
	}
}

func TestBug08GetLockCountsWholeSecondsAndIsNotTracked(t *testing.T) {
	servers := redistest.StartN(t, 3)
	e := open(t, servers, engine.Config{})
	for n, s := range servers { // TTLs that differ, and are no whole seconds
		s.Set("bug8", "token", time.Duration(1500+700*n)*time.Millisecond)
	}
	s, err := e.Inspect(within(t), "bug8")
	if err != nil || !s.Held || s.Remaining%time.Second == 0 {
		t.Errorf("inspect: got %v, %v, want held, for no whole number of seconds", s, err)
	}
	l, err := e.Adopt(within(t), "bug8", "token")
	if err != nil {
		t.Fatalf("e.Adopt: %v", err)
	}
	if held := e.Leases(); len(held) != 1 || held[0] != l {
		t.Errorf("tracked: %v", held)
	}
}

func TestBug09ServerTroubleLooksLikeTaken(t *testing.T) {
	servers := redistest.StartN(t, 3)
	// The guard would, rightly, not trust a master that was a replica meanwhile.
	e := open(t, servers, engine.Config{Guard: instance.GuardOff})
	for _, trouble := range []struct {
		name, says string
		cause      func(*redistest.Server)
		mend       func(*redistest.Server)
	}{
		{"OOM", "OOM", func(s *redistest.Server) { s.MustDo("CONFIG", "SET", "maxmemory", "1") }, func(s *redistest.Server) { s.MustDo("CONFIG", "SET", "maxmemory", "0") }},
		{"WRONGTYPE", "WRONGTYPE", func(s *redistest.Server) { s.MustDo("LPUSH", "bug9", "x") }, func(s *redistest.Server) { s.Del("bug9") }},
		{"READONLY", "READONLY", func(s *redistest.Server) { s.MustDo("REPLICAOF", "127.0.0.1", "1") }, func(s *redistest.Server) { s.MustDo("REPLICAOF", "NO", "ONE") }},
		{
			"NOPERM", "NOPERM",
			func(s *redistest.Server) { s.MustDo("ACL", "SETUSER", "default", "-set", "-evalsha") },
			func(s *redistest.Server) { s.MustDo("ACL", "SETUSER", "default", "+@all") },
		},
	} {
		for _, s := range servers[:2] {
			trouble.cause(s)
		}
		for _, opts := range [][]engine.Option{nil, {engine.WithFencing()}} {
			_, err := e.TryAcquire(within(t), "bug9", opts...)
			oneLine(t, err)
			var q *engine.QuorumError
			if errors.Is(err, engine.ErrHeld) || !errors.Is(err, engine.ErrNoQuorum) || !errors.As(err, &q) || !strings.Contains(err.Error(), trouble.says) {
				t.Errorf("%s: got %v, want ErrNoQuorum in a QuorumError that says %q", trouble.name, err, trouble.says)
				continue
			}
			for n, v := range q.Votes[:2] {
				if v.Kind != instance.Refused || v.Instance != servers[n].Addr() {
					t.Errorf("%s: vote of server %d: %v", trouble.name, n, v)
				}
			}
		}
		for _, s := range servers[:2] {
			trouble.mend(s)
		}
		for place := range servers {
			state(t, e, place, instance.Up)
		}
		release(t, acquire(t, e, "bug9"))
		clean(t, servers, "bug9")
	}
}

func TestBug10IsLockedIsFalseWhenAMajorityCannotBeReached(t *testing.T) {
	servers := redistest.StartN(t, 3)
	e := open(t, servers, engine.Config{InstanceTimeout: 100 * time.Millisecond})
	acquire(t, e, "bug10")
	servers[0].Kill()
	servers[1].Kill()
	s, err := e.Inspect(within(t), "bug10")
	oneLine(t, err)
	if !errors.Is(err, engine.ErrNoQuorum) || s.Held || len(s.Votes) != 3 {
		t.Errorf("inspect: got %v, %v, want ErrNoQuorum, not held, 3 votes", s, err)
	}
}

func TestBug11AFailedRelockWithTheSameIdentifierDeletesTheLock(t *testing.T) {
	servers := redistest.StartN(t, 3)
	a, b := open(t, servers, engine.Config{}), open(t, servers, engine.Config{})
	for name, opts := range map[string][]engine.Option{
		"bug11a": {engine.WithToken("mine")},
		"bug11b": nil,
		"bug11c": {engine.WithToken("mine"), engine.WithFencing()},
	} {
		l := acquire(t, a, name, opts...)
		everywhere(t, servers, l)
		for _, e := range []*engine.Engine{a, b} {
			again := append(opts[:len(opts):len(opts)], engine.WithToken(l.Token()), engine.WithTries(2))
			if _, err := e.TryAcquire(within(t), name, again...); !errors.Is(err, engine.ErrHeld) {
				t.Errorf("relock: %v", err)
			}
			if _, err := e.Acquire(within(t), name, again...); !errors.Is(err, engine.ErrHeld) {
				t.Errorf("relock: %v", err)
			}
		}
		if err := l.Extend(within(t), 0); err != nil {
			t.Errorf("l.Extend: %v", err)
		}
		for n, s := range servers {
			if s.Get(name) != l.Token() {
				t.Errorf("server %d: the held lock was deleted", n)
			}
		}
		release(t, l)
	}
}

func TestBug12PasswordsLeak(t *testing.T) {
	// From a server that is there and from none at all, in every form of URL;
	// malformed ones are in TestBadURLsSayWhatIsWrongWithoutSecrets.
	s := redistest.StartTCP(t)
	for _, url := range []string{
		"redis://user:pa55w0rd@" + s.Addr(), "redis://:pa55w0rd@" + s.Addr() + "/3", "rediss://:pa55w0rd@" + s.Addr(),
		"redis://:pa55w0rd@127.0.0.1:1", "unix://user:pa55w0rd@/nowhere.sock", "redis://host?password=pa55w0rd",
		"redis://user:pa55w0rd%40@" + s.Addr() + "?client_name=x",
	} {
		ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
		e, err := engine.Open(ctx, []string{url}, engine.Config{InstanceTimeout: 50 * time.Millisecond})
		cancel()
		shown := fmt.Sprintf("%v %+v %#v %v", err, err, err, e)
		if i, err := instance.Dial(url, instance.Config{}); err == nil {
			shown += fmt.Sprintf("%v %+v %#v %v", i, i, i, i.Health())
		}
		if strings.Contains(shown, "pa55w0rd") {
			t.Errorf("%s: the password is shown, want it hidden: %s", url, shown)
		}
		if e != nil {
			_ = e.Close(within(t))
		}
	}
}

func TestBug13TooShortATimeoutAndNoInstancesAndUseAfterDestroy(t *testing.T) {
	if _, err := engine.Open(within(t), nil, engine.Config{}); err == nil {
		t.Error("no instances are accepted")
	}
	servers := redistest.StartN(t, 1)
	e := open(t, servers, engine.Config{})
	if _, err := e.Acquire(within(t), "bug13", engine.WithTTL(time.Millisecond/2)); err == nil || !strings.Contains(err.Error(), "at least 1ms") {
		t.Errorf("half a millisecond: %v", err)
	}
	l := acquire(t, e, "bug13")
	if err := e.Close(within(t)); err != nil {
		t.Fatalf("e.Close: %v", err)
	}
	if err := l.Extend(within(t), 0); !errors.Is(err, lease.ErrClosed) {
		t.Errorf("extend after close: %v", err)
	}
	if err := l.Release(within(t)); !errors.Is(err, lease.ErrClosed) {
		t.Errorf("release after close: %v", err)
	}
	if _, err := e.Acquire(within(t), "bug13"); !errors.Is(err, engine.ErrClosed) {
		t.Errorf("acquire after close: %v", err)
	}
}

// The rest of what aioredlock does, in its Go form.
func TestLikeAioredlock(t *testing.T) {
	servers := redistest.StartN(t, 3)
	e := open(t, servers, engine.Config{Tries: 3, Backoff: enginetest.Eager})

	t.Run("retry_count bounds the tries", func(t *testing.T) {
		for _, s := range servers {
			s.Set("taken", "another", time.Minute)
		}
		rounds := 0
		counting := open(t, servers, engine.Config{Tries: 3, Backoff: enginetest.Eager, Trace: &engine.Trace{
			Acquired: func(_ context.Context, a engine.AcquiredInfo) { rounds = a.Rounds },
		}})
		if _, err := counting.Acquire(within(t), "taken"); !errors.Is(err, engine.ErrHeld) || rounds != 3 {
			t.Errorf("after %d rounds: %v", rounds, err)
		}
	})
	t.Run("an absent key counts as released", func(t *testing.T) {
		l := acquire(t, e, "absent")
		everywhere(t, servers, l)
		for _, s := range servers {
			s.Del("absent")
		}
		release(t, l)
		release(t, l)
	})
	t.Run("lock_identifier is the value", func(t *testing.T) {
		l := acquire(t, e, "identified", engine.WithToken("me"))
		everywhere(t, servers, l)
		release(t, l)
	})
	t.Run("a lock with a timeout is not renewed", func(t *testing.T) {
		l := acquire(t, e, "timeout", engine.WithTTL(200*time.Millisecond), engine.WithoutRenewal())
		if err := ended(t, l); !errors.Is(err, lease.ErrExpired) {
			t.Errorf("ended: got %v, want %v", err, lease.ErrExpired)
		}
	})
}

// A program that locks with the commands of redsync or aioredlock excludes us, and we
// exclude it.
func TestInterop(t *testing.T) {
	const release = `if redis.call("GET", KEYS[1]) == ARGV[1] then return redis.call("DEL", KEYS[1]) else return 0 end`
	servers := redistest.StartN(t, 3)
	e := open(t, servers, engine.Config{})
	for _, s := range servers[:2] { // their majority
		if reply := s.MustDo("SET", "interop", "theirs", "NX", "PX", "60000"); reply != "OK" {
			t.Fatalf("SET NX PX: got %v, want OK", reply)
		}
	}
	if _, err := e.TryAcquire(within(t), "interop"); !errors.Is(err, engine.ErrHeld) {
		t.Errorf("their lock does not exclude us: %v", err)
	}
	clean(t, servers[2:], "interop")
	for _, s := range servers[:2] {
		if s.Get("interop") != "theirs" {
			t.Error("our failed acquire has harmed their lock")
		}
		s.MustDo("EVAL", release, "1", "interop", "theirs")
	}
	l := acquire(t, e, "interop")
	everywhere(t, servers, l)
	for _, s := range servers {
		if reply := s.MustDo("SET", "interop", "theirs", "NX", "PX", "60000"); reply != nil {
			t.Errorf("our lock does not exclude them: %v", reply)
		}
		s.MustDo("EVAL", release, "1", "interop", "theirs")
		if s.Get("interop") != l.Token() {
			t.Error("their release has released our lock")
		}
	}
	if err := l.Release(within(t)); err != nil {
		t.Errorf("l.Release: %v", err)
	}
	clean(t, servers, "interop")
}
