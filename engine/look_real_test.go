package engine_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-go/holdfast/engine"
	"github.com/holdfast-go/holdfast/instance"
	"github.com/holdfast-go/holdfast/internal/enginetest"
	"github.com/holdfast-go/holdfast/internal/proxy"
	"github.com/holdfast-go/holdfast/internal/redistest"
)

// howManyWait asks for r.
func howManyWait(t *testing.T, e *engine.Engine) engine.Status {
	t.Helper()
	s, err := e.Inspect(within(t), "r")
	if err != nil {
		t.Fatalf("inspect: %v", err)
	}
	return s
}

// stay fails the test unless so many wait for r for a while. The first of them has waited since the moment, within slack.
func stay(t *testing.T, e *engine.Engine, when string, want int, since time.Time, slack, while time.Duration) {
	t.Helper()
	for end := time.Now().Add(while); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		before := time.Since(since)
		s := howManyWait(t, e)
		if s.Waiting != want {
			t.Fatalf("%s: %d wait, want %d", when, s.Waiting, want)
		}
		between(t, when+": how long the first has waited", s.WaitingFor, before-slack, time.Since(since)+time.Millisecond)
	}
}

func TestInspectCountsThoseWhoWaitOnRealServers(t *testing.T) {
	for _, n := range []int{1, 3} {
		t.Run(fmt.Sprintf("N=%d", n), func(t *testing.T) {
			t.Parallel() // it waits most of the time
			servers := redistest.StartN(t, n)
			observer := open(t, servers, engine.Config{})
			held := acquire(t, open(t, servers, engine.Config{}), "r")
			var proxies []*proxy.Proxy
			var instances []*instance.Instance
			for _, s := range servers {
				p := proxy.Start(t, s.Network(), s.Addr())
				proxies = append(proxies, p)
				instances = append(instances, enginetest.Dial(t, p.URL(), instance.Config{}))
			}
			mortal, err := engine.New(instances, engine.Config{})
			if err != nil {
				t.Fatalf("engine.New: %v", err)
			}
			t.Cleanup(func() { _ = mortal.Close(context.Background()) })
			if err := mortal.AwaitQuorum(within(t)); err != nil {
				t.Fatalf("await a quorum: %v", err)
			}
			line := []*engine.Engine{open(t, servers, engine.Config{}), mortal, open(t, servers, engine.Config{})}
			var results []<-chan result
			var began []time.Time // before each has its place
			var slack time.Duration
			for k, e := range line {
				began = append(began, time.Now())
				ctx, leave := context.WithCancel(within(t))
				defer leave()
				results = append(results, acquiring(ctx, e, "r"))
				eventually(t, fmt.Sprintf("%d wait", k+1), func() bool { return howManyWait(t, observer).Waiting == k+1 })
				slack = max(slack, time.Since(began[k]))
			}
			stay(t, observer, "three wait", 3, began[0], slack, 20*time.Millisecond)

			release(t, held)
			first := <-results[0]
			if first.err != nil {
				t.Fatalf("acquire: %v", first.err)
			}
			enginetest.Everywhere(t, servers, first.lease)
			stay(t, observer, "the first has it", 2, began[1], slack, placeLife+placeLife/4)

			for _, p := range proxies {
				p.Blackhole(proxy.Requests, true)
				p.Blackhole(proxy.Replies, true)
			}
			died := time.Now()
			eventually(t, "the dead is not counted", func() bool { return howManyWait(t, observer).Waiting == 1 })
			between(t, "until the dead is not counted", time.Since(died), placeLife-2*keeping, placeLife+keeping)
			stay(t, observer, "the second has died", 1, began[2], slack, 20*time.Millisecond)
			for _, p := range proxies {
				p.Heal()
			}
			release(t, first.lease)
		})
	}
}

// Without the right to look at a queue, or where it is none, the rest of the answer is there.
func TestInspectSaysThatItMayNotLook(t *testing.T) {
	for name, spoil := range map[string]func(*redistest.Server){
		"no counting":              func(s *redistest.Server) { s.User(enginetest.User, enginetest.Password, "~* +@all -zcount") },
		"no keys beside the locks": func(s *redistest.Server) { s.User(enginetest.User, enginetest.Password, "~r +@all") },
		"something else": func(s *redistest.Server) {
			s.User(enginetest.User, enginetest.Password, "~* +@all")
			s.MustDo("SET", "queue-lives:{r}", "something else")
		},
	} {
		t.Run(name, func(t *testing.T) {
			servers := redistest.StartN(t, 3)
			held := acquire(t, open(t, servers, engine.Config{}), "r")
			spoil(servers[0])
			for _, s := range servers[1:] {
				s.User(enginetest.User, enginetest.Password, "~* +@all")
			}
			e, err := enginetest.OpenAsUser(t, servers, engine.Config{})
			if err != nil {
				t.Fatalf("enginetest.OpenAsUser: %v", err)
			}
			s := howManyWait(t, e)
			if s.Token != held.Token() || s.Waiting >= 0 || s.WaitingFor != 0 {
				t.Errorf("%v: %d wait, the first for %v; want it held, and how many wait unknown", s, s.Waiting, s.WaitingFor)
			}
			if text := s.String(); !strings.HasSuffix(text, "; how many wait is not known") {
				t.Errorf("it says %s", text)
			}
		})
	}
}

// A look costs Redis nothing but the look: it leaves the queue as it is, with what has ended in it.
func TestInspectLeavesTheQueueAlone(t *testing.T) {
	servers := redistest.StartN(t, 1)
	e := open(t, servers, engine.Config{})
	s := servers[0]
	s.MustDo("SET", "r", "another library's")
	for k, ends := range []string{"1", "1", "99999999999999", "99999999999999"} {
		s.MustDo("ZADD", "queue:{r}", fmt.Sprint(k+1), fmt.Sprint("place", k))
		s.MustDo("ZADD", "queue-lives:{r}", ends, fmt.Sprint("place", k))
	}
	queue := func() string {
		return fmt.Sprint(s.MustDo("DUMP", "queue:{r}"), s.MustDo("DUMP", "queue-lives:{r}"), s.MustDo("KEYS", "*"))
	}
	before := queue()
	if seen := howManyWait(t, e); seen.Waiting != 2 || seen.WaitingFor < time.Hour {
		t.Errorf("%d wait, the first for %v; want the two that live, for long", seen.Waiting, seen.WaitingFor)
	}
	if now := queue(); now != before {
		t.Errorf("the queue is now %q, and was %q", now, before)
	}
	s.MustDo("DEL", "queue:{r}")
	if seen := howManyWait(t, e); seen.Waiting != 2 || seen.WaitingFor != 0 {
		t.Errorf("without the order: %d wait, the first for %v; want 2 for an unknown time", seen.Waiting, seen.WaitingFor)
	}
}
