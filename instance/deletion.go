package instance

import "github.com/holdfast-go/holdfast/internal/resp"

// A release that only deletes is one native command where the server has one that compares and deletes: a sixth of the release
// script's work. It answers 0 where nothing is there and where somebody else's lock is, alike. Then the key is looked at as
// well. A look changes nothing: what was posted behind the release has been executed by then, perhaps an acquire with the same
// token.

// isNative reports whether it is sent as a native command, where it is plain. What is sent again is not: a script's 0 says
// enough then.
func (r *Release) isNative(s *sending) bool { return s.deletion != nil && !s.again }

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
