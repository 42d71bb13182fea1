package instance

import (
	"github.com/holdfast-go/holdfast/internal/resp"
)

// A release that only deletes is one native command where the server has it: DELIFEQ, a sixth of the release script's work.
// It answers 0 where nothing is there and where somebody else's lock is, alike. Then the key is looked at as well. A look
// changes nothing: what was posted behind the release has been executed by then, perhaps an acquire with the same token.

// deletesIfEqual reports whether releases are sent as DELIFEQ on this link.
func (l *link) deletesIfEqual() bool { return l.DeletesIfEqual && !l.delIfEqRefused.Load() }

// isNative reports whether it is sent as DELIFEQ, where it is plain. What is sent again is not: a script's 0 says enough then.
func (r *Release) isNative(s *sending) bool { return s.delIfEq && !s.again }

// appendDelIfEq appends the native command.
func (r *Release) appendDelIfEq(out []byte) []byte {
	out = append(out, "*3\r\n$7\r\ndelifeq\r\n"...)
	out = resp.AppendArg(out, r.Key)
	return resp.AppendArg(out, r.Token)
}

// look has the key looked at, behind what is waiting.
func (r *Release) look(s *sending) {
	r.looks = true
	whole := s.actor.role.voter() // which, if it is a cluster, knows whose the slot is now
	if whole.route != nil {
		whole.route(r)
		return
	}
	if v, taken := whole.mailbox.offer(r, whole.name); !taken {
		r.refuse(v)
	}
}

func (r *Release) appendLook(out []byte) []byte {
	out = append(out, "*2\r\n$4\r\npttl\r\n"...)
	return resp.AppendArg(out, r.Key)
}

// castLook reads the reply to the look: -2 is nothing there.
func (r *Release) castLook(s *sending, reply int64) {
	if reply == -2 {
		r.To.Cast(s.vote(Gone))
		return
	}
	r.To.Cast(s.vote(Stolen))
}
