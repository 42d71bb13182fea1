package instance

import (
	"fmt"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/holdfast-go/holdfast/internal/clock"
	"github.com/holdfast-go/holdfast/internal/fault"
	"github.com/holdfast-go/holdfast/internal/resp"
	"github.com/holdfast-go/holdfast/internal/scripts"
)

// Acquire asks for the lock. Votes: Granted, Held, InQuarantine, Stale, Ahead, or
// what went wrong; with Former: Granted, Gone, Stolen, or what went wrong. It
// may be used again once it has been answered, and its undo, if one was posted, too.
//
// It is for the engine.
type Acquire struct {
	Key     string
	Token   string        // fresh for every attempt, and at most 1024 bytes, as everywhere; see Shared
	TTL     time.Duration // whole milliseconds
	GiveUp  time.Time     // when the attempt's validity is over: it is not sent any more
	AskLeft bool          // when held, ask for how long (Vote.Left) as well: that costs the server a script
	Proof   time.Time     // when it heals: the start of the renewal that proved to a quorum that the lock is ours; else zero
	Shared  bool          // the token is the user's own, so that finding it in the lock proves nothing
	Former  string        // the token that must have the lock now, and gives way to Token: an adoption, without fencing; "": nobody may have it
	Several *Several      // of several locks, all or none; nil: of one
	Any     *AnyOf        // of some of several locks; nil: of all that it names
	Sharing *Sharing      // with other readers, without fencing; nil: alone
	Fencing
	To Caster

	stage    atomic.Uint32  // posted, then either sent or withdrawn: the first to set it decides
	form     form           // how it was sent
	raise    *raise         // of a native one with fencing: what raises its fence, behind it; else nil
	joined   int            // which of those it is that are raised there
	again    bool           // it was answered, and its raise was not: it is sent again
	found    uint64         // the fence there, of a native one that was refused; 0: unknown
	question holderQuestion // behind a native one that was refused
}

// form is how an acquire is sent: in which command.
type form uint8

const (
	native       form = iota // SET … NX, perhaps in front of a raise
	scripted                 // the script, which says for how long another has it
	scriptRaises             // the script that raises the fence in the table as well
	scriptFences             // the one with a fence beside the lock, for clusters
	adoption
	scriptTakesAll // those for several locks, as the three above
	scriptFencesAll
	scriptRaisesAll
	scriptTakesAny
	scriptShares
)

// The stages of an Acquire. The actor sends it, its undo withdraws it; only one
// of them gets there from posted, so that the undo knows for certain whether
// there can be anything to undo.
const (
	posted uint32 = iota
	sent
	withdrawn
)

// withdraw reports whether the acquire has not been sent, and then never will be.
func (a *Acquire) withdraw() bool {
	return a.stage.CompareAndSwap(posted, withdrawn) || a.stage.Load() == withdrawn
}

// onStage is where the stage of an acquire is kept: one withdraws all parts of a question.
func (a *Acquire) onStage() *Acquire {
	if a.Several != nil && a.Several.whole != nil {
		return a.Several.whole
	}
	return a
}

// send reports whether the acquire may be sent: for the first time, or again.
func (a *Acquire) send() bool {
	stage := &a.onStage().stage
	return stage.CompareAndSwap(posted, sent) || stage.Load() == sent
}

func (a *Acquire) appendCommand(s *sending, out []byte) ([]byte, bool) {
	switch {
	case s.quarantined > 0 && a.Former == "" && !s.heals(a.Proof):
		v := s.vote(InQuarantine)
		v.Left = s.quarantined
		a.To.Cast(v)
		return out, false
	case a.Fence != 0 && s.misnamed:
		v := s.vote(Refused)
		v.Err = errClusterNode
		a.To.Cast(v)
		return out, false
	case !s.now.Before(a.GiveUp):
		v := s.vote(TimedOut)
		v.Err = fault.ErrTimeout
		a.To.Cast(v)
		return out, false
	case !a.send():
		a.To.Cast(s.vote(Unanswered))
		return out, false
	}
	switch a.form = a.formIn(s); a.form {
	case adoption:
		return appendAdoption(out, a.Key, a.Former, a.Token, a.TTL), true
	case native:
		return a.plain(out), true
	case scriptFences:
		return a.fenced(out), true
	case scriptRaises:
		return a.raising(out), true
	case scriptTakesAll, scriptFencesAll, scriptRaisesAll:
		return a.appendSeveral(out), true
	case scriptTakesAny:
		return a.appendAnyOf(s, out), true
	case scriptShares:
		return a.shared(out), true
	}
	return a.scripted(out), true
}

// formIn is how it is sent in this pipeline.
//
// A native answer does not say who holds it. When asked again, or with a token of the
// user's own, that matters: it may be us.
func (a *Acquire) formIn(s *sending) form {
	mayBeNative := !a.AskLeft && !s.again && !a.again && !a.Shared
	switch {
	case a.Former != "":
		return adoption
	case a.Several != nil:
		return a.formOfSeveral(s)
	case a.Any != nil:
		return scriptTakesAny
	case a.Sharing != nil:
		return scriptShares
	case a.Fence == 0, a.isHealing() && s.ordered:
		if mayBeNative {
			return native
		}
		return scripted
	case s.beside:
		return scriptFences
	case mayBeNative && a.raise != nil:
		return native
	}
	return scriptRaises
}

// isHealing reports whether it puts back the lock of a lease that a quorum has proved. Its fence has been granted long ago, so that
// refused attempts of others may have raised what is there: where no acquire can come late, the lock alone is put back. Then
// its number is raised as well, in case it was lost, whatever that finds.
func (a *Acquire) isHealing() bool { return !a.Proof.IsZero() }

// heals reports whether even a quarantined instance may have a lock back: when the
// renewal that proved the lock to be ours began after we knew of the restart.
//
// The instance may have granted it to somebody else's attempt, and have forgotten
// that. What the renewal prolonged elsewhere outlives every attempt that began
// before it did, so that such a one finds no quorum. One that began later may see
// a prolonged key expire, while our lease lives on by the healed one.
func (s *sending) heals(proof time.Time) bool {
	return !proof.IsZero() && !proof.Before(s.actor.link.Seen.At)
}

// plain is the cheapest question: one native command.
func (a *Acquire) plain(out []byte) []byte { return appendSet(out, a.Key, a.Token, a.TTL) }

func appendSet(out []byte, key, token string, ttl time.Duration) []byte {
	out = append(out, "*6\r\n$3\r\nset\r\n"...)
	out = resp.AppendArg(out, key)
	out = resp.AppendArg(out, token)
	out = append(out, "$2\r\nnx\r\n$2\r\npx\r\n"...)
	return resp.AppendNumber(out, ttl.Milliseconds())
}

func (a *Acquire) scripted(out []byte) []byte {
	out = scripts.Acquire.AppendCall(out, 1, 2)
	out = resp.AppendArg(out, a.Key)
	out = resp.AppendArg(out, a.Token)
	return resp.AppendNumber(out, a.TTL.Milliseconds())
}

func (a *Acquire) fenced(out []byte) []byte {
	out = scripts.AcquireFenced.AppendCall(out, 2, 6)
	out = resp.AppendArg(out, a.Key)
	out = resp.AppendArg(out, a.beside(a.Key))
	out = resp.AppendArg(out, a.Token)
	out = resp.AppendNumber(out, a.TTL.Milliseconds())
	out = resp.AppendNumber(out, int64(a.Fence))
	out = resp.AppendNumber(out, a.FenceTTL.Milliseconds())
	out = resp.AppendNumber(out, a.MaxAhead.Microseconds())
	return resp.AppendNumber(out, int64(a.highest()))
}

func (a *Acquire) raising(out []byte) []byte {
	out = scripts.AcquireRaise.AppendCall(out, 2, 7)
	out = resp.AppendArg(out, a.Key)
	out = a.appendTable(out)
	out = resp.AppendArg(out, a.Token)
	out = resp.AppendNumber(out, a.TTL.Milliseconds())
	out = resp.AppendNumber(out, int64(a.Fence))
	out = resp.AppendNumber(out, int64(a.highest()))
	out = appendCell(out, a.Key)
	return resp.AppendNumber(out, a.MaxAhead.Microseconds())
}

// appendAdoption appends the question to put one token in the place of another.
func appendAdoption(out []byte, key, from, to string, ttl time.Duration) []byte {
	out = scripts.Adopt.AppendCall(out, 1, 3)
	out = resp.AppendArg(out, key)
	out = resp.AppendArg(out, from)
	out = resp.AppendArg(out, to)
	return resp.AppendNumber(out, ttl.Milliseconds())
}

func (a *Acquire) fits(r *resp.Reply) bool {
	switch a.form {
	case adoption:
		return r.Kind == resp.Number
	case native:
		return r.Kind == resp.Status || r.Kind == resp.Nil
	}
	return r.Kind == resp.List && len(r.List) > 0 && r.List[0].Kind == resp.Number
}

func (a *Acquire) readReply(s *sending, r *resp.Reply) {
	if a.Several != nil {
		a.noteInTheWay(r)
	}
	switch {
	case a.form == adoption:
		a.To.Cast(a.adopted(s, r))
	case a.form == scriptRaises, a.form == scriptRaisesAll:
		a.To.Cast(a.readRaising(s, r))
	case a.form == scriptTakesAny:
		a.To.Cast(a.readAnyOf(s, r))
	case a.form != native:
		a.To.Cast(a.read(s, r.List[0].N, r.List[1:]))
	case a.raise != nil && !a.isHealing() && r.Kind == resp.Status:
		a.raise.heard(a.joined, taken)
	case a.raise != nil && !a.isHealing():
		a.raise.heard(a.joined, refused)
	case r.Kind == resp.Status: // there was no holder, and now it is us
		a.To.Cast(s.vote(Granted))
	default:
		a.askHolder(s.actor, 0)
	}
}

// adopted reads the reply to an adoption. Where it finds its own token it has been
// heard before, and it was proved then that the lock was the former one's.
func (a *Acquire) adopted(s *sending, r *resp.Reply) Vote {
	switch r.N {
	case 1:
		return s.vote(Granted)
	case 0:
		return s.vote(Gone)
	}
	return s.vote(Stolen)
}

// readRaising reads the reply of the script that raises the fence in the table: the server's clock comes behind what it has done.
//
// Its own token there, when it is asked a second time, is no grant: a native command may have put it there, and what raised the
// fence before that has not been answered. So a higher number must be proposed.
func (a *Acquire) readRaising(s *sending, r *resp.Reply) Vote {
	if len(r.List) < 2 {
		return garbled(s)
	}
	clock := fenceOf(&r.List[1])
	s.actor.link.clock.note(int64(clock), time.Now())
	code, fields := r.List[0].N, r.List[2:]
	if code == 3 {
		fields = r.List[1:]
	}
	v := a.read(s, code, fields)
	v.Again = v.Again || a.again
	if v.Kind == Held && v.Holder == a.Token && (s.again || a.again) && !a.Shared {
		return Vote{Instance: v.Instance, Kind: Stale, Again: true, Fence: v.Fence}
	}
	return v
}

// read reads a script's reply.
func (a *Acquire) read(s *sending, code int64, fields []resp.Reply) Vote {
	switch {
	case code == 1:
		return s.vote(Granted)
	case code == 0 && len(fields) >= 2:
		v := a.held(s, &fields[0], leftOf(&fields[1]))
		if len(fields) > 2 {
			v.Fence = fenceOf(&fields[2])
		}
		return v
	case code == 2 && len(fields) == 1:
		v := s.vote(Stale)
		v.Fence = fenceOf(&fields[0])
		return v
	case code == 3 && len(fields) == 1:
		v := s.vote(Ahead)
		v.Fence = fenceOf(&fields[0])
		v.Err = a.tooFarAhead(v.Fence)
		return v
	}
	return garbled(s)
}

// tooFarAhead says by how much, and what can be done.
func (a *Acquire) tooFarAhead(clock uint64) error {
	ahead := time.Duration(a.Fence-min(clock, a.Fence)) * time.Microsecond
	return fmt.Errorf("the fencing token to be granted is %v ahead of this server's clock, and at most %v may be: "+
		"set the clocks of servers and clients right, or wait until this one has caught up", ahead.Round(time.Millisecond), a.MaxAhead)
}

// held is the vote when there is a holder. Finding ourselves there after the
// question went out twice means that the first one was heard: the token is
// fresh, so nobody else can have put it there. A user's own token proves nothing.
func (a *Acquire) held(s *sending, holder *resp.Reply, left time.Duration) Vote {
	v := s.held(holder, left)
	if v.Holder == a.Token && s.again && !a.Shared && a.form != scriptRaises {
		return s.vote(Granted)
	}
	return v
}

func (a *Acquire) refuse(v Vote)      { a.To.Cast(v) }
func (a *Acquire) debt() (debt, bool) { return debt{}, false }

// fenceOf reads a number that a script returns as a string, so as not to lose digits: 0 if it is
// none of ours.
func fenceOf(r *resp.Reply) uint64 {
	n, err := strconv.ParseUint(string(r.Text), 10, 64)
	if err != nil {
		return 0
	}
	return min(n, MaxFence)
}

// leftOf reads a PTTL reply: negative is unknown.
func leftOf(r *resp.Reply) time.Duration {
	if r.Kind != resp.Number || r.N < 0 {
		return -1
	}
	return clock.Units(r.N, time.Millisecond)
}

func garbled(s *sending) Vote {
	v := s.vote(Refused)
	v.Err = resp.ErrNotRedis
	return v
}
