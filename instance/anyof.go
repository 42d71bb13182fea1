package instance

import (
	"slices"
	"time"

	"github.com/holdfast-go/holdfast/internal/resp"
	"github.com/holdfast-go/holdfast/internal/scripts"
)

// AnyOf makes an Acquire one of some of several locks, whichever are free there: so many of them, or none, with one token and
// without fencing. They are in one slot, as their bell is. The vote is Held where too few are free. Then the bell hangs
// there until it is taken down: by a Release of BellToken.
//
// It is for the engine.
type AnyOf struct {
	Keys     []string // in the order in which they are wanted. Read until the question has been answered
	Want     int      // 1 to as many as there are keys
	Bell     string
	BellLife time.Duration // whole milliseconds: it is taken down after that, for a lock that nobody gives back
	Taken    []int         // which of Keys have been taken, in ascending order. It is set before the vote Granted is cast
}

// BellToken is what a bell has, as a lock has its holder's token.
//
// It is for the engine.
const BellToken = "taken"

func (a *Acquire) appendAnyOf(s *sending, out []byte) []byte {
	q := a.Any
	out = scripts.TakeAny.AppendCall(out, 1+len(q.Keys), 5)
	out = resp.AppendArg(out, q.Bell)
	for _, key := range q.Keys {
		out = resp.AppendArg(out, key)
	}
	out = a.appendClaim(out)
	out = resp.AppendNumber(out, int64(q.Want))
	out = resp.AppendNumber(out, q.BellLife.Milliseconds())
	if s.again {
		return resp.AppendArg(out, "1")
	}
	return resp.AppendArg(out, "0")
}

// readAnyOf reads which have been taken.
func (a *Acquire) readAnyOf(s *sending, r *resp.Reply) Vote {
	q, which := a.Any, r.List[1:]
	switch {
	case r.List[0].N == 0 && len(which) == 1:
		v := s.vote(Held)
		v.Left = -1
		return v
	case r.List[0].N != 1 || len(which) != q.Want:
		return garbled(s)
	}
	taken := make([]int, 0, q.Want)
	for _, n := range which {
		if n.Kind != resp.Number || n.N < 1 || n.N > int64(len(q.Keys)) {
			return garbled(s)
		}
		taken = append(taken, int(n.N)-1)
	}
	slices.Sort(taken)
	q.Taken = taken
	return s.vote(Granted)
}

// MayHave returns which of Keys may have been taken where the vote was of this kind.
//
// It is for the engine.
func (q *AnyOf) MayHave(k Kind) []string {
	if k != Granted {
		return q.Keys
	}
	taken := make([]string, len(q.Taken))
	for n, which := range q.Taken {
		taken[n] = q.Keys[which]
	}
	return taken
}
