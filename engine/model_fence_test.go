//go:build !race

package engine

import (
	"cmp"
	"fmt"
	"math/bits"
	"slices"
	"testing"

	"github.com/holdfast-go/holdfast/instance"
	"github.com/holdfast-go/holdfast/internal/model"
)

// The model of fencing. It has no time and no clocks: an attempt proposes any
// number, a lock expires whenever it likes. Nor has it an order of messages: what
// has been sent may arrive at any moment from then on, never, or several times.
// Healings, retries and attempts that outlive their process are all among that.
//
// Each attempt is on its own, whichever client it belongs to: two attempts of one
// client, one after the other, are a special case.
//
// A lease may be handed on within the engine: the next one's fence is among the
// numbers that came with the lock, behind the proposal, and the instances note the
// last of these.
//
// Where instances forget, clocks must help, so that there is time then: see
// fenceClocks.
const (
	fenceAttempts = 4
	fenceHighest  = 3 // proposals are from 1 to this
)

var fenceOrders = modelOrders(fenceAttempts)

type fenceState struct {
	servers    [modelServers]modelServer
	quarantine [modelServers]uint8 // for how many ticks each does not vote yet
	attempts   [fenceAttempts]fenceAttempt
	lost       uint8 // how often an instance has lost its memory
	now        uint8
}

type fenceAttempt struct {
	phase  uint8
	fence  uint8
	more   uint8 // how many numbers are reserved behind the fence
	handed uint8 // how often the lease has been handed on
	oks    uint8 // the places that have granted; forgotten when it does not matter any more
	age    uint8 // ticks since it began; forgotten likewise
	behind bool  // a lease with the same fence, or a higher one, was there when it began
}

// fenceClocks are the clocks by which clients propose, in ticks, and what hangs on
// them when instances forget. Between two ticks there is room for more numbers than
// there are attempts, so that a client that proposes above what it has seen does not get
// ahead of the clocks.
type fenceClocks struct {
	horizon    uint8 // how long the model goes on
	skew       uint8 // how far one client's clock may be ahead of another's
	timeout    uint8 // of an attempt
	quarantine uint8 // of an instance that has forgotten
	attempts   int   // at most fenceAttempts
}

const fencesATick = fenceAttempts + 1

// fenceRules are the decisions of the engine, and what is assumed. A mutant has
// one of them wrong.
type fenceRules struct {
	modelScripts
	need    func(voters int) int
	propose func(clock, seen uint64) uint64
	patch   bool                              // a refused proposal is made anew where it was refused only
	reserve uint8                             // how many numbers an attempt may reserve, at most
	hands   func(handed, reserved uint8) bool // whether a lease may be handed on
	note    func(fence, reserved uint8) uint8 // what instances note
	most    int                               // how many attempts begin, at most; 0: all
	forgets uint8
	clocks  *fenceClocks // nil: no time, and any number is proposed
}

func rightFenceRules() fenceRules {
	return fenceRules{
		modelScripts: rightScripts(), need: quorum, propose: proposal,
		hands: func(handed, reserved uint8) bool { return handed < reserved },
		note:  func(fence, reserved uint8) uint8 { return fence + reserved },
	}
}

func (m *fenceRules) next(s fenceState, to func(model.Step, fenceState)) {
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
func (m *fenceRules) tick(s fenceState, to func(model.Step, fenceState)) {
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
func (m *fenceRules) proposals(s *fenceState, with func(fence uint8)) {
	if m.most > 0 && s.begun() == m.most {
		return
	}
	if m.clocks == nil {
		for clock := uint64(1); clock <= fenceHighest; clock++ {
			with(uint8(m.propose(clock, 0)))
		}
		return
	}
	if s.begun() == m.clocks.attempts {
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

func (m *fenceRules) attemptSteps(s fenceState, a uint8, to func(model.Step, fenceState)) {
	step := func(what, value uint8, change func(*fenceAttempt)) {
		next := s
		change(&next.attempts[a])
		to(model.Step{What: what, Who: a, Value: value}, next)
	}
	switch own := s.attempts[a]; own.phase {
	case atRest:
		m.proposals(&s, func(fence uint8) {
			for more := range m.reserve + 1 {
				step(begins, fence, func(own *fenceAttempt) {
					*own = fenceAttempt{phase: asking, fence: fence, more: more, behind: s.highest() >= fence}
				})
			}
		})
		return
	case asking:
		if m.won(own.oks) {
			step(wins, own.fence, func(own *fenceAttempt) { own.phase, own.oks, own.age = leased, 0, 0 })
		}
		step(gives, 0, func(own *fenceAttempt) { own.phase, own.oks, own.age = gaveUp, 0, 0 })
		if m.patch {
			for fence := own.fence + 1; fence <= fenceHighest; fence++ {
				step(patches, fence, func(own *fenceAttempt) { own.fence = fence })
			}
		}
	case leased:
		step(ends, 0, func(own *fenceAttempt) { own.phase = gaveBack })
		if m.hands(own.handed, own.more) {
			step(handsOn, 0, func(own *fenceAttempt) { own.handed++ })
		}
	}
	for i := range s.servers {
		m.deliver(s, a, uint8(i), to)
	}
}

// deliver has a message of an attempt arrive.
func (m *fenceRules) deliver(s fenceState, a, i uint8, to func(model.Step, fenceState)) {
	next := s
	own, server := &next.attempts[a], &next.servers[i]
	kind := m.acquireFenced(server, a+1, 0, own.fence, m.note(own.fence, own.more))
	if own.phase == asking && kind == instance.Granted && s.quarantine[i] == 0 {
		own.oks |= 1 << i
	}
	if next != s {
		to(model.Step{What: hears, Who: a, Where: i, Value: uint8(kind)}, next)
	}
	if own.phase != gaveUp && own.phase != gaveBack {
		return
	}
	next = s
	kind = m.releaseFenced(&next.servers[i], a+1, m.note(own.fence, own.more))
	if next != s {
		to(model.Step{What: hearsRelease, Who: a, Where: i, Value: uint8(kind)}, next)
	}
}

func (m *fenceRules) won(oks uint8) bool { return modelTally(oks, m.need).won() }

// begun is how many attempts are not at rest.
func (s *fenceState) begun() (n int) {
	for _, a := range s.attempts {
		if a.phase != atRest {
			n++
		}
	}
	return n
}

// highest is the highest fence that a lease has had.
func (s *fenceState) highest() (fence uint8) {
	for _, a := range s.attempts {
		if a.phase >= leased {
			fence = max(fence, a.fence+a.handed)
		}
	}
	return fence
}

func (m *fenceRules) wrong(s fenceState) string {
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

// canon exchanges instances, and attempts. What can be told of an attempt without
// looking at the others decides most of the order.
func (m *fenceRules) canon(s fenceState) (least fenceState) {
	var marks [fenceAttempts]uint64
	for a := range s.attempts {
		marks[a] = s.mark(uint8(a))
	}
	found := false
orders:
	for _, order := range fenceOrders {
		for to := 1; to < fenceAttempts; to++ {
			if marks[order[to-1]] > marks[order[to]] {
				continue orders
			}
		}
		e := fenceState{lost: s.lost, now: s.now, quarantine: s.quarantine}
		var names [fenceAttempts + 1]uint8
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
func (s *fenceState) mark(a uint8) uint64 {
	own := s.attempts[a]
	mark := uint64(own.more)<<40 | uint64(own.handed)<<36 | uint64(own.phase)<<24 | uint64(own.fence)<<16 | uint64(own.age)<<12 | uint64(bits.OnesCount8(own.oks))<<8
	for i := range s.servers {
		if s.servers[i].holder == a+1 {
			mark += 2
		}
	}
	if own.behind {
		mark++
	}
	return mark
}

func (s *fenceState) sortServers() {
	sortServers(s.column, func(i int) {
		s.servers[i], s.servers[i+1] = s.servers[i+1], s.servers[i]
		s.quarantine[i], s.quarantine[i+1] = s.quarantine[i+1], s.quarantine[i]
		for a := range s.attempts {
			s.attempts[a].oks = swapBits(s.attempts[a].oks, i)
		}
	})
}

// column is all that there is about one instance, in one number.
func (s *fenceState) column(i int) uint64 {
	c := uint64(s.quarantine[i])<<24 | uint64(s.servers[i].holder)<<16 | uint64(s.servers[i].fence)<<8
	for a := range s.attempts {
		c = c<<1 | uint64(s.attempts[a].oks>>i&1)
	}
	return c
}

func (s *fenceState) compare(o *fenceState) int {
	return cmp.Or(slices.CompareFunc(s.attempts[:], o.attempts[:], func(a, b fenceAttempt) int {
		return cmp.Compare(a.number(), b.number())
	}), slices.CompareFunc(s.servers[:], o.servers[:], func(a, b modelServer) int {
		return cmp.Compare(uint16(a.holder)<<8|uint16(a.fence), uint16(b.holder)<<8|uint16(b.fence))
	}), slices.Compare(s.quarantine[:], o.quarantine[:]))
}

func (a fenceAttempt) number() uint64 {
	n := uint64(a.more)<<40 | uint64(a.handed)<<36 | uint64(a.phase)<<24 | uint64(a.fence)<<16 | uint64(a.age)<<12 | uint64(a.oks)<<8
	if a.behind {
		n |= 1
	}
	return n
}

func (m *fenceRules) model() model.Model[fenceState] {
	return model.Model[fenceState]{Next: m.next, Wrong: m.wrong, Canon: m.canon, Say: sayStep}
}

func TestModelFencesAreUniqueAndRise(t *testing.T) {
	t.Parallel()
	m := rightFenceRules()
	holds(t, m.model())
}

// handing is where locks are handed on, and each attempt reserves a number for it or
// does not. One attempt less makes up for the numbers more.
func (m *fenceRules) handing() {
	m.reserve, m.most = 1, 3
}

func TestModelFencesWithinAReserveAreUniqueAndRise(t *testing.T) {
	t.Parallel()
	m := rightFenceRules()
	m.handing()
	holds(t, m.model())
}

// forgetful is where instances forget, at any moment, and sit out their quarantine.
func (m *fenceRules) forgetful(skew uint8) {
	m.forgets = 2
	m.clocks = &fenceClocks{horizon: 4, skew: skew, timeout: 1, quarantine: 3, attempts: 2}
}

// As long as clocks differ by less than the quarantine and the timeout do.
func TestModelFencesRiseThoughInstancesForget(t *testing.T) {
	t.Parallel()
	m := rightFenceRules()
	m.forgetful(1)
	holds(t, m.model())
}

func TestModelOfFencesFindsEveryMutant(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		mutate func(*fenceRules)
	}{
		{"an equal fence is granted", func(m *fenceRules) {
			m.stale = func(fence, proposed uint8) bool { return fence > proposed }
		}},
		{"half is a quorum", func(m *fenceRules) { m.need = func(voters int) int { return voters / 2 } }},
		{"grants of different proposals are counted together", func(m *fenceRules) { m.patch = true }},
		{"one instance forgets its fence once", func(m *fenceRules) { m.forgets = 1 }},
		{"clocks differ by the quarantine without the timeout", func(m *fenceRules) { m.forgetful(2) }},
		{"the quarantine is as short as clocks differ", func(m *fenceRules) { m.forgetful(1); m.clocks.quarantine = 1 }},
		{"an attempt goes on for longer", func(m *fenceRules) { m.forgetful(1); m.clocks.timeout = 2 }},
		{"a lock is handed on once more than numbers came with it", func(m *fenceRules) {
			m.handing()
			m.hands = func(handed, reserved uint8) bool { return handed <= reserved }
		}},
		{"instances note the proposal, and not what is reserved behind it", func(m *fenceRules) {
			m.handing()
			m.note = func(fence, _ uint8) uint8 { return fence }
		}},
		{"fences are not compared", func(m *fenceRules) {
			m.stale = func(uint8, uint8) bool { return false }
		}},
		{"every lock is taken for our own, sent a second time", func(m *fenceRules) {
			m.repeats = func(s *modelServer, _, _ uint8) bool { return s.holder != 0 }
		}},
	} {
		m := rightFenceRules()
		c.mutate(&m)
		breaks(t, c.name, m.model())
	}
}
