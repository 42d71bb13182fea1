package instance

import (
	"time"

	"github.com/holdfast-go/holdfast/internal/resp"
	"github.com/holdfast-go/holdfast/internal/scripts"
)

// ReleaseEach deletes many locks, each if it is ours, as so many messages of Release would. For each of them it casts one
// vote: those of Release. What could not be confirmed stays owed, each by itself. It may be used again when all votes have
// been cast.
//
// Mostly it goes out as it is: as few calls of the script that releases many, encoded once for all instances. Where more than
// that is to be done for each lock (a native command, a tombstone, in a cluster, when it is sent again), it is taken apart
// into messages of Release, which are its parts then.
//
// It is for the engine.
type ReleaseEach struct {
	Items []ReleaseItem // 1 to MaxEach; read until they have been answered, perhaps by several instances
	Text  []byte        // what EncodeReleases makes of them
	TTL   time.Duration // as in Release
	To    EachCaster

	heard int    // items whose replies have been read
	which []int  // room
	votes []Vote // room
	parts []releasePart
}

// ReleaseItem is one lock of a ReleaseEach.
//
// It is for the engine.
type ReleaseItem struct {
	Key   string
	Token string
	Since time.Time // as in Release
	Fencing
}

// EncodeReleases appends to out the commands for these items, as they are where nothing more is to be done for each.
//
// It is for the engine.
func EncodeReleases(out []byte, items []ReleaseItem) []byte {
	for len(items) > 0 {
		n := min(len(items), maxBundle)
		out = scripts.ReleaseMany.AppendCall(out, n, n)
		for k := range n {
			out = resp.AppendArg(out, items[k].Key)
		}
		for k := range n {
			out = resp.AppendArg(out, items[k].Token)
		}
		items = items[n:]
	}
	return out
}

// releasePart is one lock of a ReleaseEach that has been taken apart.
type releasePart struct {
	Release
	whole *ReleaseEach
	which [1]int
	vote  [1]Vote
}

func (p *releasePart) Cast(v Vote) {
	p.vote[0] = v
	p.whole.To.CastEach(p.which[:], p.vote[:])
}

// reset makes it forget an earlier use.
func (m *ReleaseEach) reset() { m.heard = 0 }

// goesWhole reports whether it may go out as it is.
func (m *ReleaseEach) goesWhole(s *sending) bool {
	if s.again || s.beside || s.deletion != nil {
		return false
	}
	for k := range m.Items {
		if item := &m.Items[k]; !isPlain(s, item.Fence, item.Since) {
			return false
		}
	}
	return true
}

// part makes one of its items a message.
func (m *ReleaseEach) part(k int) *Release {
	if cap(m.parts) < len(m.Items) {
		m.parts = make([]releasePart, len(m.Items))
	}
	m.parts = m.parts[:len(m.Items)]
	p, item := &m.parts[k], &m.Items[k]
	p.whole, p.which[0] = m, k
	r := &p.Release
	r.Key, r.Token, r.Since, r.Fencing, r.TTL, r.To = item.Key, item.Token, item.Since, item.Fencing, m.TTL, p
	reset(r)
	return r
}

// takeApart returns the messages that it is made of: those that have not been heard of.
func (m *ReleaseEach) takeApart() (parts []Command) {
	for k := m.heard; k < len(m.Items); k++ {
		parts = append(parts, m.part(k))
	}
	return parts
}

// route posts its parts to a cluster, one by one.
func (m *ReleaseEach) route(whole *Instance) {
	for _, p := range m.takeApart() {
		whole.route(p)
	}
}

func (m *ReleaseEach) appendCommand(_ *sending, out []byte) ([]byte, bool) {
	return append(out, m.Text...), true
}

// replies: one to each call of the script.
func (m *ReleaseEach) replies() int { return (len(m.Items) + maxBundle - 1) / maxBundle }

// next is how many items the next reply is about.
func (m *ReleaseEach) next() int { return min(len(m.Items)-m.heard, maxBundle) }

func (m *ReleaseEach) fits(r *resp.Reply) bool { return r.Kind == resp.List && len(r.List) == m.next() }

// readReply casts the votes of one call together, but for those that the server refused.
func (m *ReleaseEach) readReply(s *sending, r *resp.Reply) {
	first := m.heard
	m.heard += len(r.List)
	var refused []int
	which, votes := m.which[:0], m.votes[:0]
	for k := range r.List {
		v := s.vote(Stolen)
		switch one := &r.List[k]; {
		case one.Kind == resp.Text:
			refused = append(refused, k)
			continue
		case one.Kind != resp.Number:
			v = garbled(s)
		case one.N == 1:
			v.Kind = Granted
		case one.N == 0:
			v.Kind = Gone
		}
		which, votes = append(which, first+k), append(votes, v)
	}
	m.which, m.votes = which, votes
	for _, k := range refused {
		s.actor.refused(m.part(first+k), s.refusal(r.List[k].Err()))
	}
	if len(which) > 0 { // with the last vote, m may be used anew
		m.To.CastEach(which, votes)
	}
}

// refuseNext answers what one call was about, which the server refused as a whole. It is owed.
func (m *ReleaseEach) refuseNext(s *sending, v Vote) {
	first, n := m.heard, m.next()
	m.heard += n
	for k := range n {
		s.actor.refused(m.part(first+k), v)
	}
}

// refuse answers all that is open.
func (m *ReleaseEach) refuse(v Vote) {
	if m.heard == 0 {
		m.votes = append(m.votes[:0], v)
		m.To.CastEach(nil, m.votes)
		return
	}
	m.which, m.votes = m.which[:0], append(m.votes[:0], v)
	for k := m.heard; k < len(m.Items); k++ {
		m.which = append(m.which, k)
	}
	m.To.CastEach(m.which, m.votes)
}

func (m *ReleaseEach) debt() (debt, bool) { return debt{}, false } // its items have

// debts are what its items owe that have not been heard of.
func (m *ReleaseEach) debts(owe func(debt)) {
	until := time.Now().Add(m.TTL)
	for k := m.heard; k < len(m.Items); k++ {
		item := &m.Items[k]
		owe(debt{key: item.Key, token: item.Token, fencing: item.Fencing, since: item.Since, until: until})
	}
}
