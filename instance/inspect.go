package instance

import (
	"github.com/holdfast-go/holdfast/internal/resp"
	"github.com/holdfast-go/holdfast/internal/scripts"
)

// Inspect asks who has the lock. Votes: Held with holder and time left, Free,
// or what went wrong.
//
// It is for the engine.
type Inspect struct {
	Key string
	To  Caster
}

func (q *Inspect) appendCommand(_ *sending, out []byte) ([]byte, bool) {
	out = scripts.Inspect.AppendCall(out, 1, 0)
	return resp.AppendArg(out, q.Key), true
}

func (q *Inspect) fits(r *resp.Reply) bool {
	return r.Kind == resp.List && (len(r.List) == 0 || len(r.List) == 2 && r.List[0].Kind == resp.Text)
}

func (q *Inspect) readReply(s *sending, r *resp.Reply) {
	if len(r.List) == 0 {
		q.To.Cast(s.vote(Free))
		return
	}
	q.To.Cast(s.held(&r.List[0], leftOf(&r.List[1])))
}

func (q *Inspect) refuse(v Vote)      { q.To.Cast(v) }
func (q *Inspect) debt() (debt, bool) { return debt{}, false }
