package main

import (
	"context"
	"errors"

	"github.com/go-redsync/redsync/v4"
	"github.com/go-redsync/redsync/v4/redis"
	"github.com/go-redsync/redsync/v4/redis/goredis/v9"
	redsyncrueidis "github.com/go-redsync/redsync/v4/redis/rueidis"
	"github.com/redis/rueidis"
	"github.com/redis/rueidis/rueidiscompat"
)

// redsync with its defaults but for the TTL, over go-redis with its defaults, and over rueidis with its defaults.
//
// Every cycle makes a mutex. One that is used again would be cheaper by two allocations of some ninety, but with
// fail-fast that is a data race: an unlock returns while goroutines of it are still to read the mutex's value, and by
// then it may be the next lock's, which they delete.
var (
	redsyncDefault  = redsyncPeer("redsync", overGoRedis(0), redsync.WithTries(1))
	redsyncFailFast = redsyncPeer("redsync, fail-fast", overGoRedis(0), redsync.WithTries(1), redsync.WithFailFast(true))
	redsyncRueidis  = redsyncPeer("redsync, rueidis", overRueidis, redsync.WithTries(1))

	// For 64 callers far away, a connection each: with fewer they wait for one another. Nearby it is not faster, and
	// with many more it is slower.
	redsyncFar = redsyncPeer("redsync, 64 conns", overGoRedis(64), redsync.WithTries(1))

	// Those that wait while the lock is taken, as often and as long as redsync does by default.
	redsyncWaiting         = redsyncPeer("redsync", overGoRedis(0))
	redsyncFailFastWaiting = redsyncPeer("redsync, fail-fast", overGoRedis(0), redsync.WithFailFast(true))
	redsyncRueidisWaiting  = redsyncPeer("redsync, rueidis", overRueidis)
)

// pooling connects to a fleet and returns redsync's view of it.
type pooling func(context.Context, *fleet) (pools []redis.Pool, close func(), err error)

// overGoRedis has so many connections at most; 0 is go-redis's default.
func overGoRedis(connections int) pooling {
	return func(ctx context.Context, f *fleet) ([]redis.Pool, func(), error) {
		list := connectMany(f, connections)
		if err := list.ping(ctx); err != nil {
			list.close()
			return nil, nil, err
		}
		var pools []redis.Pool
		for _, client := range list {
			pools = append(pools, goredis.NewPool(client))
		}
		return pools, list.close, nil
	}
}

func overRueidis(_ context.Context, f *fleet) (pools []redis.Pool, closeAll func(), err error) {
	var list []rueidis.Client
	closeAll = func() {
		for _, client := range list {
			client.Close()
		}
	}
	for _, s := range f.servers {
		option, err := rueidis.ParseURL(s.url())
		if err != nil {
			closeAll()
			return nil, nil, err
		}
		client, err := rueidis.NewClient(option) // connects
		if err != nil {
			closeAll()
			return nil, nil, err
		}
		list = append(list, client)
		pools = append(pools, redsyncrueidis.NewPool(rueidiscompat.NewAdapter(client)))
	}
	return pools, closeAll, nil
}

func redsyncPeer(name string, pooling pooling, options ...redsync.Option) peer {
	options = append(options, redsync.WithExpiry(ttl))
	return peer{
		name: name,
		open: func(ctx context.Context, f *fleet) (locker, error) {
			pools, closeAll, err := pooling(ctx, f)
			if err != nil {
				return nil, err
			}
			return &redsyncLocker{redsync.New(pools...), options, pools, closeAll}, nil
		},
	}
}

type redsyncLocker struct {
	redsync  *redsync.Redsync
	options  []redsync.Option
	pools    []redis.Pool
	closeAll func()
}

// ping has one of the servers answer.
func (l *redsyncLocker) ping(ctx context.Context, server int) error {
	conn, err := l.pools[server].Get(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	_, err = conn.Get("ping") // redsync's connections have no PING
	return err
}

func (l *redsyncLocker) close() { l.closeAll() }

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
