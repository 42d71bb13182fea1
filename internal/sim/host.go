package sim

import (
	"context"
	"math/rand/v2"
	"net"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"github.com/holdfast-go/holdfast/instance"
)

// Host is where one engine runs: the client's end of its connections. All methods
// are safe for concurrent use.
type Host struct {
	fleet *Fleet

	mu      sync.Mutex // taken before a server's
	changed chan struct{}
	frozen  bool
	apart   map[*Server]bool
	conns   map[*conn]bool // that have not been closed by the client
}

// Host returns a new host.
func (f *Fleet) Host() *Host {
	return &Host{fleet: f, changed: make(chan struct{}), apart: make(map[*Server]bool), conns: make(map[*conn]bool)}
}

// Instances makes one instance of each server that is on its own, of each cluster
// and of each pair, for one engine. Each is called after what it is made of.
func (h *Host) Instances(cfg instance.Config) []*instance.Instance {
	instances := make([]*instance.Instance, 0, len(h.fleet.Servers))
	for _, s := range h.fleet.Servers {
		if s.part {
			continue
		}
		client := redis.NewClient(&redis.Options{
			Addr:                     s.name,
			Dialer:                   func(ctx context.Context, _, _ string) (net.Conn, error) { return h.Dial(ctx, s) },
			DisableIdentity:          true,
			MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
		})
		h.fleet.t.Cleanup(func() { _ = client.Close() })
		cfg.Name = s.name
		instances = append(instances, instance.New(client, cfg))
	}
	for _, cl := range h.fleet.Clusters {
		instances = append(instances, h.instance(cl, cfg))
	}
	for _, p := range h.fleet.Pairs {
		instances = append(instances, h.behindSentinels(p, cfg))
	}
	return instances
}

// Dial connects to a server, as soon as the host can, or fails when ctx ends.
func (h *Host) Dial(ctx context.Context, s *Server) (net.Conn, error) {
	for {
		h.mu.Lock()
		if !h.frozen && !h.apart[s] {
			defer h.mu.Unlock()
			c, err := s.accept(h)
			if err != nil {
				return nil, err
			}
			h.conns[c] = true
			return c, nil
		}
		changed := h.changed
		h.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// Freeze stops the host's reading, writing and dialing, as a process that is
// paused does none of it. Its timers go on: a test cannot stop those. So what it
// shows is answers that are read late, and questions that leave late.
func (h *Host) Freeze() { h.freeze(true) }

// Resume ends Freeze. What has arrived meanwhile is read, or found to be past its
// deadline: either may come first in a process that wakes up.
func (h *Host) Resume() { h.freeze(false) }

func (h *Host) freeze(frozen bool) {
	h.change(func() {
		h.frozen = frozen
		for c := range h.conns {
			c.change(func() { c.frozen, c.lucky = frozen, !frozen && c.random.IntN(2) == 0 })
		}
	})
}

// Part holds up all that is sent between the host and the server from now on, as
// a network does that drops packets: nothing is told to either. New connections
// are not made.
func (h *Host) Part(s *Server) {
	h.change(func() {
		h.apart[s] = true
		s.change(func() { s.withHost(h, func(c *conn) { c.apart = true }) })
	})
}

// Join ends Part: what has been held up arrives within so long, also from
// connections that have been left since, as the kernels at both ends send it
// again.
func (h *Host) Join(s *Server, within time.Duration) {
	h.change(func() {
		delete(h.apart, s)
		s.change(func() {
			s.withHost(h, func(c *conn) {
				c.apart = false
				deliver(c.in, within, c.random)
				deliver(c.out, within, c.random)
			})
		})
	})
}

// withHost is called with mu held.
func (s *Server) withHost(h *Host, do func(*conn)) {
	for c := range s.conn {
		if c.host == h {
			do(c)
		}
	}
}

// left forgets a connection that the client has closed.
func (h *Host) left(c *conn) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.conns, c)
}

func (h *Host) change(do func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	do()
	close(h.changed)
	h.changed = make(chan struct{})
}

// deliver lets what has been held up arrive, in order.
func deliver(line []packet, within time.Duration, r *rand.Rand) {
	at := time.Now()
	for k := range line {
		if line[k].held {
			line[k].held = false
			line[k].at = latest(at, time.Now().Add(span{0, within}.draw(r)))
		}
		at = line[k].at
	}
}
