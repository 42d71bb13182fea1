package main

import "time"

// plan is how much is measured, and for how long. Everything that takes time is bounded by it.
type plan struct {
	rounds    int
	warmup    time.Duration   // before every window, not measured
	patience  time.Duration   // that callers have to come to their end; then their contexts end
	window    time.Duration   // distinct
	instances []int           // distinct and latency
	callers   []int           // distinct
	latency   time.Duration   // latency, and fencing
	turns     int             // latency: windows of each peer
	trips     []time.Duration // delay: what is added to a round trip
	delayed   time.Duration
	healthy   time.Duration // stopped: while all instances are up
	stopped   time.Duration // stopped: while one is not
	allocs    time.Duration
	contended time.Duration
	handover  time.Duration
	processes time.Duration
	crowds    []int         // numbers of engines, two first
	crowding  time.Duration // crowd
	mixing    mixing
	idlers    int           // idle: callers
	fleet     int           // fleet: clients
	returning time.Duration // fleet: that they have to come back
	idling    time.Duration // idle and fleet; twice that is less than the TTL of those who do not renew
	held      holding       // many leases on three instances
	most      holding       // even more on one
	lost      loss
	unix      bool // not loopback TCP
}

// holding is so many leases, of that length, for so long. No leases: not measured.
type holding struct {
	leases int
	ttl    time.Duration
	hold   time.Duration
}

// full is measured in less than ten minutes. Leases are held for longer than their TTL, so that each was renewed.
var full = plan{
	rounds:    3,
	warmup:    150 * time.Millisecond,
	patience:  10 * time.Second,
	window:    500 * time.Millisecond,
	instances: []int{1, 3, 5},
	callers:   []int{1, 64, 512},
	latency:   500 * time.Millisecond,
	turns:     6,
	trips:     []time.Duration{2 * time.Millisecond, 20 * time.Millisecond},
	delayed:   700 * time.Millisecond,
	healthy:   time.Second,
	stopped:   5 * time.Second,
	allocs:    400 * time.Millisecond,
	contended: time.Second,
	handover:  1500 * time.Millisecond,
	processes: 2 * time.Second,
	crowds:    []int{2, 8, 128, 512},
	crowding:  2500 * time.Millisecond,
	mixing:    mixing{8, 8 * time.Second},
	idlers:    1000,
	fleet:     1000,
	returning: 10 * time.Second,
	idling:    4500 * time.Millisecond,
	held:      holding{100_000, 30 * time.Second, 35 * time.Second},
	most:      holding{1_000_000, 30 * time.Second, 35 * time.Second},
	lost:      loss{10_000, 10 * time.Second, 8 * time.Second, 500, 3 * time.Second},
}

// quickly is measured in less than one: a first look, in one round.
var quickly = plan{
	rounds:    1,
	warmup:    50 * time.Millisecond,
	patience:  5 * time.Second,
	window:    200 * time.Millisecond,
	instances: []int{1, 3},
	callers:   []int{1, 64},
	latency:   150 * time.Millisecond,
	turns:     2,
	trips:     []time.Duration{2 * time.Millisecond, 20 * time.Millisecond},
	delayed:   300 * time.Millisecond,
	healthy:   300 * time.Millisecond,
	stopped:   time.Second,
	allocs:    200 * time.Millisecond,
	contended: 300 * time.Millisecond,
	handover:  500 * time.Millisecond,
	processes: 500 * time.Millisecond,
	crowds:    []int{2, 8, 64},
	crowding:  500 * time.Millisecond,
	mixing:    mixing{4, 2 * time.Second},
	idlers:    200,
	fleet:     200,
	returning: 5 * time.Second,
	idling:    time.Second,
	held:      holding{20_000, 10 * time.Second, 4 * time.Second},
	lost:      loss{2_000, 3 * time.Second, 2 * time.Second, 100, time.Second},
}
