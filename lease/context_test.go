package lease

import (
	"context"
	"errors"
	"testing"
	"time"
)

// jealous is a context of the user's own type. Its methods block, as those may
// that take a lock which the goroutine that asks the lease something holds.
type jealous struct {
	context.Context
	locked <-chan struct{} // nil: not yet
}

func (j *jealous) Value(key any) any {
	if j.locked != nil {
		<-j.locked
	}
	return j.Context.Value(key)
}

// following is a jealous one that has an AfterFunc, which package context uses.
type following struct{ jealous }

func (f *following) AfterFunc(func()) (stop func() bool) {
	return func() bool {
		if f.locked != nil {
			<-f.locked
		}
		return true
	}
}

func TestTheEndOfALeaseCallsNoMethodOfTheParentContext(t *testing.T) {
	let := make(chan struct{})
	defer close(let) // the goroutine that waits there ends then, or goleak complains
	canceled, cancel := context.WithCancel(t.Context())
	defer cancel()
	plain, after := &jealous{Context: canceled}, &following{jealous{Context: canceled}}
	for name, c := range map[string]struct {
		parent context.Context
		lock   func()
	}{
		"a Value that blocks":      {plain, func() { plain.locked = let }},
		"an AfterFunc that blocks": {after, func() { after.locked = let }},
	} {
		control, _ := held(time.Hour)
		ctx, _ := control.Lease().Context(c.parent) // the lease's end cancels it
		c.lock()
		ended := make(chan struct{})
		go func() {
			control.End(ErrStolen)
			close(ended)
		}()
		select {
		case <-ended:
		case <-time.After(10 * time.Second):
			t.Fatalf("%s: who ends the lease hangs in it", name)
		}
		<-ctx.Done()
		if cause := context.Cause(ctx); !errors.Is(cause, ErrStolen) {
			t.Errorf("%s: the cause is %v", name, cause)
		}
	}
}
