package main

import (
	"context"
	"errors"
	"runtime"
)

// allocs: how much garbage does a lock make?
var allocs = scenario{
	name:  "allocs",
	title: "allocations per acquire and release",
	columns: []column{
		{"allocs", "allocations", decimal},
		{"bytes", "bytes", count},
		{"errors", "failed", count},
	},
	run: runAllocs,
}

func runAllocs(ctx context.Context, b *bench, r *report) error {
	r.Notes = []string{"Of the whole process, the Redis client included, by runtime.MemStats."}
	for _, callers := range []int{1, 64} {
		peers := []peer{holdfast, redsyncDefault, redsyncFailFast, redsyncRueidis}
		_, err := b.cell(ctx, r, cell{3, callers, ""}, peers, here(func(ctx context.Context, _ *fleet, l locker) (values, error) {
			load := b.startLoad(ctx, ownResources(l, callers), untimed)
			sleep(ctx, b.warmup)
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			w := load.measure(ctx, b.allocs)
			runtime.ReadMemStats(&after)
			if err := errors.Join(load.stop(), context.Cause(ctx)); err != nil {
				return nil, err
			}
			cycles := float64(w.cycles())
			return values{
				"allocs": float64(after.Mallocs-before.Mallocs) / cycles,
				"bytes":  float64(after.TotalAlloc-before.TotalAlloc) / cycles,
				"errors": float64(w.errors()),
			}, nil
		}))
		if err != nil {
			return err
		}
	}
	return nil
}
