package engine_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-go/holdfast/engine"
	"github.com/holdfast-go/holdfast/internal/sim"
)

// waits fails the test unless so many wait for r, the first of them for so long or some milliseconds less.
func waits(t *testing.T, e *engine.Engine, when string, want int, first time.Duration) {
	t.Helper()
	synctest.Wait()
	s, err := e.Inspect(t.Context(), "r")
	if err != nil {
		t.Fatalf("%s: inspect: %v", when, err)
	}
	if s.Waiting != want {
		t.Errorf("%s: %d wait, want %d", when, s.Waiting, want)
	}
	between(t, when+": how long the first has waited", s.WaitingFor, first-first/20, first)
}

// Who holds a lock does not wait, however it came by it: it may have been served in the queue, by the one
// that released it in this engine, or with a token of its user's own.
func TestInspectCountsThoseWhoWait(t *testing.T) {
	for name, with := range map[string]struct {
		handoff int
		opts    func(engine string) []engine.Option
		leaves  time.Duration // how long it takes to give up a place
	}{
		"plain":        {},
		"fenced":       {opts: func(string) []engine.Option { return []engine.Option{engine.WithFencing()} }},
		"LocalHandoff": {handoff: 10},
		"WithToken": {leaves: 2 * aHop, opts: func(e string) []engine.Option {
			return []engine.Option{engine.WithToken(strings.Repeat(e, 20))}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			queuing(t, 3, func(t *testing.T, fleet *sim.Fleet) {
				observer := newContender(t, fleet, config()).Engine
				waits(t, observer, "nobody has it", 0, 0)
				held := acquire(t, newContender(t, fleet, config()).Engine, "r")
				waits(t, observer, "nobody waits", 0, 0)
				var line []*contender
				var second <-chan result // of the first contender
				for _, who := range []string{"a", "b", "c"} {
					c := newContender(t, fleet, handingOn(with.handoff))
					var opts []engine.Option
					if with.opts != nil {
						opts = with.opts(who)
					}
					if c.stand(t.Context(), opts...); second == nil {
						second = acquiring(t.Context(), c.Engine, "r", opts...)
					}
					line = append(line, c)
					time.Sleep(time.Second)
				}
				waits(t, observer, "three engines wait", 3, 3*time.Second+50*time.Millisecond)
				release(t, held)
				held = line[0].served(t, "the first", 0, 10*aHop)
				time.Sleep(with.leaves)
				waits(t, observer, "the first has it", 2, 2*time.Second+50*time.Millisecond)
				time.Sleep(time.Second / 2)
				waits(t, observer, "it still has it", 2, 5*time.Second/2+50*time.Millisecond)
				release(t, held)
				held = line[1].served(t, "the second", 0, 10*aHop)
				time.Sleep(5 * time.Millisecond) // another of the first engine goes to the end of the queue
				waits(t, observer, "the second has it", 2, 3*time.Second/2+50*time.Millisecond)
				time.Sleep(placeLife + keeping) // the third learns that when it keeps its place
				waits(t, observer, "its place has ended", 2, placeLife+keeping+3*time.Second/2+50*time.Millisecond)
				release(t, held)
				held = line[2].served(t, "the third", 0, 10*aHop)
				time.Sleep(with.leaves)
				waits(t, observer, "the third has it", 1, placeLife+keeping+10*time.Millisecond)
				release(t, held)
				release(t, (&contender{result: second}).served(t, "another of the first engine", 0, 10*aHop))
				waits(t, observer, "all have had it", 0, 0)
			})
		})
	}
}

// Whoever releases a lock in its turn asks for the next in its line, and passes its place on.
func TestInspectDoesNotCountAPlaceThatIsPassedOn(t *testing.T) {
	for _, handoff := range []int{0, 10} {
		queuing(t, 3, func(t *testing.T, fleet *sim.Fleet) {
			observer := newContender(t, fleet, config()).Engine
			held := acquire(t, observer, "r")
			crowded := newContender(t, fleet, handingOn(handoff))
			crowded.stand(t.Context())
			first, other := crowded.result, newContender(t, fleet, config())
			crowded.stand(t.Context())
			other.stand(t.Context())
			time.Sleep(time.Second)
			release(t, held)
			held = (&contender{result: first}).served(t, "the first", 0, 10*aHop)
			release(t, held)
			held = crowded.served(t, "another of its engine", 0, 10*aHop)
			waits(t, observer, "it has been passed on", 1, time.Second+50*time.Millisecond)
			release(t, held)
			other.served(t, "the other engine", 0, 10*aHop)
			waits(t, observer, "nobody waits", 0, 0)
		})
	}
}

// An engine that has died counts until its place ends.
func TestInspectCountsTheDeadUntilTheirPlacesEnd(t *testing.T) {
	queuing(t, 3, func(t *testing.T, fleet *sim.Fleet) {
		observer := newContender(t, fleet, config()).Engine
		acquire(t, observer, "r")
		line := inLine(t, fleet, 2, config())
		time.Sleep(10 * time.Second)
		line[0].die(fleet)
		time.Sleep(placeLife - keeping)
		waits(t, observer, "it has died", 2, 10*time.Second+placeLife-keeping+50*time.Millisecond)
		time.Sleep(keeping)
		waits(t, observer, "its place has ended", 1, 10*time.Second+placeLife+50*time.Millisecond)
	})
}

// What an instance does not say is not taken for nothing.
func TestInspectSaysThatItIsNotKnownHowManyWait(t *testing.T) {
	queuing(t, 3, func(t *testing.T, fleet *sim.Fleet) {
		observer := newContender(t, fleet, config()).Engine
		acquire(t, observer, "r")
		inLine(t, fleet, 2, config())
		if s, err := observer.Inspect(t.Context(), ""); err == nil || s.Waiting >= 0 {
			t.Errorf("no resource: %d wait, %v", s.Waiting, err)
		}
		fleet.Servers[0].Cut()
		time.Sleep(placeLife)
		waits(t, observer, "one is down", 2, placeLife+50*time.Millisecond)
		fleet.Servers[1].Cut()
		fleet.Servers[2].Cut()
		if s, err := observer.Inspect(t.Context(), "r"); err == nil || s.Waiting >= 0 || s.WaitingFor != 0 {
			t.Errorf("all are down: %d wait, for %v, %v", s.Waiting, s.WaitingFor, err)
		}
	})
}

func TestASnapshotCountsPlaces(t *testing.T) {
	queuing(t, 3, func(t *testing.T, fleet *sim.Fleet) {
		counts := func(c *contender, when string, places, first int) {
			t.Helper()
			time.Sleep(keeping + 10*time.Millisecond)
			synctest.Wait()
			if s := c.Snapshot(0); s.Places != places || s.First != first {
				t.Errorf("%s: %d places, %d of them the first; want %d, %d", when, s.Places, s.First, places, first)
			}
		}
		holder := newContender(t, fleet, config())
		held, other := acquire(t, holder.Engine, "r"), acquire(t, holder.Engine, "other")
		line := inLine(t, fleet, 2, config())
		one, more := line[0], line[1]
		another := acquiring(t.Context(), more.Engine, "other")
		acquiring(t.Context(), one.Engine, "r") // in the line of its engine
		counts(holder, "the holder", 0, 0)
		counts(one, "the first", 1, 1)
		counts(more, "the second, and the first elsewhere", 2, 1)
		release(t, held)
		held = one.served(t, "the first", 0, 10*aHop)
		counts(more, "another is served", 2, 1)
		time.Sleep(placeLife)
		counts(more, "its place has ended", 2, 2)
		release(t, other)
		release(t, (&contender{result: another}).served(t, "the other", 0, 10*aHop))
		counts(more, "the other has been released", 1, 1)
		if err := one.Close(t.Context()); err != nil {
			t.Fatalf("close: %v", err)
		}
		more.served(t, "the second", 0, time.Second)
		counts(one, "closed", 0, 0)
		counts(more, "the second has it", 0, 0)
		if held.Valid() {
			t.Error("the lease of a closed engine is valid")
		}
	})
}
