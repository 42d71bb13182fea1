package trial

import (
	"flag"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

var (
	oneSeed   = flag.Uint64("seed", 0, "run this seed only, and log all that happens")
	seeds     = flag.Int("seeds", 12, "how many seeds")
	firstSeed = flag.Uint64("from", 1, "the first of the seeds")
	simulated = flag.Duration("simulated", 45*time.Second, "how long faults go on in each run, in simulated time")
	stopEarly = flag.Bool("stop", false, "run no more seeds when one has failed")
	strict    = flag.Bool("strays", false, "complain of locks that are left behind in clusters, too, and run seeds with clusters only")
	forLong   = flag.Duration("for", 0, "run fresh seeds for so long, instead of a number of them")
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestSeeds(t *testing.T) { trials(t, *seeds, *simulated, false) }

// TestSeedsOnMiniredis runs our scripts as they are written.
func TestSeedsOnMiniredis(t *testing.T) { trials(t, (*seeds+19)/20, *simulated/3, true) }

func trials(t *testing.T, n int, length time.Duration, mini bool) {
	total := &counts{faults: make(map[string]int)}
	t.Cleanup(func() { total.report(t) })
	switch {
	case *oneSeed != 0:
		t.Run(name(*oneSeed), func(t *testing.T) { try(t, total, newPlan(*oneSeed, length, mini), t.Logf) })
	case *forLong != 0:
		seed := uint64(time.Now().UnixNano())
		for end := time.Now().Add(*forLong); time.Now().Before(end) && !t.Failed(); seed += 100 {
			many(t, total, seed, 100, length, mini)
		}
	default:
		many(t, total, *firstSeed, n, length, mini)
	}
}

func name(seed uint64) string { return fmt.Sprintf("seed %d", seed) }

// many runs n seeds, as many at once as there are threads.
func many(t *testing.T, total *counts, first uint64, n int, length time.Duration, mini bool) {
	t.Helper()
	t.Run("all", func(t *testing.T) {
		for k := range n {
			seed := first + uint64(k)
			t.Run(name(seed), func(t *testing.T) {
				t.Parallel()
				try(t, total, newPlan(seed, length, mini), nil)
			})
		}
	})
}

// try runs one plan and reports what it found.
func try(t *testing.T, total *counts, p *plan, logf func(string, ...any)) {
	t.Helper()
	if *stopEarly && total.failed.Load() {
		return
	}
	if logf != nil {
		logf("%v", p)
	}
	if *strict && len(p.clusters) == 0 {
		return
	}
	tr := run(t, p, logf)
	if tr.over() {
		t.Errorf("%s", verdict(tr))
	} else if tr.counts.acquires < 3 {
		t.Errorf("%v: only %d acquires: nothing was exercised", p, tr.counts.acquires)
	}
	if t.Failed() {
		total.failed.Store(true)
	}
	total.add(&tr.counts)
}

// verdict is all that is needed to look into it.
func verdict(t *trial) string {
	var b strings.Builder
	p := t.plan
	fmt.Fprintf(&b, "%v\n", p)
	for _, c := range t.complaints[:min(len(t.complaints), 5)] {
		fmt.Fprintf(&b, "COMPLAINT %s\n", c)
	}
	b.WriteString("what went before:\n")
	for _, e := range t.latest(100) {
		fmt.Fprintf(&b, "%v\n", e)
	}
	b.WriteString("the faults:\n")
	for _, f := range p.faults {
		fmt.Fprintf(&b, "%14v  %v\n", f.at, f)
	}
	test, length := "TestSeeds$", p.length
	if p.mini {
		test, length = "TestSeedsOnMiniredis$", 3*p.length
	}
	fmt.Fprintf(&b, "to repeat it: go test ./internal/trial -run '%s' -seed %d -simulated %v -v", test, p.seed, length)
	return b.String()
}

func (c *counts) add(o *counts) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.seeds += o.seeds
	c.acquires += o.acquires
	c.refused += o.refused
	c.losses += o.losses
	c.extended += o.extended
	c.overlaps += o.overlaps
	c.looks += o.looks
	c.handed += o.handed
	c.adopted += o.adopted
	c.held += o.held
	c.tokens += o.tokens
	c.waits += o.waits
	c.paces += o.paces
	c.batches += o.batches
	c.sets += o.sets
	c.kept += o.kept
	c.watched += o.watched
	c.checks += o.checks
	c.strays += o.strays
	c.failovers += o.failovers
	c.revenants += o.revenants
	c.wait = max(c.wait, o.wait)
	for kind, n := range o.faults {
		c.faults[kind] += n
	}
}

// report prints what was exercised, and fails the test when something was not.
func (c *counts) report(t *testing.T) {
	fmt.Printf("%s: %d seeds: %d leases granted, %d of them handed on, %d adopted and %d with tokens of the user's; %d acquires refused, %d bounded by WithWait, %d pauses of the user's own; %d watched, and asked about %d times; %d batches; %d of several at once, for which %d locks were kept; %d leases lost, %d of them held for too long, %d extended; looked at %d times; outside the assumptions %d held twice; %d left behind in clusters; %d failovers of pairs, by which %d locks came back; longest wait after the faults %v\nfaults:",
		t.Name(), c.seeds, c.acquires, c.handed, c.adopted, c.tokens, c.refused, c.waits, c.paces, c.watched, c.checks, c.batches, c.sets, c.kept, c.losses, c.held, c.extended, c.looks, c.overlaps, c.strays, c.failovers, c.revenants, c.wait.Round(time.Millisecond))
	for _, kind := range slices.Sorted(maps.Keys(c.faults)) {
		fmt.Printf(" %d %s;", c.faults[kind], kind)
	}
	fmt.Println()
	if c.seeds < 100 {
		return
	}
	if c.strays > max(1, c.seeds/20) {
		t.Errorf("%d locks were left behind in clusters: far more than can be helped", c.strays)
	}
	least := min(c.losses, c.refused, c.extended, c.overlaps, c.handed, c.adopted, c.held, c.tokens, c.waits, c.paces, c.watched, c.checks, c.batches, c.sets, c.kept, c.failovers, c.revenants)
	if least == 0 || len(c.faults) < len(kinds) {
		t.Error("something was not exercised at all")
	}
}
