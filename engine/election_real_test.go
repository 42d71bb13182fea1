package engine_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-go/holdfast/engine"
	"github.com/holdfast-go/holdfast/instance"
	"github.com/holdfast-go/holdfast/internal/enginetest"
	"github.com/holdfast-go/holdfast/internal/redistest"
	"github.com/holdfast-go/holdfast/internal/testkit"
	"github.com/holdfast-go/holdfast/lease"
)

const valueKey = "value:{r}"

// quick has leases renewed and lost within a test's patience.
var quick = engine.Config{TTL: time.Second, RenewEvery: 100 * time.Millisecond, Owner: "a"}

func campaign(t *testing.T, e *engine.Engine, value string, opts ...engine.Option) *engine.Leader {
	t.Helper()
	l, err := e.Campaign(within(t), "r", value, opts...)
	if err != nil {
		t.Fatalf("campaign with %q: %v", value, err)
	}
	return l
}

func proclaim(t *testing.T, l *engine.Leader, value string) {
	t.Helper()
	if err := l.Proclaim(within(t), value); err != nil {
		t.Fatalf("proclaim %q: %v", value, err)
	}
}

// told is what an observer was told.
type told struct {
	engine.Leadership
	err error
}

// observing has a loop of Observe run until the test ends, or its cancel is called. All that it is told comes to the channel,
// which is closed behind it.
func observing(t *testing.T, e *engine.Engine) (news <-chan told, cancel func()) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	all, over := make(chan told, 10_000), make(chan struct{})
	go func() {
		defer close(over)
		defer close(all)
		for now, err := range e.Observe(ctx, "r") {
			all <- told{now, err}
		}
	}()
	cancel = func() {
		stop()
		<-over
	}
	t.Cleanup(cancel)
	return all, cancel
}

// sees waits until an observer is told of what is wanted, and fails the test if terms sink meanwhile.
func sees(t *testing.T, news <-chan told, what string, want func(engine.Leadership) bool) engine.Leadership {
	t.Helper()
	patience := time.After(testkit.Patience)
	var before uint64
	for {
		select {
		case n := <-news:
			switch {
			case n.err != nil && !errors.Is(n.err, engine.ErrNoQuorum):
				t.Fatalf("%s: it was told %v", what, n.err)
			case n.Held && n.Term < before:
				t.Fatalf("%s: term %d comes after %d", what, n.Term, before)
			case n.err == nil && want(n.Leadership):
				return n.Leadership
			case n.Held:
				before = n.Term
			}
		case <-patience:
			t.Fatalf("%s: an observer was not told of it", what)
		}
	}
}

func isNobody(l engine.Leadership) bool { return l == engine.Leadership{} }

// says is that a leader says something.
func says(l *engine.Leader, value string) func(engine.Leadership) bool {
	return func(now engine.Leadership) bool { return now.Held && now.Term == l.Term() && now.Value == value }
}

// nothingSaid waits until no server has a value.
func nothingSaid(t *testing.T, servers []*redistest.Server) {
	t.Helper()
	enginetest.Clean(t, servers, valueKey)
}

func TestAnElection(t *testing.T) {
	for _, n := range []int{1, 3} {
		t.Run(fmt.Sprintf("N=%d", n), func(t *testing.T) {
			t.Parallel()
			servers := redistest.StartN(t, n)
			e, other := open(t, servers, quick), open(t, servers, engine.Config{Owner: "b"})
			mine, _ := observing(t, e)
			theirs, _ := observing(t, other)
			sees(t, mine, "to begin with", isNobody)

			first := campaign(t, e, "one")
			if first.Term() == 0 || first.Term() != first.Fence() || first.Resource() != "r" || !first.Valid() {
				t.Errorf("the leader is %v, of term %d", first, first.Term())
			}
			got := sees(t, mine, "the first", says(first, "one"))
			sees(t, theirs, "the first", says(first, "one"))
			if got.Owner != "a" || got.String() != fmt.Sprintf(`term %d: "one", of a`, first.Term()) {
				t.Errorf("they are told %v", got)
			}
			second := make(chan *engine.Leader, 1)
			go func() { l, _ := other.Campaign(within(t), "r", "two"); second <- l }()
			eventually(t, "another one waits", func() bool { return other.Snapshot(0).Waiting == 1 })
			for _, value := range []string{"more", "", "a b\x00\xff\n", strings.Repeat("x", engine.MaxValue)} {
				proclaim(t, first, value)
				sees(t, theirs, fmt.Sprintf("%.20q", value), says(first, value))
			}
			time.Sleep(1500 * time.Millisecond) // longer than its life without renewals
			for _, s := range servers {
				if left := s.PTTL(valueKey); left <= 0 || left > time.Second {
					t.Errorf("what it says lives for another %v", left)
				}
			}
			if len(theirs) > 0 {
				t.Errorf("%d things were told, and nothing has happened: %v", len(theirs), <-theirs)
			}
			if len(second) > 0 {
				t.Error("two lead")
			}
			if err := first.Release(within(t)); err != nil {
				t.Errorf("resign: %v", err)
			}
			if !errors.Is(first.Err(), lease.ErrReleased) {
				t.Errorf("it has ended with %v", first.Err())
			}
			if err := first.Proclaim(within(t), "still"); !errors.Is(err, lease.ErrReleased) {
				t.Errorf("an earlier leader proclaims: %v", err)
			}
			next := <-second
			if next == nil || next.Term() <= first.Term() {
				t.Fatalf("the next is %v", next)
			}
			sees(t, mine, "the second", says(next, "two"))
			sees(t, theirs, "the second", says(next, "two"))
			if err := next.Release(within(t)); err != nil {
				t.Errorf("resign: %v", err)
			}
			sees(t, mine, "the end", isNobody)
			sees(t, theirs, "the end", isNobody)
			enginetest.Clean(t, servers, "r")
			nothingSaid(t, servers)
		})
	}
}

func TestObserversAreToldThatNobodyLeads(t *testing.T) {
	for name, end := range map[string]func(t *testing.T, servers []*redistest.Server, e *engine.Engine, l *engine.Leader){
		"resigned": func(t *testing.T, _ []*redistest.Server, _ *engine.Engine, l *engine.Leader) {
			if err := l.Release(within(t)); err != nil {
				t.Error(err)
			}
		},
		"given back with others": func(t *testing.T, _ []*redistest.Server, e *engine.Engine, l *engine.Leader) {
			for _, err := range e.ReleaseEach(within(t), []*lease.Lease{l.Lease}) {
				if err != nil {
					t.Error(err)
				}
			}
		},
		"expired": func(*testing.T, []*redistest.Server, *engine.Engine, *engine.Leader) {}, // it is not renewed
		"closed":  func(t *testing.T, _ []*redistest.Server, e *engine.Engine, _ *engine.Leader) { _ = e.Close(within(t)) },
		"deleted": func(_ *testing.T, servers []*redistest.Server, _ *engine.Engine, _ *engine.Leader) {
			for _, s := range servers {
				s.Del("r")
			}
		},
		"taken by force": func(t *testing.T, servers []*redistest.Server, _ *engine.Engine, _ *engine.Leader) {
			force(t, servers, "r")
		},
		"taken by another library": func(_ *testing.T, servers []*redistest.Server, _ *engine.Engine, _ *engine.Leader) {
			for _, s := range servers {
				s.MustDo("SET", "r", "somebody else's", "PX", "60000")
			}
		},
		"handed on as a lock": func(t *testing.T, servers []*redistest.Server, e *engine.Engine, l *engine.Leader) {
			token, err := l.Detach()
			if err != nil {
				t.Fatal(err)
			}
			if _, err := e.Adopt(within(t), "r", token); err != nil {
				t.Error(err)
			}
		},
		"forgotten": func(_ *testing.T, servers []*redistest.Server, _ *engine.Engine, _ *engine.Leader) {
			for _, s := range servers {
				s.FlushAll()
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			servers := redistest.StartN(t, 3)
			e := open(t, servers, engine.Config{TTL: 3 * time.Second, Owner: "a"})
			news, _ := observing(t, open(t, servers, engine.Config{}))
			l := campaign(t, e, "one", engine.WithoutRenewal())
			t.Cleanup(func() { _ = l.Release(context.Background()) }) // or the engine would complain of one that was taken
			sees(t, news, "the leader", says(l, "one"))
			end(t, servers, e, l)
			sees(t, news, "nobody", isNobody)
		})
	}
}

// TestALockIsNoLeadership: who holds the resource by other means excludes leaders, and leads nothing, whatever an earlier
// leader has left behind.
func TestALockIsNoLeadership(t *testing.T) {
	t.Parallel()
	servers := redistest.StartN(t, 3)
	e := open(t, servers, quick)
	news, _ := observing(t, e)
	l := campaign(t, e, "one")
	sees(t, news, "the leader", says(l, "one"))
	left := servers[0].Get(valueKey)
	if err := l.Release(within(t)); err != nil {
		t.Error(err)
	}
	sees(t, news, "nobody", isNobody)
	held := acquire(t, e, "r")
	for _, s := range servers {
		s.Set(valueKey, left, time.Minute)
	}
	young, _ := observing(t, open(t, servers, quick)) // which has been told of nobody yet
	if first := sees(t, young, "a lock", func(engine.Leadership) bool { return true }); !isNobody(first) {
		t.Errorf("of a lock, beside which an earlier leader's value is, %v was told", first)
	}
	if seen, err := e.Inspect(within(t), "r"); err != nil || seen.Term != 0 || seen.Value != "" {
		t.Errorf("the lock has the term %d and the value %q, %v", seen.Term, seen.Value, err)
	}
	if l, err := e.Campaign(within(t), "r", "two", engine.WithTries(1)); !errors.Is(err, engine.ErrHeld) {
		t.Errorf("a campaign wins a held lock: %v, %v", l, err)
	}
	release(t, held)
	next := campaign(t, e, "three")
	if got := sees(t, news, "the next", func(l engine.Leadership) bool { return l.Held }); !says(next, "three")(got) {
		t.Errorf("between the leaders %v was told of", got)
	}
	for _, s := range servers { // as if all had come back from an old disk
		s.Set("r", l.Token(), time.Minute)
		s.Set(valueKey, left, time.Minute)
	}
	if err := ended(t, next.Lease); !errors.Is(err, lease.ErrStolen) {
		t.Errorf("it has ended with %v", err)
	}
	sees(t, news, "nobody, since terms do not sink", isNobody)
}

func TestAnElectionWithoutOneServer(t *testing.T) {
	t.Parallel()
	servers := redistest.StartN(t, 3)
	e, other := open(t, servers, quick), open(t, servers, quick)
	news, _ := observing(t, other)
	servers[1].Kill()
	l := campaign(t, e, "one")
	sees(t, news, "the leader", says(l, "one"))
	proclaim(t, l, "two")
	sees(t, news, "another value", says(l, "two"))
	servers[1].Restart()
	eventually(t, "what is said comes to a server that has been away", func() bool { return servers[1].Get(valueKey) == servers[0].Get(valueKey) })
	servers[0].Kill() // what the others have is a majority again
	proclaim(t, l, "three")
	sees(t, news, "another value", says(l, "three"))
	servers[2].Kill()
	for deadline := time.After(testkit.Patience); ; {
		select {
		case n := <-news:
			if n.err == nil {
				continue
			}
			if !errors.Is(n.err, engine.ErrNoQuorum) || len(quorumError(t, n.err).Votes) != 3 {
				t.Errorf("without a majority: %v", n.err)
			}
		case <-deadline:
			t.Fatal("nobody says that it is not known who leads")
		}
		break
	}
	servers[0].Restart()
	servers[2].Restart()
	sees(t, news, "what is known again", func(engine.Leadership) bool { return true })
}

func quorumError(t *testing.T, err error) *engine.QuorumError {
	t.Helper()
	var q *engine.QuorumError
	if !errors.As(err, &q) {
		t.Fatalf("no QuorumError: %v", err)
	}
	return q
}

// TestWhatIsSaidHeals: renewals put it back where it was lost.
func TestWhatIsSaidHeals(t *testing.T) {
	t.Parallel()
	servers := redistest.StartN(t, 3)
	e := open(t, servers, quick)
	l := campaign(t, e, "one")
	for _, lose := range []func(s *redistest.Server){
		func(s *redistest.Server) { s.Del(valueKey) },
		func(s *redistest.Server) { s.Set(valueKey, "somebody's", time.Hour) },
		func(s *redistest.Server) { s.Del("r"); s.Del(valueKey) },
	} {
		lose(servers[2])
		eventually(t, "it is put back", func() bool {
			said := servers[2].Get(valueKey)
			return strings.HasPrefix(said, l.Token()+" ") && strings.HasSuffix(said, " one") && servers[2].PTTL(valueKey) <= time.Second
		})
	}
	if err := l.Extend(within(t), time.Minute/2); err != nil {
		t.Error(err)
	}
	eventually(t, "it lives as long as the lock", func() bool { return servers[0].PTTL(valueKey) > 20*time.Second })
}

// TestObserversReconnect: whatever connections are cut, observers are told of what comes after.
func TestObserversReconnect(t *testing.T) {
	t.Parallel()
	servers := redistest.StartN(t, 3)
	e := open(t, servers, quick)
	news, _ := observing(t, open(t, servers, engine.Config{}))
	l := campaign(t, e, "0")
	sees(t, news, "the leader", says(l, "0"))
	for k := 1; k < 6; k++ {
		for _, s := range servers {
			s.MustDo("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
		}
		value := fmt.Sprint(k)
		eventually(t, "it is proclaimed", func() bool { return l.Proclaim(within(t), value) == nil })
		sees(t, news, value, says(l, value))
	}
}

// TestASlowObserverIsToldOfTheNewest: what has changed meanwhile does not pile up.
func TestASlowObserverIsToldOfTheNewest(t *testing.T) {
	t.Parallel()
	servers := redistest.StartN(t, 3)
	e := open(t, servers, quick)
	l := campaign(t, e, "0")
	heard := 0
	ctx, cancel := context.WithTimeout(t.Context(), testkit.Patience)
	defer cancel()
	for now, err := range e.Observe(ctx, "r") {
		if heard++; err != nil {
			t.Fatal(err)
		}
		if now.Value == "100" {
			break
		}
		if heard == 1 {
			for k := range 100 {
				proclaim(t, l, fmt.Sprint(k+1))
			}
		}
	}
	if heard != 2 {
		t.Errorf("it was told %d things", heard)
	}
	servers[0].MustDo("PING")
}

func TestObserveEnds(t *testing.T) {
	t.Parallel()
	servers := redistest.StartN(t, 3)
	e := open(t, servers, engine.Config{})
	cause := errors.New("no more")
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	var last error
	for _, err := range e.Observe(ctx, "r") {
		cancel(cause)
		last = err
	}
	if !errors.Is(last, context.Canceled) || !strings.Contains(last.Error(), `observe "r": no more`) {
		t.Errorf("it ends with %v", last)
	}
	for range e.Observe(t.Context(), "r") {
		break
	}
	eventually(t, "the servers need tell nothing any more", func() bool { return enginetest.Tracked(servers) == 0 })
	for _, err := range e.Observe(t.Context(), "r") {
		if err == nil {
			_ = e.Close(within(t))
		}
		last = err
	}
	if !errors.Is(last, engine.ErrClosed) {
		t.Errorf("it ends with %v", last)
	}
	for _, err := range e.Observe(t.Context(), "r") {
		last = err
	}
	if !errors.Is(last, engine.ErrClosed) {
		t.Errorf("of a closed engine it says %v", last)
	}
	for _, err := range e.Observe(t.Context(), "") {
		last = err
	}
	if !strings.Contains(last.Error(), "the resource is empty") {
		t.Errorf("of no name it says %v", last)
	}
}

func TestACampaignThatCannotBe(t *testing.T) {
	t.Parallel()
	servers := redistest.StartN(t, 1)
	e := open(t, servers, engine.Config{})
	for want, ask := range map[string]func() error{
		"the resource is empty":    func() error { _, err := e.Campaign(within(t), "", "x"); return err },
		"WithToken":                func() error { _, err := e.Campaign(within(t), "r", "x", engine.WithToken("t")); return err },
		"Permits with Campaign":    func() error { _, err := e.Campaign(within(t), "r", "x", engine.Permits(2)); return err },
		"Shared with Campaign":     func() error { _, err := e.Campaign(within(t), "r", "x", engine.Shared()); return err },
		"1025 bytes: at most 1024": func() error { _, err := e.Campaign(within(t), "r", strings.Repeat("x", 1025)); return err },
		"WithTTL":                  func() error { _, err := e.Campaign(within(t), "r", "x", engine.WithTTL(-1)); return err },
	} {
		if err := ask(); err == nil || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), "engine: campaign: ") {
			t.Errorf("%s: %v", want, err)
		}
	}
	l := campaign(t, e, "x", nil, engine.WithFencing())
	if err := l.Proclaim(within(t), strings.Repeat("x", 1025)); err == nil || !strings.Contains(err.Error(), "1025 bytes") {
		t.Errorf("a long value: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := l.Proclaim(ctx, "y"); !errors.Is(err, context.Canceled) {
		t.Errorf("proclaimed with a context that has ended: %v", err)
	}
	servers[0].Del("r")
	if err := l.Proclaim(within(t), "z"); !errors.Is(err, lease.ErrGone) || !errors.Is(l.Err(), lease.ErrGone) {
		t.Errorf("proclaimed without the lock: %v, and it has ended with %v", err, l.Err())
	}
	if text := fmt.Sprintf("%v %+v %#v %s", l, l, l, l); strings.Contains(text, l.Token()) {
		t.Errorf("it shows the token: %s", text)
	}
}

// TestALeadershipIsNotHandedOn, though locks are in this engine.
func TestALeadershipIsNotHandedOn(t *testing.T) {
	t.Parallel()
	servers := redistest.StartN(t, 3)
	e := open(t, servers, engine.Config{LocalHandoff: 8})
	news, _ := observing(t, open(t, servers, engine.Config{}))
	wait := func(value string) <-chan *engine.Leader {
		got := make(chan *engine.Leader, 1)
		go func() { l, _ := e.Campaign(within(t), "r", value); got <- l }()
		eventually(t, "it waits", func() bool { return e.Snapshot(0).Waiting == 1 })
		return got
	}
	held := acquire(t, e, "r", engine.WithFencing())
	waits := wait("one")
	release(t, held)
	l := <-waits
	for k := range 3 {
		sees(t, news, "a leader", says(l, []string{"one", "two 0", "two 1"}[k]))
		waits = wait(fmt.Sprintf("two %d", k))
		if err := l.Release(within(t)); err != nil {
			t.Error(err)
		}
		next := <-waits
		if next.Term() <= l.Term() || next.Token() == l.Token() || servers[0].Get("r") == l.Token() {
			t.Errorf("%v was handed on: term %d behind %d", l, next.Term(), l.Term())
		}
		l = next
	}
}

func TestAnElectionOnACluster(t *testing.T) {
	t.Parallel()
	c := redistest.StartCluster(t, 3, false)
	dial := func() *engine.Engine {
		e := enginetest.New(t, quick, enginetest.Dial(t, "", instance.Config{Cluster: c.Addrs()[:1]}))
		state(t, e, 0, instance.Up)
		return e
	}
	e := dial()
	news, _ := observing(t, dial())
	l := campaign(t, e, "0")
	sees(t, news, "the leader", says(l, "0"))
	slot := c.Slot("r")
	if at := c.Slot(valueKey); at != slot {
		t.Errorf("the value is in slot %d, and the lock in %d", at, slot)
	}
	for k := range 2 {
		to := c.Masters[(k+1)%3]
		if to == c.Owner(slot) {
			to = c.Masters[(k+2)%3]
		}
		m := c.BeginMigration(slot, to)
		proclaimed := make(chan error, 1)
		value := fmt.Sprint(k + 1)
		go func() { proclaimed <- l.Proclaim(within(t), value) }()
		m.MoveKeys()
		m.End()
		if err := <-proclaimed; err != nil {
			eventually(t, "it is proclaimed", func() bool { return l.Proclaim(within(t), value) == nil })
		}
		sees(t, news, "in a slot that moves, "+value, says(l, value))
	}
	if err := l.Release(within(t)); err != nil {
		t.Error(err)
	}
	sees(t, news, "nobody", isNobody)
	eventually(t, "nothing is left", func() bool { return c.Owner(slot).Get(valueKey) == "" })
	if _, err := e.Campaign(within(t), "a}b", "x"); !errors.Is(err, engine.ErrRefused) {
		t.Errorf("a name whose slot nothing can be beside: %v", err)
	}
}
