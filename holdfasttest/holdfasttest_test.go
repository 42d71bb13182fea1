package holdfasttest_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/holdfast-go/holdfast/engine"
	"github.com/holdfast-go/holdfast/holdfasttest"
	"github.com/holdfast-go/holdfast/internal/enginetest"
	"github.com/holdfast-go/holdfast/lease"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// inBoth runs a test in simulated time and in real time.
func inBoth(t *testing.T, test func(*testing.T)) {
	t.Run("simulated", func(t *testing.T) { synctest.Test(t, test) })
	t.Run("real", test)
}

// acquire has a short name here: most tests begin with it.
var acquire = enginetest.Acquire

func TestEnginesExcludeEachOther(t *testing.T) {
	inBoth(t, func(t *testing.T) {
		fake := holdfasttest.New(t, 3)
		one, two := fake.Engine(engine.Config{}), fake.Engine(engine.Config{})
		l := acquire(t, one, "r")
		if _, err := two.TryAcquire(t.Context(), "r"); !errors.Is(err, engine.ErrHeld) {
			t.Errorf("the other engine got %v, want ErrHeld", err)
		}
		if err := l.Release(t.Context()); err != nil {
			t.Errorf("release: %v", err)
		}
		acquire(t, two, "r")
	})
}

func TestLoseEndsTheLeaseAtOnce(t *testing.T) {
	for _, cause := range []error{lease.ErrStolen, lease.ErrGone, lease.ErrExpired} {
		t.Run(cause.Error(), func(t *testing.T) {
			inBoth(t, func(t *testing.T) {
				fake := holdfasttest.New(t, 3)
				locks := fake.Engine(engine.Config{KeyPrefix: "app:", LocalHandoff: 16})
				l := acquire(t, locks, "r")
				start := time.Now()
				fake.Lose("r", cause)
				select {
				case <-l.Done():
				default:
					t.Fatal("Done is not closed")
				}
				if err := l.Err(); !errors.Is(err, cause) || !errors.Is(err, lease.ErrLost) {
					t.Errorf("the lease ended with %v, want %v", err, cause)
				}
				if took := time.Since(start); took > time.Second {
					t.Errorf("it took %v", took)
				}
				_, err := locks.TryAcquire(t.Context(), "r")
				if free := !errors.Is(cause, lease.ErrStolen); free != (err == nil) {
					t.Errorf("the next acquire returned %v", err)
				}
			})
		})
	}
}

func TestAnEngineThatIsCutOffLosesItsLeasesInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := holdfasttest.New(t, 3)
		locks, others := fake.Engine(engine.Config{}), fake.Engine(engine.Config{})
		l := acquire(t, locks, "r")
		fake.Partition(locks)
		deadline := l.Deadline()
		<-l.Done()
		if now := time.Now(); now.After(deadline.Add(time.Second)) || !errors.Is(l.Err(), lease.ErrExpired) {
			t.Errorf("it ended %v after its deadline, with %v", now.Sub(deadline), l.Err())
		}
		acquire(t, others, "r")
		fake.Heal(locks)
		if _, err := locks.TryAcquire(t.Context(), "r"); !errors.Is(err, engine.ErrHeld) {
			t.Errorf("it got %v, want ErrHeld", err)
		}
	})
}

func TestAnotherProcessHolds(t *testing.T) {
	inBoth(t, func(t *testing.T) {
		fake := holdfasttest.New(t, 1)
		locks := fake.Engine(engine.Config{})
		release := fake.Hold("r")
		got := make(chan error, 1)
		go func() {
			_, err := locks.Acquire(t.Context(), "r")
			got <- err
		}()
		if _, err := locks.TryAcquire(t.Context(), "r"); !errors.Is(err, engine.ErrHeld) {
			t.Errorf("it got %v, want ErrHeld", err)
		}
		release()
		if err := <-got; err != nil {
			t.Errorf("after the release: %v", err)
		}
	})
}

func TestServersThatStopAndRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := holdfasttest.New(t, 3)
		locks := fake.Engine(engine.Config{})
		fake.Stop(1)
		l := acquire(t, locks, "r") // a quorum is left
		fake.Start(1)
		time.Sleep(10 * time.Second) // a renewal puts the key there, too
		fake.Restart(2)
		time.Sleep(time.Minute)
		if err := l.Err(); err != nil {
			t.Errorf("the lease has ended: %v", err)
		}
		fake.Stop(1)
		fake.Stop(2)
		if _, err := locks.TryAcquire(t.Context(), "s"); !errors.Is(err, engine.ErrNoQuorum) {
			t.Errorf("without a quorum: %v, want ErrNoQuorum", err)
		}
	})
}

func TestWhatHappenedIsRecorded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := holdfasttest.New(t, 3)
		locks := fake.Engine(engine.Config{})
		held := acquire(t, locks, "r")
		_, _ = locks.TryAcquire(t.Context(), "r")
		_ = held.Release(t.Context())
		synctest.Wait()
		var got []string
		for _, e := range fake.Events() {
			if e.Engine != locks || e.At.IsZero() {
				t.Errorf("%v is of engine %v, at %v", e, e.Engine, e.At)
			}
			got = append(got, e.Resource+" "+e.Kind.String())
		}
		if want := "r acquired, r refused, r ended"; strings.Join(got, ", ") != want {
			t.Errorf("the record has %q, want %q", got, want)
		}
	})
}

// report is code under test: it works for as long as it holds the lock.
func report(ctx context.Context, locks *engine.Engine) error {
	return locks.Do(ctx, "report", func(ctx context.Context) error {
		<-ctx.Done()
		return context.Cause(ctx)
	})
}

func TestTheReportStopsWhenTheLockIsLost(t *testing.T) {
	fake := holdfasttest.New(t, 3)
	locks := fake.Engine(engine.Config{})

	ended := make(chan error, 1)
	go func() { ended <- report(t.Context(), locks) }()
	fake.AwaitHeld("report")
	fake.Lose("report", lease.ErrStolen)
	if err := <-ended; !errors.Is(err, lease.ErrLost) {
		t.Errorf("the report went on without the lock: %v", err)
	}
}

// A test that asks for what cannot be is told so, and fails.
func TestMisuseEndsTheTest(t *testing.T) {
	for name, misuse := range map[string]struct {
		do   func(testing.TB)
		want string
	}{
		"no servers":    {func(tb testing.TB) { holdfasttest.New(tb, 0) }, "0 servers"},
		"bad config":    {func(tb testing.TB) { holdfasttest.New(tb, 1).Engine(engine.Config{TTL: 1}) }, "TTL is 1ns"},
		"nobody's lock": {func(tb testing.TB) { holdfasttest.New(tb, 1).Lose("r", lease.ErrStolen) }, "no engine holds it"},
		"other server":  {func(tb testing.TB) { holdfasttest.New(tb, 1).Restart(2) }, "numbered from 1 to 1"},
		"other engine":  {func(tb testing.TB) { holdfasttest.New(tb, 1).Partition(nil) }, "not one of Redis.Engine's"},
	} {
		t.Run(name, func(t *testing.T) {
			f := &failing{TB: t}
			done := make(chan struct{})
			go func() {
				defer close(done)
				misuse.do(f)
			}()
			<-done
			if !strings.Contains(f.said, misuse.want) {
				t.Errorf("it said %q, want %q in it", f.said, misuse.want)
			}
		})
	}
}

// failing is a test that is expected to fail.
type failing struct {
	testing.TB
	said string
}

func (f *failing) Helper() {}

func (f *failing) Fatal(args ...any) {
	f.said = fmt.Sprint(args...)
	runtime.Goexit()
}

func (f *failing) Fatalf(format string, args ...any) {
	f.said = fmt.Sprintf(format, args...)
	runtime.Goexit()
}
