package engine_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"golang.org/x/sync/errgroup"

	"github.com/holdfast-go/holdfast/engine"
	"github.com/holdfast-go/holdfast/internal/enginetest"
	"github.com/holdfast-go/holdfast/internal/redistest"
	"github.com/holdfast-go/holdfast/internal/testkit"
	"github.com/holdfast-go/holdfast/lease"
)

// notByRenewing has leases renewed so seldom that no renewal says anything within soon.
var notByRenewing = engine.Config{TTL: 30 * time.Second, RenewEvery: 20 * time.Second}

// soon is well within the time between two renewals, and well above what it takes on a busy machine.
const soon = 2 * time.Second

// watchedFor waits until all of the servers have promised to tell of so many keys.
func watchedFor(t *testing.T, servers []*redistest.Server, keys int) {
	t.Helper()
	for _, s := range servers {
		eventually(t, "the server tells of the locks", func() bool { return s.Stat("stats", "tracking_total_keys") == keys })
	}
}

// losings are the ways in which a lock goes before its time, and what its holder is told. Each is one command a server: of
// two, the holder might be told what stood between them.
var losings = map[string]struct {
	lose  func(t *testing.T, servers []*redistest.Server, name string)
	cause error
}{
	"deleted on one server after the other": {func(_ *testing.T, servers []*redistest.Server, name string) {
		for _, s := range servers {
			s.Del(name)
		}
	}, lease.ErrGone},
	"deleted on a majority": {func(_ *testing.T, servers []*redistest.Server, name string) {
		servers[2].Del(name)
		servers[0].Del(name)
	}, lease.ErrGone},
	"taken by force": {func(t *testing.T, servers []*redistest.Server, name string) {
		force(t, servers, name)
	}, lease.ErrGone},
	"overwritten": {func(_ *testing.T, servers []*redistest.Server, name string) {
		for _, s := range servers {
			s.MustDo("SET", name, "somebody else's")
		}
	}, lease.ErrStolen},
	"of another type": {func(_ *testing.T, servers []*redistest.Server, name string) {
		for _, s := range servers {
			becomeHash(s, name)
		}
	}, lease.ErrStolen},
	"made to expire": {func(_ *testing.T, servers []*redistest.Server, name string) {
		for _, s := range servers[1:] {
			s.MustDo("PEXPIRE", name, "30")
		}
	}, lease.ErrGone},
	"renamed": {func(_ *testing.T, servers []*redistest.Server, name string) {
		for _, s := range servers[:2] {
			s.MustDo("RENAME", name, "elsewhere-"+name)
		}
	}, lease.ErrGone},
}

// becomeHash puts a hash in the place of a key, in one command.
func becomeHash(s *redistest.Server, key string) {
	s.MustDo("EVAL", "redis.call('DEL', KEYS[1]) return redis.call('HSET', KEYS[1], 'field', 1)", "1", key)
}

func force(t *testing.T, servers []*redistest.Server, name string) {
	t.Helper()
	other := open(t, servers, engine.Config{})
	seen, err := other.Inspect(within(t), name)
	if err == nil {
		err = other.ForceRelease(within(t), seen)
	}
	if err != nil {
		t.Errorf("force release: %v", err)
	}
	_ = other.Close(context.Background())
}

// Each is renewed or of a fixed length, with a fence or without, of a lock that is handed on or not.
func TestAHolderIsToldAtOnceThatItsLockIsGone(t *testing.T) {
	for name, c := range losings {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			servers := redistest.StartN(t, 3)
			cfg := notByRenewing
			handing := cfg
			handing.LocalHandoff = 16
			engines := []*engine.Engine{open(t, servers, cfg), open(t, servers, handing)}
			var leases []*lease.Lease
			for n := range 32 {
				opts := []engine.Option{engine.WithWatch()}
				if n/2%2 == 1 {
					opts = append(opts, engine.WithFencing())
				}
				if n/4%2 == 1 {
					opts = append(opts, engine.WithoutRenewal())
				}
				l := acquire(t, engines[n%2], fmt.Sprint("r", n), opts...)
				leases = append(leases, l)
			}
			bystander := acquire(t, engines[0], "bystander", engine.WithWatch())
			watchedFor(t, servers, len(leases)+1)
			for _, l := range leases {
				c.lose(t, servers, l.Resource())
				endsSoon(t, l, c.cause)
			}
			if err := bystander.Err(); err != nil {
				t.Errorf("another lease: %v", err)
			}
		})
	}
}

// What was watched is forgotten, all of it: else the connection would stay.
func TestNothingStaysOfTenThousandWatchedLeases(t *testing.T) {
	t.Parallel()
	servers := redistest.StartN(t, 3)
	e := open(t, servers, engine.Config{})
	const cycles, callers = 10_000, 8
	var all errgroup.Group
	for c := range callers {
		all.Go(func() error {
			for n := range cycles / callers {
				l, err := e.Acquire(context.Background(), fmt.Sprint("r", c), engine.WithWatch())
				if err != nil {
					return err
				}
				if n%100 == 0 {
					time.Sleep(25 * time.Millisecond) // it is being watched
				}
				if err := l.Release(context.Background()); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := all.Wait(); err != nil {
		t.Errorf("a cycle: %v", err)
	}
	for _, s := range servers {
		eventually(t, "nobody is told of anything", func() bool { return s.Stat("clients", "tracking_clients") == 0 })
	}
}

// The connection on which the servers tell is cut, again and again.
func TestAHolderIsToldThoughTheConnectionForThatIsCut(t *testing.T) {
	t.Parallel()
	servers := redistest.StartN(t, 3)
	e := open(t, servers, notByRenewing)
	l := acquire(t, e, "r", engine.WithWatch())
	watchedFor(t, servers, 1)
	for range 5 {
		for _, s := range servers {
			s.MustDo("CONFIG", "RESETSTAT")
			for _, line := range strings.Split(s.MustDo("CLIENT", "LIST").(string), "\n") {
				if id, flags := clientField(line, "id"), clientField(line, "flags"); strings.Contains(flags, "t") {
					s.MustDo("CLIENT", "KILL", "ID", id)
				}
			}
			eventually(t, "it is asked anew", func() bool { return s.Calls("getrange") > 0 })
		}
	}
	if err := l.Err(); err != nil {
		t.Fatalf("it ended with %v", err)
	}
	for _, s := range servers {
		s.Del("r")
	}
	endsSoon(t, l, lease.ErrGone)
}

// clientField is a field of a line of CLIENT LIST.
func clientField(line, name string) string {
	for _, field := range strings.Fields(line) {
		if value, is := strings.CutPrefix(field, name+"="); is {
			return value
		}
	}
	return ""
}

func endsSoon(t *testing.T, l *lease.Lease, cause error) {
	t.Helper()
	select {
	case <-l.Done():
	case <-time.After(soon):
	}
	if err := l.Err(); !errors.Is(err, cause) {
		t.Errorf("%s: %v, want %v", l.Resource(), err, cause)
	}
}

// What the servers may not tell is learnt with the next renewal, as without a watch, and the log says so once.
func TestWhereServersMayNotTellTheNextRenewalSaysIt(t *testing.T) {
	for name, rule := range map[string]string{
		"no tracking": "-client|tracking",
		"no GETRANGE": "-getrange",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			servers := redistest.StartN(t, 3)
			for _, s := range servers {
				s.User(enginetest.User, enginetest.Password, "~* &* +@all "+rule)
			}
			var log testkit.Log
			cfg := engine.Config{TTL: 3 * time.Second, RenewEvery: time.Second, Logger: slog.New(slog.NewTextHandler(&log, nil))}
			e, err := enginetest.OpenAsUser(t, servers, cfg)
			if err != nil {
				t.Fatalf("enginetest.OpenAsUser: %v", err)
			}
			for n := range 3 {
				l := acquire(t, e, fmt.Sprint("r", n), engine.WithWatch())
				everywhere(t, servers, l)
				time.Sleep(300 * time.Millisecond) // it is not the watch's beginning that finds it
				for _, s := range servers {
					s.Del(l.Resource())
				}
				endsSoon(t, l, lease.ErrGone)
			}
			if err := e.Close(within(t)); err != nil {
				t.Errorf("close: %v", err)
			}
			if n := log.Count("the server does not tell"); n < 1 || n > len(servers) {
				t.Errorf("the log says it %d times: %s", n, &log)
			}
			if n := log.Count("by renewing"); n != 3 {
				t.Errorf("the log says %d times how a loss was noticed: %s", n, &log)
			}
		})
	}
}

// A client that changes the key of a held lock as fast as it can costs a bounded number of commands.
func TestAWriterThatNeverStopsIsNoStorm(t *testing.T) {
	t.Parallel()
	servers := redistest.StartN(t, 3)
	cfg := engine.Config{TTL: 3 * time.Second, RenewEvery: time.Second}
	e := open(t, servers, cfg)
	l := acquire(t, e, "r", engine.WithWatch())
	watchedFor(t, servers, 1)
	client := redis.NewClient(&redis.Options{Network: servers[1].Network(), Addr: servers[1].Addr()})
	defer func() { _ = client.Close() }()
	for _, s := range servers {
		s.MustDo("CONFIG", "RESETSTAT")
	}
	const long = 3 * time.Second
	writes := 0
	for begun := time.Now(); time.Since(begun) < long; {
		if _, err := client.Pipelined(t.Context(), func(pipe redis.Pipeliner) error {
			for range 100 {
				writes++
				pipe.Set(t.Context(), "r", fmt.Sprint("somebody ", writes), time.Minute)
			}
			return nil
		}); err != nil {
			t.Fatalf("a pipeline: %v", err)
		}
	}
	if writes < 1_000 { // a busy machine writes so many, and they are many times the questions that are permitted
		t.Errorf("only %d writes", writes)
	}
	for n, s := range servers {
		if asked := s.Calls("getrange"); asked < 1 || asked > 150 { // also those in scripts
			t.Errorf("server %d was asked %d times what the key has, for %d writes", n, asked, writes)
		}
		if scripts := s.Calls("evalsha"); scripts > 75 {
			t.Errorf("server %d was sent %d scripts", n, scripts)
		}
	}
	if err := l.Err(); err != nil {
		t.Errorf("it ended with %v", err)
	}
	for _, s := range servers {
		s.Del("r")
	}
	endsSoon(t, l, lease.ErrLost) // one may still have the writer's
}
