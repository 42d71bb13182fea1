package instance_test

import (
	"context"
	"strconv"
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
	t         *testing.T
	instance  *instance.Instance
	inCluster bool
}

const day = 24 * time.Hour

// each runs a test on each way to fence: by native commands, by a script on the same table, and beside the lock in a cluster.
func each(t *testing.T, test func(t *testing.T, f *fenced)) {
	for name, start := range map[string]func(*testing.T) *fenced{"native": startFenced, "script": startScripted, "cluster": startClustered} {
		t.Run(name, func(t *testing.T) { test(t, start(t)) })
	}
}

// startFenced has it fenced by native commands, once the instance knows the server's clock.
func startFenced(t *testing.T) *fenced {
	t.Helper()
	s := redistest.Start(t)
	return attend(t, &fenced{Server: s, t: t}, s.URL())
}

// startScripted has it fenced by scripts, since no connection may be killed.
func startScripted(t *testing.T) *fenced {
	t.Helper()
	s := redistest.Start(t)
	s.User("me", "pw", "~* +@all -client|kill")
	return attend(t, &fenced{Server: s, t: t}, strings.Replace(s.URL(), "unix://", "unix://me:pw@", 1))
}

func startClustered(t *testing.T) *fenced {
	t.Helper()
	s := redistest.StartCluster(t, 1, false).Masters[0]
	return attend(t, &fenced{Server: s, t: t, inCluster: true}, "redis-cluster://"+s.Addr())
}

func attend(t *testing.T, f *fenced, url string) *fenced {
	t.Helper()
	i, err := instance.Dial(url, instance.Config{Timeout: 20 * time.Second})
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
	if !f.inCluster {
		f.says(f.renew("nobody's", time.Hour), instance.Gone) // its answer shows the server's clock
	}
	return f
}

// fence is the highest fence of the lock.
func (f *fenced) fence() uint64 {
	if f.inCluster {
		n, _ := strconv.ParseUint(f.Get("fence:{lock}"), 10, 64)
		return n
	}
	return f.Fence("", "lock")
}

// lose has the server forget the fences.
func (f *fenced) lose() { f.Do("DEL", "fence:{lock}"); f.Do("DEL", "fences:1") }

func (f *fenced) fencing(fence uint64) instance.Fencing {
	return instance.Fencing{Fence: fence, FenceTTL: day, MaxAhead: time.Hour}
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
	f := startClustered(t)
	f.says(f.acquire("a", 5), instance.Granted)
	f.says(f.acquire("a", 5), instance.Granted) // as after a connection that broke before the answer
	f.says(f.acquire("a", 6), instance.Held)    // an earlier lease's token, not this proposal
	f.says(f.acquire("b", 6), instance.Held)
}

func TestAFenceIsNeverGivenTwiceNorALowerOneLater(t *testing.T) {
	each(t, func(t *testing.T, f *fenced) {
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
			before := f.fence()
			v := f.acquire("t", c.fence)
			f.says(v, c.want)
			if v.Kind == instance.Stale && v.Fence != before {
				t.Errorf("%d is refused because of %d, want %d", c.fence, v.Fence, before)
			}
			if got, want := f.fence(), max(before, c.fence); got != want {
				t.Errorf("the fence is %d, want %d", got, want)
			}
			f.Do("DEL", "lock") // expired, or undone: the tombstone of a release is another matter
		}
	})
}

// Where it is refused because somebody has the lock, a native acquire has raised the fence all the same.
func TestARefusedAcquireLearnsTheFence(t *testing.T) {
	each(t, func(t *testing.T, f *fenced) {
		f.says(f.acquire("a", 500), instance.Granted)
		f.says(f.acquire("b", 400), instance.Held)
		for _, fence := range []uint64{400, 600} {
			v := f.acquire("b", fence)
			f.says(v, instance.Held)
			if v.Holder != "a" || v.Fence != f.fence() || f.fence() < 500 || f.fence() > max(fence, 500) {
				t.Errorf("%d is refused by %q with the fence %d, want a, and %d", fence, v.Holder, v.Fence, f.fence())
			}
		}
	})
}

func TestAProposalFarAheadOfTheServersClockIsNotTakenOver(t *testing.T) {
	each(t, func(t *testing.T, f *fenced) {
		v := f.acquire("t", uint64(time.Now().Add(2*time.Hour).UnixMicro()))
		f.says(v, instance.Ahead)
		if says := v.String(); !strings.Contains(says, " ahead of this server's clock") || !strings.Contains(says, "set the clocks") {
			t.Errorf("it does not say what to do: %s", says)
		}
		if clock := time.UnixMicro(int64(v.Fence)); time.Since(clock).Abs() > time.Minute {
			t.Errorf("the server's clock shows %v", clock)
		}
		if f.fence() != 0 || f.Get("lock") != "" {
			t.Errorf("it has left the fence %d, and the lock %q", f.fence(), f.Get("lock"))
		}
		f.says(f.acquire("t", uint64(time.Now().UnixMicro())), instance.Granted)
	})
}

func TestAReleaseLeavesATombstone(t *testing.T) {
	each(t, func(t *testing.T, f *fenced) {
		f.says(f.release("late", 7), instance.Gone)
		f.says(f.acquire("late", 7), instance.Stale) // overtaken by its release
		f.Do("DEL", "lock")                          // undone
		f.says(f.acquire("next", 8), instance.Granted)
		f.says(f.release("late", 7), instance.Stolen)
		if got := f.fence(); got != 8 {
			t.Errorf("the fence is %d, want 8", got)
		}
	})
}

// What a script refuses for its fence leaves no lock: no release need follow it.
func TestAStaleScriptLeavesNothing(t *testing.T) {
	for _, start := range []func(*testing.T) *fenced{startScripted, startClustered} {
		f := start(t)
		f.says(f.acquire("a", 5), instance.Granted)
		f.MustDo("DEL", "lock")
		f.says(f.acquire("b", 5), instance.Stale)
		if holder := f.Get("lock"); holder != "" {
			t.Errorf("it is held by %q", holder)
		}
	}
}

func TestAFenceOutlivesItsLock(t *testing.T) {
	f := startClustered(t)
	f.says(f.acquire("t", 5), instance.Granted)
	f.MustDo("PEXPIRE", "fence:{lock}", "60000") // a day has nearly passed
	f.says(f.renew("t", time.Hour), instance.Granted)
	if left := f.PTTL("fence:{lock}"); left < day-time.Hour {
		t.Errorf("the fence lives for another %v", left)
	}
	f.MustDo("PEXPIRE", "fence:{lock}", "60000")
	f.says(f.release("t", 6), instance.Granted)
	if left := f.PTTL("fence:{lock}"); left < day-time.Hour {
		t.Errorf("released, the fence lives for another %v", left)
	}
}

func TestATableOfFencesHasNoEnd(t *testing.T) {
	for _, start := range []func(*testing.T) *fenced{startFenced, startScripted} {
		f := start(t)
		f.says(f.acquire("t", 5), instance.Granted)
		f.says(f.renew("t", time.Hour), instance.Granted)
		f.says(f.release("t", 5), instance.Granted)
		if left := f.PTTL("fences:1"); left != -time.Millisecond {
			t.Errorf("the table lives for another %v", left)
		}
	}
}

// A key that happens to be called as a fence holds what somebody else needs: to acquire is refused, and neither a release
// nor a renewal touches it. To Lua some of these are numbers.
func TestWhatSomebodyElseKeepsInTheFenceIsLeftAlone(t *testing.T) {
	f := startClustered(t)
	for _, value := range []string{"report", "0x10", "1e3", "-1", " 5", "12345678901234567", strings.Repeat("9", 4000)} {
		f.says(f.acquire("t", 5), instance.Granted)
		f.MustDo("SET", "fence:{lock}", value)
		f.says(f.renew("t", time.Hour), instance.Granted)
		f.says(f.release("t", 5_000_000), instance.Granted)
		v := f.acquire("next", 6_000_000)
		f.says(v, instance.Refused)
		if v.Err == nil || !strings.HasPrefix(v.Err.Error(), "WRONGTYPE ") || len(v.String()) > 400 {
			t.Errorf("%.40q: an acquire is refused so: %v", value, v)
		}
		if got, left := f.Get("fence:{lock}"), f.PTTL("fence:{lock}"); got != value || left != -time.Millisecond {
			t.Errorf("%.40q has become %.40q, which lives for another %v", value, got, left)
		}
		f.MustDo("DEL", "fence:{lock}", "lock")
	}
}

// The same where all fences are in one table: text is no number of ours, nor is what is no string at all.
func TestWhatSomebodyElseKeepsInTheTableIsLeftAlone(t *testing.T) {
	for _, start := range []func(*testing.T) *fenced{startFenced, startScripted} {
		f := start(t)
		value := strings.Repeat("report ", 65536)
		for _, spoil := range []func(){
			func() { f.MustDo("SET", "fences:1", value) },
			func() { f.MustDo("LPUSH", "fences:1", "x") },
		} {
			f.says(f.acquire("t", 5), instance.Granted)
			f.lose()
			spoil()
			f.says(f.renew("t", time.Hour), instance.Granted)
			f.says(f.release("t", 5_000_000), instance.Granted)
			v := f.acquire("next", 6_000_000)
			f.says(v, instance.Refused)
			if v.Err == nil || !strings.HasPrefix(v.Err.Error(), "WRONGTYPE ") || len(v.String()) > 400 {
				t.Errorf("an acquire is refused so: %v", v)
			}
			if kind := f.MustDo("TYPE", "fences:1"); kind == "string" && f.Get("fences:1") != value {
				t.Error("the value has changed")
			}
			f.Do("DEL", "lock")
			f.lose()
		}
	}
}

func TestALockIsReleasedThoughThereIsNoMemoryForItsFence(t *testing.T) {
	each(t, func(t *testing.T, f *fenced) {
		f.says(f.acquire("t", 5), instance.Granted)
		f.lose() // so that the release has one to set
		f.MustDo("CONFIG", "SET", "maxmemory", "1")
		f.says(f.release("t", 5), instance.Granted)
		if holder := f.Get("lock"); holder != "" {
			t.Errorf("it is still held by %q", holder)
		}
		f.says(f.acquire("other", 6), instance.Refused)
	})
}
