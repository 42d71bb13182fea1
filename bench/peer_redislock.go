package main

import (
	"context"
	"time"

	"github.com/bsm/redislock"
)

// redislock with its defaults, over go-redis with its defaults. It knows one instance only. By default it does not wait;
// the one that does looks every 100 ms, as in its documentation.
var (
	redislockPeer    = redislockWith(nil)
	redislockWaiting = redislockWith(&redislock.Options{RetryStrategy: redislock.LinearBackoff(100 * time.Millisecond)})
)

func redislockWith(options *redislock.Options) peer {
	return peer{
		name: "redislock",
		solo: true,
		open: func(ctx context.Context, f *fleet) (locker, error) {
			c := connect(f)
			if err := c.ping(ctx); err != nil {
				c.close()
				return nil, err
			}
			return &redislockLocker{c, redislock.New(c[0]), options}, nil
		},
	}
}

type redislockLocker struct {
	clients
	locker  *redislock.Client
	options *redislock.Options
}

func (l *redislockLocker) session(resource string) session {
	return &redislockSession{locker: l, resource: resource}
}

type redislockSession struct {
	locker   *redislockLocker
	resource string
	lock     *redislock.Lock
}

func (s *redislockSession) acquire(ctx context.Context) (err error) {
	s.lock, err = s.locker.locker.Obtain(ctx, s.resource, ttl, s.locker.options)
	return err
}

func (s *redislockSession) release(ctx context.Context) error { return s.lock.Release(ctx) }
