package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/holdfast-go/holdfast/engine"
)

// beside: for how long does a large batch hold up somebody else's acquire?
var beside = scenario{
	name:  "beside",
	title: "a lone caller's acquires, without and beside batches of 10,000",
	columns: []column{
		{"p50 alone", "p50 alone", duration},
		{"p99 alone", "p99 alone", duration},
		{"p50", "p50 beside", duration},
		{"p99", "p99 beside", duration},
		{"max", "longest beside", duration},
		{"batches", "leases/s of batches", count},
		{"errors", "failed", count},
	},
	run: runBeside,
}

// holdfastOther is a lone caller with an engine of its own, while another's has the batches.
var holdfastOther = peer{name: "holdfast, another engine", open: holdfast.open}

func runBeside(ctx context.Context, b *bench, r *report) error {
	r.Notes = []string{
		fmt.Sprintf("A caller acquires and releases one resource all the time, while batches of %d are claimed and released one after the", engine.MaxEach),
		"other: by the same engine, or by another. It is held up by what it finds in front of it, and by having less of the CPUs.",
	}
	_, err := b.cell(ctx, r, cell{3, 1, ""}, []peer{holdfast, holdfastOther}, func(ctx context.Context, f *fleet, p peer) (v values, err error) {
		lone, err := p.open(ctx, f)
		if err != nil {
			return nil, err
		}
		defer lone.close()
		large := lone
		if p.name == holdfastOther.name {
			if large, err = p.open(ctx, f); err != nil {
				return nil, err
			}
			defer large.close()
		}
		return b.besideBatches(ctx, lone, holdfastEachLocker{large.(holdfastLocker)})
	})
	return err
}

func (b *bench) besideBatches(ctx context.Context, lone locker, large holdfastEachLocker) (values, error) {
	resources := make([]string, engine.MaxEach)
	for k := range resources {
		resources[k] = fmt.Sprintf("batch-%06d", k)
	}
	load := b.startLoad(ctx, ownResources(lone, 1), acquires)
	sleep(ctx, b.warmup)
	alone := load.measure(ctx, b.window)

	batches, stop := context.WithCancel(ctx)
	defer stop()
	var claiming errgroup.Group
	leases := 0
	begun := time.Now()
	claiming.Go(func() error {
		s := large.batch(resources)
		for batches.Err() == nil {
			if err := s.acquire(ctx); err != nil {
				return err
			}
			if err := s.release(ctx); err != nil {
				return err
			}
			leases += len(resources)
		}
		return nil
	})
	with := load.measure(ctx, b.window)
	stop()
	err := claiming.Wait()
	took := time.Since(begun)
	if err := errors.Join(err, load.stop(), context.Cause(ctx)); err != nil {
		return nil, err
	}
	return values{
		"p50 alone": percentile(alone.samples(), 0.50),
		"p99 alone": percentile(alone.samples(), 0.99),
		"p50":       percentile(with.samples(), 0.50),
		"p99":       percentile(with.samples(), 0.99),
		"max":       percentile(with.samples(), 1),
		"batches":   float64(leases) / took.Seconds(),
		"errors":    float64(alone.errors() + with.errors()),
	}, nil
}
