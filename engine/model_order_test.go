//go:build !race

package engine

import (
	"fmt"
	"slices"
	"testing"

	"github.com/holdfast-go/holdfast/instance"
	"github.com/holdfast-go/holdfast/internal/model"
)

// The model of order: one instance, its actor, and the two attempts that an engine
// makes, one after the other; a stranger comes and goes. What the other instances
// say is any: at every moment an attempt may be won, or given up.
//
// An attempt is two messages, an acquire and what releases or undoes it. The actor
// sends what is in the mailbox, in order; the server hears what is in the pipe, in
// order, and answers in order. The connection may break, or not answer in time, at
// any moment; then the server may hear what is left in the old pipe at any time
// from then on, unless the old connection is killed.
//
// Nothing expires: a lock that is left behind stays.
const (
	orderAttempts = 2
	orderMessages = 2 * orderAttempts // the acquire of each attempt, and behind it its release
	orderBreaks   = 2
	stranger      = orderAttempts + 1 // a token
)

type orderState struct {
	server   modelServer
	attempts [orderAttempts]orderAttempt
	messages [orderMessages]orderMessage
	pipe     [orderMessages]inPipe
	old      [orderBreaks][orderMessages]inPipe
	link     uint8
	breaks   uint8
}

type orderAttempt struct {
	phase uint8
	vote  instance.Kind // on the acquire
	link  uint8         // on which it began; 0, too, where that decides nothing
	door  bool          // the acquire was refused at the door of the instance that is down still
}

type orderMessage struct {
	stage uint8
	sent  bool // once, at least
	again bool // twice
}

// inPipe is 1 + a message, and the answer when the server has heard it.
type inPipe struct {
	message uint8
	answer  instance.Kind
	plain   bool // a release of a fenced lease that leaves no tombstone
}

// The stages of a message.
const (
	unposted uint8 = iota
	posted         // in the mailbox
	onTheWay       // sent, and not answered
	owed
	settled // answered, or of no use any more
)

// The states of the link.
const (
	linkUp uint8 = iota
	linkDown
	linkPaying // up, but the mailbox is not open before all debts are paid
)

type orderRules struct {
	modelScripts
	mayHaveLeft func(instance.Vote, []instance.Vote, *instance.Acquire) bool
	breaks      uint8 // how many there may be
	fenced      bool
	form        realFences // how fences are raised; "": beside their locks
	kills       bool       // a new connection kills the one before
	plain       bool       // a release that travels where its acquire did leaves no tombstone
	careless    bool       // one that travels anywhere
	pooled      bool       // there are many connections, and no order
	hasty       bool       // what is owed is paid before what waits in the mailbox
	forgetful   bool       // a release that could not be confirmed is not owed
}

func rightOrderRules() orderRules {
	return orderRules{modelScripts: rightScripts(), mayHaveLeft: mayHaveLeft, breaks: orderBreaks, kills: true, plain: true}
}

const (
	orderBegins uint8 = iota
	orderWins
	orderGivesUp
	orderReleases
	orderFull
	orderSends
	orderHears
	orderOldHears
	orderReads
	orderCut
	orderTimeout
	orderReopens
	orderOpen
	orderComes
	orderGoes
)

func (m *orderRules) next(s orderState, to func(model.Step, orderState)) {
	step := func(what, who uint8, change func(*orderState)) {
		next := s
		change(&next)
		if next != s {
			to(model.Step{What: what, Who: who}, next)
		}
	}
	for a := range uint8(orderAttempts) {
		m.engineSteps(&s, a, step)
	}
	m.actorSteps(&s, step)
	m.serverSteps(&s, step)
	switch s.server.holder {
	case 0:
		step(orderComes, 0, func(s *orderState) { s.server.holder = stranger })
	case stranger:
		step(orderGoes, 0, func(s *orderState) { s.server.holder = 0 })
	}
}

// engineSteps are what the engine does with an attempt.
func (m *orderRules) engineSteps(s *orderState, a uint8, step func(what, who uint8, change func(*orderState))) {
	switch own := s.attempts[a]; own.phase {
	case atRest:
		if a == 0 || s.attempts[a-1].phase >= gaveUp && s.attempts[a-1].phase != leased {
			step(orderBegins, a, func(s *orderState) {
				s.attempts[a].phase = asking
				if m.fenced && m.plain {
					s.attempts[a].link = s.breaks
				}
				s.postAcquire(a)
			})
		}
	case asking:
		step(orderWins, a, func(s *orderState) { s.attempts[a].phase = leased })
		vote := instance.Vote{Kind: own.vote, Again: s.messages[2*a].again}
		left := m.mayHaveLeft(vote, []instance.Vote{vote}, new(instance.Acquire))
		step(orderGivesUp, a, func(s *orderState) {
			s.attempts[a].phase = gaveUp
			acquire, undo := &s.messages[2*a], &s.messages[2*a+1]
			switch {
			case !left:
				undo.stage = settled
			case !acquire.sent: // withdrawn
				acquire.stage, undo.stage = settled, settled
			default:
				m.postRelease(s, a, false)
			}
		})
	case leased:
		for _, full := range []bool{false, true} {
			what := orderReleases
			if full {
				what = orderFull
			}
			step(what, a, func(s *orderState) {
				s.attempts[a].phase = gaveBack
				m.postRelease(s, a, full)
			})
		}
	}
}

func (s *orderState) postAcquire(a uint8) {
	if s.link == linkUp {
		s.messages[2*a].stage = posted
		return
	}
	s.messages[2*a].stage = settled
	s.attempts[a].vote, s.attempts[a].door = instance.Unreachable, true
}

func (m *orderRules) postRelease(s *orderState, a uint8, full bool) {
	release := &s.messages[2*a+1]
	switch {
	case s.link == linkUp && !full:
		release.stage = posted
	case s.link != linkUp && s.attempts[a].door:
		release.stage = settled // nobody has ever heard of it there
	default:
		m.owe(release)
	}
}

func (m *orderRules) owe(release *orderMessage) {
	release.stage = owed
	if m.forgetful {
		release.stage = settled
	}
}

// actorSteps are what the instance's actor does.
func (m *orderRules) actorSteps(s *orderState, step func(what, who uint8, change func(*orderState))) {
	if s.link == linkDown {
		step(orderReopens, 0, func(s *orderState) {
			s.link = linkPaying
			m.kill(s)
		})
		return
	}
	m.sendSteps(s, step)
	if first := s.pipe[0]; first.message != 0 && first.answer != instance.Unanswered {
		step(orderReads, first.message-1, func(s *orderState) { s.read() })
	}
	if s.link == linkPaying && s.pipe[0].message == 0 && !s.has(owed) {
		step(orderOpen, 0, func(s *orderState) {
			s.link = linkUp
			for a := range s.attempts {
				s.attempts[a].door = false
			}
		})
	}
	if s.breaks < m.breaks {
		step(orderCut, 0, func(s *orderState) { m.breakLink(s, true) })
		step(orderTimeout, 0, func(s *orderState) { m.breakLink(s, false) })
	}
}

// sendSteps are sending the first message of the mailbox, or what is owed: behind
// all that waited in the mailbox when it came to be owed.
func (m *orderRules) sendSteps(s *orderState, step func(what, who uint8, change func(*orderState))) {
	first := true
	for n, message := range s.messages {
		due := message.stage == owed && (m.hasty || s.messages[n&^1].stage != posted)
		if due || message.stage == posted && s.link == linkUp && first {
			step(orderSends, uint8(n), func(s *orderState) { m.send(s, uint8(n)) })
		}
		first = first && message.stage != posted
	}
}

func (m *orderRules) send(s *orderState, n uint8) {
	message, attempt := &s.messages[n], &s.attempts[n/2]
	plain := m.fenced && n%2 == 1 && attempt.phase == gaveBack &&
		(m.careless || m.plain && attempt.link == s.breaks && !message.again)
	message.stage, message.sent = onTheWay, true
	for place := range s.pipe {
		if s.pipe[place].message == 0 {
			s.pipe[place] = inPipe{message: n + 1, plain: plain}
			return
		}
	}
}

// read takes the first answer from the pipe.
func (s *orderState) read() {
	n := s.pipe[0].message - 1
	if n%2 == 0 {
		s.attempts[n/2].vote = s.pipe[0].answer
	}
	s.messages[n].stage = settled
	copy(s.pipe[:], s.pipe[1:])
	s.pipe[orderMessages-1] = inPipe{}
}

// breakLink has the connection break. Cut off while the mailbox is open, the actor
// sends once more, on the next one, what has not been answered; else the instance
// is down.
func (m *orderRules) breakLink(s *orderState, cut bool) {
	unanswered := s.pipe
	s.pipe = [orderMessages]inPipe{}
	old := s.old[s.breaks][:0]
	for _, p := range unanswered {
		if p.message != 0 && p.answer == instance.Unanswered {
			old = append(old, p)
		}
	}
	s.breaks++
	if cut && s.link == linkUp {
		m.kill(s)
		for _, p := range unanswered {
			if p.message != 0 {
				s.messages[p.message-1].again = true
				m.send(s, p.message-1)
			}
		}
		return
	}
	s.link = linkDown
	for n := range s.messages {
		message := &s.messages[n]
		switch {
		case message.stage != posted && message.stage != onTheWay:
		case n%2 == 0:
			message.stage = settled
			s.attempts[n/2].vote = instance.TimedOut
		default:
			m.owe(message)
		}
	}
}

// kill ends the connections before this one, if that is permitted.
func (m *orderRules) kill(s *orderState) {
	if m.kills {
		s.old = [orderBreaks][orderMessages]inPipe{}
	}
}

func (s *orderState) has(stage uint8) bool {
	return slices.ContainsFunc(s.messages[:], func(m orderMessage) bool { return m.stage == stage })
}

// serverSteps are what the server does: it takes the next message from a pipe.
func (m *orderRules) serverSteps(s *orderState, step func(what, who uint8, change func(*orderState))) {
	for place, p := range s.pipe {
		if p.message == 0 || p.answer != instance.Unanswered {
			continue
		}
		step(orderHears, p.message-1, func(s *orderState) { s.pipe[place].answer = m.hear(s, p) })
		if !m.pooled {
			break
		}
	}
	for n, old := range s.old {
		if p := old[0]; p.message != 0 {
			step(orderOldHears, p.message-1, func(s *orderState) {
				m.hear(s, p)
				copy(s.old[n][:], old[1:])
				s.old[n][orderMessages-1] = inPipe{}
			})
		}
	}
}

func (m *orderRules) hear(s *orderState, p inPipe) (answer instance.Kind) {
	n := p.message - 1
	token := n/2 + 1 // and the fence
	acquire := n%2 == 0
	switch {
	case acquire && m.fenced && m.form == nativeFences && !s.messages[n].again:
		answer = m.acquireNative(&s.server, token, 0, token, token)
	case acquire && m.fenced && m.form != "":
		answer = m.acquireRaise(&s.server, token, 0, token, token)
		if answer == instance.Held && s.server.holder == token && s.messages[n].again {
			answer = instance.Stale
		}
	case acquire && m.fenced:
		answer = m.acquireFenced(&s.server, token, 0, token, token)
	case acquire:
		answer = m.acquire(&s.server, token, 0)
	case m.fenced && !p.plain:
		answer = m.releaseFenced(&s.server, token, token)
	default:
		answer = m.release(&s.server, token)
	}
	if acquire && answer == instance.Held && s.server.holder == token && s.messages[n].again {
		answer = instance.Granted
	}
	return answer
}

// wrong: an attempt is over, and as far as anybody knows there is nothing to be
// released any more; but there is.
func (m *orderRules) wrong(s orderState) string {
	for a, own := range s.attempts {
		over := own.phase == gaveUp || own.phase == gaveBack
		if over && s.messages[2*a+1].stage == settled && s.server.holder == uint8(a+1) {
			return fmt.Sprintf("the lock of attempt %s is left behind", modelName(uint8(a)))
		}
	}
	return ""
}

func sayOrder(s model.Step) string {
	attempt, message := modelName(s.Who), modelName(s.Who/2)+"'s acquire"
	if s.Who%2 == 1 {
		message = modelName(s.Who/2) + "'s release"
	}
	switch s.What {
	case orderBegins:
		return attempt + " begins"
	case orderWins:
		return attempt + " is won"
	case orderGivesUp:
		return attempt + " is given up"
	case orderReleases:
		return attempt + "'s lease is released"
	case orderFull:
		return attempt + "'s lease is released, and the mailbox is full"
	case orderSends:
		return message + " is sent"
	case orderHears:
		return "the server hears " + message
	case orderOldHears:
		return "the server hears " + message + ", on the old connection"
	case orderReads:
		return "the answer to " + message + " is read"
	case orderCut:
		return "the connection breaks, and what was not answered is sent again"
	case orderTimeout:
		return "an answer does not come in time: the instance is down"
	case orderReopens:
		return "the actor connects again"
	case orderOpen:
		return "nothing is owed: the mailbox is open again"
	case orderComes:
		return "a stranger takes the lock"
	case orderGoes:
		return "the stranger releases the lock"
	}
	panic(fmt.Sprintf("no words for %v", s))
}

func (m *orderRules) model() model.Model[orderState] {
	return model.Model[orderState]{Next: m.next, Wrong: m.wrong, Say: sayOrder}
}

func TestModelNothingIsLeftBehind(t *testing.T) {
	for _, c := range []struct {
		name string
		with func(*orderRules)
	}{
		{"old connections are killed", func(*orderRules) {}},
		{"fences raised natively", func(m *orderRules) { m.fenced, m.form = true, nativeFences }},
		{"fences raised by scripts, and nothing can be killed", func(m *orderRules) { m.fenced, m.form, m.kills = true, scriptFences, false }},
		{"fences beside their locks, and nothing can be killed", func(m *orderRules) { m.fenced, m.kills = true, false }},
		{"fences beside their locks, and no order at all", func(m *orderRules) { m.breaks, m.fenced, m.kills, m.pooled, m.plain = 1, true, false, true, false }},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			m := rightOrderRules()
			c.with(&m)
			holds(t, m.model())
		})
	}
}

func TestModelOfOrderFindsEveryMutant(t *testing.T) {
	t.Parallel()
	notUndone := func(kind instance.Kind) func(*orderRules) {
		return func(m *orderRules) {
			m.mayHaveLeft = func(v instance.Vote, all []instance.Vote, q *instance.Acquire) bool {
				return v.Kind != kind && mayHaveLeft(v, all, q)
			}
		}
	}
	for _, c := range []struct {
		name   string
		mutate func(*orderRules)
	}{
		{"no fences, and nothing can be killed", func(m *orderRules) { m.kills = false }},
		{"fences without a tombstone, and nothing can be killed", func(m *orderRules) { m.fenced, m.kills, m.bury = true, false, false }},
		{"no tombstone where the acquire may come late, and nothing can be killed", func(m *orderRules) { m.fenced, m.kills, m.careless = true, false, true }},
		{"fences raised natively, and nothing can be killed", func(m *orderRules) { m.fenced, m.form, m.kills = true, nativeFences, false }},
		{"what is stale is not undone", func(m *orderRules) {
			m.fenced, m.form = true, nativeFences
			notUndone(instance.Stale)(m)
		}},
		{"a pool of connections", func(m *orderRules) { m.pooled = true }},
		{"what timed out is not undone", notUndone(instance.TimedOut)},
		{"what has not been answered is not undone", notUndone(instance.Unanswered)},
		{"what was granted is not undone", notUndone(instance.Granted)},
		{"refusals are final, even to what was sent twice", func(m *orderRules) {
			m.fenced, m.kills = true, false
			m.mayHaveLeft = func(v instance.Vote, all []instance.Vote, q *instance.Acquire) bool {
				v.Again = false
				return mayHaveLeft(v, all, q)
			}
		}},
		{"what is owed is paid before what waits in the mailbox", func(m *orderRules) { m.hasty = true }},
		{"releases are not owed", func(m *orderRules) { m.forgetful = true }},
	} {
		m := rightOrderRules()
		c.mutate(&m)
		breaks(t, c.name, m.model())
	}
}
