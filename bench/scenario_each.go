package main

import (
	"context"
	"errors"
	"fmt"
	"runtime"
)

// each: what does a worker gain that claims a batch in one call?
var each = scenario{
	name:  "each",
	title: "many resources, each with a lease of its own: a caller for each, or one call for all of them; acquire and release",
	columns: []column{
		{"rate", "leases/s", count},
		{"to callers", "to a caller for each", ratio},
		{"to floor", "to floor of batches", ratio},
		{"here", "CPU here", duration},
		{"there", "CPU of servers", duration},
		{"allocs", "allocations", decimal},
		{"errors", "failed", count},
	},
	run: runEach,
}

// batchLocker locks many resources at once.
type batchLocker interface {
	batch(resources []string) session
}

// batchSize is how many.
const batchSize = 512

func runEach(ctx context.Context, b *bench, r *report) error {
	r.Notes = []string{
		fmt.Sprintf("%d resources, with a caller for each of them, or one call after the other for all (\"each\", \"batches\").", batchSize),
		"CPU and allocations are of one lease, acquired and released. The floor of batches does not lock: it sends the same",
		"commands in one write to each server, encoded beforehand, counts replies, and wakes nobody for a single resource. The",
		"wire floor does so for each, and asks more of the servers: releases one by one, which Holdfast sends together.",
	}
	for _, n := range []int{1, 3} {
		peers := []peer{holdfastEach, batchFloor, holdfast, wireFloor}
		records, err := b.cell(ctx, r, cell{n, batchSize, ""}, peers, here(b.inBatches))
		if err != nil {
			return err
		}
		compare(records, "rate", holdfast.name, "to callers")
		compare(records, "rate", batchFloor.name, "to floor")
	}
	return nil
}

func (b *bench) inBatches(ctx context.Context, f *fleet, l locker) (values, error) {
	var sessions []session
	many := 1.0
	if batches, ok := l.(batchLocker); ok {
		resources := make([]string, batchSize)
		for k := range resources {
			resources[k] = fmt.Sprintf("order-%06d", k)
		}
		sessions, many = []session{batches.batch(resources)}, batchSize
	} else {
		sessions = ownResources(l, batchSize)
	}
	load := b.startLoad(ctx, sessions, untimed)
	sleep(ctx, b.warmup)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	usedHere, usedThere := cpu(), f.cpu()
	w := load.measure(ctx, b.window)
	usedHere, usedThere = cpu()-usedHere, f.cpu()-usedThere
	runtime.ReadMemStats(&after)
	if err := errors.Join(load.stop(), context.Cause(ctx)); err != nil {
		return nil, err
	}
	n := many * float64(w.cycles())
	v := values{
		"rate":   many * w.rate(),
		"here":   usedHere.Seconds() / n,
		"allocs": float64(after.Mallocs-before.Mallocs) / n,
		"errors": float64(w.errors()),
	}
	if usedThere > 0 { // where the system tells
		v["there"] = usedThere.Seconds() / n
	}
	return v, nil
}
