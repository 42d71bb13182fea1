package instance

import "github.com/redis/go-redis/v9"

// Inspect asks who has the lock. Votes: Held with holder and time left, Free,
// or what went wrong.
type Inspect struct {
	Key string
	To  Caster

	cmd *redis.Cmd
}

func (q *Inspect) queue(*sending) redis.Cmder {
	q.cmd = redis.NewCmd(background, "evalsha", inspectScript.sha, 1, q.Key)
	return q.cmd
}

func (q *Inspect) settle(s *sending) {
	fields, ok := q.cmd.Val().([]any)
	switch {
	case ok && len(fields) == 0:
		q.To.Cast(s.vote(Free))
	case ok && len(fields) == 2:
		v := s.vote(Held)
		v.Holder, _ = fields[0].(string)
		v.Left = left(fields[1])
		q.To.Cast(v)
	default:
		q.To.Cast(garbled(s))
	}
}

func (q *Inspect) reset()             {}
func (q *Inspect) refuse(v Vote)      { q.To.Cast(v) }
func (q *Inspect) debt() (debt, bool) { return debt{}, false }
func (q *Inspect) urgent() bool       { return false }
