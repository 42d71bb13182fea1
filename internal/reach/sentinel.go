package reach

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/holdfast-go/holdfast/internal/fault"
	"github.com/holdfast-go/holdfast/internal/resp"
)

// ErrNoMaster: the sentinels are there, but do not know the name.
var ErrNoMaster = fault.NewLasting("the sentinels know no master of that name")

// ErrFailover: the sentinels name a server that is no master (any more, or yet).
var ErrFailover = errors.New("the sentinels name a server that is a replica: a failover is under way")

// opinion is what one sentinel says.
type opinion struct {
	place int
	addr  string // of the master; "" when it does not know
	err   error
}

// askSentinels returns the master's address: what a majority of the sentinels
// says, as soon as it does; else, when all have answered or half of the time is
// over, what most of those say that did. One sentinel that was cut off from the
// others during a failover cannot send us to the old master then, and one that
// hangs costs nothing while the rest agree.
func (r *Reach) askSentinels(ctx context.Context) (string, error) {
	c := r.ask(ctx)
	if best := c.best(); best != "" {
		return best, nil
	}
	return "", c.failure(r.cfg.Sentinel.Master)
}

// ask asks all sentinels, each on a connection of its own that is closed again.
func (r *Reach) ask(ctx context.Context) *count {
	addrs := r.cfg.Sentinel.Addrs
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	opinions := make(chan opinion, len(addrs)) // one each: nobody blocks
	for place, addr := range addrs {
		go func() {
			master, err := r.askSentinel(ctx, addr)
			opinions <- opinion{place, master, err}
		}()
	}
	patience := time.NewTimer(r.cfg.Timeout / 2)
	defer patience.Stop()

	c := newCount(addrs)
	open := len(addrs)
	for hurried := false; open > 0 && !c.decided() && (!hurried || c.best() == ""); {
		select {
		case o := <-opinions:
			open--
			c.add(o)
		case <-patience.C:
			hurried = true
		}
	}
	cancel() // those still asked hang up and are gone at once
	for range open {
		<-opinions
	}
	return c
}

// count counts what the sentinels say.
type count struct {
	asked []string
	votes map[string]int
	order []string // of the addresses, as they came
	errs  []error  // by place; nil: no answer yet, or a good one
	none  int      // sentinels that do not know the name
}

func newCount(asked []string) *count {
	return &count{asked: asked, votes: make(map[string]int), errs: make([]error, len(asked))}
}

func (c *count) add(o opinion) {
	switch {
	case o.err != nil:
		c.errs[o.place] = o.err
	case o.addr == "":
		c.none++
	default:
		if c.votes[o.addr]++; c.votes[o.addr] == 1 {
			c.order = append(c.order, o.addr)
		}
	}
}

func (c *count) decided() bool {
	return c.votes[c.best()] > len(c.asked)/2
}

// best is the address that most have named, the first of them on a tie.
func (c *count) best() string {
	best := ""
	for _, addr := range c.order {
		if best == "" || c.votes[addr] > c.votes[best] {
			best = addr
		}
	}
	return best
}

// failure says why there is no address, sentinel by sentinel.
func (c *count) failure(master string) error {
	if c.none > 0 {
		return fmt.Errorf("%w: %q", ErrNoMaster, master)
	}
	f := new(Failures)
	for place, err := range c.errs {
		f.Add("sentinel "+c.asked[place], err)
	}
	return f
}

// askSentinel asks one sentinel, on a connection of its own.
func (r *Reach) askSentinel(ctx context.Context, addr string) (string, error) {
	s, err := r.openSentinel(ctx, addr)
	if err != nil {
		return "", err
	}
	defer s.Close()
	return s.master(ctx)
}

// sentinelLink is a connection to a sentinel.
type sentinelLink struct {
	*Pinned
	name string // of the master
}

func (r *Reach) openSentinel(ctx context.Context, addr string) (*sentinelLink, error) {
	conn, err := r.connect(ctx, "tcp", addr, r.sentinelTLS)
	if err != nil {
		return nil, err
	}
	s := r.cfg.Sentinel
	opt := &redis.Options{Addr: addr, Username: s.Username, Password: s.Password}
	if s.Credentials != nil {
		opt.CredentialsProviderContext = r.Secrets.ask(s.Credentials)
	}
	return &sentinelLink{Pinned: Pin(conn, opt, r.cfg.Timeout), name: s.Master}, nil
}

// master asks for the master's address: "" when the sentinel does not know it.
func (l *sentinelLink) master(ctx context.Context) (string, error) {
	cmd := redis.NewStringSliceCmd(ctx, "sentinel", "get-master-addr-by-name", l.name)
	err := l.Process(ctx, cmd)
	master := cmd.Val()
	switch {
	case errors.Is(err, redis.Nil):
		return "", nil
	case err != nil:
		return "", err
	case len(master) != 2:
		return "", resp.ErrNotRedis
	}
	return net.JoinHostPort(master[0], master[1]), nil
}

// LookEvery is how often a sentinel is asked whether the master is still the
// same, and a cluster who serves its slots.
const LookEvery = time.Second

// WatchMaster asks one sentinel after every LookEvery, on one connection that stays,
// whether the master is still where we are, until ctx ends; when one says that
// it is not, and most of all sentinels agree, it calls moved. It is run by the
// actor's Run, which waits for it.
//
// An old master that is alive is told by the sentinels to step down, but only
// some 10s after they have made another one: all that time it would go on
// granting what nobody will remember.
func (r *Reach) WatchMaster(ctx context.Context, moved func()) {
	var s *sentinelLink
	defer func() {
		if s != nil {
			s.Close()
		}
	}()
	tick := time.NewTicker(LookEvery)
	defer tick.Stop()
	for asked := 0; ; {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		at, err := r.look(ctx, &s, r.cfg.Sentinel.Addrs[asked%len(r.cfg.Sentinel.Addrs)])
		if err != nil && s != nil {
			s.Close()
			s = nil
		}
		switch was := r.Master(); {
		case err != nil || at == "":
			asked++ // another may know
		case was != "" && at != was && r.agreed(ctx) == at:
			moved()
		}
	}
}

// look asks the sentinel at addr, and connects to it if need be.
func (r *Reach) look(ctx context.Context, s **sentinelLink, addr string) (at string, err error) {
	ctx, cancel := context.WithTimeout(ctx, r.cfg.Timeout)
	defer cancel()
	if *s == nil {
		if *s, err = r.openSentinel(ctx, addr); err != nil {
			*s = nil
			return "", err
		}
	}
	return (*s).master(ctx)
}

// agreed is the address that a majority of the sentinels names, or "".
func (r *Reach) agreed(ctx context.Context) string {
	ctx, cancel := context.WithTimeout(ctx, r.cfg.Timeout)
	defer cancel()
	c := r.ask(ctx)
	if !c.decided() {
		return ""
	}
	return c.best()
}
