package main

import (
	"slices"
	"testing"
	"time"
)

// Whoever wants a resource gets it again and again, whatever else wants it: engines with and without a queue, another
// library, and callers who only try.
func TestAMixedFleetServesEverybody(t *testing.T) {
	needRedis(t)
	ownTemp(t)
	b := &bench{plan: tiny, progress: t.Output(), began: time.Now()}
	b.mixing = mixing{4, 6 * time.Second}
	r, err := b.run(t.Context(), mixed)
	if err != nil {
		t.Fatalf("b.run: %v", err)
	}
	r.print(t.Output(), false)
	checkRecords(t, r)
	for _, rec := range r.Records {
		if longest := rec.Median["longest"]; longest > 5 {
			t.Errorf("N=%d: one of %s went without the resource for %.1f s, want 5 s at most", rec.Instances, rec.Peer, longest)
		}
		if twice := rec.Median["overlaps"]; twice > 0 {
			t.Errorf("N=%d: it was held twice %v times", rec.Instances, twice)
		}
	}
}

func TestWithoutIsTheLongestGap(t *testing.T) {
	for _, c := range []struct {
		tenures []tenure
		want    time.Duration
	}{
		{nil, 100},
		{[]tenure{{From: 60, To: 70}, {From: 10, To: 30}}, 30},
		{[]tenure{{From: 45, To: 50}}, 50},
		{[]tenure{{From: 55, To: 60}}, 55},
	} {
		s := stretch{Tenures: c.tenures}
		if got := s.without(0, 100); got != c.want {
			t.Errorf("%v: %d, want %d", c.tenures, got, c.want)
		}
	}
}

func TestKindsAreSortedOut(t *testing.T) {
	a := &stretch{Rate: 10, Cycles: []int{1}, Waits: []time.Duration{1}, Tenures: []tenure{{From: 0, To: 1e9}}}
	b := &stretch{Rate: 20, Cycles: []int{3}, Errors: 2, Waits: []time.Duration{1}, Tenures: []tenure{{From: 1e9, To: 4e9}}}
	got := sortOut([]kind{{name: "one", n: 1}, {name: "two", n: 2}}, []*stretch{a, a, b})
	want := []values{
		{"processes": 1, "rate": 10, "least": 1, "longest": 3, "overlaps": 1, "errors": 0},
		{"processes": 2, "rate": 30, "least": 0.5, "longest": 3, "overlaps": 1, "errors": 2},
	}
	for i := range want {
		for key, v := range want[i] {
			if got[i][key] != v {
				t.Errorf("kind %d: %s is %v, want %v", i, key, got[i][key], v)
			}
		}
	}
	if len(got) != len(want) || slices.ContainsFunc(got, func(v values) bool { return len(v) != 6 }) {
		t.Errorf("there is more: %v", got)
	}
}
