package main

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/holdfast-go/holdfast/engine"
)

// lostLocks: when does a holder know that somebody has deleted its lock, and what does that cost while nobody does?
var lostLocks = scenario{
	name:  "lost",
	title: "leases of 10 s that are renewed, and then their locks are deleted on all servers",
	columns: []column{
		{"p50", "p50 until Done", duration},
		{"p99", "p99 until Done", duration},
		{"max", "longest until Done", duration},
		{"commands", "commands/renewal and server", decimal},
		{"server", "server CPU/renewal", duration},
		{"client", "client CPU/renewal", duration},
		{"to server", "server CPU to unwatched", ratio},
		{"to client", "client CPU to unwatched", ratio},
	},
	run: runLost,
}

// holdfastWatched is told when its lock is gone.
var holdfastWatched = holdfastPeer("holdfast, watched", engine.Config{}, engine.WithWatch())

func runLost(ctx context.Context, b *bench, r *report) error {
	r.Notes = []string{
		"Callers are leases. Commands are as INFO counts them, those inside scripts included. A renewal is one of one lease, and its",
		"CPU is that of all servers, or of this process. Then locks are deleted at random times, by a DEL to one server after the",
		"other; until Done is from before the first of them.",
	}
	for _, n := range []int{1, 3} {
		records, err := b.cell(ctx, r, cell{instances: n, callers: b.lost.leases}, []peer{holdfast, holdfastWatched}, b.losing)
		if err != nil {
			return err
		}
		compare(records, "server", holdfast.name, "to server")
		compare(records, "client", holdfast.name, "to client")
	}
	return nil
}

// loss is so many leases, held for so long, of which so many locks are deleted within a time.
type loss struct {
	leases  int
	ttl     time.Duration
	hold    time.Duration
	deleted int
	within  time.Duration
}

func (b *bench) losing(ctx context.Context, f *fleet, p peer) (v values, err error) {
	var renewals atomic.Int64
	e, err := engine.Open(ctx, f.urls(), engine.Config{
		TTL: b.lost.ttl, Trace: &engine.Trace{Renewed: func(engine.RenewedInfo) { renewals.Add(1) }},
	})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, release(e)) }()
	var options []engine.Option
	if p.name == holdfastWatched.name {
		options = append(options, engine.WithWatch())
	}
	if err := acquireMany(ctx, e, b.lost.leases, options...); err != nil {
		return nil, err
	}
	sleep(ctx, b.lost.ttl/3) // so that all are renewed, and watched
	before, err := f.commands(ctx, p)
	client, server, count := cpu(), f.cpu(), renewals.Load()
	sleep(ctx, b.lost.hold)
	client, server, count = cpu()-client, f.cpu()-server, renewals.Load()-count
	after, err2 := f.commands(ctx, p)
	if err := errors.Join(err, err2, context.Cause(ctx)); err != nil {
		return nil, err
	}
	took, err := b.deleteSome(ctx, f, e)
	if err != nil {
		return nil, err
	}
	each := float64(max(count, 1))
	return values{
		"p50": percentile(took, 0.5), "p99": percentile(took, 0.99), "max": percentile(took, 1),
		"commands": float64(after-before) / each / float64(len(f.servers)),
		"server":   server.Seconds() / each,
		"client":   client.Seconds() / each,
	}, nil
}

// deleteSome deletes locks, and returns how long it took until their holders knew, in order.
func (b *bench) deleteSome(ctx context.Context, f *fleet, e *engine.Engine) ([]time.Duration, error) {
	list := connect(f)
	defer list.close()
	held := e.Leases()
	rand.Shuffle(len(held), func(i, j int) { held[i], held[j] = held[j], held[i] })
	held = held[:b.lost.deleted]
	took := make([]time.Duration, len(held))
	var deleting errgroup.Group
	for i, l := range held {
		at := rand.N(b.lost.within)
		deleting.Go(func() error {
			sleep(ctx, at)
			begun := time.Now()
			for _, client := range list {
				if err := client.Del(ctx, l.Resource()).Err(); err != nil {
					return err
				}
			}
			select {
			case <-l.Done():
			case <-ctx.Done():
				return context.Cause(ctx)
			}
			took[i] = time.Since(begun)
			return nil
		})
	}
	err := deleting.Wait()
	slices.Sort(took)
	return took, err
}
