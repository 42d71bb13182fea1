package instance

import (
	"errors"
	"time"

	"github.com/redis/go-redis/v9"
)

// MaxRenewals is how many leases one Renew may carry: a script call blocks the
// server while it runs, about 2.5 µs for each.
const MaxRenewals = 128

// Renew lets locks that are ours live on, many in one script call. For each of
// them it casts one vote: Granted, Expired, Stolen, or what went wrong. All
// items have a fence, or none has.
type Renew struct {
	Items []Renewal // at most MaxRenewals
	To    RenewCaster

	ttls []int64
	cmd  *redis.SliceCmd
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

func (r *Renew) queue(*sending) redis.Cmder {
	if r.Items[0].FenceKey != "" {
		r.cmd = redis.NewSliceCmd(background, r.fencedArgs()...)
	} else {
		r.cmd = redis.NewSliceCmd(background, r.args()...)
	}
	return r.cmd
}

func (r *Renew) args() []any {
	n := len(r.Items)
	r.ttls = append(r.ttls[:0], make([]int64, n)...)
	args := append(make([]any, 0, 3+3*n), "evalsha", renewScript.sha, n)
	for k := range r.Items {
		args = append(args, &r.Items[k].Key)
	}
	for k := range r.Items {
		r.ttls[k] = milliseconds(r.Items[k].TTL)
		args = append(args, &r.Items[k].Token, &r.ttls[k])
	}
	return args
}

func (r *Renew) fencedArgs() []any {
	n := len(r.Items)
	args := append(make([]any, 0, 3+5*n), "evalsha", renewFencedScript.sha, 2*n)
	for k := range r.Items {
		args = append(args, r.Items[k].Key, r.Items[k].FenceKey)
	}
	for k := range r.Items {
		item := &r.Items[k]
		args = append(args, item.Token, milliseconds(item.TTL), milliseconds(item.FenceTTL))
	}
	return args
}

func (r *Renew) settle(s *sending) {
	votes := r.cmd.Val()
	if len(votes) != len(r.Items) {
		r.refuse(garbled(s))
		return
	}
	for k, reply := range votes {
		r.To.CastRenewal(k, r.read(s, reply))
	}
}

func (r *Renew) read(s *sending, reply any) Vote {
	switch reply := reply.(type) {
	case int64:
		switch reply {
		case 1:
			return s.vote(Granted)
		case 0:
			return s.vote(Expired)
		default:
			return s.vote(Stolen)
		}
	case string:
		v := s.vote(Misconfigured)
		v.Err = errors.New(reply)
		return v
	}
	return garbled(s)
}

func (r *Renew) reset() {}

func (r *Renew) refuse(v Vote) {
	for k := range r.Items {
		r.To.CastRenewal(k, v)
	}
}

func (r *Renew) debt() (debt, bool) { return debt{}, false }
func (r *Renew) urgent() bool       { return true }
