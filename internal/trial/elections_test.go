package trial

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/holdfast-go/holdfast/engine"
	"github.com/holdfast-go/holdfast/instance"
	"github.com/holdfast-go/holdfast/internal/sim"
	"github.com/holdfast-go/holdfast/internal/testkit"
)

// electionTrial is engines that campaign for one election and observe it, while one server after the other fails and comes back.
type electionTrial struct {
	permitTrial // its faults, and its mutex

	leader     *engine.Leader
	candidates int
	said       map[string]int    // by candidate: how often it has proclaimed, or begun to
	terms      map[uint64]string // of leaders: which candidate each was
	ended      map[uint64]time.Time
	seen       map[uint64]string // by observers: the same
	told       int
	sights     []engine.Leadership // by observer: what it was told last
}

const electionTTL = time.Second

// TestObserversAreToldWhatLeadersSay: one leads at a time, whatever fails. Observers see terms and values that do not go back, none
// that was not proclaimed by the leader of that term, and none long after its end. When nothing fails any more, they all see who
// leads, and that nobody does.
func TestObserversAreToldWhatLeadersSay(t *testing.T) {
	for seed := range uint64(8) {
		t.Run(name(seed), func(t *testing.T) {
			t.Parallel()
			r := rand.New(rand.NewPCG(seed, 11))
			e := &electionTrial{
				permitTrial: permitTrial{Rand: r, servers: pick(r, 3, 5)},
				said:        make(map[string]int), terms: make(map[uint64]string), ended: make(map[uint64]time.Time), seen: make(map[uint64]string),
				sights: make([]engine.Leadership, 3),
			}
			testkit.Simulate(t, e.run)
			t.Logf("%d servers: %d leaders of %d candidates, %d things told", e.servers, len(e.terms), e.candidates, e.told)
			if len(e.terms) < 20 || e.told < 50 {
				t.Errorf("%d leaders, and %d things told, in %v", len(e.terms), e.told, permitTrialLength)
			}
		})
	}
}

func (e *electionTrial) run(t *testing.T) {
	fleet := sim.NewNative(t, e.servers)
	fleet.Each(func(s *sim.Server) {
		s.Age(time.Hour)
		s.Latency(100*time.Microsecond, 100*time.Microsecond)
		s.NoTracking(e.IntN(4) == 0)
	})
	ctx, cancel := context.WithTimeout(t.Context(), permitTrialLength)
	defer cancel()
	watching, unwatch := context.WithCancel(t.Context())
	defer unwatch()
	var workers, observers sync.WaitGroup
	var engines []*engine.Engine
	for h := range e.sights {
		cfg := engine.Config{TTL: electionTTL, MaxTTL: 2 * electionTTL, Guard: instance.GuardStrict, LocalHandoff: 16 * (h % 2)}
		locks, err := engine.New(fleet.Instances(instance.Config{Timeout: 100 * time.Millisecond}), cfg)
		if err != nil {
			t.Fatal(err)
		}
		engines = append(engines, locks)
		for range 2 {
			seed := e.Uint64()
			workers.Go(func() { e.campaign(ctx, t, locks, rand.New(rand.NewPCG(seed, 1))) })
		}
		seed := e.Uint64()
		observers.Go(func() { e.observe(watching, t, locks, h, rand.New(rand.NewPCG(seed, 2))) })
	}
	e.disturb(ctx, fleet)
	workers.Wait()
	e.inCalm(t, engines)
	unwatch()
	observers.Wait()
	for _, locks := range engines {
		if err := locks.Close(context.Background()); err != nil && !errors.Is(err, engine.ErrNoQuorum) {
			t.Error(err)
		}
	}
	e.compare(t)
}

// campaign leads, again and again.
func (e *electionTrial) campaign(ctx context.Context, t *testing.T, locks *engine.Engine, r *rand.Rand) {
	for ctx.Err() == nil {
		e.mu.Lock()
		e.candidates++
		who := fmt.Sprintf("candidate %d", e.candidates)
		e.said[who] = 1
		e.mu.Unlock()
		var opts []engine.Option
		if r.IntN(4) == 0 {
			opts = append(opts, engine.WithoutRenewal())
		}
		within, giveUp := context.WithTimeout(ctx, between(r, time.Millisecond, 5*time.Second))
		l, err := locks.Campaign(within, "r", who+"/1", opts...)
		giveUp()
		if err != nil {
			time.Sleep(between(r, 0, 20*time.Millisecond))
			continue
		}
		e.won(t, l, who)
		for n := range r.IntN(6) {
			time.Sleep(between(r, 0, 300*time.Millisecond))
			e.mu.Lock()
			e.said[who]++
			e.mu.Unlock()
			within, giveUp := context.WithTimeout(ctx, between(r, time.Millisecond, time.Second))
			_ = l.Proclaim(within, fmt.Sprintf("%s/%d", who, n+2))
			giveUp()
		}
		time.Sleep(between(r, 0, 100*time.Millisecond))
		if r.IntN(8) > 0 || len(opts) == 0 { // else it forgets to resign
			_ = l.Release(context.Background())
		}
		e.mu.Lock()
		e.ended[l.Term()] = time.Now()
		e.mu.Unlock()
	}
}

// won complains of a leader beside another, or below one.
func (e *electionTrial) won(t *testing.T, l *engine.Leader, who string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if other := e.leader; other != nil && other.Valid() && l.Valid() {
		t.Errorf("two lead: %v, %v", other, l)
	}
	if other := e.leader; other != nil && other.Term() >= l.Term() {
		t.Errorf("term %d comes after %d", l.Term(), other.Term())
	}
	e.leader, e.terms[l.Term()] = l, who
}

// observe watches, and is slow at times.
func (e *electionTrial) observe(ctx context.Context, t *testing.T, locks *engine.Engine, which int, r *rand.Rand) {
	var term uint64
	said := 0
	for now, err := range locks.Observe(ctx, "r") {
		switch {
		case err != nil && ctx.Err() == nil && !errors.Is(err, engine.ErrNoQuorum):
			t.Errorf("it is told %v", err)
		case err == nil && now.Held:
			if now.Term < term {
				t.Errorf("term %d is told of after %d", now.Term, term)
			} else if now.Term > term {
				term, said = now.Term, 0
			}
			said = e.heard(t, now, said)
		}
		e.mu.Lock()
		e.told++
		e.sights[which] = now
		e.mu.Unlock()
		if r.IntN(10) == 0 {
			time.Sleep(between(r, 0, time.Second))
		}
	}
}

// heard complains of what has not been proclaimed, or was proclaimed before what has been told.
func (e *electionTrial) heard(t *testing.T, now engine.Leadership, before int) (said int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	who, number, _ := strings.Cut(now.Value, "/")
	if _, err := fmt.Sscan(number, &said); err != nil || said < 1 || said > e.said[who] {
		t.Errorf("%v was never proclaimed", now)
	}
	if said < before {
		t.Errorf("%v is told of after the value %d", now, before)
	}
	if other := e.seen[now.Term]; other != "" && other != who {
		t.Errorf("in term %d both %s and %s were told of", now.Term, other, who)
	}
	e.seen[now.Term] = who
	if over := e.ended[now.Term]; !over.IsZero() && time.Since(over) > 3*electionTTL {
		t.Errorf("%v is told of %v after its end", now, time.Since(over))
	}
	return said
}

// inCalm has one lead and resign when nothing fails any more.
func (e *electionTrial) inCalm(t *testing.T, engines []*engine.Engine) {
	time.Sleep(8 * electionTTL)
	all := func(want func(engine.Leadership) bool) func() bool {
		return func() bool {
			e.mu.Lock()
			defer e.mu.Unlock()
			for _, now := range e.sights {
				if !want(now) {
					return false
				}
			}
			return true
		}
	}
	await := func(what string, so func() bool) {
		for range 100 {
			if time.Sleep(50 * time.Millisecond); so() {
				return
			}
		}
		t.Errorf("%s: observers were told %v", what, e.sights)
	}
	await("before the end", all(func(l engine.Leadership) bool { return !l.Held }))
	e.mu.Lock()
	e.said["the last"] = 1
	e.mu.Unlock()
	l, err := engines[0].Campaign(t.Context(), "r", "the last/1")
	if err != nil {
		t.Errorf("in calm: %v", err)
		return
	}
	e.won(t, l, "the last")
	await("one leads", all(func(now engine.Leadership) bool { return now.Held && now.Term == l.Term() }))
	if err := l.Release(t.Context()); err != nil {
		t.Errorf("in calm: %v", err)
	}
	await("it has resigned", all(func(l engine.Leadership) bool { return !l.Held }))
}

// compare complains of terms that were another's.
func (e *electionTrial) compare(t *testing.T) {
	for term, who := range e.seen {
		if leader := e.terms[term]; leader != "" && leader != who {
			t.Errorf("in term %d %s led, and observers were told of %s", term, leader, who)
		}
	}
}
