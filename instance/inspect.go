package instance

// Inspect asks who has the lock. Votes: Held with holder and time left, Free,
// or what went wrong.
type Inspect struct {
	Key string
	To  Caster
}

func (q *Inspect) queue(_ *sending, out []byte) ([]byte, bool) {
	out = appendScript(out, inspectScript, 1, 0)
	return appendArg(out, q.Key), true
}

func (q *Inspect) fits(r *reply) bool {
	return r.kind == listReply && (len(r.list) == 0 || len(r.list) == 2 && r.list[0].kind == textReply)
}

func (q *Inspect) settle(s *sending, r *reply) {
	if len(r.list) == 0 {
		q.To.Cast(s.vote(Free))
		return
	}
	q.To.Cast(s.held(&r.list[0], r.list[1].left()))
}

func (q *Inspect) reset()             {}
func (q *Inspect) refuse(v Vote)      { q.To.Cast(v) }
func (q *Inspect) debt() (debt, bool) { return debt{}, false }
func (q *Inspect) urgent() bool       { return false }
