package engine_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-go/holdfast/engine"
	"github.com/holdfast-go/holdfast/instance"
	"github.com/holdfast-go/holdfast/internal/sim"
	"github.com/holdfast-go/holdfast/internal/testkit"
	"github.com/holdfast-go/holdfast/lease"
)

// hook is a func of the user's that does not return before the test is over.
type hook struct {
	let    chan struct{}
	called atomic.Int64
}

func (h *hook) hang() {
	h.called.Add(1)
	<-h.let
}

// handler is a slog.Handler that does something before whatever it is asked for.
type handler struct {
	slog.Handler
	enabled, handle, with func()
}

func (h handler) Enabled(ctx context.Context, l slog.Level) bool {
	h.enabled()
	return h.Handler.Enabled(ctx, l)
}

func (h handler) Handle(ctx context.Context, r slog.Record) error {
	h.handle()
	return h.Handler.Handle(ctx, r)
}

func (h handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	h.with()
	h.Handler = h.Handler.WithAttrs(attrs)
	return h
}

func nothing() {}

// logging is a logger whose handler's methods do that.
func logging(enabled, handle, with func()) *slog.Logger {
	return slog.New(handler{slog.NewTextHandler(new(bytes.Buffer), nil), enabled, handle, with})
}

// hooks has a way to plant each func that a user may give to an engine, by name,
// but for Trace.Acquired and Trace.Each, which are called on their callers' own goroutines.
func hooks() map[string]func(h *hook, cfg *engine.Config, icfg *instance.Config) {
	all := map[string]func(*hook, *engine.Config, *instance.Config){
		"Logger, Enabled":          func(h *hook, c *engine.Config, _ *instance.Config) { c.Logger = logging(h.hang, nothing, nothing) },
		"Logger, Handle":           func(h *hook, c *engine.Config, _ *instance.Config) { c.Logger = logging(nothing, h.hang, nothing) },
		"an instance's, Enabled":   func(h *hook, _ *engine.Config, i *instance.Config) { i.Logger = logging(h.hang, nothing, nothing) },
		"an instance's, Handle":    func(h *hook, _ *engine.Config, i *instance.Config) { i.Logger = logging(nothing, h.hang, nothing) },
		"an instance's, WithAttrs": func(h *hook, _ *engine.Config, i *instance.Config) { i.Logger = logging(nothing, nothing, h.hang) },
		"LogTrace": func(h *hook, c *engine.Config, _ *instance.Config) {
			c.Trace = hung(engine.LogTrace(logging(h.hang, nothing, nothing)))
		},
		"Backoff": func(h *hook, c *engine.Config, _ *instance.Config) {
			c.Backoff = func() engine.Backoff { h.hang(); return never() }
		},
		"Backoff's NextBackOff": func(h *hook, c *engine.Config, _ *instance.Config) {
			c.Backoff = func() engine.Backoff { return slow{h} }
		},
	}
	fields := reflect.TypeFor[engine.Trace]()
	for n := range fields.NumField() {
		if name := fields.Field(n).Name; name != "Acquired" && name != "Each" {
			all["Trace."+name] = func(h *hook, c *engine.Config, _ *instance.Config) {
				c.Trace = new(engine.Trace)
				v := reflect.ValueOf(c.Trace).Elem().Field(n)
				v.Set(reflect.MakeFunc(v.Type(), func([]reflect.Value) []reflect.Value { h.hang(); return nil }))
			}
		}
	}
	return all
}

// hung is a trace without the funcs that are called on their callers' own goroutines.
func hung(t *engine.Trace) *engine.Trace {
	t.Acquired, t.Each = nil, nil
	return t
}

type slow struct{ *hook }

func (s slow) NextBackOff() time.Duration { s.hang(); return time.Hour }

// No func of the user's holds up anything, whichever it is and however long it takes.
func TestNoFuncOfTheUsersHoldsUpTheEngine(t *testing.T) {
	for name, plant := range hooks() {
		t.Run(name, func(t *testing.T) {
			testkit.Simulate(t, func(t *testing.T) {
				h := &hook{let: make(chan struct{})}
				cfg, icfg := config(), instance.Config{Timeout: timeout}
				plant(h, &cfg, &icfg)
				fleet := sim.New(t, 3)
				e, err := engine.New(fleet.Instances(icfg), cfg)
				if err != nil {
					t.Fatalf("engine.New: %v", err)
				}
				synctest.Wait()

				// Everything happens of which anybody is told: a waiter is woken, an instance
				// goes down, renewals fail, a lease is stolen, one that is watched is checked.
				kept := acquire(t, e, "kept")
				fleet.Each(func(s *sim.Server) { s.Set("taken", "somebody else", time.Hour) })
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				waiting := acquiring(ctx, e, "taken")
				held := acquire(t, e, "handed over")
				next := acquiring(ctx, e, "handed over")
				synctest.Wait()
				release(t, held)
				if name != "Backoff" && name != "Backoff's NextBackOff" { // these hang in the very call
					if r := got(t, next); r.err != nil {
						t.Errorf("acquire: %v", r.err)
					}
				}
				watched := acquire(t, e, "watched", engine.WithWatch())
				time.Sleep(time.Second)
				fleet.Each(func(s *sim.Server) { s.Del("watched") })
				time.Sleep(time.Second)
				isAll(t, watched.Err(), lease.ErrGone)
				stolen := acquire(t, e, "stolen")
				fleet.Servers[2].Hang()
				fleet.Each(func(s *sim.Server) { s.Set("stolen", "somebody else", time.Hour) })
				time.Sleep(every)
				synctest.Wait()
				isAll(t, stolen.Err(), lease.ErrStolen)

				late := expire(t, e, 500)
				time.Sleep(5 * ttl)
				late()
				if !kept.Valid() {
					t.Errorf("another is not renewed: %v", kept.Err())
				}
				release(t, acquire(t, e, "free"))
				time.Sleep(time.Minute)
				isAll(t, got(t, waiting).err, context.DeadlineExceeded)
				if h.called.Load() == 0 {
					t.Error("it was not called")
				}

				fleet.Servers[2].Thaw()
				begun := time.Now()
				if err := e.Close(t.Context()); err != nil {
					t.Errorf("e.Close: %v", err)
				}
				between(t, "Close", time.Since(begun), 0, 2*time.Second)
				close(h.let) // the bubble does not end before its goroutines have
			})
		})
	}
}

// expire acquires leases that are not renewed. What it returns complains of those
// whose Done was not closed at the deadline.
func expire(t *testing.T, e *engine.Engine, leases int) (late func()) {
	t.Helper()
	var mu sync.Mutex
	var lates []time.Duration
	var watchers sync.WaitGroup
	for n := range leases {
		l := acquire(t, e, fmt.Sprint("short ", n), engine.WithoutRenewal(), engine.WithTTL(time.Second))
		watchers.Go(func() {
			<-l.Done()
			mu.Lock()
			defer mu.Unlock()
			lates = append(lates, time.Since(l.Deadline()))
		})
	}
	return func() {
		t.Helper()
		watchers.Wait()
		if latest := slices.Max(lates); len(lates) != leases || latest != 0 {
			t.Errorf("%d of %d ended, the last %v after its deadline", len(lates), leases, latest)
		}
	}
}

// Two milliseconds a line, or for ever.
func TestLeasesEndOnTimeWhenTheLogIsSlow(t *testing.T) {
	var handled atomic.Int64
	cfg := config()
	cfg.Logger = logging(nothing, func() { time.Sleep(2 * time.Millisecond); handled.Add(1) }, nothing)
	simulate(t, 3, cfg, func(t *testing.T, _ *sim.Fleet, e *engine.Engine) {
		late := expire(t, e, 2000)
		time.Sleep(time.Second)
		late()
		if err := e.Close(t.Context()); err != nil {
			t.Errorf("e.Close: %v", err)
		}
		if n := handled.Load(); n != 20+1 {
			t.Errorf("%d lines, want those of 20 leases, and a sum", n)
		}
		if s := e.Snapshot(0); s.Lost != 2000 || s.Untold != (engine.Untold{}) {
			t.Errorf("%d were lost; dropped: %+v", s.Lost, s.Untold)
		}
	})
}

// Acquired has the caller's goroutine, and nobody else's time.
func TestAnAcquiredThatHangsHoldsUpItsCallerAlone(t *testing.T) {
	var let chan struct{} // of the bubble's own
	cfg := config()
	cfg.Trace = &engine.Trace{Acquired: func(_ context.Context, a engine.AcquiredInfo) {
		if a.Resource == "slow" {
			<-let
		}
	}}
	simulate(t, 3, cfg, func(t *testing.T, _ *sim.Fleet, e *engine.Engine) {
		let = make(chan struct{})
		first := acquiring(t.Context(), e, "slow")
		pending(t, first)
		if _, err := e.TryAcquire(t.Context(), "another"); err != nil {
			t.Errorf("e.TryAcquire: %v", err)
		}
		late := expire(t, e, 1)
		time.Sleep(ttl)
		late()
		if err := e.Close(t.Context()); err != nil {
			t.Errorf("e.Close: %v", err)
		}
		close(let)
		r := got(t, first)
		if r.err != nil || !errors.Is(r.lease.Err(), lease.ErrClosed) {
			t.Errorf("got %v, %v, want a lease that Close has released", r.lease, r.err)
		}
	})
}

// What happens to one lease is told in the order in which it happens, and the end
// of leases and changes of instances are told however much else there is to tell.
func TestWhatMattersIsToldInOrderAndNotPushedOut(t *testing.T) {
	var let chan struct{} // of the bubble's own
	var ended, changed int
	var last map[string]string // by resource
	cfg := config()
	cfg.RenewEvery = 20 * time.Millisecond
	cfg.Trace = &engine.Trace{
		Vote:     func(engine.VoteInfo) { <-let },
		Pipeline: func(engine.PipelineInfo) { <-let },
		Renewed: func(r engine.RenewedInfo) {
			<-let
			resource := r.Lease.Resource()
			if last[resource] == "ended" {
				t.Errorf("%s was renewed after its end", resource)
			}
			last[resource] = "renewed"
		},
		Ended: func(e engine.EndedInfo) {
			ended++
			last[e.Lease.Resource()] = "ended"
		},
		Instance: func(instance.Health) { changed++ },
	}
	last = make(map[string]string)
	simulate(t, 3, cfg, func(t *testing.T, fleet *sim.Fleet, e *engine.Engine) {
		let = make(chan struct{})
		for n := range 200 {
			acquire(t, e, fmt.Sprint(n))
		}
		time.Sleep(time.Second) // 10,000 renewals
		fleet.Each(func(s *sim.Server) {
			for n := range 200 {
				s.Set(fmt.Sprint(n), "somebody else", time.Hour)
			}
		})
		fleet.Servers[0].Cut()
		time.Sleep(time.Second)
		s := e.Snapshot(0)
		if s.Lost != 200 || s.Untold.Trace == 0 || s.Untold.Log != 0 {
			t.Errorf("got %+v, want 200 lost, some not told to the trace, all to the log", s)
		}
		close(let)
		synctest.Wait()
		if ended != 200 || changed < 3 {
			t.Errorf("%d ends and %d changes were told", ended, changed)
		}
	})
}

// The log says that a Trace is too slow.
func TestItIsLoggedThatATraceIsTooSlow(t *testing.T) {
	var text bytes.Buffer
	var let chan struct{} // of the bubble's own
	cfg := config()
	cfg.Logger = slog.New(slog.NewTextHandler(&text, nil))
	cfg.Trace = &engine.Trace{Vote: func(engine.VoteInfo) { <-let }}
	simulate(t, 3, cfg, func(t *testing.T, _ *sim.Fleet, e *engine.Engine) {
		let = make(chan struct{})
		for e.Snapshot(0).Untold.Votes == 0 {
			release(t, acquire(t, e, "r"))
		}
		close(let)
		_ = e.Close(t.Context())
		if n := strings.Count(text.String(), `msg="a func of the Trace is too slow: calls were dropped" of=votes`); n != 1 {
			t.Errorf("it is said %d times: %s", n, &text)
		}
	})
}
