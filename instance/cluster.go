package instance

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/holdfast-go/holdfast/internal/fault"
	"github.com/holdfast-go/holdfast/internal/reach"
	"github.com/holdfast-go/holdfast/internal/slots"
)

// cluster is a Redis Cluster as one instance: one vote on each key, cast by the
// master that serves the key's slot. Each master has an ordinary Instance of its
// own here, a node, with actor, mailbox, link and restart guard; the cluster only
// decides which of them a message goes to.
//
//	Post ──▶ slot of the key ──▶ node of the slot: mailbox ─▶ actor
//	                 ▲                                          │ MOVED, ASK
//	                 └─────────── the map of slots ◀────────────┘
//
// A script may touch one slot only. So messages about several keys are split,
// and releases are bundled slot by slot.
//
// # Order
//
// What must hold is that no acquire is executed after a release of the same lock
// that was posted behind it. All messages about a slot go to one node at a time,
// whose actor keeps their order. The slot changes hands only by a move, which
// keeps it, too: see there.
type cluster struct {
	standalone // of the whole, as far as it is not otherwise
	router
	seeds   []string // where to ask first
	options func(addr string) *redis.Options
	dialer  func() reach.DialFunc // one for each node
	closing chan struct{}         // closed by close
	next    *routed               // of those that are delayed, the one whose time comes next; run's own
	actors  sync.WaitGroup        // the nodes'
}

// router says where a message goes: to the node of its slot, to where the slot's messages
// wait, or on to the node that another one names.
type router struct {
	slotTable
	whole   *Instance     // the instance that the engine knows
	hint    chan struct{} // one slot: "look at the map soon"; sent by anybody, received by the cluster's run
	delayed chan *routed  // to be routed again, in the order of their times; sent by actors, closed when they are gone, received by the cluster's run

	trouble error // the last CLUSTERDOWN, and when; guarded by mu
	since   time.Time
}

// slotTable is who serves which slot.
type slotTable struct {
	// Set before there are nodes.
	set   *Set
	start func(*node)             // runs a node's actor; called with mu held for writing
	make  func(addr string) *node // makes one that does not run

	mu      sync.RWMutex // held for reading over posting, and for writing over changing where posts go
	closed  bool
	mapped  bool                 // there is a map; until then messages wait in the whole's own mailbox
	slots   [slots.Count]*node   // who serves them; nil: nobody, as far as we know
	owned   map[*node]int        // how many slots a node serves; none is not in it
	until   map[uint16]time.Time // slots whose memory may be lost: no votes on new acquires before
	moves   map[uint16]*move     // slots that are changing hands
	running map[string]*node     // by address: the last node there, if its actor has not ended
	nodes   map[string]*node     // by address
	heard   map[*node]time.Time  // when masters that are down were last asked for their word
	still   map[*node]errStill   // those whose writes stand still, and why
	asked   map[*node]time.Time  // nodes without a slot, which are being given one: when that was last seen
}

// maxNodes bounds how many masters a cluster may have, as Redis itself does.
const maxNodes = 1000

// maxDelayed is how many messages may wait at a time to be asked again.
const maxDelayed = 1024

var (
	errUncovered   = errors.New("no node of the cluster is known to serve the key's slot")
	errFenceSlot   = fault.NewLasting("the lock and its fencing token are in different slots of the cluster: a name with a closing brace that closes no {tag} cannot be fenced there; put a {tag} into it")
	errShuttled    = errors.New("the key's slot has gone to another node and come back meanwhile")
	errOneDatabase = errors.New("a cluster has others than database 0 only where cluster-databases permits them, as in Valkey 9")
	errNoKey       = fault.NewLasting("this cannot be asked of a cluster")
)

// makeCluster makes a cluster of an assembled instance, the whole.
func makeCluster(whole *Instance, seeds []string, options func(addr string) *redis.Options, dialer func() reach.DialFunc) {
	c := &cluster{
		standalone: standalone{whole},
		seeds:      seeds,
		options:    options,
		dialer:     dialer,
		closing:    make(chan struct{}),
		router:     router{whole: whole, hint: make(chan struct{}, 1), delayed: make(chan *routed, maxDelayed)},
	}
	c.slotTable = slotTable{
		make:    func(addr string) *node { return newNode(c.unattached(addr), c) },
		owned:   make(map[*node]int),
		until:   make(map[uint16]time.Time),
		moves:   make(map[uint16]*move),
		running: make(map[string]*node),
		nodes:   make(map[string]*node),
		heard:   make(map[*node]time.Time),
		still:   make(map[*node]errStill),
		asked:   make(map[*node]time.Time),
	}
	whole.role, whole.route = c, c.route
}

// run looks after the map until the instance is closed or ctx ends. The nodes
// come and go with it: when it returns, their actors have.
func (c *cluster) run(ctx context.Context) {
	c.set = c.whole.set
	c.start = func(n *node) {
		before := c.running[n.addr]
		c.running[n.addr] = n
		c.actors.Go(func() { c.act(ctx, n, before) })
	}
	s := c.scout()
	defer c.leave(s)

	probes := reach.NewProbes()
	for {
		c.look(ctx, s)
		c.rehome()
		c.opened(ctx)
		wait := reach.LookEvery
		if c.covered() {
			probes.Reset()
		} else {
			wait = probes.NextBackOff()
		}
		if !c.pause(ctx, wait) {
			return
		}
	}
}

// scout asks the nodes for the map.
func (c *cluster) scout() *slots.Scout {
	return slots.NewScout(c.whole.cfg.Timeout, c.options, c.dialer())
}

// act runs a node. A node that was at the same address before is waited for: it
// serves what it has accepted first, and what it had to leave unanswered is killed
// with its last link.
func (c *cluster) act(ctx context.Context, n, before *node) {
	defer close(n.gone)
	if before != nil {
		<-before.gone
		n.actor.former = before.actor.former
	}
	n.Run(ctx, c.set)
	c.set.forget(n.Instance)
	c.mu.Lock()
	if c.running[n.addr] == n {
		delete(c.running, n.addr)
	}
	c.mu.Unlock()
	c.inherit(n)
}

// leave lets nothing more in, waits for the nodes, and answers what is left.
func (c *cluster) leave(s *slots.Scout) {
	c.close()
	c.actors.Wait() // only actors that are counted add others: so none is added from here on
	s.Close()
	close(c.delayed) // only actors send there
	for r := range c.delayed {
		r.refuse(c.gone())
	}
	if c.next != nil {
		c.next.refuse(c.gone())
	}
	c.whole.tracker.Close()
	c.whole.actor.leave()
}

func (c *cluster) gone() Vote {
	return Vote{Instance: c.whole.name, Kind: Unreachable, Err: errClosed}
}

// close lets nothing more in. What the nodes have accepted is served.
func (c *cluster) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return
	}
	c.closed = true
	close(c.closing)
	c.whole.mailbox.close()
	for _, n := range c.nodes {
		n.mailbox.close()
	}
}

// opened announces that the first attempt to connect is over: to the cluster,
// and to each of its masters.
func (c *cluster) opened(ctx context.Context) {
	select {
	case <-c.whole.ready.opened:
		return
	default:
	}
	for _, n := range c.masters() {
		select {
		case <-n.Ready():
		case <-c.closing:
		case <-ctx.Done():
		}
	}
	c.whole.ready.open()
}

// minLookGap is the least time between two looks at the map.
const minLookGap = 50 * time.Millisecond

// pause waits until the next look is due, and meanwhile sends on what was
// delayed. It reports false when the instance is closed.
func (c *cluster) pause(ctx context.Context, d time.Duration) bool {
	looked := time.Now()
	timer := time.NewTimer(d)
	defer timer.Stop()
	for {
		var due <-chan time.Time
		delayed := c.delayed
		if c.next != nil {
			due, delayed = time.After(time.Until(c.next.due)), nil
		}
		select {
		case <-timer.C:
			return true
		case <-c.hint:
			timer.Reset(minLookGap - time.Since(looked))
		case c.next = <-delayed:
		case <-due:
			c.send(c.next, c.next.slot)
			c.next = nil
		case <-c.closing:
			return false
		case <-ctx.Done():
			return false
		}
	}
}

// lookSoon has the map looked at before it is due.
func (r *router) lookSoon() {
	select {
	case r.hint <- struct{}{}:
	default:
	}
}
