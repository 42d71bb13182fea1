//go:build !race

package engine

import (
	"slices"
	"testing"

	"github.com/holdfast-go/holdfast/internal/model"
)

// The model of the queue: the instance that has it, and engines that want the lock again and again. Nothing is said
// here of who may hold the lock: that is a quorum's business, and whoever finds the lock free here has it.
//
// An engine that is refused takes a place, watches the bell of the one before, or the lock, and asks when it is told.
// It keeps its place, and is told then where it stands. An engine may die, or freeze and thaw, the queue may be lost, a
// word may be lost, or a stranger may have the lock: queueFaults times in all.
//
// What time brings, such as the keeping of places and their ends, comes when nobody has anything else to do: it is
// slow beside messages. What is promised is that everybody who lives and waits is served, in every fair run.
const (
	queuers     = 3
	queueFaults = 1
	queuePassed = 1           // of how many who pass it over the first takes no notice: of fewer than mostPassed
	outsider    = queuers + 1 // who has the lock without a place
)

type queueState struct {
	lock   uint8          // 1 + who has it, or outsider; 0: it is free
	order  [queuers]uint8 // 1 + whose places there are, the first first
	who    [queuers]queuer
	faults uint8 // that have been
}

type queuer struct {
	phase  uint8
	before uint8 // 1 + whose bell it watches, or is about to; 0: the lock; goneBell
	armed  bool  // the server has promised to tell
	idle   uint8 // 1 + who was the first when it was told that the lock is free, although others are before it
	passed uint8 // how many have got the lock while it was the first
	owes   bool  // it has had the lock without a look at the queue
	frozen bool
	over   bool // the life of its place
}

// The phases of an engine.
const (
	wantsNothing uint8 = iota
	toAsk              // all instances
	toEnter            // the queue
	toWatch            // what is before it
	standing           // and waits to be told
	toAskInTurn
	toLook // where it stands
	having
	toLeave // the lock is released, the place is not yet given up
	dead
)

const goneBell = queuers + 1 // of a place that has been given up meanwhile

type queueRules struct {
	careless bool // who keeps a place is not told where it stands
	unburied bool // places that have ended are not taken out
	homeless bool // a place that is gone is kept as if it were not
	greedy   bool // who has had the lock does not look at the queue
	patient  bool // who is passed over stays where it is
}

const (
	queueBegins uint8 = iota
	queueAsks
	queueEnters
	queueWatches
	queueLooks
	queueReleases
	queueLeaves
	queueKeeps
	queueKeepsOn
	queueEnds
	queueExpires
	queueDies
	queueFreezes
	queueThaws
	queueLost
	queueUntold
	queueComes
	queueGoes
)

func (m *queueRules) next(s queueState, to func(model.Step, queueState)) {
	step := func(what uint8, who int, change func(*queueState)) {
		next := s
		change(&next)
		next.forget()
		to(model.Step{What: what, Who: uint8(who), Value: luck(&s, &next, who)}, next)
	}
	busy := false
	for w, q := range s.who {
		if q.frozen {
			continue
		}
		acts, what := m.act(q.phase)
		if acts != nil {
			busy = busy || q.phase != wantsNothing && q.phase != having
			step(what, w, func(s *queueState) { acts(s, w) })
		}
	}
	if !busy {
		m.timeSteps(&s, step)
	}
	if s.lock == outsider {
		step(queueGoes, 0, func(s *queueState) { s.free() })
	}
	m.faultSteps(&s, step)
}

// luck tells apart what may come of a step of an engine that has no place. Each of these comes of it again and again, if it
// can: others may be before it every time, but not for ever by chance. Who has a place does not depend on that.
func luck(before, after *queueState, who int) uint8 {
	switch before.who[who].phase {
	case toAsk, toEnter:
		return 1 + after.who[who].phase
	}
	return 0
}

// forget forgets what decides nothing any more.
func (s *queueState) forget() {
	for w := range s.who {
		q := &s.who[w]
		switch q.phase {
		case toWatch, standing:
		case toAskInTurn:
			q.armed, q.idle = false, 0
			if q.before != 0 {
				q.before = goneBell
			}
		case toLook:
			q.before, q.armed, q.idle = 0, false, 0
		default:
			q.before, q.armed, q.idle, q.passed = 0, false, 0, 0
		}
		if q.phase != wantsNothing && q.phase != having && q.phase != toLeave {
			q.owes = false
		}
	}
}

// act is what an engine does next, of itself.
func (m *queueRules) act(phase uint8) (acts func(*queueState, int), what uint8) {
	switch phase {
	case wantsNothing:
		return m.begin, queueBegins
	case toAsk, toAskInTurn:
		return m.ask, queueAsks
	case toEnter:
		return m.enter, queueEnters
	case toWatch:
		return m.watch, queueWatches
	case toLook:
		return m.look, queueLooks
	case having:
		return func(s *queueState, w int) { s.free(); s.who[w].phase = toLeave }, queueReleases
	case toLeave:
		return func(s *queueState, w int) { m.leave(s, w); s.who[w] = queuer{owes: s.who[w].owes} }, queueLeaves
	}
	return nil, 0
}

func (m *queueRules) begin(s *queueState, w int) {
	s.who[w].phase = toAsk
	if s.who[w].owes && !m.greedy {
		s.who[w].phase = toEnter
	}
}

// ask takes the lock if it is free.
func (m *queueRules) ask(s *queueState, w int) {
	q := &s.who[w]
	inTurn := q.phase == toAskInTurn
	switch {
	case s.lock == 0:
		s.lock = uint8(w + 1)
		q.phase, q.owes = having, true
	case !inTurn:
		q.phase = toEnter
	case q.before == 0 && q.passed == queuePassed && !m.patient:
		m.leave(s, w)
		q.phase = toEnter
	default:
		q.phase = toLook
		if q.before == 0 && !m.patient {
			q.passed++
		}
	}
}

// enter takes the last place, unless nobody else wants the lock.
func (m *queueRules) enter(s *queueState, w int) {
	q := &s.who[w]
	m.bury(s)
	if s.lock == 0 && s.order[0] == 0 {
		q.phase, q.owes = toAsk, false
		return
	}
	last := slices.Index(s.order[:], 0)
	q.before = 0
	if last > 0 {
		q.before = s.order[last-1]
	}
	s.order[last] = uint8(w + 1)
	q.phase, q.over, q.idle = toWatch, false, 0
}

// watch asks to be told, and is told at once of what has gone already.
func (m *queueRules) watch(s *queueState, w int) {
	q := &s.who[w]
	gone := q.before == goneBell || q.before == 0 && s.lock == 0
	q.phase, q.armed = standing, true
	if gone {
		m.tell(s, w)
	}
}

// tell has it ask.
func (m *queueRules) tell(s *queueState, w int) {
	s.who[w].phase, s.who[w].armed = toAskInTurn, false
}

// free releases the lock.
func (s *queueState) free() {
	s.lock = 0
	for w, q := range s.who {
		if q.armed && q.before == 0 {
			s.who[w].phase, s.who[w].armed = toAskInTurn, false
		}
	}
}

// leave gives up a place, and rings.
func (m *queueRules) leave(s *queueState, w int) {
	s.takeOut(uint8(w + 1))
	m.ring(s, uint8(w+1), m.tell)
}

func (s *queueState) takeOut(place uint8) {
	if i := slices.Index(s.order[:], place); i >= 0 {
		copy(s.order[i:], s.order[i+1:])
		s.order[queuers-1] = 0
	}
}

// ring has a bell go.
func (m *queueRules) ring(s *queueState, place uint8, tell func(*queueState, int)) {
	for w, q := range s.who {
		switch {
		case q.before != place || q.phase == dead:
		case q.armed:
			tell(s, w)
		case q.phase == toWatch:
			s.who[w].before = goneBell
		}
	}
}

// bury takes out the places that have ended.
func (m *queueRules) bury(s *queueState) {
	for w, q := range s.who {
		if q.over && !m.unburied {
			s.takeOut(uint8(w + 1))
			s.who[w].over = false
		}
	}
}

// look has the instance say where it stands.
func (m *queueRules) look(s *queueState, w int) { m.stood(s, w, true, false) }

// stood takes what the instance says of a place.
func (m *queueRules) stood(s *queueState, w int, asked, long bool) {
	q := &s.who[w]
	m.bury(s)
	at := slices.Index(s.order[:], uint8(w+1))
	if at < 0 {
		q.armed = false
		if q.phase = toEnter; m.homeless {
			q.phase = standing
		}
		return
	}
	before := uint8(0)
	if at > 0 {
		before = s.order[at-1]
	}
	isFree, first := s.lock == 0, uint8(0)
	if isFree && before != 0 {
		first = s.order[0]
	}
	switch {
	case asked || before != q.before:
		q.phase, q.before, q.armed, q.idle = toWatch, before, false, first
	case isFree && (before == 0 || first == q.idle && (first == before || long)):
		q.idle = 0
		m.tell(s, w)
	default:
		q.idle = first
	}
}

// keepAll has all keep their places, the last first: each does so about as often as the others. long: some of them have done so
// often while the same was the first.
func (m *queueRules) keepAll(long bool) func(s *queueState) {
	return func(s *queueState) {
		for w, q := range slices.Backward(s.who[:]) {
			if !q.frozen && q.phase == standing && !m.careless {
				m.stood(s, w, false, long)
			}
		}
	}
}

// timeSteps are what time brings.
func (m *queueRules) timeSteps(s *queueState, step func(uint8, int, func(*queueState))) {
	step(queueKeeps, 0, m.keepAll(false))
	step(queueKeepsOn, 0, m.keepAll(true))
	for w, q := range s.who {
		away := q.frozen || q.phase == dead
		if (away || q.phase == having) && !q.over && slices.Contains(s.order[:], uint8(w+1)) {
			step(queueEnds, w, func(s *queueState) {
				s.who[w].over = true
				m.ring(s, uint8(w+1), func(s *queueState, w int) { s.who[w].phase, s.who[w].armed = toLook, false })
			})
		}
		if away && s.lock == uint8(w+1) {
			step(queueExpires, w, func(s *queueState) { s.free() })
		}
	}
}

func (m *queueRules) faultSteps(s *queueState, step func(uint8, int, func(*queueState))) {
	for w, q := range s.who {
		if q.frozen {
			step(queueThaws, w, func(s *queueState) {
				s.who[w].frozen = false
				if q.phase == having && s.lock != uint8(w+1) { // it finds that its lease is over
					s.who[w].phase = toLeave
				}
			})
		}
	}
	if s.faults == queueFaults {
		return
	}
	fault := func(what uint8, who int, change func(*queueState)) {
		step(what, who, func(s *queueState) {
			s.faults++
			change(s)
		})
	}
	for w, q := range s.who {
		if q.phase == dead {
			continue
		}
		if !q.frozen {
			fault(queueFreezes, w, func(s *queueState) { s.who[w].frozen = true })
		}
		fault(queueDies, w, func(s *queueState) { s.who[w] = queuer{phase: dead, over: q.over} })
		if q.armed {
			fault(queueUntold, w, func(s *queueState) { s.who[w].armed = false })
		}
	}
	if s.order[0] != 0 {
		fault(queueLost, 0, func(s *queueState) {
			for _, place := range s.order {
				if place != 0 {
					s.takeOut(place)
					s.who[place-1].over = false
					m.ring(s, place, m.tell)
				}
			}
		})
	}
	if s.lock == 0 {
		fault(queueComes, 0, func(s *queueState) { s.lock = outsider })
	}
}

func sayQueue(s model.Step) string {
	who := modelName(s.Who)
	return [...]string{
		queueBegins: who + " wants the lock", queueAsks: who + " asks all", queueEnters: who + " asks for a place",
		queueWatches: who + " asks to be told", queueLooks: who + " asks where it stands", queueReleases: who + " releases the lock",
		queueLeaves: who + " gives up its place", queueKeeps: "all keep their places",
		queueKeepsOn: "all keep their places, as they have for long", queueEnds: "the life of " + who + "'s place ends",
		queueExpires: "the lock of " + who + " expires", queueDies: who + " dies", queueFreezes: who + " freezes", queueThaws: who + " thaws",
		queueLost: "the queue is lost", queueUntold: "a word to " + who + " is lost", queueComes: "a stranger takes the lock",
		queueGoes: "the stranger releases it",
	}[s.What]
}

// obliged are the steps that are taken at last, in a fair run: nobody need want the lock, and nothing need fail.
func obliged(s model.Step) bool {
	switch s.What {
	case queueBegins, queueDies, queueFreezes, queueThaws, queueLost, queueUntold, queueComes:
		return false
	}
	return true
}

func (m *queueRules) model() model.Model[queueState] {
	return model.Model[queueState]{Next: m.next, Say: sayQueue}
}

// isServed is the promise to an engine that waits, and lives.
func isServed(w int) model.Promise[queueState] {
	return model.Promise[queueState]{
		Fair: obliged,
		Waits: func(s queueState) bool {
			q := s.who[w]
			return !q.frozen && q.phase != wantsNothing && q.phase != having && q.phase != toLeave && q.phase != dead
		},
	}
}

// All engines are alike, but that A keeps its place after the others: what is promised to A is promised to all.
func TestModelEverybodyInTheQueueIsServed(t *testing.T) {
	if testing.Short() {
		t.Skip("all states of a model take long: make model")
	}
	t.Parallel()
	m := queueRules{}
	r := model.CheckLive(m.model(), isServed(0), modelLimit)
	if r.Wrong != "" || !r.Complete {
		t.Fatalf("want that it is served, got %v", r)
	}
	t.Log(r)
}

func TestModelOfTheQueueFindsEveryMutant(t *testing.T) {
	if testing.Short() {
		t.Skip("all states of a model take long: make model")
	}
	t.Parallel()
	for _, c := range []struct {
		name  string
		rules queueRules
	}{
		{"who keeps a place is not told where it stands", queueRules{careless: true}},
		{"places that have ended are not taken out", queueRules{unburied: true}},
		{"a place that is gone is kept as if it were not", queueRules{homeless: true}},
		{"who has had the lock does not look at the queue", queueRules{greedy: true}},
		{"who is passed over stays where it is", queueRules{patient: true}},
	} {
		r := model.CheckLive(c.rules.model(), isServed(0), modelLimit)
		if r.Wrong == "" {
			t.Errorf("%s: nothing is found: %v", c.name, r)
			continue
		}
		t.Logf("%s: %v", c.name, r)
	}
}
