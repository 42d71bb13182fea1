package engine_test

import (
	"errors"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/holdfast-go/holdfast/engine"
	"github.com/holdfast-go/holdfast/internal/redistest"
	"github.com/holdfast-go/holdfast/internal/testkit"
	"github.com/holdfast-go/holdfast/lease"
)

// watched is an engine's log and the outcomes of its renewals.
type watched struct {
	log testkit.Log

	mu                sync.Mutex
	confirmed, failed int
}

func (w *watched) renewals() (confirmed, failed int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.confirmed, w.failed
}

// config renews leases of 30 seconds every 100 ms.
func (w *watched) config() engine.Config {
	return engine.Config{
		TTL: 30 * time.Second, RenewEvery: 100 * time.Millisecond,
		Logger: slog.New(slog.NewTextHandler(&w.log, nil)),
		Trace: &engine.Trace{Renewed: func(r engine.RenewedInfo) {
			w.mu.Lock()
			defer w.mu.Unlock()
			if r.Confirmed {
				w.confirmed++
			} else {
				w.failed++
			}
		}},
	}
}

// awaitRenewals waits for so many more confirmed renewals.
func (w *watched) awaitRenewals(t *testing.T, more int) {
	t.Helper()
	before, _ := w.renewals()
	eventually(t, "renewals are confirmed", func() bool {
		now, _ := w.renewals()
		return now >= before+more
	})
}

const stepped = "the server's clock was stepped"

// isStep fails the test unless the engine has seen that one instance's clock, and
// no other's, was stepped by about so much.
func isStep(t *testing.T, e *engine.Engine, seat int, by time.Duration) {
	t.Helper()
	for n, h := range e.Instances() {
		want := time.Duration(0)
		if n == seat {
			want = by
		}
		if off := h.Stepped - want; off.Abs() > time.Second || h.SteppedAt.IsZero() != (n != seat) {
			t.Errorf("instance %d was stepped by %v at %v, want %v", n, h.Stepped, h.SteppedAt, want)
		}
	}
}

func TestStepOfAServersClockIsReportedAndCostsTheLeaseNothing(t *testing.T) {
	for _, by := range []time.Duration{20 * time.Second, time.Minute, -time.Minute} {
		t.Run(by.String(), func(t *testing.T) {
			t.Parallel()
			servers, w := redistest.StartSteppableN(t, 3), new(watched)
			e := open(t, servers, w.config())
			l := acquire(t, e, "r")
			everywhere(t, servers, l)
			w.awaitRenewals(t, 2)

			servers[1].StepClock(by)
			eventually(t, "the step is noticed", func() bool { return e.Instances()[1].Stepped != 0 })
			w.awaitRenewals(t, 5)
			isStep(t, e, 1, by)
			if n := w.log.Count(stepped); n != 1 {
				t.Errorf("it was logged %d times", n)
			}
			if _, failed := w.renewals(); failed != 0 || !l.Valid() {
				t.Errorf("%d renewals failed, %v", failed, l)
			}
			everywhere(t, servers, l) // where it had expired it is healed
			if left := servers[1].PTTL("r"); left < 29*time.Second {
				t.Errorf("the key has %v left there", left)
			}
		})
	}
}

func TestVoteOfAServerWhoseClockWasSteppedDoesNotCountOnce(t *testing.T) {
	for _, by := range []time.Duration{20 * time.Second, -time.Minute} {
		for _, opts := range [][]engine.Option{nil, {engine.WithFencing()}} {
			t.Run(by.String(), func(t *testing.T) {
				t.Parallel()
				servers, w := redistest.StartSteppableN(t, 1), new(watched) // so that its vote decides
				e := open(t, servers, w.config())
				l := acquire(t, e, "r", opts...)
				w.awaitRenewals(t, 2)

				servers[0].StepClock(by)
				eventually(t, "a renewal fails", func() bool { _, failed := w.renewals(); return failed > 0 })
				w.awaitRenewals(t, 5)
				isStep(t, e, 0, by)
				if _, failed := w.renewals(); failed != 1 || w.log.Count("clock stepped") != 1 || !l.Valid() {
					t.Errorf("%d renewals failed, %d for the clock, %v", failed, w.log.Count("clock stepped"), l)
				}
				release(t, l)
			})
		}
	}
}

func TestLeaseWhoseOnlyKeyExpiredByAStepIsLostAtOnce(t *testing.T) {
	t.Parallel()
	servers, w := redistest.StartSteppableN(t, 1), new(watched)
	e := open(t, servers, w.config())
	l := acquire(t, e, "r")
	w.awaitRenewals(t, 2)
	servers[0].StepClock(time.Minute)
	if err := ended(t, l); !errors.Is(err, lease.ErrGone) || l.Remaining() != 0 {
		t.Errorf("the lease ended with %v, and %v left: want ErrGone, and nothing", err, l.Remaining())
	}
	isStep(t, e, 0, time.Minute)
}

func TestNothingElseIsTakenForAStep(t *testing.T) {
	if testing.Short() {
		t.Skip("it waits for 45 renewals: 5 seconds")
	}
	t.Parallel()
	servers, w := redistest.StartSteppableN(t, 3), new(watched)
	e := open(t, servers, w.config())
	l := acquire(t, e, "r")
	everywhere(t, servers, l)
	w.awaitRenewals(t, 2)
	for name, do := range map[string]func(){
		"an extension": func() {
			if err := l.Extend(within(t), 50*time.Second); err != nil {
				t.Errorf("l.Extend: %v", err)
			}
		},
		"an adoption": func() {
			adopted, err := e.Adopt(within(t), "r", detach(t, l))
			if err != nil {
				t.Fatalf("e.Adopt: %v", err)
			}
			l = adopted
		},
		"a key that is gone":        func() { servers[0].Del("r") },
		"a key without an end":      func() { servers[0].MustDo("PERSIST", "r") },
		"a key that ends too early": func() { servers[0].MustDo("PEXPIRE", "r", "5000") },
		"a key that ends too late":  func() { servers[0].MustDo("PEXPIRE", "r", "500000") },
		"broken connections":        func() { servers[0].MustDo("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes") },
		"a server that is slow":     func() { servers[0].Pause(); w.awaitRenewals(t, 2); servers[0].Resume() },
		"a restart":                 func() { servers[0].StepClock(time.Hour); servers[0].Restart() },
	} {
		do()
		w.awaitRenewals(t, 5)
		for n, h := range e.Instances() {
			if h.Stepped != 0 {
				t.Fatalf("%s: instance %d seems to be stepped by %v", name, n, h.Stepped)
			}
		}
	}
	if n := w.log.Count("clock stepped"); n != 0 || !l.Valid() {
		t.Errorf("%d doubts, %v", n, l)
	}
}
