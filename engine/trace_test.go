package engine_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-go/holdfast/engine"
	"github.com/holdfast-go/holdfast/instance"
	"github.com/holdfast-go/holdfast/internal/sim"
	"github.com/holdfast-go/holdfast/lease"
)

// counted returns a Trace in which every func notes its name with who.
func counted(who string, note func(string)) *engine.Trace {
	t := new(engine.Trace)
	v := reflect.ValueOf(t).Elem()
	for n := range v.NumField() {
		name := v.Type().Field(n).Name
		v.Field(n).Set(reflect.MakeFunc(v.Field(n).Type(), func([]reflect.Value) []reflect.Value {
			note(who + name)
			return nil
		}))
	}
	return t
}

func TestJoinedTracesAreCalledInOrder(t *testing.T) {
	var calls []string
	note := func(s string) { calls = append(calls, s) }
	one := counted("1", note)
	all := reflect.ValueOf(one).Elem()
	for n := range all.NumField() {
		name := all.Type().Field(n).Name
		only := new(engine.Trace)
		reflect.ValueOf(only).Elem().Field(n).Set(all.Field(n))
		joined := reflect.ValueOf(engine.JoinTraces(nil, only, counted("2", note), new(engine.Trace), only)).Elem()

		calls = nil
		var zero []reflect.Value
		for k := range joined.Field(n).Type().NumIn() {
			zero = append(zero, reflect.Zero(joined.Field(n).Type().In(k)))
		}
		joined.Field(n).Call(zero)
		if want := []string{"1" + name, "2" + name, "1" + name}; !slices.Equal(calls, want) {
			t.Errorf("%s: %q, want %q", name, calls, want)
		}
		for k := range joined.NumField() {
			if alone := reflect.ValueOf(engine.JoinTraces(only, nil)).Elem(); alone.Field(k).IsNil() != (k != n) {
				t.Errorf("%s alone: %s is set: %v", name, all.Type().Field(k).Name, !alone.Field(k).IsNil())
			}
		}
	}
}

func TestEveryVoteOnAnAcquireIsTold(t *testing.T) {
	var mu sync.Mutex
	said := make(map[string]int)
	cfg := config()
	cfg.Trace = &engine.Trace{Vote: func(v engine.VoteInfo) {
		mu.Lock()
		defer mu.Unlock()
		said[v.Instance+" "+v.Kind.String()]++
	}}
	simulate(t, 3, cfg, func(t *testing.T, fleet *sim.Fleet, e *engine.Engine) {
		names := make([]string, 3)
		for n, i := range e.Instances() {
			names[n] = i.Name
		}
		fleet.Servers[2].Latency(time.Millisecond, time.Millisecond) // the others decide before it
		l := acquire(t, e, "r")
		if _, err := e.TryAcquire(t.Context(), "r"); err == nil {
			t.Error("it is held twice")
		}
		release(t, l)
		time.Sleep(time.Second)
		want := make(map[string]int)
		for _, name := range names {
			want[name+" granted"], want[name+" held"] = 1, 1
		}
		delete(want, names[2]+" held") // that question waited for the answer to the first, and was not sent
		mu.Lock()
		defer mu.Unlock()
		if !maps.Equal(said, want) {
			t.Errorf("%v, want %v", said, want)
		}
	})
}

func TestAWaiterReportsWhoWokeItAndHowLongTheHandoverTook(t *testing.T) {
	woken := make(chan engine.WokenInfo, 10)
	cfg := config()
	cfg.Trace = &engine.Trace{Woken: func(w engine.WokenInfo) {
		if w.Resource != "r" {
			t.Errorf("resource %q, want r", w.Resource)
		}
		woken <- w
	}}
	const latency = 10 * time.Millisecond
	for _, c := range []struct {
		by   engine.Waker
		free func(t *testing.T, other, own *lease.Lease, fleet *sim.Fleet)
	}{
		{engine.ByRelease, func(t *testing.T, _, own *lease.Lease, _ *sim.Fleet) { release(t, own) }},
		{engine.ByServer, func(t *testing.T, other, _ *lease.Lease, _ *sim.Fleet) { release(t, other) }},
		{engine.ByExpiry, func(*testing.T, *lease.Lease, *lease.Lease, *sim.Fleet) {}},
	} {
		t.Run(c.by.String(), func(t *testing.T) {
			simulate(t, 3, cfg, func(t *testing.T, fleet *sim.Fleet, e *engine.Engine) {
				var own, others *lease.Lease
				switch c.by {
				case engine.ByRelease:
					own = acquire(t, e, "r")
				case engine.ByServer:
					others = acquire(t, start(t, fleet, config()), "r")
				default:
					fleet.Each(func(s *sim.Server) { s.Set("r", "somebody else", 300*time.Millisecond) })
				}
				fleet.Each(func(s *sim.Server) { s.Latency(latency/2, latency/2) })
				waiting := acquiring(t.Context(), e, "r")
				time.Sleep(70 * time.Millisecond) // which is less than a turn, at that latency
				c.free(t, others, own, fleet)
				if r := <-waiting; r.err != nil {
					t.Fatalf("acquire: %v", r.err)
				}
				w := <-woken
				if w.By != c.by || !w.Granted {
					t.Errorf("got %+v, want a wait that was granted, by %v", w, c.by)
				}
				between(t, "the handover", w.Took, latency, 5*latency)
				if len(woken) > 0 {
					t.Errorf("and %+v", <-woken)
				}
			})
		})
	}
}

func TestALockThatIsHandedOverAsItIsTakesNoTime(t *testing.T) {
	var calls []engine.WokenInfo
	cfg := config()
	cfg.LocalHandoff = 1
	cfg.Trace = &engine.Trace{Woken: func(w engine.WokenInfo) { calls = append(calls, w) }}
	simulate(t, 3, cfg, func(t *testing.T, fleet *sim.Fleet, e *engine.Engine) {
		fleet.Each(func(s *sim.Server) { s.Latency(time.Millisecond, time.Millisecond) })
		l := acquire(t, e, "r")
		waiting := acquiring(t.Context(), e, "r")
		time.Sleep(4500 * time.Microsecond) // it has been refused, and has asked by whom; and the turn is not over
		release(t, l)
		if r := got(t, waiting); r.err != nil {
			t.Errorf("acquire: %v", r.err)
		}
	})
	want := []engine.WokenInfo{{Resource: "r", By: engine.ByRelease, Granted: true}}
	if !slices.Equal(calls, want) {
		t.Errorf("%+v, want %+v", calls, want)
	}
}

func TestNobodyIsWokenWhereNobodyWaits(t *testing.T) {
	cfg := config()
	cfg.Trace = &engine.Trace{Woken: func(engine.WokenInfo) { t.Error("woken") }}
	simulate(t, 3, cfg, func(t *testing.T, _ *sim.Fleet, e *engine.Engine) {
		for range 3 {
			release(t, acquire(t, e, "r"))
		}
	})
}

func TestTheTraceHearsOfInstances(t *testing.T) {
	var mu sync.Mutex
	var events []string
	cfg := config()
	cfg.Trace = &engine.Trace{Instance: func(h instance.Health) {
		mu.Lock()
		defer mu.Unlock()
		events = append(events, h.Name+" "+h.State.String())
		if (h.State == instance.Down) != (h.Err != nil) {
			t.Errorf("got %+v, want an error where it is down, and only there", h)
		}
	}}
	heard := func(want ...string) {
		t.Helper()
		mu.Lock()
		defer mu.Unlock()
		if slices.Sort(events); !slices.Equal(events, want) {
			t.Errorf("%q, want %q", events, want)
		}
		events = nil
	}
	simulate(t, 2, cfg, func(t *testing.T, fleet *sim.Fleet, e *engine.Engine) {
		synctest.Wait()
		heard("sim-1 up", "sim-2 up")
		fleet.Servers[1].Hang()
		_, err := e.TryAcquire(t.Context(), "r")
		isAll(t, err, engine.ErrNoQuorum)
		time.Sleep(5 * time.Second)
		heard("sim-2 down")
		if err := e.Close(t.Context()); err != nil {
			t.Errorf("e.Close: %v", err)
		}
		heard("sim-1 closed", "sim-2 closed")
	})
}

func TestAnAcquireIsTracedWithItsContext(t *testing.T) {
	type key struct{}
	var values []any
	cfg := config()
	cfg.Trace = &engine.Trace{Acquired: func(ctx context.Context, _ engine.AcquiredInfo) {
		values = append(values, ctx.Value(key{}))
	}}
	simulate(t, 1, cfg, func(t *testing.T, _ *sim.Fleet, e *engine.Engine) {
		ctx := context.WithValue(t.Context(), key{}, 7)
		if _, err := e.Acquire(ctx, "a"); err != nil {
			t.Errorf("e.Acquire: %v", err)
		}
		if _, err := e.TryAcquire(ctx, "a"); !errors.Is(err, engine.ErrHeld) {
			t.Errorf("e.TryAcquire: got %v, want %v", err, engine.ErrHeld)
		}
	})
	if !slices.Equal(values, []any{7, 7}) {
		t.Errorf("the context's values: got %v, want 7 twice", values)
	}
}

func TestOutcomesAndCausesAreOneWord(t *testing.T) {
	for _, c := range []struct {
		want string
		lock func(t *testing.T, fleet *sim.Fleet, e *engine.Engine) error
	}{
		{"granted", func(t *testing.T, _ *sim.Fleet, e *engine.Engine) error {
			_, err := e.Acquire(t.Context(), "free")
			return err
		}},
		{"held", func(t *testing.T, _ *sim.Fleet, e *engine.Engine) error {
			_, err := e.TryAcquire(t.Context(), "held")
			return err
		}},
		{"no_quorum", func(t *testing.T, fleet *sim.Fleet, e *engine.Engine) error {
			fleet.Each((*sim.Server).Hang)
			_, err := e.TryAcquire(t.Context(), "free")
			return err
		}},
		{"timeout", func(t *testing.T, _ *sim.Fleet, e *engine.Engine) error {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			_, err := e.Acquire(ctx, "held")
			return err
		}},
		{"canceled", func(t *testing.T, _ *sim.Fleet, e *engine.Engine) error {
			ctx, cancel := context.WithCancel(t.Context())
			time.AfterFunc(time.Second, cancel)
			_, err := e.Acquire(ctx, "held")
			return err
		}},
		{"closed", func(t *testing.T, _ *sim.Fleet, e *engine.Engine) error {
			waiting := acquiring(t.Context(), e, "held")
			synctest.Wait()
			_ = e.Close(t.Context())
			return (<-waiting).err
		}},
		{"failed", func(t *testing.T, _ *sim.Fleet, e *engine.Engine) error {
			_, err := e.Acquire(t.Context(), "")
			return err
		}},
	} {
		t.Run(c.want, func(t *testing.T) {
			simulate(t, 3, config(), func(t *testing.T, fleet *sim.Fleet, e *engine.Engine) {
				fleet.Each(func(s *sim.Server) { s.Set("held", "somebody else", time.Hour) })
				if err := c.lock(t, fleet, e); engine.Outcome(err) != c.want {
					t.Errorf("the outcome of %v: got %q, want %q", err, engine.Outcome(err), c.want)
				}
			})
		})
	}
	for want, err := range map[string]error{
		"held": nil, "released": lease.ErrReleased, "expired": lease.ErrExpired, "gone": lease.ErrGone, "stolen": lease.ErrStolen,
		"max_hold": lease.ErrMaxHold, "closed": lease.ErrClosed, "detached": lease.ErrDetached, "lost": lease.ErrLost,
	} {
		if got := engine.Cause(err); got != want || err != nil && engine.Cause(fmt.Errorf("x: %w", err)) != want {
			t.Errorf("the cause of %v: got %q, want %q", err, got, want)
		}
	}
}

func TestLogTraceLogsEveryStepAndNoToken(t *testing.T) {
	var text bytes.Buffer // the handler has a lock
	log := slog.New(slog.NewTextHandler(&text, &slog.HandlerOptions{Level: slog.LevelDebug}))
	cfg := config()
	cfg.Trace = engine.LogTrace(log)
	var token string
	simulate(t, 3, cfg, func(t *testing.T, _ *sim.Fleet, e *engine.Engine) {
		l := acquire(t, e, "r")
		token = l.Token()
		waiting := acquiring(t.Context(), e, "r")
		time.Sleep(every)
		release(t, l)
		if r := <-waiting; r.err != nil {
			t.Errorf("acquire: %v", r.err)
		}
	})
	for _, want := range []string{
		`msg="round of votes" resource=r`, `msg="acquire is over" resource=r outcome=granted`, `held by`,
		`msg="waiter was woken" resource=r by=release`, `msg=renewal resource=r`, `confirmed=true`,
		`msg="lease ended" resource=r cause=released`, `cause=closed`, `msg="instance changed" instance=sim-1 state=up`,
	} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("it lacks %s:\n%s", want, text.String())
		}
	}
	if strings.Contains(text.String(), token) {
		t.Error("a whole token is logged")
	}
}
