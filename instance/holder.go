package instance

import (
	"strings"
	"time"

	"github.com/holdfast-go/holdfast/internal/resp"
)

// holderQuestion asks which token has the lock, behind a native acquire that was refused. SET
// could say so itself, but would send all that is there. It casts the acquire's vote,
// which is Held even if nothing more can be learnt.
type holderQuestion struct{ acquire *Acquire }

// askHolder has it asked who has the lock; found is the fence there, 0 if that is not known.
func (a *Acquire) askHolder(by *actor, found uint64) {
	a.found, a.question.acquire = found, a
	by.postHolderQuestion(&a.question)
}

// postHolderQuestion posts one.
func (a *actor) postHolderQuestion(q *holderQuestion) {
	if _, taken := a.mailbox.offer(q, a.name); !taken {
		q.refuse(Vote{Instance: a.name})
	}
}

func (q *holderQuestion) appendCommand(_ *sending, out []byte) ([]byte, bool) {
	return appendHolderQuestion(out, q.acquire.Key), true
}

func appendHolderQuestion(out []byte, key string) []byte {
	out = append(out, "*4\r\n$8\r\ngetrange\r\n"...)
	out = resp.AppendArg(out, key)
	return append(out, "$1\r\n0\r\n$4\r\n1024\r\n"...)
}

func (q *holderQuestion) fits(r *resp.Reply) bool { return r.Kind == resp.Text }

func (q *holderQuestion) readReply(s *sending, r *resp.Reply) {
	v := s.held(r, -1)
	v.Fence = q.acquire.found
	q.acquire.To.Cast(v)
}

func (q *holderQuestion) refuse(v Vote) {
	if v = unknownHolder(v); v.Kind == Held {
		v.Fence = q.acquire.found
	}
	q.acquire.To.Cast(v)
}

func (q *holderQuestion) about() (key, fenceKey string) { return q.acquire.Key, "" }

func (q *holderQuestion) debt() (debt, bool) { return debt{}, false }

// holdersQuestion asks which tokens have the locks that were refused, as holderQuestion does for one. It casts their votes.
type holdersQuestion struct {
	each  *AcquireEach
	heard int    // of those that were refused
	asked int    // of them, last
	votes []Vote // of what has been heard
}

func (q *holdersQuestion) appendCommand(_ *sending, out []byte) ([]byte, bool) {
	open := q.each.refused[q.heard:]
	q.asked = len(open)
	for _, k := range open {
		out = appendHolderQuestion(out, q.each.Items[k].Key)
	}
	return out, true
}

func (q *holdersQuestion) replies() int { return q.asked }

func (q *holdersQuestion) fits(r *resp.Reply) bool { return r.Kind == resp.Text }

func (q *holdersQuestion) readReply(s *sending, r *resp.Reply) { q.hear(s.held(r, -1)) }

func (q *holdersQuestion) refuseNext(_ *sending, v Vote) { q.hear(unknownHolder(v)) }

func (q *holdersQuestion) hear(v Vote) {
	q.votes = append(q.votes, v)
	if q.heard++; q.heard == len(q.each.refused) {
		which, votes := q.each.refused, q.votes
		q.votes = nil // with the last vote, all of it may be used anew
		q.each.To.CastEach(which, votes)
	}
}

func (q *holdersQuestion) refuse(v Vote) {
	for range q.each.refused[q.heard:] {
		q.hear(unknownHolder(v))
	}
}

func (q *holdersQuestion) debt() (debt, bool) { return debt{}, false }

// held is the vote when a holder was found.
func (s *sending) held(holder *resp.Reply, left time.Duration) Vote {
	v := s.vote(Held)
	v.Left = left
	if len(holder.Text) > maxToken {
		v.Holder, v.Err = string(holder.Text[:foreignShown]), ErrForeign
		return v
	}
	v.Holder = string(holder.Text)
	return v
}

// unknownHolder is the vote of a lock that was refused, when v came of the question who has it.
func unknownHolder(v Vote) Vote {
	if v.Err == nil || !strings.HasPrefix(v.Err.Error(), "WRONGTYPE") { // else it is no lock at all
		return Vote{Instance: v.Instance, Kind: Held, Left: -1}
	}
	return v
}
