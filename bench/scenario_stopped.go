package main

import (
	"context"
	"errors"
	"runtime"
)

// stopped: what does one hung instance of three cost?
var stopped = scenario{
	name:  "stopped",
	title: "64 callers, each with a resource of its own, while one of 3 instances hangs (SIGSTOP)",
	run:   runStopped,
}

func runStopped(ctx context.Context, b *bench) (*report, error) {
	here := cell{instances: 3, callers: 64}
	r := &report{
		Columns: []column{
			{"rate up", "cycles/s, all up", count},
			{"rate stopped", "one stopped", count},
			{"kept", "kept", ratio},
			{"p99 up", "p99, all up", duration},
			{"p99 stopped", "one stopped", duration},
			{"goroutines up", "goroutines, all up", count},
			{"goroutines stopped", "one stopped", count},
			{"errors", "failed", count},
		},
		Notes: []string{
			"The window opens right after the stop, so that finding out is part of it. Latencies are of whole cycles; those that the",
			"window's end cut off count as long as they had lasted: a p99 as long as the window (" + b.stopped.String() + ") means at least that.",
			"More than all can be kept: clients and servers share the CPUs, and there is one server less to serve.",
		},
	}
	records, err := b.cell(ctx, here, []peer{holdfast, redsyncDefault, redsyncFailFast},
		func(ctx context.Context, f *fleet, l locker) (values, error) {
			load := startLoad(ctx, ownResources(l, here.callers), cycles)
			sleep(ctx, b.warmup)
			up := load.measure(ctx, b.healthy)
			before := runtime.NumGoroutine()

			victim := f.servers[1]
			paused := victim.pause()
			down := load.measure(ctx, b.stopped)
			after := runtime.NumGoroutine()
			resumed := victim.resume() // before the callers are waited for, some of whom wait for it
			if err := errors.Join(paused, resumed, load.stop(), context.Cause(ctx)); err != nil {
				return nil, err
			}
			return values{
				"rate up":            up.rate(),
				"rate stopped":       down.rate(),
				"kept":               down.rate() / up.rate(),
				"p99 up":             percentile(up.samples(), 0.99),
				"p99 stopped":        percentile(down.samples(), 0.99),
				"goroutines up":      float64(before),
				"goroutines stopped": float64(after),
				"errors":             float64(down.errors()),
			}, nil
		})
	r.Records = records
	return r, err
}
