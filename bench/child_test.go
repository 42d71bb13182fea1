package main

import (
	"strings"
	"testing"
	"time"
)

// pair starts two children that lock with Holdfast on one server.
func pair(t *testing.T) (a, b *child) {
	t.Helper()
	needRedis(t)
	ownTemp(t)
	f, err := startFleet(t.Context(), redisServer, 1, false)
	if err != nil {
		t.Fatalf("startFleet: %v", err)
	}
	t.Cleanup(func() {
		if err := f.stop(); err != nil {
			t.Errorf("f.stop: %v", err)
		}
	})
	list, err := startChildren(t.Context(), "", 2, holdfast, f, []string{"resource"})
	if err != nil {
		t.Fatalf("startChildren: %v", err)
	}
	t.Cleanup(func() {
		if err := stopChildren(list); err != nil {
			t.Errorf("stopChildren: %v", err)
		}
	})
	return list[0], list[1]
}

func (c *child) must(t *testing.T, do deed) answer {
	t.Helper()
	a, err := c.ask(t.Context(), order{Do: do})
	if err != nil || a.Err != "" {
		t.Fatalf("%s: %v %v", do, err, a.Err)
	}
	return a
}

func TestChildrenLockAgainstEachOtherByOneClock(t *testing.T) {
	a, b := pair(t)
	before := now()
	held := a.must(t, toAcquire)
	if err := b.tell(order{Do: toAcquire}); err != nil {
		t.Fatalf("b.tell: %v", err)
	}
	released := a.must(t, toRelease)
	got, err := b.hear(t.Context(), 0)
	if err != nil || got.Err != "" {
		t.Fatalf("the child's answer: %v, %v, want no error", err, got.Err)
	}
	if times := []int64{before, held.At, released.At, got.At, now()}; !ascending(times) {
		t.Errorf("the times are %v, want each after the one before", times)
	}
	b.must(t, toRelease)
}

func ascending(list []int64) bool {
	for i := 1; i < len(list); i++ {
		if list[i] <= list[i-1] {
			return false
		}
	}
	return true
}

// TestAChildThatDiesIsReported: nobody waits for it.
func TestAChildThatDiesIsReported(t *testing.T) {
	a, _ := pair(t)
	a.kill()
	_, err := a.ask(t.Context(), order{Do: toAcquire})
	if err == nil {
		t.Fatal("a dead child has answered")
	}
	if _, err := a.hear(t.Context(), nobody); err == nil || !strings.Contains(err.Error(), "before its time") {
		t.Errorf("got %v, want that it has ended", err)
	}
}

func TestOverlapsAreCounted(t *testing.T) {
	for want, tenures := range [][]tenure{
		{{5, 6}, {1, 2}, {2, 5}}, // each begins when the one before has ended
		{{1, 4}, {3, 5}, {5, 6}},
		{{1, 10}, {2, 3}, {4, 5}}, // both within the first
	} {
		if got := overlaps(tenures); got != want {
			t.Errorf("%v: %d overlaps, want %d", tenures, got, want)
		}
	}
}

func TestSharesAndWaits(t *testing.T) {
	all := new(stretch)
	all.add(&stretch{Rate: 10, Cycles: []int{6, 2}, Waits: []time.Duration{time.Second}})
	all.add(&stretch{Rate: 20, Cycles: []int{4, 4}, Waits: []time.Duration{3 * time.Second}, Errors: 1})
	for key, want := range map[string]float64{"rate": 30, "least": 0.5, "mean": 2, "p99 to mean": 1.5, "max": 3, "errors": 1} {
		if got := all.values()[key]; got != want {
			t.Errorf("%s is %v, want %v", key, got, want)
		}
	}
}
