package lease

import (
	"context"
	"slices"
	"time"
)

// watcher is one context that ends with the lease.
type watcher struct {
	cancel context.CancelCauseFunc
}

// Context returns a child of parent that is cancelled when the lease ends, with
// the reason as its cause:
//
//	context.Cause(ctx) // lease.ErrExpired, lease.ErrStolen, lease.ErrReleased, …
//
// The CancelFunc releases its resources earlier; the lease itself goes on. It
// costs no goroutine.
func (l *Lease) Context(parent context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(parent)
	w := &watcher{cancel: cancel}

	l.mu.Lock()
	first, err := l.errAt(time.Now())
	if err == nil {
		l.watchers = append(l.watchers, w)
	}
	l.mu.Unlock()

	if first {
		l.backend.Ended(err)
	}
	if err != nil {
		cancel(err)
		return ctx, func() {}
	}
	return ctx, func() {
		l.forget(w)
		cancel(nil)
	}
}

// forget takes w off the list of those to be told.
func (l *Lease) forget(w *watcher) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if i := slices.Index(l.watchers, w); i >= 0 {
		l.watchers = slices.Delete(l.watchers, i, i+1)
	}
}
