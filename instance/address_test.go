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

	"github.com/holdfast-go/holdfast/internal/reach"
	"github.com/holdfast-go/holdfast/internal/redistest"
	"github.com/holdfast-go/holdfast/internal/testkit"
	"github.com/holdfast-go/holdfast/internal/tracking"
)

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
		t.Fatalf("Dial: %v", err)
	}
	i.dialer, i.looks.Lookup, i.looks.Every = p.dial, nil, 5*time.Millisecond
	prepare(i)
	var running sync.WaitGroup
	running.Go(func() { i.Run(context.Background(), NewSet([]*Instance{i}, GuardAdaptive, time.Hour)) })
	t.Cleanup(func() { i.Close(); running.Wait() })
	<-i.Ready()
	return i
}

// The old server lives on, and the connection to it.
func TestAnAddressThatLeadsToAnotherServerIsFollowed(t *testing.T) {
	servers := redistest.StartN(t, 2)
	p := &places{all: servers[:1]}
	i := movable(t, p, func(*Instance) {})
	testkit.Eventually(t, "pardoned", func() bool { return i.Health().State == Up })
	p.are(servers[1])
	testkit.Eventually(t, "the instance is at the other server", func() bool { return i.Health().RunID == servers[1].RunID() })
	testkit.Eventually(t, "and may not vote", func() bool { return i.Health().State == Quarantined })
	testkit.Eventually(t, "nothing is left at the first", func() bool { return servers[0].Clients() == 0 })
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
				i.looks.Lookup = func(_ context.Context, host string) ([]netip.Addr, error) {
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
			first := i.looks.Terminus()
			if (first.RunID == "") != c.unread {
				t.Fatalf("the server is known as %q", first.RunID)
			}
			p.are(c.to...)
			moved.Store(true)
			if c.moves {
				testkit.Eventually(t, "the link is left", func() bool { return i.looks.Terminus().Opened.After(first.Opened) && i.isUp() })
				return
			}
			testkit.Eventually(t, "it has been looked up often", func() bool { return lookups.Load() > 30 })
			if i.looks.Terminus() != first {
				t.Error("the link was left")
			}
		})
	}
}

func TestUnixSocketsLiteralsAndDialersOfTheUsersAreNotLookedUp(t *testing.T) {
	for _, url := range []string{"unix:///run/redis.sock", "redis://192.0.2.1", "redis://[::1]:6379"} {
		i, err := Dial(url, Config{})
		if err != nil {
			t.Fatalf("Dial: %v", err)
		}
		i.looks.Lookup = func(context.Context, string) ([]netip.Addr, error) {
			t.Errorf("%s is looked up", url)
			return nil, nil
		}
		if i.looks.Renamed(t.Context(), reach.Terminus{Addr: netip.MustParseAddr("192.0.2.9")}) {
			t.Errorf("%s is renamed", url)
		}
	}
	i, err := Dial("redis://locks.example", Config{Dialer: new(net.Dialer).DialContext})
	if err != nil || i.looks.Lookup != nil {
		t.Errorf("a user's own dialer: %v", err)
	}
}

// Behind the address there are two masters. The one that is asked first grants the lock, and so does
// the next, until it shows: then the instance has no vote.
func TestAnAddressOfSeveralServersHasNoVote(t *testing.T) {
	servers := redistest.StartN(t, 2)
	p := &places{all: servers}
	i := movable(t, p, func(*Instance) {})
	testkit.Eventually(t, "it is down", func() bool { return i.Health().State == Down })
	v := i.Vote()
	if v.Kind != Refused || !errors.Is(v.Err, reach.ErrSplit) || !strings.Contains(v.Err.Error(), "locks.example:6379") {
		t.Errorf("it says %v", v)
	}
	for range 100 { // and stays so, wherever the next connections lead
		if h := i.Health(); h.State != Down {
			t.Fatalf("it is %v", h.State)
		}
		time.Sleep(time.Millisecond)
	}
}

// Only the tracking connection leads elsewhere: the name is looked up more seldom than
// that connection is opened.
func TestATrackingConnectionToAnotherServerIsNoticed(t *testing.T) {
	servers := redistest.StartN(t, 2)
	p := &places{all: servers[:1]}
	i := movable(t, p, func(i *Instance) { i.looks.Every = time.Hour })
	p.are(servers...)
	p.next = 1
	i.Watch(tracking.NewWatch("k"))
	testkit.Eventually(t, "it is down", func() bool { return i.Health().State == Down })
	if v := i.Vote(); !errors.Is(v.Err, reach.ErrSplit) {
		t.Errorf("it says %v", v)
	}
}

// A balancer of one master and its replica is a good address: only masters vote.
func TestAReplicaBehindTheAddressContradictsNobody(t *testing.T) {
	master := redistest.StartTCP(t)
	replica := redistest.StartTCP(t, "--replicaof", strings.Replace(master.Addr(), ":", " ", 1))
	p := &places{all: []*redistest.Server{master}}
	i := movable(t, p, func(*Instance) {})
	first := i.looks.Terminus()
	p.are(master, replica)
	p.mu.Lock()
	p.next = 0
	p.mu.Unlock()
	testkit.Eventually(t, "many connections were opened", func() bool { p.mu.Lock(); defer p.mu.Unlock(); return p.next > 20 })
	if i.looks.Terminus() != first || !i.isUp() {
		t.Errorf("the link was left: %v", i.Vote())
	}
}
