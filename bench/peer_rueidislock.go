package main

import (
	"context"

	"github.com/redis/rueidis"
	"github.com/redis/rueidis/rueidislock"
)

// rueidislock with one key on one instance (its keys all live in one Redis, so more of them are no quorum of machines),
// and with the option that its documentation recommends for speed. It gives an attempt 20 ms.
var (
	rueidislockPeer    = rueidislockWith(rueidislock.Locker.TryWithContext)
	rueidislockWaiting = rueidislockWith(rueidislock.Locker.WithContext)
)

// lockFunc is how a rueidislock.Locker locks.
type lockFunc func(l rueidislock.Locker, ctx context.Context, name string) (context.Context, context.CancelFunc, error)

func rueidislockWith(lock lockFunc) peer {
	return peer{
		name: "rueidislock",
		solo: true,
		open: func(_ context.Context, f *fleet) (locker, error) {
			option, err := rueidis.ParseURL(f.servers[0].url())
			if err != nil {
				return nil, err
			}
			l, err := rueidislock.NewLocker(rueidislock.LockerOption{
				ClientOption:   option,
				KeyMajority:    1,
				KeyValidity:    ttl,
				NoLoopTracking: true,
			})
			if err != nil {
				return nil, err
			}
			return rueidislockLocker{l, lock}, nil
		},
	}
}

type rueidislockLocker struct {
	locker rueidislock.Locker
	lock   lockFunc
}

func (l rueidislockLocker) close() { l.locker.Close() }

func (l rueidislockLocker) session(resource string) session {
	return &rueidislockSession{locker: l, resource: resource}
}

type rueidislockSession struct {
	locker   rueidislockLocker
	resource string
	unlock   context.CancelFunc
}

func (s *rueidislockSession) acquire(ctx context.Context) (err error) {
	_, s.unlock, err = s.locker.lock(s.locker.locker, ctx, s.resource)
	return err
}

func (s *rueidislockSession) release(context.Context) error {
	s.unlock() // returns when the key is deleted, or says nothing of it
	return nil
}
