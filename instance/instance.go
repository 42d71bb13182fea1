package instance

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/holdfast-go/holdfast/internal/reach"
	"github.com/holdfast-go/holdfast/internal/resp"
	"github.com/holdfast-go/holdfast/internal/tracking"
)

// Instance is one independent Redis: one vote. Make it with Dial or New and
// hand it to one engine, which runs it. Post, Health and Name are safe for
// concurrent use and do not block.
type Instance struct {
	name    string
	cfg     Config
	log     *slog.Logger // the user's; from Run on what the set makes of it
	client  *redis.Client
	dialer  func(ctx context.Context, network, addr string) (net.Conn, error)
	network string
	addr    string
	dialed  atomic.Pointer[reach.Door]                  // dialed by the actor, to be picked up by the client
	managed bool                                        // sentinels say where it is
	watch   func(ctx context.Context, moved func())     // calls moved when they say that it is elsewhere; nil: nobody does
	redial  func(ctx context.Context) (net.Conn, error) // dials where the actor last has; for the tracking connection
	looks   *reach.Looks
	tracker *tracking.Tracker
	secrets *reach.Secrets // never to be shown
	risks   []string       // what is unsafe about the connection, as far as Dial knows
	invalid error          // why this instance cannot work at all
	mailbox *mailbox
	route   func(m Command) // of a cluster: posts to the node of the message's slot; nil: all messages go to the mailbox
	role    role
	claimed atomic.Bool
	ready   gate // opened by the actor, or the cluster, when the first attempt to connect is over

	set   *Set   // from Run on
	actor *actor // of a server; of a whole cluster it answers what comes before there are nodes

	complaints complaints
	abstention abstention

	mu     sync.Mutex
	health Health
}

// Name returns what votes and errors call the instance.
func (i *Instance) Name() string { return i.name }

// Timeout returns how long a round trip may take.
func (i *Instance) Timeout() time.Duration { return i.cfg.Timeout }

// Ready returns a channel that is closed when the first attempt to connect is
// over, whatever came of it.
//
// It is for the engine.
func (i *Instance) Ready() <-chan struct{} { return i.ready.opened }

// Close lets no more messages in. What was accepted is served, and then Run
// returns.
//
// It is for the engine.
func (i *Instance) Close() {
	i.role.close()
}

// New makes an instance from an existing client. The client is never closed or
// changed, and its connections are not used: the instance opens one connection
// of its own with the client's options (address, credentials, TLS, dialer),
// since the order of messages depends on it. The client's retries, pool sizes
// and hooks do not apply. What Config says of how to reach Redis belongs to Dial:
// such a field is an error here, which engine.New returns.
//
// A *redis.ClusterClient makes one instance of the whole cluster. What it says of
// reading from replicas does not apply. A ring cannot be used: engine.New refuses
// such an instance, and says so.
func New(client redis.UniversalClient, cfg Config) *Instance {
	cfg, err := cfg.withDefaults()
	single, isSingle := client.(*redis.Client)
	many, isMany := client.(*redis.ClusterClient)
	switch {
	case err != nil:
	case cfg.reachField() != "":
		err = fmt.Errorf("instance: New takes all that %s says from the client: set it there, or use Dial", cfg.reachField())
	case isSingle && single != nil:
		return newSingle(single, cfg)
	case isMany && many != nil && many.Options().ClusterSlots != nil:
		err = errors.New("instance: a cluster client with a ClusterSlots func of its own is no Redis Cluster: make one instance of each server")
	case isMany && many != nil && len(many.Options().Addrs) == 0:
		err = errors.New("instance: the cluster client has no address to begin with: give its Addrs")
	case isMany && many != nil:
		return newOfCluster(many, cfg)
	default:
		err = errors.New("instance: New takes a *redis.Client, a single-node or failover client, or a *redis.ClusterClient")
	}
	return broken(cfg, err)
}

// makeStandalone makes it a server on its own.
func (i *Instance) makeStandalone() {
	i.role = standalone{i}
	i.actor = &actor{Instance: i}
	i.actor.reader.actor = i.actor
}

func newSingle(client *redis.Client, cfg Config) *Instance {
	opt := *client.Options()
	known := reach.NewSecrets(opt.Password)
	known.WatchOptions(&opt)
	opt.OnConnect = reach.HeedfulHook(opt.OnConnect, make(chan struct{}, reach.Sides))
	dialer := opt.Dialer
	i := assemble(&opt, cfg, known)
	i.dialer = reach.Heedful(dialer, reach.Sides)
	if i.managed = opt.Addr == failoverClient; i.managed {
		i.looks.At = nil
	}
	return i
}

// failoverClient is what go-redis writes where a failover client's address would be.
const failoverClient = "FailoverClient"

// broken is an instance that can only say why it does not work.
func broken(cfg Config, err error) *Instance {
	if cfg.Name == "" {
		cfg.Name = "unusable instance"
	}
	i := &Instance{name: cfg.Name, cfg: cfg.withoutSecrets(), invalid: err, mailbox: newMailbox(1), ready: newGate()}
	i.makeStandalone()
	return i
}

// Claim makes the instance an engine's own. It fails when the instance belongs
// to one already, or can never work.
//
// It is for the engine.
func (i *Instance) Claim() error {
	switch {
	case i.invalid != nil:
		return i.invalid
	case !i.claimed.CompareAndSwap(false, true):
		return fmt.Errorf("instance %s: it belongs to an engine already; make one instance for each engine", i.name)
	}
	return nil
}

// Disclaim takes a Claim back, of an engine that does not come about after all. It
// must not have begun to run the instance.
//
// It is for the engine.
func (i *Instance) Disclaim() { i.claimed.Store(false) }

// assemble makes an instance but for its dialer.
func assemble(opt *redis.Options, cfg Config, known *reach.Secrets) *Instance {
	reach.Tune(opt, cfg.Timeout)
	if cfg.Name == "" {
		cfg.Name = reach.NameOf(reach.Config{}, opt)
	}
	i := &Instance{
		name:    cfg.Name,
		cfg:     cfg.withoutSecrets(),
		log:     cfg.Logger,
		network: opt.Network,
		addr:    opt.Addr,
		secrets: known,
		mailbox: newMailbox(cfg.Mailbox),
		ready:   newGate(),
	}
	// The actor dials, and the client picks the connection up: its own dialing
	// would retry, outlive our timeout and log to the process's standard error.
	opt.Dialer = func(context.Context, string, string) (net.Conn, error) {
		if conn := i.dialed.Swap(nil); conn != nil {
			return conn, nil
		}
		return reach.Unopened{}, nil
	}
	i.client = redis.NewClient(opt)
	i.redial = func(ctx context.Context) (net.Conn, error) { return i.dialer(ctx, i.network, i.addr) }
	i.makeStandalone()
	i.looks = &reach.Looks{
		Every: reach.LookEach, Timeout: cfg.Timeout,
		At:      func() string { return i.addr },
		Redial:  func(ctx context.Context) (net.Conn, error) { return i.redial(ctx) },
		Options: func() *redis.Options { opt := *i.client.Options(); return &opt },
		Up:      i.isUp,
		Leave:   func(opened time.Time) { i.Post(relocation{of: opened}) },
	}
	i.tracker = tracking.New(tracking.Options{
		Redis: opt, Timeout: cfg.Timeout, Elsewhere: func(r *resp.Reply) bool { return i.role.elsewhere(r.Text) }, Redact: known.Redact,
		Dial:   func(ctx context.Context) (net.Conn, error) { return i.redial(ctx) },
		IsSame: i.looks.IsSame,
	})
	i.health = Health{Name: i.name, State: Connecting, Since: time.Now()}
	return i
}

// gate is opened once, for good.
type gate struct {
	opened chan struct{} // closed by open; nobody sends
	once   *sync.Once
}

func newGate() gate { return gate{opened: make(chan struct{}), once: new(sync.Once)} }

func (g gate) open() { g.once.Do(func() { close(g.opened) }) }

// Watch asks the instance to say on w.C when the lock under w.Key changes. It
// returns at once, and is undone by Unwatch. An instance keeps one watch a key:
// the last. It is for the engine.
func (i *Instance) Watch(w *tracking.Watch) {
	if t := i.role.trackerOf(w.Key); t != nil {
		t.Keep(w)
	} else {
		w.Leave()
	}
}

// Unwatch ends a Watch. It is for the engine.
func (i *Instance) Unwatch(w *tracking.Watch) { w.Leave() }

// WatchHeld asks the instance to call h.Tell when the lock under h.Key, which is held, is not
// h.Token's any more. It returns at once, and changes nothing when that has been asked
// before, and the same server has the key; h.LeaveHeld undoes it. It is for the engine.
func (i *Instance) WatchHeld(h *tracking.Held) {
	if t := i.role.trackerOf(h.Key); t != nil {
		t.KeepHeld(h)
	} else {
		h.LeaveHeld()
	}
}
