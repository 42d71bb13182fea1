//go:build !race

package engine

import (
	"fmt"
	"math/bits"
	"slices"
	"testing"

	"github.com/holdfast-go/holdfast/instance"
	"github.com/holdfast-go/holdfast/internal/model"
)

// The model of leases of several resources: no two of them that share a resource are valid at once. Time, messages and
// restarts are as in the model of the plain lock. Each attempt asks for a set of keys; in the end its lease ends with any
// of them. Before it asks it may keep single keys by another token, which gives way to its own.
const (
	severalKeys     = 3
	severalAttempts = 3
	severalDrift    = 1
)

type severalState struct {
	servers  [modelServers]severalServer
	attempts [severalAttempts]severalAttempt
}

type severalServer struct {
	holder [severalKeys]uint8 // 1 + an attempt; more by keptBy if it is kept for it
	left   [severalKeys]uint8
	age    uint8
}

const keptBy = 8

type severalAttempt struct {
	phase    uint8
	want     uint8 // a set of keys
	age      uint8 // since its start
	oks      [severalKeys]uint8
	renewing bool
	renewAge uint8
	renewed  [severalKeys]uint8
	missing  [severalKeys]uint8
	shaky    uint8 // the places that have restarted since the renewal began
	healable [severalKeys]uint8
}

// severalRules are the decisions of the engine and of the instances. A mutant has one of them wrong.
type severalRules struct {
	sets     []uint8 // what each attempt asks for
	ttl      uint8
	bySlot   bool // an instance is a cluster, each key in a slot of its own; else one script takes all or none
	restarts bool
	renewals bool
	keeps    bool

	choices []uint8 // of permits: what an attempt may ask for; nil: it asks for what it wants
	anyFree bool    // a mutant: an instance grants one of the permits, whichever is free there

	need          func(int) int
	enough        func(m *severalRules, a *severalAttempt) bool
	confirmed     func(m *severalRules, a *severalAttempt) bool
	grown         uint8 // how old a server must be to vote; 0: a TTL
	lateStart     bool  // the validity counts from the answers
	lateRenewal   bool
	rashHealing   bool // by a proof from before the restart
	keptProves    bool // what is kept counts for the lease
	keepOverrides bool // keeping takes a lock that another has
}

func severalModel(ttl uint8, sets ...uint8) *severalRules {
	return &severalRules{
		sets: sets, ttl: ttl, need: quorum,
		enough:    func(m *severalRules, a *severalAttempt) bool { return m.each(a.oks, a.want) },
		confirmed: (*severalRules).proven,
	}
}

// each reports whether each of the keys has a quorum, by the engine's count.
func (m *severalRules) each(votes [severalKeys]uint8, keys uint8) bool {
	for k := range severalKeys {
		if keys>>k&1 != 0 && !modelTally(votes[k], m.need).won() {
			return false
		}
	}
	return true
}

// proven is what the engine makes of the votes on a renewal.
func (m *severalRules) proven(a *severalAttempt) bool {
	all := &whole{open: bits.OnesCount8(a.want)}
	for k := range severalKeys {
		if a.want>>k&1 == 0 {
			continue
		}
		t := &renewTally{ours: *modelTally(a.renewed[k], m.need), gone: tally{voters: modelServers, need: m.need(modelServers)}}
		if t.verdict = t.decide(); t.verdict == undecided || all.take(t, "") && all.verdict != confirmed {
			return false
		}
	}
	return all.open == 0 && all.verdict == confirmed
}

func (m *severalRules) oldEnough() uint8 {
	if m.grown != 0 {
		return m.grown
	}
	return m.ttl
}

func (m *severalRules) next(s severalState, to func(model.Step, severalState)) {
	for who := range m.sets {
		m.steps(s, uint8(who), to)
		for i := range s.servers {
			m.deliver(s, uint8(who), uint8(i), to)
		}
	}
	for i := range s.servers {
		for k := range severalKeys {
			if s.servers[i].holder[k] != 0 && s.servers[i].left[k] == 0 {
				n := s
				n.servers[i].holder[k] = 0
				to(model.Step{What: expires, Where: uint8(i), Value: uint8(k)}, n)
			}
		}
		if m.restarts && s.servers[i] != (severalServer{}) {
			to(model.Step{What: forgets, Where: uint8(i)}, m.restart(s, i))
		}
	}
	if n := m.tick(s); n != s {
		to(model.Step{What: ticks}, n)
	}
}

func (m *severalRules) restart(s severalState, i int) severalState {
	s.servers[i] = severalServer{}
	for b := range s.attempts {
		a := &s.attempts[b]
		if a.renewing {
			a.shaky |= 1 << i
		}
		for k := range a.healable {
			if !m.rashHealing {
				a.healable[k] &^= 1 << i
			}
		}
	}
	return s
}

func (m *severalRules) tick(s severalState) severalState {
	for i := range s.servers {
		v := &s.servers[i]
		for k := range v.left {
			v.left[k] = max(v.left[k], 1) - 1
		}
		v.age = min(v.age+1, m.oldEnough())
	}
	for who := range s.attempts {
		a := &s.attempts[who]
		if a.phase != asking && a.phase != leased {
			continue
		}
		validity := m.ttl - severalDrift
		a.age = min(a.age+1, validity)
		if a.renewing {
			a.renewAge = min(a.renewAge+1, validity)
		}
		switch {
		case a.age < validity:
		case a.phase == leased:
			*a = severalAttempt{phase: gaveBack, want: a.want}
		default:
			*a = severalAttempt{phase: gaveUp, want: a.want}
		}
	}
	return s
}

func (m *severalRules) steps(s severalState, who uint8, to func(model.Step, severalState)) {
	step := func(what uint8, change func(*severalAttempt)) {
		n := s
		change(&n.attempts[who])
		to(model.Step{What: what, Who: who}, n)
	}
	switch a := &s.attempts[who]; {
	case a.phase == atRest:
		for _, want := range m.wants(who) {
			step(begins, func(a *severalAttempt) { a.phase, a.want = asking, want })
		}
	case a.phase == asking:
		step(gives, func(a *severalAttempt) { *a = severalAttempt{phase: gaveUp, want: a.want} })
		if m.enough(m, a) {
			step(wins, func(a *severalAttempt) {
				*a = severalAttempt{phase: leased, want: a.want, age: a.age}
				if m.lateStart {
					a.age = 0
				}
			})
		}
	case a.phase == leased:
		step(ends, func(a *severalAttempt) { *a = severalAttempt{phase: gaveBack, want: a.want} })
		if m.renewals && !a.renewing {
			step(renewing, func(a *severalAttempt) {
				a.renewing, a.renewAge, a.shaky = true, 0, 0
				a.renewed, a.missing = [severalKeys]uint8{}, [severalKeys]uint8{}
			})
		} else if m.renewals && m.confirmed(m, a) {
			step(renewed, func(a *severalAttempt) {
				for k := range a.missing { // each by its own proof
					if a.healable[k] = 0; modelTally(a.renewed[k], m.need).won() {
						a.healable[k] = a.missing[k]
					}
					if !m.rashHealing {
						a.healable[k] &^= a.shaky
					}
				}
				if a.age = a.renewAge; m.lateRenewal {
					a.age = 0
				}
				a.renewing, a.renewAge, a.shaky = false, 0, 0
				a.renewed, a.missing = [severalKeys]uint8{}, [severalKeys]uint8{}
			})
		}
	}
}

// wants are the sets that an attempt may begin to ask for.
func (m *severalRules) wants(who uint8) []uint8 {
	if m.choices == nil || m.anyFree {
		return m.sets[who : who+1]
	}
	return m.choices
}

// take has a server grant some of the keys, or none of them.
func (m *severalRules) take(v *severalServer, who, keys uint8) bool {
	for k := range severalKeys {
		h := v.holder[k]
		givesWay := h == 0 || h == who+1 || h == who+1+keptBy
		if keys>>k&1 != 0 && !givesWay {
			return false
		}
	}
	for k := range severalKeys {
		if keys>>k&1 != 0 {
			v.holder[k], v.left[k] = who+1, m.ttl-severalDrift
		}
	}
	return true
}

func (m *severalRules) deliver(s severalState, who, i uint8, to func(model.Step, severalState)) {
	send := func(what, value uint8, hear func(*severalAttempt, *severalServer)) {
		n := s
		if hear(&n.attempts[who], &n.servers[i]); n != s {
			to(model.Step{What: what, Who: who, Where: i, Value: value}, n)
		}
	}
	a := s.attempts[who]
	acquire := func(keys uint8) {
		send(hears, keys, func(a *severalAttempt, v *severalServer) {
			if m.take(v, who, keys) && a.phase == asking {
				for k := range severalKeys {
					a.oks[k] |= (keys >> k & 1) << i
				}
			}
		})
	}
	votes := s.servers[i].age == m.oldEnough()
	if votes && m.anyFree && a.phase != atRest {
		for k := range severalKeys {
			if a.want>>k&1 != 0 && !slices.Contains(s.servers[i].holder[:], who+1) {
				acquire(1 << k)
			}
		}
		votes = false
	}
	for k := range severalKeys {
		key := a.want & (1 << k)
		switch {
		case key == 0:
		case votes && m.bySlot && a.phase != atRest:
			acquire(key)
		}
		if a.healable[k]>>i&1 != 0 {
			send(hearsHealing, 1<<k, func(a *severalAttempt, v *severalServer) {
				a.healable[k] &^= 1 << i
				if v.holder[k] == 0 {
					m.take(v, who, 1<<k)
				}
			})
		}
		if m.keeps && m.sets[who]>>k&1 != 0 {
			m.deliverKept(s, who, i, uint8(k), votes, to)
		}
	}
	if votes && !m.bySlot && a.phase != atRest {
		acquire(a.want)
	}
	if a.renewing {
		send(hearsRenewal, uint8(instance.Granted), func(a *severalAttempt, v *severalServer) { m.renew(a, v, who, i) })
	}
	if a.phase == gaveUp || a.phase == gaveBack {
		send(hearsRelease, uint8(instance.Granted), func(_ *severalAttempt, v *severalServer) {
			for k := range severalKeys {
				if v.holder[k] == who+1 {
					v.holder[k], v.left[k] = 0, 0
				}
			}
		})
	}
}

func (m *severalRules) renew(a *severalAttempt, v *severalServer, who, i uint8) {
	for k := range severalKeys {
		switch {
		case a.want>>k&1 == 0, a.missing[k]>>i&1 != 0:
		case v.holder[k] == who+1:
			v.left[k] = max(v.left[k], m.ttl-severalDrift)
			a.renewed[k] |= 1 << i
		case v.holder[k] == 0 && a.renewed[k]>>i&1 == 0:
			a.missing[k] |= 1 << i
		}
	}
}

// deliverKept has a server hear that a key is to be kept for an attempt, or no longer.
func (m *severalRules) deliverKept(s severalState, who, i, k uint8, votes bool, to func(model.Step, severalState)) {
	a, h := s.attempts[who], s.servers[i].holder[k]
	token := who + 1 + keptBy
	n := s
	v := &n.servers[i]
	switch {
	case votes && a.phase <= asking && (h == 0 || m.keepOverrides && h != who+1) && h != token:
		v.holder[k], v.left[k] = token, m.ttl-severalDrift
		if m.keptProves {
			n.attempts[who].phase, n.attempts[who].want = asking, m.sets[who]
			n.attempts[who].oks[k] |= 1 << i
		}
		to(model.Step{What: handsOn, Who: who, Where: i, Value: k}, n)
	case h == token && a.phase > asking:
		v.holder[k], v.left[k] = 0, 0
		to(model.Step{What: hearsReturn, Who: who, Where: i, Value: k}, n)
	}
}

func (m *severalRules) wrong(s severalState) string {
	if m.anyFree {
		return m.tooMany(s)
	}
	for b := range m.sets {
		for c := range b {
			x, y := &s.attempts[b], &s.attempts[c]
			if x.phase == leased && y.phase == leased && x.want&y.want != 0 {
				return fmt.Sprintf("%s and %s both have a valid lease, and share a key", modelName(uint8(c)), modelName(uint8(b)))
			}
		}
	}
	return ""
}

// tooMany says that more leases are valid than there are permits.
func (m *severalRules) tooMany(s severalState) string {
	valid := 0
	for b := range m.sets {
		if s.attempts[b].phase == leased {
			valid++
		}
	}
	if valid > len(m.choices) {
		return fmt.Sprintf("%d leases are valid, of %d permits", valid, len(m.choices))
	}
	return ""
}

// canon orders the servers.
func (m *severalRules) canon(s severalState) severalState {
	column := func(i int) (n uint64) {
		v := &s.servers[i]
		n = uint64(v.age)
		for k := range severalKeys {
			n = n<<8 | uint64(v.holder[k])<<4 | uint64(v.left[k])
		}
		for who := range s.attempts {
			a := &s.attempts[who]
			n = n<<1 | uint64(a.shaky>>i&1)
			for k := range severalKeys {
				n = n<<3 | uint64(a.oks[k]>>i&1|a.renewed[k]>>i&1)<<2 | uint64(a.missing[k]>>i&1)<<1 | uint64(a.healable[k]>>i&1)
			}
		}
		return n
	}
	sortServers(column, func(i int) {
		s.servers[i], s.servers[i+1] = s.servers[i+1], s.servers[i]
		for who := range s.attempts {
			a := &s.attempts[who]
			a.shaky = swapBits(a.shaky, i)
			for k := range severalKeys {
				for _, set := range []*uint8{&a.oks[k], &a.renewed[k], &a.missing[k], &a.healable[k]} {
					*set = swapBits(*set, i)
				}
			}
		}
	})
	return s
}

func (m *severalRules) model() model.Model[severalState] {
	var start severalState
	for i := range start.servers {
		start.servers[i].age = m.oldEnough()
	}
	return model.Model[severalState]{Start: start, Next: m.next, Wrong: m.wrong, Canon: m.canon, Say: sayStep}
}

func (m *severalRules) with(change func(*severalRules)) *severalRules {
	change(m)
	return m
}

const keyA, keyB, keyC = 1, 2, 4

func TestModelLeasesOfSeveralExcludeEachOther(t *testing.T) {
	for name, m := range map[string]*severalRules{
		"ab and bc":                           severalModel(3, keyA|keyB, keyB|keyC),
		"ab and bc, by slot":                  severalModel(2, keyA|keyB, keyB|keyC).with(func(m *severalRules) { m.bySlot = true }),
		"ab, bc and ca":                       severalModel(2, keyA|keyB, keyB|keyC, keyC|keyA),
		"ab and a, restarts and renewals":     severalModel(2, keyA|keyB, keyA).with(func(m *severalRules) { m.restarts, m.renewals = true, true }),
		"ab and bc, renewals":                 severalModel(2, keyA|keyB, keyB|keyC).with(func(m *severalRules) { m.renewals = true }),
		"ab and ab, restarts":                 severalModel(3, keyA|keyB, keyA|keyB).with(func(m *severalRules) { m.restarts = true }),
		"ab and bc, which keep what they get": severalModel(2, keyA|keyB, keyB|keyC).with(func(m *severalRules) { m.keeps = true }),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			holds(t, m.model())
		})
	}
}

// permitsModel is that of permits: each attempt has a choice of what it asks for, and no two leases may have one permit. With
// counting, an attempt asks each instance for whatever is free there.
func permitsModel(ttl uint8, attempts int, choices ...uint8) *severalRules {
	m := severalModel(ttl)
	for range attempts {
		m.sets = append(m.sets, 0)
		for _, c := range choices {
			m.sets[len(m.sets)-1] |= c
		}
	}
	m.choices = choices
	return m
}

func TestModelNoTwoLeasesHaveOnePermit(t *testing.T) {
	for name, m := range map[string]*severalRules{
		"three of two":                      permitsModel(2, 3, keyA, keyB),
		"two of two, renewals":              permitsModel(2, 2, keyA, keyB).with(func(m *severalRules) { m.renewals = true }),
		"two of two, restarts and renewals": permitsModel(2, 2, keyA, keyB).with(func(m *severalRules) { m.restarts, m.renewals = true, true }),
		"two that want two of three":        permitsModel(2, 2, keyA|keyB, keyB|keyC, keyC|keyA),
		"two that want two of three, kept":  permitsModel(2, 2, keyA|keyB, keyB|keyC, keyC|keyA).with(func(m *severalRules) { m.keeps = true }),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			holds(t, m.model())
		})
	}
}

func TestModelOfPermitsFindsEveryMutant(t *testing.T) {
	for name, m := range map[string]*severalRules{
		"votes for different permits are added up": permitsModel(3, 3, keyA, keyB).with(func(m *severalRules) {
			m.anyFree = true
			m.enough = func(m *severalRules, a *severalAttempt) bool {
				return modelTally(a.oks[0]|a.oks[1]|a.oks[2], m.need).won()
			}
		}),
		"the choice of one instance is enough": permitsModel(3, 3, keyA, keyB).with(func(m *severalRules) {
			m.enough = func(m *severalRules, a *severalAttempt) bool { return a.oks != [severalKeys]uint8{} }
		}),
		"half is a quorum":     permitsModel(3, 3, keyA, keyB).with(func(m *severalRules) { m.need = func(n int) int { return n / 2 } }),
		"no restart guard":     permitsModel(3, 3, keyA, keyB).with(func(m *severalRules) { m.restarts, m.grown = true, 1 }),
		"the answers begin it": permitsModel(3, 3, keyA, keyB).with(func(m *severalRules) { m.lateStart = true }),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			breaks(t, name, m.model())
		})
	}
}

func TestModelOfSeveralFindsEveryMutant(t *testing.T) {
	anyKey := func(m *severalRules, votes [severalKeys]uint8) bool {
		return modelTally(votes[0]|votes[1]|votes[2], m.need).won()
	}
	overlap := func() *severalRules { return severalModel(3, keyA|keyB, keyB|keyC) }
	for name, m := range map[string]*severalRules{
		"an instance that has granted one of the keys counts": overlap().with(func(m *severalRules) {
			m.bySlot, m.enough = true, func(m *severalRules, a *severalAttempt) bool { return anyKey(m, a.oks) }
		}),
		"the lease begins with one key's majority": overlap().with(func(m *severalRules) {
			m.bySlot, m.enough = true, func(m *severalRules, a *severalAttempt) bool {
				return slices.ContainsFunc(a.oks[:], func(oks uint8) bool { return modelTally(oks, m.need).won() })
			}
		}),
		"a renewal is confirmed where one of the keys is ours": severalModel(3, keyA|keyB, keyA).with(func(m *severalRules) {
			m.restarts, m.renewals = true, true
			m.confirmed = func(m *severalRules, a *severalAttempt) bool { return anyKey(m, a.renewed) }
		}),
		"the validity counts from the answers":    overlap().with(func(m *severalRules) { m.lateStart = true }),
		"a renewal's does":                        overlap().with(func(m *severalRules) { m.renewals, m.lateRenewal = true, true }),
		"half is a quorum":                        overlap().with(func(m *severalRules) { m.need = func(n int) int { return n / 2 } }),
		"no restart guard":                        overlap().with(func(m *severalRules) { m.restarts, m.grown = true, 1 }),
		"what is kept counts for the lease":       overlap().with(func(m *severalRules) { m.keeps, m.keptProves = true, true }),
		"keeping takes the lock that another has": overlap().with(func(m *severalRules) { m.keeps, m.keepOverrides = true, true }),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			breaks(t, name, m.model())
		})
	}
}
