package main

import "context"

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
		{"errors", "failed", count},
	},
	run: runFencing,
}

func runFencing(ctx context.Context, b *bench, r *report) error {
	r.Notes = []string{"Latencies are of whole cycles, an acquire and its release."}
	for _, callers := range []int{1, 64} {
		peers := []peer{holdfast, holdfastFencing}
		records, err := b.cell(ctx, r, cell{3, callers, ""}, peers, here(func(ctx context.Context, _ *fleet, l locker) (values, error) {
			w, err := b.steady(ctx, ownResources(l, callers), cycles, b.latency)
			if err != nil {
				return nil, err
			}
			samples := w.samples()
			return values{
				"rate": w.rate(), "errors": float64(w.errors()),
				"p50": percentile(samples, 0.50), "p99": percentile(samples, 0.99),
			}, nil
		}))
		if err != nil {
			return err
		}
		compare(records, "rate", holdfast.name, "kept")
		compare(records, "p50", holdfast.name, "p50 more")
		compare(records, "p99", holdfast.name, "p99 more")
	}
	return nil
}
