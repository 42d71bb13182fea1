package main

import (
	"context"

	"github.com/bsm/redislock"
)

// redislockPeer is bsm/redislock with its defaults, over go-redis with its defaults. It knows one instance only.
var redislockPeer = peer{
	name: "redislock",
	solo: true,
	open: func(ctx context.Context, f *fleet) (locker, error) {
		c := connect(f)
		if err := c.ping(ctx); err != nil {
			c.close()
			return nil, err
		}
		return &redislockLocker{c, redislock.New(c[0])}, nil
	},
}

type redislockLocker struct {
	clients
	locker *redislock.Client
}

func (l *redislockLocker) session(resource string) session {
	return &redislockSession{locker: l.locker, resource: resource}
}

type redislockSession struct {
	locker   *redislock.Client
	resource string
	lock     *redislock.Lock
}

func (s *redislockSession) acquire(ctx context.Context) (err error) {
	s.lock, err = s.locker.Obtain(ctx, s.resource, ttl, nil)
	return err
}

func (s *redislockSession) release(ctx context.Context) error { return s.lock.Release(ctx) }
