package instance

import (
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"
)

// Release deletes the lock if it is ours. Votes: Granted (deleted), Expired
// (nothing there), Stolen (somebody else's), or what went wrong: then it stays
// owed, and is made good as soon as the instance is back, unless the TTL has
// passed by then.
type Release struct {
	Key   string
	Token string
	TTL   time.Duration // how long the key can still live
	Undo  *Acquire      // when it undoes an attempt: nothing is sent if that was not
	Since time.Time     // when it releases a lease: the start of the attempt that acquired it
	Fencing
	To Caster

	at   time.Time // when it was posted
	moot bool      // what it would undo has not been sent, and never will be
	cmd  *redis.IntCmd
}

func (r *Release) reset() {
	r.at = time.Now()
	r.moot = r.Undo != nil && r.Undo.withdraw()
}

func (r *Release) queue(s *sending) redis.Cmder {
	if r.moot {
		r.To.Cast(s.vote(Expired))
		return nil
	}
	if r.FenceKey != "" {
		r.cmd = redis.NewIntCmd(background, "evalsha", releaseFencedScript.sha, 2, r.Key, r.FenceKey,
			r.Token, strconv.FormatUint(r.Fence, 10), milliseconds(r.FenceTTL))
		return r.cmd
	}
	if r.cmd == nil || len(r.cmd.Args()) != 5 {
		r.cmd = redis.NewIntCmd(background, "evalsha", releaseScript.sha, 1, &r.Key, &r.Token)
	}
	r.cmd.SetErr(nil)
	return r.cmd
}

func (r *Release) settle(s *sending) { r.cast(s, r.cmd.Val()) }

// cast reads the number that either script replies.
func (r *Release) cast(s *sending, reply int64) {
	switch {
	case reply == 1, reply == 0 && s.again: // the first one may have been heard
		r.To.Cast(s.vote(Granted))
	case reply == 0:
		r.To.Cast(s.vote(Expired))
	default:
		r.To.Cast(s.vote(Stolen))
	}
}

func (r *Release) refuse(v Vote) { r.To.Cast(v) }
func (r *Release) urgent() bool  { return true }

func (r *Release) debt() (debt, bool) {
	if r.moot {
		return debt{}, false
	}
	return debt{key: r.Key, token: r.Token, fencing: r.Fencing, since: r.Since, until: r.at.Add(r.TTL)}, true
}
