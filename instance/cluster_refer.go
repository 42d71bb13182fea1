package instance

import (
	"time"

	"github.com/holdfast-go/holdfast/internal/resp"
	"github.com/holdfast-go/holdfast/internal/slots"
)

// maxHops is how often a message is sent on. A map that is out of date costs one
// hop, a slot that is being moved one more.
const maxHops = 5

// retryAfter is how long a message waits that the server wants asked again, since
// it is moving keys, one by one, or that none of the servers has taken for its own.
const retryAfter = 10 * time.Millisecond

// routed is a message that has been sent on.
type routed struct {
	Command
	slot   uint16
	hops   int
	asking bool      // the node serves the slot for this message only
	again  bool      // an earlier node may have carried it out without our having heard
	due    time.Time // when it is to be asked again, and
	giveUp time.Time // until when it may be; zero: there was no reason to yet
}

// original is the message as it was posted.
func original(m Command) Command {
	if r, ok := m.(*routed); ok {
		return r.Command
	}
	return m
}

func (r *routed) appendCommand(s *sending, out []byte) ([]byte, bool) {
	again := s.again
	s.again = again || r.again
	defer func() { s.again = again }()
	if !r.asking {
		return r.Command.appendCommand(s, out)
	}
	// ASKING is good for the next command, whatever that is: so it must not stay
	// there without this one.
	before := len(out)
	out, ok := r.Command.appendCommand(s, append(out, "*1\r\n$6\r\nasking\r\n"...))
	if !ok {
		out = out[:before]
	}
	return out, ok
}

func (r *routed) readReply(s *sending, reply *resp.Reply) {
	again := s.again
	s.again = again || r.again
	r.Command.readReply(s, reply)
	s.again = again
}

// readAnswer reads the reply to a message. Where ASKING is refused, that is the reason
// for what comes of the rest.
func (r *reader) readAnswer(m Command) error {
	if sent, ok := m.(*routed); !ok || !sent.asking {
		return r.link.Next(&r.reply)
	}
	var toASKING resp.Reply
	if err := r.link.Next(&toASKING); err != nil {
		return err
	}
	if toASKING.Kind != resp.Status && toASKING.Kind != resp.Error {
		return errUnasked
	}
	err := r.link.Next(&r.reply)
	if r.reply.Kind == resp.Error && toASKING.Kind == resp.Error {
		r.reply.Text = toASKING.Text
	}
	return err
}

// sendElsewhere does for one message of a node what the node said.
func (r *router) sendElsewhere(from *node, m Command, again bool, ref slots.Referral) bool {
	sent, ok := m.(*routed)
	if !ok {
		sent = &routed{Command: m}
		sent.slot = slotOf(m)
	}
	sent.again = sent.again || again
	switch ref.Kind {
	case slots.TryAgain:
		return r.delay(sent)
	case slots.Down:
		r.down(ref.Text)
		return false
	}
	r.lookSoon()
	if sent.hops++; sent.hops > maxHops { // while a slot changes hands, each of two may name the other
		sent.hops = 0
		return r.delay(sent)
	}
	return r.sendOn(from, sent, ref)
}

// slotOf is the slot of a message about one slot.
func slotOf(m Command) uint16 {
	switch m := m.(type) {
	case keyed:
		key, _ := m.about()
		return slots.Of(key)
	case *Renew:
		return slots.Of(m.Items[0].Key)
	case *KeepPlaces:
		return slots.Of(m.Places[0].Key)
	case *bundle:
		return slots.Of(m.releases[0].Key)
	}
	return 0 // cannot happen: nothing else that a node is asked touches a slot
}

// mayRunLate reports whether a message may be carried out at any later time, and so out of
// order. All may but an acquire: a release deletes only its own token, and a renewal or an
// inspection puts nothing there.
func mayRunLate(m Command) bool {
	_, acquires := original(m).(*Acquire)
	return !acquires
}

// sendOn posts a message to the node that another one named, and reports whether
// it did.
//
// MOVED has the slot change hands, with all its messages in order. ASK is about
// single keys that the old node does not have any more: it will say ASK of all
// that follows about such a key, until it says MOVED, and the new node gets each
// in the order of these replies; so order holds here, too. (A slot would have to
// move there, back, and there again while one message waits to break it, and
// Timeout is too short for that.) That is, while the slot is the node's that says
// so: an acquire that was in none of these lines is not sent on at all.
func (r *router) sendOn(from *node, sent *routed, ref slots.Referral) bool {
	var wall *barrier
	var v Vote
	taken := true
	r.mu.Lock()
	to := r.node(slots.Neighbour(from.addr, ref.Addr))
	mv := r.moves[sent.slot]
	inLine := mv == nil && r.slots[sent.slot] == from || mv != nil && mv.from == from
	switch {
	case to == nil || to == from || sent.slot != ref.Slot, !inLine && !mayRunLate(sent):
		r.mu.Unlock()
		return false
	case !inLine:
		sent.asking = false
		v, taken = r.offer(sent, sent.slot)
	case mv != nil:
		sent.asking = false
		mv.to, mv.sentOn = to, append(mv.sentOn, sent)
	case ref.Kind == slots.Ask:
		sent.asking = true
		if r.owned[to] == 0 {
			r.asked[to] = time.Now()
		}
		v, taken = to.mailbox.offer(sent, to.name)
	default:
		sent.asking = false
		mv := r.begin(sent.slot, to, true)
		mv.sentOn = append(mv.sentOn, sent)
		wall = &barrier{[]*move{mv}}
	}
	r.mu.Unlock()
	if !taken {
		sent.refuse(v)
	}
	if wall != nil {
		from.mailbox.put(from.name, wall)
	}
	return true
}

// delay has a message routed again in a while, if it may be, until its time is up
// since the first of the whiles. For an acquire
// waiting is the engine's part: it knows how long.
func (r *router) delay(sent *routed) bool {
	now := time.Now()
	if sent.giveUp.IsZero() {
		sent.giveUp = now.Add(r.whole.cfg.Timeout)
	}
	if !mayRunLate(sent) || now.After(sent.giveUp) {
		return false
	}
	sent.due, sent.asking = now.Add(retryAfter), false
	select {
	case r.delayed <- sent:
		return true
	default:
		return false
	}
}

// down notes that a node says that the cluster is down.
func (r *router) down(text string) {
	r.mu.Lock()
	r.trouble, r.since = resp.ServerError(text), time.Now()
	r.mu.Unlock()
	r.lookSoon()
}
