package instance

import (
	"strconv"

	"github.com/holdfast-go/holdfast/internal/resp"
)

// raise raises the fences of many native acquires in the table, by one command in front of them. For each of them:
//
//	GET cell   INCRBY cell −highest   INCRBY cell +highest        with OVERFLOW SAT
//
// Subtraction ends at 0, so what comes of it is max(fence, highest): a number never sinks. The answer to GET is the fence
// of before. An acquire counts only if that was below its proposal: of two with the same number, one at most finds it so. It
// takes no lock, no clock and no order of messages for that.
//
// The bundles of a pipeline make it; nobody posts one.
type raise struct {
	prefix string
	asked  []raised
	failed *Vote // what the server refuses all of them with; nil: it has raised
}

type raised struct {
	cell    int
	highest uint64
	before  uint64 // the fence that was there
}

// maxRaise is how many acquires one command raises for: it blocks the server while it runs, 1.5 µs for each, and a reply
// has three numbers for each.
const maxRaise = 128

// join adds an acquire, and returns which of them it is.
func (r *raise) join(a *Acquire) int {
	r.prefix = a.Prefix
	r.asked = append(r.asked, raised{cell: cellOf(a.Key), highest: a.highest()})
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

func (r *raise) readReply(_ *sending, reply *resp.Reply) {
	for k := range r.asked {
		r.asked[k].before = uint64(reply.List[3*k].N)
	}
}

// refuse is the answer of each of its acquires. They cast it when their own is read.
func (r *raise) refuse(v Vote) { r.failed = &v }

func (r *raise) debt() (debt, bool) { return debt{}, false }

// raises are the raises of a pipeline, to be used again.
type raises struct {
	all  []*raise
	used int
}

// last is the one that has room for one acquire more; isNew: it is to be sent in front of that.
func (r *raises) last() (last *raise, isNew bool) {
	if r.used > 0 && len(r.all[r.used-1].asked) < maxRaise {
		return r.all[r.used-1], false
	}
	if r.used == len(r.all) {
		r.all = append(r.all, new(raise))
	}
	last = r.all[r.used]
	last.asked, last.failed = last.asked[:0], nil
	r.used++
	return last, true
}

// judge is the vote of a native acquire that has taken the lock, by what its raise has found.
func (a *Acquire) judge(s *sending) Vote {
	switch before := a.raise.asked[a.joined].before; {
	case a.isHealing():
		return s.vote(Granted)
	case a.raise.failed != nil:
		return *a.raise.failed
	case before > MaxFence:
		return s.refusal(errForeignTable)
	case before >= a.Fence:
		v := s.vote(Stale)
		v.Fence = a.fenceThere()
		return v
	}
	return s.vote(Granted)
}

// fenceThere is the fence that a native acquire has left, as far as that is known: what it has found, or its own.
func (a *Acquire) fenceThere() uint64 {
	if a.raise.failed != nil {
		return 0
	}
	return min(max(a.raise.asked[a.joined].before, a.highest()), MaxFence)
}

// errForeignTable is what the scripts say, too.
const errForeignTable = resp.ServerError("WRONGTYPE the table of fences has a value that is no number of ours")
