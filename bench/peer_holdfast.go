package main

import (
	"context"

	"github.com/holdfast-go/holdfast/engine"
	"github.com/holdfast-go/holdfast/lease"
)

// holdfast is an engine with its defaults: the lease is renewed, its end is signalled, waiters stand in line.
var holdfast = peer{
	name: "holdfast",
	open: func(ctx context.Context, f *fleet) (locker, error) {
		e, err := engine.Open(ctx, f.urls(), engine.Config{})
		if err != nil {
			return nil, err
		}
		return holdfastLocker{e}, nil
	},
}

type holdfastLocker struct{ engine *engine.Engine }

func (l holdfastLocker) close() { _ = l.engine.Close(context.Background()) }

func (l holdfastLocker) session(resource string) session {
	return &holdfastSession{engine: l.engine, resource: resource}
}

type holdfastSession struct {
	engine   *engine.Engine
	resource string
	lease    *lease.Lease
}

func (s *holdfastSession) acquire(ctx context.Context) (err error) {
	s.lease, err = s.engine.Acquire(ctx, s.resource)
	return err
}

func (s *holdfastSession) release(ctx context.Context) error { return s.lease.Release(ctx) }
