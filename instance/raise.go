package instance

import (
	"strconv"

	"github.com/holdfast-go/holdfast/internal/resp"
)

// raise raises the fences of many native acquires in the table, by one command behind them. For each of them:
//
//	GET cell   INCRBY cell −highest   INCRBY cell +highest        with OVERFLOW SAT
//
// Subtraction ends at 0, so what comes of it is max(fence, highest): a number never sinks. The answer to GET is the fence
// of before. An acquire counts only if that was below its proposal: of two with the same number, one at most finds it so. It
// takes no lock, no clock and no order of messages for that.
//
// It is behind them so that numbers rise in the order of the holders, too, also of those who asked at the same time: who takes
// the lock after another has released it finds that one's number there. In front of them, another could have raised the
// fence, taken the lock and released it between the two commands of one acquire, when what was written arrives in parts.
//
// The bundles of a pipeline make it; nobody posts one.
type raise struct {
	prefix string
	asked  []raised
}

type raised struct {
	acquire *Acquire
	cell    int
	highest uint64
	lock    lockAnswer
}

// lockAnswer is how far the lock of an acquire is, whose vote waits for the raise.
type lockAnswer uint8

const (
	unread  lockAnswer = iota // no answer has come, or one that says all
	taken                     // it has taken the lock
	refused                   // somebody has it
)

// maxRaise is how many acquires one command raises for: it blocks the server while it runs, 1.5 µs for each, and a reply
// has three numbers for each.
const maxRaise = 128

// join adds an acquire, and returns which of them it is.
func (r *raise) join(a *Acquire) int {
	r.prefix = a.Prefix
	r.asked = append(r.asked, raised{acquire: a, cell: cellOf(a.Key), highest: a.highest()})
	return len(r.asked) - 1
}

func (r *raise) appendCommand(_ *sending, out []byte) ([]byte, bool) {
	out = resp.AppendArray(out, 4+11*len(r.asked))
	out = append(out, "$8\r\nbitfield\r\n"...)
	out = resp.AppendArg2(out, r.prefix, tableName)
	out = append(out, "$8\r\noverflow\r\n$3\r\nsat\r\n"...)
	for _, one := range r.asked {
		out = append(out, "$3\r\nget\r\n"...)
		out = appendReference(out, one.cell)
		out = append(out, "$6\r\nincrby\r\n"...)
		out = appendReference(out, one.cell)
		out = resp.AppendNumber(out, -int64(one.highest))
		out = append(out, "$6\r\nincrby\r\n"...)
		out = appendReference(out, one.cell)
		out = resp.AppendNumber(out, int64(one.highest))
	}
	return out, true
}

// appendReference appends a cell as BITFIELD calls it.
func appendReference(out []byte, cell int) []byte {
	var digits [8]byte
	number := strconv.AppendInt(append(digits[:0], '#'), int64(cell), 10)
	out = append(out, "$3\r\nu56\r\n$"...)
	out = append(out, byte('0'+len(number)), '\r', '\n') // of 6 characters at most
	out = append(out, number...)
	return append(out, '\r', '\n')
}

func (r *raise) fits(reply *resp.Reply) bool {
	if reply.Kind != resp.List || len(reply.List) != 3*len(r.asked) {
		return false
	}
	for k := range reply.List {
		if reply.List[k].Kind != resp.Number || reply.List[k].N < 0 {
			return false
		}
	}
	return true
}

// heard notes what became of the lock of one of its acquires. Its vote is cast when the raise is answered.
func (r *raise) heard(which int, lock lockAnswer) { r.asked[which].lock = lock }

func (r *raise) readReply(s *sending, reply *resp.Reply) {
	for k := range r.asked {
		before := uint64(reply.List[3*k].N)
		switch one := r.take(k); one.lock {
		case taken:
			one.acquire.To.Cast(one.acquire.judge(s, before))
		case refused:
			one.acquire.askHolder(s.actor, one.acquire.fenceLeft(before))
		}
	}
}

// refuse is the answer of those of its acquires that have been heard of.
func (r *raise) refuse(v Vote) {
	for k := range r.asked {
		if one := r.take(k); one.lock != unread {
			one.acquire.To.Cast(v)
		}
	}
}

// again are those of its acquires that have been heard of, when it was not answered: they are sent once more.
func (r *raise) again() (acquires []Command) {
	for k := range r.asked {
		if one := r.take(k); one.lock != unread {
			one.acquire.again = true
			acquires = append(acquires, one.acquire)
		}
	}
	return acquires
}

// take returns one, which then has its answer.
func (r *raise) take(k int) raised {
	one := r.asked[k]
	r.asked[k].lock = unread
	return one
}

func (r *raise) debt() (debt, bool) { return debt{}, false }

// raises are the raises of a pipeline, to be used again.
type raises struct {
	all  []*raise
	used int
}

// last is the one that has room for one acquire more.
func (r *raises) last() *raise {
	if r.used > 0 && len(r.all[r.used-1].asked) < maxRaise {
		return r.all[r.used-1]
	}
	if r.used == len(r.all) {
		r.all = append(r.all, new(raise))
	}
	last := r.all[r.used]
	clear(last.asked)
	last.asked = last.asked[:0]
	r.used++
	return last
}

// judge is the vote of a native acquire that has taken the lock, by the fence that its raise has found.
func (a *Acquire) judge(s *sending, before uint64) Vote {
	switch {
	case before > MaxFence:
		return s.refusal(errForeignTable)
	case before >= a.Fence:
		v := s.vote(Stale)
		v.Fence = a.fenceLeft(before)
		return v
	}
	return s.vote(Granted)
}

// fenceLeft is the fence that a native acquire has left: what it has found, or its own.
func (a *Acquire) fenceLeft(before uint64) uint64 { return min(max(before, a.highest()), MaxFence) }

// errForeignTable is what the scripts say, too.
const errForeignTable = resp.ServerError("WRONGTYPE the table of fences has a value that is no number of ours")
