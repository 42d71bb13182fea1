package instance

import (
	"sync/atomic"
	"time"

	"github.com/holdfast-go/holdfast/internal/fault"
	"github.com/holdfast-go/holdfast/internal/resp"
)

// MaxEach is how many locks one AcquireEach may be about: what comes behind it waits for that many commands, a fifth of a
// millisecond of the server's time.
//
// It is for the engine.
const MaxEach = 256

// AcquireEach asks for many locks, each by itself, as so many messages of Acquire would. For each of them it casts one vote:
// those of Acquire. It may be used again when all have been cast, and its undos have been answered.
//
// Mostly it goes out as it is: as many native commands, encoded once for all instances, whose replies are read one after
// the other and make few casts. Where more than that is to be done for each lock (with fencing, with a token of the user's
// own, in a cluster, when it is sent again), it is taken apart into messages of Acquire, which are its parts then.
//
// It is for the engine.
type AcquireEach struct {
	Items  []EachItem    // 1 to MaxEach; read until they have been answered, perhaps by several instances
	Text   []byte        // what EncodeAcquires makes of them
	TTL    time.Duration // whole milliseconds
	GiveUp time.Time     // as in Acquire, and so is Shared
	Shared bool
	To     EachCaster

	stage   atomic.Uint32 // as in Acquire
	heard   int           // replies that have been read
	granted []int         // items: of what has been heard, while it has not been cast
	refused []int
	votes   []Vote // room for those that are cast together
	holders holdersQuestion
	parts   []eachPart // room
	routed  bool       // it was taken apart when it was posted, by the poster: to a cluster
}

// EachItem is one lock of an AcquireEach.
//
// It is for the engine.
type EachItem struct {
	Key   string
	Token string // fresh for every attempt, but where it is shared
	Fencing
}

// EachCaster takes the votes of an AcquireEach, under the rules of Caster, some or all of them at a time. which are the items
// that they are about; nil are all of them. There is one vote for each of these, or a single one that is the answer to all
// of them. It must not keep either slice.
//
// It is for the engine.
type EachCaster interface {
	CastEach(which []int, votes []Vote)
}

// EncodeAcquires appends to out the commands for these items, as they are where nothing more is to be done for each.
//
// It is for the engine.
func EncodeAcquires(out []byte, items []EachItem, ttl time.Duration) []byte {
	for k := range items {
		out = appendSet(out, items[k].Key, items[k].Token, ttl)
	}
	return out
}

// eachPart is one lock of an AcquireEach that has been taken apart.
type eachPart struct {
	Acquire
	whole *AcquireEach
	which [1]int
	vote  [1]Vote
}

func (p *eachPart) Cast(v Vote) {
	p.vote[0] = v
	p.whole.To.CastEach(p.which[:], p.vote[:])
}

// Left reports whether an instance that has voted so on this item may have its lock in our name because of this
// message: what was never sent has left nothing.
//
// It is for the engine.
func (m *AcquireEach) Left(v Kind) bool {
	return v == Unanswered || m.stage.Load() == sent
}

// Part returns the message that one of the items was posted as, to a cluster; else nil.
//
// It is for the engine.
func (m *AcquireEach) Part(item int) *Acquire {
	if !m.routed {
		return nil
	}
	return &m.parts[item].Acquire
}

// Withdraw reports whether it has not been sent: then it never will be, and leaves nothing.
//
// It is for the engine.
func (m *AcquireEach) Withdraw() bool { return m.stage.CompareAndSwap(posted, withdrawn) }

// send reports whether it may be sent: for the first time, or again.
func (m *AcquireEach) send() bool {
	return m.stage.CompareAndSwap(posted, sent) || m.stage.Load() == sent
}

// reset makes it forget an earlier use.
func (m *AcquireEach) reset() {
	m.stage.Store(posted)
	m.heard, m.granted, m.refused, m.routed = 0, m.granted[:0], m.refused[:0], false
}

// goesWhole reports whether it may go out as it is.
func (m *AcquireEach) goesWhole(s *sending) bool {
	return m.Items[0].Fence == 0 && !m.Shared && !s.again && !s.beside
}

// takeApart returns the messages that it is made of: those that have not been heard of. What has been heard is cast.
func (m *AcquireEach) takeApart(name string) (parts []Command) {
	m.castHeard(name)
	if cap(m.parts) < len(m.Items) {
		m.parts = make([]eachPart, len(m.Items))
	}
	m.parts = m.parts[:len(m.Items)]
	for k := m.heard; k < len(m.Items); k++ {
		p, item := &m.parts[k], &m.Items[k]
		p.whole, p.which[0] = m, k
		a := &p.Acquire
		reset(a)
		a.Key, a.Token, a.Fencing, a.TTL = item.Key, item.Token, item.Fencing, m.TTL
		a.GiveUp, a.Shared, a.To = m.GiveUp, m.Shared, p
		parts = append(parts, a)
	}
	return parts
}

// route posts its parts to a cluster, one by one.
func (m *AcquireEach) route(whole *Instance) {
	m.send() // whether one of the parts was, it knows by itself
	parts := m.takeApart(whole.name)
	m.routed = true
	for _, p := range parts {
		whole.route(p)
	}
}

// castHeard casts the votes of those that have been heard of, when no more will be.
func (m *AcquireEach) castHeard(name string) {
	if len(m.granted) > 0 {
		m.castAll(m.granted, Vote{Instance: name, Kind: Granted})
	}
	if len(m.refused) > 0 {
		m.castAll(m.refused, Vote{Instance: name, Kind: Held, Left: -1})
	}
	m.granted, m.refused = m.granted[:0], m.refused[:0]
}

func (m *AcquireEach) castAll(which []int, v Vote) {
	m.votes = append(m.votes[:0], v)
	m.To.CastEach(which, m.votes)
}

func (m *AcquireEach) appendCommand(s *sending, out []byte) ([]byte, bool) {
	v := s.vote(Unanswered)
	switch {
	case s.quarantined > 0:
		v.Kind, v.Left = InQuarantine, s.quarantined
	case !s.now.Before(m.GiveUp):
		v.Kind, v.Err = TimedOut, fault.ErrTimeout
	case m.send():
		return append(out, m.Text...), true
	}
	m.castAll(nil, v)
	return out, false
}

func (m *AcquireEach) replies() int { return len(m.Items) }

func (m *AcquireEach) fits(r *resp.Reply) bool { return r.Kind == resp.Status || r.Kind == resp.Nil }

func (m *AcquireEach) readReply(s *sending, r *resp.Reply) {
	if r.Kind == resp.Status { // there was no holder, and now it is us
		m.granted = append(m.granted, m.heard)
	} else {
		m.refused = append(m.refused, m.heard)
	}
	m.hear(s)
}

func (m *AcquireEach) refuseNext(s *sending, v Vote) {
	which := [1]int{m.heard}
	m.hear(s)
	m.castAll(which[:], v) // behind it: with the last vote, m may be used anew
}

// hear counts a reply. With the last, those who are locked out have the holders asked for.
func (m *AcquireEach) hear(s *sending) {
	if m.heard++; m.heard < len(m.Items) {
		return
	}
	if len(m.granted) > 0 {
		granted := m.granted
		m.granted = m.granted[:0]
		refused := len(m.refused) > 0 // with the last vote, m may be used anew
		m.castAll(granted, s.vote(Granted))
		if !refused {
			return
		}
	}
	if len(m.refused) > 0 {
		m.holders = holdersQuestion{each: m}
		if _, taken := s.actor.mailbox.offer(&m.holders, s.actor.name); !taken {
			m.holders.refuse(Vote{Instance: s.actor.name})
		}
	}
}

// refuse answers all that is open.
func (m *AcquireEach) refuse(v Vote) {
	if m.heard == 0 {
		m.castAll(nil, v)
		return
	}
	rest := make([]int, 0, len(m.Items)-m.heard)
	for k := m.heard; k < len(m.Items); k++ {
		rest = append(rest, k)
	}
	m.castHeard(v.Instance)
	m.castAll(rest, v)
}

func (m *AcquireEach) debt() (debt, bool) { return debt{}, false }

// several is a message with a reply for each of several questions.
type several interface {
	Command
	replies() int                  // to what appendCommand has appended
	refuseNext(s *sending, v Vote) // is readReply where the server replied with an error
}

// severalOf returns a message as one with several replies, or nil.
func severalOf(c Command) several {
	switch c := c.(type) {
	case *AcquireEach:
		return c
	case *holdersQuestion:
		return c
	case *ReleaseEach:
		return c
	}
	return nil
}
