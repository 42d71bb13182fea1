package instance

import (
	"slices"
	"sync"

	"github.com/holdfast-go/holdfast/internal/resp"
	"github.com/holdfast-go/holdfast/internal/scripts"
)

// Several makes an Acquire one of several locks, all of them or none, with one token and one fence. One script
// takes them; in a cluster, one for each slot, so that some may be taken although the vote is not Granted: then it
// says Again.
//
// It is for the engine.
type Several struct {
	Keys     []string // all of them, each once. Key is the first. Read until the question has been answered
	Kept     []string // as Keys: a token of ours that may have the lock, and gives way; "": none. nil: none at all
	InTheWay int      // which of Keys it is that is Held. It is set before the vote is cast

	whole *Acquire // of a part: what it is a part of
}

// formOfSeveral is how a question for several locks is sent.
func (a *Acquire) formOfSeveral(s *sending) form {
	switch {
	case a.Fence == 0:
		return scriptTakesAll
	case s.beside:
		return scriptFencesAll
	}
	return scriptRaisesAll
}

func (a *Acquire) appendSeveral(out []byte) []byte {
	n, kept := len(a.Several.Keys), len(a.Several.Kept)
	switch a.form {
	case scriptFencesAll:
		out = scripts.AcquireAllFenced.AppendCall(out, 2*n, 5+kept)
		for _, key := range a.Several.Keys {
			out = resp.AppendArg(out, key)
			out = resp.AppendArg(out, a.beside(key))
		}
		out = a.appendClaim(out)
		out = resp.AppendNumber(out, int64(a.highest()))
		out = resp.AppendNumber(out, a.FenceTTL.Milliseconds())
		out = resp.AppendNumber(out, a.MaxAhead.Microseconds())
	case scriptRaisesAll:
		out = scripts.AcquireAllRaise.AppendCall(out, n+1, 4+2*n+kept)
		out = a.appendKeys(out)
		out = a.appendTable(out)
		out = a.appendClaim(out)
		out = resp.AppendNumber(out, int64(a.highest()))
		out = resp.AppendNumber(out, a.MaxAhead.Microseconds())
		for _, key := range a.Several.Keys {
			out = appendCell(out, key)
		}
	default:
		out = scripts.AcquireAll.AppendCall(out, n, 2+kept)
		out = a.appendKeys(out)
		out = a.appendClaim(out)
	}
	for _, token := range a.Several.Kept {
		if token == "" {
			token = a.Token
		}
		out = resp.AppendArg(out, token)
	}
	return out
}

func (a *Acquire) appendKeys(out []byte) []byte {
	for _, key := range a.Several.Keys {
		out = resp.AppendArg(out, key)
	}
	return out
}

func (a *Acquire) appendClaim(out []byte) []byte {
	out = resp.AppendArg(out, a.Token)
	return resp.AppendNumber(out, a.TTL.Milliseconds())
}

// noteInTheWay takes from a reply which lock it is that somebody has: the last number.
func (a *Acquire) noteInTheWay(r *resp.Reply) {
	a.Several.InTheWay = 0
	if last := &r.List[len(r.List)-1]; r.List[0].N == 0 && last.Kind == resp.Number {
		a.Several.InTheWay = int(min(max(last.N-1, 0), int64(len(a.Several.Keys)-1)))
	}
}

// postSeveral posts a question for several locks slot by slot.
func (c *cluster) postSeveral(m *Acquire) {
	parts := make(map[uint16]*Acquire)
	var order []uint16
	to := &joint{whole: m}
	for k, key := range m.Several.Keys {
		slot, err := slotFor(key, m.beside(key))
		if err != nil {
			m.refuse(c.refusal(err))
			return
		}
		part := parts[slot]
		if part == nil {
			part = &Acquire{
				Key: key, Token: m.Token, TTL: m.TTL, GiveUp: m.GiveUp, Fencing: m.Fencing, To: &jointPart{joint: to},
				Several: &Several{whole: m},
			}
			part.To.(*jointPart).part = part
			parts[slot] = part
			order = append(order, slot)
		}
		part.Several.Keys = append(part.Several.Keys, key)
		if m.Several.Kept != nil {
			part.Several.Kept = append(part.Several.Kept, m.Several.Kept[k])
		}
	}
	to.open = len(order)
	for _, slot := range order {
		c.send(parts[slot], slot)
	}
}

// joint makes one vote of those on the parts of a question.
type joint struct {
	whole *Acquire

	mu       sync.Mutex
	open     int // how many parts have no vote
	vote     Vote
	fence    uint64 // the highest that is known to be there
	mayLeave int    // how many parts may have left something
}

// jointPart takes the vote on one part.
type jointPart struct {
	*joint
	part *Acquire
}

func (j *jointPart) Cast(v Vote) {
	if last := j.take(v); last {
		j.whole.To.Cast(j.vote) // nobody else has it any more
	}
}

// take notes a vote, and reports whether it was the last.
func (j *jointPart) take(v Vote) (last bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	switch v.Kind {
	case Granted:
		j.fence = max(j.fence, j.whole.highest())
	case Held, Stale:
		j.fence = max(j.fence, v.Fence)
	}
	if v.mayLeave() {
		j.mayLeave++
	}
	if j.vote.Instance == "" || importance(v.Kind) > importance(j.vote.Kind) {
		j.vote = v
		if v.Kind == Held {
			j.whole.Several.InTheWay = slices.Index(j.whole.Several.Keys, j.part.Several.Keys[j.part.Several.InTheWay])
		}
	}
	if j.open--; j.open > 0 {
		return false
	}
	if j.vote.Kind != Granted {
		j.vote.Again = j.mayLeave > 0
	}
	if j.vote.Kind == Held || j.vote.Kind == Stale {
		j.vote.Fence = j.fence
	}
	return true
}

// mayLeave reports whether a lock may be there after this vote on an acquire with a fresh token.
func (v Vote) mayLeave() bool {
	switch v.Kind {
	case Busy, Held, Ahead, InQuarantine:
		return v.Again
	}
	return true
}

// importance says which of two votes is the one on both: that which says most about why the whole is not granted.
func importance(k Kind) int {
	return slices.Index([]Kind{Granted, Unanswered, Busy, InQuarantine, Unreachable, TimedOut, Refused, Ahead, Stale, Held}, k)
}
