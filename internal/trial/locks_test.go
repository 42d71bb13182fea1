package trial

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/holdfast-go/holdfast/instance"
	"github.com/holdfast-go/holdfast/internal/sim"
)

// locks watches the keys of every server, and checks that each change of one is
// as the protocol has it.
type locks struct {
	trial *trial

	mu      sync.Mutex
	servers map[*sim.Server]*watched
}

// watched is what is known of one server's keys.
type watched struct {
	since    map[string]time.Time // when each lock that is there was put there
	had      map[string]bool      // what has been put there: tokens
	given    map[string]bool      // what a release has carried: tokens
	returned map[string]string    // by key: a token that had been given back and was put there again
	lost     map[string]loss      // by token
}

// loss is of a lock, with the server's memory.
type loss struct {
	at    time.Time
	until time.Time // when it would have expired
}

func newLocks(t *trial) *locks { return &locks{trial: t, servers: make(map[*sim.Server]*watched)} }

// of is called with mu held.
func (l *locks) of(s *sim.Server) *watched {
	w := l.servers[s]
	if w == nil {
		w = &watched{make(map[string]time.Time), make(map[string]bool), make(map[string]bool), make(map[string]string), make(map[string]loss)}
		l.servers[s] = w
	}
	return w
}

// forgotten returns until when the server would have the token, had it not lost
// its memory.
func (l *locks) forgotten(s *sim.Server, token string) time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.of(s).lost[token].until
}

// see is told of everything that happens to a key.
func (l *locks) see(e sim.Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	w := l.of(e.Server)
	for _, k := range e.Keys {
		switch {
		case isFence(k.Key):
			l.seeFence(e, k)
		case e.Verb == "forget":
			w.lost[k.Before] = loss{e.At, k.Expires}
			delete(w.returned, k.Key)
		default:
			l.seeLock(w, e, k)
		}
	}
	if e.Verb == "release" {
		for _, arg := range e.Args {
			w.given[arg] = true
		}
	}
}

func isFence(key string) bool { return strings.HasPrefix(key, "fence:") }

func (l *locks) seeFence(e sim.Event, k sim.Change) {
	before, _ := strconv.ParseUint(k.Before, 10, 64)
	after, _ := strconv.ParseUint(k.After, 10, 64)
	if e.Verb != "forget" && after < before {
		l.trial.complain("fence order: on %s %s took the fence from %d down to %d", e.Server.Name(), e.Verb, before, after)
	}
}

func (l *locks) seeLock(w *watched, e sim.Event, k sim.Change) {
	t, server := l.trial, e.Server.Name()
	before, after := instance.Abbreviate(k.Before), instance.Abbreviate(k.After)
	if token, ok := w.returned[k.Key]; ok && k.Before != token {
		t.complain("left behind: %s was given back on %s, came back there, and stayed until it expired", instance.Abbreviate(token), server)
		delete(w.returned, k.Key)
	}
	switch {
	case k.Before == k.After:
		return
	case k.Before != "" && k.After != "":
		t.complain("locks: on %s %s put %s in the place of %s", server, e.Verb, after, before)
	case k.After == "":
		if e.Verb != "release" || !slices.Contains(e.Args, k.Before) {
			t.complain("locks: on %s %s took away %s, which is not its own", server, e.Verb, before)
		}
		delete(w.returned, k.Key)
		t.log("%s: %s takes %s of %s away", server, e.Verb, before, k.Key)
	default:
		t.log("%s: %s puts %s of %s there", server, e.Verb, after, k.Key)
		if e.Verb != "acquire" || !slices.Contains(e.Args, k.After) {
			t.complain("locks: on %s %s put %s there", server, e.Verb, after)
		}
		w.since[k.Key] = e.At
		again := w.had[k.After]
		w.had[k.After] = true
		if w.given[k.After] { // as happens when a whole batch is sent again: its release is in it
			w.returned[k.Key] = k.After
		}
		if again {
			l.checkHealing(e, k)
		}
	}
}

// checkHealing: what is put where it was before, in the name of a lease that was
// granted a while ago and has not been given back, is put back: only if a majority
// has the lease. Some of it may have been lost since that was proved.
func (l *locks) checkHealing(e sim.Event, k sim.Change) {
	t := l.trial
	inFlight := 2 * t.plan.timeout
	r, ok := t.ledger.find(k.After)
	if !ok || r.released || t.plan.steps || e.At.Before(r.from.Add(inFlight)) || r.expired() {
		return
	}
	n := 0
	for _, s := range t.fleet.Servers {
		if s != e.Server && s.Get(k.Key) == k.After || e.At.Before(l.of(s).lost[k.After].at.Add(inFlight)) {
			n++
		}
	}
	if n < t.plan.servers/2+1 {
		t.complain("locks: on %s %s put the key back of a lease that only %d instances have: %s", e.Server.Name(), e.Verb, n, t.ledger.describe(&r))
	}
}

// settled is how long a calm, or an attempt in it, may take to come to its end:
// down instances are probed, what is owed is paid.
const settled = 1500 * time.Millisecond

// sweep checks, when nothing has been wrong for a while, that every lock is that
// of a lease: of one that is held, or was lost and not given back. At the end
// there are no others.
func (t *trial) sweep(end bool) {
	for _, s := range t.fleet.Servers {
		for _, key := range s.Keys() {
			token := s.Get(key)
			if isFence(key) || token == "" {
				continue
			}
			if why := t.locks.strange(s, key, token, end); why != "" {
				t.complain("left behind: %s has %s of %s for another %v: %s", s.Name(), instance.Abbreviate(token), key, s.TTL(key), why)
			}
		}
	}
}

// strange says why a lock should not be there, if it should not.
func (l *locks) strange(s *sim.Server, key, token string, end bool) string {
	l.mu.Lock()
	since := l.of(s).since[key]
	l.mu.Unlock()
	fresh := time.Since(since) < settled && !end
	r, ok := l.trial.ledger.find(token)
	switch {
	case fresh:
		return ""
	case !ok:
		return fmt.Sprintf("since %v, and no lease has that token", since.Sub(l.trial.begun))
	case r.until.IsZero() && !end:
		return ""
	case r.lost() && !r.released:
		return ""
	case time.Since(r.until) < settled && !end:
		return ""
	}
	return l.trial.ledger.describe(&r)
}
