package instance_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-go/holdfast/instance"
	"github.com/holdfast-go/holdfast/internal/redistest"
)

func (a answer) CastRenewals(_ []instance.Renewal, votes []instance.Vote) { a <- votes[0] }

// fenced is a real server, asked about one lock with fencing.
type fenced struct {
	*redistest.Server
	t        *testing.T
	instance *instance.Instance
}

const day = 24 * time.Hour

func startFenced(t *testing.T) *fenced {
	t.Helper()
	f := &fenced{Server: redistest.Start(t), t: t}
	i, err := instance.Dial(f.URL(), instance.Config{Timeout: 20 * time.Second})
	if err != nil {
		t.Fatalf("instance.Dial: %v", err)
	}
	if err := i.Claim(); err != nil {
		t.Fatalf("i.Claim: %v", err)
	}
	f.instance = i
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		i.Run(context.Background(), instance.NewSet([]*instance.Instance{i}, instance.GuardOff, 0))
	}()
	t.Cleanup(func() { i.Close(); <-ended })
	return f
}

func (f *fenced) fencing(fence uint64) instance.Fencing {
	return instance.Fencing{FenceKey: "fence", Fence: fence, FenceTTL: day, MaxAhead: time.Hour}
}

func (f *fenced) acquire(token string, fence uint64) instance.Vote {
	a := make(answer, 1)
	f.instance.Post(&instance.Acquire{
		Key: "lock", Token: token, TTL: time.Hour, GiveUp: time.Now().Add(time.Hour), Fencing: f.fencing(fence), To: a,
	})
	return <-a
}

func (f *fenced) renew(token string, ttl time.Duration) instance.Vote {
	a := make(answer, 1)
	f.instance.Post(&instance.Renew{To: a, Items: []instance.Renewal{{Key: "lock", Token: token, TTL: ttl, Fencing: f.fencing(1)}}})
	return <-a
}

func (f *fenced) release(token string, fence uint64) instance.Vote {
	a := make(answer, 1)
	f.instance.Post(&instance.Release{Key: "lock", Token: token, TTL: time.Hour, Fencing: f.fencing(fence), To: a})
	return <-a
}

// says fails the test unless the vote is of this kind.
func (f *fenced) says(v instance.Vote, want instance.Kind) {
	f.t.Helper()
	if v.Kind != want {
		f.t.Errorf("%v, want %q", v, want)
	}
}

// What goes wrong in the obvious ways to fence, on a real server: each of these fails
// with one of the mutants of internal/mutants.

func TestAProposalThatIsSentTwiceIsGrantedTwice(t *testing.T) {
	f := startFenced(t)
	f.says(f.acquire("a", 5), instance.Granted)
	f.says(f.acquire("a", 5), instance.Granted) // as after a connection that broke before the answer
	f.says(f.acquire("a", 6), instance.Held)    // an earlier lease's token, not this proposal
	f.says(f.acquire("b", 6), instance.Held)
}

func TestAFenceIsNeverGivenTwiceNorALowerOneLater(t *testing.T) {
	f := startFenced(t)
	for _, c := range []struct {
		fence uint64
		want  instance.Kind
	}{
		{999, instance.Granted},
		{999, instance.Stale},
		{1000, instance.Granted}, // as texts it would be the other way round
		{999, instance.Stale},
		{1_790_000_000_123_456, instance.Granted}, // of these a Lua number's text loses digits
		{1_790_000_000_123_456, instance.Stale},
		{1_790_000_000_123_455, instance.Stale},
		{1_790_000_000_123_457, instance.Granted},
	} {
		f.says(f.acquire("t", c.fence), c.want)
		if c.want == instance.Granted {
			if got, want := f.Get("fence"), fmt.Sprint(c.fence); got != want {
				t.Errorf("the fence is %q, want %q", got, want)
			}
			f.Del("lock") // expired: the tombstone of a release is another matter
		}
	}
}

func TestAProposalFarAheadOfTheServersClockIsNotTakenOver(t *testing.T) {
	f := startFenced(t)
	v := f.acquire("t", uint64(time.Now().Add(2*time.Hour).UnixMicro()))
	f.says(v, instance.Ahead)
	if says := v.String(); !strings.Contains(says, " ahead of this server's clock") || !strings.Contains(says, "set the clocks") {
		t.Errorf("it does not say what to do: %s", says)
	}
	f.says(f.acquire("t", uint64(time.Now().UnixMicro())), instance.Granted)
}

func TestAReleaseLeavesATombstone(t *testing.T) {
	f := startFenced(t)
	f.says(f.release("late", 7), instance.Gone)
	f.says(f.acquire("late", 7), instance.Stale) // overtaken by its release
	f.says(f.acquire("next", 8), instance.Granted)
	f.says(f.release("late", 7), instance.Stolen)
	if got := f.Get("fence"); got != "8" {
		t.Errorf("the fence is %q, want 8", got)
	}
}

func TestAFenceOutlivesItsLock(t *testing.T) {
	f := startFenced(t)
	f.says(f.acquire("t", 5), instance.Granted)
	f.MustDo("PEXPIRE", "fence", "60000") // a day has nearly passed
	f.says(f.renew("t", time.Hour), instance.Granted)
	if left := f.PTTL("fence"); left < day-time.Hour {
		t.Errorf("the fence lives for another %v", left)
	}
	f.MustDo("PEXPIRE", "fence", "60000")
	f.says(f.release("t", 6), instance.Granted)
	if left := f.PTTL("fence"); left < day-time.Hour {
		t.Errorf("released, the fence lives for another %v", left)
	}
}

// A key that happens to be called as a fence holds what somebody else needs: to acquire is refused, and neither a release
// nor a renewal touches it. To Lua some of these are numbers.
func TestWhatSomebodyElseKeepsInTheFenceIsLeftAlone(t *testing.T) {
	f := startFenced(t)
	for _, value := range []string{"report", "0x10", "1e3", "-1", " 5", "12345678901234567", strings.Repeat("9", 4000)} {
		f.says(f.acquire("t", 5), instance.Granted)
		f.MustDo("SET", "fence", value)
		f.says(f.renew("t", time.Hour), instance.Granted)
		f.says(f.release("t", 5_000_000), instance.Granted)
		v := f.acquire("next", 6_000_000)
		f.says(v, instance.Refused)
		if v.Err == nil || !strings.HasPrefix(v.Err.Error(), "WRONGTYPE ") || len(v.String()) > 400 {
			t.Errorf("%.40q: an acquire is refused so: %v", value, v)
		}
		if got, left := f.Get("fence"), f.PTTL("fence"); got != value || left != -time.Millisecond {
			t.Errorf("%.40q has become %.40q, which lives for another %v", value, got, left)
		}
		f.MustDo("DEL", "fence", "lock")
	}
}

func TestALockIsReleasedThoughThereIsNoMemoryForItsFence(t *testing.T) {
	f := startFenced(t)
	f.says(f.acquire("t", 5), instance.Granted)
	f.Del("fence") // lost, so that the release has one to set
	f.MustDo("CONFIG", "SET", "maxmemory", "1")
	f.says(f.release("t", 5), instance.Granted)
	if holder := f.Get("lock"); holder != "" {
		t.Errorf("it is still held by %q", holder)
	}
	f.says(f.acquire("other", 6), instance.Refused)
}
