package main

import (
	"context"
	"errors"
	"sync"

	"github.com/holdfast-go/holdfast/engine"
)

// elector is a gocron.Elector: of several schedulers only the leader runs jobs, all of them. Which is simpler than a lock for
// each job where the jobs are many and light, and another may wait for a tick when the leader dies.
//
// gocron asks before each run, and does not tell the job that another leads by now. A job asks for that: Context.
type elector struct {
	locks *engine.Engine

	mu     sync.Mutex
	leader *engine.Leader // nil: another leads, or nobody
}

var errNotLeading = errors.New("another scheduler leads, or none")

// run is a candidate until ctx ends, and resigns then.
func (e *elector) run(ctx context.Context, name string) error {
	for {
		leader, err := e.locks.Campaign(ctx, "scheduler", name)
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
		e.set(leader)
		select {
		case <-leader.Done(): // deposed: it stands again
			e.set(nil)
			_ = leader.Release(ctx) // what is left of it
		case <-ctx.Done():
			e.set(nil)
			return leader.Release(ctx)
		}
	}
}

func (e *elector) set(leader *engine.Leader) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.leader = leader
}

func (e *elector) current() *engine.Leader {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.leader
}

// IsLeader returns an error unless this scheduler leads. It asks no server.
func (e *elector) IsLeader(context.Context) error {
	leader := e.current()
	if leader == nil {
		return errNotLeading
	}
	return leader.Err()
}

// Context returns a context for a job that is being run. It ends when the leadership does.
func (e *elector) Context(parent context.Context, _ string) (context.Context, context.CancelFunc, error) {
	leader := e.current()
	if leader == nil {
		return nil, nil, errNotLeading
	}
	ctx, cancel := leader.Context(parent)
	return ctx, cancel, nil
}
