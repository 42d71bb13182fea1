package instance_test

import (
	"fmt"
	"net"
	"strings"
	"testing"

	"github.com/holdfast-go/holdfast/engine"
	"github.com/holdfast-go/holdfast/instance"
	"github.com/holdfast-go/holdfast/internal/enginetest"
	"github.com/holdfast-go/holdfast/internal/proxy"
	"github.com/holdfast-go/holdfast/internal/redistest"
)

// Nodes that do not say where they are, or say it in names that nobody here knows, as
// behind a NAT.
func TestClusterBehindNAT(t *testing.T) {
	if testing.Short() {
		t.Skip("it waits for a cluster to agree on names: 3 seconds")
	}
	t.Parallel() // it waits most of the time
	c := redistest.StartCluster(t, 3, false)
	everywhere := func(option, value string) {
		for _, s := range c.Masters {
			s.MustDo("CONFIG", "SET", option, value)
		}
	}
	t.Run("no endpoints", func(t *testing.T) {
		everywhere("cluster-preferred-endpoint-type", "unknown-endpoint")
		e := onCluster(t, c, engine.Config{})
		locksAndMoves(t, c, e)
	})
	t.Run("names that lead nowhere, and a map", func(t *testing.T) {
		m := make(map[string]string)
		for n, s := range c.Masters {
			name := fmt.Sprintf("node-%d.invalid", n)
			s.MustDo("CONFIG", "SET", "cluster-announce-hostname", name)
			_, port, _ := net.SplitHostPort(s.Addr())
			m[name+":"+port] = s.Addr()
		}
		everywhere("cluster-preferred-endpoint-type", "hostname")
		eventually(t, "all nodes know the names", func() bool {
			for _, s := range c.Masters {
				if slots := fmt.Sprint(s.MustDo("CLUSTER", "SLOTS")); strings.Count(slots, ".invalid") != len(c.Masters) {
					return false
				}
			}
			return true
		})
		i, err := instance.Dial("", instance.Config{Cluster: c.Addrs()[:1], AddrMap: m})
		if err != nil {
			t.Fatalf("instance.Dial: %v", err)
		}
		e := enginetest.New(t, engine.Config{}, i)
		state(t, e, 0, instance.Up)
		locksAndMoves(t, c, e)
	})
}

// locksAndMoves locks at every master, and over a slot that moves.
func locksAndMoves(t *testing.T, c *redistest.Cluster, e *engine.Engine) {
	t.Helper()
	for _, s := range c.Masters {
		key := keyOf(c, s, t.Name())
		l := acquire(t, e, key)
		if s.Get(key) != l.Token() {
			t.Errorf("%s is not where it belongs", key)
		}
		release(t, l)
	}
	key := keyOf(c, c.Masters[0], "moved")
	l := acquire(t, e, key)
	c.Migrate(c.Slot(key), c.Masters[1])
	if err := l.Extend(within(t), 0); err != nil {
		t.Errorf("l.Extend: %v", err)
	}
	release(t, l)
	c.Migrate(c.Slot(key), c.Masters[0])
	release(t, acquire(t, e, key))
}

func TestMasterBehindNAT(t *testing.T) {
	master := redistest.StartTCP(t)
	sentinel := redistest.StartSentinel(t, master)
	p := proxy.Start(t, "tcp", master.Addr())
	i, err := instance.Dial("redis-sentinel://"+sentinel.Addr()+"?master=leader", instance.Config{AddrMap: map[string]string{master.Addr(): p.Addr()}})
	if err != nil {
		t.Fatalf("instance.Dial: %v", err)
	}
	e := enginetest.New(t, engine.Config{}, i)
	release(t, acquire(t, e, "r"))
	if p.Conns() == 0 {
		t.Error("the map was not looked at")
	}
}

func TestAddrMapsAreChecked(t *testing.T) {
	for announced, reachable := range map[string]string{"10.0.0.1": "a:1", "a:1": "b", "a:1/x": "b:1", "": "b:1", "a:0": "b:1"} {
		if _, err := instance.Dial("redis://localhost", instance.Config{AddrMap: map[string]string{announced: reachable}}); err == nil || !strings.Contains(err.Error(), "AddrMap") {
			t.Errorf("%q=%q: %v", announced, reachable, err)
		}
	}
	m := map[string]string{"a:1": "127.0.0.1:1"}
	i, err := instance.Dial("redis://a:1", instance.Config{AddrMap: m})
	if err != nil {
		t.Fatalf("instance.Dial: %v", err)
	}
	m["a:1"] = "[::1]:2" // it has been copied
	e := enginetest.New(t, engine.Config{}, i)
	<-i.Ready()
	if err := e.Instances()[0].Err; err == nil || !strings.Contains(err.Error(), "127.0.0.1:1") {
		t.Errorf("the instance says %v, want an error that names 127.0.0.1:1", err)
	}
}
