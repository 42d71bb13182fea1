package main

import (
	"context"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/concurrency"
	"go.uber.org/zap"
)

// etcdPeer is etcd's own concurrency.Mutex on a cluster of one member: no lock in Redis, but what else one would take.
// Its locks are on disk before they are granted.
//
// A mutex belongs to a session (a lease of etcd's, which is renewed), and two mutexes of one session on one resource
// are the same holder. So callers share a session as long as they want different resources, and have one each when they
// want the same.
var etcdPeer = peer{
	name: "etcd",
	solo: true,
	on:   etcdServer,
	open: func(ctx context.Context, f *fleet) (locker, error) {
		client, err := clientv3.New(clientv3.Config{Endpoints: []string{f.servers[0].addr}, Logger: zap.NewNop()})
		if err != nil {
			return nil, err
		}
		l := &etcdLocker{client: client, callers: make(map[string]int)}
		if err := l.grow(ctx); err != nil {
			l.close()
			return nil, err
		}
		return l, nil
	},
}

type etcdLocker struct {
	client   *clientv3.Client
	sessions []*concurrency.Session
	callers  map[string]int // by resource
}

// grow opens one session more.
func (l *etcdLocker) grow(ctx context.Context) error {
	lease, err := l.client.Grant(ctx, int64(ttl.Seconds()))
	if err != nil {
		return err
	}
	s, err := concurrency.NewSession(l.client, concurrency.WithLease(lease.ID))
	if err == nil {
		l.sessions = append(l.sessions, s)
	}
	return err
}

func (l *etcdLocker) close() {
	for _, s := range l.sessions {
		_ = s.Close()
	}
	_ = l.client.Close()
}

func (l *etcdLocker) session(resource string) session {
	caller := l.callers[resource]
	l.callers[resource]++
	if caller == len(l.sessions) {
		if err := l.grow(context.Background()); err != nil {
			return &etcdSession{err: err}
		}
	}
	return &etcdSession{session: l.sessions[caller], resource: resource}
}

type etcdSession struct {
	session  *concurrency.Session
	resource string
	mutex    *concurrency.Mutex
	err      error // why there is no session
}

func (s *etcdSession) acquire(ctx context.Context) error {
	if s.err != nil {
		return s.err
	}
	s.mutex = concurrency.NewMutex(s.session, s.resource)
	return s.mutex.Lock(ctx)
}

func (s *etcdSession) release(ctx context.Context) error { return s.mutex.Unlock(ctx) }
