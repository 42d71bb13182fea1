package reach

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/holdfast-go/holdfast/internal/fault"
	"github.com/holdfast-go/holdfast/internal/restart"
)

// An address can come to lead to another server, while the one that it led to lives
// on, and our link with it: then we lock on one server and clients that connect from now
// on lock on another. And an address can lead to several servers all the time, as a
// balancer's does. So the instance looks now and then where its address leads:
//
//	its name is looked up      at every look     the link's address must be among the answers
//	a connection is opened     at every fourth   the process must be the one that the link has
//
// Where that is not so the link is left, and the next one goes where the address leads
// by now: the restart guard judges who is there.

const (
	LookEach   = 5 * time.Second // on average; half of it, or half more
	looksProbe = 4               // every so many of them open a connection
)

// splitFor is how long an address must lead to one process alone before the instance
// has a vote again.
const splitFor = time.Minute

var (
	ErrSplit    = fault.NewLasting("the address leads to several servers")
	errStranger = errors.New("the address leads to another server than before")
)

// Looks looks where an address leads, as long as a link to it stands. Its fields but the
// last are set before it is used.
type Looks struct {
	Every   time.Duration                               // how often, on average
	Timeout time.Duration                               // of one look
	At      func() string                               // the address that was dialed last; nil: not ours to know
	Mapped  map[string]string                           // Config.AddrMap
	Lookup  LookupFunc                                  // of the name in it; nil: not ours to do
	Redial  func(ctx context.Context) (net.Conn, error) // dials where the actor last has
	Options func() *redis.Options                       // for the connection that asks who is there
	Up      func() bool                                 // whether there is a link
	Leave   func(opened time.Time)                      // has the actor leave the link that was opened then
	Master  string                                      // its name at the sentinels
	Log     *slog.Logger

	seen seen
	mu   sync.Mutex
	ends Terminus // where the link ends, or did
}

// LookupFunc finds the addresses of a host.
type LookupFunc = func(ctx context.Context, host string) ([]netip.Addr, error)

func LookUp(ctx context.Context, host string) ([]netip.Addr, error) {
	return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
}

// Terminus is where a link ends.
type Terminus struct {
	at     string     // the address, as it was given or announced; "": not ours to know
	RunID  string     // "": not known
	Addr   netip.Addr // invalid: not known, or it has none
	Opened time.Time
}

func terminusOf(conn net.Conn, who restart.Sighting) Terminus {
	t := Terminus{RunID: who.RunID, Opened: who.At}
	if remote, ok := conn.RemoteAddr().(*net.TCPAddr); ok {
		t.Addr = bare(remote.AddrPort().Addr())
	}
	return t
}

// bare is an address in the spelling that can be compared.
func bare(a netip.Addr) netip.Addr { return a.Unmap().WithZone("") }

// Running looks again and again, if the address is ours to know. What it returns ends
// that and waits for its end.
func (l *Looks) Running(ctx context.Context) (end func()) {
	if l.At == nil {
		return func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	r := new(rounds)
	r.begin(l.pause, func(n int) { l.look(ctx, n%looksProbe == 0) })
	return func() {
		cancel()
		r.end()
	}
}

// rounds calls a func again and again. In the pauses there is no goroutine, of which very many engines would have very many.
type rounds struct {
	mu    sync.Mutex
	timer *time.Timer
	over  bool
	calls sync.WaitGroup // one that is to come, or goes on
}

// begin has look called after each pause, with how often it was called.
func (r *rounds) begin(pause func() time.Duration, look func(n int)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := 0
	r.calls.Add(1)
	r.timer = time.AfterFunc(pause(), func() {
		defer r.calls.Done()
		n++
		look(n)
		r.mu.Lock()
		defer r.mu.Unlock()
		if !r.over {
			r.calls.Add(1)
			r.timer.Reset(pause())
		}
	})
}

// end waits for the end of a call that goes on.
func (r *rounds) end() {
	r.mu.Lock()
	r.over = true
	if r.timer.Stop() {
		r.calls.Done()
	}
	r.mu.Unlock()
	r.calls.Wait()
}

// pause is how long it is until the next look.
func (l *Looks) pause() time.Duration { return l.Every/2 + rand.N(l.Every) }

// look leaves the link if the address leads elsewhere. A name whose address has changed
// may still lead to the same server, as a balancer's does: only a connection tells.
// What cannot be found out changes nothing, unless the name says that the server is gone.
func (l *Looks) look(ctx context.Context, probing bool) {
	link := l.Terminus()
	if !l.Up() {
		return
	}
	renamed := l.Renamed(ctx, link)
	if !renamed && !probing {
		return
	}
	began := time.Now()
	who, err := l.visit(ctx)
	if err == nil {
		err = l.met(who, began)
	}
	switch {
	case ctx.Err() != nil, errors.Is(err, errStranger): // and the link has been left
	case renamed && (err != nil || who.RunID == "" || link.RunID == ""):
		l.depart(link, "its name leads to another address")
	}
}

// Renamed reports whether the name in the address does not lead any more to where the
// link ends.
func (l *Looks) Renamed(ctx context.Context, link Terminus) bool {
	host, _, err := net.SplitHostPort(reachable(l.Mapped, l.At()))
	if _, literal := netip.ParseAddr(host); l.Lookup == nil || err != nil || literal == nil || !link.Addr.IsValid() {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, l.Timeout)
	defer cancel()
	addrs, err := l.Lookup(ctx, host)
	if err != nil || len(addrs) == 0 {
		return false
	}
	return !slices.ContainsFunc(addrs, func(a netip.Addr) bool { return bare(a) == link.Addr })
}

// visit opens a connection to where the address leads now, asks who is there, and
// closes it.
func (l *Looks) visit(ctx context.Context) (restart.Sighting, error) {
	ctx, cancel := context.WithTimeout(ctx, l.Timeout)
	defer cancel()
	conn, err := l.Redial(ctx)
	if err != nil {
		return restart.Sighting{}, err
	}
	h := Pin(conn, l.Options(), l.Timeout)
	defer h.Close()
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() }) // go-redis would not notice
	defer stop()
	return WhoIs(ctx, h.Conn)
}

// met compares the process that was found on a connection that was begun then with
// the one at the other end of the link. If that is another process, the link is left: either the
// address has changed, and the next link leads there, too, or it leads to both.
func (l *Looks) met(who restart.Sighting, began time.Time) error {
	link := l.Terminus()
	if who.RunID == "" || link.RunID == "" || who.RunID == link.RunID || began.Before(link.Opened) {
		return nil
	}
	if l.At != nil {
		_ = l.seen.saw(l.At(), who.RunID, began, time.Now()) // the next link heeds it
	}
	l.depart(link, "its address leads to another server")
	return errStranger
}

// IsSame is met for the process at the other end of a connection that was begun then.
// One that is no master has no vote, and so contradicts nobody.
func (l *Looks) IsSame(ctx context.Context, conn *redis.Conn, began time.Time) error {
	who, err := WhoIs(ctx, conn)
	switch {
	case errors.Is(err, ErrReplica):
		return nil
	case err != nil:
		return err
	}
	return l.met(who, began)
}

// depart has the actor leave a link, unless it has already.
func (l *Looks) depart(link Terminus, why string) {
	l.Log.Warn("connection is replaced by a new one", "reason", why, "run_id", link.RunID, "addr", link.Addr.String())
	l.Leave(link.Opened)
}

// Terminus returns where the link ends, or did when there was one.
func (l *Looks) Terminus() Terminus {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.ends
}

// Arrive takes down where a new link ends. It objects when the address leads elsewhere,
// too: then the instance is no one Redis. began is when it was dialed.
func (l *Looks) Arrive(conn net.Conn, who restart.Sighting, began time.Time) error {
	if l.At != nil {
		if err := l.seen.saw(l.At(), who.RunID, began, time.Now()); err != nil {
			return err
		}
	}
	before, now := l.Terminus(), terminusOf(conn, who)
	if l.At != nil {
		now.at = l.At()
	}
	if before.at != "" && before.at != now.at {
		l.Log.Warn("the sentinels name another master", "master", l.Master, "from", before.at, "to", now.at)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ends = now
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

// saw notes that a connection that was begun then led to a process. It returns ErrSplit
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
		return fmt.Errorf("%w: at least %d Redis processes have answered at %s by turns, and a lock on one is nothing to the other: give each server an address of its own", ErrSplit, 1+len(s.before), at)
	}
	return nil
}
