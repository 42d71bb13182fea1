package instance

import (
	"time"

	"github.com/holdfast-go/holdfast/internal/fault"
	"github.com/holdfast-go/holdfast/internal/resp"
	"github.com/holdfast-go/holdfast/internal/scripts"
)

// MaxRenewals is how many leases one Renew may carry: a script call blocks the
// server while it runs, about 2.5 µs for each.
//
// It is for the engine.
const MaxRenewals = 128

// Renew lets locks that are ours live on, many in one script call. For each of
// them it casts one vote: Granted, Gone, Stolen, Stepped, or what went wrong.
//
// The items may as well be spread over several Renews with the same caster: each
// carries its own number.
//
// It is for the engine.
type Renew struct {
	Items []Renewal // 1 to MaxRenewals; read until they have been answered
	Text  []byte    // what EncodeRenewals makes of Items, for an engine that asks several instances the same; nil is fine
	To    RenewCaster
}

// AskOnly, as the TTL of a Renewal without a fence, asks whose the lock is and changes nothing.
//
// It is for the engine.
const AskOnly = -time.Millisecond

// Renewal is one lock of a Renew.
//
// It is for the engine.
type Renewal struct {
	Number  int // the caster's own
	Key     string
	Token   string
	TTL     time.Duration // whole milliseconds, or AskOnly
	Since   time.Time     // when the attempt began that Until counts from
	Until   time.Time     // the lease's deadline, to hold against what the lock has left; zero: do not
	Sharing *Sharing      // of a reader; nil: it has the lock alone. All items are of the one, or of the other
	Fencing
}

// RenewCaster takes the votes of a Renew, under the rules of Caster, some or all
// of them at a time: one vote for each of the items, or a single one that is the
// answer to all of them. It must not keep either slice.
//
// It is for the engine.
type RenewCaster interface {
	CastRenewals(items []Renewal, votes []Vote)
}

// EncodeRenewals appends the script call for these items, of which there is one at least, to out, as it is for a server on its own.
//
// It is for the engine.
func EncodeRenewals(out []byte, items []Renewal) []byte {
	if items[0].Sharing != nil {
		return encodeShared(out, items)
	}
	n := len(items)
	out = scripts.Renew.AppendCall(out, n, 2*n)
	for k := range items {
		out = resp.AppendArg(out, items[k].Key)
	}
	for k := range items {
		out = resp.AppendArg(out, items[k].Token)
		out = resp.AppendNumber(out, items[k].TTL.Milliseconds())
	}
	return out
}

// encodeFenced is EncodeRenewals where fences are beside their locks, and must outlive them.
func encodeFenced(out []byte, items []Renewal) []byte {
	n := len(items)
	out = scripts.RenewFenced.AppendCall(out, 2*n, 3*n)
	for k := range items {
		out = resp.AppendArg(out, items[k].Key)
		out = resp.AppendArg(out, items[k].beside(items[k].Key))
	}
	for k := range items {
		out = resp.AppendArg(out, items[k].Token)
		out = resp.AppendNumber(out, items[k].TTL.Milliseconds())
		out = resp.AppendNumber(out, items[k].FenceTTL.Milliseconds())
	}
	return out
}

func (r *Renew) appendCommand(s *sending, out []byte) ([]byte, bool) {
	switch {
	case s.beside && r.Items[0].Fence != 0:
		return encodeFenced(out, r.Items), true
	case r.Text != nil:
		return append(out, r.Text...), true
	}
	return EncodeRenewals(out, r.Items), true
}

func (r *Renew) fits(votes *resp.Reply) bool {
	return votes.Kind == resp.List && len(votes.List) == 1+len(r.Items) && votes.List[0].Kind == resp.Number
}

func (r *Renew) readReply(s *sending, votes *resp.Reply) {
	in := &s.actor.reader
	if micros := votes.List[0].N; micros > 0 {
		in.noteClock(s, micros)
	}
	in.votes = in.votes[:0]
	for k := range r.Items {
		in.votes = append(in.votes, r.read(s, &r.Items[k], &votes.List[1+k]))
	}
	r.To.CastRenewals(r.Items, in.votes)
}

func (r *Renew) read(s *sending, item *Renewal, vote *resp.Reply) Vote {
	switch {
	case vote.Kind == resp.Text && fault.IsWrongType(vote.Err()): // no lock of anybody's, and so not ours
		v := s.vote(Stolen)
		v.Err = vote.Err()
		return v
	case vote.Kind == resp.Text:
		v := s.refusal(vote.Err())
		v.Err = s.actor.secrets.Redact(scripts.Unpermitted(string(vote.Text), "'get'")) // the one command whose error is not the whole script's
		return v
	case vote.Kind != resp.Number:
		return garbled(s)
	}
	switch in := &s.actor.reader; vote.N {
	case -1:
		return s.vote(Gone)
	case -2:
		return s.vote(Stolen)
	case -3:
		return s.vote(Granted)
	default:
		if in.stepped.concerns(item, leftOf(vote), in.clock.got.Time) {
			return in.stepped.doubt(in.name)
		}
		return s.vote(Granted)
	}
}

func (r *Renew) refuse(v Vote) { r.To.CastRenewals(r.Items, []Vote{v}) }

func (r *Renew) debt() (debt, bool) { return debt{}, false }
