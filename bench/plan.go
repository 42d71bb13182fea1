package main

import "time"

// plan is how much is measured, and for how long. Everything that takes time is bounded by it.
type plan struct {
	rounds    int
	warmup    time.Duration // before every window, not measured
	window    time.Duration // distinct
	instances []int         // distinct and latency
	callers   []int         // distinct
	latency   time.Duration
	healthy   time.Duration // stopped: while all instances are up
	stopped   time.Duration // stopped: while one is not
	allocs    time.Duration
	contended time.Duration
	unix      bool // not loopback TCP
}

var full = plan{
	rounds:    3,
	warmup:    200 * time.Millisecond,
	window:    2 * time.Second,
	instances: []int{1, 3, 5},
	callers:   []int{1, 64, 512},
	latency:   time.Second,
	healthy:   time.Second,
	stopped:   8 * time.Second,
	allocs:    time.Second,
	contended: 3 * time.Second,
}

var quickly = plan{
	rounds:    3,
	warmup:    50 * time.Millisecond,
	window:    200 * time.Millisecond,
	instances: []int{1, 3},
	callers:   []int{1, 64},
	latency:   100 * time.Millisecond,
	healthy:   200 * time.Millisecond,
	stopped:   700 * time.Millisecond,
	allocs:    100 * time.Millisecond,
	contended: 400 * time.Millisecond,
}
