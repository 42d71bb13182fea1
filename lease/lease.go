package lease

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/holdfast-go/holdfast/internal/clock"
	"github.com/holdfast-go/holdfast/internal/ending"
)

// Lease is the right to a resource until Deadline. All methods are safe for
// concurrent use, and only Extend and Release block. The zero value has never been held.
type Lease struct {
	resource string
	token    string
	backend  Backend
	special  *special // nil: nothing

	mu       sync.Mutex
	deadline clock.Moment  // moves only forward; zero: it has never been held
	err      error         // nil while held; written once
	done     chan struct{} // made by the first Done; closed by end
	watchers *watcher      // the contexts that end with the lease, a list
}

// special is what few leases have: a million others need not carry it.
type special struct {
	fence  uint64       // 0: none
	limit  clock.Moment // the deadline never passes it; zero: no limit
	parts  *parts       // nil: it is of one resource, and no permits
	shared bool
}

// parts are what a lease of more than one lock is of.
type parts struct {
	resources []string // all of them, if they are several; else nil
	slots     []int    // of the permits, if it is of some; else nil
}

// parts are those of the lease: none of either, if it is of one lock.
func (l *Lease) parts() parts {
	if l.special == nil || l.special.parts == nil {
		return parts{}
	}
	return *l.special.parts
}

// Backend is how a lease reaches the instances. The engine implements it, and knows
// which lease it is asked for.
type Backend interface {
	// Extend asks a quorum to let the lease live for at least ttl from now. It blocks until a quorum has answered.
	Extend(ctx context.Context, ttl time.Duration) error
	// Release ends the lease, then gives it back on the instances. It blocks until a quorum has answered.
	Release(ctx context.Context) error
	// Detach ends the lease, leaves the lock as it is, and returns the token that
	// has it. It does not block.
	Detach() (token string, err error)
	// Ended is called once, right after the lease ended, by the call that noticed,
	// and never while the lease's lock is held. It must not block.
	Ended(cause error)
}

// owner is the backend of the lease. Nobody has made a zero one.
func (l *Lease) owner() Backend {
	if l.backend == nil {
		return nobody{}
	}
	return l.backend
}

// nobody is the backend of a lease that nobody has made: it has expired.
type nobody struct{}

func (nobody) Extend(context.Context, time.Duration) error { return errUnmade }
func (nobody) Release(context.Context) error               { return errUnmade }
func (nobody) Detach() (string, error)                     { return "", errUnmade }
func (nobody) Ended(error)                                 {}

// Resource returns the name of what is locked: of several resources (Engine.AcquireAll), the first of
// Resources.
func (l *Lease) Resource() string { return l.resource }

// Resources returns the names of all that is locked, in ascending order of their bytes: of a lease of one resource, just
// Resource. What is returned is the caller's own.
func (l *Lease) Resources() []string {
	if all := l.parts().resources; all != nil {
		return slices.Clone(all)
	}
	return []string{l.resource}
}

// Slots returns which of the resource's permits the lease is of (engine.Permits): their numbers, from 0, in ascending order. It
// is nil for a lease of the resource itself. No two leases that are valid at the same time have the same one, so it may
// choose what the holder uses: the third of five connections, say. What is returned is the caller's own.
func (l *Lease) Slots() []int { return slices.Clone(l.parts().slots) }

// Shared reports whether others may hold the resource at the same time (engine.Shared): they have leases of their own. Nobody has it
// alone then.
func (l *Lease) Shared() bool { return l.special != nil && l.special.shared }

// name is what the lease is of, for people.
func (l *Lease) name() string {
	switch p := l.parts(); {
	case p.resources != nil:
		return fmt.Sprintf("%q and %d more", l.resource, len(p.resources)-1)
	case p.slots != nil:
		return fmt.Sprintf("%q, permit %s", l.resource, strings.Trim(fmt.Sprint(p.slots), "[]"))
	case l.Shared():
		return fmt.Sprintf("%q, shared", l.resource)
	}
	return strconv.Quote(l.resource)
}

// Token returns the random value that proves ownership: anybody that knows it can
// adopt, extend and release this lease. Treat it like a password. For Adopt,
// take the token that Detach returns: it is not always this one.
func (l *Lease) Token() string { return l.token }

// Fence returns the fencing token: later acquires of the resource get higher
// ones. It is 0 unless the lease was acquired with fencing.
func (l *Lease) Fence() uint64 {
	if l.special == nil {
		return 0
	}
	return l.special.fence
}

// Done returns a channel that is closed when the lease ends, at the deadline
// at the latest, even if no instance can be reached.
func (l *Lease) Done() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.done == nil {
		l.done = make(chan struct{})
		if l.err != nil {
			close(l.done)
		}
	}
	return l.done
}

// Err returns nil while the lease is held and then why it ended, always the
// first cause. It reads the clocks, in about half a microsecond: past the deadline
// it is never nil, whether or not a timer has fired, and also when the machine has
// slept meanwhile.
func (l *Lease) Err() error { return l.check(clock.Now()) }

// check is Err at the given moment.
func (l *Lease) check(now clock.Moment) error {
	l.mu.Lock()
	first, err := l.errAt(now)
	l.mu.Unlock()
	if first {
		l.owner().Ended(err)
	}
	return err
}

// Valid reports whether the lease is held now: Err() == nil.
func (l *Lease) Valid() bool { return l.Err() == nil }

// Deadline returns when the validity ends unless the lease is renewed or
// extended before. It stays what it last was when the lease has ended.
func (l *Lease) Deadline() time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.deadline.Time
}

// Remaining returns how long the lease is still valid without being renewed:
// 0 when it has ended, never less.
func (l *Lease) Remaining() time.Duration {
	now := clock.Now()
	if l.check(now) != nil {
		return 0
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return max(0, l.deadline.Until(now))
}

// Extend asks a quorum to let the lease live for at least ttl from now, and
// moves the deadline accordingly. A ttl that ends before the present deadline
// leaves it where it is: extending never shortens. ttl follows the rules of the
// engine's TTL; 0 means the lease's own.
//
// Extend never re-creates a lease: one that has ended, or whose keys a quorum
// no longer has, stays lost, and the error says which (see ErrLost). A quorum
// that cannot be reached leaves the lease as it is, with an error, and the
// deadline where it was. Extend blocks until a quorum answered, ctx ends, or
// every instance has answered or timed out.
func (l *Lease) Extend(ctx context.Context, ttl time.Duration) error {
	return l.owner().Extend(ctx, ttl)
}

// Release gives the lease back. It ends locally at once: Done is closed and Err
// is ErrReleased before the first message leaves. Then the instances are told,
// whether or not ctx has ended; Release waits for a quorum of them, at most as
// long as their timeout.
//
// It returns nil when a quorum confirmed that the lease is no longer held; the
// cause of the end when the lease had already ended before (the critical
// section was not covered to its end); and else an error that names what could
// not be confirmed: those keys go by their TTL. Releasing twice is fine, and a
// release that could not be confirmed may be called again.
func (l *Lease) Release(ctx context.Context) error {
	return l.owner().Release(ctx)
}

// Detach lets go of the lease without releasing it, for another process
// to take it over with Engine.Adopt. The lease ends here at once, with
// ErrDetached, and is not renewed any more. In Redis the resource stays locked until
// the TTL of the last renewal or extension is over: it must be adopted before, so
// extend the lease first if that may take longer.
//
// token is what Adopt needs: not always Token, see Config.LocalHandoff of the engine.
// Anybody that knows it has power over the lock. A Fence is still the highest: pass it
// to the other process beside the token.
//
// From then on nothing of the lease is sent. What was sent before, a healing say, may
// still leave a key on a minority of the instances, which goes by its TTL. Release
// sends nothing and returns ErrDetached, and Close of the engine lets the lock be. The error is the
// cause of the end when the lease has ended before, by Detach too: then there is no
// token. Detach does not block, and asks no instance whether the lock is still ours:
// Adopt does.
func (l *Lease) Detach() (token string, err error) { return l.owner().Detach() }

// String names the resource and the state, never the token.
func (l *Lease) String() string {
	if err := l.Err(); err != nil {
		return fmt.Sprintf("lease of %s: %v", l.name(), err)
	}
	return fmt.Sprintf("lease of %s: held for another %v", l.name(), l.Remaining().Round(time.Millisecond))
}

// GoString keeps the token out of %#v.
func (l *Lease) GoString() string { return l.String() }

// Format keeps the token out of every verb of package fmt.
func (l *Lease) Format(s fmt.State, _ rune) { fmt.Fprint(s, l.String()) }

// errAt returns the cause of the end, ending the lease first when its deadline
// has passed at now; first says that this call was the one that ended it.
func (l *Lease) errAt(now clock.Moment) (first bool, err error) {
	if l.err == nil && l.deadline.Until(now) <= 0 {
		l.end(l.expiry())
		return true, l.err
	}
	return false, l.err
}

func init() { ending.Expire = func(l any) { l.(*Lease).expire() } }

// expire ends the lease as its deadline does, for tests.
func (l *Lease) expire() {
	l.mu.Lock()
	first := l.err == nil
	if first {
		l.end(ErrExpired)
	}
	l.mu.Unlock()
	if first {
		l.backend.Ended(ErrExpired)
	}
}

// expiry is the cause that the deadline stands for.
func (l *Lease) expiry() error {
	if l.atLimit() {
		return ErrMaxHold
	}
	return ErrExpired
}

// atLimit reports whether the deadline cannot move any further.
func (l *Lease) atLimit() bool {
	return l.special != nil && !l.special.limit.IsZero() && l.special.limit.Until(l.deadline) <= 0
}

// end records the cause, closes Done and cancels the contexts. Called with mu held, once.
func (l *Lease) end(cause error) {
	l.err = cause
	if l.done != nil {
		close(l.done)
	}
	for w := l.watchers; w != nil; w = w.next {
		w.cancel(cause)
	}
	l.watchers = nil
}
