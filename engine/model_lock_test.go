//go:build !race

package engine

import (
	"cmp"
	"fmt"
	"math/bits"
	"slices"
	"testing"
	"time"

	"github.com/holdfast-go/holdfast/instance"
	"github.com/holdfast-go/holdfast/internal/model"
	"github.com/holdfast-go/holdfast/internal/restart"
)

// The model of the plain lock: mutual exclusion, which takes time. It passes in
// ticks, for everybody at once, and between two ticks anything may happen in any
// order. What differs between clocks is given to the bad side: a server may let a
// key expire early by as much as the drift, a client may end a quarantine early
// by as much. Keys may also live longer, which only keeps others out.
//
// What has been sent may arrive at any moment from then on, never, or several
// times, and out of order. An instance may restart, empty, as often as it likes.
//
// Each attempt is on its own, as in the model of fences. Its token is fresh.
const (
	lockAttempts = 3
	lockDrift    = 1 // in ticks, over a TTL
)

type lockState struct {
	servers  [modelServers]lockServer
	attempts [lockAttempts]lockAttempt
}

type lockServer struct {
	modelServer
	age uint8 // since it restarted; lockRules.grown is as good as for ever
}

type lockAttempt struct {
	phase    uint8
	age      uint8 // since the start of the acquire, or of the last confirmed renewal; before the first message to anybody
	oks      uint8 // the places that have granted, to a client that asks
	arbiter  uint8 // 1 + the place that was asked first; 0: none
	renewing bool
	renewAge uint8 // since the start of the renewal that is under way
	renewed  uint8 // the places that have confirmed it
	missing  uint8 // the places that had nothing there
	shaky    uint8 // the places that have restarted since it began
	healable uint8 // the places that may be healed: missing when the last renewal was confirmed
	former   uint8 // the token of the lease that it adopts, or has; 0: none
	held     uint8 // since this holder has it, where that is limited
}

// lockRules are the decisions of the engine and of the instances, and which
// parts of the protocol are there. A mutant has one of them wrong.
type lockRules struct {
	modelScripts
	need       func(voters int) int
	token      func(attempt uint8) uint8
	ttl        uint8 // in ticks of a second
	courting   uint8 // the TTL with which an arbiter is asked
	validity   uint8 // from the start
	quarantine time.Duration
	judge      func(before *restart.Sighting, now restart.Sighting, carried time.Time, quarantine time.Duration) restart.Judgement

	attempts uint8     // how many there are
	orders   [][]uint8 // in which they may be exchanged; the first changes nothing
	restarts bool
	renewals bool
	arbiters bool // one may be asked before the others; everybody has their own idea of which

	// provisional: what the arbiter granted first is not counted; it is asked again
	// with the others, and makes a long life of a short one then. The engine does
	// without.
	provisional bool

	handoffs  bool  // a lock may be handed on to another holder of the same engine
	adoptions bool  // a lease may be let go of, and adopted by others
	maxHold   uint8 // how long one holder may have it; 0: as long as it likes

	lateHandoff bool // the validity of a lock that is handed on is counted from then on
	lateLimit   bool // a renewal is not held to the limit
	clings      bool // a lease is adopted that has not been let go of
	proves      bool // an adoption only proves the token
	lateStart   bool // the validity of an acquire is counted from its answers on
	lateRenewal bool // that of a renewal is
	lateFanOut  bool // the validity is counted from when the others are asked
	rashHealing bool // a renewal that began before an instance restarted is proof enough to heal that

	grown uint8 // the age at which some client lets a restarted server vote again
}

// ticked is how many ticks a time of the engine's is, which it is but for the
// rounding of the drift factor.
func ticked(d time.Duration) uint8 { return uint8(d.Round(time.Second) / time.Second) }

func rightLockRules(ticks uint8) lockRules {
	ttl := time.Duration(ticks) * time.Second
	cfg := Config{TTL: ttl, MaxTTL: ttl, DriftFactor: (lockDrift*time.Second - fixedDrift).Seconds() / ttl.Seconds()}
	return lockRules{
		modelScripts: rightScripts(),
		need:         quorum,
		token:        func(attempt uint8) uint8 { return attempt + 1 },
		ttl:          ticks,
		courting:     ticks,
		validity:     ticked(cfg.validity(ttl)),
		quarantine:   cfg.quarantine(0),
		judge:        restart.Judge,
		attempts:     lockAttempts,
		orders:       modelOrders(lockAttempts),
	}
}

// judgeAll finds out how old a restarted server is when the first client lets it
// vote: one that knew it before and looks again at some time, one that sees it for
// the first time, or either of them when it looks once more after that.
func (m *lockRules) judgeAll() {
	const never = 16
	before := &restart.Sighting{RunID: "before", Uptime: 24 * time.Hour}
	quarantine := m.quarantine - lockDrift*time.Second // by the fastest clock
	began := time.Unix(0, 0)
	at := func(age time.Duration) restart.Sighting {
		return restart.Sighting{RunID: "after", Uptime: age, At: began.Add(age)}
	}
	first := never * time.Second
	for looks := time.Duration(0); looks < never*time.Second; looks += time.Second {
		now := at(looks)
		for _, known := range []*restart.Sighting{before, nil} {
			until := m.judge(known, now, time.Time{}, quarantine).Until
			first = min(first, max(looks, until.Sub(began)))
			for again := looks; again < never*time.Second; again += time.Second {
				carried := m.judge(&now, at(again), until, quarantine).Until
				first = min(first, max(again, carried.Sub(began)))
			}
		}
	}
	m.grown = ticked(first)
}

func (m *lockRules) next(s lockState, to func(model.Step, lockState)) {
	for a := range m.attempts {
		m.attemptSteps(s, a, to)
	}
	for i := range s.servers {
		if server := s.servers[i]; server.holder != 0 && server.left == 0 {
			next := s
			next.servers[i].holder = 0
			to(model.Step{What: expires, Where: uint8(i)}, next)
		}
		if m.restarts && s.servers[i] != (lockServer{}) {
			next := s
			m.restart(&next, i)
			to(model.Step{What: forgets, Where: uint8(i)}, next)
		}
	}
	if next := m.tick(s); next != s {
		to(model.Step{What: ticks}, next)
	}
}

// restart has an instance forget all. What is on its way there is lost with the
// connection, and not sent again where it should not be.
func (m *lockRules) restart(s *lockState, i int) {
	s.servers[i] = lockServer{}
	for a := range s.attempts {
		own := &s.attempts[a]
		if own.renewing {
			own.shaky |= 1 << i
		}
		if !m.rashHealing {
			own.healable &^= 1 << i
		}
	}
}

// tick has time pass. When its validity is over, a lease ends by itself, and an
// attempt has nothing to wait for any more.
func (m *lockRules) tick(s lockState) lockState {
	for i := range s.servers {
		server := &s.servers[i]
		server.left = max(server.left, 1) - 1
		server.age = min(server.age+1, m.grown)
	}
	for a := range s.attempts {
		own := &s.attempts[a]
		if own.phase == atRest || own.phase == gaveUp || own.phase == gaveBack || own.phase == detached {
			continue
		}
		own.age = min(own.age+1, m.validity)
		if m.maxHold > 0 && own.phase == leased {
			own.held = min(own.held+1, m.maxHold+1)
		}
		over := own.age == m.validity || m.maxHold > 0 && own.held == m.maxHold && !(m.lateLimit && own.renewing)
		switch {
		case over && own.phase == leased:
			*own = lockAttempt{phase: gaveBack, former: own.former}
		case over:
			*own = lockAttempt{phase: gaveUp, former: own.former}
		case own.renewing:
			own.renewAge = min(own.renewAge+1, m.validity)
		}
	}
	return s
}

func (m *lockRules) attemptSteps(s lockState, a uint8, to func(model.Step, lockState)) {
	step := func(what uint8, change func(*lockAttempt)) {
		next := s
		change(&next.attempts[a])
		to(model.Step{What: what, Who: a}, next)
	}
	own := s.attempts[a]
	switch own.phase {
	case atRest:
		if m.mayBegin(&s, a) {
			m.begin(s, a, to)
		}
		if m.adoptions {
			m.adopt(s, a, to)
		}
		return
	case courting:
		step(fansOut, func(own *lockAttempt) { // granted, or not answered: not refused, but that makes no difference here
			own.phase = asking
			if m.provisional {
				own.oks = 0
			} else {
				own.arbiter = 0
			}
			if m.lateFanOut {
				own.age = 0
			}
		})
	case asking, adopting:
		if modelTally(own.oks, m.need).won() {
			step(wins, func(own *lockAttempt) {
				own.phase, own.oks, own.arbiter = leased, 0, 0
				if m.lateStart {
					own.age = 0
				}
			})
		}
	case leased:
		step(ends, func(own *lockAttempt) { *own = lockAttempt{phase: gaveBack, former: own.former} })
		if m.handoffs {
			step(handsOn, func(own *lockAttempt) { // a lease of its own, with the lock's token and deadline
				*own = lockAttempt{phase: leased, age: own.age, former: own.former}
				if m.lateHandoff {
					own.age = 0
				}
			})
		}
		if m.adoptions {
			step(detaches, func(own *lockAttempt) {
				*own = lockAttempt{phase: detached, healable: own.healable, former: own.former}
			})
		}
	}
	if own.phase == courting || own.phase == asking || own.phase == adopting {
		step(gives, func(own *lockAttempt) { *own = lockAttempt{phase: gaveUp, former: own.former} })
	}
	if m.renewals {
		m.renewalSteps(own, step)
	}
	for i := range s.servers {
		m.deliver(s, a, uint8(i), to)
	}
}

// mayBegin: two attempts with the same token are of one client, one after the other.
func (m *lockRules) mayBegin(s *lockState, a uint8) bool {
	for b := range a {
		if own := s.attempts[b]; m.token(a) == m.token(b) && own.phase != gaveUp && own.phase != gaveBack {
			return false
		}
	}
	return true
}

func (m *lockRules) begin(s lockState, a uint8, to func(model.Step, lockState)) {
	next := s
	next.attempts[a].phase = asking
	to(model.Step{What: begins, Who: a}, next)
	if !m.arbiters {
		return
	}
	for i := range s.servers {
		next.attempts[a] = lockAttempt{phase: courting, arbiter: uint8(i + 1)}
		to(model.Step{What: courts, Who: a, Where: uint8(i)}, next)
	}
}

// adopt has an attempt begin that adopts another one's lease.
func (m *lockRules) adopt(s lockState, a uint8, to func(model.Step, lockState)) {
	for b := range m.attempts {
		if phase := s.attempts[b].phase; phase == detached || m.clings && phase == leased {
			next := s
			next.attempts[a] = lockAttempt{phase: adopting, former: m.token(b)}
			to(model.Step{What: adopts, Who: a, Value: b}, next)
		}
	}
}

func (m *lockRules) renewalSteps(own lockAttempt, step func(uint8, func(*lockAttempt))) {
	switch {
	case own.phase == leased && !own.renewing:
		step(renewing, func(own *lockAttempt) { own.renewing = true })
	case own.renewing && modelTally(own.renewed, m.need).won():
		step(renewed, func(own *lockAttempt) {
			if m.rashHealing {
				own.shaky = 0
			}
			*own = lockAttempt{phase: leased, age: own.renewAge, healable: own.missing &^ own.shaky, former: own.former, held: own.held}
			if m.lateRenewal {
				own.age = 0
			}
		})
	}
}

// deliver has a message of an attempt arrive. A renewal that arrives when the
// lease has ended only makes a key of nobody's live longer: the model goes without.
func (m *lockRules) deliver(s lockState, a, i uint8, to func(model.Step, lockState)) {
	send := func(what uint8, ask func(*lockAttempt, *lockServer) instance.Kind) {
		next := s
		kind := ask(&next.attempts[a], &next.servers[i])
		if next != s {
			to(model.Step{What: what, Who: a, Where: i, Value: uint8(kind)}, next)
		}
	}
	own, left := s.attempts[a], m.ttl-lockDrift
	asked := own.phase != courting || own.arbiter == i+1
	if own.phase == courting {
		left = m.courting - lockDrift
	}
	switch {
	case own.former != 0: // proves that the lock was there before: no restart matters
		send(hearsAdoption, func(own *lockAttempt, server *lockServer) instance.Kind { return m.askToAdopt(own, server, a, i, left) })
	case asked && s.servers[i].age == m.grown:
		send(hears, func(own *lockAttempt, server *lockServer) instance.Kind { return m.ask(own, server, a, i, left) })
	}
	if own.healable>>i&1 != 0 {
		send(hearsHealing, func(own *lockAttempt, server *lockServer) instance.Kind {
			own.healable &^= 1 << i
			return m.acquire(&server.modelServer, m.token(a), left)
		})
	}
	if own.renewing {
		send(hearsRenewal, func(own *lockAttempt, server *lockServer) instance.Kind { return m.prove(own, server, a, i) })
	}
	switch {
	case own.phase == gaveUp && own.former != 0:
		send(hearsReturn, func(own *lockAttempt, server *lockServer) instance.Kind {
			return m.modelScripts.adopt(&server.modelServer, m.token(a), own.former, 0)
		})
	case own.phase == gaveUp, own.phase == gaveBack:
		send(hearsRelease, func(_ *lockAttempt, server *lockServer) instance.Kind {
			return m.release(&server.modelServer, m.token(a))
		})
	}
}

// prove has an instance vote on a renewal.
func (m *lockRules) prove(own *lockAttempt, server *lockServer, a, i uint8) instance.Kind {
	kind := m.renew(&server.modelServer, m.token(a), m.ttl-lockDrift)
	switch {
	case own.missing>>i&1 != 0: // it has voted
	case kind == instance.Granted:
		own.renewed |= 1 << i
	case kind == instance.Gone && own.renewed>>i&1 == 0:
		own.missing |= 1 << i
	}
	return kind
}

// ask has an instance vote on an acquire. One that was its attempt's arbiter has
// the lock in our name already, for a short while: it makes that a long one.
func (m *lockRules) ask(own *lockAttempt, server *lockServer, a, i, left uint8) instance.Kind {
	kind := m.acquire(&server.modelServer, m.token(a), left)
	if kind == instance.Held && own.phase == asking && own.arbiter == i+1 {
		kind = m.renew(&server.modelServer, m.token(a), left)
		own.arbiter = 0
	}
	if kind == instance.Granted && (own.phase == courting || own.phase == asking) {
		own.oks |= 1 << i
	}
	return kind
}

// askToAdopt has an instance vote on an adoption.
func (m *lockRules) askToAdopt(own *lockAttempt, server *lockServer, a, i, left uint8) instance.Kind {
	to := m.token(a)
	if m.proves {
		to = own.former
	}
	kind := m.modelScripts.adopt(&server.modelServer, own.former, to, left)
	if kind == instance.Granted && own.phase == adopting {
		own.oks |= 1 << i
	}
	return kind
}

func (m *lockRules) wrong(s lockState) string {
	for a := range s.attempts {
		if own := s.attempts[a]; m.maxHold > 0 && own.phase == leased && own.held > m.maxHold {
			return fmt.Sprintf("%s holds it for longer than it may", modelName(uint8(a)))
		}
		for b := range a {
			if s.attempts[a].phase == leased && s.attempts[b].phase == leased {
				return fmt.Sprintf("%s and %s both have a valid lease", modelName(uint8(b)), modelName(uint8(a)))
			}
		}
	}
	return ""
}

// canon exchanges instances and, unless some have the same token, attempts.
func (m *lockRules) canon(s lockState) (least lockState) {
	var marks [lockAttempts]uint64
	for a := range s.attempts {
		marks[a] = s.mark(m.token(uint8(a)), uint8(a))
	}
	found := false
orders:
	for _, order := range m.orders {
		for to := 1; to < len(order) && len(m.orders) > 1; to++ {
			if marks[order[to-1]] > marks[order[to]] {
				continue orders
			}
		}
		e := s
		var names [lockAttempts + 1]uint8
		for to, from := range order {
			e.attempts[to] = s.attempts[from]
			names[m.token(from)] = m.token(uint8(to))
		}
		for to := range order {
			e.attempts[to].former = names[e.attempts[to].former]
		}
		for i := range e.servers {
			e.servers[i].holder = names[s.servers[i].holder]
		}
		sortServers(e.column, e.swapServers)
		if !found || e.compare(&least) < 0 {
			found, least = true, e
		}
	}
	return least
}

// mark is what does not change when instances, or other attempts, are exchanged.
func (s *lockState) mark(token, a uint8) uint64 {
	own := s.attempts[a]
	mark := uint64(bits.OnesCount8(own.oks))<<8 | uint64(bits.OnesCount8(own.renewed))<<4 | uint64(min(own.arbiter, 1))
	for i := range s.servers {
		if s.servers[i].holder == token {
			mark += 1 << 12
		}
	}
	own = lockAttempt{phase: own.phase, age: own.age, renewing: own.renewing, renewAge: own.renewAge}
	return own.number()<<16 | mark
}

func (s *lockState) swapServers(i int) {
	s.servers[i], s.servers[i+1] = s.servers[i+1], s.servers[i]
	for a := range s.attempts {
		own := &s.attempts[a]
		for _, set := range []*uint8{&own.oks, &own.renewed, &own.missing, &own.shaky, &own.healable} {
			*set = swapBits(*set, i)
		}
		switch int(own.arbiter) {
		case i + 1:
			own.arbiter++
		case i + 2:
			own.arbiter--
		}
	}
}

// column is all that there is about one instance, in one number.
func (s *lockState) column(i int) uint64 {
	c := s.servers[i].number()
	for _, own := range s.attempts {
		for _, set := range [...]uint8{own.oks, own.renewed, own.missing, own.shaky, own.healable} {
			c = c<<1 | uint64(set>>i&1)
		}
		c <<= 1
		if int(own.arbiter) == i+1 {
			c++
		}
	}
	return c
}

func (s *lockState) compare(o *lockState) int {
	return cmp.Or(
		slices.CompareFunc(s.attempts[:], o.attempts[:], func(a, b lockAttempt) int { return cmp.Compare(a.number(), b.number()) }),
		slices.CompareFunc(s.servers[:], o.servers[:], func(a, b lockServer) int { return cmp.Compare(a.number(), b.number()) }),
	)
}

func (a lockAttempt) number() uint64 {
	n := uint64(0)
	for _, part := range [...]uint8{a.phase, a.age, a.renewAge, a.arbiter, a.oks, a.renewed, a.missing, a.shaky, a.healable, a.former, a.held} {
		n = n<<4 | uint64(part)
	}
	n <<= 1
	if a.renewing {
		n++
	}
	return n
}

func (s lockServer) number() uint64 {
	return uint64(s.holder)<<8 | uint64(s.left)<<4 | uint64(s.age)
}

func (m *lockRules) model() model.Model[lockState] {
	m.judgeAll()
	var start lockState
	for i := range start.servers {
		start.servers[i].age = m.grown
	}
	return model.Model[lockState]{Start: start, Next: m.next, Wrong: m.wrong, Canon: m.canon, Say: sayStep}
}

func TestModelLeasesExcludeEachOther(t *testing.T) {
	for _, c := range []struct {
		name string
		ttl  uint8
		with func(*lockRules)
	}{
		{"clocks", 6, func(*lockRules) {}},
		{"renewals", 6, func(m *lockRules) { m.renewals = true }},
		{"restarts", 5, func(m *lockRules) { m.restarts = true }},
		{"restarts, renewals and healing", 3, func(m *lockRules) { m.restarts, m.renewals = true, true }},
		{"an arbiter first", 5, func(m *lockRules) { m.arbiters = true }},
		{"an arbiter first and restarts", 4, func(m *lockRules) { m.arbiters, m.restarts = true, true }},
		{"an arbiter first, two, and all that", 4, func(m *lockRules) { m.attempts = 2; m.arbiters, m.restarts, m.renewals = true, true, true }},
		{"a provisional arbiter", 4, func(m *lockRules) { m.arbiters, m.provisional, m.courting = true, true, 2 }},
		{"a provisional arbiter and restarts", 3, func(m *lockRules) { m.arbiters, m.restarts, m.provisional, m.courting = true, true, true, 2 }},
		{"handed on, held for 3 ticks at most, renewals", 4, func(m *lockRules) { m.handoffs, m.renewals, m.maxHold = true, true, 3 }},
		{"adoptions", 4, func(m *lockRules) { m.adoptions = true }},
		{"adoptions, restarts, renewals and healing", 3, func(m *lockRules) { m.adoptions, m.restarts, m.renewals = true, true, true }},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			m := rightLockRules(c.ttl)
			c.with(&m)
			holds(t, m.model())
		})
	}
}

func TestModelOfLeasesFindsEveryMutant(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		mutate func(*lockRules)
	}{
		{"half is a quorum", func(m *lockRules) { m.need = func(voters int) int { return voters / 2 } }},
		{"the validity is the whole TTL", func(m *lockRules) { m.validity = m.ttl }},
		{"the validity is counted from the answers on", func(m *lockRules) { m.lateStart = true }},
		{"a renewal is counted from its answers on", func(m *lockRules) { m.renewals, m.lateRenewal = true, true }},
		{"a release deletes any lock that it finds", func(m *lockRules) {
			m.ours = func(s *modelServer, _ uint8) bool { return s.holder != 0 }
		}},
		{"one token for two attempts", func(m *lockRules) {
			m.token = func(attempt uint8) uint8 { return max(attempt, 1) }
			m.orders = m.orders[:1]
		}},
		{"no guard", func(m *lockRules) {
			m.restarts = true
			m.judge = func(*restart.Sighting, restart.Sighting, time.Time, time.Duration) (j restart.Judgement) { return j }
		}},
		{"the quarantine is shorter than a lease", func(m *lockRules) { m.restarts, m.quarantine = true, time.Duration(m.ttl-1)*time.Second }},
		{"a new run_id is nothing to a client that knew the server", func(m *lockRules) {
			m.restarts = true
			m.judge = func(before *restart.Sighting, now restart.Sighting, carried time.Time, quarantine time.Duration) restart.Judgement {
				if before != nil {
					now.RunID, now.Uptime = before.RunID, max(before.Uptime, now.Uptime)
				}
				return restart.Judge(before, now, carried, quarantine)
			}
		}},
		{"a quarantine is over with the connection", func(m *lockRules) {
			m.restarts = true
			m.judge = func(before *restart.Sighting, now restart.Sighting, _ time.Time, quarantine time.Duration) restart.Judgement {
				return restart.Judge(before, now, time.Time{}, quarantine)
			}
		}},
		{"an instance is healed that has restarted since the proof began", func(m *lockRules) {
			m.restarts, m.renewals, m.rashHealing = true, true, true
		}},
		{"the validity is counted from when the others are asked", func(m *lockRules) { m.arbiters, m.lateFanOut = true, true }},
		{"a lock that is handed on is counted from then on", func(m *lockRules) { m.handoffs, m.lateHandoff = true, true }},
		{"a renewal is not held to the longest time", func(m *lockRules) { m.renewals, m.maxHold, m.lateLimit = true, 1, true }},
		{"a lease is adopted that its holder has not let go of", func(m *lockRules) { m.adoptions, m.clings = true, true }},
		{"an adoption only proves the token", func(m *lockRules) { m.adoptions, m.proves = true, true }},
		{"what the arbiter granted for a short while is a vote", func(m *lockRules) { m.arbiters, m.courting = true, 2 }},
	} {
		m := rightLockRules(3)
		c.mutate(&m)
		breaks(t, c.name, m.model())
	}
}
