package instance

import (
	"time"

	"github.com/holdfast-go/holdfast/internal/resp"
	"github.com/holdfast-go/holdfast/internal/scripts"
)

// What the leader of an election says is beside its lock, in a key of its own, for as long as the lock lives:
//
//	token ' ' number ' ' rest
//
// It is the leader's only while the lock has that token. So nothing that an earlier leader has left there is ever taken for
// a later one's.

// Proclaim puts what a leader says beside its lock. Votes: Granted, Gone, Stolen, or what went wrong.
//
// It is for the engine.
type Proclaim struct {
	Key    string // the lock
	Value  string // the key beside it
	Token  string
	Number uint64        // higher for what the same leader says later: that stays where it is
	Rest   string        // what it says
	TTL    time.Duration // how long it lives if the lock has no end; whole milliseconds
	To     Caster
}

func (p *Proclaim) appendCommand(_ *sending, out []byte) ([]byte, bool) {
	out = scripts.Proclaim.AppendCall(out, 2, 4)
	out = resp.AppendArg(out, p.Key)
	out = resp.AppendArg(out, p.Value)
	out = resp.AppendArg(out, p.Token)
	out = resp.AppendNumber(out, int64(p.Number))
	out = resp.AppendArg(out, p.Rest)
	return resp.AppendNumber(out, p.TTL.Milliseconds()), true
}

func (p *Proclaim) fits(r *resp.Reply) bool { return r.Kind == resp.Number }

func (p *Proclaim) readReply(s *sending, r *resp.Reply) {
	switch r.N {
	case 1:
		p.To.Cast(s.vote(Granted))
	case 0:
		p.To.Cast(s.vote(Gone))
	default:
		p.To.Cast(s.vote(Stolen))
	}
}

func (p *Proclaim) refuse(v Vote)                     { p.To.Cast(v) }
func (p *Proclaim) debt() (debt, bool)                { return debt{}, false }
func (p *Proclaim) about() (key, valueKey string)     { return p.Key, p.Value }
func (r *Retract) about() (key, valueKey string)      { return r.Key, r.Value }
func (q *LookAtLeader) about() (key, valueKey string) { return q.Key, q.Value }

// Retract takes away what a leader has said, behind the release of its lock. Nobody waits for the answer: what it does not
// take away ends when the lock would have, and is nobody's until then.
//
// It is for the engine.
type Retract struct {
	Key   string // the lock
	Value string // the key beside it
	Token string
}

func (r *Retract) appendCommand(_ *sending, out []byte) ([]byte, bool) {
	out = scripts.Retract.AppendCall(out, 1, 1)
	out = resp.AppendArg(out, r.Value)
	return resp.AppendArg(out, r.Token), true
}

func (r *Retract) fits(reply *resp.Reply) bool     { return reply.Kind == resp.Number }
func (r *Retract) readReply(*sending, *resp.Reply) {}
func (r *Retract) refuse(Vote)                     {}
func (r *Retract) debt() (debt, bool)              { return debt{}, false }

// LookAtLeader asks who has the lock, and what is said beside it. Votes: Held with holder and time left, Free, or what went
// wrong. It changes nothing there.
//
// It is for the engine.
type LookAtLeader struct {
	Key   string // the lock
	Value string // the key beside it
	Said  string // what is there, "" if nothing is: set before the vote Held or Free is cast
	To    Caster
}

func (q *LookAtLeader) appendCommand(_ *sending, out []byte) ([]byte, bool) {
	out = scripts.LookAtLeader.AppendCall(out, 2, 0)
	out = resp.AppendArg(out, q.Key)
	return resp.AppendArg(out, q.Value), true
}

func (q *LookAtLeader) fits(r *resp.Reply) bool {
	return r.Kind == resp.List && len(r.List) == 3 &&
		r.List[0].Kind == resp.Text && r.List[1].Kind == resp.Number && r.List[2].Kind == resp.Text
}

func (q *LookAtLeader) readReply(s *sending, r *resp.Reply) {
	q.Said = string(r.List[2].Text)
	if r.List[1].N == -2 {
		q.To.Cast(s.vote(Free))
		return
	}
	q.To.Cast(s.held(&r.List[0], leftOf(&r.List[1])))
}

func (q *LookAtLeader) refuse(v Vote)      { q.To.Cast(v) }
func (q *LookAtLeader) debt() (debt, bool) { return debt{}, false }
