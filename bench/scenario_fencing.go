package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/holdfast-go/holdfast/engine"
)

// fencing: what does a fencing token cost?
var fencing = scenario{
	name:  "fencing",
	title: "with and without fencing tokens; every caller has a resource of its own",
	columns: []column{
		{"rate", "cycles/s", count},
		{"kept", "to without", ratio},
		{"p50", "p50", duration},
		{"p99", "p99", duration},
		{"p50 more", "p50 to without", ratio},
		{"p99 more", "p99 to without", ratio},
		{"here", "CPU here", duration},
		{"there", "CPU of servers", duration},
		{"there more", "servers to without", ratio},
		{"errors", "failed", count},
	},
	run: runFencing,
}

// alone is a cell in which nothing is released.
const alone = "acquires alone"

func runFencing(ctx context.Context, b *bench, r *report) error {
	r.Notes = []string{
		"Latencies and CPU are of whole cycles, an acquire and its release; CPU here, and of all servers together. Acquires alone:",
		"each is of a name that nobody has had, for a second, and nothing is released: CPU and latencies are the acquires'.",
	}
	peers := []peer{holdfast, holdfastFencing}
	for _, c := range []cell{{1, 64, ""}, {3, 1, ""}, {3, 64, ""}, {3, 512, ""}, {3, 64, alone}} {
		records, err := b.cell(ctx, r, c, peers, here(func(ctx context.Context, f *fleet, l locker) (values, error) {
			if c.under == alone {
				return b.fencedLoad(ctx, f, newResources(l, c.callers))
			}
			return b.fencedLoad(ctx, f, ownResources(l, c.callers))
		}))
		if err != nil {
			return err
		}
		compare(records, "rate", holdfast.name, "kept")
		compare(records, "p50", holdfast.name, "p50 more")
		compare(records, "p99", holdfast.name, "p99 more")
		compare(records, "there", holdfast.name, "there more")
	}
	return nil
}

func (b *bench) fencedLoad(ctx context.Context, f *fleet, sessions []session) (values, error) {
	l := b.startLoad(ctx, sessions, cycles)
	sleep(ctx, b.warmup)
	usedHere, usedThere := cpu(), f.cpu()
	w := l.measure(ctx, b.latency)
	usedHere, usedThere = cpu()-usedHere, f.cpu()-usedThere
	if err := errors.Join(l.stop(), context.Cause(ctx)); err != nil {
		return nil, err
	}
	samples, n := w.samples(), float64(w.cycles())
	v := values{
		"rate": w.rate(), "errors": float64(w.errors()), "here": usedHere.Seconds() / n,
		"p50": percentile(samples, 0.50), "p99": percentile(samples, 0.99),
	}
	if usedThere > 0 { // where the system tells
		v["there"] = usedThere.Seconds() / n
	}
	return v, nil
}

// newResources gives every caller a new resource each time, for a second, and lets it expire.
func newResources(l locker, callers int) []session {
	locks := l.(holdfastLocker)
	locks.options = append([]engine.Option{engine.WithTTL(time.Second), engine.WithoutRenewal()}, locks.options...)
	sessions := make([]session, callers)
	for i := range sessions {
		sessions[i] = &expiring{locker: locks, caller: i}
	}
	return sessions
}

// expiring acquires and never releases.
type expiring struct {
	locker holdfastLocker
	caller int
	times  int
}

func (s *expiring) acquire(ctx context.Context) error {
	s.times++
	_, err := s.locker.engine.Acquire(ctx, fmt.Sprintf("order-%03d-%06d", s.caller, s.times), s.locker.options...)
	return err
}

func (s *expiring) release(context.Context) error { return nil }
