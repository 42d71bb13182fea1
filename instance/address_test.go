package instance

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/holdfast-go/holdfast/internal/redistest"
)

func TestAnAddressThatLeadsBackLeadsToSeveralServers(t *testing.T) {
	type sight struct {
		at         time.Duration
		runID      string
		took       time.Duration
		wantsSplit bool
	}
	for name, sights := range map[string][]sight{
		"one":                                {{0, "a", 0, false}, {time.Hour, "a", 0, false}},
		"a move":                             {{0, "a", 0, false}, {5, "b", 0, false}, {6, "b", 0, false}},
		"a restart after the other":          {{0, "a", 0, false}, {1, "b", 0, false}, {2, "c", 0, false}, {3, "d", 0, false}},
		"two by turns":                       {{0, "a", 0, false}, {1, "b", 0, false}, {2, "a", 0, true}, {3, "a", 0, true}, {4, "b", 0, true}},
		"three by turns":                     {{0, "a", 0, false}, {1, "b", 0, false}, {2, "c", 0, false}, {3, "a", 0, true}},
		"a move, and back much later":        {{0, "a", 0, false}, {1, "b", 0, false}, {1 + splitFor, "a", 0, false}},
		"back after a long time with one":    {{0, "a", 0, false}, {time.Hour, "b", 0, false}, {time.Hour + 1, "a", 0, true}},
		"mended":                             {{0, "a", 0, false}, {1, "b", 0, false}, {2, "a", 0, true}, {1 + splitFor, "a", 0, true}, {2 + splitFor, "a", 0, false}},
		"a connection from before a move":    {{0, "a", 0, false}, {10, "b", 0, false}, {12, "a", 5, false}, {13, "b", 0, false}},
		"nothing is known":                   {{0, "a", 0, false}, {1, "b", 0, false}, {2, "", 0, false}},
		"begun at the very moment of a move": {{0, "a", 0, false}, {10, "b", 0, false}, {15, "a", 5, true}},
	} {
		var s seen
		start := time.Now()
		for n, x := range sights {
			now := start.Add(x.at)
			if err := s.saw("redis:6379", x.runID, now.Add(-x.took), now); errors.Is(err, errSplit) != x.wantsSplit {
				t.Errorf("%s: sight %d: %v", name, n, err)
			}
		}
	}
	var s seen
	start := time.Now()
	for n, x := range []struct{ at, runID string }{{"a:1", "a"}, {"b:1", "b"}, {"a:1", "a"}} { // sentinels that move the master there and back
		if err := s.saw(x.at, x.runID, start.Add(time.Duration(n)), start.Add(time.Duration(n))); err != nil {
			t.Error(err)
		}
	}
}

// places are where an address leads: each connection to the next of them.
type places struct {
	mu   sync.Mutex
	next int
	all  []*redistest.Server
}

func (p *places) are(all ...*redistest.Server) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.all = all
}

func (p *places) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	p.mu.Lock()
	s := p.all[p.next%len(p.all)]
	p.next++
	p.mu.Unlock()
	var d net.Dialer
	return d.DialContext(ctx, s.Network(), s.Addr())
}

// movable runs an instance whose address leads where p says. It looks every few
// milliseconds, and its quarantine takes an hour.
func movable(t *testing.T, p *places, prepare func(*Instance)) *Instance {
	t.Helper()
	i, err := Dial("redis://locks.example:6379", Config{Timeout: 5 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	i.dialer, i.lookup, i.looks = p.dial, nil, 5*time.Millisecond
	prepare(i)
	var running sync.WaitGroup
	running.Go(func() { i.Run(context.Background(), NewSet([]*Instance{i}, GuardAdaptive, time.Hour)) })
	t.Cleanup(func() { i.Close(); running.Wait() })
	<-i.Ready()
	return i
}

func runID(t *testing.T, s *redistest.Server) string {
	t.Helper()
	text, _ := s.MustDo("INFO", "server").(string)
	return fields(text)["run_id"]
}

func until(t *testing.T, what string, so func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !so(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within 20s: %s", what)
		}
	}
}

// The old server lives on, and the connection to it.
func TestAnAddressThatLeadsToAnotherServerIsFollowed(t *testing.T) {
	servers := redistest.StartN(t, 2)
	p := &places{all: servers[:1]}
	i := movable(t, p, func(*Instance) {})
	until(t, "pardoned", func() bool { return i.Health().State == Up })
	p.are(servers[1])
	until(t, "the instance is at the other server", func() bool { return i.Health().RunID == runID(t, servers[1]) })
	until(t, "and may not vote", func() bool { return i.Health().State == Quarantined })
	until(t, "nothing is left at the first", func() bool { return servers[0].Clients() == 0 })
}

func TestANameThatLeadsToAnotherAddressIsFollowed(t *testing.T) {
	here, elsewhere := netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("127.0.0.2")
	both := []netip.Addr{elsewhere, netip.AddrFrom16(here.As16())}
	old, other := redistest.StartTCP(t), redistest.StartTCP(t)
	old.User("dumb", "p", "~* +@all -info")
	for name, c := range map[string]struct {
		answer []netip.Addr
		err    error
		to     []*redistest.Server // where connections lead then
		unread bool                // INFO is not permitted
		moves  bool
	}{
		"another server":                        {answer: []netip.Addr{elsewhere}, to: []*redistest.Server{other}, moves: true},
		"another server, nothing is known of":   {answer: []netip.Addr{elsewhere}, to: []*redistest.Server{old}, unread: true, moves: true},
		"another address of the same":           {answer: []netip.Addr{elsewhere}, to: []*redistest.Server{old}},
		"one of several":                        {answer: both, to: []*redistest.Server{old}},
		"nowhere":                               {to: []*redistest.Server{old}, unread: true},
		"the look-up fails, with wrong answers": {answer: []netip.Addr{elsewhere}, err: errors.New("no such host"), to: []*redistest.Server{old}, unread: true},
	} {
		t.Run(name, func(t *testing.T) {
			p := &places{all: []*redistest.Server{old}}
			var lookups atomic.Int32
			var moved atomic.Bool
			i := movable(t, p, func(i *Instance) {
				if c.unread {
					opt := i.client.Options()
					opt.Username, opt.Password = "dumb", "p"
				}
				i.lookup = func(_ context.Context, host string) ([]netip.Addr, error) {
					if host != "locks.example" {
						t.Errorf("%q is looked up", host)
					}
					if !moved.Load() {
						return []netip.Addr{here}, nil
					}
					lookups.Add(1)
					return c.answer, c.err
				}
			})
			first := i.terminus()
			if (first.runID == "") != c.unread {
				t.Fatalf("the server is known as %q", first.runID)
			}
			p.are(c.to...)
			moved.Store(true)
			if c.moves {
				until(t, "the link is left", func() bool { return i.terminus().opened.After(first.opened) && i.isUp() })
				return
			}
			until(t, "it has been looked up often", func() bool { return lookups.Load() > 30 })
			if i.terminus() != first {
				t.Error("the link was left")
			}
		})
	}
}

func TestUnixSocketsLiteralsAndDialersOfTheUsersAreNotLookedUp(t *testing.T) {
	for _, url := range []string{"unix:///run/redis.sock", "redis://192.0.2.1", "redis://[::1]:6379"} {
		i, err := Dial(url, Config{})
		if err != nil {
			t.Fatal(err)
		}
		i.lookup = func(context.Context, string) ([]netip.Addr, error) {
			t.Errorf("%s is looked up", url)
			return nil, nil
		}
		if i.renamed(t.Context(), terminus{addr: netip.MustParseAddr("192.0.2.9")}) {
			t.Errorf("%s is renamed", url)
		}
	}
	i, err := Dial("redis://locks.example", Config{Dialer: new(net.Dialer).DialContext})
	if err != nil || i.lookup != nil {
		t.Errorf("a user's own dialer: %v", err)
	}
}

// Behind the address there are two masters. Who is asked first has the lock, and the
// next one, too, until it shows: then the instance has no vote.
func TestAnAddressOfSeveralServersHasNoVote(t *testing.T) {
	servers := redistest.StartN(t, 2)
	p := &places{all: servers}
	i := movable(t, p, func(*Instance) {})
	until(t, "it is down", func() bool { return i.Health().State == Down })
	v := i.Standing()
	if v.Kind != Refused || !errors.Is(v.Err, errSplit) || !strings.Contains(v.Err.Error(), "locks.example:6379") {
		t.Errorf("it says %v", v)
	}
	for range 100 { // and stays so, wherever the next connections lead
		if h := i.Health(); h.State != Down {
			t.Fatalf("it is %v", h.State)
		}
		time.Sleep(time.Millisecond)
	}
}

// Only the connection of those who wait leads elsewhere: they look more seldom than
// that one is opened.
func TestWhoWaitsAtAnotherServerIsNoticed(t *testing.T) {
	servers := redistest.StartN(t, 2)
	p := &places{all: servers[:1]}
	i := movable(t, p, func(i *Instance) { i.looks = time.Hour })
	p.are(servers...)
	p.next = 1
	i.Watch(NewVigil("k"))
	until(t, "it is down", func() bool { return i.Health().State == Down })
	if v := i.Standing(); !errors.Is(v.Err, errSplit) {
		t.Errorf("it says %v", v)
	}
}

// A balancer of one master and its replica is a good address: only masters vote.
func TestAReplicaBehindTheAddressContradictsNobody(t *testing.T) {
	master := redistest.StartTCP(t)
	replica := redistest.StartTCP(t, "--replicaof", strings.Replace(master.Addr(), ":", " ", 1))
	p := &places{all: []*redistest.Server{master}}
	i := movable(t, p, func(*Instance) {})
	first := i.terminus()
	p.are(master, replica)
	p.mu.Lock()
	p.next = 0
	p.mu.Unlock()
	until(t, "many connections were opened", func() bool { p.mu.Lock(); defer p.mu.Unlock(); return p.next > 20 })
	if i.terminus() != first || !i.isUp() {
		t.Errorf("the link was left: %v", i.Standing())
	}
}
