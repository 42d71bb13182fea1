package main

import (
	"testing"
	"time"
)

func TestNumbers(t *testing.T) {
	for _, c := range []struct{ got, want string }{
		{count(0), "0"},
		{count(0.25), "0.2"},
		{count(999), "999"},
		{count(1234567.8), "1,234,568"},
		{ratio(0.5), "0.50×"},
		{ratio(12.34), "12.3×"},
		{duration(0.000123456), "123 µs"},
		{duration(0.0123456), "12.3 ms"},
		{duration(8), "8 s"},
	} {
		if c.got != c.want {
			t.Errorf("got %q, want %q", c.got, c.want)
		}
	}
	hundred := make([]time.Duration, 100)
	for i := range hundred {
		hundred[i] = time.Duration(i+1) * time.Second
	}
	for p, want := range map[float64]float64{0: 1, 0.5: 50, 0.99: 99, 1: 100} {
		if got := percentile(hundred, p); got != want {
			t.Errorf("percentile %v is %v, want %v", p, got, want)
		}
	}
	if got := median([]float64{4, 1, 3}); got != 3 {
		t.Errorf("median is %v, want 3", got)
	}
	if got := median([]float64{4, 1}); got != 2.5 {
		t.Errorf("median is %v, want 2.5", got)
	}
}

func TestRatioIsOfTheSameRound(t *testing.T) {
	fast := &record{Peer: "fast", Rounds: []values{{"rate": 100}, {"rate": 10}, {"rate": 60}}}
	slow := &record{Peer: "slow", Rounds: []values{{"rate": 50}, {"rate": 5}, {"rate": 10}}}
	compare([]*record{fast, slow}, "rate", "slow", "ratio")
	if got := fast.Median["ratio"]; got != 2 {
		t.Errorf("ratio is %v, want 2", got)
	}
	if got := slow.Median["ratio"]; got != 1 {
		t.Errorf("ratio to itself is %v, want 1", got)
	}
}
