package instance

import (
	"github.com/holdfast-go/holdfast/internal/resp"
	"github.com/holdfast-go/holdfast/internal/scripts"
	"github.com/holdfast-go/holdfast/internal/slots"
)

// Inspect asks who has the lock. Votes: Held with holder and time left, Free,
// or what went wrong.
//
// It is for the engine.
type Inspect struct {
	Key     string
	Readers string // as in Sharing
	To      Caster
}

func (q *Inspect) appendCommand(s *sending, out []byte) ([]byte, bool) {
	out = scripts.Inspect.AppendCall(out, 2, 0)
	out = resp.AppendArg(out, q.Key)
	if s.beside && slots.Of(q.Readers) != slots.Of(q.Key) { // nobody can share it there
		return resp.AppendArg(out, q.Key), true
	}
	return resp.AppendArg(out, q.Readers), true
}

func (q *Inspect) fits(r *resp.Reply) bool {
	return r.Kind == resp.List && (len(r.List) == 0 || len(r.List) >= 2 && r.List[0].Kind == resp.Text)
}

func (q *Inspect) readReply(s *sending, r *resp.Reply) {
	if len(r.List) == 0 {
		q.To.Cast(s.vote(Free))
		return
	}
	v := s.held(&r.List[0], leftOf(&r.List[1]))
	if len(r.List) > 2 && r.List[2].Kind == resp.Number {
		v.Readers = int(max(0, r.List[2].N))
	}
	q.To.Cast(v)
}

func (q *Inspect) refuse(v Vote)      { q.To.Cast(v) }
func (q *Inspect) debt() (debt, bool) { return debt{}, false }
