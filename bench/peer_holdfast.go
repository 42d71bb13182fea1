package main

import (
	"context"
	"errors"
	"time"

	"github.com/holdfast-go/holdfast/engine"
	"github.com/holdfast-go/holdfast/lease"
)

// holdfast is an engine with its defaults: the lease is renewed, its end is signalled, waiters stand in line.
var (
	holdfast        = holdfastPeer("holdfast", engine.Config{})
	holdfastFencing = holdfastPeer("holdfast, fencing", engine.Config{}, engine.WithFencing())
	holdfastHandoff = holdfastPeer("holdfast, handoff", engine.Config{LocalHandoff: 64})
)

func holdfastPeer(name string, config engine.Config, options ...engine.Option) peer {
	return peer{
		name: name,
		open: func(ctx context.Context, f *fleet) (locker, error) {
			e, err := engine.Open(ctx, f.urls(), config)
			if err != nil {
				return nil, err
			}
			return holdfastLocker{e, options}, nil
		},
	}
}

// holdfastTrying are callers of Holdfast who only try, now and then.
var holdfastTrying = peer{
	name: "holdfast, trying",
	open: func(ctx context.Context, f *fleet) (locker, error) {
		l, err := holdfast.open(ctx, f)
		if err != nil {
			return nil, err
		}
		return tryingLocker{l.(holdfastLocker)}, nil
	},
}

const tryEvery = 5 * time.Millisecond

type tryingLocker struct{ holdfastLocker }

func (l tryingLocker) session(resource string) session {
	return &tryingSession{holdfastSession{locker: l.holdfastLocker, resource: resource}}
}

type tryingSession struct{ holdfastSession }

func (s *tryingSession) acquire(ctx context.Context) (err error) {
	for {
		s.lease, err = s.locker.engine.TryAcquire(ctx, s.resource)
		if !errors.Is(err, engine.ErrHeld) || ctx.Err() != nil {
			return err
		}
		sleep(ctx, tryEvery)
	}
}

type holdfastLocker struct {
	engine  *engine.Engine
	options []engine.Option
}

func (l holdfastLocker) close() { _ = l.engine.Close(context.Background()) }

func (l holdfastLocker) session(resource string) session {
	return &holdfastSession{locker: l, resource: resource}
}

type holdfastSession struct {
	locker   holdfastLocker
	resource string
	lease    *lease.Lease
}

func (s *holdfastSession) acquire(ctx context.Context) (err error) {
	s.lease, err = s.locker.engine.Acquire(ctx, s.resource, s.locker.options...)
	return err
}

func (s *holdfastSession) release(ctx context.Context) error { return s.lease.Release(ctx) }
