package main

import (
	"context"

	"github.com/redis/rueidis"
	"github.com/redis/rueidis/rueidislock"
)

// rueidislockPeer is rueidislock with one key on one instance (its keys all live in one Redis, so more of them are no
// quorum of machines), and with the option that its documentation recommends for speed. It gives an attempt 20 ms.
var rueidislockPeer = peer{
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
		return rueidislockLocker{l}, nil
	},
}

type rueidislockLocker struct{ locker rueidislock.Locker }

func (l rueidislockLocker) close() { l.locker.Close() }

func (l rueidislockLocker) session(resource string) session {
	return &rueidislockSession{locker: l.locker, resource: resource}
}

type rueidislockSession struct {
	locker   rueidislock.Locker
	resource string
	unlock   context.CancelFunc
}

func (s *rueidislockSession) acquire(ctx context.Context) (err error) {
	_, s.unlock, err = s.locker.TryWithContext(ctx, s.resource)
	return err
}

func (s *rueidislockSession) release(context.Context) error {
	s.unlock() // returns when the key is deleted, or says nothing of it
	return nil
}
