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
	servers map[*sim.Server]*watched // those of one cluster share it
}

// watched is what is known of the keys of one voter.
type watched struct {
	voter    *voter
	since    map[string]time.Time // when each lock that is there was put there
	had      map[lock]bool        // what has been put there
	given    map[lock]bool        // what a release has carried
	returned map[string]string    // by key: a token that had been given back and was put there again
	lost     map[lock]loss
	copied   map[string]bool // what a replica had when it was made the master: tokens
}

// lock is a key and its token, which other keys may have, too.
type lock struct{ key, token string }

// loss is of a lock, with the server's memory.
type loss struct {
	at    time.Time
	until time.Time // when it would have expired
}

func newLocks(t *trial) *locks {
	l := &locks{trial: t, servers: make(map[*sim.Server]*watched)}
	for _, v := range t.voters {
		w := newWatched(v)
		for _, s := range v.servers {
			l.servers[s] = w
		}
	}
	return l
}

func newWatched(v *voter) *watched {
	return &watched{
		voter: v,
		since: make(map[string]time.Time), had: make(map[lock]bool), given: make(map[lock]bool),
		returned: make(map[string]string), lost: make(map[lock]loss), copied: make(map[string]bool),
	}
}

// of is called with mu held.
func (l *locks) of(v *voter) *watched { return l.servers[v.servers[0]] }

// forgotten returns until when the voter would have those tokens of a resource's, had
// it not lost its memory.
func (l *locks) forgotten(v *voter, key string, ours func(token string) bool) map[string]time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	until := make(map[string]time.Time)
	for lock, loss := range l.of(v).lost {
		if lock.key == key && ours(lock.token) {
			until[lock.token] = loss.until
		}
	}
	return until
}

// see is told of everything that happens to a key.
func (l *locks) see(e sim.Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	w := l.servers[e.Server]
	if w == nil { // a sentinel
		return
	}
	for _, k := range e.Keys {
		switch {
		case l.trial.plan.isQueue(k.Key):
		case l.trial.plan.isFence(k.Key):
			l.seeFence(e, k)
		case e.Verb == "forget":
			w.lost[lock{k.Key, k.Before}] = loss{e.At, k.Expires}
			delete(w.returned, k.Key)
		case e.Verb == "replicate":
			w.since[k.Key], w.copied[k.After] = e.At, true
			if w.given[lock{k.Key, k.After}] {
				l.trial.counts.count(&l.trial.counts.revenants)
			}
		default:
			l.seeLock(w, e, k)
		}
	}
	if e.Verb == "release" {
		for _, k := range e.Keys {
			for _, arg := range e.Args {
				w.given[lock{k.Key, arg}] = true
			}
		}
	}
}

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
		t.leftBehind(w, token, "%s was given back on %s, came back there, and stayed until it expired", instance.Abbreviate(token), server)
		delete(w.returned, k.Key)
	}
	switch {
	case k.Before == k.After:
		return
	case e.Verb == "adopt" && slices.Equal(e.Args[:2], []string{k.Before, k.After}):
		t.log("%s: %s puts %s of %s in the place of %s", server, e.Verb, after, k.Key, before)
		w.since[k.Key], w.had[lock{k.Key, k.After}] = e.At, true
	case e.Verb == "acquire" && k.Before != "" && slices.Contains(e.Args, k.After) && slices.Contains(e.Args, k.Before):
		t.log("%s: %s of all puts %s of %s in the place of %s, which was kept for it", server, e.Verb, after, k.Key, before)
		if len(t.ledger.find(k.Before)) > 0 {
			t.complain("locks: on %s the lease of %s gave way to %s", server, before, after)
		}
		w.since[k.Key], w.had[lock{k.Key, k.After}] = e.At, true
		t.counts.count(&t.counts.kept)
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
		again := w.had[lock{k.Key, k.After}]
		w.had[lock{k.Key, k.After}] = true
		if w.given[lock{k.Key, k.After}] && !l.mayComeBack(k.After) { // as happens when a whole batch is sent again: its release is in it
			w.returned[k.Key] = k.After
		}
		if again {
			l.checkHealing(e, k)
		}
	}
}

// leftBehind complains of a lock that is nobody's any more. In a cluster there are a
// few: what a node that cannot be reached still has in its sockets is not killed
// before we are connected again, and its slot may have gone and come back by then.
// And what a replica did not hear of having been given back is there again when it is
// made the master. Called with locks.mu held.
func (t *trial) leftBehind(w *watched, token, format string, args ...any) {
	switch {
	case w.voter.cluster != nil && !*strict:
		t.counts.count(&t.counts.strays)
	case w.copied[token], w.voter.pair != nil && t.plan.forgets: // where two masters may be
	default:
		t.complain("left behind: "+format, args...)
		return
	}
	t.log("left behind: "+format, args...)
}

// leftBehind is the trial's, with mu not held.
func (l *locks) leftBehind(v *voter, token, format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.trial.leftBehind(l.of(v), token, format, args...)
}

// mayComeBack: a token of the user's is taken more than once, and an engine that has
// adopted a lease cannot take back what the one before may still have on its way.
func (l *locks) mayComeBack(token string) bool {
	return strings.HasPrefix(token, userToken) ||
		slices.ContainsFunc(l.trial.ledger.find(token), func(r record) bool { return r.given })
}

// checkHealing: what is put where it was before, in the name of a lease that was
// granted a while ago and has not been given back, is put back: only if a majority
// has the lease. Some of it may have been lost since that was proved.
func (l *locks) checkHealing(e sim.Event, k sim.Change) {
	t := l.trial
	inFlight := 2 * t.plan.timeout
	all := t.ledger.find(k.After)
	if len(all) == 0 || t.plan.steps {
		return
	}
	for _, r := range all {
		if r.own || r.given || !r.released.IsZero() || e.At.Before(r.from.Add(inFlight)) || r.expired() {
			return
		}
	}
	n := 0
	for _, v := range t.voters {
		there, _ := v.get(k.Key)
		if !slices.Contains(v.servers, e.Server) && there == k.After || e.At.Before(l.of(v).lost[lock{k.Key, k.After}].at.Add(inFlight)) {
			n++
		}
	}
	if n < t.plan.votes/2+1 {
		t.complain("locks: on %s %s put the key back of a lease that only %d instances have: %s", e.Server.Name(), e.Verb, n, t.ledger.describe(&all[0]))
	}
}

// settled is how long a calm, or an attempt in it, may take to come to its end:
// down instances are probed, what is owed is paid.
const settled = 1500 * time.Millisecond

// longestPlace is how long the keys of a queue may live when nobody waits any more.
const longestPlace = 3300 * time.Millisecond // by a clock that is slow

// sweep checks, when nothing has been wrong for a while, that every lock is that
// of a lease: of one that is held, or was lost and not given back. At the end
// there are no others.
func (t *trial) sweep(end bool) {
	for _, v := range t.voters {
		for _, s := range v.servers {
			for _, key := range s.Keys() {
				if t.plan.isFence(key) {
					continue
				}
				token := s.Get(key)
				if t.plan.isQueue(key) {
					if left := s.TTL(key); left > longestPlace || end && left == 0 {
						t.complain("left behind: %s has %s for another %v", s.Name(), key, left)
					}
					continue
				}
				if token == "" {
					continue
				}
				if why := t.locks.strange(v, key, token, end); why != "" {
					t.locks.leftBehind(v, token, "%s has %s of %s for another %v: %s", s.Name(), instance.Abbreviate(token), key, s.TTL(key), why)
				}
			}
		}
	}
}

// strange says why a lock should not be there, if it should not.
func (l *locks) strange(v *voter, key, token string, end bool) string {
	l.mu.Lock()
	since := l.of(v).since[key]
	l.mu.Unlock()
	if time.Since(since) < settled && !end {
		return ""
	}
	all := l.trial.ledger.find(token)
	if len(all) == 0 && !end && l.trial.ledger.mayBeKept(key) {
		return ""
	}
	if host, ok := l.trial.plan.engineOf(token); ok && len(all) == 0 && l.trial.plan.engines[host].handoff > 0 {
		all = l.trial.ledger.handedOn(host, key) // whichever of them has that token
	}
	switch {
	case len(all) == 0 && strings.HasPrefix(token, userToken):
		return "" // it may be an earlier lease's, for all that the engine knows: WithToken says so
	case len(all) == 0:
		return fmt.Sprintf("since %v, and no lease has that token", since.Sub(l.trial.begun))
	}
	for _, r := range all {
		switch {
		case r.until.IsZero() && !end, r.lost() && r.released.IsZero(), r.given, r.loose, (time.Since(r.until) < settled || time.Since(r.released) < settled) && !end:
			return ""
		}
	}
	return l.trial.ledger.describe(&all[len(all)-1])
}
