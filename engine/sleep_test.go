package engine_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-go/holdfast/engine"
	"github.com/holdfast-go/holdfast/internal/clock"
	"github.com/holdfast-go/holdfast/internal/sim"
	"github.com/holdfast-go/holdfast/lease"
)

func TestLeaseIsLostWhenTheMachineSleepsBeyondItsDeadline(t *testing.T) {
	simulate(t, 3, config(), func(t *testing.T, _ *sim.Fleet, e *engine.Engine) {
		l := acquire(t, e, "r")
		clock.Inject(validity(ttl))
		if l.Valid() {
			t.Error("it says that it is held")
		}
		isAll(t, l.Release(t.Context()), lease.ErrExpired)
		slept := time.Now()
		l = acquire(t, e, "r")
		clock.Inject(validity(ttl))
		<-l.Done()
		if took := time.Since(slept); took > time.Second {
			t.Errorf("without being asked it ended after %v", took)
		}
	})
}

func TestGrantThatTheMachineSleptThroughIsNone(t *testing.T) {
	simulate(t, 3, config(), func(t *testing.T, fleet *sim.Fleet, e *engine.Engine) {
		fleet.Each(func(s *sim.Server) { s.Latency(0, 200*time.Millisecond) })
		results := acquiring(t.Context(), e, "r", engine.WithTries(1))
		pending(t, results)
		clock.Inject(ttl)
		time.Sleep(200 * time.Millisecond)
		if r := got(t, results); r.err == nil {
			t.Fatalf("acquired: %v", r.lease)
		}
		time.Sleep(time.Second)
		empty(t, fleet, "r")
	})
}

func TestLeaseOutlivesSleepThatIsShorterThanItsValidity(t *testing.T) {
	cfg, renewed := traced(config())
	simulate(t, 3, cfg, func(t *testing.T, _ *sim.Fleet, e *engine.Engine) {
		l := acquire(t, e, "r")
		for range 5 {
			before := len(renewed.at())
			clock.Inject(every) // the renewal is overdue now
			time.Sleep(time.Second)
			synctest.Wait()
			if len(renewed.at()) == before {
				t.Error("not renewed within a second of waking")
			}
			time.Sleep(every)
		}
		if !l.Valid() || renewed.failed() != 0 {
			t.Errorf("%v, %d renewals failed", l, renewed.failed())
		}
	})
}
