package main

import "context"

// latency: how long does an acquire take when nothing else goes on?
var latency = scenario{
	name:  "latency",
	title: "one caller; how long an acquire takes",
	columns: []column{
		{"p50", "p50", duration},
		{"p99", "p99", duration},
		{"p50 to a", "p50 to (a)", ratio},
		{"p50 to b", "p50 to (b)", ratio},
		{"p99 to a", "p99 to (a)", ratio},
		{"p99 to b", "p99 to (b)", ratio},
		{"to redislock", "p50 to redislock", ratio},
		{"errors", "failed", count},
	},
	run: runLatency,
}

func runLatency(ctx context.Context, b *bench, r *report) error {
	peers := []peer{holdfast, redsyncDefault, redsyncFailFast, redislockPeer, rueidislockPeer, wireFloor, setOne, setMajority}
	r.Notes = []string{
		"Of the acquire alone: a release comes between two of them, and is not timed. (a) is one plain SET by go-redis to one",
		"server. (b) is one goroutine a server, each with its own go-redis client and one SET, until a majority has answered: what",
		"a SET to the slowest of the quorum takes. All are connected to the same servers, and have windows of half a second in turn.",
	}
	for _, n := range b.instances {
		records, err := b.alternating(ctx, r, cell{n, 1, ""}, peers, func(ctx context.Context, p peer, l locker) (values, error) {
			// On the same servers, what one leaves must keep no other out: each has a name of its own.
			own := []session{l.session("order of " + p.name)}
			w, err := b.steady(ctx, own, acquires, b.latency)
			if err != nil {
				return nil, err
			}
			samples := w.samples()
			return values{
				"p50": percentile(samples, 0.50), "p99": percentile(samples, 0.99),
				"samples": float64(len(samples)), "errors": float64(w.errors()),
			}, nil
		})
		if err != nil {
			return err
		}
		for _, key := range []string{"p50", "p99"} {
			compare(records, key, setOne.name, key+" to a")
			compare(records, key, setMajority.name, key+" to b")
		}
		compare(records, "p50", redislockPeer.name, "to redislock")
	}
	return nil
}
