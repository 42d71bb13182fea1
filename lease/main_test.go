package lease

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/holdfast-go/holdfast/internal/clock"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// backend counts what the lease asks of it.
type backend struct {
	ended    atomic.Int32
	cause    atomic.Value
	extended atomic.Int32
	released atomic.Int32
	detached atomic.Int32
}

func (b *backend) Extend(context.Context, time.Duration) error { b.extended.Add(1); return nil }
func (b *backend) Release(context.Context) error               { b.released.Add(1); return nil }

func (b *backend) Detach() (string, error) { b.detached.Add(1); return token, nil }

func (b *backend) Ended(cause error) {
	b.ended.Add(1)
	b.cause.Store(cause)
}

const token = "a token that nobody may see"

// begun is the Control of a new lease.
func begun(g Grant) *Control {
	c := new(Control)
	c.Begin(g)
	return c
}

// held is a lease that is valid for d.
func held(d time.Duration) (*Control, *backend) {
	b := new(backend)
	return begun(Grant{Resource: "r", Token: token, Fence: 7, Deadline: clock.Now().Add(d), Backend: b}), b
}

func closed(ch <-chan struct{}) bool {
	select {
	case <-ch:
		return true
	default:
		return false
	}
}
