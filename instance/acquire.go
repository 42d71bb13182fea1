package instance

import (
	"strconv"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
)

// Acquire asks for the lock. Votes: Granted, Held, Recovering, Stale, Ahead, or
// what went wrong. It may be used again once it has been answered, and its undo,
// if one was posted, too.
type Acquire struct {
	Key    string
	Token  string        // fresh for every attempt; see Shared
	TTL    time.Duration // whole milliseconds
	GiveUp time.Time     // when the attempt's validity is over: it is not sent any more
	Look   bool          // when held, say for how long: dearer for the server than not looking
	Heal   bool          // a majority has just proved that the lock is ours: even a recovering instance may have it back
	Shared bool          // the token is the user's own, so that finding it in the lock proves nothing
	Fencing
	To Caster

	stage atomic.Uint32 // posted, then either sent or withdrawn: who comes first decides
	ttl   int64

	native  *redis.RawWriteToCmd // SET key token NX GET PX ttl
	reply   reply                // to native
	script  *redis.Cmd           // acquire.lua
	current redis.Cmder
}

// Fencing is what a command carries when the lock has a fencing token.
type Fencing struct {
	FenceKey string        // "" is none
	Fence    uint64        // the proposal, at most MaxFence
	FenceTTL time.Duration // how long the fence is remembered when nobody uses it
	MaxAhead time.Duration // how far a proposal may be ahead of the server's clock
}

// MaxFence is the highest fence: Lua numbers are exact up to there.
const MaxFence = 1<<53 - 1

// The stages of an Acquire. The actor sends it, its undo withdraws it; only one
// of them gets there from posted, so that the undo knows for certain whether
// there can be anything to undo.
const (
	posted uint32 = iota
	sent
	withdrawn
)

func (a *Acquire) reset() {
	a.stage.Store(posted)
	a.ttl = milliseconds(a.TTL)
}

// withdraw reports whether the acquire has not been sent, and then never will be.
func (a *Acquire) withdraw() bool { return a.stage.CompareAndSwap(posted, withdrawn) }

// send reports whether the acquire may be sent: for the first time, or again.
func (a *Acquire) send() bool {
	return a.stage.CompareAndSwap(posted, sent) || a.stage.Load() == sent
}

func (a *Acquire) queue(s *sending) redis.Cmder {
	switch {
	case s.recovering > 0 && !a.Heal:
		v := s.vote(Recovering)
		v.Left = s.recovering
		a.To.Cast(v)
		return nil
	case !s.now.Before(a.GiveUp):
		v := s.vote(TimedOut)
		v.Err = errTimeout
		a.To.Cast(v)
		return nil
	case !a.send():
		a.To.Cast(s.vote(Unanswered))
		return nil
	}
	switch {
	case a.FenceKey != "":
		a.current = a.fenced()
	case s.native && !a.Look:
		a.current = a.plain()
	default:
		a.current = a.scripted()
	}
	return a.current
}

// plain is the cheapest question: one native command, whose arguments point
// into a, so that it is built once for all its uses.
func (a *Acquire) plain() redis.Cmder {
	if a.native == nil {
		a.native = redis.NewRawWriteToCmd(background, &a.reply, "set", &a.Key, &a.Token, "nx", "get", "px", &a.ttl)
	}
	a.native.SetErr(nil)
	a.reply = a.reply[:0]
	return a.native
}

func (a *Acquire) scripted() redis.Cmder {
	if a.script == nil {
		a.script = redis.NewCmd(background, "evalsha", acquireScript.sha, 1, &a.Key, &a.Token, &a.ttl)
	}
	a.script.SetErr(nil)
	return a.script
}

func (a *Acquire) fenced() redis.Cmder {
	return redis.NewCmd(background, "evalsha", acquireFencedScript.sha, 2, a.Key, a.FenceKey,
		a.Token, a.ttl, strconv.FormatUint(a.Fence, 10), milliseconds(a.FenceTTL), a.MaxAhead.Microseconds())
}

func (a *Acquire) settle(s *sending) {
	if a.native != nil && a.current == redis.Cmder(a.native) {
		holder, isNil, err := a.reply.bulk()
		switch {
		case err != nil:
			a.To.Cast(s.refusal(err))
		case isNil: // there was no holder, and now it is us
			a.To.Cast(s.vote(Granted))
		default:
			a.To.Cast(a.held(s, holder, -1))
		}
		return
	}
	a.To.Cast(a.read(s, a.current.(*redis.Cmd).Val()))
}

// read reads a script's reply.
func (a *Acquire) read(s *sending, reply any) Vote {
	fields, _ := reply.([]any)
	if len(fields) == 0 {
		return garbled(s)
	}
	switch code, _ := fields[0].(int64); {
	case code == 1:
		return s.vote(Granted)
	case code == 0 && len(fields) >= 3:
		holder, _ := fields[1].(string)
		v := a.held(s, holder, left(fields[2]))
		if len(fields) > 3 {
			v.Fence = number(fields[3])
		}
		return v
	case code == 2 && len(fields) == 2:
		v := s.vote(Stale)
		v.Fence = number(fields[1])
		return v
	case code == 3 && len(fields) == 2:
		v := s.vote(Ahead)
		v.Fence = number(fields[1])
		return v
	}
	return garbled(s)
}

// held is the vote when there is a holder. Finding ourselves there after the
// question went out twice means that the first one was heard: the token is
// fresh, so nobody else can have put it there. A user's own token proves nothing.
func (a *Acquire) held(s *sending, holder string, left time.Duration) Vote {
	if holder == a.Token && s.again && !a.Shared {
		return s.vote(Granted)
	}
	v := s.vote(Held)
	v.Holder, v.Left = holder, left
	return v
}

func (a *Acquire) refuse(v Vote)      { a.To.Cast(v) }
func (a *Acquire) debt() (debt, bool) { return debt{}, false }
func (a *Acquire) urgent() bool       { return false }

func number(reply any) uint64 {
	text, _ := reply.(string)
	n, _ := strconv.ParseUint(text, 10, 64)
	return n
}

func garbled(s *sending) Vote {
	v := s.vote(Misconfigured)
	v.Err = errNotRedis
	return v
}
