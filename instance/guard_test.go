package instance

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestGuardJudgesEverySighting(t *testing.T) {
	const quarantine = time.Minute
	now := time.Now()
	carried := now.Add(20 * time.Second)
	full := now.Add(quarantine)
	old := &sighting{runID: "a", uptime: time.Hour, at: now.Add(-time.Hour)}
	for _, c := range []struct {
		name   string
		before *sighting
		now    sighting
		until  time.Time
		young  bool
	}{
		{"first seen, old", nil, sighting{runID: "a", uptime: time.Hour}, time.Time{}, false},
		{"first seen, exactly the quarantine old", nil, sighting{runID: "a", uptime: quarantine}, time.Time{}, false},
		{"first seen, a second younger", nil, sighting{runID: "a", uptime: quarantine - time.Second}, now.Add(2 * time.Second), true},
		{"first seen, just started", nil, sighting{runID: "a", uptime: 0}, full.Add(time.Second), true},
		{"first seen, uptime unknown", nil, sighting{runID: "a", uptime: -1}, full, false},
		{"first seen, its clock was stepped back", nil, sighting{runID: "a", uptime: -59 * time.Second}, full, false},
		{"first seen, old, but a replica once", nil, sighting{runID: "a", uptime: time.Hour, promoted: true}, full, false},
		{"first seen, young and a replica once", nil, sighting{runID: "a", uptime: 0, promoted: true}, full, false},
		{"first seen, no INFO", nil, sighting{}, time.Time{}, false},

		{"again, the same", old, sighting{runID: "a", uptime: 2 * time.Hour}, carried, false},
		{"again, the same second", old, sighting{runID: "a", uptime: time.Hour}, carried, false},
		{"again, restarted", old, sighting{runID: "b", uptime: 0}, full, false},
		{"again, restarted long ago by its own account", old, sighting{runID: "b", uptime: time.Hour}, full, false},
		{"again, uptime shrunk", old, sighting{runID: "a", uptime: time.Hour - time.Second}, full, false},
		{"again, uptime unknown now", old, sighting{runID: "a", uptime: -1}, full, false},
		{"again, a replica meanwhile", &sighting{runID: "a", uptime: time.Hour, history: "x"}, sighting{runID: "a", uptime: time.Hour, history: "y"}, full, false},
		{"INFO permitted only now, young", &sighting{}, sighting{runID: "a", uptime: 0}, full.Add(time.Second), true},
		{"INFO permitted only now, old", &sighting{}, sighting{runID: "a", uptime: time.Hour}, time.Time{}, false},
	} {
		c.now.at = now
		j := judge(c.before, c.now, carried, quarantine)
		if !j.until.Equal(c.until) || j.young != c.young {
			t.Errorf("%s: until %v (want %v), young %v (want %v)", c.name, j.until.Sub(now), c.until.Sub(now), j.young, c.young)
		}
		if (j.why == "") != (c.until.IsZero() || c.until.Equal(carried)) {
			t.Errorf("%s: the reason is %q", c.name, j.why)
		}
	}
}

func TestNobodyVotesTwice(t *testing.T) {
	a, b, c := &Instance{name: "a"}, &Instance{name: "b"}, &Instance{name: "c"}
	s := NewSet([]*Instance{a, b, c}, GuardAdaptive, time.Minute)
	for i, run := range map[*Instance]string{a: "1", b: "2"} {
		if err := s.register(i, run); err != nil {
			t.Errorf("%s: %v", i.name, err)
		}
	}
	err := s.register(c, "1")
	if !IsSameServer(err) || !strings.Contains(err.Error(), "a") {
		t.Errorf("the same server twice: %v", err)
	}
	if err := s.register(a, "1"); err != nil {
		t.Errorf("again, the same: %v", err)
	}
	if err := s.register(a, "3"); err != nil {
		t.Errorf("restarted: %v", err)
	}
	if err := s.register(c, "1"); err != nil {
		t.Errorf("what a was before: %v", err)
	}
	for _, i := range []*Instance{a, b} { // nothing is known of either
		if err := s.register(i, ""); err != nil {
			t.Errorf("without INFO: %v", err)
		}
	}
}

func TestQuarantineIsNotForgottenWhenINFOIsNotPermittedAnyMore(t *testing.T) {
	now := time.Now()
	carried := now.Add(20 * time.Second)
	before := &sighting{runID: "a", uptime: 0, at: now.Add(-time.Second)}
	if j := judge(before, sighting{uptime: -1, at: now}, carried, time.Minute); j.until.Before(carried) {
		t.Errorf("a quarantine of another 20s became one of %v", max(0, j.until.Sub(now)))
	}
}

func TestAdaptiveGuardPardonsOnlyASetThatIsYoungAltogetherAndOnlyOnce(t *testing.T) {
	members := []*Instance{{name: "a"}, {name: "b"}, {name: "c"}}
	now := time.Now()
	type sight struct {
		young bool
		after time.Duration // seen so long after the first
	}
	young, old := sight{young: true}, sight{}
	for _, c := range []struct {
		name  string
		guard Guard
		seen  []sight
		want  int
	}{
		{"all young", GuardAdaptive, []sight{young, young, young}, 3},
		{"one not seen yet", GuardAdaptive, []sight{young, young}, 0},
		{"one old", GuardAdaptive, []sight{young, old, young}, 0},
		{"the last one old", GuardAdaptive, []sight{young, young, old}, 0},
		{"all old", GuardAdaptive, []sight{old, old, old}, 0},
		{"the last seen while the others are still young", GuardAdaptive, []sight{young, young, {true, 50 * time.Second}}, 3},
		{"the last seen when the others are old", GuardAdaptive, []sight{young, young, {true, time.Minute}}, 0},
		{"strict", GuardStrict, []sight{young, young, young}, 0},
		{"off", GuardOff, []sight{young, young, young}, 0},
	} {
		s := NewSet(members, c.guard, time.Minute)
		pardoned := 0
		for n, seen := range c.seen {
			pardoned += len(s.pardon(members[n], sighting{at: now.Add(seen.after)}, seen.young))
		}
		if pardoned != c.want {
			t.Errorf("%s: %d pardoned, want %d", c.name, pardoned, c.want)
		}
		if len(c.seen) < len(members) {
			continue
		}
		for _, i := range members { // whoever is young from now on has restarted
			if len(s.pardon(i, sighting{at: now}, true)) != 0 {
				t.Errorf("%s: pardoned a second time", c.name)
			}
		}
	}
}

func TestGuardHasNames(t *testing.T) {
	if got := fmt.Sprint(GuardAdaptive, GuardStrict, GuardOff, Guard(9)); got != "adaptive strict off guard 9" {
		t.Error(got)
	}
	if IsSameServer(errors.New("other")) {
		t.Error("any error is the same server")
	}
}
