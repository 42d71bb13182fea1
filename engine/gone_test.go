package engine_test

import (
	"errors"
	"testing"
	"time"

	"github.com/holdfast-go/holdfast/engine"
	"github.com/holdfast-go/holdfast/internal/redistest"
	"github.com/holdfast-go/holdfast/lease"
)

// vanishings are the ways in which the keys of a lease go before their time on a
// majority of the servers.
var vanishings = map[string]func(t *testing.T, servers []*redistest.Server){
	"deleted by hand": func(_ *testing.T, servers []*redistest.Server) {
		servers[0].Del("r")
		servers[2].Del("r")
	},
	"FLUSHALL": func(_ *testing.T, servers []*redistest.Server) {
		servers[0].FlushAll()
		servers[1].FlushAll()
	},
	"taken away by force": func(t *testing.T, servers []*redistest.Server) {
		other := open(t, servers, engine.Config{})
		seen, err := other.Inspect(within(t), "r")
		if err == nil {
			err = other.ForceRelease(within(t), seen)
		}
		if err != nil {
			t.Errorf("force release: %v", err)
		}
	},
	"restarted without memory": func(_ *testing.T, servers []*redistest.Server) {
		servers[1].Restart()
		servers[2].Restart()
	},
	"evicted": func(t *testing.T, servers []*redistest.Server) {
		for _, s := range servers[1:] {
			s.MustDo("CONFIG", "SET", "maxmemory-policy", "allkeys-random")
			s.MustDo("CONFIG", "SET", "maxmemory", "1")
			eventually(t, "the key is evicted", func() bool { return s.Get("r") == "" })
		}
	},
}

// Keys that are gone before the lease's time is over are called that, and not
// expired: the reason is to be looked for elsewhere.
func TestKeysThatVanishEndTheLeaseAsGone(t *testing.T) {
	for name, vanish := range vanishings {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			servers := redistest.StartN(t, 3)
			e := open(t, servers, engine.Config{TTL: 20 * time.Second, RenewEvery: 100 * time.Millisecond})
			l := acquire(t, e, "r")
			everywhere(t, servers, l)
			eventually(t, "the lease ends", func() bool { // a renewal in between puts a key back: then they go once more
				vanish(t, servers)
				select {
				case <-l.Done():
				case <-time.After(5 * time.Second):
				}
				return l.Err() != nil
			})
			err := l.Err()
			if !errors.Is(err, lease.ErrGone) || !errors.Is(err, lease.ErrLost) || errors.Is(err, lease.ErrExpired) {
				t.Errorf("it ended with %v", err)
			}
			if err := l.Release(within(t)); !errors.Is(err, lease.ErrGone) {
				t.Errorf("released: %v", err)
			}
			if loss := e.Snapshot(1).Losses; len(loss) != 1 || engine.Cause(loss[0].Cause) != "gone" {
				t.Errorf("the snapshot has %+v", loss)
			}
		})
	}
}

// The first question to the lease learns it, whichever that is.
func TestALeaseWhoseKeysAreGoneSaysSo(t *testing.T) {
	t.Parallel()
	servers := redistest.StartN(t, 3)
	e := open(t, servers, engine.Config{})
	lock := func(opts ...engine.Option) *lease.Lease {
		l := acquire(t, e, "r", append(opts, engine.WithoutRenewal())...)
		everywhere(t, servers, l)
		vanishings["deleted by hand"](t, servers)
		return l
	}
	l := lock()
	if err := l.Extend(within(t), 0); !errors.Is(err, lease.ErrGone) || !errors.Is(l.Err(), lease.ErrGone) {
		t.Errorf("extended: %v, %v", err, l.Err())
	}
	if err := l.Release(within(t)); !errors.Is(err, lease.ErrGone) {
		t.Errorf("released: %v", err)
	}
	clean(t, servers, "r")
	if _, err := e.Adopt(within(t), "r", l.Token()); !errors.Is(err, lease.ErrGone) {
		t.Errorf("adopted: %v", err)
	}
	if _, err := e.Adopt(within(t), "r", lock(engine.WithFencing()).Token()); !errors.Is(err, lease.ErrGone) {
		t.Errorf("adopted what had a fence: %v", err)
	}
}

// One server of three that has lost the key is no loss, and releasing is no error.
func TestAKeyThatIsGoneOnAMinorityIsNoLoss(t *testing.T) {
	t.Parallel()
	servers := redistest.StartN(t, 3)
	e := open(t, servers, engine.Config{})
	for _, s := range servers {
		l := acquire(t, e, "r", engine.WithoutRenewal())
		everywhere(t, servers, l)
		s.Del("r")
		release(t, l)
		clean(t, servers, "r")
	}
}

// What stands in the place of a lock is somebody else's, of whatever type it is: nobody
// waits for the deadline to say so.
func TestAKeyThatSomethingElseHasTakenIsStolen(t *testing.T) {
	t.Parallel()
	servers := redistest.StartN(t, 3)
	for name, opts := range map[string][]engine.Option{"plain": nil, "fenced": {engine.WithFencing()}} {
		take := func(l *lease.Lease) *lease.Lease {
			everywhere(t, servers, l)
			for _, s := range servers[1:] {
				becomeHash(s, l.Resource())
			}
			return l
		}
		t.Run(name, func(t *testing.T) {
			e := open(t, servers, engine.Config{TTL: 20 * time.Second, RenewEvery: 100 * time.Millisecond})
			if err := ended(t, take(acquire(t, e, "renewed "+name, opts...))); !errors.Is(err, lease.ErrStolen) {
				t.Errorf("renewed: %v", err)
			}
			l := take(acquire(t, e, "extended "+name, append(opts, engine.WithoutRenewal())...))
			if err := l.Extend(within(t), 0); !errors.Is(err, lease.ErrStolen) || !errors.Is(l.Err(), lease.ErrStolen) {
				t.Errorf("extended: %v, %v", err, l.Err())
			}
		})
	}
}
