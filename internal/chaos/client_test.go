//go:build linux

package chaos

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"github.com/holdfast-go/holdfast/engine"
	"github.com/holdfast-go/holdfast/instance"
	locks "github.com/holdfast-go/holdfast/lease"
)

// ordersVariable tells a child process that it is a client, and what to do.
const ordersVariable = "HOLDFAST_CHAOS_CLIENT"

// Times of every client.
const (
	ttl             = time.Second
	instanceTimeout = 250 * time.Millisecond
	lastPatience    = 20 * time.Second // how long a waiter may wait when the faults are over
)

const keyPrefix = "chaos:" // of every engine

// orders are what a client is to do.
type orders struct {
	Name      string
	History   string     // file
	Instances []string   // their URLs
	Direct    [][]string // network addresses of the servers themselves, for looking at keys: several of a cluster
	Register  string     // unix socket
	Guard     instance.Guard
	Engines   int
	Workers   int // an engine
	Resources int
	Seed      uint64
}

// client is a child process. It works until its standard input ends, then waits
// for one more lock in each worker, closes everything and looks at what is left.
type client struct {
	orders
	recorder
	register *redis.Client
	servers  [][]*redis.Client // of each instance
	lockers  []*locker         // the engines
	leases   atomic.Int64
	values   atomic.Int64
	over     context.Context // the faults are over
}

func runClient(text string) int {
	var o orders
	if err := json.Unmarshal([]byte(text), &o); err != nil {
		return fail(err)
	}
	file, err := os.OpenFile(o.History, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return fail(err)
	}
	redis.SetLogger(silence{}) // servers that are down are no news here
	warm()                     // what the runtime opens once and keeps
	before := descriptors()
	c := &client{orders: o, recorder: recorder{client: o.Name, file: file}}
	if err := c.run(); err != nil {
		return fail(err)
	}
	if err := goleak.Find(); err != nil {
		c.add(event{Kind: leaked, Text: err.Error()})
	}
	if after := descriptors(); after > before {
		c.add(event{Kind: leaked, Text: fmt.Sprintf("%d descriptors, and %d at the beginning", after, before)})
	}
	return 0
}

func fail(err error) int {
	fmt.Fprintln(os.Stderr, "client:", err)
	return 1
}

func (c *client) run() error {
	var end context.CancelFunc
	c.over, end = context.WithCancel(context.Background())
	defer end()
	go func() { // ends with the standard input
		_, _ = io.Copy(io.Discard, os.Stdin)
		end()
	}()

	c.register = direct(c.Register)
	defer c.register.Close()
	for _, addrs := range c.Direct {
		var nodes []*redis.Client
		for _, addr := range addrs {
			s := direct(addr)
			defer s.Close()
			nodes = append(nodes, s)
		}
		c.servers = append(c.servers, nodes)
	}
	var engines sync.WaitGroup
	errs := make([]error, c.Engines)
	for n := range c.Engines {
		k, err := c.open(n)
		if err != nil {
			return err
		}
		c.lockers = append(c.lockers, k)
	}
	for n, k := range c.lockers {
		engines.Go(func() { errs[n] = c.drive(n, k) })
	}
	engines.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	<-c.over.Done()
	return nil
}

// direct is a client of a server itself. After as many failures to dial as its
// pool has places, it would dial in the background, and for a second after its
// end: a leak, but not of ours.
func direct(addr string) *redis.Client {
	return redis.NewClient(&redis.Options{
		Network: networkOf(addr), Addr: addr, MaxRetries: -1, DialerRetries: 1, DisableIdentity: true, Protocol: 2,
		Dialer: func(ctx context.Context, network, addr string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, addr)
		},
		ReadTimeout: time.Second, WriteTimeout: time.Second, DialTimeout: time.Second, PoolSize: 1 << 14,
	})
}

func networkOf(addr string) string {
	if strings.HasPrefix(addr, "/") {
		return "unix"
	}
	return "tcp"
}

// locker is an engine, and how it differs from others.
type locker struct {
	*engine.Engine
	owner   string
	handoff int
	waiters int // how many may wait; 0: as many as like
}

// open opens one engine. Every other one hands locks on; the rest of its Config is drawn.
func (c *client) open(n int) (*locker, error) {
	var instances []*instance.Instance
	for _, url := range c.Instances {
		i, err := instance.Dial(url, instance.Config{Timeout: instanceTimeout})
		if err != nil {
			return nil, err
		}
		instances = append(instances, i)
	}
	random := rand.New(rand.NewPCG(c.Seed, uint64(n)))
	k := &locker{owner: fmt.Sprintf("%s-%d", c.Name, n), handoff: n % 2 * 16, waiters: random.IntN(2) * c.Workers / 3}
	cfg := engine.Config{TTL: ttl, MaxTTL: ttl, Guard: c.Guard, Owner: k.owner, LocalHandoff: k.handoff, MaxWaiters: k.waiters, KeyPrefix: keyPrefix}
	cfg.RenewEvery = []time.Duration{0, ttl / 8, ttl / 2}[random.IntN(3)]
	cfg.Tries = []int{0, 0, 4}[random.IntN(3)]
	if random.IntN(3) == 0 {
		cfg.Backoff = func() engine.Backoff { return backoff.NewConstantBackOff(20 * time.Millisecond) }
	}
	if random.IntN(2) == 0 {
		cfg.Logger, cfg.Trace = slog.New(slog.NewTextHandler(slow{}, nil)), slowTrace()
	}
	var err error
	k.Engine, err = engine.New(instances, cfg)
	return k, err
}

// slow is where lines go that take two milliseconds each.
type slow struct{}

func (slow) Write(line []byte) (int, error) {
	time.Sleep(2 * time.Millisecond)
	return len(line), nil
}

// slowTrace has the funcs that are not called on a caller's own goroutine, each as slow.
func slowTrace() *engine.Trace {
	trace := engine.LogTrace(slog.New(slog.NewTextHandler(slow{}, &slog.HandlerOptions{Level: slog.LevelDebug})))
	trace.Acquired = nil
	return trace
}

// ours reports whether a token may be that of a lease of this engine: one that hands
// locks on shows none.
func (k *locker) ours(l *locks.Lease, token string) bool {
	return token == l.Token() || k.handoff > 0 && strings.HasPrefix(token, k.owner+"~")
}

// drive lets an engine's workers work.
func (c *client) drive(n int, e *locker) error {
	var workers sync.WaitGroup
	for k := range c.Workers {
		random := rand.New(rand.NewPCG(c.Seed, uint64(n*c.Workers+k)))
		workers.Go(func() {
			for c.over.Err() == nil {
				c.cycle(e, random, c.over, 5*time.Second)
			}
			last, cancel := context.WithTimeout(context.Background(), lastPatience)
			defer cancel()
			c.cycle(e, random, last, lastPatience)
		})
	}
	workers.Wait()
	ctx, cancel := context.WithTimeout(context.Background(), lastPatience)
	defer cancel()
	return e.Close(ctx)
}

// cycle acquires what is wished for, uses it and gives it back.
func (c *client) cycle(e *locker, random *rand.Rand, ctx context.Context, patience time.Duration) {
	w := c.wish(random)
	if w.kind == batch && patience == lastPatience {
		w.kind = several // which waits
	}
	asking, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	w.opts = append(w.opts, c.options(random, w.kind == one && !w.fenced && patience != lastPatience)...)
	if patience == lastPatience {
		w.opts = append(w.opts, engine.WithTries(0), engine.WithWait(lastPatience))
	}
	call := now()
	leases, err := w.ask(asking, e)
	for e.waiters > 0 && err != nil && asking.Err() == nil && errors.Is(err, engine.ErrHeld) { // there were too many
		time.Sleep(time.Millisecond)
		call = now()
		leases, err = w.ask(asking, e)
	}
	if err == nil && w.kind == one && !w.fenced && random.IntN(20) == 0 {
		other := c.lockers[random.IntN(len(c.lockers))]
		if leases[0], err = giveAway(asking, leases[0], other); err != nil {
			return // it goes by its TTL
		}
		e = other
	}
	if err != nil {
		if patience == lastPatience {
			c.add(event{Kind: starved, Resource: w.resources[0], At: now(), Text: err.Error()})
		}
		return
	}
	held := make([]*holding, len(leases))
	for k, l := range leases {
		held[k] = c.hold(e, w.kind, l, call)
	}
	c.use(e, held, w.fenced, random)
	c.giveBack(e, held)
	if w.fenced && random.IntN(10) == 0 {
		c.write(held)
	}
}

// use uses leases for a while, or until one of them is over.
func (c *client) use(e *locker, held []*holding, fenced bool, random *rand.Rand) {
	use := usage(random)
	if use == 0 {
		for _, h := range held {
			c.sample(e, h)
		}
	}
	if fenced {
		c.write(held)
	}
	all := func() bool { return !slices.ContainsFunc(held, func(h *holding) bool { return !c.holds(h) }) }
	for end := time.Now().Add(use); all() && time.Now().Before(end) && c.over.Err() == nil; {
		time.Sleep(min(20*time.Millisecond, time.Until(end)))
	}
	if fenced {
		c.write(held) // valid or not: the register must know
	}
	for _, h := range held {
		c.holds(h)
	}
}

// giveBack ends leases.
func (c *client) giveBack(e *locker, held []*holding) {
	release, cancel := context.WithTimeout(context.Background(), lastPatience)
	defer cancel()
	leases := make([]*locks.Lease, len(held))
	for k, h := range held {
		leases[k] = h.Lease
		c.tell(h, event{Kind: ended, At: now()})
	}
	if len(leases) > 1 {
		_ = e.ReleaseEach(release, leases)
		return
	}
	for _, l := range leases {
		_ = l.Release(release) // says whether it was lost, which the history knows
	}
}

// options are those of one acquire. A token of one's own is good for one attempt.
func (c *client) options(random *rand.Rand, once bool) (opts []engine.Option) {
	if random.IntN(10) == 0 {
		opts = append(opts, engine.WithoutRenewal())
	}
	if random.IntN(10) == 0 {
		opts = append(opts, engine.WithTTL(ttl/2))
	}
	if random.IntN(10) == 0 {
		opts = append(opts, engine.WithMaxHold(ttl/4+time.Duration(random.Int64N(int64(ttl)))))
	}
	if random.IntN(10) == 0 {
		opts = append(opts, engine.WithWait(ttl))
	}
	if random.IntN(20) == 0 {
		opts = append(opts, engine.WithTries(1+random.IntN(3)))
	}
	if random.IntN(2) == 0 {
		opts = append(opts, engine.WithWatch())
	}
	if once && random.IntN(20) == 0 {
		opts = append(opts, engine.WithTries(1), engine.WithToken(fmt.Sprintf("%s~%x", c.Name, random.Uint64())))
	}
	return opts
}

// giveAway has another engine adopt the lease.
func giveAway(ctx context.Context, l *locks.Lease, to *locker) (*locks.Lease, error) {
	token, err := l.Detach()
	if err != nil {
		return nil, err
	}
	return to.Adopt(ctx, l.Resource(), token)
}

// usage is how long a lease is used: hardly at all, mostly; sometimes for longer
// than it lasts without renewal. 0 is for a look at its keys.
func usage(random *rand.Rand) time.Duration {
	switch n := random.IntN(200); {
	case n == 0:
		return 2 * ttl
	case n < 4:
		return 0
	case n < 10:
		return time.Duration(random.Int64N(int64(50 * time.Millisecond)))
	}
	return time.Millisecond
}

// holding is a lease, and what it is of: each by a number of its own.
type holding struct {
	*locks.Lease
	names []string
	ids   []int
}

// hold notes a lease that was granted to a call that began then.
func (c *client) hold(e *locker, as wishKind, l *locks.Lease, call int64) *holding {
	h := &holding{Lease: l, names: l.Resources()}
	if slots := l.Slots(); slots != nil {
		h.names = nil
		for _, slot := range slots { // each of which is somebody's alone
			h.names = append(h.names, e.PermitName(l.Resource(), slot))
		}
	}
	for range h.names {
		h.ids = append(h.ids, int(c.leases.Add(1)))
	}
	c.tell(h, event{Kind: acquired, As: as, Fence: l.Fence(), Call: call, At: now(), Until: onClock(l.Deadline())})
	return h
}

// tell adds an event to the history of all that a lease is of.
func (c *client) tell(h *holding, e event) {
	for k, name := range h.names {
		e.Lease, e.Resource = h.ids[k], name
		c.add(e)
	}
}

// holds asks the lease whether it is valid, and writes down the answer.
func (c *client) holds(h *holding) bool {
	at := now()
	if !h.Valid() {
		return false
	}
	c.tell(h, event{Kind: held, At: at, Until: onClock(h.Deadline())})
	return true
}

// write writes to the protected registers, whose fences have the last word.
func (c *client) write(held []*holding) {
	for _, h := range held {
		for k, name := range h.names {
			value := fmt.Sprintf("%s-%d", c.Name, c.values.Add(1))
			e := event{Kind: writing, Lease: h.ids[k], Resource: name, Fence: h.Fence(), Value: value, At: now()}
			c.add(e)
			ok, before, err := put(context.Background(), c.register, name, h.Fence(), value)
			if err == nil { // else nobody knows, and the history says so
				e.Kind, e.Before, e.OK, e.At = written, before, ok, now()
				c.add(e)
			}
		}
	}
}

// sample counts the keys of a valid lease on the servers themselves. Those that
// do not answer, or have restarted so lately that they may not vote, cannot help
// anybody else either.
func (c *client) sample(e *locker, h *holding) {
	for _, name := range h.names {
		if h.Valid() {
			c.sampleKeys(e, h.Lease, name)
		}
	}
}

func (c *client) sampleKeys(e *locker, l *locks.Lease, resource string) {
	var there, excused atomic.Int32
	var looks sync.WaitGroup
	for _, nodes := range c.servers {
		looks.Go(func() {
			ctx, cancel := context.WithTimeout(context.Background(), ttl/2)
			defer cancel()
			has, cannot, known := false, false, false
			for _, s := range nodes { // the key is on one of them
				token, err := s.Get(ctx, keyPrefix+resource).Result()
				info, down := s.Info(ctx, "server", "replication").Result() // afterwards: it says whether the server is new
				elsewhere := err != nil && (strings.HasPrefix(err.Error(), "MOVED ") || strings.HasPrefix(err.Error(), "ASK "))
				cannot = cannot || err != nil && !errors.Is(err, redis.Nil) && !elsewhere || down != nil || isNew(info)
				if strings.Contains(info, "role:master") { // what a replica knows counts for nothing
					has, known = has || e.ours(l, token), known || !elsewhere
				}
			}
			switch {
			case has:
				there.Add(1)
			case cannot, !known: // or its slot moves just now
				excused.Add(1)
			}
		})
	}
	looks.Wait()
	if l.Valid() {
		enough := int(there.Load()+excused.Load()) > len(c.servers)/2
		c.add(event{Kind: sampled, Resource: resource, At: now(), OK: enough, Text: fmt.Sprintf("%d keys, %d instances that cannot vote", there.Load(), excused.Load())})
	}
}

// isNew: the restart guard keeps such a server from voting on new acquires, or the one that took its place while it was dead.
func isNew(info string) bool {
	var uptime int
	if _, after, ok := strings.Cut(info, "uptime_in_seconds:"); ok {
		_, _ = fmt.Sscanf(after, "%d", &uptime)
	}
	return uptime <= 3
}

type silence struct{}

func (silence) Printf(context.Context, string, ...any) {}

// descriptors counts this process's open files.
func descriptors() int {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		panic(err)
	}
	return len(entries)
}

// warm makes the runtime open what it keeps: the poller.
func warm() {
	if l, err := net.Listen("tcp", "127.0.0.1:0"); err == nil {
		_ = l.Close()
	}
}
