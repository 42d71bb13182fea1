package instance

import (
	"time"

	"github.com/holdfast-go/holdfast/internal/resp"
	"github.com/holdfast-go/holdfast/internal/scripts"
)

// Release deletes the lock if it is ours. Votes: Granted (deleted), Gone
// (nothing there), Stolen (somebody else's), or what went wrong: then it stays
// owed, and is made good as soon as the instance is back, unless the TTL has
// passed by then.
//
// It is for the engine.
type Release struct {
	Key   string
	Token string
	TTL   time.Duration // how long the key can still live
	Undo  *Acquire      // when it undoes an attempt: nothing is sent if that was not
	Since time.Time     // when it releases a lease: the start of the attempt that acquired it
	// Former is the token that is put back, where Undo was an adoption: the lock
	// is not ours to delete. "" is none.
	Former  string
	Sharing *Sharing // of a reader: the lock goes with the last of them; nil: of one that had it alone
	Fencing
	To Caster

	moot   bool // what it would undo has not been sent, and never will be
	native bool // it was sent as a native command
	looks  bool // the native command has found no lock of ours: whose it is, is asked now
}

func (r *Release) appendCommand(s *sending, out []byte) ([]byte, bool) {
	r.native = false
	switch {
	case r.moot:
		r.To.Cast(s.vote(Gone))
		return out, false
	case r.looks:
		return r.appendLook(out), true
	case r.Former != "":
		return appendAdoption(out, r.Key, r.Token, r.Former, time.Millisecond), true // it has more left
	case r.Sharing != nil:
		return r.shared(out), true
	case !r.isPlain(s):
		return r.appendTombstone(s, out), true
	}
	if r.native = r.isNative(s); r.native {
		return s.deletion.Append(out, r.Key, r.Token), true
	}
	out = scripts.Release.AppendCall(out, 1, 1)
	out = resp.AppendArg(out, r.Key)
	return resp.AppendArg(out, r.Token), true
}

// appendTombstone appends the release that raises the fence as well.
func (r *Release) appendTombstone(s *sending, out []byte) []byte {
	if s.beside {
		out = scripts.ReleaseFenced.AppendCall(out, 2, 3)
		out = resp.AppendArg(out, r.Key)
		out = resp.AppendArg(out, r.beside(r.Key))
		out = resp.AppendArg(out, r.Token)
		out = resp.AppendNumber(out, int64(r.highest()))
		return resp.AppendNumber(out, r.FenceTTL.Milliseconds())
	}
	out = scripts.ReleaseRaise.AppendCall(out, 2, 4)
	out = resp.AppendArg(out, r.Key)
	out = r.appendTable(out)
	out = resp.AppendArg(out, r.Token)
	out = resp.AppendNumber(out, int64(r.highest()))
	return appendCell(out, r.Key)
}

// isPlain reports whether it only deletes, and leaves no tombstone: because there
// is no fence, or no need of one. The tombstone is for an acquire that may be executed later than
// its release. One that was posted when the link was open already has travelled in
// front of its release, and has left its number at the fence if it took the lock.
func (r *Release) isPlain(s *sending) bool {
	return r.Former == "" && r.Sharing == nil && isPlain(s, r.Fence, r.Since)
}

func isPlain(s *sending, fence uint64, since time.Time) bool {
	return fence == 0 || !s.again && !s.opened.IsZero() && since.After(s.opened)
}

func (r *Release) fits(reply *resp.Reply) bool { return reply.Kind == resp.Number }

func (r *Release) readReply(s *sending, reply *resp.Reply) {
	switch {
	case r.looks:
		r.castLook(s, reply.N)
	case r.native && reply.N != 1:
		r.look(s)
	default:
		r.cast(s, reply.N)
	}
}

// cast reads the number that either script replies.
func (r *Release) cast(s *sending, reply int64) {
	switch {
	case reply == 1, reply == 0 && s.again: // the first one may have been heard
		r.To.Cast(s.vote(Granted))
	case reply == 0:
		r.To.Cast(s.vote(Gone))
	default:
		r.To.Cast(s.vote(Stolen))
	}
}

func (r *Release) refuse(v Vote) {
	if r.looks { // it is not ours, whatever hinders the look
		v = Vote{Instance: v.Instance, Kind: Gone}
	}
	r.To.Cast(v)
}

func (r *Release) debt() (debt, bool) {
	if r.moot || r.looks {
		return debt{}, false
	}
	return debt{key: r.Key, token: r.Token, former: r.Former, sharing: r.Sharing, fencing: r.Fencing, since: r.Since, until: time.Now().Add(r.TTL)}, true
}
