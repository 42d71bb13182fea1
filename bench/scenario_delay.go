package main

import "context"

// delay: what is a long way to the servers worth?
var delay = scenario{
	name:  "delay",
	title: "64 callers, each with a resource of its own, 3 instances, far away",
	columns: []column{
		{"p50", "p50", duration},
		{"p99", "p99", duration},
		{"p50 to trip", "p50 to round trip", ratio},
		{"p99 to trip", "p99 to round trip", ratio},
		{"rate", "cycles/s", count},
		{"errors", "failed", count},
	},
	run: runDelay,
}

func runDelay(ctx context.Context, b *bench, r *report) error {
	r.Notes = []string{
		"Between client and servers stand relays that hold back everything for half of the time, in order, without limiting the",
		"rate. Latencies are of the acquire, to the time added. redsync has 20 connections on 2 CPUs by default, or one a caller.",
		"(a) is one caller with one plain SET to one server: what the relays and the machine take. The wire floor writes again",
		"only when it has all replies, so its callers wait for up to two round trips.",
	}
	peers := []peer{holdfast, redsyncDefault, redsyncFar, redsyncRueidis, wireFloor, setOne}
	for _, trip := range b.trips {
		place := cell{instances: 3, callers: 64, under: trip.String()}
		_, err := b.cell(ctx, r, place, peers, func(ctx context.Context, f *fleet, p peer) (values, error) {
			far, relays, err := farAway(f, trip)
			if err != nil {
				return nil, err
			}
			defer relays.close()
			return here(func(ctx context.Context, _ *fleet, l locker) (values, error) {
				callers := place.callers
				if p.name == setOne.name {
					callers = 1
				}
				w, err := b.steady(ctx, ownResources(l, callers), acquires, b.delayed)
				if err != nil {
					return nil, err
				}
				samples := w.samples()
				p50, p99 := percentile(samples, 0.50), percentile(samples, 0.99)
				return values{
					"p50": p50, "p50 to trip": p50 / trip.Seconds(),
					"p99": p99, "p99 to trip": p99 / trip.Seconds(),
					"rate": w.rate(), "errors": float64(w.errors()),
				}, nil
			})(ctx, far, p)
		})
		if err != nil {
			return err
		}
	}
	return nil
}
