package trial

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"
)

// plan is what a seed decides.
type plan struct {
	seed   uint64
	length time.Duration // of the faults
	mini   bool          // on miniredis, which has no clocks

	servers, hosts, workers int    // workers of each host
	fenced                  []bool // one a resource
	ttl, maxTTL, timeout    time.Duration
	low, high               time.Duration // what a packet takes when nothing is wrong
	clocks                  []clockPlan
	unkind                  bool // CLIENT KILL is not permitted, and everything is fenced
	steps                   bool // clocks are stepped; nobody loses memory
	forgets                 bool // memory is lost unseen

	faults []fault // in order of their beginnings
	calms  []calm  // when there are none
}

// clockPlan is how a server's clock differs from the bubble's.
type clockPlan struct {
	offset time.Duration
	rate   float64
}

type calm struct{ from, to time.Duration }

const (
	stormLength = 10 * time.Second
	calmLength  = 4 * time.Second
	perSecond   = 1.5  // faults, in a storm
	drift       = 0.01 // the engine's default
)

func newPlan(seed uint64, length time.Duration, mini bool) *plan {
	r := rand.New(rand.NewPCG(seed, 0))
	p := &plan{seed: seed, length: length, mini: mini}
	p.chooseClass(r)
	p.servers = pick(r, 1, 2, 3, 3, 3, 3, 4, 5, 5)
	p.hosts = 2 + r.IntN(2)
	p.workers = 1 + r.IntN(2)
	for range 1 + r.IntN(3) {
		p.fenced = append(p.fenced, p.unkind || r.IntN(2) == 0)
	}
	p.ttl = pick(r, time.Second, 1500*time.Millisecond, 5*time.Second, 15*time.Second)
	p.maxTTL = pick(r, p.ttl, p.ttl, 2*p.ttl)
	p.timeout = pick[time.Duration](r, 100, 200, 300) * time.Millisecond
	p.high = pick[time.Duration](r, 0, 2, 20) * time.Millisecond
	p.low = p.high / 10
	p.chooseClocks(r)
	p.chooseFaults(r)
	return p
}

// chooseClass says which of the assumptions are broken: in most runs, none.
func (p *plan) chooseClass(r *rand.Rand) {
	switch class := r.IntN(10); {
	case class == 0 && !p.mini:
		p.steps = true
	case class == 1:
		p.forgets = true
	case class == 2:
		p.unkind = true
	}
}

// tame: mutual exclusion and honesty are promised.
func (p *plan) tame() bool { return !p.steps && !p.forgets }

func (p *plan) class() string {
	switch {
	case p.steps:
		return "clocks are stepped"
	case p.forgets:
		return "memory is lost unseen"
	case p.unkind:
		return "within the assumptions, without CLIENT KILL"
	}
	return "within the assumptions"
}

// chooseClocks: as fast as the drift allows, or any rate within it; and apart by
// less than what a fence may be ahead of a server.
func (p *plan) chooseClocks(r *rand.Rand) {
	const fastest = 1 + drift - drift/100
	apart := p.maxTTL / 4
	profile := r.IntN(3)
	for range p.servers {
		c := clockPlan{rate: 1}
		switch profile {
		case 1:
			c.rate = fastest
		case 2:
			c.rate = 1 - drift + r.Float64()*(fastest-1+drift)
		}
		if r.IntN(2) == 0 {
			c.offset = between(r, -apart, apart)
		}
		p.clocks = append(p.clocks, c)
	}
}

// chooseFaults fills storms with faults, with calms between them.
func (p *plan) chooseFaults(r *rand.Rand) {
	for begin := time.Second; begin < p.length; begin += stormLength + calmLength {
		end := min(begin+stormLength, p.length)
		for range int(perSecond * (end - begin).Seconds()) {
			p.faults = append(p.faults, p.newFault(r, begin, end))
		}
		if end+calmLength <= p.length {
			p.calms = append(p.calms, calm{end, end + calmLength})
		}
	}
	slices.SortStableFunc(p.faults, func(a, b fault) int { return cmp.Compare(a.at, b.at) })
	offsets := make([]time.Duration, p.servers)
	for k := range p.servers {
		offsets[k] = p.clocks[k].offset
	}
	for k := range p.faults {
		f := &p.faults[k]
		if f.kind.steps { // from one offset to another
			f.step, offsets[f.server] = f.step-offsets[f.server], f.step
		}
	}
}

func (p *plan) newFault(r *rand.Rand, begin, end time.Duration) fault {
	var possible []*kind
	for k := range kinds {
		if kinds[k].possible == nil || kinds[k].possible(p) {
			for range kinds[k].weight {
				possible = append(possible, &kinds[k])
			}
		}
	}
	f := fault{
		kind:   pick(r, possible...),
		at:     between(r, begin, end),
		server: r.IntN(p.servers),
		host:   r.IntN(p.hosts),
	}
	longest := pick(r, time.Second, 2*time.Second, 2*p.ttl)
	f.length = min(between(r, 10*time.Millisecond, longest), end-f.at)
	f.extent = between(r, time.Millisecond, 2*p.timeout)
	f.step = between(r, -p.maxTTL/4, p.maxTTL/4)
	return f
}

func (p *plan) String() string {
	return fmt.Sprintf("seed %d: %d instances, %d engines of %d workers, fenced %v, TTL %v (at most %v), timeout %v, packets take %v to %v, clocks %v; %s; %d faults in %v",
		p.seed, p.servers, p.hosts, p.workers, p.fenced, p.ttl, p.maxTTL, p.timeout, p.low, p.high, p.clocks, p.class(), len(p.faults), p.length)
}

// quarantine is what the restart guard keeps to, by the documentation.
func (p *plan) quarantine() time.Duration {
	return p.maxTTL + p.timeout + time.Duration(drift*float64(p.maxTTL)) + 2*time.Millisecond
}

// patience is how long a waiter may have to wait when the faults have ended: for
// the quarantine, for what was lost to expire, and for all the others.
func (p *plan) patience() time.Duration {
	patience := p.quarantine() + time.Second + 2*p.maxTTL + 30*time.Second
	for _, f := range p.faults {
		if f.kind.steps {
			patience += f.step.Abs()
		}
	}
	return patience
}

func pick[T any](r *rand.Rand, choices ...T) T { return choices[r.IntN(len(choices))] }

func between(r *rand.Rand, low, high time.Duration) time.Duration {
	if high <= low {
		return low
	}
	return low + time.Duration(r.Int64N(int64(high-low)))
}
