package main

import (
	"context"
	"errors"
	"sync"

	"github.com/redis/go-redis/v9"
)

// The bare SETs are what a caller can expect at best of go-redis and the machine: no lock, one plain SET. Their keys are
// nobody's lock: nothing deletes them.
var (
	// setOne sends one SET to the first instance, on the caller's own goroutine.
	setOne = peer{name: "bare SET (a), one server", open: openSetOne}

	// setMajority has a persistent goroutine an instance, each of which sends one SET; it is over when a majority has
	// answered.
	setMajority = peer{name: "bare SET (b), majority", open: openSetMajority}
)

func bareKey(resource string) string { return "bare-" + resource }

// connectOnce makes clients that have one connection each, and opens it.
func connectOnce(ctx context.Context, f *fleet) (clients, error) {
	list := connectMany(f, 1)
	if err := list.ping(ctx); err != nil {
		list.close()
		return nil, err
	}
	return list, nil
}

func openSetOne(ctx context.Context, f *fleet) (locker, error) {
	list, err := connectOnce(ctx, &fleet{servers: f.servers[:1]})
	if err != nil {
		return nil, err
	}
	return setOneLocker{list}, nil
}

type setOneLocker struct{ clients }

func (l setOneLocker) session(resource string) session {
	return setOneSession{l.clients[0], bareKey(resource)}
}

type setOneSession struct {
	client   *redis.Client
	resource string
}

func (s setOneSession) acquire(ctx context.Context) error {
	return s.client.Set(ctx, s.resource, "value", 0).Err()
}

func (s setOneSession) release(context.Context) error { return nil }

func openSetMajority(ctx context.Context, f *fleet) (locker, error) {
	list, err := connectOnce(ctx, f)
	if err != nil {
		return nil, err
	}
	l := &setMajorityLocker{clients: list, quorum: f.quorum(), ends: make(chan error, len(list))}
	for _, client := range list {
		start := make(chan setJob, 1)
		l.starts = append(l.starts, start)
		l.running.Go(func() { l.run(client, start) })
	}
	return l, nil
}

// setMajorityLocker serves one session.
type setMajorityLocker struct {
	clients
	quorum  int
	starts  []chan setJob // one a client; sent to by the session, closed by close; one slot, since one round is under way
	ends    chan error    // one slot a client: an answer never waits
	running sync.WaitGroup
}

type setJob struct {
	ctx      context.Context
	resource string
}

// run sends the SETs of one client. openSetMajority starts it, close ends it and waits for it.
func (l *setMajorityLocker) run(client *redis.Client, start <-chan setJob) {
	for job := range start {
		l.ends <- client.Set(job.ctx, job.resource, "value", 0).Err()
	}
}

func (l *setMajorityLocker) close() {
	for _, start := range l.starts {
		close(start)
	}
	l.running.Wait()
	l.clients.close()
}

func (l *setMajorityLocker) session(resource string) session {
	return setMajoritySession{l, bareKey(resource)}
}

type setMajoritySession struct {
	locker   *setMajorityLocker
	resource string
}

func (s setMajoritySession) acquire(ctx context.Context) error {
	for _, start := range s.locker.starts {
		start <- setJob{ctx, s.resource}
	}
	return s.locker.await(s.locker.quorum)
}

// release waits for the rest, so that every round starts with all connections idle.
func (s setMajoritySession) release(context.Context) error {
	return s.locker.await(len(s.locker.clients) - s.locker.quorum)
}

func (l *setMajorityLocker) await(n int) (err error) {
	for range n {
		err = errors.Join(err, <-l.ends)
	}
	return err
}
