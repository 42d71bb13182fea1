package instance_test

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/holdfast-go/holdfast/engine"
	"github.com/holdfast-go/holdfast/instance"
	"github.com/holdfast-go/holdfast/internal/enginetest"
	"github.com/holdfast-go/holdfast/internal/redistest"
	"github.com/holdfast-go/holdfast/internal/scripts"
	"github.com/holdfast-go/holdfast/internal/sim"
)

// greeting counts what is said on a connection until it is open.
type greeting struct {
	net.Conn
	mu       sync.Mutex
	sent     strings.Builder
	trips    int  // a trip is a write behind a read
	answered bool // the last was a read
}

func (g *greeting) Write(p []byte) (int, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.answered || g.trips == 0 {
		g.trips++
	}
	g.answered = false
	g.sent.Write(p)
	return g.Conn.Write(p)
}

func (g *greeting) Read(p []byte) (int, error) {
	n, err := g.Conn.Read(p)
	g.mu.Lock()
	defer g.mu.Unlock()
	g.answered = true
	return n, err
}

// commands are the names of those that were sent.
func (g *greeting) commands(t *testing.T) (names []string, trips int) {
	t.Helper()
	g.mu.Lock()
	defer g.mu.Unlock()
	lines := bufio.NewScanner(strings.NewReader(g.sent.String()))
	for lines.Scan() {
		if strings.HasPrefix(lines.Text(), "*") { // then the length of the name, and the name
			lines.Scan()
			lines.Scan()
			names = append(names, strings.ToLower(lines.Text()))
		}
	}
	return names, g.trips
}

// A server that knows the scripts is asked ten things at most before the first lock, in three round trips: where very many
// clients come at once, each thing more is a thing more for all of them. One that has just been started is told the scripts
// as well, by those that come first.
func TestAGreetingIsShort(t *testing.T) {
	s := redistest.Start(t)
	for n, c := range []struct {
		name            string
		cfg             instance.Config
		commands, trips int
	}{
		{"the first", instance.Config{}, 8 + len(scripts.All) + 1, 3},
		{"the next", instance.Config{}, 8, 2},
		{"in a database, under a name", instance.Config{DB: 3, ClientName: "ann"}, 10, 3},
	} {
		conns := make(chan *greeting, 16) // of one instance; more than it dials
		c.cfg.Timeout = 10 * time.Second
		c.cfg.Dialer = func(ctx context.Context, network, addr string) (net.Conn, error) {
			conn, err := new(net.Dialer).DialContext(ctx, network, addr)
			if err != nil {
				return nil, err
			}
			g := &greeting{Conn: conn}
			conns <- g
			return g, nil
		}
		i := enginetest.Dial(t, s.URL(), c.cfg)
		e := enginetest.New(t, engine.Config{}, i)
		<-i.Ready()
		if h := e.Instances()[0]; h.State != instance.Up {
			t.Fatalf("%s: it is %v: %v", c.name, h.State, h.Err)
		}
		names, trips := (<-conns).commands(t)
		if len(names) > c.commands || trips > c.trips {
			t.Errorf("%s: %d commands in %d round trips, want at most %d in %d: %q", c.name, len(names), trips, c.commands, c.trips, names)
		}
		if loads := strings.Count(fmt.Sprint(names), "script"); (loads > 0) != (n == 0) {
			t.Errorf("%s: %d scripts were loaded: %q", c.name, loads, names)
		}
	}
}

// A server that answers each question late, but answers, as one does that has been restarted and is overrun, is back all the
// same: the greeting gets more time after each attempt that took too long. Two round trips are more than the timeout here, so that
// no greeting is in time at first, not even one that finds the scripts of an attempt before.
func TestALateServerGetsTimeToGreet(t *testing.T) {
	actNative(t, func(s *sim.Server) { s.Latency(0, 600*time.Millisecond) }, func(t *testing.T, s *sim.Server, i *instance.Instance) {
		end := time.Now().Add(20 * time.Second) // simulated
		for i.Health().State != instance.Up {
			if time.Now().After(end) {
				t.Fatalf("it is %v after 20s: %v", i.Health().State, i.Health().Err)
			}
			time.Sleep(10 * time.Millisecond)
		}
	})
}
