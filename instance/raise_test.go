package instance_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-go/holdfast/instance"
	"github.com/holdfast-go/holdfast/internal/redistest"
	"github.com/holdfast-go/holdfast/internal/sim"
)

func fencedAcquire(key, token string, fence uint64, to instance.Caster) *instance.Acquire {
	return &instance.Acquire{
		Key: key, Token: token, TTL: time.Minute, GiveUp: time.Now().Add(time.Minute), To: to,
		Fencing: instance.Fencing{Fence: fence, MaxAhead: time.Hour},
	}
}

// knowClock has the instance learn the server's clock, so that what follows may be sent natively.
func knowClock(t *testing.T, i *instance.Instance) {
	t.Helper()
	reply := make(answer, 1)
	if i.Post(fencedAcquire("clock", "t", 1, reply)); (<-reply).Kind == instance.Unanswered {
		t.Fatal("it is not answered")
	}
}

// Where the order of messages is sure, fences are raised by one native command; a script now and then brings the server's
// clock. Elsewhere the script does all. Where there is no such command the first acquire finds that out, and is sent twice: it is
// stale, as whatever is.
func TestFencesAreRaisedByANativeCommand(t *testing.T) {
	const acquires = 400 // in 4 seconds
	for name, c := range map[string]struct {
		prepare     func(*sim.Server)
		least, most int // of scripts
		vain        int // of native ones
	}{
		"order is sure":          {func(*sim.Server) {}, 4, 9, 0},
		"nothing can be killed":  {func(s *sim.Server) { s.ForbidKill() }, acquires, acquires, 0},
		"there is no such thing": {func(s *sim.Server) { s.LacksBitfield() }, acquires, acquires, 1},
	} {
		t.Run(name, func(t *testing.T) {
			actNative(t, c.prepare, func(t *testing.T, s *sim.Server, i *instance.Instance) {
				if c.vain > 0 {
					knowClock(t, i) // by a script, or nothing goes natively
				}
				s.ForgetCalls()
				for n := range acquires {
					want := instance.Granted
					if n < c.vain {
						want = instance.Stale
					}
					reply := make(answer, 1)
					i.Post(fencedAcquire(fmt.Sprint("key ", n), "t", uint64(time.Now().UnixMicro()), reply))
					if v := <-reply; v.Kind != want {
						t.Fatalf("acquire %d: got %v, want %v", n, v, want)
					}
					time.Sleep(10 * time.Millisecond) // simulated
				}
				calls := make(map[string]int)
				for _, call := range s.Calls() {
					calls[strings.ToUpper(call.Args[0])]++
				}
				if scripts := calls["EVALSHA"]; scripts < c.least || scripts > c.most || calls["BITFIELD"] != acquires-scripts+c.vain || calls["SET"] != acquires-scripts+c.vain {
					t.Errorf("%v, want %d to %d scripts, and of the others as many as there are acquires besides, and %d", calls, c.least, c.most, c.vain)
				}
			})
		})
	}
}

// Those that wait together are raised by one command, and each is told of its own.
func TestOneCommandRaisesManyFences(t *testing.T) {
	actNative(t, func(*sim.Server) {}, func(t *testing.T, s *sim.Server, i *instance.Instance) {
		knowClock(t, i)
		s.SetFence("", "key 7", 100)
		s.Set("key 8", "u", time.Minute)
		s.ForgetCalls()
		replies := make([]answer, 300)
		var posts []instance.Command
		for n := range replies {
			replies[n] = make(answer, 1)
			posts = append(posts, fencedAcquire(fmt.Sprint("key ", n), "t", 100, replies[n]))
		}
		i.Post(posts...)
		for n, reply := range replies {
			want := instance.Granted
			switch n {
			case 7:
				want = instance.Stale
			case 8:
				want = instance.Held
			}
			if v := <-reply; v.Kind != want || want != instance.Granted && v.Fence != 100 {
				t.Errorf("key %d: got %v, want %v", n, v, want)
			}
		}
		raises := 0
		for _, call := range s.Calls() {
			if strings.EqualFold(call.Args[0], "bitfield") {
				raises++
			}
		}
		if raises > 4 {
			t.Errorf("%d commands raise the fences of 300 acquires", raises)
		}
	})
}

// A proposal that the server's clock does not allow is not sent natively: nothing would undo what it leaves.
func TestServersClockIsKnownBeforeAFenceIsRaised(t *testing.T) {
	actNative(t, func(*sim.Server) {}, func(t *testing.T, s *sim.Server, i *instance.Instance) {
		ask := func(key string) instance.Vote {
			reply := make(answer, 1)
			i.Post(fencedAcquire(key, "t", uint64(time.Now().UnixMicro()), reply))
			return <-reply
		}
		knowClock(t, i)
		if v := ask("a"); v.Kind != instance.Granted {
			t.Errorf("got %v, want it granted", v)
		}
		time.Sleep(1100 * time.Millisecond) // simulated: what was known of the clock is too old
		s.StepClock(-2 * time.Hour)
		now, replies := uint64(time.Now().UnixMicro()), make(answer, 2)
		i.Post(fencedAcquire("b", "t", now, replies), fencedAcquire("c", "t", now, replies)) // one is a script in any case
		for range 2 {
			if v := <-replies; v.Kind != instance.Ahead {
				t.Errorf("got %v, want that it is ahead", v)
			}
		}
		for _, key := range []string{"b", "c"} {
			if fence := s.Fence("", key); fence != 0 || s.Get(key) != "" {
				t.Errorf("%s: it has left the fence %d, and the lock %q", key, fence, s.Get(key))
			}
		}
	})
}

// When the connection breaks, nobody knows whether the first of two has raised the fence or found its own number there: only
// what the second has found counts.
func TestAFencedAcquireThatIsSentTwiceIsNotTrusted(t *testing.T) {
	for _, before := range []uint64{0, 500, 400} { // none is there, the very number, and a lower one
		t.Run(fmt.Sprint(before), func(t *testing.T) {
			actNative(t, func(*sim.Server) {}, func(t *testing.T, s *sim.Server, i *instance.Instance) {
				knowClock(t, i)
				s.SetFence("", "key", before)
				s.LoseReplies(true)
				reply := make(answer, 1)
				i.Post(fencedAcquire("key", "t", 500, reply))
				synctest.Wait()
				if got := s.Get("key"); got != "t" {
					t.Fatalf("the key has %q, want that the first has been heard", got)
				}
				s.LoseReplies(false)
				s.Break()
				if v := <-reply; v.Kind != instance.Stale || !v.Again || v.Fence != 500 {
					t.Errorf("got %v, with the fence %d, want it stale because of 500", v, v.Fence)
				}
			})
		})
	}
}

// Whoever may kill connections sends native commands, and others scripts; the fences are the same.
func TestFencesAreOneWhateverTheRights(t *testing.T) {
	a := startFenced(t)
	a.User("me", "pw", "~* +@all -client|kill")
	b := attend(t, &fenced{Server: a.Server, t: t}, strings.Replace(a.URL(), "unix://", "unix://me:pw@", 1))
	for n, c := range []struct {
		of    *fenced
		fence uint64
		want  instance.Kind
	}{
		{a, 5, instance.Granted},
		{b, 5, instance.Stale},
		{b, 6, instance.Granted},
		{a, 6, instance.Stale},
		{a, 7, instance.Granted},
		{b, 6, instance.Stale},
	} {
		if v := c.of.acquire("t", c.fence); v.Kind != c.want {
			t.Errorf("%d: %d: got %v, want %v", n, c.fence, v, c.want)
		}
		a.MustDo("DEL", "lock")
	}
	if calls := a.Calls("bitfield"); calls < 3 {
		t.Errorf("BITFIELD was called %d times", calls)
	}
}

// A node of a cluster that is named as a server on its own would have fences where those do not look who name the cluster.
func TestNodeOfAClusterThatIsNamedAsAServerIsNotFenced(t *testing.T) {
	s := redistest.StartCluster(t, 1, false).Masters[0]
	f := attend(t, &fenced{Server: s, t: t}, "redis://"+s.Addr())
	v := f.acquire("t", 5)
	f.says(v, instance.Refused)
	if !instance.IsRefusal(v.Err) || !strings.Contains(v.String(), "redis-cluster://") {
		t.Errorf("it does not say what to do: %v", v)
	}
	reply := make(answer, 1)
	f.instance.Post(acquireTo(reply, "t"))
	f.says(<-reply, instance.Granted) // without a fence
}
