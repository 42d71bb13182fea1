package engine_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-go/holdfast/engine"
	"github.com/holdfast-go/holdfast/instance"
	"github.com/holdfast-go/holdfast/internal/sim"
)

// sighted is what an observer was told, and when.
type sighted struct {
	engine.Leadership
	err error
	at  time.Time
}

// watching has a loop of Observe run in a bubble until the test ends.
func watching(t *testing.T, e *engine.Engine) <-chan sighted {
	ctx, cancel := context.WithCancel(context.Background())
	all, over := make(chan sighted, 1000), make(chan struct{})
	go func() {
		defer close(over)
		for now, err := range e.Observe(ctx, "r") {
			all <- sighted{now, err, time.Now()}
		}
	}()
	t.Cleanup(func() { cancel(); <-over })
	return all
}

// sighting waits for the next thing that is told, and checks how long it took.
func sighting(t *testing.T, all <-chan sighted, what string, most time.Duration) sighted {
	t.Helper()
	begun := time.Now()
	select {
	case s := <-all:
		between(t, what, s.at.Sub(begun), 0, most)
		return s
	case <-time.After(time.Minute):
		t.Fatalf("%s: nothing is told", what)
		return sighted{}
	}
}

// veryLittle is how long it takes until a change is told that follows another closely.
const veryLittle = 25 * time.Millisecond

func TestObserversAreToldAtOnce(t *testing.T) {
	for _, told := range []bool{true, false} {
		t.Run(fmt.Sprintf("tracking=%v", told), func(t *testing.T) {
			most := veryLittle
			if !told {
				most = time.Second
			}
			simulate(t, 3, config(), func(t *testing.T, fleet *sim.Fleet, e *engine.Engine) {
				fleet.Each(func(s *sim.Server) { s.NoTracking(!told) })
				all := watching(t, start(t, fleet, config()))
				if s := sighting(t, all, "to begin with", 0); s.Held || s.err != nil {
					t.Errorf("to begin with: %v", s)
				}
				for term := range 3 {
					time.Sleep(1500 * time.Millisecond) // not when it asks anyway
					l, err := e.Campaign(t.Context(), "r", "0")
					if err != nil {
						t.Fatalf("campaign: %v", err)
					}
					if s := sighting(t, all, "a leader", most); s.Term != l.Term() || s.Value != "0" {
						t.Errorf("leader %d: %v", term, s)
					}
					for k := range 3 {
						time.Sleep(time.Duration(k) * 1700 * time.Millisecond)
						if err := l.Proclaim(t.Context(), fmt.Sprint(k+1)); err != nil {
							t.Errorf("proclaim: %v", err)
						}
						if s := sighting(t, all, "a value", most); s.Term != l.Term() || s.Value != fmt.Sprint(k+1) {
							t.Errorf("value %d: %v", k+1, s)
						}
					}
					time.Sleep(4 * every) // renewals are no news
					if len(all) > 0 {
						t.Errorf("told without a change: %v", <-all)
					}
					if err := l.Release(t.Context()); err != nil {
						t.Errorf("release: %v", err)
					}
					if s := sighting(t, all, "nobody", most); s.Held || s.err != nil {
						t.Errorf("nobody: %v", s)
					}
				}
			})
		})
	}
}

// TestObserversAreToldOfALeaderThatIsGone: nobody tells of an expiry.
func TestObserversAreToldOfALeaderThatIsGone(t *testing.T) {
	simulate(t, 3, config(), func(t *testing.T, fleet *sim.Fleet, e *engine.Engine) {
		all := watching(t, start(t, fleet, config()))
		sighting(t, all, "to begin with", 0)
		begun := time.Now()
		if _, err := e.Campaign(t.Context(), "r", "x", engine.WithoutRenewal(), engine.WithTTL(ttl+300*time.Millisecond)); err != nil {
			t.Fatalf("campaign: %v", err)
		}
		sighting(t, all, "a leader", veryLittle)
		s := <-all
		between(t, "nobody leads", s.at.Sub(begun), ttl+300*time.Millisecond, ttl+310*time.Millisecond)
		if s.Held || s.err != nil {
			t.Errorf("nobody: %v", s)
		}
	})
}

// TestWhatIsNotKnownIsToldOnce, and not while it may be a moment's.
func TestWhatIsNotKnownIsToldOnce(t *testing.T) {
	simulate(t, 3, config(), func(t *testing.T, fleet *sim.Fleet, e *engine.Engine) {
		all := watching(t, start(t, fleet, config()))
		sighting(t, all, "to begin with", 0)
		l, err := e.Campaign(t.Context(), "r", "x")
		if err != nil {
			t.Fatalf("campaign: %v", err)
		}
		sighting(t, all, "a leader", veryLittle)
		fleet.Servers[0].Cut()
		fleet.Servers[1].Cut()
		s := sighting(t, all, "it is not known", 3*time.Second)
		if !errors.Is(s.err, engine.ErrNoQuorum) {
			t.Errorf("without a majority: %v", s)
		}
		time.Sleep(ttl / 2)
		if len(all) > 0 {
			t.Errorf("told again: %v", <-all)
		}
		fleet.Servers[0].Mend()
		if s := sighting(t, all, "it is known again", 2*time.Second); s.Term != l.Term() || s.Value != "x" {
			t.Errorf("with a majority: %v", s)
		}
		fleet.Servers[1].Mend()
	})
}

// TestACampaignThatCannotProclaimLeadsNothing: the lock is given back.
func TestACampaignThatCannotProclaimLeadsNothing(t *testing.T) {
	simulate(t, 3, config(), func(t *testing.T, fleet *sim.Fleet, _ *engine.Engine) {
		e, err := engine.New(fleet.Instances(instance.Config{Timeout: timeout}), engine.Config{TTL: ttl, Trace: &engine.Trace{
			Acquired: func(context.Context, engine.AcquiredInfo) { fleet.Each(func(s *sim.Server) { s.Hang() }) },
		}})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = e.Close(context.Background()) }()
		synctest.Wait()
		l, err := e.Campaign(t.Context(), "r", "x")
		if l != nil || !errors.Is(err, engine.ErrNoQuorum) {
			t.Errorf("it leads: %v, %v", l, err)
		}
		fleet.Each(func(s *sim.Server) { s.Thaw() })
		time.Sleep(2 * time.Second)
		empty(t, fleet, "r")
	})
}

// TestValuesDoNotGoBack: a value that a minority alone has heard, and an observer has been told of, is not followed by the one before.
func TestValuesDoNotGoBack(t *testing.T) {
	simulate(t, 3, config(), func(t *testing.T, fleet *sim.Fleet, e *engine.Engine) {
		all := watching(t, start(t, fleet, config()))
		sighting(t, all, "to begin with", 0)
		l, err := e.Campaign(t.Context(), "r", "1", engine.WithoutRenewal()) // which would heal it
		if err != nil {
			t.Fatalf("campaign: %v", err)
		}
		sighting(t, all, "a leader", veryLittle)
		for left := range fleet.Servers { // each is the one that hears it, once
			others := []*sim.Server{fleet.Servers[(left+1)%3], fleet.Servers[(left+2)%3]}
			others[0].Cut()
			others[1].Cut()
			value := fmt.Sprint(left + 2)
			if err := l.Proclaim(t.Context(), value); !errors.Is(err, engine.ErrNoQuorum) {
				t.Errorf("without a majority: %v", err)
			}
			others[0].Mend()
			for s := (sighted{}); s.Value != value; {
				s = sighting(t, all, "what a minority has heard", 3*time.Second)
			}
			fleet.Servers[left].Cut()
			others[1].Mend()
			time.Sleep(1500 * time.Millisecond)
			for len(all) > 0 {
				if s := <-all; s.err == nil && s.Value != value {
					t.Errorf("%q is told of after %q", s.Value, value)
				}
			}
			fleet.Servers[left].Mend()
			time.Sleep(time.Second)
			if err := l.Extend(t.Context(), 0); err != nil {
				t.Errorf("extend: %v", err)
			}
		}
	})
}
