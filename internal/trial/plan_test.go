package trial

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/holdfast-go/holdfast/instance"
)

// plan is what a seed decides.
type plan struct {
	seed   uint64
	length time.Duration // of the faults
	mini   bool          // on miniredis, which has no clocks

	votes                   int           // instances: servers on their own, clusters, and pairs behind sentinels
	clusters                []clusterPlan // behind the servers on their own
	pairs                   int           // the last of the instances
	servers, hosts, workers int           // servers in all, and workers of each host
	engines                 []enginePlan  // one a host
	prefix                  string        // of all keys
	fenced                  []bool        // one a resource
	ttl, maxTTL, timeout    time.Duration
	drift                   float64
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
	swing  time.Duration // how long it runs so, before it swings back
}

// clusterPlan is an instance that is a cluster.
type clusterPlan struct{ masters, replicas int }

// enginePlan is how an engine differs from the others.
type enginePlan struct {
	handoff int
	owner   string
	tries   int
	guard   instance.Guard
	renew   time.Duration // 0: as is the default
	backoff pace
	waiters int // how many may wait; 0: as many as like
}

// hasty: an acquire may give up before its context ends, or not even wait.
func (e *enginePlan) hasty() bool { return e.backoff.rounds > 0 || e.waiters > 0 }

type calm struct{ from, to time.Duration }

const (
	stormLength = 10 * time.Second
	calmLength  = 4 * time.Second
	perSecond   = 1.5 // faults, in a storm
)

func newPlan(seed uint64, length time.Duration, mini bool) *plan {
	r := rand.New(rand.NewPCG(seed, 0))
	p := &plan{seed: seed, length: length, mini: mini}
	p.chooseClass(r)
	p.votes = pick(r, 1, 2, 3, 3, 3, 3, 4, 5, 5)
	p.chooseClusters(r)
	p.choosePairs(r)
	p.hosts = 2 + r.IntN(2)
	p.workers = 1 + r.IntN(2)
	p.chooseTimes(r)
	p.chooseEngines(r)
	p.prefix = pick(r, "", "", "", "app:", "{app}:")
	for range 1 + r.IntN(3) {
		p.fenced = append(p.fenced, p.unkind || r.IntN(2) == 0)
	}
	p.chooseClocks(r)
	p.chooseFaults(r)
	return p
}

func (p *plan) chooseTimes(r *rand.Rand) {
	p.ttl = pick(r, time.Second, 1500*time.Millisecond, 5*time.Second, 15*time.Second)
	p.maxTTL = pick(r, p.ttl, p.ttl, 2*p.ttl)
	p.drift = pick(r, 0.01, 0.01, 0.05)
	p.timeout = pick[time.Duration](r, 100, 200, 300) * time.Millisecond
	p.high = pick[time.Duration](r, 0, 2, 20) * time.Millisecond
	p.low = p.high / 10
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

// chooseClusters: most instances are servers on their own.
func (p *plan) chooseClusters(r *rand.Rand) {
	p.servers = p.votes
	if p.mini || r.IntN(4) > 0 {
		return
	}
	for range 1 + r.IntN(p.votes) {
		c := clusterPlan{masters: 2 + r.IntN(2), replicas: r.IntN(2)}
		p.clusters = append(p.clusters, c)
		p.servers += c.masters + c.replicas - 1
		if len(p.clusters) == 2 {
			return
		}
	}
}

// choosePairs: each is five servers in the place of one.
func (p *plan) choosePairs(r *rand.Rand) {
	if p.mini || r.IntN(4) > 0 {
		return
	}
	p.pairs = min(1+r.IntN(2), p.votes-len(p.clusters))
	p.servers += 4 * p.pairs
}

// chooseEngines: one that hands locks on has somebody to hand them to, and is known
// by its tokens, since its leases do not show them. One that trusts every instance
// is right only where none loses its memory, or nothing is promised.
func (p *plan) chooseEngines(r *rand.Rand) {
	for h := range p.hosts {
		e := enginePlan{
			handoff: pick(r, 0, 0, 0, 1, 16, 65536),
			owner:   fmt.Sprintf("engine-%d", h+1),
			tries:   pick(r, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3),
			guard:   pick(r, instance.GuardAdaptive, instance.GuardStrict),
			renew:   pick(r, 0, 0, 0, p.ttl/8, p.ttl/2),
			backoff: pick(r, pace{}, pace{}, pace{}, pace{pause: 4 * grid}, pace{pause: grid, rounds: 10}),
			waiters: pick(r, 0, 0, 0, 0, 0, 1),
		}
		switch {
		case e.handoff > 0:
			p.workers = 2
		case r.IntN(2) == 0:
			e.owner = ""
		}
		if !p.tame() && r.IntN(2) == 0 {
			e.guard = instance.GuardOff
		}
		p.engines = append(p.engines, e)
	}
}

// key is the name of a resource's key.
func (p *plan) key(resource string) string { return p.prefix + resource }

// isFence reports whether a key has a fence, or all of them, rather than a lock, or is one's cell.
func (p *plan) isFence(key string) bool {
	return strings.HasPrefix(key, p.prefix+"fence:") || strings.HasPrefix(key, p.prefix+"fences:1")
}

// isQueue reports whether a key is of the queue of those that wait for a lock.
func (p *plan) isQueue(key string) bool { return strings.HasPrefix(key, p.prefix+"queue") }

// chooseClocks: as fast as the drift allows, or any rate within it; and apart by
// less than what a fence may be ahead of a server, which is half of MaxTTL, or some would wait for as long as others are
// granted higher numbers. So clocks of many rates swing to and fro: by 2 times 1/8 and 2 times 1/12 of MaxTTL at most
// they are apart, and 1/16 of it may be reserved.
func (p *plan) chooseClocks(r *rand.Rand) {
	fastest := 1 + p.drift - p.drift/100
	apart := p.maxTTL / 8
	profile := r.IntN(3)
	for range p.servers {
		c := clockPlan{rate: 1}
		switch profile {
		case 1:
			c.rate = fastest
		case 2:
			slowest := 2 - fastest
			c.rate = slowest + r.Float64()*(fastest-slowest)
			c.swing = time.Duration(float64(p.maxTTL) / 12 / p.drift)
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
		f.number = k
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
	return fmt.Sprintf("seed %d: %d instances, clusters %v, %d pairs, engines %+v of %d workers, prefix %q, fenced %v, TTL %v (at most %v), drift %v, timeout %v, packets take %v to %v, clocks %v; %s; %d faults in %v",
		p.seed, p.votes, p.clusters, p.pairs, p.engines, p.workers, p.prefix, p.fenced, p.ttl, p.maxTTL, p.drift, p.timeout, p.low, p.high, p.clocks, p.class(), len(p.faults), p.length)
}

// quarantine is what the restart guard keeps to, by the documentation.
func (p *plan) quarantine() time.Duration {
	return p.maxTTL + p.timeout + time.Duration(p.drift*float64(p.maxTTL)) + 2*time.Millisecond
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
