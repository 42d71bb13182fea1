package instance_test

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-go/holdfast/instance"
	"github.com/holdfast-go/holdfast/internal/sim"
)

// answer is a Caster that somebody waits for.
type answer chan instance.Vote

func (a answer) Cast(v instance.Vote) { a <- v }

// trips has so many callers acquire and release a lock of their own again and
// again, the next starting a little after the one before, and returns how long
// the acquires took, sorted.
func trips(i *instance.Instance, callers, cycles int, apart time.Duration) []time.Duration {
	var mu sync.Mutex
	var took []time.Duration
	var calling sync.WaitGroup
	for n := range callers {
		calling.Go(func() {
			time.Sleep(time.Duration(n) * apart)
			key, reply := fmt.Sprint("key ", n), make(answer, 1)
			for range cycles {
				begun := time.Now()
				i.Post(&instance.Acquire{Key: key, Token: "t", TTL: time.Minute, GiveUp: begun.Add(time.Minute), To: reply})
				<-reply
				mu.Lock()
				took = append(took, time.Since(begun))
				mu.Unlock()
				i.Post(&instance.Release{Key: key, Token: "t", TTL: time.Minute, To: reply})
				<-reply
			}
		})
	}
	calling.Wait()
	slices.Sort(took)
	return took
}

func TestFarAwayNobodyWaitsForTheRoundTripOfOthers(t *testing.T) {
	for _, there := range []time.Duration{time.Millisecond, 10 * time.Millisecond} {
		for _, apart := range []time.Duration{0, 31 * time.Microsecond} {
			act(t, instance.Config{}, func(t *testing.T, s *sim.Server, i *instance.Instance) {
				s.Latency(there, there)
				trips(i, 1, 1, 0) // it learns how far away it is
				took := trips(i, 64, 20, apart)
				if p50 := took[len(took)/2]; p50 > 2*there*11/10 {
					t.Errorf("a round trip of %v, callers %v apart: half of the acquires take %v or more", 2*there, apart, p50)
				}
				if longest := took[len(took)-1]; longest > 2*there*11/10 {
					t.Errorf("a round trip of %v, callers %v apart: one takes %v", 2*there, apart, longest)
				}
			})
		}
	}
}

func TestNearByWhatComesMeanwhileIsOnePipeline(t *testing.T) {
	act(t, instance.Config{}, func(t *testing.T, s *sim.Server, i *instance.Instance) {
		const there = 200 * time.Microsecond
		s.Latency(there, there)
		trips(i, 1, 1, 0)
		s.ForgetCalls()
		trips(i, 64, 20, 31*time.Microsecond)
		arrivals := make(map[time.Time]bool)
		for _, call := range s.Calls() {
			arrivals[call.At] = true
		}
		if first, last := s.Calls()[0].At, s.Calls()[len(s.Calls())-1].At; time.Duration(len(arrivals)-1)*2*there > last.Sub(first) {
			t.Errorf("%d pipelines in %v, though each takes %v", len(arrivals), last.Sub(first), 2*there)
		}
	})
}

// farAway makes the server one that is worth several pipelines at a time, and
// posts messages that go out one by one while the others are under way.
func farAway(s *sim.Server, i *instance.Instance) {
	s.Latency(10*time.Millisecond, 10*time.Millisecond)
	trips(i, 1, 1, 0)
	s.ForgetCalls()
}

// inTurn posts a message, and lets time pass until it is on its way.
func inTurn(i *instance.Instance, c instance.Command) {
	i.Post(c)
	synctest.Wait()
	time.Sleep(time.Millisecond)
}

func TestOrderIsKeptWhenAConnectionBreaksUnderSeveralPipelines(t *testing.T) {
	for broken := range 15 { // before, while and after the server executes them
		act(t, instance.Config{}, func(t *testing.T, s *sim.Server, i *instance.Instance) {
			farAway(s, i)
			var all, last votes
			var posted []string
			for n := range 4 {
				token := fmt.Sprint("token ", n)
				posted = append(posted, "acquire "+token, "release "+token)
				inTurn(i, acquireTo(&all, token))
				inTurn(i, releaseTo(&all, token))
			}
			posted = append(posted, "acquire last")
			inTurn(i, acquireTo(&last, "last"))
			time.Sleep(time.Duration(broken) * time.Millisecond)
			s.Break()
			synctest.Wait() // what was being executed is noted as well
			s.ForgetCalls()
			time.Sleep(100 * time.Millisecond)

			last.are(t, instance.Granted)
			if got := all.kinds(); len(got) != 8 {
				t.Errorf("answered %v", got)
			}
			if holder := s.Get("k"); holder != "last" {
				t.Errorf("%q has it", holder)
			}
			var again []string
			for _, call := range s.Calls() {
				switch args := call.Args; {
				case args[0] == "set":
					again = append(again, "acquire "+args[2])
				case args[0] == "evalsha" && len(args) == 6: // again by a script, whose answer is short whatever is there
					again = append(again, "acquire "+args[4])
				case args[0] == "evalsha":
					again = append(again, "release "+args[4])
				}
			}
			if n := len(posted) - len(again); n < 0 || !slices.Equal(again, posted[n:]) {
				t.Errorf("of %v was sent again %v", posted, again)
			}
		})
	}
}

func TestOrderIsKeptWhenTheServerForgetsItsScriptsUnderSeveralPipelines(t *testing.T) {
	act(t, instance.Config{}, func(t *testing.T, s *sim.Server, i *instance.Instance) {
		farAway(s, i)
		s.ForgetScripts()
		var acquires, releases, looks votes
		inTurn(i, &instance.Inspect{Key: "other", To: &looks}) // NOSCRIPT
		for n := range 3 {
			inTurn(i, acquireTo(&acquires, fmt.Sprint("token ", n)))
			inTurn(i, releaseTo(&releases, fmt.Sprint("token ", n)))
		}
		time.Sleep(15 * time.Millisecond) // the first reply has come, others have not
		inTurn(i, &instance.Inspect{Key: "k", To: &looks})
		time.Sleep(100 * time.Millisecond)
		looks.are(t, instance.Free, instance.Free)
		acquires.are(t, slices.Repeat([]instance.Kind{instance.Granted}, 3)...)
		releases.are(t, slices.Repeat([]instance.Kind{instance.Granted}, 3)...)
	})
}

func TestFirstPipelineThatIsLateEndsThoseBehindIt(t *testing.T) {
	const timeout = 100 * time.Millisecond
	act(t, instance.Config{Timeout: timeout}, func(t *testing.T, s *sim.Server, i *instance.Instance) {
		farAway(s, i)
		time.Sleep(timeout) // nothing is timed any more
		s.Hang()
		begun := time.Now()
		var all votes
		for range 5 {
			inTurn(i, &instance.Inspect{Key: "k", To: &all})
		}
		time.Sleep(time.Until(begun.Add(timeout - time.Nanosecond)))
		all.are(t)
		time.Sleep(time.Nanosecond)
		all.are(t, slices.Repeat([]instance.Kind{instance.TimedOut}, 5)...)
	})
}

func TestTimeoutCountsFromEachPipelinesOwnSend(t *testing.T) {
	const timeout = 100 * time.Millisecond
	act(t, instance.Config{Timeout: timeout}, func(t *testing.T, s *sim.Server, i *instance.Instance) {
		farAway(s, i)
		var all votes
		for range 30 { // every one is answered in 20ms, and together they take longer than the timeout
			time.Sleep(9 * time.Millisecond)
			inTurn(i, &instance.Inspect{Key: "k", To: &all})
		}
		s.Hang() // the last two are on their way: at 9 and at 19ms from here
		lastSent := time.Now().Add(-time.Millisecond)
		var late votes
		i.Post(&instance.Inspect{Key: "k", To: &late})
		time.Sleep(time.Until(lastSent.Add(timeout)))
		if got := late.kinds(); !slices.Equal(got, []instance.Kind{instance.TimedOut}) {
			t.Errorf("answered %v", got)
		}
		if got := all.kinds(); !slices.Contains(got[:28], instance.Free) || slices.Contains(got[:28], instance.TimedOut) {
			t.Errorf("answered %v", got)
		}
	})
}

func TestWhatIsUnderWayIsBounded(t *testing.T) {
	act(t, instance.Config{Timeout: time.Minute}, func(t *testing.T, s *sim.Server, i *instance.Instance) {
		farAway(s, i)
		s.Hang()
		const messages, together = 5_000, 50
		var all votes
		for n := range messages {
			i.Post(&instance.Inspect{Key: "k", To: &all})
			if n%together == 0 {
				synctest.Wait()
			}
		}
		synctest.Wait()
		// The last pipeline was taken below the bound, and had what was posted together.
		if underWay := messages - i.Health().Mailbox; underWay < 4096 || underWay > 4096+together {
			t.Errorf("%d are under way", underWay)
		}
		s.Thaw()
		for len(all.kinds()) < messages {
			time.Sleep(time.Millisecond)
		}
	})
}

func TestDeadConnectionIsNoticedThoughNobodyAsks(t *testing.T) {
	act(t, instance.Config{}, func(t *testing.T, s *sim.Server, i *instance.Instance) {
		s.Break()
		synctest.Wait()
		if h := i.Health(); h.State != instance.Up || s.Connections() != 1 {
			t.Errorf("it is %v, with %d connections", h.State, s.Connections())
		}
		s.Cut()
		synctest.Wait()
		if h := i.Health(); h.State != instance.Down || h.Err == nil {
			t.Errorf("it is %v, %v", h.State, h.Err)
		}
		s.Mend()
		time.Sleep(time.Second)
		if h := i.Health(); h.State != instance.Up {
			t.Errorf("it is %v", h.State)
		}
	})
}

func TestConnectionsThatBreakAsSoonAsTheyAreOpenAreNotMadeWithoutEnd(t *testing.T) {
	act(t, instance.Config{}, func(t *testing.T, s *sim.Server, i *instance.Instance) {
		broken := 0
		for begun := time.Now(); time.Since(begun) < 10*time.Second; time.Sleep(time.Millisecond) {
			synctest.Wait()
			if s.Connections() > 0 {
				s.Break()
				broken++
			}
		}
		if broken > 30 {
			t.Errorf("%d connections in 10s", broken)
		}
		time.Sleep(time.Second)
		if h := i.Health(); h.State != instance.Up {
			t.Errorf("it is %v", h.State)
		}
	})
}
