package main

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/holdfast-go/holdfast/engine"
	"github.com/holdfast-go/holdfast/lease"
)

// shared: what does a lock cost that is shared?
var shared = scenario{
	name:    "shared",
	title:   "a lock that is shared, to one that is not; every caller has its own, or all are in the same",
	columns: several.columns,
	run:     runShared,
}

var (
	holdfastShared = severalPeer("holdfast, Shared", func(ctx context.Context, e *engine.Engine, names []string, opts []engine.Option) ([]*lease.Lease, error) {
		l, err := e.Acquire(ctx, names[0], append(opts, engine.Shared())...)
		return []*lease.Lease{l}, err
	})
	holdfastSharedByAll = severalPeer("holdfast, Shared by all", func(ctx context.Context, e *engine.Engine, _ []string, opts []engine.Option) ([]*lease.Lease, error) {
		l, err := e.Acquire(ctx, "config", append(opts, engine.Shared())...)
		return []*lease.Lease{l}, err
	})
)

func runShared(ctx context.Context, b *bench, r *report) error {
	r.Notes = []string{
		"As in several. By all: the callers of the engine come into one lock and leave it, and each asks when the one before it is in.",
	}
	return b.toOne(ctx, r, []peer{holdfastOne, holdfastShared, holdfastSharedByAll})
}

// readers: how long does a writer wait?
var readers = scenario{
	name:  "readers",
	title: "one writer and 100 readers of one resource, in eleven engines; each holds it for 10ms, 3 instances",
	columns: []column{
		{"mean", "a writer waits", duration},
		{"longest", "longest", duration},
		{"holds", "in holds", ratio},
		{"rate", "readers/s", count},
		{"errors", "failed", count},
	},
	run: runReaders,
}

const (
	readingEngines = 10
	readersEach    = 10
	reading        = 10 * time.Millisecond
)

var (
	holdfastReaders = peer{name: "holdfast, Shared"}
	holdfastAlone   = peer{name: holdfast.name}
)

func runReaders(ctx context.Context, b *bench, r *report) error {
	r.Notes = []string{"All come back at once. \"holdfast\": the readers acquire as the writer does, each alone."}
	_, err := b.cell(ctx, r, cell{3, readingEngines * readersEach, ""}, []peer{holdfastReaders, holdfastAlone}, func(ctx context.Context, f *fleet, p peer) (values, error) {
		var opts []engine.Option
		if p.name == holdfastReaders.name {
			opts = append(opts, engine.Shared())
		}
		return b.amongReaders(ctx, f, opts)
	})
	return err
}

// amongReaders measures the waits of one writer.
func (b *bench) amongReaders(ctx context.Context, f *fleet, opts []engine.Option) (values, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var engines []*engine.Engine
	defer func() {
		for _, e := range engines {
			_ = e.Close(context.Background())
		}
	}()
	for range readingEngines + 1 {
		e, err := engine.Open(ctx, f.urls(), engine.Config{})
		if err != nil {
			return nil, err
		}
		engines = append(engines, e)
	}
	hold := func(e *engine.Engine, opts ...engine.Option) error {
		return e.Do(ctx, "config", func(context.Context) error {
			time.Sleep(reading)
			return nil
		}, opts...)
	}
	var all sync.WaitGroup
	var mu sync.Mutex
	reads, failed := 0, 0
	for _, e := range engines[:readingEngines] {
		for range readersEach {
			all.Go(func() {
				for ctx.Err() == nil {
					err := hold(e, opts...)
					mu.Lock()
					if reads++; err != nil && ctx.Err() == nil {
						failed++
					}
					mu.Unlock()
				}
			})
		}
	}
	time.Sleep(b.warmup)
	begun := time.Now()
	mu.Lock()
	before := reads
	mu.Unlock()
	var waits []float64
	for time.Since(begun) < 2*b.latency {
		asked := time.Now()
		l, err := engines[readingEngines].Acquire(ctx, "config")
		if err != nil {
			cancel()
			all.Wait()
			return nil, fmt.Errorf("the writer, after %v: %w", time.Since(asked), err)
		}
		waits = append(waits, time.Since(asked).Seconds())
		time.Sleep(reading)
		if err := l.Release(ctx); err != nil {
			mu.Lock()
			failed++
			mu.Unlock()
		}
	}
	took := time.Since(begun).Seconds()
	mu.Lock()
	v := values{"rate": float64(reads-before) / took, "errors": float64(failed), "longest": slices.Max(waits)}
	mu.Unlock()
	sum := 0.0
	for _, w := range waits {
		sum += w
	}
	v["mean"] = sum / float64(len(waits))
	v["holds"] = v["longest"] / reading.Seconds()
	cancel()
	all.Wait()
	return v, nil
}
