//go:build !race

package engine

import (
	"cmp"
	"fmt"
	"math/bits"
	"slices"
	"testing"

	"github.com/holdfast-go/holdfast/internal/model"
)

// The model of fences that are raised by a command of their own, beside the one that takes the lock. It is the model of
// fences (model_fence_test.go, which has the scripts of clusters) but for that: the raise and the lock are two messages, each
// of which may arrive at any moment from when the attempt began, never, or several times, in no order. An instance grants when
// it has answered that the raise has found less than the proposal, and that the lock was free.
//
// A script that does both in one step, or neither, is among that: it is the two messages one behind the other, or none of them.
const (
	raiseAttempts = 4
	raiseHighest  = 3 // proposals are from 1 to this
)

var raiseOrders = modelOrders(raiseAttempts)

type raiseState struct {
	servers    [modelServers]modelServer
	quarantine [modelServers]uint8
	attempts   [raiseAttempts]raiseAttempt
	lost       uint8
	now        uint8
}

type raiseAttempt struct {
	phase  uint8
	fence  uint8 // known before it begins only to a mutant
	more   uint8 // how many numbers are reserved behind the fence
	handed uint8
	raised uint8 // the places that have answered so; forgotten when it does not matter any more
	locked uint8
	age    uint8
	behind bool // a lease with the same fence, or a higher one, was there when it began
}

// raiseRules are the decisions of the engine, and what is assumed. A mutant has one of them wrong.
type raiseRules struct {
	fenceRules // what it has in common: scripts, quorum, proposals, handoffs, clocks
	votes      func(raised, locked uint8) uint8
	noLocks    bool // every lock is free: more grants than any lock allows
	early      bool // raises may arrive before the attempt begins
}

func rightRaiseRules() raiseRules {
	m := raiseRules{fenceRules: rightFenceRules(), votes: func(raised, locked uint8) uint8 { return raised & locked }}
	m.most = raiseAttempts
	return m
}

const (
	hearsRaise  uint8 = 100
	hearsLock   uint8 = 101
	raisesEarly uint8 = 102
)

func (m *raiseRules) next(s raiseState, to func(model.Step, raiseState)) {
	if m.clocks != nil {
		m.tick(s, to)
	}
	for a := range s.attempts {
		m.attemptSteps(s, uint8(a), to)
	}
	for i := range s.servers {
		if s.servers[i].holder != 0 {
			next := s
			next.servers[i].holder = 0
			to(model.Step{What: expires, Where: uint8(i)}, next)
		}
		if s.lost < m.forgets && s.servers[i] != (modelServer{}) {
			next := s
			next.servers[i] = modelServer{}
			if m.clocks != nil {
				next.quarantine[i] = m.clocks.quarantine
			}
			next.lost++
			to(model.Step{What: forgets, Where: uint8(i)}, next)
		}
	}
}

// tick lets time pass. An attempt whose timeout is over has given up before.
func (m *raiseRules) tick(s raiseState, to func(model.Step, raiseState)) {
	if s.now == m.clocks.horizon {
		return
	}
	s.now++
	for i, left := range s.quarantine {
		s.quarantine[i] = max(left, 1) - 1
	}
	for a := range s.attempts {
		own := &s.attempts[a]
		if own.phase != asking {
			continue
		}
		if own.age++; own.age > m.clocks.timeout {
			return
		}
	}
	to(model.Step{What: ticks}, s)
}

// proposals are the numbers that an attempt may begin with.
func (m *raiseRules) proposals(s *raiseState, with func(fence uint8)) {
	if s.begun() == m.most {
		return
	}
	if m.clocks == nil {
		for clock := uint64(1); clock <= raiseHighest; clock++ {
			with(uint8(m.propose(clock, 0)))
		}
		return
	}
	for skew := range m.clocks.skew + 1 {
		clock := uint64(1 + (s.now+skew)*fencesATick)
		with(uint8(m.propose(clock, 0)))
		for _, server := range s.servers { // it may have been refused there before
			with(uint8(m.propose(clock, uint64(server.fence))))
		}
	}
}

func (m *raiseRules) attemptSteps(s raiseState, a uint8, to func(model.Step, raiseState)) {
	step := func(what, value uint8, change func(*raiseAttempt)) {
		next := s
		change(&next.attempts[a])
		to(model.Step{What: what, Who: a, Value: value}, next)
	}
	own := s.attempts[a]
	switch own.phase {
	case atRest:
		begin := func(own *raiseAttempt) { own.phase, own.behind = asking, s.highest() >= own.fence }
		if own.fence != 0 {
			step(begins, own.fence, begin)
			break
		}
		m.proposals(&s, func(fence uint8) {
			for more := range m.reserve + 1 {
				if m.early {
					step(raisesEarly, fence, func(own *raiseAttempt) { own.fence, own.more = fence, more })
					continue
				}
				step(begins, fence, func(own *raiseAttempt) { own.fence, own.more = fence, more; begin(own) })
			}
		})
	case asking:
		if m.wonBy(own) {
			step(wins, own.fence, func(own *raiseAttempt) { own.phase, own.raised, own.locked, own.age = leased, 0, 0, 0 })
		}
		step(gives, 0, func(own *raiseAttempt) { own.phase, own.raised, own.locked, own.age = gaveUp, 0, 0, 0 })
		if m.patch {
			for fence := own.fence + 1; fence <= raiseHighest; fence++ {
				step(patches, fence, func(own *raiseAttempt) { own.fence = fence })
			}
		}
	case leased:
		step(ends, 0, func(own *raiseAttempt) { own.phase = gaveBack })
		if m.hands(own.handed, own.more) {
			step(handsOn, 0, func(own *raiseAttempt) { own.handed++ })
		}
	}
	if own.fence == 0 {
		return
	}
	for i := range s.servers {
		m.deliver(s, a, uint8(i), to)
	}
}

// deliver has a message of an attempt arrive.
func (m *raiseRules) deliver(s raiseState, a, i uint8, to func(model.Step, raiseState)) {
	hear := func(what uint8, change func(own *raiseAttempt, server *modelServer, listens bool)) {
		next := s
		own := &next.attempts[a]
		listens := (own.phase == asking || own.phase == atRest) && s.quarantine[i] == 0
		change(own, &next.servers[i], listens)
		if next != s {
			to(model.Step{What: what, Who: a, Where: i}, next)
		}
	}
	hear(hearsRaise, func(own *raiseAttempt, server *modelServer, listens bool) {
		if m.raise(server, own.fence, m.note(own.fence, own.more)) && listens {
			own.raised |= 1 << i
		}
	})
	phase := s.attempts[a].phase
	if phase == atRest || m.noLocks {
		return
	}
	hear(hearsLock, func(own *raiseAttempt, server *modelServer, listens bool) {
		if server.holder != 0 && server.holder != a+1 {
			return
		}
		server.holder = a + 1
		if listens {
			own.locked |= 1 << i
		}
	})
	if phase == gaveUp || phase == gaveBack {
		hear(hearsRelease, func(own *raiseAttempt, server *modelServer, _ bool) {
			m.releaseFenced(server, a+1, m.note(own.fence, own.more))
		})
	}
}

func (m *raiseRules) wonBy(own raiseAttempt) bool {
	locked := own.locked
	if m.noLocks {
		locked = own.raised
	}
	return m.won(m.votes(own.raised, locked))
}

func (s *raiseState) begun() (n int) {
	for _, a := range s.attempts {
		if a.fence != 0 {
			n++
		}
	}
	return n
}

// highest is the highest fence that a lease has had.
func (s *raiseState) highest() (fence uint8) {
	for _, a := range s.attempts {
		if a.phase >= leased {
			fence = max(fence, a.fence+a.handed)
		}
	}
	return fence
}

func (m *raiseRules) wrong(s raiseState) string {
	for a, one := range s.attempts {
		if one.phase < leased {
			continue
		}
		for b, other := range s.attempts[:a] {
			if both := max(one.fence, other.fence); other.phase >= leased && both <= min(one.fence+one.handed, other.fence+other.handed) {
				return fmt.Sprintf("%s and %s both got the fence %d", modelName(uint8(b)), modelName(uint8(a)), both)
			}
		}
		if one.behind {
			return fmt.Sprintf("%s got the fence %d, which is not higher than that of a lease before it began", modelName(uint8(a)), one.fence)
		}
	}
	return ""
}

// canon exchanges instances, and attempts, as that of fences does.
func (m *raiseRules) canon(s raiseState) (least raiseState) {
	var marks [raiseAttempts]uint64
	for a := range s.attempts {
		marks[a] = s.mark(uint8(a))
	}
	found := false
orders:
	for _, order := range raiseOrders {
		for to := 1; to < raiseAttempts; to++ {
			if marks[order[to-1]] > marks[order[to]] {
				continue orders
			}
		}
		e := raiseState{lost: s.lost, now: s.now, quarantine: s.quarantine}
		var names [raiseAttempts + 1]uint8
		for to, from := range order {
			e.attempts[to] = s.attempts[from]
			names[from+1] = uint8(to + 1)
		}
		for i, server := range s.servers {
			e.servers[i] = modelServer{holder: names[server.holder], fence: server.fence}
		}
		e.sortServers()
		if !found || e.compare(&least) < 0 {
			found, least = true, e
		}
	}
	return least
}

// mark is what does not change when instances, or other attempts, are exchanged.
func (s *raiseState) mark(a uint8) uint64 {
	own := s.attempts[a]
	common := own
	common.raised, common.locked = 0, 0
	mark := common.number()<<8 | uint64(bits.OnesCount8(own.raised))<<4 | uint64(bits.OnesCount8(own.locked))<<2
	for i := range s.servers {
		if s.servers[i].holder == a+1 {
			mark++
		}
	}
	return mark
}

func (s *raiseState) sortServers() {
	sortServers(s.column, func(i int) {
		s.servers[i], s.servers[i+1] = s.servers[i+1], s.servers[i]
		s.quarantine[i], s.quarantine[i+1] = s.quarantine[i+1], s.quarantine[i]
		for a := range s.attempts {
			s.attempts[a].raised = swapBits(s.attempts[a].raised, i)
			s.attempts[a].locked = swapBits(s.attempts[a].locked, i)
		}
	})
}

// column is all that there is about one instance, in one number.
func (s *raiseState) column(i int) uint64 {
	c := uint64(s.quarantine[i])<<16 | uint64(s.servers[i].holder)<<8 | uint64(s.servers[i].fence)
	for a := range s.attempts {
		c = c<<2 | uint64(s.attempts[a].raised>>i&1)<<1 | uint64(s.attempts[a].locked>>i&1)
	}
	return c
}

func (s *raiseState) compare(o *raiseState) int {
	return cmp.Or(slices.CompareFunc(s.attempts[:], o.attempts[:], func(a, b raiseAttempt) int {
		return cmp.Compare(a.number(), b.number())
	}), slices.CompareFunc(s.servers[:], o.servers[:], func(a, b modelServer) int {
		return cmp.Compare(uint16(a.holder)<<8|uint16(a.fence), uint16(b.holder)<<8|uint16(b.fence))
	}), slices.Compare(s.quarantine[:], o.quarantine[:]))
}

func (a raiseAttempt) number() uint64 {
	n := uint64(a.more)<<44 | uint64(a.handed)<<40 | uint64(a.phase)<<32 | uint64(a.fence)<<24 | uint64(a.age)<<20 | uint64(a.raised)<<8 | uint64(a.locked)<<1
	if a.behind {
		n |= 1
	}
	return n
}

func (m *raiseRules) model() model.Model[raiseState] {
	return model.Model[raiseState]{Next: m.next, Wrong: m.wrong, Canon: m.canon, Say: func(s model.Step) string {
		who, where := modelName(s.Who), fmt.Sprintf("instance %d", s.Where+1)
		switch s.What {
		case hearsRaise:
			return fmt.Sprintf("%s hears %s's raise", where, who)
		case hearsLock:
			return fmt.Sprintf("%s hears that %s wants the lock", where, who)
		case raisesEarly:
			return fmt.Sprintf("%s asks for the fence %d to be raised, and has not begun", who, s.Value)
		}
		return sayStep(s)
	}}
}

// few is with so many attempts, each of which finds every lock free: what the locks themselves rule out is checked, too.
func (m *raiseRules) few(attempts int) { m.most, m.noLocks = attempts, true }

// locking is with locks, which have one holder each, expire at any moment, and are released.
func (m *raiseRules) locking() { m.most = 2 }

func TestModelRaisedFencesAreUniqueAndRise(t *testing.T) {
	for _, c := range []struct {
		name string
		with func(*raiseRules)
	}{
		{"whatever the locks do", func(m *raiseRules) { m.few(4) }},
		{"locks are handed on within a reserve", func(m *raiseRules) { m.few(3); m.reserve = 1 }},
		{"with locks", func(m *raiseRules) { m.locking() }},
		{"instances forget twice, clocks differ", func(m *raiseRules) { m.few(2); m.forgetful(1) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			m := rightRaiseRules()
			c.with(&m)
			holds(t, m.model())
		})
	}
}

func TestModelOfRaisesFindsEveryMutant(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		mutate func(*raiseRules)
	}{
		{"an equal number is taken for raised, as one's own is when it is sent a second time", func(m *raiseRules) {
			m.few(3)
			m.stale = func(fence, proposed uint8) bool { return fence > proposed }
		}},
		{"the answer of the raise does not count", func(m *raiseRules) {
			m.locking()
			m.votes = func(_, locked uint8) uint8 { return locked }
		}},
		{"a lock counts without its raise, or a raise without its lock", func(m *raiseRules) {
			m.locking()
			m.votes = func(raised, locked uint8) uint8 { return raised | locked }
		}},
		{"a fence may sink", func(m *raiseRules) { m.few(3); m.raised = func(_, highest uint8) uint8 { return highest } }},
		{"half is a quorum", func(m *raiseRules) { m.few(3); m.need = func(voters int) int { return voters / 2 } }},
		{"raises of the number before count for a new one", func(m *raiseRules) { m.few(3); m.patch = true }},
		{"fences are raised before the attempt begins", func(m *raiseRules) { m.few(3); m.early = true }},
		{"one instance forgets its fence once", func(m *raiseRules) { m.few(3); m.forgets = 1 }},
		{"clocks differ by the quarantine without the timeout", func(m *raiseRules) { m.few(2); m.forgetful(2) }},
		{"the quarantine is as short as clocks differ", func(m *raiseRules) { m.few(2); m.forgetful(1); m.clocks.quarantine = 1 }},
		{"an attempt goes on for longer", func(m *raiseRules) { m.few(2); m.forgetful(1); m.clocks.timeout = 2 }},
		{"a lock is handed on once more than numbers came with it", func(m *raiseRules) {
			m.few(3)
			m.reserve = 1
			m.hands = func(handed, reserved uint8) bool { return handed <= reserved }
		}},
		{"instances note the proposal, and not what is reserved behind it", func(m *raiseRules) {
			m.few(3)
			m.reserve = 1
			m.note = func(fence, _ uint8) uint8 { return fence }
		}},
	} {
		m := rightRaiseRules()
		c.mutate(&m)
		breaks(t, c.name, m.model())
	}
}
