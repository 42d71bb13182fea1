package engine

import (
	"fmt"
	"log/slog"
	"math"
	"strings"
	"time"

	"github.com/holdfast-go/holdfast/instance"
	"github.com/holdfast-go/holdfast/internal/slots"
)

// Config says how an engine locks. The zero value works.
type Config struct {
	// TTL is the length of lease that is asked of Redis: how long a resource
	// stays locked when its holder dies. Default 10s; at least 1ms, whole
	// milliseconds, at most MaxTTL.
	TTL time.Duration

	// RenewEvery is how often a held lease is renewed. Default TTL/3; less than
	// the validity of a fresh lease. A lease with a TTL of its own is renewed
	// proportionally.
	RenewEvery time.Duration

	// DriftFactor is how much faster than ours a server's clock may run, as a
	// fraction; that part of every TTL, and a fixed 2ms, is not relied on.
	// Default 0.01; less than 1, and not negative.
	DriftFactor float64

	// Tries is how many rounds of votes an Acquire takes part in before it
	// gives up; a TryAcquire has one. Not negative. Default 0: until its context ends.
	Tries int

	// Backoff makes the Backoff of one Acquire. When the time left of the lock that
	// stands in the way is known and shorter, that is the wait. A Backoff that hangs
	// is left behind when the context ends. Default, also for a Backoff that is nil:
	// random, 5ms on average at first and up to 250ms later, without an end.
	Backoff func() Backoff

	// KeyPrefix comes before the resource in the names of the keys, at most 1024 bytes. Default
	// "": the resource is the key, as in aioredlock. A brace in it must belong to
	// a cluster hash tag, as in "{locks}:". The queue of those that wait for a resource is
	// in keys behind it, "queue:{resource}" and others that begin with "queue-", as fences
	// are in "fences:1", in a cluster in "fence:{resource}": nobody may lock resources of such names.
	KeyPrefix string

	// Owner is shown to others who look at the lock: a host, a job, a person.
	// It becomes part of the token. Default "". At most 128 bytes of printable
	// ASCII, without '~'.
	Owner string

	// Logger is told of lost leases and of instances that go up and down. Its
	// handler is called on a goroutine that does nothing else: lines that it is too
	// slow for are dropped and counted. Default: silent.
	Logger *slog.Logger

	// Trace has funcs that are called at the steps of every lock. Default: none.
	Trace *Trace

	// MaxTTL is the longest TTL that anybody in the fleet asks for. The restart guard keeps a restarted
	// instance from voting on new acquires for MaxTTL + InstanceTimeout + drift. It must be
	// the same for all engines that share instances. Default 60s; at least 1ms,
	// at most 8760h, a year.
	MaxTTL time.Duration

	// Guard says what is made of instances that may have restarted without
	// their memory. Default instance.GuardAdaptive, with which a first deployment
	// need not wait; instance.GuardStrict where all instances may be restarted at once
	// while engines hold leases.
	Guard instance.Guard

	// InstanceTimeout is the instance.Config.Timeout of the instances that Open
	// dials. Default 500ms; from 1ms to instance.MaxTimeout.
	InstanceTimeout time.Duration

	// LocalHandoff is how many times in a row a released lock may pass to the
	// next in this engine's line without a round trip, while other engines wait. It
	// ends sooner when this engine has had the resource for 5ms, or eight round trips:
	// then others have their turn. Where nobody else waited lately, it looks for them after
	// up to 320ms only.
	// Each holder gets a Lease of its own, with a higher fencing token if it asked
	// for one. The Token of a lease of such an engine is not what Redis has: it
	// cannot be adopted, but the one that Detach returns can, and Inspect shows another.
	// With fencing it may be fewer times: the numbers for it are reserved with each
	// acquire, a million a second at most. Default 0: never; at most 65536.
	LocalHandoff int

	// MaxWaiters is how many Acquires may wait in this engine at once; more are
	// refused with ErrHeld. Not negative; there is no upper bound. Default 65536.
	MaxWaiters int
}

// fixedDrift is what the Redlock text adds to the proportional part for the
// granularity of expiry in Redis.
const fixedDrift = 2 * time.Millisecond

// longestTTL bounds Config.MaxTTL, and how long a lease may be held at most, so
// that no sum of times is longer than a time.Duration can be.
const longestTTL = 365 * 24 * time.Hour

// maxHandoff bounds Config.LocalHandoff: an acquire with fencing reserves as many numbers.
const maxHandoff = 1 << 16

// The bounds of names and tokens, in bytes.
const (
	maxOwner    = 128
	maxResource = 1024
	maxToken    = 1024
)

func (c Config) withDefaults() (Config, error) {
	setDefault(&c.TTL, 10*time.Second)
	setDefault(&c.MaxTTL, time.Minute)
	setDefault(&c.RenewEvery, c.TTL/3)
	setDefault(&c.InstanceTimeout, 500*time.Millisecond)
	setDefault(&c.MaxWaiters, 1<<16)
	if c.DriftFactor == 0 {
		c.DriftFactor = 0.01
	}
	if c.Backoff == nil {
		c.Backoff = defaultBackoff
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Trace == nil {
		c.Trace = new(Trace)
	}
	if err := c.validate(); err != nil {
		return c, fmt.Errorf("engine: bad Config: %w", err)
	}
	return c, nil
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// validate reports everything that is wrong, each with the field's name.
func (c Config) validate() error {
	var errs []error
	refuse := func(bad bool, format string, args ...any) {
		if bad {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	refuse(c.MaxTTL < time.Millisecond || c.MaxTTL > longestTTL, "MaxTTL is %v: it must be from 1ms to %v", c.MaxTTL, longestTTL)
	if err := checkTTL("TTL", c.TTL, c.MaxTTL); err != nil {
		errs = append(errs, err)
	}
	driftOK := c.DriftFactor >= 0 && c.DriftFactor < 1 && !math.IsNaN(c.DriftFactor)
	refuse(!driftOK, "DriftFactor is %v: it must be from 0 to less than 1", c.DriftFactor)
	refuse(c.RenewEvery < 0, "RenewEvery is %v: it must not be negative", c.RenewEvery)
	if v := c.validity(c.TTL); !driftOK || c.TTL < 10*time.Millisecond {
		refuse(c.RenewEvery > c.TTL, "RenewEvery is %v, longer than the TTL, which is %v: renew more often", c.RenewEvery, c.TTL)
	} else {
		refuse(c.RenewEvery >= v, "RenewEvery is %v, but with TTL %v and DriftFactor %v a lease is valid for %v only: renew more often", c.RenewEvery, c.TTL, c.DriftFactor, v)
	}
	refuse(c.Tries < 0, "Tries is %d: it must be 0 (until the context ends) or more", c.Tries)
	refuse(c.InstanceTimeout < time.Millisecond || c.InstanceTimeout > instance.MaxTimeout, "InstanceTimeout is %v: it must be from 1ms to %v", c.InstanceTimeout, instance.MaxTimeout)
	refuse(c.LocalHandoff < 0 || c.LocalHandoff > maxHandoff, "LocalHandoff is %d: it must be from 0 (never) to %d", c.LocalHandoff, maxHandoff)
	refuse(c.MaxWaiters < 0, "MaxWaiters is %d: it must not be negative", c.MaxWaiters)
	refuse(len(c.KeyPrefix) > maxResource, "KeyPrefix has %d bytes: at most %d", len(c.KeyPrefix), maxResource)
	refuse(!validPrefix(c.KeyPrefix), "KeyPrefix is %q: a brace in it must belong to a hash tag, as in \"{locks}:\"", c.KeyPrefix)
	refuse(!validOwner(c.Owner), "Owner must be at most %d bytes of printable ASCII without '~'", maxOwner)
	refuse(c.Guard > instance.GuardOff, "Guard is %d: it must be instance.GuardAdaptive, GuardStrict or GuardOff", uint8(c.Guard))
	return join(errs...)
}

func checkTTL(name string, ttl, longest time.Duration) error {
	switch {
	case ttl < time.Millisecond:
		return fmt.Errorf("%s is %v: it must be at least 1ms", name, ttl)
	case ttl%time.Millisecond != 0:
		return fmt.Errorf("%s is %v: Redis counts in whole milliseconds", name, ttl)
	case ttl > longest:
		return fmt.Errorf("%s is %v, longer than MaxTTL, which is %v: raise MaxTTL in the whole fleet, or renew a shorter lease", name, ttl, longest)
	}
	return nil
}

// validPrefix: a lone brace would put the lock and its fence into two slots.
func validPrefix(prefix string) bool {
	brace := strings.IndexAny(prefix, "{}")
	return brace < 0 || prefix[brace] == '{' && slots.HasTag(prefix)
}

func validOwner(owner string) bool {
	if len(owner) > maxOwner {
		return false
	}
	for _, b := range []byte(owner) {
		if b < ' ' || b > '~'-1 {
			return false
		}
	}
	return true
}

// validity is how long a lease is good for, counted from the start of the
// attempt:
//
//	validity = TTL − (TTL × DriftFactor + 2ms)
func (c Config) validity(ttl time.Duration) time.Duration {
	return ttl - (time.Duration(float64(ttl)*c.DriftFactor) + fixedDrift)
}

// covering is the shortest TTL whose validity is at least d, in whole milliseconds,
// but never more than most.
func (c Config) covering(d, most time.Duration) time.Duration {
	if c.validity(most) <= d {
		return most
	}
	ttl := time.Duration(float64(d+fixedDrift) / (1 - c.DriftFactor)).Truncate(time.Millisecond)
	for c.validity(ttl) < d {
		ttl += time.Millisecond
	}
	return min(ttl, most)
}

// quarantine is how long an instance that restarted must not vote on new
// acquires: until every lease that it may have forgotten is over.
func (c Config) quarantine(attempt time.Duration) time.Duration {
	return c.MaxTTL + attempt + time.Duration(float64(c.MaxTTL)*c.DriftFactor) + fixedDrift
}
