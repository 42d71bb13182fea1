package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/semaphore"

	"github.com/holdfast-go/holdfast/instance"
	"github.com/holdfast-go/holdfast/keeper"
	"github.com/holdfast-go/holdfast/lease"
)

// Engine locks resources on a quorum of instances. Make it with Open or New and
// end it with Close. All methods are safe for concurrent use.
type Engine struct {
	cfg       Config
	need      int
	tokens    tokens
	instances []*instance.Instance
	keeper    *keeper.Keeper
	losses    past
	ends      past // the losses, too
	lines     *lines
	fairness  fairness
	queues    *queues
	permits   pools
	paced     bool         // the user's own Backoff says when to ask again
	log       *slog.Logger // the user's, at a distance
	telling   *telling
	attempts  sync.Pool           // of *attempt
	polls     sync.Pool           // of *poll
	requests  sync.Pool           // of *request
	renewals  sync.Pool           // of *renewal
	chunks    sync.Pool           // of *chunk
	givings   sync.Pool           // of *giving
	gate      *semaphore.Weighted // of what TryAcquireEach and ReleaseEach may have under way

	// The actors and the keeper run for the life of the engine. closing ends
	// what waits; stopActors and stopKeeper are the last resort and the last step.
	actors     *errgroup.Group
	stopActors context.CancelFunc
	keeperLoop *errgroup.Group
	stopKeeper context.CancelFunc
	closing    context.Context
	beginClose context.CancelFunc
	closeOnce  sync.Once
	closeErr   error
	closeDone  chan struct{} // closed by the first Close when it is over

	mu     sync.RWMutex // held for reading by what adds to calls or to the keeper
	closed bool
	calls  sync.WaitGroup // acquires under way

	detached detachments // the tokens that this engine has detached

	leading   atomic.Int64 // leases that are leaders
	keptLocks atomic.Int64 // in the keeper's care for an AcquireAll that waits, and nobody's lease

	sharedMu sync.Mutex
	shared   map[sharedKey]int // leases held here with a token of the user's own
}

type sharedKey struct{ key, token string }

// Open dials the URLs (see instance.Dial) and makes an engine that owns and
// closes the connections. It returns as soon as a quorum of the instances is up and
// each of the others has been tried, or has had as long again as the quorum took (a
// twentieth of its timeout at least): one that hangs holds nothing up. While a quorum
// is out of reach it goes on trying until ctx ends, for 5 seconds if ctx has no
// deadline, and then says so, instance by instance. What cannot get better by
// waiting, such as a wrong password on so many instances that no quorum is left, fails at
// once, with ErrRefused. An instance that is down is a vote missing, and joins in when it is up.
func Open(ctx context.Context, urls []string, cfg Config) (*Engine, error) {
	timeout := cfg.InstanceTimeout
	var instances []*instance.Instance
	for n, url := range urls {
		i, err := instance.Dial(url, instance.Config{Timeout: timeout, Logger: cfg.Logger})
		if err != nil {
			return nil, fmt.Errorf("engine: open: URL %d of %d: %w", n+1, len(urls), err)
		}
		instances = append(instances, i)
	}
	e, err := New(instances, cfg)
	if err != nil {
		return nil, err
	}
	if err := e.AwaitQuorum(ctx); err != nil {
		return nil, join(err, e.Close(context.WithoutCancel(ctx)))
	}
	return e, nil
}

// New makes an engine of instances made with instance.Dial or instance.New; from
// then on they belong to it. It does not wait for them: until a quorum is up,
// acquires fail with ErrNoQuorum. When New fails, they belong to nobody, as before,
// and may be used again. A quorum is more than half; any number from 1
// on works, odd ones make better use of their instances.
func New(instances []*instance.Instance, cfg Config) (*Engine, error) {
	paced := cfg.Backoff != nil
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	if err := claim(instances); err != nil {
		return nil, fmt.Errorf("engine: %w", err)
	}
	e := &Engine{
		cfg:       cfg,
		need:      quorum(len(instances)),
		tokens:    newTokens(cfg.Owner),
		instances: instances,
		lines:     newLines(cfg.MaxWaiters),
		paced:     paced,
		closeDone: make(chan struct{}),
		gate:      semaphore.NewWeighted(maxEachUnderWay),
		shared:    make(map[sharedKey]int),
	}
	e.queues = newQueues(e)
	e.fairness.quantum = shortestQuantum
	if cfg.LocalHandoff > 0 {
		e.fairness.quantum = handoffQuantum
	}
	e.telling, e.log = newTelling(cfg.Trace, cfg.Logger)
	e.keeper = keeper.New(e.renew, e.check)
	e.start()
	return e, nil
}

func claim(instances []*instance.Instance) error {
	if len(instances) == 0 {
		return errors.New("no instances: name at least one Redis, such as redis://localhost:6379")
	}
	seen := make(map[*instance.Instance]bool)
	for n, i := range instances {
		switch {
		case i == nil:
			return fmt.Errorf("instance %d of %d is nil", n+1, len(instances))
		case seen[i]:
			return fmt.Errorf("instance %s is there twice: its vote would count twice", i.Name())
		}
		seen[i] = true
	}
	for n, i := range instances {
		if err := i.Claim(); err != nil {
			for _, claimed := range instances[:n] { // another engine may have them
				claimed.Disclaim()
			}
			return err
		}
	}
	return nil
}

// start runs the actors and the keeper. Close ends them and waits.
func (e *Engine) start() {
	e.closing, e.beginClose = context.WithCancel(context.Background())

	set := instance.NewSet(e.instances, e.cfg.Guard, e.cfg.quarantine(e.slowest()))
	set.Observe(e.telling.observer())

	acting, stop := context.WithCancel(context.Background())
	e.actors, e.stopActors = new(errgroup.Group), stop
	for _, i := range e.instances {
		e.actors.Go(func() error { i.Run(acting, set); return nil })
	}
	keeping, stop := context.WithCancel(context.Background())
	e.keeperLoop, e.stopKeeper = new(errgroup.Group), stop
	e.keeperLoop.Go(func() error { return e.keeper.Run(keeping) })
}

// enter counts a call in, so that Close can wait for what it still posts.
func (e *Engine) enter() error {
	e.mu.RLock()
	defer e.mu.RUnlock()
	if e.closed {
		return ErrClosed
	}
	e.calls.Add(1)
	return nil
}

func (e *Engine) exit() { e.calls.Done() }

// Format keeps what an engine is made of out of every verb of package fmt.
func (e *Engine) Format(s fmt.State, _ rune) {
	fmt.Fprintf(s, "engine of %d instances", len(e.instances))
}

// Leases returns the leases that this engine holds now, in no order.
func (e *Engine) Leases() []*lease.Lease {
	var held []*lease.Lease
	for _, entry := range e.keeper.Entries() {
		if l := entry.Control.Lease(); l.Valid() && !holdingOf(entry).kept {
			held = append(held, l)
		}
	}
	return held
}

// Lost returns the channel on which every lease is sent that was lost: it ended neither by Release
// nor by Detach nor by Close. Its Err says why. The channel holds 1024 leases; when
// nobody reads, the oldest are dropped. It is closed by Close.
func (e *Engine) Lost() <-chan *lease.Lease { return e.keeper.Lost() }

// Instances returns how each instance is doing, in the engine's order.
func (e *Engine) Instances() []instance.Health {
	healths := make([]instance.Health, 0, len(e.instances))
	for _, i := range e.instances {
		healths = append(healths, i.Health())
	}
	return healths
}
