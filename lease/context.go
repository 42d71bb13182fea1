package lease

import (
	"context"

	"github.com/holdfast-go/holdfast/internal/clock"
)

// watcher is one context that ends with the lease.
type watcher struct {
	cancel context.CancelCauseFunc
	next   *watcher
}

// Context returns a child of parent that is cancelled when the lease ends, with
// the reason as its cause:
//
//	context.Cause(ctx) // lease.ErrExpired, lease.ErrGone, lease.ErrReleased, …
//
// The CancelFunc releases its resources earlier; the lease itself goes on. It
// costs no goroutine while the lease is held.
func (l *Lease) Context(parent context.Context) (context.Context, context.CancelFunc) {
	// A child that is cancelled is forgotten by its parent, and for that methods of
	// the parent are called, which may be of a type of the user's own. So the end of
	// the lease cancels a child of below, which is of ours.
	below, leave := context.WithCancel(parent)
	ctx, cancel := context.WithCancelCause(below)
	stay := context.AfterFunc(ctx, leave) // on a goroutine that ends when those methods return
	w := &watcher{cancel: cancel}

	l.mu.Lock()
	first, err := l.errAt(clock.Now())
	if err == nil {
		w.next, l.watchers = l.watchers, w
	}
	l.mu.Unlock()

	if first {
		l.owner().Ended(err)
	}
	if err != nil {
		stay()
		cancel(err)
		leave()
		return ctx, func() {}
	}
	return ctx, func() {
		l.forget(w)
		stay()
		cancel(nil)
		leave()
	}
}

// forget takes w off the list of those to be told.
func (l *Lease) forget(w *watcher) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for at := &l.watchers; *at != nil; at = &(*at).next {
		if *at == w {
			*at = w.next
			return
		}
	}
}
