package main

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"sync"
	"syscall"
)

// caught is the cause of a context that a signal has ended.
type caught struct{ sig syscall.Signal }

func (c caught) Error() string { return "signal: " + c.sig.String() }

// interruptible returns a context that ^C and TERM end. What it returns beside it
// gives the signals back to the system.
func interruptible(ctx context.Context) (context.Context, func()) {
	in := make(chan os.Signal, 1)
	signal.Notify(in, os.Interrupt, syscall.SIGTERM)
	ctx, done := untilSignal(ctx, in)
	return ctx, func() {
		signal.Stop(in)
		done()
	}
}

// untilSignal returns a context that the next signal ends, with the signal as its
// cause. What it returns beside it stops the listening, and may be called twice.
func untilSignal(ctx context.Context, in <-chan os.Signal) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	over := make(chan struct{})
	var listener sync.WaitGroup
	listener.Go(func() {
		select {
		case sig := <-in:
			cancel(caught{sig.(syscall.Signal)})
		case <-over:
		}
	})
	return ctx, sync.OnceFunc(func() {
		close(over)
		listener.Wait()
	})
}

// interrupted is the exit code of the signal that has ended ctx, and nil if none has.
func interrupted(ctx context.Context) error {
	var c caught
	if !errors.As(context.Cause(ctx), &c) {
		return nil
	}
	return &exitError{code: exitSignal + int(c.sig)}
}
