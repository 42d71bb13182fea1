package instance_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-go/holdfast/instance"
	"github.com/holdfast-go/holdfast/internal/sim"
	"github.com/holdfast-go/holdfast/internal/testkit"
)

// votes keeps what is cast.
type votes struct {
	mu  sync.Mutex
	all []instance.Vote
}

func (c *votes) Cast(v instance.Vote) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.all = append(c.all, v)
}

func (c *votes) CastRenewals(_ []instance.Renewal, votes []instance.Vote) {
	for _, v := range votes {
		c.Cast(v)
	}
}

// kinds returns the votes' kinds when everybody has come to rest.
func (c *votes) kinds() []instance.Kind {
	synctest.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	var kinds []instance.Kind
	for _, v := range c.all {
		kinds = append(kinds, v.Kind)
	}
	return kinds
}

func (c *votes) are(t *testing.T, want ...instance.Kind) {
	t.Helper()
	if got := c.kinds(); !slices.Equal(got, want) {
		t.Errorf("the votes are %v, want %v", got, want)
	}
}

// act runs a test with one actor that is connected to a simulated server.
func act(t *testing.T, cfg instance.Config, test func(*testing.T, *sim.Server, *instance.Instance)) {
	t.Helper()
	actGuarded(t, cfg, instance.GuardOff, test)
}

// actGuarded is act with a restart guard, whose quarantine is an hour.
func actGuarded(t *testing.T, cfg instance.Config, guard instance.Guard, test func(*testing.T, *sim.Server, *instance.Instance)) {
	t.Helper()
	testkit.Simulate(t, func(t *testing.T) {
		fleet := sim.New(t, 1)
		if cfg.Timeout == 0 {
			cfg.Timeout = time.Second
		}
		i := fleet.Instances(cfg)[0]
		if err := i.Claim(); err != nil {
			t.Fatalf("i.Claim: %v", err)
		}
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			i.Run(context.Background(), instance.NewSet([]*instance.Instance{i}, guard, time.Hour))
		}()
		<-i.Ready()
		test(t, fleet.Servers[0], i)
		i.Close()
		<-ended
		if h := i.Health(); h.State != instance.Closed {
			t.Errorf("after Run it is %v", h.State)
		}
		var late votes
		i.Post(&instance.Inspect{Key: "k", To: &late})
		late.are(t, instance.Unreachable)
	})
}

func acquireTo(to instance.Caster, token string) *instance.Acquire {
	return &instance.Acquire{Key: "k", Token: token, TTL: time.Minute, GiveUp: time.Now().Add(time.Minute), To: to}
}

func releaseTo(to instance.Caster, token string) *instance.Release {
	return &instance.Release{Key: "k", Token: token, TTL: time.Minute, To: to}
}

func TestMessagesAreServedInTheOrderOfTheirPosts(t *testing.T) {
	act(t, instance.Config{Batch: 3}, func(t *testing.T, s *sim.Server, i *instance.Instance) {
		s.Latency(time.Millisecond, time.Millisecond)
		var acquires, releases votes
		for n := range 50 { // each finds the lock free only if the release before it came first
			i.Post(acquireTo(&acquires, fmt.Sprint("token ", n)))
			i.Post(releaseTo(&releases, fmt.Sprint("token ", n)))
		}
		time.Sleep(time.Second)
		acquires.are(t, slices.Repeat([]instance.Kind{instance.Granted}, 50)...)
		releases.are(t, slices.Repeat([]instance.Kind{instance.Granted}, 50)...)
	})
}

func TestWhatWaitsWhileAPipelineIsInFlightIsTheNextOne(t *testing.T) {
	act(t, instance.Config{}, func(t *testing.T, s *sim.Server, i *instance.Instance) {
		s.Latency(50*time.Millisecond, 50*time.Millisecond)
		var all votes
		begun := time.Now()
		i.Post(&instance.Inspect{Key: "k", To: &all})
		synctest.Wait()
		for range 200 {
			i.Post(&instance.Inspect{Key: "k", To: &all})
		}
		for len(all.kinds()) < 201 {
			time.Sleep(time.Millisecond)
		}
		if took := time.Since(begun); took > 201*time.Millisecond {
			t.Errorf("two round trips of 100ms took %v", took)
		}
	})
}

func TestEveryMessageIsAnsweredOnceWhateverHappensToTheServer(t *testing.T) {
	faults := []func(*sim.Server){
		(*sim.Server).Hang, (*sim.Server).Thaw, (*sim.Server).Cut, (*sim.Server).Mend, (*sim.Server).Break, (*sim.Server).Restart,
		(*sim.Server).ForgetScripts, func(s *sim.Server) { s.LoseReplies(true) }, func(s *sim.Server) { s.LoseReplies(false) },
		func(s *sim.Server) { s.Refuse("OOM no") }, func(s *sim.Server) { s.Refuse("") }, (*sim.Server).Thaw, (*sim.Server).Mend,
	}
	act(t, instance.Config{Mailbox: 20, Timeout: 50 * time.Millisecond}, func(t *testing.T, s *sim.Server, i *instance.Instance) {
		s.Latency(time.Millisecond, time.Millisecond)
		const messages = 5000
		casters := make([]votes, messages)
		for n := range messages {
			switch n % 4 {
			case 0:
				i.Post(acquireTo(&casters[n], fmt.Sprint(n)))
			case 1:
				i.Post(releaseTo(&casters[n], fmt.Sprint(n-1)))
			case 2:
				i.Post(&instance.Renew{Items: []instance.Renewal{{Key: "k", Token: "t", TTL: time.Minute}}, To: &casters[n]})
			case 3:
				i.Post(&instance.Inspect{Key: "k", To: &casters[n]})
			}
			if n%10 == 9 {
				time.Sleep(time.Millisecond)
			}
			if n%40 == 39 {
				faults[n/40%len(faults)](s)
			}
		}
		i.Close()
		time.Sleep(time.Second)
		for n := range casters {
			if got := casters[n].kinds(); len(got) != 1 {
				t.Fatalf("message %d got the answers %v", n, got)
			}
		}
	})
}

func TestReleaseThatFoundTheMailboxFullIsMadeGoodByAnInstanceThatStaysUp(t *testing.T) {
	act(t, instance.Config{Mailbox: 1}, func(t *testing.T, s *sim.Server, i *instance.Instance) {
		s.Set("k", "t", time.Minute)
		s.Latency(0, 10*time.Millisecond)
		var others, released votes
		i.Post(&instance.Inspect{Key: "other", To: &others})
		synctest.Wait() // in flight
		for range 2 {
			i.Post(&instance.Renew{Items: []instance.Renewal{{Key: "other", Token: "t", TTL: time.Minute}}, To: &others})
		}
		i.Post(releaseTo(&released, "t"))
		released.are(t, instance.Busy)
		for range 10 { // it is up and serves
			time.Sleep(time.Second)
			i.Post(&instance.Inspect{Key: "other", To: &others})
		}
		if s.Get("k") != "" {
			t.Error("10s later the key is still there")
		}
	})
}

func TestReleaseThatTheServerRefusedIsMadeGoodByAnInstanceThatStaysUp(t *testing.T) {
	act(t, instance.Config{}, func(t *testing.T, s *sim.Server, i *instance.Instance) {
		s.Set("k", "t", time.Minute)
		var released, others votes
		s.Refuse("BUSY Redis is busy running a script.")
		i.Post(releaseTo(&released, "t"))
		released.are(t, instance.Refused)
		s.Refuse("")
		for range 10 {
			time.Sleep(time.Second)
			i.Post(&instance.Inspect{Key: "other", To: &others})
		}
		if s.Get("k") != "" {
			t.Error("10s later the key is still there")
		}
	})
}

func TestServersRefusalIsQuotedAndLeavesTheInstanceUp(t *testing.T) {
	act(t, instance.Config{}, func(t *testing.T, s *sim.Server, i *instance.Instance) {
		s.Refuse("OOM command not allowed when used memory > 'maxmemory'.")
		var v votes
		i.Post(acquireTo(&v, "t"))
		v.are(t, instance.Refused)
		if text := v.all[0].String(); text != "sim-1: refused (OOM command not allowed when used memory > 'maxmemory'.)" {
			t.Errorf("the vote says %q, want what the server said", text)
		}
		if h := i.Health(); h.State != instance.Up {
			t.Errorf("it is %v", h.State)
		}
	})
}

func TestHungServerTimesOutOnTheBubblesClockAndIsThenRefusedAtTheDoor(t *testing.T) {
	act(t, instance.Config{Timeout: 200 * time.Millisecond}, func(t *testing.T, s *sim.Server, i *instance.Instance) {
		s.Hang()
		asked := time.Now()
		var first, second votes
		i.Post(acquireTo(&first, "t"))
		for len(first.kinds()) == 0 {
			time.Sleep(time.Millisecond)
		}
		if took := time.Since(asked); took != 200*time.Millisecond {
			t.Errorf("it took %v", took)
		}
		first.are(t, instance.TimedOut)
		i.Post(acquireTo(&second, "t"))
		if n := len(second.all); n != 1 {
			t.Error("not answered before Post returned")
		}
		if h := i.Health(); h.State != instance.Down || h.Err == nil {
			t.Errorf("it is %v, %v", h.State, h.Err)
		}
		s.Thaw()
		time.Sleep(1500 * time.Millisecond)
		if h := i.Health(); h.State != instance.Up || h.Err != nil {
			t.Errorf("1.5s after the thaw it is %v, %v", h.State, h.Err)
		}
	})
}

func TestNothingOfTheFormerConnectionIsExecutedAfterTheFirstMessageOfTheNext(t *testing.T) {
	act(t, instance.Config{Timeout: 100 * time.Millisecond}, func(t *testing.T, s *sim.Server, i *instance.Instance) {
		s.Hang()
		var v votes
		q := acquireTo(&v, "late")
		i.Post(q)
		time.Sleep(150 * time.Millisecond)
		undo := releaseTo(&v, "late")
		undo.Undo = q
		i.Post(undo)
		s.ThawReordered(500 * time.Millisecond)
		time.Sleep(2 * time.Second)
		if holder := s.Get("k"); holder != "" {
			t.Errorf("an acquire that was undone is there: %q", holder)
		}
	})
}

func TestRunEndsWithItsContextThoughTheServerHangs(t *testing.T) {
	testkit.Simulate(t, func(t *testing.T) {
		fleet := sim.New(t, 1)
		i := fleet.Instances(instance.Config{Timeout: time.Hour})[0]
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			i.Run(ctx, instance.NewSet([]*instance.Instance{i}, instance.GuardOff, 0))
		}()
		<-i.Ready()
		fleet.Servers[0].Hang()
		var v votes
		i.Post(acquireTo(&v, "t"))
		synctest.Wait()
		begun := time.Now()
		cancel()
		<-ended
		if took := time.Since(begun); took != 0 {
			t.Errorf("it took %v", took)
		}
		if got := v.kinds(); len(got) != 1 || got[0] == instance.Granted {
			t.Errorf("answered %v", got)
		}
	})
}

func TestTwoInstancesOfTheSameServerAreFoundOut(t *testing.T) {
	testkit.Simulate(t, func(t *testing.T) {
		fleet := sim.New(t, 1)
		pair := append(fleet.Instances(instance.Config{}), fleet.Instances(instance.Config{})...)
		set := instance.NewSet(pair, instance.GuardAdaptive, time.Minute)
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		for _, i := range pair {
			running.Go(func() { i.Run(ctx, set) })
		}
		synctest.Wait()
		found := 0
		for _, i := range pair {
			if h := i.Health(); h.State == instance.Down && instance.IsSameServer(h.Err) && errors.Is(h.Err, h.Err) {
				found++
			}
		}
		if found != 1 {
			t.Errorf("%d of the two are refused", found)
		}
		cancel()
		running.Wait()
	})
}

func TestQuarantinedInstanceIsHealedOnlyByAProofThatBeganAfterItsRestart(t *testing.T) {
	actGuarded(t, instance.Config{}, instance.GuardStrict, func(t *testing.T, s *sim.Server, i *instance.Instance) {
		heal := func(proof time.Time) *votes {
			var got votes
			q := acquireTo(&got, "ours")
			q.Proof = proof
			i.Post(q)
			return &got
		}
		begun := time.Now()
		time.Sleep(time.Second)
		s.Restart()
		heal(begun).are(t, instance.InQuarantine) // on the connection that broke, then on the next one
		heal(begun).are(t, instance.InQuarantine)
		if s.Get("k") != "" {
			t.Error("healed all the same")
		}
		heal(time.Time{}).are(t, instance.InQuarantine) // no healing at all
		heal(time.Now()).are(t, instance.Granted)
		if s.Get("k") != "ours" {
			t.Error("not healed")
		}
	})
}
