package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// handover: how long does the next one wait for nothing, when the holder is in another process?
var handover = scenario{
	name:  "handover",
	title: "from the release in one process until a waiter in another holds; 4 resources, each with one waiter",
	columns: []column{
		{"p50", "p50", duration},
		{"p90", "p90", duration},
		{"p99", "p99", duration},
		{"max", "max", duration},
		{"to rueidislock", "p50 to rueidislock", ratio},
		{"samples", "handovers", count},
		{"overlaps", "held twice", count},
		{"errors", "gave up", count},
	},
	run: runHandover,
}

const baton = 4 // resources that are handed to and fro

func runHandover(ctx context.Context, b *bench, r *report) error {
	r.Notes = []string{
		"Two processes, which take turns. From the moment in which one calls release to that in which the acquire of the other has",
		"returned, by a clock that both share. The waiter has waited for 20 to 50 ms by then, at random. How often the pollers look",
		"is said below the scenario contended.",
	}
	peers := []peer{holdfast, redsyncWaiting, redislockWaiting, rueidislockWaiting, etcdPeer}
	for _, n := range []int{1, 3} {
		place := cell{instances: n, callers: 2 * baton}
		records, err := b.cell(ctx, r, place, peers, b.handOver)
		if err != nil {
			return err
		}
		compare(records, "p50", rueidislockWaiting.name, "to rueidislock")
	}
	return nil
}

func (b *bench) handOver(ctx context.Context, f *fleet, p peer) (v values, err error) {
	var resources []string
	for i := range baton {
		resources = append(resources, fmt.Sprintf("baton-%d", i))
	}
	pair, err := startChildren(ctx, "", 2, p, f, resources)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, stopChildren(pair)) }()
	var sum relayRace
	end := time.Now().Add(b.handover)
	runs, ctx := errgroup.WithContext(ctx)
	for i := range resources {
		runs.Go(func() error { return sum.run(ctx, pair[0], pair[1], i, end) })
	}
	if err := runs.Wait(); err != nil {
		return nil, err
	}
	return sum.values(), nil
}

// relayRace is what the resources' handovers come to.
type relayRace struct {
	mu               sync.Mutex
	took             []time.Duration
	overlaps, gaveUp int
}

// run hands one resource to and fro until the end, and once at least.
func (h *relayRace) run(ctx context.Context, holder, waiter *child, session int, end time.Time) error {
	acquire, release := order{Do: toAcquire, Session: session}, order{Do: toRelease, Session: session}
	if a, err := holder.ask(ctx, acquire); err != nil || a.Err != "" {
		return errors.Join(err, a.failure())
	}
	for first := true; first || time.Now().Before(end); first = false {
		if err := waiter.tell(acquire); err != nil {
			return err
		}
		sleep(ctx, 20*time.Millisecond+rand.N(30*time.Millisecond))
		released, err := holder.ask(ctx, release)
		if err != nil || released.Err != "" {
			return errors.Join(err, released.failure())
		}
		acquired, err := waiter.hear(ctx, session)
		if err != nil {
			return err
		}
		h.note(released, acquired)
		if acquired.Err != "" { // it starts anew, and nobody holds
			if acquired, err = waiter.ask(ctx, acquire); err != nil || acquired.Err != "" {
				return errors.Join(err, acquired.failure())
			}
		}
		holder, waiter = waiter, holder
	}
	a, err := holder.ask(ctx, release)
	return errors.Join(err, a.failure())
}

func (h *relayRace) note(released, acquired answer) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case acquired.Err != "":
		h.gaveUp++
	case acquired.At < released.At:
		h.overlaps++
	default:
		h.took = append(h.took, time.Duration(acquired.At-released.At))
	}
}

func (h *relayRace) values() values {
	slices.Sort(h.took)
	return values{
		"p50": percentile(h.took, 0.50), "p90": percentile(h.took, 0.90),
		"p99": percentile(h.took, 0.99), "max": percentile(h.took, 1),
		"samples": float64(len(h.took)), "overlaps": float64(h.overlaps), "errors": float64(h.gaveUp),
	}
}
