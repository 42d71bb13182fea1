package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/holdfast-go/holdfast/engine"
	"github.com/holdfast-go/holdfast/lease"
)

// several: what do four resources at once cost?
var several = scenario{
	name:  "several",
	title: "four resources, all or none, or one after the other, and one of eight permits, to one resource; every caller has its own",
	columns: []column{
		{"rate", "cycles/s", count},
		{"p50", "p50", duration},
		{"p99", "p99", duration},
		{"p50 more", "p50 to one", ratio},
		{"here", "CPU here", duration},
		{"there", "CPU of servers", duration},
		{"there more", "servers to one", ratio},
		{"errors", "failed", count},
	},
	run: runSeveral,
}

// resources is how many a caller wants at once.
const resources = 4

var (
	holdfastAll = severalPeer("holdfast, AcquireAll of 4", func(ctx context.Context, e *engine.Engine, names []string, opts []engine.Option) ([]*lease.Lease, error) {
		l, err := e.AcquireAll(ctx, names, opts...)
		return []*lease.Lease{l}, err
	})
	holdfastFour = severalPeer("holdfast, Acquire 4 times", func(ctx context.Context, e *engine.Engine, names []string, opts []engine.Option) (all []*lease.Lease, err error) {
		for _, name := range names {
			l, err := e.Acquire(ctx, name, opts...)
			if err != nil {
				return all, err
			}
			all = append(all, l)
		}
		return all, nil
	})
	holdfastPermit = severalPeer("holdfast, one of 8 permits", func(ctx context.Context, e *engine.Engine, names []string, opts []engine.Option) ([]*lease.Lease, error) {
		l, err := e.Acquire(ctx, names[0], append(opts, engine.Permits(8))...)
		return []*lease.Lease{l}, err
	})
	holdfastOne = severalPeer(holdfast.name, func(ctx context.Context, e *engine.Engine, names []string, opts []engine.Option) ([]*lease.Lease, error) {
		l, err := e.Acquire(ctx, names[0], opts...)
		return []*lease.Lease{l}, err
	})
)

func runSeveral(ctx context.Context, b *bench, r *report) error {
	r.Notes = []string{
		"Latencies and CPU are of whole cycles, the acquire of all and the release of all; CPU here, and of all servers together. Acquires",
		"alone: of names that nobody has had, for a second, and nothing is released: CPU and latencies are the acquires'.",
	}
	return b.toOne(ctx, r, []peer{holdfastOne, holdfastPermit, holdfastAll, holdfastFour})
}

// toOne compares such peers to the first of them.
func (b *bench) toOne(ctx context.Context, r *report, peers []peer) error {
	for _, c := range []cell{{3, 1, ""}, {3, 64, ""}, {1, 64, alone}, {3, 64, alone}} {
		records, err := b.cell(ctx, r, c, peers, here(func(ctx context.Context, f *fleet, l locker) (values, error) {
			sessions := make([]session, c.callers)
			for i := range sessions {
				sessions[i] = &severalSession{severalLocker: l.(severalLocker), caller: i, anew: c.under == alone}
			}
			return b.fencedLoad(ctx, f, sessions)
		}))
		if err != nil {
			return err
		}
		compare(records, "p50", holdfast.name, "p50 more")
		compare(records, "there", holdfast.name, "there more")
	}
	return nil
}

type acquireSeveral = func(ctx context.Context, e *engine.Engine, names []string, opts []engine.Option) ([]*lease.Lease, error)

func severalPeer(name string, acquire acquireSeveral) peer {
	return peer{
		name: name,
		open: func(ctx context.Context, f *fleet) (locker, error) {
			e, err := engine.Open(ctx, f.urls(), engine.Config{})
			if err != nil {
				return nil, err
			}
			return severalLocker{e, acquire}, nil
		},
	}
}

type severalLocker struct {
	engine *engine.Engine
	get    acquireSeveral
}

func (l severalLocker) close() { _ = l.engine.Close(context.Background()) }

func (l severalLocker) session(resource string) session {
	return &severalSession{severalLocker: l}
}

// severalSession acquires several resources, over and over: of new names each time, and for good, or of the same.
type severalSession struct {
	severalLocker
	caller int
	anew   bool
	times  int
	leases []*lease.Lease
}

func (s *severalSession) acquire(ctx context.Context) (err error) {
	var opts []engine.Option
	if s.anew {
		s.times++
		opts = []engine.Option{engine.WithTTL(time.Second), engine.WithoutRenewal()}
	}
	names := make([]string, resources)
	for k := range names {
		names[k] = fmt.Sprintf("order-%03d-%06d-%d", s.caller, s.times, k)
	}
	s.leases, err = s.get(ctx, s.engine, names, opts)
	return err
}

func (s *severalSession) release(ctx context.Context) error {
	if s.anew {
		return nil
	}
	var errs []error
	for _, l := range s.leases {
		errs = append(errs, l.Release(ctx))
	}
	return errors.Join(errs...)
}
