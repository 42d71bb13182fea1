//go:build !race

package engine

import (
	"fmt"
	"testing"

	"github.com/holdfast-go/holdfast/instance"
	"github.com/holdfast-go/holdfast/internal/model"
)

// The model of readers and writers: of two leases that are valid at once none is a writer's. Time, messages and restarts are as in
// the model of the plain lock: what was sent may arrive at any moment from then on, never, or several times, and in any order. Each
// attempt has a kind and a TTL of its own. That a lock is closed to readers is no part of it: it only has some of them refused,
// as one is whose message is lost.
const (
	sharedAttempts = 3
	sharedDrift    = 1
	marked         = sharedAttempts + 1 // what the key has while readers are in
)

type sharedState struct {
	servers  [modelServers]sharedServer
	attempts [sharedAttempts]sharedAttempt
}

type sharedServer struct {
	holder uint8 // 0; 1 + a writer; marked
	left   uint8 // of the key's life
	in     uint8 // the readers that are in the set
	stays  [sharedAttempts]uint8
	age    uint8
}

type sharedAttempt struct {
	phase    uint8
	age      uint8 // since the start of the acquire or of the last confirmed renewal
	oks      uint8
	renewing bool
	renewAge uint8
	renewed  uint8
	missing  uint8
	shaky    uint8 // the places that have restarted since the renewal began
	healable uint8
}

// sharedRules are the decisions of the engine and of the scripts. A mutant has one of them wrong.
type sharedRules struct {
	reads    []bool
	ttls     []uint8
	restarts bool
	renewals bool

	need        func(int) int
	grown       uint8 // how old a server must be to vote; 0: the longest TTL
	lateStart   bool
	lateRenewal bool
	rashHealing bool

	markOfLast     bool // the mark lives as the reader that came last says
	markOfFirst    bool // or as the first said
	renewsItself   bool // a renewal prolongs the reader, and not the mark
	leavesForAll   bool // who leaves deletes the mark
	endsWithLeast  bool // who leaves has the mark end before those that are left
	renewalEnters  bool // a renewal puts a reader back that is not in
	setIsEnough    bool // a renewal counts whoever is in the set, whatever the key has, and the set is not deleted with the mark
	overReaders    bool // a writer takes the lock where readers are
	oneReads       bool // one instance is enough for a reader
	emptyIsGranted bool // a writer counts a mark under which nobody is, without taking it
}

func sharedModel(kinds string, ttls ...uint8) *sharedRules {
	m := &sharedRules{need: quorum, ttls: ttls}
	for _, kind := range kinds {
		m.reads = append(m.reads, kind == 'R')
	}
	return m
}

func (m *sharedRules) with(change func(*sharedRules)) *sharedRules {
	change(m)
	return m
}

func (m *sharedRules) life(who uint8) uint8 { return m.ttls[who] - sharedDrift }

func (m *sharedRules) oldEnough() uint8 {
	if m.grown != 0 {
		return m.grown
	}
	longest := uint8(0)
	for _, ttl := range m.ttls {
		longest = max(longest, ttl)
	}
	return longest
}

// clear deletes the key, and what is beside it.
func (m *sharedRules) clear(v *sharedServer) {
	v.holder, v.left = 0, 0
	if !m.setIsEnough {
		v.in, v.stays = 0, [sharedAttempts]uint8{}
	}
}

// acquire is acquire_shared.lua for a reader, and SET NX for a writer.
func (m *sharedRules) acquire(v *sharedServer, who uint8) bool {
	if !m.reads[who] {
		if v.holder != 0 && !(m.overReaders && v.holder == marked) {
			return false
		}
		v.holder, v.left = who+1, m.life(who)
		return true
	}
	switch {
	case v.holder == 0:
		m.clear(v)
		v.holder, v.left = marked, m.life(who)
	case v.holder != marked:
		return false
	case m.markOfLast:
		v.left = m.life(who)
	case !m.markOfFirst:
		v.left = max(v.left, m.life(who))
	}
	v.in |= 1 << who
	v.stays[who] = max(v.stays[who], m.life(who))
	return true
}

// renew is renew_shared.lua for a reader, and renew.lua for a writer.
func (m *sharedRules) renew(v *sharedServer, who uint8) instance.Kind {
	in := v.in>>who&1 != 0
	switch {
	case !m.reads[who] && v.holder == who+1:
		v.left = max(v.left, m.life(who))
		return instance.Granted
	case v.holder == 0 && !(m.reads[who] && m.renewalEnters):
		return instance.Gone
	case !m.reads[who], v.holder != marked && v.holder != 0 && !(m.setIsEnough && in):
		return instance.Stolen
	case v.holder == 0:
		m.clear(v)
		v.holder = marked
	case v.holder != marked: // setIsEnough
		return instance.Granted
	case !in && !m.renewalEnters:
		return instance.Gone
	}
	if !m.renewsItself {
		v.left = max(v.left, m.life(who))
	}
	v.in |= 1 << who
	v.stays[who] = max(v.stays[who], m.life(who))
	return instance.Granted
}

// release is release_shared.lua for a reader, and release.lua for a writer.
func (m *sharedRules) release(v *sharedServer, who uint8) {
	if !m.reads[who] {
		if v.holder == who+1 {
			v.holder, v.left = 0, 0
		}
		return
	}
	if v.holder != marked {
		return
	}
	was := v.in>>who&1 != 0
	v.in &^= 1 << who
	v.stays[who] = 0
	if v.in == 0 || was && m.leavesForAll {
		m.clear(v)
		return
	}
	if v.left = 0; m.endsWithLeast { // the mark ends with those that are left
		v.left = sharedDrift
	}
	for b := range m.reads {
		if v.in>>b&1 != 0 && !m.endsWithLeast {
			v.left = max(v.left, v.stays[b])
		}
	}
}

func (m *sharedRules) next(s sharedState, to func(model.Step, sharedState)) {
	for who := range m.reads {
		m.steps(s, uint8(who), to)
		for i := range s.servers {
			m.deliver(s, uint8(who), uint8(i), to)
		}
	}
	for i := range s.servers {
		v := &s.servers[i]
		if v.holder != 0 && v.left == 0 {
			n := s
			m.clear(&n.servers[i])
			to(model.Step{What: expires, Where: uint8(i)}, n)
		}
		for who := range m.reads {
			if v.holder == marked && v.in>>who&1 != 0 && v.stays[who] == 0 {
				n := s
				n.servers[i].in &^= 1 << who
				to(model.Step{What: expires, Who: uint8(who), Where: uint8(i)}, n)
			}
		}
		if m.restarts && *v != (sharedServer{}) {
			to(model.Step{What: forgets, Where: uint8(i)}, m.restart(s, i))
		}
	}
	if n := m.tick(s); n != s {
		to(model.Step{What: ticks}, n)
	}
}

func (m *sharedRules) restart(s sharedState, i int) sharedState {
	s.servers[i] = sharedServer{}
	for b := range s.attempts {
		a := &s.attempts[b]
		if a.renewing {
			a.shaky |= 1 << i
		}
		if !m.rashHealing {
			a.healable &^= 1 << i
		}
	}
	return s
}

func (m *sharedRules) tick(s sharedState) sharedState {
	for i := range s.servers {
		v := &s.servers[i]
		v.left = max(v.left, 1) - 1
		for who := range v.stays {
			v.stays[who] = max(v.stays[who], 1) - 1
		}
		v.age = min(v.age+1, m.oldEnough())
	}
	for who := range m.reads {
		a := &s.attempts[who]
		if a.phase != asking && a.phase != leased {
			continue
		}
		validity := m.ttls[who] - sharedDrift
		a.age = min(a.age+1, validity)
		if a.renewing {
			a.renewAge = min(a.renewAge+1, validity)
		}
		switch {
		case a.age < validity:
		case a.phase == leased:
			*a = sharedAttempt{phase: gaveBack}
		default:
			*a = sharedAttempt{phase: gaveUp}
		}
	}
	return s
}

func (m *sharedRules) steps(s sharedState, who uint8, to func(model.Step, sharedState)) {
	step := func(what uint8, change func(*sharedAttempt)) {
		n := s
		change(&n.attempts[who])
		to(model.Step{What: what, Who: who}, n)
	}
	switch a := &s.attempts[who]; {
	case a.phase == atRest:
		step(begins, func(a *sharedAttempt) { a.phase = asking })
	case a.phase == asking:
		step(gives, func(a *sharedAttempt) { *a = sharedAttempt{phase: gaveUp} })
		if modelTally(a.oks, m.need).won() || m.oneReads && m.reads[who] && a.oks != 0 {
			step(wins, func(a *sharedAttempt) {
				*a = sharedAttempt{phase: leased, age: a.age}
				if m.lateStart {
					a.age = 0
				}
			})
		}
	case a.phase == leased:
		step(ends, func(a *sharedAttempt) { *a = sharedAttempt{phase: gaveBack} })
		if m.renewals && !a.renewing {
			step(renewing, func(a *sharedAttempt) {
				a.renewing, a.renewAge, a.renewed, a.missing, a.shaky = true, 0, 0, 0, 0
			})
		} else if m.renewals && modelTally(a.renewed, m.need).won() {
			step(renewed, func(a *sharedAttempt) {
				if a.healable = a.missing; !m.rashHealing {
					a.healable &^= a.shaky
				}
				if a.age = a.renewAge; m.lateRenewal {
					a.age = 0
				}
				a.renewing, a.renewAge, a.renewed, a.missing, a.shaky = false, 0, 0, 0, 0
			})
		}
	}
}

func (m *sharedRules) deliver(s sharedState, who, i uint8, to func(model.Step, sharedState)) {
	send := func(what uint8, hear func(*sharedAttempt, *sharedServer) instance.Kind) {
		n := s
		kind := hear(&n.attempts[who], &n.servers[i])
		if n != s {
			to(model.Step{What: what, Who: who, Where: i, Value: uint8(kind)}, n)
		}
	}
	a := s.attempts[who]
	if a.phase != atRest && s.servers[i].age == m.oldEnough() {
		send(hears, func(a *sharedAttempt, v *sharedServer) instance.Kind {
			granted := m.acquire(v, who) || m.emptyIsGranted && !m.reads[who] && v.holder == marked && v.in == 0
			if !granted {
				return instance.Held
			}
			if a.phase == asking {
				a.oks |= 1 << i
			}
			return instance.Granted
		})
	}
	if a.healable>>i&1 != 0 {
		send(hearsHealing, func(a *sharedAttempt, v *sharedServer) instance.Kind {
			a.healable &^= 1 << i
			m.acquire(v, who)
			return instance.Granted
		})
	}
	if a.renewing {
		send(hearsRenewal, func(a *sharedAttempt, v *sharedServer) instance.Kind {
			kind := m.renew(v, who)
			switch {
			case a.missing>>i&1 != 0:
			case kind == instance.Granted:
				a.renewed |= 1 << i
			case kind == instance.Gone && a.renewed>>i&1 == 0:
				a.missing |= 1 << i
			}
			return kind
		})
	}
	if a.phase == gaveUp || a.phase == gaveBack {
		send(hearsRelease, func(_ *sharedAttempt, v *sharedServer) instance.Kind {
			m.release(v, who)
			return instance.Granted
		})
	}
}

func (m *sharedRules) wrong(s sharedState) string {
	for b := range m.reads {
		for c := range b {
			if s.attempts[b].phase == leased && s.attempts[c].phase == leased && !(m.reads[b] && m.reads[c]) {
				return fmt.Sprintf("%s and %s both have a valid lease, and one of them is a writer's", modelName(uint8(c)), modelName(uint8(b)))
			}
		}
	}
	return ""
}

// canon orders the servers, and the attempts that are alike.
func (m *sharedRules) canon(s sharedState) sharedState {
	least := m.ordered(s)
	for b := range m.reads {
		for c := range b {
			if m.reads[b] != m.reads[c] || m.ttls[b] != m.ttls[c] {
				continue
			}
			if n := m.ordered(swapAttempts(s, c, b)); n.number() < least.number() { // which is as good with three, of which two are alike
				least = n
			}
		}
	}
	return least
}

// swapAttempts exchanges two attempts.
func swapAttempts(s sharedState, b, c int) sharedState {
	s.attempts[b], s.attempts[c] = s.attempts[c], s.attempts[b]
	for i := range s.servers {
		v := &s.servers[i]
		v.stays[b], v.stays[c] = v.stays[c], v.stays[b]
		if v.in>>b&1 != v.in>>c&1 {
			v.in ^= 1<<b | 1<<c
		}
		switch int(v.holder) {
		case b + 1:
			v.holder = uint8(c + 1)
		case c + 1:
			v.holder = uint8(b + 1)
		}
	}
	return s
}

// number tells states apart well enough to prefer one of two that are alike: whichever it is.
func (s *sharedState) number() (n uint64) {
	n = 14695981039346656037
	mix := func(x uint8) { n = (n ^ uint64(x)) * 1099511628211 }
	for i := range s.servers {
		v := &s.servers[i]
		for _, x := range [...]uint8{v.holder, v.left, v.in, v.stays[0], v.stays[1], v.stays[2], v.age} {
			mix(x)
		}
	}
	for who := range s.attempts {
		a := &s.attempts[who]
		for _, x := range [...]uint8{a.phase, a.age, a.oks, a.renewAge, a.renewed, a.missing, a.shaky, a.healable} {
			mix(x)
		}
		if a.renewing {
			mix(1)
		}
	}
	return n
}

func (m *sharedRules) ordered(s sharedState) sharedState {
	column := func(i int) (n uint64) {
		v := &s.servers[i]
		n = uint64(v.age)<<8 | uint64(v.holder)<<4 | uint64(v.left)
		for who := range s.attempts {
			a := &s.attempts[who]
			n = n<<9 | uint64(v.stays[who])<<6 | uint64(v.in>>who&1)<<5 | uint64(a.oks>>i&1)<<4 |
				uint64(a.renewed>>i&1)<<3 | uint64(a.missing>>i&1)<<2 | uint64(a.shaky>>i&1)<<1 | uint64(a.healable>>i&1)
		}
		return n
	}
	sortServers(column, func(i int) {
		s.servers[i], s.servers[i+1] = s.servers[i+1], s.servers[i]
		for who := range s.attempts {
			a := &s.attempts[who]
			for _, set := range []*uint8{&a.oks, &a.renewed, &a.missing, &a.shaky, &a.healable} {
				*set = swapBits(*set, i)
			}
		}
	})
	return s
}

func (m *sharedRules) model() model.Model[sharedState] {
	var start sharedState
	for i := range start.servers {
		start.servers[i].age = m.oldEnough()
	}
	return model.Model[sharedState]{Start: start, Next: m.next, Wrong: m.wrong, Canon: m.canon, Say: sayStep}
}

func TestModelWritersExcludeEverybody(t *testing.T) {
	renewals := func(m *sharedRules) { m.renewals = true }
	both := func(m *sharedRules) { m.renewals, m.restarts = true, true }
	for name, m := range map[string]*sharedRules{
		"a writer and two readers":                        sharedModel("WRR", 3, 3, 3),
		"two writers and a reader":                        sharedModel("WWR", 4, 4, 4),
		"a writer and two readers, of other TTLs":         sharedModel("WRR", 3, 4, 2),
		"a writer and two readers, renewals":              sharedModel("WRR", 2, 3, 2).with(renewals),
		"a writer and two readers, restarts and renewals": sharedModel("WRR", 2, 2, 2).with(both),
		"a writer and a reader, restarts and renewals":    sharedModel("WR", 3, 3).with(both),
		"a writer and two readers, restarts":              sharedModel("WRR", 3, 3, 3).with(func(m *sharedRules) { m.restarts = true }),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			holds(t, m.model())
		})
	}
}

func TestModelOfSharedFindsEveryMutant(t *testing.T) {
	others := func() *sharedRules { return sharedModel("WRR", 3, 5, 2) }
	renews := func() *sharedRules { return sharedModel("WR", 3, 3).with(func(m *sharedRules) { m.renewals = true }) }
	for name, m := range map[string]*sharedRules{
		"the mark lives as the last reader says":              others().with(func(m *sharedRules) { m.markOfLast = true }),
		"the mark lives as the first reader says":             others().with(func(m *sharedRules) { m.markOfFirst = true }),
		"a renewal does not prolong the mark":                 renews().with(func(m *sharedRules) { m.renewsItself = true }),
		"who leaves deletes the mark":                         sharedModel("WRR", 3, 3, 3).with(func(m *sharedRules) { m.leavesForAll = true }),
		"who leaves has the mark end before the others":       sharedModel("WRR", 4, 4, 4).with(func(m *sharedRules) { m.endsWithLeast = true }),
		"a renewal puts back what is not in":                  renews().with(func(m *sharedRules) { m.restarts, m.renewalEnters = true, true }),
		"a renewal counts what is in the set, under a writer": renews().with(func(m *sharedRules) { m.setIsEnough = true }),
		"a writer takes the lock where readers are":           sharedModel("WR", 3, 3).with(func(m *sharedRules) { m.overReaders = true }),
		"the validity counts from the answers":                sharedModel("WR", 3, 3).with(func(m *sharedRules) { m.lateStart = true }),
		"a renewal's does":                                    renews().with(func(m *sharedRules) { m.lateRenewal = true }),
		"half is a quorum":                                    sharedModel("WR", 3, 3).with(func(m *sharedRules) { m.need = func(n int) int { return n / 2 } }),
		"no restart guard":                                    sharedModel("WR", 3, 3).with(func(m *sharedRules) { m.restarts, m.grown = true, 1 }),
		"one instance is enough for a reader":                 sharedModel("WR", 3, 3).with(func(m *sharedRules) { m.oneReads = true }),
		"a mark under which nobody is counts for a writer":    sharedModel("WRR", 3, 3, 3).with(func(m *sharedRules) { m.emptyIsGranted = true }),
		"healed by a proof from before the restart":           sharedModel("WWR", 3, 3, 3).with(func(m *sharedRules) { m.renewals, m.restarts, m.rashHealing = true, true, true }),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			breaks(t, name, m.model())
		})
	}
}
