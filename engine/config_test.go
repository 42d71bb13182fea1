package engine

import (
	"context"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-go/holdfast/instance"
	"github.com/holdfast-go/holdfast/internal/slots"
)

func TestZeroConfigWorksAndHasTheDocumentedDefaults(t *testing.T) {
	c, err := Config{}.withDefaults()
	if err != nil {
		t.Fatalf("withDefaults: %v", err)
	}
	if c.TTL != 10*time.Second || c.RenewEvery != c.TTL/3 || c.DriftFactor != 0.01 || c.MaxTTL != time.Minute ||
		c.InstanceTimeout != 500*time.Millisecond || c.MaxWaiters != 65536 || c.Tries != 0 || c.KeyPrefix != "" || c.Owner != "" ||
		c.Guard != instance.GuardAdaptive || c.Logger == nil || c.Trace == nil || c.Backoff == nil {
		t.Errorf("the defaults: got %+v", c)
	}
	if v := c.validity(c.TTL); v != 9898*time.Millisecond {
		t.Errorf("valid for %v", v)
	}
	if q := c.quarantine(time.Second); q != time.Minute+time.Second+600*time.Millisecond+2*time.Millisecond {
		t.Errorf("quarantine %v", q)
	}
	if b, other := c.Backoff(), c.Backoff(); b == other || b.NextBackOff() <= 0 {
		t.Error("the backoff is shared, or stops at once")
	}
}

func TestDefaultBackoffIsRandomBoundedAndNeverStops(t *testing.T) {
	b := defaultBackoff()
	for n := range 1000 {
		if d := b.NextBackOff(); d <= 0 || d > 256*time.Millisecond {
			t.Fatalf("pause %d is %v", n, d)
		}
	}
}

func TestBadConfigIsRefusedWithTheFieldsName(t *testing.T) {
	for _, c := range []struct {
		cfg   Config
		names []string
	}{
		{Config{TTL: -1}, []string{"TTL"}},
		{Config{TTL: time.Microsecond}, []string{"TTL"}},
		{Config{TTL: time.Second + 1}, []string{"TTL"}},
		{Config{TTL: time.Minute + time.Millisecond}, []string{"TTL", "MaxTTL"}},
		{Config{TTL: time.Second, MaxTTL: 500 * time.Millisecond}, []string{"TTL", "MaxTTL"}},
		{Config{MaxTTL: -1}, []string{"MaxTTL"}},
		{Config{RenewEvery: -1}, []string{"RenewEvery"}},
		{Config{RenewEvery: 10 * time.Second}, []string{"RenewEvery", "TTL"}},
		{Config{TTL: time.Second, RenewEvery: 988 * time.Millisecond}, []string{"RenewEvery", "TTL"}},
		{Config{DriftFactor: -0.1}, []string{"DriftFactor"}},
		{Config{DriftFactor: 1}, []string{"DriftFactor"}},
		{Config{DriftFactor: math.NaN()}, []string{"DriftFactor"}},
		{Config{DriftFactor: math.Inf(1)}, []string{"DriftFactor"}},
		{Config{DriftFactor: 0.9}, []string{"RenewEvery"}},
		{Config{Tries: -1}, []string{"Tries"}},
		{Config{InstanceTimeout: time.Microsecond}, []string{"InstanceTimeout"}},
		{Config{InstanceTimeout: -time.Second}, []string{"InstanceTimeout"}},
		{Config{MaxWaiters: -1}, []string{"MaxWaiters"}},
		{Config{KeyPrefix: strings.Repeat("x", 1025)}, []string{"KeyPrefix"}},
		{Config{Owner: "a~b"}, []string{"Owner"}},
		{Config{Owner: "a\nb"}, []string{"Owner"}},
		{Config{Owner: "ö"}, []string{"Owner"}},
		{Config{Owner: strings.Repeat("x", 129)}, []string{"Owner"}},
		{Config{Guard: 3}, []string{"Guard"}},
		{Config{Tries: -1, Guard: 3, TTL: -1}, []string{"Tries", "Guard", "TTL"}},
	} {
		_, err := New(instances(t, 1), c.cfg)
		if err == nil {
			t.Errorf("%+v is accepted", c.cfg)
			continue
		}
		for _, name := range c.names {
			if !strings.Contains(err.Error(), name) {
				t.Errorf("%v does not name %s", err, name)
			}
		}
	}
}

func TestGoodConfigIsAccepted(t *testing.T) {
	for _, c := range []Config{
		{TTL: time.Millisecond},
		{TTL: 10 * time.Millisecond},
		{TTL: time.Minute},
		{TTL: time.Hour, MaxTTL: time.Hour},
		{TTL: time.Second, RenewEvery: 987 * time.Millisecond},
		{Tries: 1, Owner: "a host, a job & a person", KeyPrefix: "any\x00bytes", Guard: instance.GuardOff},
	} {
		if _, err := c.withDefaults(); err != nil {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

func TestSetOfInstancesIsChecked(t *testing.T) {
	two := instances(t, 2)
	for _, bad := range [][]*instance.Instance{nil, {}, {nil}, {two[0], nil}, {two[0], two[0]}} {
		if _, err := New(bad, Config{}); err == nil {
			t.Errorf("%v is accepted", bad)
		}
	}
}

func TestBadRequestsAreRefusedWithTheOptionsName(t *testing.T) {
	cfg, err := Config{}.withDefaults()
	if err != nil {
		t.Fatalf("withDefaults: %v", err)
	}
	e := &Engine{cfg: cfg}
	for _, c := range []struct {
		resource string
		opts     []Option
		want     string
	}{
		{"", nil, "empty"},
		{strings.Repeat("x", 1025), nil, "1025"},
		{"r", []Option{WithTTL(0)}, "WithTTL"},
		{"r", []Option{WithTTL(-time.Second)}, "WithTTL"},
		{"r", []Option{WithTTL(time.Second + 1)}, "WithTTL"},
		{"r", []Option{WithTTL(time.Hour)}, "MaxTTL"},
		{"r", []Option{WithTries(-1)}, "WithTries"},
		{"r", []Option{WithMaxHold(0)}, "WithMaxHold"},
		{"r", []Option{WithMaxHold(time.Microsecond)}, "WithMaxHold"},
		{"r", []Option{WithWait(0)}, "WithWait"},
		{"r", []Option{WithWait(-time.Second)}, "WithWait"},
		{"r", []Option{WithToken("")}, "token"},
		{"r", []Option{WithToken(strings.Repeat("x", 1025))}, "token"},
		{"", []Option{WithTTL(0), WithTries(-1)}, "WithTries"},
	} {
		_, err := e.Acquire(t.Context(), c.resource, c.opts...)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%.10q: %v, want it to say %s", c.resource, err, c.want)
		}
		if _, err := e.TryAcquire(t.Context(), c.resource, c.opts...); err == nil {
			t.Errorf("%.10q is accepted by TryAcquire", c.resource)
		}
		if _, err := e.Adopt(t.Context(), c.resource, "", c.opts...); err == nil {
			t.Errorf("%.10q is accepted by Adopt", c.resource)
		}
		if err := e.Do(t.Context(), c.resource, func(context.Context) error { return nil }, c.opts...); err == nil {
			t.Errorf("%.10q is accepted by Do", c.resource)
		}
		if err := e.TryDo(t.Context(), c.resource, func(context.Context) error { return nil }, c.opts...); err == nil {
			t.Errorf("%.10q is accepted by TryDo", c.resource)
		}
	}
	if _, err := e.Adopt(t.Context(), "r", "token", WithFencing()); err == nil || !strings.Contains(err.Error(), "WithFencing") {
		t.Errorf("adopted with a fence: %v", err)
	}
	for _, resource := range []string{"", strings.Repeat("x", 1025)} {
		if _, err := e.Inspect(t.Context(), resource); err == nil {
			t.Errorf("%.10q is accepted by Inspect", resource)
		}
	}
}

func TestOptionsSayHowOneAcquireDiffers(t *testing.T) {
	cfg, err := Config{KeyPrefix: "prefix:", Tries: 4}.withDefaults()
	if err != nil {
		t.Fatalf("withDefaults: %v", err)
	}
	e := &Engine{cfg: cfg}
	r, err := e.request("acquire", "r", nil)
	if err != nil || r.key != "prefix:r" || r.ttl != cfg.TTL || r.tries != 4 || !r.renew || r.fencing || r.token != "" || r.maxHold != 0 || r.wait != 0 {
		t.Errorf("without options: got %+v, %v, want what the Config says", r, err)
	}
	r, err = e.request("acquire", "r", []Option{WithTTL(time.Second), WithoutRenewal(), WithToken("t"), WithTries(0), WithFencing(), WithMaxHold(time.Minute), WithWait(time.Hour)})
	if err != nil || r.ttl != time.Second || r.tries != 0 || r.renew || !r.fencing || r.token != "t" || r.maxHold != time.Minute || r.wait != time.Hour {
		t.Errorf("with options: got %+v, %v, want what they say", r, err)
	}
}

func TestTokensAreFreshAndNameTheirOwner(t *testing.T) {
	seen := map[string]bool{}
	for _, owner := range []string{"", "a host, a job", strings.Repeat("x", maxOwner)} {
		mine, theirs := newTokens(owner), newTokens(owner)
		for range 1000 {
			token := mine.fresh()
			if seen[token] || len(token[strings.LastIndexByte(token, '~')+1:]) != 26 || ownerOf(token) != owner {
				t.Fatalf("got the token %q, want a new one: the owner, ~ and 26 characters", token)
			}
			if !mine.made(token) || theirs.made(token) || newTokens("else").made(token) {
				t.Fatalf("%q is taken for somebody else's", token)
			}
			seen[token] = true
		}
	}
	for token, want := range map[string]string{"": "", "aioredlock-token": "", "~x": "", "a~b~c": "", "ö~x": "", "me~": "me", "a\nb~x": ""} {
		if got := ownerOf(token); got != want {
			t.Errorf("the owner of %q is %q", token, got)
		}
	}
}

// slotPart is what Redis Cluster hashes: the text between the first { and the
// next }, if there is any, else the whole key.
func slotPart(key string) string {
	if _, behind, ok := strings.Cut(key, "{"); ok {
		if tag, _, ok := strings.Cut(behind, "}"); ok && tag != "" {
			return tag
		}
	}
	return key
}

func TestFenceKeyIsAnotherKeyInTheSameSlotAndBeginsWithThePrefix(t *testing.T) {
	seen := map[string]string{}
	for _, prefix := range []string{"", "app:", "{app}:"} {
		for _, resource := range []string{"r", "a:b", "{tag}r", "r{tag}", "r{tag}x{y}", "{a}{b}", "r{", "{", "a{b", "{{tag}}"} {
			key := prefix + resource
			fence := slots.Beside(prefix, slots.Fence, key)
			if fence == key || !strings.HasPrefix(fence, prefix) {
				t.Errorf("the fence of %q is %q", key, fence)
			}
			if slotPart(fence) != slotPart(key) {
				t.Errorf("the fence of %q is %q, in the slot of %q instead of %q", key, fence, slotPart(fence), slotPart(key))
			}
			if other, taken := seen[fence]; taken {
				t.Errorf("%q and %q have the same fence", key, other)
			}
			seen[fence] = key
		}
	}
}

func TestKeyPrefixWithABraceIsAHashTagOrRefused(t *testing.T) {
	for prefix, good := range map[string]bool{"app:": true, "{app}": true, "a{b}c{": true, "p{": false, "p}": false, "{}": false, "}{a}": false} {
		if _, err := (Config{KeyPrefix: prefix}).withDefaults(); (err == nil) != good {
			t.Errorf("the prefix %q: got %v, want it accepted: %v", prefix, err, good)
		}
	}
}

func TestProposalIsAboveEverythingSeenAndWithinItsBounds(t *testing.T) {
	start := time.UnixMicro(1_790_000_000_000_000)
	for _, c := range []struct {
		seen, clock, want uint64
	}{
		{0, 0, 1_790_000_000_000_000},
		{5, 0, 1_790_000_000_000_000},
		{1_790_000_000_000_000, 0, 1_790_000_000_000_001},
		{1_790_000_000_000_007, 0, 1_790_000_000_000_008},
		{5, 100, 100},
		{500, 100, 501},
		{instance.MaxFence, 0, instance.MaxFence},
		{math.MaxUint64 - 1, 0, instance.MaxFence},
	} {
		r := request{fencing: true, key: "r", seen: c.seen, clock: c.clock, maxTTL: time.Minute}
		f := r.propose("p:", start)
		if f.Fence != c.want || f.Prefix != "p:" || f.FenceTTL != fenceTTL || f.MaxAhead != 30*time.Second {
			t.Errorf("seen %d, clock %d: %+v", c.seen, c.clock, f)
		}
	}
	r := request{key: "r"}
	if r.propose("", start) != (instance.Fencing{}) {
		t.Error("a proposal without fencing")
	}
}

func TestProposalIsRepeatedOnlyWhenNothingButNumbersStoodInTheWay(t *testing.T) {
	for _, c := range []struct {
		name  string
		votes []instance.Vote
		again bool
		seen  uint64
		clock uint64
	}{
		{"stale", []instance.Vote{{Kind: instance.Granted}, {Kind: instance.Stale, Fence: 9}}, true, 9, 0},
		{"its own number is behind the undo, too", []instance.Vote{{Kind: instance.Stale, Fence: 7}, {}}, true, 8, 0},
		{"a number that is ahead is not learnt", []instance.Vote{{Kind: instance.Ahead, Fence: 5}, {}}, true, 0, 5},
		{"stale, several", []instance.Vote{{Kind: instance.Stale, Fence: 7}, {Kind: instance.Stale, Fence: 9}, {Kind: instance.Stale, Fence: 8}}, true, 9, 0},
		{"held", []instance.Vote{{Kind: instance.Held, Fence: 9}}, false, 9, 0},
		{"held and stale", []instance.Vote{{Kind: instance.Held, Fence: 5}, {Kind: instance.Stale, Fence: 9}}, false, 9, 0},
		{"ahead: the slowest clock counts", []instance.Vote{{Kind: instance.Ahead, Fence: 200}, {Kind: instance.Ahead, Fence: 100}}, true, 0, 100},
		{"unreachable", []instance.Vote{{Kind: instance.Unreachable}, {Kind: instance.TimedOut}}, false, 0, 0},
		{"won", []instance.Vote{{Kind: instance.Granted}}, false, 8, 0},
	} {
		r := request{fencing: true, proposed: 8}
		if again := r.learn(c.votes); again != c.again || r.seen != c.seen || r.clock != c.clock {
			t.Errorf("%s: again %v, seen %d, clock %d", c.name, again, r.seen, r.clock)
		}
	}
}

func TestStatusIsDecidedByAMajorityAndOnlyIfTheSilentCannotChangeIt(t *testing.T) {
	for _, c := range []struct {
		votes   string // a letter is a holder, . is free, ? did not answer
		decided bool
		holder  string
	}{
		{"a", true, "a"},
		{".", true, ""},
		{"?", false, ""},

		{"aaa", true, "a"},
		{"aa.", true, "a"},
		{"aa?", true, "a"},
		{"aab", true, "a"},
		{"a..", true, ""},
		{"ab.", true, ""},
		{"abc", true, ""},
		{"...", true, ""},
		{"..?", true, ""},
		{"a.?", false, ""},
		{"ab?", false, ""},
		{".??", false, ""},
		{"a??", false, ""},
		{"???", false, ""},

		{"aa", true, "a"},
		{"a.", true, ""},
		{"a?", false, ""},
		{".?", true, ""},
		{"aaa.", true, "a"},
		{"aa..", true, ""},
		{"aabb", true, ""},
		{"aab?", false, ""},
		{"aa??", false, ""},
		{"a..?", true, ""},
		{"..??", true, ""},

		{"aaa??", true, "a"},
		{"aa.??", false, ""},
		{"a..??", false, ""},
		{"...??", true, ""},
		{"aabb?", false, ""},
		{"aab..", true, ""},
		{"abcde", true, ""},
		{"abc??", false, ""},
		{"..???", false, ""},
	} {
		var s Status
		for n, letter := range c.votes {
			v := instance.Vote{Kind: instance.Held, Holder: string(letter), Left: time.Duration(n+1) * time.Second}
			switch letter {
			case '.':
				v = instance.Vote{Kind: instance.Free}
			case '?':
				v = instance.Vote{Kind: []instance.Kind{instance.Unreachable, instance.TimedOut, instance.Busy, instance.Refused}[n%4]}
			}
			s.Votes = append(s.Votes, v)
		}
		decided := s.count(quorum(len(s.Votes)))
		if decided != c.decided || s.Held != (c.holder != "") || s.Token != c.holder {
			t.Errorf("%s: decided %v, held %v by %q", c.votes, decided, s.Held, s.Token)
		}
	}
}

func TestRemainingIsUntilAMajorityNoLongerHasTheHolder(t *testing.T) {
	for _, c := range []struct {
		left []time.Duration
		need int
		want time.Duration
	}{
		{[]time.Duration{5}, 1, 5},
		{[]time.Duration{1, 3, 2}, 2, 2},
		{[]time.Duration{5, 1}, 2, 1},
		{[]time.Duration{1, 2, 3, 4, 5}, 3, 3},
		{[]time.Duration{-1, -1, 3}, 2, -1}, // never expires
		{[]time.Duration{-1, 7, 3}, 2, 7},
		{[]time.Duration{3, -1, 7}, 3, 3},
		{[]time.Duration{math.MaxInt64, 1}, 1, math.MaxInt64},
	} {
		if got := majorityEnds(append([]time.Duration(nil), c.left...), c.need); got != c.want {
			t.Errorf("%v, need %d: %v, want %v", c.left, c.need, got, c.want)
		}
	}
}

func TestStatusIsOneLineWithoutTheToken(t *testing.T) {
	s := Status{Resource: "a\nb", Held: true, Token: "me~ABCDEFGHIJKLMNOP", Owner: "me", Remaining: 1500 * time.Millisecond}
	for _, text := range []string{s.String(), fmt.Sprintf("%v %+v %#v", s, s, s)} {
		if strings.Contains(text, "ABCDEF") || strings.Contains(text, "\n") || !strings.Contains(text, "me~ABCD") || !strings.Contains(text, "1.5s") {
			t.Errorf("want one line with me~ABCD, 1.5s and no more of the token, got %s", text)
		}
	}
	if text := (Status{Resource: "r"}).String(); text != `"r" is free` {
		t.Errorf("got %q, want %q", text, `"r" is free`)
	}
}

// noPermission is a server's error.
type noPermission struct{}

func (noPermission) Error() string { return "NOPERM this user has no permissions" }
func (noPermission) RedisError()   {}

func TestRefusalSaysHeldOnlyWhenThoseWhoCanVoteWouldHaveBeenEnough(t *testing.T) {
	const (
		g, h, u, m = instance.Granted, instance.Held, instance.Unreachable, instance.Refused
		r, s       = instance.InQuarantine, instance.Stale
		f          = instance.Kind(100) // refused, for good
	)
	for _, c := range []struct {
		kinds []instance.Kind
		want  error
	}{
		{[]instance.Kind{h}, ErrHeld},
		{[]instance.Kind{u}, ErrNoQuorum},
		{[]instance.Kind{h, h, h}, ErrHeld},
		{[]instance.Kind{h, g, u}, ErrHeld},
		{[]instance.Kind{h, h, u}, ErrHeld},
		{[]instance.Kind{h, u, u}, ErrNoQuorum},
		{[]instance.Kind{h, r, r}, ErrNoQuorum},
		{[]instance.Kind{h, m, m}, ErrNoQuorum},
		{[]instance.Kind{h, s, u}, ErrHeld},
		{[]instance.Kind{g, u, u}, ErrNoQuorum},
		{[]instance.Kind{g, g, g}, ErrNoQuorum}, // too late
		{[]instance.Kind{h, h, u, u, u}, ErrNoQuorum},
		{[]instance.Kind{h, f, f}, ErrRefused},
		{[]instance.Kind{g, g, f}, ErrNoQuorum}, // too late
		{[]instance.Kind{u, u, f}, ErrNoQuorum},
		{[]instance.Kind{u, f, f}, ErrRefused},
		{[]instance.Kind{h, g, f}, ErrHeld},
		{[]instance.Kind{h, h, f, f}, ErrRefused},
		{[]instance.Kind{f}, ErrRefused},
		{[]instance.Kind{h, g, g, u, u}, ErrHeld},
	} {
		e := &Engine{need: quorum(len(c.kinds))}
		var votes []instance.Vote
		for _, k := range c.kinds {
			v := instance.Vote{Kind: k}
			if k == f {
				v = instance.Vote{Kind: m, Err: noPermission{}}
			}
			votes = append(votes, v)
		}
		for _, decided := range []bool{true, false} {
			if q := e.refusal("acquire", "r", votes, decided); q.reason != c.want { // the bare sentinel
				t.Errorf("%v, decided %v: %v, want %v", c.kinds, decided, q.reason, c.want)
			}
		}
	}
}
