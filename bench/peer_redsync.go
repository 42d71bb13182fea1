package main

import (
	"context"
	"errors"

	"github.com/go-redsync/redsync/v4"
	"github.com/go-redsync/redsync/v4/redis"
	"github.com/go-redsync/redsync/v4/redis/goredis/v9"
)

// redsync with its defaults but for the TTL, over go-redis with its defaults.
//
// Every cycle makes a mutex. One that is used again would be cheaper by two allocations of some ninety, but with
// fail-fast that is a data race: an unlock returns while goroutines of it are still to read the mutex's value, and by
// then it may be the next lock's, which they delete.
var (
	redsyncDefault  = redsyncPeer("redsync", redsync.WithTries(1))
	redsyncFailFast = redsyncPeer("redsync, fail-fast", redsync.WithTries(1), redsync.WithFailFast(true))

	// Those that wait while the lock is taken, as often and as long as redsync does by default.
	redsyncWaiting         = redsyncPeer("redsync")
	redsyncFailFastWaiting = redsyncPeer("redsync, fail-fast", redsync.WithFailFast(true))
)

func redsyncPeer(name string, options ...redsync.Option) peer {
	return peer{
		name: name,
		open: func(ctx context.Context, f *fleet) (locker, error) {
			l := &redsyncLocker{clients: connect(f), options: append(options, redsync.WithExpiry(ttl))}
			if err := l.ping(ctx); err != nil {
				l.close()
				return nil, err
			}
			var pools []redis.Pool
			for _, client := range l.clients {
				pools = append(pools, goredis.NewPool(client))
			}
			l.redsync = redsync.New(pools...)
			return l, nil
		},
	}
}

type redsyncLocker struct {
	clients
	redsync *redsync.Redsync
	options []redsync.Option
}

func (l *redsyncLocker) session(resource string) session {
	return &redsyncSession{locker: l, resource: resource}
}

type redsyncSession struct {
	locker   *redsyncLocker
	resource string
	mutex    *redsync.Mutex
}

func (s *redsyncSession) acquire(ctx context.Context) error {
	s.mutex = s.locker.redsync.NewMutex(s.resource, s.locker.options...)
	return s.mutex.LockContext(ctx)
}

func (s *redsyncSession) release(ctx context.Context) error {
	released, err := s.mutex.UnlockContext(ctx)
	if err == nil && !released {
		err = errors.New("not released")
	}
	if released {
		err = nil // it reports the minority's errors as well
	}
	return err
}
