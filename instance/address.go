package instance

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/holdfast-go/holdfast/internal/restart"
)

// An address can come to lead to another server, while the one that it led to lives
// on, and our link with it: then we lock on one server and whoever connects from now
// on locks on another. And an address can lead to several servers all the time, as a
// balancer's does. So the instance looks now and then where its address leads:
//
//	its name is looked up      at every look     the link's address must be among the answers
//	a connection is opened     at every fourth   the process must be the one that the link has
//
// Where that is not so the link is left, and the next one goes where the address leads
// by now: the restart guard judges who is there.

const (
	lookEach   = 5 * time.Second // on average; half of it, or half more
	looksProbe = 4               // every so many of them open a connection
)

// splitFor is how long an address must lead to one process alone before the instance
// has a vote again.
const splitFor = time.Minute

var (
	errSplit    = errors.New("the address leads to several servers")
	errStranger = errors.New("the address leads to another server than before")
)

// lookup finds the addresses of a host.
type lookup = func(ctx context.Context, host string) ([]netip.Addr, error)

func lookUp(ctx context.Context, host string) ([]netip.Addr, error) {
	return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
}

// terminus is where a link ends.
type terminus struct {
	at     string     // the address, as it was given or announced; "": not ours to know
	runID  string     // "": not known
	addr   netip.Addr // invalid: not known, or it has none
	opened time.Time
}

func terminusOf(l *link) terminus {
	t := terminus{runID: l.seen.RunID, opened: l.seen.At}
	if remote, ok := l.net.RemoteAddr().(*net.TCPAddr); ok {
		t.addr = bare(remote.AddrPort().Addr())
	}
	return t
}

// bare is an address in the spelling that can be compared.
func bare(a netip.Addr) netip.Addr { return a.Unmap().WithZone("") }

// looking has the instance look where its address leads, if that is ours to know. What
// it returns ends that and waits for its end.
func (i *Instance) looking(ctx context.Context) (end func()) {
	if i.at == nil {
		return func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	var looks sync.WaitGroup
	looks.Go(func() { i.lookAgain(ctx) })
	return func() {
		cancel()
		looks.Wait()
	}
}

// lookAgain looks again and again, until ctx ends. The actor's Run starts it and waits
// for it.
func (i *Instance) lookAgain(ctx context.Context) {
	for turn := 1; ; turn++ {
		timer := time.NewTimer(i.looks/2 + rand.N(i.looks))
		select {
		case <-timer.C:
			i.look(ctx, turn%looksProbe == 0)
		case <-ctx.Done():
			timer.Stop()
			return
		}
	}
}

// look leaves the link if the address leads elsewhere. A name whose address has changed
// may still lead to the same server, as a balancer's does: only a connection tells.
// What cannot be found out changes nothing, unless the name says that the server is gone.
func (i *Instance) look(ctx context.Context, probing bool) {
	link := i.terminus()
	if !i.isUp() {
		return
	}
	renamed := i.renamed(ctx, link)
	if !renamed && !probing {
		return
	}
	began := time.Now()
	who, err := i.visit(ctx)
	if err == nil {
		err = i.met(who, began)
	}
	switch {
	case ctx.Err() != nil, errors.Is(err, errStranger): // and the link has been left
	case renamed && (err != nil || who.RunID == "" || link.runID == ""):
		i.depart(link, "its name leads to another address")
	}
}

// renamed reports whether the name in the address does not lead any more to where the
// link ends.
func (i *Instance) renamed(ctx context.Context, link terminus) bool {
	host, _, err := net.SplitHostPort(i.cfg.reachable(i.at()))
	if _, literal := netip.ParseAddr(host); i.lookup == nil || err != nil || literal == nil || !link.addr.IsValid() {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, i.cfg.Timeout)
	defer cancel()
	addrs, err := i.lookup(ctx, host)
	if err != nil || len(addrs) == 0 {
		return false
	}
	return !slices.ContainsFunc(addrs, func(a netip.Addr) bool { return bare(a) == link.addr })
}

// visit opens a connection to where the address leads now, asks who is there, and
// closes it.
func (i *Instance) visit(ctx context.Context) (restart.Sighting, error) {
	ctx, cancel := context.WithTimeout(ctx, i.cfg.Timeout)
	defer cancel()
	conn, err := i.redial(ctx)
	if err != nil {
		return restart.Sighting{}, err
	}
	opt := *i.client.Options()
	h := hold(conn, &opt, i.cfg)
	defer h.close()
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() }) // go-redis would not notice
	defer stop()
	return whoIs(ctx, h.conn)
}

// whoIs asks a server who it is. Where INFO is not permitted nothing is known, and that
// is no error; that it is no master is one.
func whoIs(ctx context.Context, conn *redis.Conn) (restart.Sighting, error) {
	pipe := conn.Pipeline()
	server := pipe.Info(ctx, "server")
	replication := pipe.Info(ctx, "replication")
	if _, err := pipe.Exec(ctx); err != nil && !isServerError(err) {
		return restart.Sighting{}, err
	}
	var l link
	err := l.learn(server, replication)
	return l.seen, err
}

// met compares who was found on a connection that was begun then with who is at the
// other end of the link. If that is another process, the link is left: either the
// address has changed, and the next link leads there, too, or it leads to both.
func (i *Instance) met(who restart.Sighting, began time.Time) error {
	link := i.terminus()
	if who.RunID == "" || link.runID == "" || who.RunID == link.runID || began.Before(link.opened) {
		return nil
	}
	_ = i.seen.saw(i.at(), who.RunID, began, time.Now()) // the next link heeds it
	i.depart(link, "its address leads to another server")
	return errStranger
}

// isSame is met for who is at the other end of a connection that was begun then. One
// that is no master has no vote, and so contradicts nobody.
func (i *Instance) isSame(ctx context.Context, conn *redis.Conn, began time.Time) error {
	who, err := whoIs(ctx, conn)
	switch {
	case errors.Is(err, errReplica):
		return nil
	case err != nil:
		return err
	}
	return i.met(who, began)
}

// depart has the actor leave a link, unless it has already.
func (i *Instance) depart(link terminus, why string) {
	i.log.Warn("connection is replaced by a new one", "reason", why, "run_id", link.runID, "addr", link.addr.String())
	i.Post(relocation{of: link.opened})
}

// terminus returns where the link ends, or did when there was one.
func (i *Instance) terminus() terminus {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.ends
}

// arrive takes down where a new link ends. It objects when the address leads elsewhere,
// too: then the instance is no one Redis. began is when it was dialed.
func (i *Instance) arrive(l *link, began time.Time) error {
	if i.at != nil {
		if err := i.seen.saw(i.at(), l.seen.RunID, began, time.Now()); err != nil {
			return err
		}
	}
	before, now := i.terminus(), terminusOf(l)
	if i.at != nil {
		now.at = i.at()
	}
	if before.at != "" && before.at != now.at {
		i.log.Warn("the sentinels name another master", "master", i.cfg.Sentinel.Master, "from", before.at, "to", now.at)
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.ends = now
	return nil
}

// seen is which processes an address has led to.
//
// One that moves leads to one process after the other. So one that leads to a process,
// then to another, and then to the first again leads to both, or did within splitFor: a
// lock on one of them is nothing to the other.
type seen struct {
	mu     sync.Mutex
	at     string               // the address
	runID  string               // the process that it led to last
	since  time.Time            // when that was first seen to be there
	before map[string]time.Time // those that it led to before, and when it stopped
	split  time.Time            // when it was last seen to lead back; zero: never
}

// saw notes that a connection that was begun then led to a process. It returns errSplit
// while the address is not known to lead to one alone.
//
// A connection that was begun before the last process had been seen says nothing about
// what came after it.
func (s *seen) saw(at, runID string, began, now time.Time) error {
	if runID == "" {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.at != at {
		s.at, s.runID, s.before, s.split = at, "", make(map[string]time.Time), time.Time{}
	}
	for other, until := range s.before {
		if now.Sub(until) >= splitFor {
			delete(s.before, other)
		}
	}
	switch _, back := s.before[runID]; {
	case s.runID == runID, s.runID != "" && began.Before(s.since):
	case s.runID == "":
		s.runID, s.since = runID, now
	default:
		s.before[s.runID] = now
		delete(s.before, runID)
		s.runID, s.since = runID, now
		if back {
			s.split = now
		}
	}
	if !s.split.IsZero() && now.Sub(s.split) < splitFor {
		return fmt.Errorf("%w: at least %d Redis processes have answered at %s by turns, and a lock on one is nothing to the other: give each server an address of its own", errSplit, 1+len(s.before), at)
	}
	return nil
}
