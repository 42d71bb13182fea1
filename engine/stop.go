package engine

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// stopped returns why an acquire cannot go on, or nil.
func (e *Engine) stopped(ctx context.Context) error {
	switch {
	case ctx.Err() != nil:
		return ended(ctx)
	case e.closing.Err() != nil:
		return ErrClosed
	}
	return nil
}

// wait waits for a timer, or returns why it cannot wait any longer.
func (e *Engine) wait(ctx context.Context, timer <-chan time.Time) error {
	select {
	case <-timer:
	case <-ctx.Done():
		return ended(ctx)
	case <-e.closing.Done():
		return ErrClosed
	}
	return nil
}

// interrupted is the error of an acquire that must stop after a round: why, and
// what stood in the way in that round, or in the one before if it was broken off.
func interrupted(stop, err, before error) error {
	var q *QuorumError
	decided := errors.As(err, &q) && q.stop == nil
	switch {
	case decided:
		return because(stop, err)
	case before != nil:
		return because(stop, before)
	case errors.Is(err, stop) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded):
		return err // it says so itself
	}
	return because(stop, err)
}

// because adds why the caller stopped waiting to what stood in the way.
func because(stop, refused error) error {
	var q *QuorumError
	if !errors.As(refused, &q) {
		return fmt.Errorf("%w: %w", refused, stop)
	}
	stopped := *q
	stopped.stop = stop
	return &stopped
}

// ended returns why ctx ended: its error, in the words of its cause if it has one.
func ended(ctx context.Context) error {
	err, cause := ctx.Err(), context.Cause(ctx)
	if err == cause { // the very same value
		return err
	}
	return caused{err, cause}
}

// caused is a context's error that somebody has given a cause, which says more.
type caused struct{ err, cause error }

func (c caused) Error() string { return c.cause.Error() }

func (c caused) Unwrap() []error { return []error{c.err, c.cause} }

// late is the cause of a context whose time is over, where the caller did not set it
// by a context.
type late struct {
	after time.Duration
	by    string // the option that has set it; "": none has
}

func (l late) Error() string {
	if l.by == "" {
		return fmt.Sprintf("not within %v", l.after)
	}
	return fmt.Sprintf("not within %v (%s)", l.after, l.by)
}
