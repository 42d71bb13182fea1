package main

import (
	"context"
	"sync/atomic"
)

// contended: what becomes of callers who all want the same?
var contended = scenario{
	name:  "contended",
	title: "16 callers on one resource, 3 instances; each releases at once and wants it again",
	run:   runContended,
}

func runContended(ctx context.Context, b *bench) (*report, error) {
	here := cell{instances: 3, callers: 16}
	r := &report{
		Columns: []column{
			{"rate", "grants/s", count},
			{"to redsync", "to redsync", ratio},
			{"p50", "p50 wait", duration},
			{"p99", "p99 wait", duration},
			{"max", "longest wait", duration},
			{"overlaps", "held twice", count},
			{"errors", "gave up", count},
		},
		Notes: []string{
			"All callers are in one process. Waits that the window's end cut off count as long as they had lasted. redsync gives up",
			"after 32 tries by default, and then the caller starts anew.",
		},
	}
	records, err := b.cell(ctx, here, []peer{holdfast, redsyncWaiting, redsyncFailFastWaiting},
		func(ctx context.Context, _ *fleet, l locker) (values, error) {
			var holders, overlaps atomic.Int64
			sessions := make([]session, here.callers)
			for i := range sessions {
				sessions[i] = &watched{session: l.session("order"), holders: &holders, overlaps: &overlaps}
			}
			w, err := b.steady(ctx, sessions, acquires, b.contended)
			if err != nil {
				return nil, err
			}
			waits := w.samples()
			return values{
				"rate":     w.rate(),
				"p50":      percentile(waits, 0.50),
				"p99":      percentile(waits, 0.99),
				"max":      percentile(waits, 1),
				"overlaps": float64(overlaps.Load()),
				"errors":   float64(w.errors()),
			}, nil
		})
	compare(records, "rate", redsyncWaiting.name, "to redsync")
	r.Records = records
	return r, err
}

// watched is a session on a resource that several have sessions on: it counts when two hold it at once.
type watched struct {
	session
	holders, overlaps *atomic.Int64
}

func (w *watched) acquire(ctx context.Context) error {
	err := w.session.acquire(ctx)
	if err == nil && w.holders.Add(1) > 1 {
		w.overlaps.Add(1)
	}
	return err
}

func (w *watched) release(ctx context.Context) error {
	w.holders.Add(-1)
	return w.session.release(ctx)
}
