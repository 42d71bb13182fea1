package main

import (
	"context"
	"sync/atomic"
)

// contended: what becomes of callers who all want the same?
var contended = scenario{
	name:    "contended",
	title:   "16 callers of one process on one resource; each releases at once and wants it again",
	columns: contention,
	run: func(ctx context.Context, b *bench, r *report) error {
		r.Notes = []string{
			"Waits that the window's end cut off count as long as they had lasted. redsync waits 50 to 250 ms between tries and gives",
			"up after 32 by default, redislock looks every 100 ms, as in its documentation, and gives up after the TTL; then the",
			"caller starts anew. rueidislock lets one of its callers after the other ask Redis, as Holdfast does.",
		}
		if _, err := b.contend(ctx, r, 1, waiting); err != nil {
			return err
		}
		_, err := b.contend(ctx, r, 3, waiting)
		return err
	},
}

var contention = []column{
	{"rate", "grants/s", count},
	{"to redsync", "to redsync", ratio},
	{"p50", "p50 wait", duration},
	{"p99", "p99 wait", duration},
	{"max", "longest wait", duration},
	{"overlaps", "held twice", count},
	{"errors", "gave up", count},
}

// contend measures 16 callers on one resource.
func (b *bench) contend(ctx context.Context, r *report, instances int, peers []peer) ([]*record, error) {
	place := cell{instances: instances, callers: 16}
	records, err := b.cell(ctx, r, place, peers, here(func(ctx context.Context, _ *fleet, l locker) (values, error) {
		var holders, overlaps atomic.Int64
		sessions := make([]session, place.callers)
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
	}))
	compare(records, "rate", redsyncWaiting.name, "to redsync")
	return records, err
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
