package engine

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/holdfast-go/holdfast/instance"
	"github.com/holdfast-go/holdfast/internal/slots"
)

// Option says how one acquire differs from the engine's Config.
type Option func(*request)

// WithTTL sets this lease's length. The rules are those of Config.TTL.
func WithTTL(ttl time.Duration) Option {
	return func(r *request) {
		r.ttl = ttl
		r.check(checkTTL("WithTTL", ttl, r.maxTTL))
	}
}

// WithoutRenewal makes a lease of fixed length: it ends at its deadline unless
// it is extended or released before.
func WithoutRenewal() Option { return func(r *request) { r.renew = false } }

// WithToken sets the token, instead of a fresh random one for every attempt: 1
// to 1024 bytes. The token proves ownership, so two holders of the same one can
// release each other's lock. Use it for one attempt: where instances hang, a late
// release of one attempt can delete the lock of a later one; and when a connection breaks in the middle,
// a key that may be ours or an earlier lease's is left to its TTL. Lease.Detach and
// Adopt are the way to give a lease to another process.
func WithToken(token string) Option {
	return func(r *request) {
		r.token = token
		r.check(checkToken(token))
	}
}

// WithTries sets how many rounds of votes this Acquire takes part in: 0 is
// until the context ends, and less is an error. A TryAcquire has one in any case.
func WithTries(tries int) Option {
	return func(r *request) {
		r.tries = tries
		if tries < 0 {
			r.check(fmt.Errorf("WithTries is %d: it must be 0 (until the context ends) or more", tries))
		}
	}
}

// WithWait bounds how long this call waits for the lock, from when it is called, and
// not what is done under the lock: the lease, and the context of Do's function, are
// as without it. Any time above 0; whatever ends first counts, this or ctx.
//
// The error is then what it is when ctx has a deadline: context.DeadlineExceeded,
// joined with ErrHeld or ErrNoQuorum, and Outcome says "timeout". ctx itself has not
// ended. TryAcquire and Adopt wait for nobody but the servers, and it bounds that.
func WithWait(d time.Duration) Option {
	return func(r *request) {
		r.wait = d
		if d <= 0 {
			r.check(fmt.Errorf("WithWait is %v: it must be above 0; leave it out to wait until the context ends", d))
		}
	}
}

// bound is the context under which a request waits. The func must be called when
// the waiting is over.
func (r *request) bound(ctx context.Context) (context.Context, context.CancelFunc) {
	if r.wait == 0 {
		return ctx, func() {}
	}
	return context.WithTimeoutCause(ctx, r.wait, late{r.wait, "WithWait"})
}

// WithFencing gives the lease a fencing token, a number that is higher for
// every later acquire of the resource: Lease.Fence. Every acquire of the resource
// must use it, and what the lock protects must reject numbers below the highest
// it has seen.
//
// The highest numbers of all resources are kept in one key behind Config.KeyPrefix, "fences:1", which
// takes 459 KB, and in a cluster in a key for each, "fence:{resource}". So nobody may lock a resource of
// such a name; the first is refused.
func WithFencing() Option { return func(r *request) { r.fencing = true } }

// WithMaxHold ends the lease, with lease.ErrMaxHold, when it has been held for
// so long: a holder that hangs cannot keep the resource for ever. From 1ms to 8760h. The
// key in Redis ends then, too, but for the drift, whatever the TTL: the next one
// need not wait for a holder that hangs to release. Adopt does not shorten the life
// that the key already has.
func WithMaxHold(d time.Duration) Option {
	return func(r *request) {
		r.maxHold = d
		if d < time.Millisecond || d > longestTTL {
			r.check(fmt.Errorf("WithMaxHold is %v: it must be from 1ms to %v; leave it out for no limit", d, longestTTL))
		}
	}
}

// WithWatch has the servers tell when the lock of this lease goes before its time: when its key is deleted
// or taken by force, by anybody, overwritten, or made to expire. They are asked at once then whose the lock
// is, and when a quorum says that it is not ours the lease ends, within milliseconds, as it would with its next
// renewal. Whatever a minority of the servers loses ends nothing, as without. It is for those who must stop
// at once; a lease without renewal would be told of its loss by nothing else.
//
// The price is two cheap commands and a message of each server for each renewal, on a second connection, and nothing for
// leases that are held for less than 20ms. It is a help and no promise: where a server
// does not support or permit CLIENT TRACKING, its loss is learnt with the next renewal, which the log says once.
func WithWatch() Option { return func(r *request) { r.watch = true } }

// request is one acquire: what is locked and how.
type request struct {
	op       string
	resource string
	key      string
	ttl      time.Duration
	tries    int
	wait     time.Duration // 0: until the context ends
	renew    bool
	fencing  bool
	watch    bool   // the servers tell when the lock is gone
	token    string // the user's own; "" is a fresh one for every attempt
	former   string // of an adoption: the token that has the lock
	maxHold  time.Duration
	maxTTL   time.Duration
	reserve  uint64            // fences that a grant brings besides its own: see redisLock
	seen     uint64            // the highest fence that a refusal has shown
	proposed uint64            // the highest number of the last attempt
	clock    uint64            // in µs, a server's, when ours is too far ahead; else 0
	place    *place            // in the queue; nil: none
	several  *several          // of AcquireAll: then resource and key are those of the one that stands in the way; nil: it is one
	permits  *permits          // of Permits: then key is that of the resource, which nobody locks; nil: it is a lock of the resource's own
	leads    *leading          // of Campaign: what the lease is to say; nil: it is a lock
	sharing  *instance.Sharing // of Shared: what the lock has beside it; nil: it is to be had alone
	keeps    *keptLock         // it is for an AcquireAll that waits for others besides; nil: it is not
	posed    question          // what the one that released the lock has asked already; usually nothing
	loop     waitLoop          // of an Acquire: here, since it would be allocated each time
	errs     []error
}

func (r *request) check(err error) {
	if err != nil {
		r.errs = append(r.errs, err)
	}
}

// request reads the options. What it returns may be put back into e.requests
// when nobody looks at it any more.
func (e *Engine) request(op, resource string, opts []Option) (*request, error) {
	r, ok := e.requests.Get().(*request)
	if !ok {
		r = new(request)
	}
	*r = request{
		op:       op,
		resource: resource,
		key:      e.key(resource),
		ttl:      e.cfg.TTL,
		tries:    e.cfg.Tries,
		renew:    true,
		maxTTL:   e.cfg.MaxTTL,
		reserve:  uint64(e.cfg.LocalHandoff),
	}
	r.check(checkResource(resource))
	for _, opt := range opts {
		if opt != nil {
			opt(r)
		}
	}
	if v := e.cfg.validity(r.ttl); v <= 0 && len(r.errs) == 0 {
		r.check(fmt.Errorf("a TTL of %v leaves no validity: clock drift is taken to be %v", r.ttl, r.ttl-v))
	}
	if r.maxHold > 0 && len(r.errs) == 0 {
		r.ttl = e.cfg.covering(r.maxHold, r.ttl)
	}
	if r.permits != nil && len(r.errs) == 0 {
		r.check(r.permits.prepare(e, r))
	}
	if r.sharing != nil && len(r.errs) == 0 {
		r.check(r.share(e))
	}
	if len(r.errs) > 0 {
		return nil, fmt.Errorf("engine: %s: %w", op, join(r.errs...))
	}
	return r, nil
}

func (e *Engine) key(resource string) string {
	if e.cfg.KeyPrefix == "" {
		return resource
	}
	return e.cfg.KeyPrefix + resource
}

func checkResource(resource string) error {
	switch n := len(resource); {
	case n == 0:
		return errors.New("the resource is empty: name what is to be locked")
	case n > maxResource:
		return fmt.Errorf("the resource's name has %d bytes: at most %d", n, maxResource)
	case resource == slots.FenceTable:
		return fmt.Errorf("the resource is called %q, as the key that has the fencing tokens: choose another name", resource)
	}
	return nil
}

func checkToken(token string) error {
	if n := len(token); n == 0 || n > maxToken {
		return fmt.Errorf("the token has %d bytes: it must have 1 to %d", n, maxToken)
	}
	for _, mark := range [...]string{instance.SharedMark, instance.WritersMark} {
		if strings.HasPrefix(token, mark) {
			return fmt.Errorf("the token begins with %q, which marks a lock that is shared: choose another", mark)
		}
	}
	return nil
}
