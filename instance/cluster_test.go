package instance

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/holdfast-go/holdfast/internal/reach"
	"github.com/holdfast-go/holdfast/internal/resp"
	"github.com/holdfast-go/holdfast/internal/slots"
)

func TestBundlesTouchOneSlot(t *testing.T) {
	b := bundles{bySlot: true}
	var batch []Command
	for _, key := range []string{"{a}1", "{a}2", "{b}1", "{b}2", "{b}3", "{a}3"} {
		batch = append(batch, &Release{Key: key, Token: "t", To: new(votes)})
	}
	var sizes []int
	for _, c := range b.fold(new(sending), batch) {
		switch c := c.(type) {
		case *bundle:
			sizes = append(sizes, len(c.releases))
			for _, r := range c.releases {
				if slots.Of(r.Key) != slots.Of(c.releases[0].Key) {
					t.Errorf("%s is beside %s", r.Key, c.releases[0].Key)
				}
			}
		case *Release:
			sizes = append(sizes, 1)
		}
	}
	if !slices.Equal(sizes, []int{2, 3, 1}) {
		t.Errorf("bundles of %v", sizes)
	}
}

// newTestCluster is one with a map in which the nodes a, b and c share the slots,
// whose actors do not run.
func newTestCluster(t *testing.T) *cluster {
	t.Helper()
	whole, err := Dial("redis-cluster://a:1,b:1,c:1", Config{})
	if err != nil {
		t.Fatalf("Dial: %v", err)
	}
	c := whole.role.(*cluster)
	c.options = func(addr string) *redis.Options { return &redis.Options{Network: "tcp", Addr: addr} }
	c.dialer = func() reach.DialFunc { return new(net.Dialer).DialContext }
	c.set = NewSet([]*Instance{whole}, GuardAdaptive, time.Minute)
	c.start = func(n *node) {
		t.Cleanup(func() { _ = n.client.Close() })
		n.become(Up, nil)
	}
	t.Cleanup(func() { _ = whole.client.Close() })
	return c
}

func testView(owner func(slot int) string) *slots.Map {
	v := new(slots.Map)
	for slot := range v {
		v[slot] = owner(slot)
	}
	return v
}

func thirds(slot int) string { return string(rune('a'+slot*3/slots.Count)) + ":1" }

// renewVotes takes the votes of a Renew.
type renewVotes map[int]Kind

func (r renewVotes) CastRenewals(items []Renewal, votes []Vote) {
	for k, item := range items {
		r[item.Number] = votes[min(k, len(votes)-1)].Kind
	}
}

func TestRenewalsAreSplitBySlot(t *testing.T) {
	c := newTestCluster(t)
	got := make(renewVotes)
	var items []Renewal
	for _, key := range []string{"{foo}1", "{bar}1", "{foo}2", "hello", "{bar}2"} {
		items = append(items, Renewal{Number: len(items), Key: key, Token: "t", TTL: time.Second})
	}
	items = append(items, Renewal{Number: len(items), Key: "a}b", Token: "t", TTL: time.Second, Fencing: Fencing{Fence: 1}})
	c.whole.Post(&Renew{Items: items, To: got})
	if c.whole.mailbox.depth() != 3 || len(got) != 1 || got[5] != Refused {
		t.Fatalf("without a map %d parts wait, and there are votes %v", c.whole.mailbox.depth(), got)
	}
	c.apply(testView(thirds), nil)
	var keys [][]string
	for _, n := range c.masters() {
		for _, m := range n.mailbox.drain() {
			r := m.(*Renew)
			var of []string
			for _, item := range r.Items {
				of = append(of, item.Key)
			}
			r.To.CastRenewals(r.Items, []Vote{{Kind: Granted}})
			keys = append(keys, of)
		}
	}
	if want := [][]string{{"{bar}1", "{bar}2"}, {"hello"}, {"{foo}1", "{foo}2"}}; len(keys) != 3 || !sameParts(keys, want) {
		t.Errorf("parts %q, want %q", keys, want)
	}
	for k := range 5 {
		if got[k] != Granted {
			t.Errorf("item %d: %v", k, got[k])
		}
	}
}

func sameParts(a, b [][]string) bool {
	order := func(parts [][]string) []string {
		var all []string
		for _, p := range parts {
			all = append(all, fmt.Sprint(p))
		}
		slices.Sort(all)
		return all
	}
	return slices.Equal(order(a), order(b))
}

func TestFenceInAnotherSlotIsRefusedWithTheReason(t *testing.T) {
	c := newTestCluster(t)
	c.apply(testView(thirds), nil)
	got := new(votes)
	fenced := Fencing{Fence: 1}
	c.whole.Post(&Acquire{Key: "a}b", Token: "t", TTL: time.Second, Fencing: fenced, To: got})
	c.whole.Post(&Release{Key: "a}b", Token: "t", TTL: time.Second, Fencing: fenced, To: got})
	if kinds := got.kinds(); !slices.Equal(kinds, []Kind{Refused, Refused}) {
		t.Errorf("the votes are %v, want both refused", kinds)
	}
}

// What waits, for a map, for a move or to be asked again, is answered when the
// cluster is closed.
func TestClosedClusterAnswersEverything(t *testing.T) {
	c := newTestCluster(t)
	got := new(votes)
	for range 2 {
		c.delayed <- &routed{Command: &Inspect{Key: "k", To: got}}
	}
	c.next = &routed{Command: &Inspect{Key: "k", To: got}}
	c.whole.Post(&Inspect{Key: "k", To: got})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	c.whole.Run(ctx, c.set)
	c.whole.Post(&Inspect{Key: "k", To: got})
	if kinds := got.kinds(); !slices.Equal(kinds, slices.Repeat([]Kind{Unreachable}, 5)) {
		t.Errorf("the votes are %v, want all 5 unreachable", kinds)
	}
	if h := c.whole.Health(); h.State != Closed {
		t.Errorf("the cluster is %+v, want it closed", h)
	}
}

// A slot whose node is down is somebody else's without its memory, unless the node says itself, as the process that it
// was and a master still, that the slot has gone there: its writes stand still, and it is not dead.
func TestANodeThatIsDownMaySayThatItHasHandedOver(t *testing.T) {
	key := "hello" // of a
	gone := func(slot int) string {
		if slot == int(slots.Of(key)) {
			return "b:1"
		}
		return thirds(slot)
	}
	for name, test := range map[string]struct {
		word    slots.Word
		trusted bool
	}{
		"it says nothing":                  {slots.Word{}, false},
		"it says so":                       {slots.Word{RunID: "run", Map: testView(gone)}, true},
		"another process says so":          {slots.Word{RunID: "other", Map: testView(gone)}, false},
		"one that is no master says so":    {slots.Word{Map: testView(gone)}, false},
		"it says that the slot is its own": {slots.Word{RunID: "run", Map: testView(thirds)}, false},
	} {
		t.Run(name, func(t *testing.T) {
			c := newTestCluster(t)
			c.apply(testView(thirds), nil)
			a := c.slots[slots.Of(key)]
			a.mu.Lock()
			a.health.RunID = "run"
			a.mu.Unlock()
			a.actor.down(Vote{Kind: Unreachable, Err: reach.ErrNotDialed})
			c.apply(testView(gone), map[*node]word{a: {Word: test.word}})
			got := new(votes)
			c.whole.Post(&Acquire{Key: key, Token: "t", TTL: time.Second, GiveUp: time.Now().Add(time.Minute), To: got})
			if trusted := c.nodes["b:1"].mailbox.depth() == 1; trusted != test.trusted {
				t.Errorf("the slot's new node was asked for a new lock: %v, want %v; votes %v", trusted, test.trusted, got.kinds())
			}
		})
	}
}

// Valkey says why writes stand still: an operator reads that slots are migrating.
func TestWhyWritesStandStill(t *testing.T) {
	for reason, want := range map[string]string{
		"slot_migration_in_progress": "its writes stand still (slot_migration_in_progress): slots are migrating",
		"client_pause":               "its writes stand still (client_pause)",
	} {
		if got := (errStill{reason}).Error(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
		section := "# Clients\r\npaused_reason:" + reason + "\r\npaused_actions:write\r\n"
		if got := reach.ReadPause(section); got != reason {
			t.Errorf("ReadPause(%q) is %q", section, got)
		}
	}
	for _, section := range []string{"", "# Clients\r\nconnected_clients:1\r\n", "paused_reason:none\r\npaused_actions:none\r\n"} {
		if got := reach.ReadPause(section); got != "" {
			t.Errorf("ReadPause(%q) is %q, want nothing", section, got)
		}
	}
}

// A slot whose node is gone is somebody else's without its memory; one that a
// live node hands over is not.
func TestRestartGuardFollowsTheSlot(t *testing.T) {
	for _, alive := range []bool{true, false} {
		c := newTestCluster(t)
		c.apply(testView(thirds), nil)
		key := "hello" // of a
		a := c.slots[slots.Of(key)]
		got := new(votes)
		acquire := &Acquire{Key: key, Token: "t", TTL: time.Second, GiveUp: time.Now().Add(time.Minute), To: got}
		if alive {
			c.whole.Post(acquire)
			a.serveAs(t, fmt.Sprintf("MOVED %d b:1", slots.Of(key)))
		} else {
			a.actor.down(Vote{Kind: Unreachable, Err: reach.ErrNotDialed})
			c.apply(testView(func(slot int) string {
				if slot == int(slots.Of(key)) {
					return "b:1"
				}
				return thirds(slot)
			}), nil)
			c.whole.Post(acquire)
		}
		b := c.nodes["b:1"]
		if alive != (len(got.kinds()) == 0 && b.mailbox.depth() == 1) || !alive != slices.Equal(got.kinds(), []Kind{InQuarantine}) {
			t.Errorf("alive %v: votes %v, %d at the new node", alive, got.kinds(), b.mailbox.depth())
		}
	}
}

// However many slots a map takes away from a node, it is asked once whether what was
// posted to it is over.
func TestSlotsThatLeaveANodeTogetherHaveOneBarrier(t *testing.T) {
	c := newTestCluster(t)
	c.apply(testView(thirds), nil)
	a := c.nodes["a:1"]
	got := new(votes)
	acquire := &Acquire{Key: "hello", Token: "t", TTL: time.Second, GiveUp: time.Now().Add(time.Minute), To: got}
	c.whole.Post(acquire)
	c.apply(testView(func(slot int) string { return strings.Replace(thirds(slot), "a", "d", 1) }), nil)
	d := c.nodes["d:1"]
	if n := a.mailbox.depth(); n != 2 || d.mailbox.depth() != 0 {
		t.Errorf("%d messages wait at the old node, and %d at the new one", n, d.mailbox.depth())
	}
	a.serveAs(t, fmt.Sprintf("MOVED %d d:1", slots.Of("hello")))
	if c.owned[d] != slots.Count/3+1 || c.owned[a] != 0 || len(c.moves) != 0 || d.mailbox.depth() != 1 {
		t.Errorf("%d slots at the new node, %d at the old one; %d on their way; %d messages", c.owned[d], c.owned[a], len(c.moves), d.mailbox.depth())
	}
}

// A node that may not vote takes its slots' votes along.
func TestQuarantineMovesWithTheSlot(t *testing.T) {
	const key = "hello" // of a
	c := newTestCluster(t)
	c.apply(testView(thirds), nil)
	a := c.nodes["a:1"]
	a.abstention.until = time.Now().Add(time.Minute)
	got := new(votes)
	c.whole.Post(&Release{Key: key, Token: "t", TTL: time.Second, To: nobody{}})
	a.serveAs(t, fmt.Sprintf("MOVED %d b:1", slots.Of(key)))
	c.whole.Post(&Acquire{Key: key, Token: "t", TTL: time.Second, GiveUp: time.Now().Add(time.Minute), To: got})
	if b := c.nodes["b:1"]; c.slots[slots.Of(key)] != b || !slices.Equal(got.kinds(), []Kind{InQuarantine}) || b.mailbox.depth() != 1 {
		t.Errorf("votes %v, %d at the new node", got.kinds(), b.mailbox.depth())
	}
}

// A slot may go to another node, which restarts, and come back, before we have asked
// for anything in it: the map shows where it has been.
func TestRestartGuardFollowsASlotThatComesBackUnasked(t *testing.T) {
	const key = "hello" // of a
	for _, forgetful := range []bool{true, false} {
		c := newTestCluster(t)
		c.apply(testView(thirds), nil)
		if n := c.nodes["c:1"]; forgetful {
			n.abstention.until = time.Now().Add(time.Minute)
		}
		c.apply(testView(func(slot int) string {
			if slot == int(slots.Of(key)) {
				return "c:1"
			}
			return thirds(slot)
		}), nil)
		c.apply(testView(thirds), nil)
		got := new(votes)
		c.whole.Post(&Acquire{Key: key, Token: "t", TTL: time.Second, GiveUp: time.Now().Add(time.Minute), To: got})
		if a := c.nodes["a:1"]; forgetful != slices.Equal(got.kinds(), []Kind{InQuarantine}) || forgetful != (a.mailbox.depth() == 0) {
			t.Errorf("forgetful %v: votes %v, %d at the node", forgetful, got.kinds(), a.mailbox.depth())
		}
	}
}

// A lock may have moved to a node that we have not been able to reach since before it
// was acquired: its release is owed there all the same.
func TestReleaseIsOwedToANodeThatWasGivenTheLock(t *testing.T) {
	const key = "hello" // of a
	c := newTestCluster(t)
	c.apply(testView(thirds), nil)
	a, b := c.nodes["a:1"], c.nodes["b:1"]
	b.actor.down(Vote{Kind: Unreachable, Err: reach.ErrNotDialed})
	acquired := time.Now()
	c.whole.Post(&Release{Key: key, Token: "t", TTL: time.Second, Since: acquired, To: new(votes)})
	a.serveAs(t, fmt.Sprintf("MOVED %d b:1", slots.Of(key)))
	if owed := b.mailbox.takeDebts(); len(owed) != 1 || owed[0].token != "t" {
		t.Errorf("owed: %d", len(owed))
	}
}

// While a slot changes hands there are moments in which each of two nodes names the
// other. A release is asked again a little later, until its time is up; how long an
// acquire waits is the engine's part.
func TestNodesThatNameEachOtherDelayARelease(t *testing.T) {
	const key = "hello" // of a
	for name, c := range map[string]struct {
		message func(Caster) Command
		delayed int
		kinds   []Kind
	}{
		"release": {func(to Caster) Command { return &Release{Key: key, Token: "t", TTL: time.Second, To: to} }, 1, nil},
		"acquire": {func(to Caster) Command {
			return &Acquire{Key: key, Token: "t", TTL: time.Second, GiveUp: time.Now().Add(time.Minute), To: to}
		}, 0, []Kind{Refused}},
	} {
		t.Run(name, func(t *testing.T) {
			cl := newTestCluster(t)
			cl.apply(testView(thirds), nil)
			a, b := cl.nodes["a:1"], cl.nodes["b:1"]
			got := new(votes)
			cl.whole.Post(c.message(got))
			for range maxHops {
				a.serveAs(t, fmt.Sprintf("MOVED %d b:1", slots.Of(key)))
				b.serveAs(t, fmt.Sprintf("MOVED %d a:1", slots.Of(key)))
			}
			if kinds := got.kinds(); !slices.Equal(kinds, c.kinds) || len(cl.delayed) != c.delayed {
				t.Errorf("votes %v, want %v; %d delayed, want %d", kinds, c.kinds, len(cl.delayed), c.delayed)
			}
		})
	}
}

// serveAs answers what is in the mailbox, again and again, as the server would;
// barriers are let through.
func (i *Instance) serveAs(t *testing.T, says string) {
	t.Helper()
	s := &sending{actor: i.actor}
	for queue := i.mailbox.drain(); len(queue) > 0; queue = i.mailbox.drain() {
		for _, m := range queue {
			if b, ok := m.(*barrier); ok {
				b.readReply(s, nil)
				continue
			}
			if !i.role.refer(m, s, &resp.Reply{Kind: resp.Error, Text: []byte(says)}) {
				i.actor.refused(m, s.refusal(resp.ServerError(says)))
			}
		}
	}
}

// A node is looked up where it is connected to, not where it says it is.
func TestANodesAddressIsMappedBeforeItIsLookedUp(t *testing.T) {
	whole, err := Dial("redis-cluster://inside.example:1", Config{AddrMap: map[string]string{"inside.example:1": "outside.example:2"}})
	if err != nil {
		t.Fatalf("Dial: %v", err)
	}
	n := whole.role.(*cluster).unattached("inside.example:1")
	var asked string
	n.looks.Lookup = func(_ context.Context, host string) ([]netip.Addr, error) {
		asked = host
		return nil, nil
	}
	n.looks.Renamed(t.Context(), reach.Terminus{Addr: netip.MustParseAddr("192.0.2.1")})
	if asked != "outside.example" {
		t.Errorf("%q is looked up, want outside.example", asked)
	}
	for _, i := range []*Instance{whole, n} {
		_ = i.client.Close()
		i.tracker.Close()
	}
}
