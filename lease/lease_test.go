package lease

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-go/holdfast/internal/clock"
)

func TestLeaseIsWhatItWasGranted(t *testing.T) {
	deadline := clock.Now().Add(time.Hour)
	b := new(backend)
	l := begun(Grant{Resource: "r", Token: token, Fence: 7, Deadline: deadline, Backend: b}).Lease()
	if l.Resource() != "r" || l.Token() != token || l.Fence() != 7 || !l.Deadline().Equal(deadline.Time) {
		t.Errorf("got %q, %q, %d, %v, want what was granted: r, %q, 7, %v", l.Resource(), l.Token(), l.Fence(), l.Deadline(), token, deadline.Time)
	}
	if l.Err() != nil || !l.Valid() || closed(l.Done()) {
		t.Error("it is not held")
	}
	_ = l.Extend(t.Context(), time.Second)
	_ = l.Release(t.Context())
	_, _ = l.Detach()
	if b.extended.Load() != 1 || b.released.Load() != 1 || b.detached.Load() != 1 || b.ended.Load() != 0 {
		t.Error("the backend was not asked once for each")
	}
}

func TestDoneIsClosedByTheEndAndClosedAfterIt(t *testing.T) {
	c, _ := held(time.Hour)
	before := c.Lease().Done()
	if before != c.Lease().Done() {
		t.Error("Done is another channel the second time")
	}
	if closed(before) {
		t.Error("closed while held")
	}
	c.End(ErrReleased)
	if !closed(before) || !closed(c.Lease().Done()) {
		t.Error("open after the end")
	}
	c, _ = held(time.Hour)
	c.End(ErrReleased)
	if !closed(c.Lease().Done()) {
		t.Error("open when asked for after the end only")
	}
}

func TestContextEndsWithTheLeaseAndSaysWhy(t *testing.T) {
	for _, cause := range []error{ErrReleased, ErrStolen, ErrClosed, ErrMaxHold} {
		c, _ := held(time.Hour)
		ctx, cancel := c.Lease().Context(t.Context())
		defer cancel()
		if ctx.Err() != nil {
			t.Fatal("ended while held")
		}
		c.End(cause)
		if !errors.Is(ctx.Err(), context.Canceled) || context.Cause(ctx) != cause {
			t.Errorf("%v, cause %v, want %v", ctx.Err(), context.Cause(ctx), cause)
		}
	}
}

func TestContextOfAnEndedLeaseHasEnded(t *testing.T) {
	c, _ := held(time.Hour)
	c.End(ErrStolen)
	ctx, cancel := c.Lease().Context(t.Context())
	cancel()
	if context.Cause(ctx) != ErrStolen {
		t.Errorf("cause %v", context.Cause(ctx))
	}
}

func TestContextEndsWithItsParentAndTheLeaseGoesOn(t *testing.T) {
	c, _ := held(time.Hour)
	parent, stop := context.WithCancelCause(t.Context())
	ctx, cancel := c.Lease().Context(parent)
	defer cancel()
	why := errors.New("the parent's cause")
	stop(why)
	<-ctx.Done()
	if context.Cause(ctx) != why || c.Lease().Err() != nil {
		t.Errorf("cause %v, the lease %v", context.Cause(ctx), c.Lease().Err())
	}
	c.End(ErrReleased)
	if context.Cause(ctx) != why {
		t.Error("the first cause did not win")
	}
}

func TestCancelledContextIsForgottenAndTheLeaseGoesOn(t *testing.T) {
	c, _ := held(time.Hour)
	l := c.Lease()
	var ctxs []context.Context
	var cancels []context.CancelFunc
	for range 100 {
		ctx, cancel := l.Context(t.Context())
		ctxs, cancels = append(ctxs, ctx), append(cancels, cancel)
	}
	for _, n := range []int{50, 0, 99, 50, 0} { // twice is fine
		cancels[n]()
	}
	remembered := 0
	for w := l.watchers; w != nil; w = w.next {
		remembered++
	}
	if remembered != 97 {
		t.Errorf("%d contexts are remembered", remembered)
	}
	if l.Err() != nil || ctxs[1].Err() != nil || ctxs[50].Err() == nil {
		t.Error("not this one context, and no other, has ended")
	}
	c.End(ErrReleased)
	for n, ctx := range ctxs {
		if ctx.Err() == nil {
			t.Errorf("context %d goes on", n)
		}
	}
	if l.watchers != nil {
		t.Error("contexts are remembered after the end")
	}
	cancels[1]()
}

func TestTokenIsNeverShown(t *testing.T) {
	c, _ := held(time.Hour)
	l := c.Lease()
	for _, state := range []string{"held", "ended"} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d", "%x", "%T", "%10v", "%08.3v"} {
			for _, value := range []any{l, []*Lease{l}, map[string]*Lease{"l": l}, struct{ L *Lease }{l}, &struct{ L *Lease }{l}, error(fmt.Errorf("wrapped %v", l))} {
				if text := fmt.Sprintf(verb, value); strings.Contains(text, token) || strings.Contains(text, fmt.Sprintf("%x", token)) {
					t.Errorf("%s, %s of %T: %s", state, verb, value, text)
				}
			}
		}
		for _, text := range []string{l.String(), l.GoString(), fmt.Sprint(l), fmt.Sprintln(l)} {
			if strings.Contains(text, token) || !strings.Contains(text, `"r"`) {
				t.Errorf("%s: got %q, want the resource and no token", state, text)
			}
		}
		c.End(ErrReleased)
	}
}

func TestStringSaysHowLongOrWhy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _ := held(1500 * time.Millisecond)
		if text := c.Lease().String(); text != `lease of "r": held for another 1.5s` {
			t.Errorf("got %q, want it held for another 1.5s", text)
		}
		time.Sleep(2 * time.Second)
		if text := c.Lease().String(); text != `lease of "r": lease lost: expired` {
			t.Errorf("got %q, want it lost: expired", text)
		}
	})
}

func TestReasonsThatAreLossesAreErrLost(t *testing.T) {
	for _, lost := range []error{ErrExpired, ErrGone, ErrStolen, ErrMaxHold} {
		if !errors.Is(lost, ErrLost) {
			t.Errorf("%v is not ErrLost", lost)
		}
	}
	for _, not := range []error{ErrReleased, ErrClosed} {
		if errors.Is(not, ErrLost) {
			t.Errorf("%v is ErrLost", not)
		}
	}
	if errors.Is(ErrExpired, ErrStolen) || errors.Is(ErrGone, ErrExpired) || errors.Is(ErrMaxHold, ErrExpired) {
		t.Error("the losses cannot be told apart")
	}
}

func TestLeaseIsSafeForConcurrentUse(t *testing.T) {
	for range 100 {
		c, b := held(time.Hour)
		l := c.Lease()
		var users sync.WaitGroup
		for n := range 16 {
			users.Go(func() {
				for range 20 {
					switch n % 8 {
					case 0:
						_ = closed(l.Done())
					case 1:
						_, _ = l.Err(), l.Valid()
					case 2:
						ctx, cancel := l.Context(t.Context())
						_ = ctx.Err()
						cancel()
					case 3:
						_, _ = l.Deadline(), l.Remaining()
					case 4:
						c.Prolong(clock.Now().Add(2*time.Hour), clock.Now())
					case 5:
						_ = l.String()
					case 6:
						_, _ = c.Left(clock.Now())
					case 7:
						c.End(ErrReleased)
					}
				}
			})
		}
		users.Wait()
		if b.ended.Load() != 1 || !errors.Is(l.Err(), ErrReleased) {
			t.Fatalf("ended %d times, %v", b.ended.Load(), l.Err())
		}
	}
}

func TestALeaseThatNobodyHasMadeHasNeverBeenHeld(t *testing.T) {
	var l Lease
	for _, text := range []string{fmt.Sprint(&l), fmt.Sprint(new(Control)), fmt.Sprintf("%+v %#v", &l, new(Control)), fmt.Sprint(Grant{})} {
		if strings.Contains(text, "PANIC") {
			t.Errorf("want no panic, got %s", text)
		}
	}
	if l.Valid() || !closed(l.Done()) || l.Remaining() != 0 || l.Token() != "" || l.Fence() != 0 {
		t.Errorf("held: %v", &l)
	}
	_, detached := l.Detach()
	ctx, cancel := new(Lease).Context(t.Context())
	defer cancel()
	for _, err := range []error{new(Lease).Err(), l.Extend(t.Context(), 0), l.Release(t.Context()), detached, context.Cause(ctx)} {
		if !errors.Is(err, ErrExpired) {
			t.Errorf("it says %v", err)
		}
	}
	c := new(Control)
	if c.End(ErrReleased) || c.Prolong(clock.Now().Add(time.Hour), clock.Now()) {
		t.Error("it could be ended, or prolonged")
	}
}
