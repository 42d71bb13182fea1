package engine_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-go/holdfast/engine"
	"github.com/holdfast-go/holdfast/instance"
	"github.com/holdfast-go/holdfast/internal/sim"
	"github.com/holdfast-go/holdfast/lease"
)

func TestASnapshotShowsWhatTheEngineHolds(t *testing.T) {
	cfg := config()
	cfg.Owner = "host-1"
	simulate(t, 3, cfg, func(t *testing.T, _ *sim.Fleet, e *engine.Engine) {
		kept := acquire(t, e, "kept", engine.WithFencing())
		short := acquire(t, e, "short", engine.WithoutRenewal(), engine.WithTTL(30*time.Second))
		time.Sleep(2*every + time.Second)
		synctest.Wait()

		s := e.Snapshot(10)
		if s.Held != 2 || len(s.Leases) != 2 || len(s.Instances) != 3 || s.Instances[2].Name != "sim-3" {
			t.Fatalf("got %+v, want 2 held, 3 instances, the last of them sim-3", s)
		}
		for _, h := range s.Leases {
			l := kept
			if h.Resource == "short" {
				l = short
			}
			renewals := map[*lease.Lease]int{kept: 2, short: 0}[l]
			if h.Resource != l.Resource() || h.Fence != l.Fence() || h.Remaining != l.Remaining() || h.Renewals != renewals || h.Renewed != (l == kept) {
				t.Errorf("got %+v, want what the lease says: %v", h, l)
			}
			if time.Since(h.Since) != 2*every+time.Second {
				t.Errorf("%q since %v", h.Resource, time.Since(h.Since))
			}
			if h.Holder != instance.Abbreviate(l.Token()) || !strings.Contains(h.Holder, "host-1~") {
				t.Errorf("%q is held by %s", h.Resource, h.Holder)
			}
		}
		if text := fmt.Sprintf("%+v", s); strings.Contains(text, kept.Token()) || strings.Contains(text, short.Token()) {
			t.Error("it has a whole token:", text)
		}
		release(t, kept)
		if s := e.Snapshot(10); s.Held != 1 || len(s.Leases) != 1 || s.Lost != 0 {
			t.Errorf("after the release: %+v", s)
		}
	})
}

func TestASnapshotListsNoMoreThanItsLimit(t *testing.T) {
	simulate(t, 3, config(), func(t *testing.T, _ *sim.Fleet, e *engine.Engine) {
		for n := range 7 {
			acquire(t, e, fmt.Sprint(n))
			for range n + 1 {
				waiting := acquiring(t.Context(), e, fmt.Sprint(n))
				defer func() { <-waiting }()
			}
		}
		synctest.Wait()
		for limit, want := range map[int]int{-1: 0, 0: 0, 3: 3, 7: 7, 100: 7} {
			s := e.Snapshot(limit)
			if s.Held != 7 || s.Waiting != 1+2+3+4+5+6+7 {
				t.Errorf("limit %d: %d are held, %d wait", limit, s.Held, s.Waiting)
			}
			if len(s.Leases) != want || len(s.Lines) != want {
				t.Errorf("limit %d: %d leases, %d lines", limit, len(s.Leases), len(s.Lines))
			}
			for _, line := range s.Lines {
				if fmt.Sprint(line.Waiting-1) != line.Resource {
					t.Errorf("limit %d: %+v", limit, line)
				}
			}
		}
		if err := e.Close(t.Context()); err != nil {
			t.Errorf("e.Close: %v", err)
		}
		if s := e.Snapshot(100); s.Held != 0 || s.Waiting != 0 || s.Instances[0].State != instance.Closed || s.Lost != 0 {
			t.Errorf("after Close: %+v", s)
		}
	})
}

// The length of a line is right wherever the waiters that leave it stood.
func TestALineIsAsLongAsItsWaiters(t *testing.T) {
	simulate(t, 3, config(), func(t *testing.T, _ *sim.Fleet, e *engine.Engine) {
		acquire(t, e, "r")
		var cancels []context.CancelFunc
		var results []<-chan result
		for range 6 {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			cancels = append(cancels, cancel)
			results = append(results, acquiring(ctx, e, "r"))
			synctest.Wait()
		}
		for left, n := range []int{0, 5, 2, 1, 4, 3} { // the head, the last, and those between
			if s := e.Snapshot(1); s.Waiting != 6-left || s.Lines[0].Waiting != 6-left {
				t.Errorf("%d have left: %+v", left, s.Lines)
			}
			cancels[n]()
			isAll(t, got(t, results[n]).err, context.Canceled)
		}
		if s := e.Snapshot(1); s.Waiting != 0 || len(s.Lines) != 0 {
			t.Errorf("all have left: %+v", s)
		}
	})
}

// remembered is how many losses, and how many ends, a Snapshot has at most.
const remembered = 64

func TestASnapshotRemembersTheMostRecentLosses(t *testing.T) {
	simulate(t, 3, config(), func(t *testing.T, fleet *sim.Fleet, e *engine.Engine) {
		const more = 3
		for n := range remembered + more {
			l := acquire(t, e, fmt.Sprint(n))
			synctest.Wait()
			fleet.Each(func(s *sim.Server) { s.Set(l.Resource(), "somebody else", time.Hour) })
			time.Sleep(every)
			synctest.Wait()
			isAll(t, l.Err(), lease.ErrStolen)
		}
		s := e.Snapshot(1000)
		if s.Lost != remembered+more || len(s.Losses) != remembered {
			t.Fatalf("%d are lost, %d are remembered", s.Lost, len(s.Losses))
		}
		for n, x := range s.Losses {
			if want := fmt.Sprint(remembered + more - 1 - n); x.Resource != want || !errors.Is(x.Cause, lease.ErrStolen) {
				t.Errorf("loss %d: %+v, want %s", n, x, want)
			}
			between(t, "held", x.Held, every*9/10, every)
			between(t, "ago", time.Since(x.At), time.Duration(n)*every, time.Duration(n+1)*every)
		}
		if s := e.Snapshot(2); len(s.Losses) != 2 || s.Losses[0].Resource != fmt.Sprint(remembered+more-1) {
			t.Errorf("limit 2: %+v", s.Losses)
		}
	})
}

// However a lease ends, the snapshot remembers who had it, for how long, and why it
// ended.
func TestASnapshotRemembersTheMostRecentEnds(t *testing.T) {
	cfg := config()
	cfg.Owner = "host-1"
	simulate(t, 3, cfg, func(t *testing.T, fleet *sim.Fleet, e *engine.Engine) {
		if s := e.Snapshot(10); len(s.Ends) != 0 || s.Owner != "host-1" {
			t.Fatalf("at first: %+v", s)
		}
		released := acquire(t, e, "released", engine.WithFencing())
		time.Sleep(time.Second)
		release(t, released)
		lost := acquire(t, e, "lost")
		synctest.Wait()
		fleet.Each(func(s *sim.Server) { s.Set("lost", "somebody else", time.Hour) })
		time.Sleep(every)
		synctest.Wait()
		detached := acquire(t, e, "detached")
		if _, err := detached.Detach(); err != nil {
			t.Fatalf("detached.Detach: %v", err)
		}
		s := e.Snapshot(10)
		want := []struct {
			of    *lease.Lease
			cause error
			held  time.Duration
		}{{detached, lease.ErrDetached, 0}, {lost, lease.ErrStolen, every}, {released, lease.ErrReleased, time.Second}}
		if len(s.Ends) != len(want) || len(s.Losses) != 1 || !reflect.DeepEqual(s.Losses[0], s.Ends[1]) {
			t.Fatalf("got %+v, want %d ends, of which the second is a loss", s, len(want))
		}
		for n, w := range want {
			x := s.Ends[n]
			if x.Resource != w.of.Resource() || x.Holder != instance.Abbreviate(w.of.Token()) || x.Fence != w.of.Fence() || !errors.Is(x.Cause, w.cause) {
				t.Errorf("end %d: %+v, want %v because of %v", n, x, w.of, w.cause)
			}
			between(t, "held", x.Held, w.held*9/10, w.held)
		}
		for n := range remembered + 1 {
			release(t, acquire(t, e, fmt.Sprint(n)))
		}
		if s := e.Snapshot(1000); len(s.Ends) != remembered || s.Ends[0].Resource != fmt.Sprint(remembered) || s.Lost != 1 || len(s.Losses) != 1 {
			t.Errorf("%d ends, the last of %q; %d losses", len(s.Ends), s.Ends[0].Resource, len(s.Losses))
		}
		if s := e.Snapshot(0); len(s.Ends) != 0 {
			t.Errorf("limit 0: %+v", s.Ends)
		}
	})
}
