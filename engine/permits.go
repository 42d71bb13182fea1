package engine

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/holdfast-go/holdfast/instance"
	"github.com/holdfast-go/holdfast/internal/clock"
	"github.com/holdfast-go/holdfast/internal/slots"
	"github.com/holdfast-go/holdfast/lease"
)

// MaxPermits is how many permits a resource may have, and MaxWeight how many of them one lease may be of.
const (
	MaxPermits = 128
	MaxWeight  = maxSeveral
)

// Permits lets as many as n hold the resource at once, 1 to MaxPermits: each lease is of one permit, or of as many as Weight
// says. A permit is a lock of its own, on a majority of the instances, so that nobody counts and there are never more than n
// holders, whatever fails, under the assumptions of an exclusive lease. Lease.Slots says which it is.
//
// All who use the resource must say Permits: an acquire without it takes another lock, and neither excludes the other. n may
// change while leases are held; while some say one number and some another, the larger one holds. Where it has become less,
// the permits above it are given to nobody any more.
//
// A free permit takes one round trip: an engine asks for the one that it gave back last. When that is taken a server says
// which is free, which is another round trip. Who waits is told when any of the permits is given back: in its engine it stands in
// line, and engines are served in the order in which they came, up to those who ask before they have heard of a queue. Who wants
// several keeps those behind it waiting, too. A permit that its holder has left to expire is noticed within 1.5s.
//
// It is for Acquire, TryAcquire, Do and TryDo. WithFencing, WithToken, AcquireAll, TryAcquireEach and Adopt are refused
// together with it. A permit has a name, Engine.PermitName: by that Inspect says who has it, Adopt takes over what
// Lease.Detach has left of it, and ForceRelease takes it away. It is not handed on (Config.LocalHandoff). In a cluster a
// resource whose name has a closing brace that closes nothing is refused, with ErrRefused.
func Permits(n int) Option {
	return func(r *request) {
		r.ofPermits().n = n
		if n < 1 || n > MaxPermits {
			r.check(fmt.Errorf("Permits is %d: it must be from 1 to %d", n, MaxPermits))
		}
	}
}

// Weight makes the lease one of so many permits, all or none of them, 1 to MaxWeight, and no more than Permits says. An
// acquire of several that has waited for a second collects them: it locks those that it gets, though nobody holds them, until
// it has all. One at a time does so. So it gets them in the end, however busy they are.
func Weight(w int) Option {
	return func(r *request) {
		r.ofPermits().weight = w
		if w < 1 || w > MaxWeight {
			r.check(fmt.Errorf("Weight is %d: it must be from 1 to %d", w, MaxWeight))
		}
	}
}

// permits is the part of a request for permits.
type permits struct {
	n, weight int
	pool      *pool
	names     []string // the keys of all n
	guessed   bool     // it has asked for those that it thinks are free

	chosen []int // which permits the last question was about, in ascending order
	heldAt int   // where too few were free in the last round, so that the bell hangs there; everybody: nowhere
	inVain bool  // some were free there, and the others have refused
}

// ofPermits is the part for permits.
func (r *request) ofPermits() *permits {
	if r.permits == nil {
		r.permits = &permits{weight: 1, heldAt: everybody}
	}
	return r.permits
}

// prepare checks what is asked for, and finds the names.
func (p *permits) prepare(e *Engine, r *request) error {
	switch {
	case p.n == 0:
		return errors.New("Weight without Permits: say how many permits there are")
	case p.weight > p.n:
		return fmt.Errorf("Weight is %d, of %d permits: there are never so many", p.weight, p.n)
	case r.fencing:
		return errors.New("Permits with WithFencing: several hold the resource at once, so no number could tell the later from the earlier")
	case r.token != "":
		return errors.New("Permits with WithToken: a permit gets a fresh token")
	}
	p.pool = e.permits.of(e.cfg.KeyPrefix, r.key, p.n)
	p.names = p.pool.names(p.n)
	return nil
}

// refuseWith is the error of a call that knows no permits.
func (p *permits) refuseWith(call string) error {
	if p == nil {
		return nil
	}
	return fmt.Errorf("Permits with %s: permits are acquired one resource at a time, by Acquire or TryAcquire", call)
}

// keys are the keys of some permits.
func (p *permits) keys(which []int) []string {
	keys := make([]string, len(which))
	for k, slot := range which {
		keys[k] = p.names[slot]
	}
	return keys
}

// PermitName is the name of one permit of a resource, as Inspect, Adopt and ForceRelease know it: as if it were a resource of
// its own, to which an acquire without Permits would have the same right. slot is 0 to MaxPermits-1.
func (e *Engine) PermitName(resource string, slot int) string {
	return e.resource(permitKey(e.cfg.KeyPrefix, e.key(resource), slot))
}

// permitKey is the key of one permit.
func permitKey(prefix, key string, slot int) string {
	return slots.Beside(prefix, fmt.Sprint(slots.Permit, slot), key)
}

// heldPermits are those of a lease.
type heldPermits struct {
	pool  *pool
	slots []int
}

// permits are those that the lease is of; nil: it is of none.
func (h *holding) permits() *heldPermits {
	if h.lock == nil {
		return nil
	}
	return h.lock.permits
}

// holdPermits is hold for permits.
func (e *Engine) holdPermits(g lease.Grant, r *request, start clock.Moment) (*lease.Lease, error) {
	p := r.permits
	h := &holding{engine: e, since: start.Time, kept: r.keeps != nil}
	h.lock = &redisLock{token: g.Token, since: start.Time, keys: p.keys(p.chosen), permits: &heldPermits{p.pool, p.chosen}}
	h.key = h.lock.keys[0]
	h.entry.Locks = uint8(len(p.chosen))
	g.Resource, g.Slots = r.resource, p.chosen
	p.pool.took(p.chosen)
	r.keeps.note(h)
	l, err := e.takeIntoCare(h, g, r, start)
	if err != nil {
		p.pool.gaveBack(p.chosen)
	}
	return l, err
}

// bellLife is how long a bell hangs, so that permits which nobody gives back are found.
const bellLife = 1500 * time.Millisecond

// ring returns what takes the bell down.
func (s *pool) ring() *instance.Release {
	return &instance.Release{Key: s.bell, Token: instance.BellToken, TTL: bellLife, To: nobodyWaits{}}
}

// nobodyWaits takes votes that nobody waits for.
type nobodyWaits struct{}

func (nobodyWaits) Cast(instance.Vote) {}

// part is the name of one of the resources of a lease of several.
func (h *holding) part(key string) string {
	if h.permits() != nil {
		return h.lease().Resource()
	}
	return h.engine.resource(key)
}

// among says of what a lease was lost, of several resources or permits.
func (h *holding) among(key string) string {
	if p := h.permits(); p != nil {
		which := slices.Index(h.lock.keys, key)
		return fmt.Sprintf("permit %d of %q", p.slots[max(which, 0)], h.lease().Resource())
	}
	return fmt.Sprintf("%q, one of several", h.engine.resource(key))
}
