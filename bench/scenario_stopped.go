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
	columns: []column{
		{"rate up", "cycles/s, all up", count},
		{"rate stopped", "one stopped", count},
		{"rate kept", "kept", ratio},
		{"to two", "to only two", ratio},
		{"p99 up", "p99, all up", duration},
		{"p99 stopped", "one stopped", duration},
		{"p99 kept", "p99 to all up", ratio},
		{"goroutines up", "goroutines, all up", count},
		{"goroutines stopped", "one stopped", count},
		{"goroutines kept", "goroutines to all up", ratio},
		{"errors", "failed", count},
	},
	run: runStopped,
}

// onTwo is Holdfast on the same servers less the one that the others see stopped.
var onTwo = peer{
	name: "holdfast, only two",
	open: func(ctx context.Context, f *fleet) (locker, error) {
		return holdfast.open(ctx, &fleet{servers: f.servers[:2]})
	},
}

func runStopped(ctx context.Context, b *bench, r *report) error {
	r.Notes = []string{
		"The window opens right after the stop, so that finding out is part of it. Latencies are of whole cycles; those that the",
		"window's end cut off count as long as they had lasted: a p99 as long as the window (" + b.stopped.String() + ") means at least that.",
		"Clients and servers share the CPUs, so a server less to serve makes all faster. Hence \"to only two\": the rate with one",
		"stopped to that of an engine which has the other two instances and no more, both up.",
	}
	place := cell{instances: 3, callers: 64}
	peers := []peer{holdfast, onTwo, redsyncDefault, redsyncFailFast}
	records, err := b.cell(ctx, r, place, peers, func(ctx context.Context, f *fleet, p peer) (values, error) {
		l, err := p.open(ctx, f)
		if err != nil {
			return nil, err
		}
		defer l.close()
		if p.name == onTwo.name {
			return b.whileUp(ctx, ownResources(l, place.callers))
		}
		return b.whileStopped(ctx, ownResources(l, place.callers), f.servers[2])
	})
	compareTo(records, "rate stopped", onTwo.name, "rate up", "to two")
	return err
}

func (b *bench) whileUp(ctx context.Context, sessions []session) (values, error) {
	w, err := b.steady(ctx, sessions, cycles, b.healthy)
	if err != nil {
		return nil, err
	}
	return values{"rate up": w.rate(), "p99 up": percentile(w.samples(), 0.99), "errors": float64(w.errors())}, nil
}

// whileStopped measures with all up, and then with the victim stopped.
func (b *bench) whileStopped(ctx context.Context, sessions []session, victim *server) (values, error) {
	load := b.startLoad(ctx, sessions, cycles)
	sleep(ctx, b.warmup)
	up := load.measure(ctx, b.healthy)
	before := runtime.NumGoroutine()

	paused := victim.pause()
	down := load.measure(ctx, b.stopped)
	after := runtime.NumGoroutine()
	resumed := victim.resume() // before the callers are waited for, some of whom wait for it
	if err := errors.Join(paused, resumed, load.stop(), context.Cause(ctx)); err != nil {
		return nil, err
	}
	v := values{
		"rate up":            up.rate(),
		"rate stopped":       down.rate(),
		"p99 up":             percentile(up.samples(), 0.99),
		"p99 stopped":        percentile(down.samples(), 0.99),
		"goroutines up":      float64(before),
		"goroutines stopped": float64(after),
		"errors":             float64(down.errors()),
	}
	for _, what := range []string{"rate", "p99", "goroutines"} {
		v[what+" kept"] = v[what+" stopped"] / v[what+" up"]
	}
	return v, nil
}
