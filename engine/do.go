package engine

import (
	"context"

	"github.com/holdfast-go/holdfast/lease"
)

// Do acquires the resource, calls fn while it is held, and releases it. The
// context of fn ends when ctx does and when the lease does; context.Cause says
// which: fn must stop then, since somebody else may hold the resource.
//
// It returns why the resource was not acquired, in which case fn was not called;
// else fn's own error, joined with the cause of the lease's end when it was lost
// before fn returned, or with what the release could not confirm: that waits for a quorum, for
// the instances' timeout at most, also when ctx has ended. It is released when fn panics, too.
func (e *Engine) Do(ctx context.Context, resource string, fn func(context.Context) error, opts ...Option) error {
	l, err := e.Acquire(ctx, resource, opts...)
	if err != nil {
		return err
	}
	return during(ctx, l, fn)
}

// TryDo is Do where the lock is free, and nothing where it is not: it takes part in
// one round of votes, as TryAcquire does, and waits for nobody. When somebody else has
// the lock, fn is not called, and the error is ErrHeld.
func (e *Engine) TryDo(ctx context.Context, resource string, fn func(context.Context) error, opts ...Option) error {
	l, err := e.TryAcquire(ctx, resource, opts...)
	if err != nil {
		return err
	}
	return during(ctx, l, fn)
}

// during calls fn while the lease lasts, and releases it.
func during(ctx context.Context, l *lease.Lease, fn func(context.Context) error) (err error) {
	held, cancel := l.Context(ctx)
	defer func() {
		cancel()
		err = join(err, l.Release(ctx))
	}()
	return fn(held)
}
