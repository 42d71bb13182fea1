package main

import (
	"context"

	"github.com/holdfast-go/holdfast/engine"
	"github.com/holdfast-go/holdfast/lease"
)

// holdfastEach asks for many resources in one call.
var holdfastEach = peer{
	name: "holdfast, each",
	open: func(ctx context.Context, f *fleet) (locker, error) {
		l, err := holdfast.open(ctx, f)
		if err != nil {
			return nil, err
		}
		return holdfastEachLocker{l.(holdfastLocker)}, nil
	},
}

type holdfastEachLocker struct{ holdfastLocker }

// batch is a session of many resources.
func (l holdfastEachLocker) batch(resources []string) session {
	return &holdfastEachSession{engine: l.engine, resources: resources, leases: make([]*lease.Lease, len(resources))}
}

type holdfastEachSession struct {
	engine    *engine.Engine
	resources []string
	leases    []*lease.Lease
}

func (s *holdfastEachSession) acquire(ctx context.Context) error {
	results, err := s.engine.TryAcquireEach(ctx, s.resources)
	if err != nil {
		return err
	}
	for k, one := range results {
		if one.Err != nil {
			return one.Err
		}
		s.leases[k] = one.Lease
	}
	return nil
}

func (s *holdfastEachSession) release(ctx context.Context) error {
	for _, err := range s.engine.ReleaseEach(ctx, s.leases) {
		if err != nil {
			return err
		}
	}
	return nil
}
