package instance

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-go/holdfast/internal/restart"
)

func TestNobodyVotesTwice(t *testing.T) {
	a, b, c := bare("a"), bare("b"), bare("c")
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

func TestAdaptiveGuardPardonsOnlyASetThatIsYoungAltogetherAndOnlyOnce(t *testing.T) {
	members := []*Instance{bare("a"), bare("b"), bare("c")}
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
			pardoned += len(s.pardon(members[n], restart.Sighting{At: now.Add(seen.after)}, seen.young))
		}
		if pardoned != c.want {
			t.Errorf("%s: %d pardoned, want %d", c.name, pardoned, c.want)
		}
		if len(c.seen) < len(members) {
			continue
		}
		for _, i := range members { // an instance that is young from now on has restarted
			if len(s.pardon(i, restart.Sighting{At: now}, true)) != 0 {
				t.Errorf("%s: pardoned a second time", c.name)
			}
		}
	}
}

func TestGuardHasNames(t *testing.T) {
	if got := fmt.Sprint(GuardAdaptive, GuardStrict, GuardOff, Guard(9)); got != "adaptive strict off guard 9" {
		t.Errorf("the guards are called %q, want %q", got, "adaptive strict off guard 9")
	}
	if IsSameServer(errors.New("other")) {
		t.Error("any error is the same server")
	}
}
