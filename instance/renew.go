package instance

import "time"

// MaxRenewals is how many leases one Renew may carry: a script call blocks the
// server while it runs, about 2.5 µs for each.
const MaxRenewals = 128

// Renew lets locks that are ours live on, many in one script call. For each of
// them it casts one vote: Granted, Expired, Stolen, or what went wrong. All
// items have a fence, or none has.
type Renew struct {
	Items []Renewal // at most MaxRenewals
	To    RenewCaster
}

// Renewal is one lock of a Renew.
type Renewal struct {
	Key   string
	Token string
	TTL   time.Duration // whole milliseconds
	Fencing
}

// RenewCaster takes the votes of a Renew, under the rules of Caster.
type RenewCaster interface {
	CastRenewal(item int, v Vote)
}

func (r *Renew) queue(_ *sending, out []byte) ([]byte, bool) {
	n := len(r.Items)
	fenced := r.Items[0].FenceKey != ""
	if fenced {
		out = appendScript(out, renewFencedScript, 2*n, 3*n)
	} else {
		out = appendScript(out, renewScript, n, 2*n)
	}
	for k := range r.Items {
		out = appendArg(out, r.Items[k].Key)
		if fenced {
			out = appendArg(out, r.Items[k].FenceKey)
		}
	}
	for k := range r.Items {
		out = appendArg(out, r.Items[k].Token)
		out = appendNumber(out, r.Items[k].TTL.Milliseconds())
		if fenced {
			out = appendNumber(out, r.Items[k].FenceTTL.Milliseconds())
		}
	}
	return out, true
}

func (r *Renew) settle(s *sending, votes *reply) {
	if votes.kind != listReply || len(votes.list) != len(r.Items) {
		r.refuse(garbled(s))
		return
	}
	for k := range votes.list {
		r.To.CastRenewal(k, r.read(s, &votes.list[k]))
	}
}

func (r *Renew) read(s *sending, vote *reply) Vote {
	switch {
	case vote.kind == textReply:
		v := s.refusal(vote.err())
		v.Err = unpermittedCommand(string(vote.text), "'get'") // the one command whose error is not the whole script's
		return v
	case vote.kind != numberReply:
		return garbled(s)
	case vote.n == 1:
		return s.vote(Granted)
	case vote.n == 0:
		return s.vote(Expired)
	}
	return s.vote(Stolen)
}

func (r *Renew) reset() {}

func (r *Renew) refuse(v Vote) {
	for k := range r.Items {
		r.To.CastRenewal(k, v)
	}
}

func (r *Renew) debt() (debt, bool) { return debt{}, false }
func (r *Renew) urgent() bool       { return true }
