package engine_test

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-go/holdfast/engine"
	"github.com/holdfast-go/holdfast/instance"
	"github.com/holdfast-go/holdfast/internal/enginetest"
	"github.com/holdfast-go/holdfast/internal/redistest"
	"github.com/holdfast-go/holdfast/lease"
)

// quorums are the sets that these tests run on, whatever servers the others run on: each version by itself, a quorum in which
// one alone deletes natively, and one of three vendors' words.
func quorums() map[string][]string {
	all := map[string][]string{
		"one native of three": {redistest.Machine, "redis-8.0", "valkey-9.1"},
		"all different":       {"redis-8.6", "valkey-8.1", "valkey-9.1"},
	}
	for _, name := range append([]string{redistest.Machine}, redistest.Others...) {
		all[name] = []string{name, name, name}
	}
	return all
}

// patient does not take a server for down that a busy machine holds up.
var patient = engine.Config{InstanceTimeout: 5 * time.Second}

// onEachQuorum runs a test on all of them, in parallel.
func onEachQuorum(t *testing.T, test func(t *testing.T, servers []*redistest.Server)) {
	t.Helper()
	t.Parallel()
	for name, programs := range quorums() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, redistest.StartEach(t, programs...))
		})
	}
}

// nativeDeletions counts the releases that each server had as one native command.
func nativeDeletions(servers []*redistest.Server) (calls []int) {
	for _, s := range servers {
		calls = append(calls, s.Calls("delifeq")+s.Calls("delex"))
	}
	return calls
}

// whereNative is n for each server that has a native compare-and-delete, and 0 for the others.
func whereNative(servers []*redistest.Server, n int) (want []int) {
	for _, s := range servers {
		if s.Knows("delifeq") || s.Knows("delex") {
			want = append(want, n)
		} else {
			want = append(want, 0)
		}
	}
	return want
}

// Whatever kinds of leases there are: they exclude each other, are given back, and leave nothing, on each server and on any
// mixture.
func TestEveryKindOfLeaseOnEachServer(t *testing.T) {
	onEachQuorum(t, func(t *testing.T, servers []*redistest.Server) {
		a, b := open(t, servers, patient), open(t, servers, patient)
		for seat := range servers {
			state(t, a, seat, instance.Up)
			state(t, b, seat, instance.Up)
		}
		contend := func(resource string, opts ...engine.Option) {
			t.Helper()
			if _, err := b.TryAcquire(within(t), resource, opts...); !errors.Is(err, engine.ErrHeld) {
				t.Errorf("%s: a second holder: %v, want %v", resource, err, engine.ErrHeld)
			}
		}

		one := acquire(t, a, "one")
		contend("one")
		release(t, one)
		release(t, acquire(t, b, "one"))

		fenced := acquire(t, a, "fenced", engine.WithFencing())
		contend("fenced", engine.WithFencing())
		release(t, fenced)
		next := acquire(t, b, "fenced", engine.WithFencing())
		if next.Fence() <= fenced.Fence() {
			t.Errorf("the fence is %d after %d", next.Fence(), fenced.Fence())
		}
		release(t, next)

		all, err := a.AcquireAll(within(t), []string{"x", "y", "z"})
		if err != nil {
			t.Fatalf("a.AcquireAll: %v", err)
		}
		contend("y")
		release(t, all)

		var permits []*lease.Lease
		for range 2 {
			permits = append(permits, acquire(t, a, "permits", engine.Permits(2)))
		}
		contend("permits", engine.Permits(2))
		release(t, permits[0])
		release(t, acquire(t, b, "permits", engine.Permits(2)))
		release(t, permits[1])

		left := acquire(t, a, "left")
		everywhere(t, servers, left) // what comes later than its detachment stays for its TTL
		adopted, err := b.Adopt(within(t), "left", enginetest.Detach(t, left))
		if err != nil {
			t.Fatalf("b.Adopt: %v", err)
		}
		contend("left")
		release(t, adopted)

		forced := acquire(t, a, "forced", engine.WithWatch())
		everywhere(t, servers, forced)
		seen, err := b.Inspect(within(t), "forced")
		if err != nil {
			t.Fatalf("b.Inspect: %v", err)
		}
		if err := b.ForceRelease(within(t), seen); err != nil {
			t.Errorf("b.ForceRelease: %v", err)
		}
		if err := ended(t, forced); !errors.Is(err, lease.ErrLost) {
			t.Errorf("the lease that was taken away ended with %v", err)
		}

		got, err := a.TryAcquireEach(within(t), []string{"e1", "e2", "e3"})
		if err != nil {
			t.Fatalf("a.TryAcquireEach: %v", err)
		}
		var each []*lease.Lease
		for _, e := range got {
			each = append(each, e.Lease)
		}
		for _, err := range a.ReleaseEach(within(t), each) {
			if err != nil {
				t.Errorf("a.ReleaseEach: %v", err)
			}
		}

		held := acquire(t, a, "handed")
		waiter := enginetest.Wait(t, b, servers, "handed")
		release(t, held)
		if l := <-waiter; l != nil {
			release(t, l)
		}
		for _, key := range []string{
			"one", "fenced", "x", "y", "z", a.PermitName("permits", 0), a.PermitName("permits", 1), "left", "forced", "e1", "e2", "e3", "handed",
		} {
			clean(t, servers, key)
		}
	})
}

// A release deletes what has the token, byte for byte, whatever a server makes of a value (a number, say), and each server is
// asked in its own way.
func TestTokensOfAnyFormAreGivenBackOnEachServer(t *testing.T) {
	onEachQuorum(t, func(t *testing.T, servers []*redistest.Server) {
		e := open(t, servers, patient)
		for seat := range servers {
			state(t, e, seat, instance.Up)
		}
		before := nativeDeletions(servers)
		tokens := []string{
			"123", "-5", "0123", "1e3", " ", "9223372036854775807", "9223372036854775808", "IFEQ", "a\r\nb", "\x00\xff",
			strings.Repeat("x", 44), strings.Repeat("x", 45), strings.Repeat("x", 1024),
		}
		for n, token := range tokens {
			resource := fmt.Sprint("r", n)
			l := acquire(t, e, resource, engine.WithToken(token))
			everywhere(t, servers, l)
			release(t, l)
			clean(t, servers, resource)
		}
		after := nativeDeletions(servers)
		for n, want := range whereNative(servers, len(tokens)) {
			if got := after[n] - before[n]; got != want {
				t.Errorf("server %d had %d native releases, want %d", n, got, want)
			}
		}
	})
}

// wrongType is what servers say of a key that is no string: DELEX has words of its own.
var wrongType = regexp.MustCompile(`WRONGTYPE|of string type`)

// What has taken the place of a lock stays, also where it is no string, and the holder is told; whoever asks in which way.
func TestReleaseLeavesAloneWhatIsNoLockOnEachServer(t *testing.T) {
	onEachQuorum(t, func(t *testing.T, servers []*redistest.Server) {
		e := open(t, servers, patient)
		for seat := range servers {
			state(t, e, seat, instance.Up)
		}
		for name, replace := range map[string][]string{
			"list":    {"LPUSH", "KEY", "x"},
			"hash":    {"HSET", "KEY", "x", "y"},
			"another": {"SET", "KEY", "another's"},
		} {
			resource, permit := name, e.PermitName(name, 0)
			leases := map[string]*lease.Lease{
				resource: acquire(t, e, resource, engine.WithoutRenewal()),
				permit:   acquire(t, e, name, engine.Permits(1), engine.WithoutRenewal()),
			}
			for key, l := range leases {
				for n, s := range servers {
					eventually(t, fmt.Sprintf("server %d has %s", n, key), func() bool { return s.Get(key) == l.Token() })
					s.Del(key)
					s.MustDo(strings.Split(strings.ReplaceAll(strings.Join(replace, "\n"), "KEY", key), "\n")...)
				}
				switch err := l.Release(within(t)); {
				case name == "another" && errors.Is(err, lease.ErrStolen):
				case name != "another" && errors.Is(err, engine.ErrNoQuorum) && wrongType.MatchString(err.Error()):
				default:
					t.Errorf("%s: released, and told: %v", key, err)
				}
				for n, s := range servers {
					if there := s.MustDo("EXISTS", key); there != int64(1) {
						t.Errorf("%s: server %d has deleted it", key, n)
					}
				}
			}
		}
	})
}

// Another server comes up behind the address of each, one after the other, while leases are held: an upgrade and a downgrade,
// without the keys, which no version reads of all others. The leases go on, as a majority has them; what the new one has lost is
// healed; and a release asks each server in the way of the one that is there now.
func TestLeasesOutliveUpgradesAndDowngrades(t *testing.T) {
	t.Parallel()
	for name, way := range map[string][]string{
		"Valkey 9.1 to Redis 7": {"valkey-9.1", redistest.Machine},
		"Redis 7 to Valkey 9.1": {redistest.Machine, "valkey-9.1"},
		"Redis 8.0 to 8.6":      {"redis-8.0", "redis-8.6"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			servers := redistest.StartEach(t, way[0], way[0], way[0])
			e := open(t, servers, engine.Config{TTL: 3 * time.Second, MaxTTL: 3 * time.Second, RenewEvery: 300 * time.Millisecond})
			held := map[string]*lease.Lease{"plain": acquire(t, e, "plain"), "fenced": acquire(t, e, "fenced", engine.WithFencing())}
			for step, program := range way {
				for seat, s := range servers {
					if step > 0 {
						s.RestartAs(program)
					}
					state(t, e, seat, instance.Up)
					for resource, l := range held {
						eventually(t, fmt.Sprintf("%s: server %d has %s", program, seat, resource), func() bool { return s.Get(resource) == l.Token() })
					}
				}
				before := nativeDeletions(servers)
				l := acquire(t, e, "short")
				everywhere(t, servers, l)
				release(t, l)
				clean(t, servers, "short")
				after := nativeDeletions(servers)
				for seat, want := range whereNative(servers, 1) {
					if got := after[seat] - before[seat]; (got == 0) != (want == 0) {
						t.Errorf("%s: server %d had %d native releases, want %d", program, seat, got, want)
					}
				}
			}
			for resource, l := range held {
				release(t, l)
				clean(t, servers, resource)
			}
		})
	}
}

// A lone server that another takes the place of has lost the lease, and it is reported so.
func TestDowngradeOfTheOnlyServerLosesTheLease(t *testing.T) {
	t.Parallel()
	servers := redistest.StartEach(t, "valkey-9.1")
	e := open(t, servers, engine.Config{TTL: 20 * time.Second, RenewEvery: 100 * time.Millisecond})
	l := acquire(t, e, "r")
	servers[0].RestartAs(redistest.Machine)
	if err := ended(t, l); !errors.Is(err, lease.ErrGone) {
		t.Errorf("it ended with %v, want %v", err, lease.ErrGone)
	}
}
