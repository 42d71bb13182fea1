package instance

import (
	"github.com/holdfast-go/holdfast/internal/fault"
	"github.com/holdfast-go/holdfast/internal/resp"
)

// A release that only deletes is one native command where the server has it: DELIFEQ, a sixth of the release script's work.
// It answers 0 where nothing is there and where somebody else's lock is, alike. Then the script is asked as well, which
// tells the two apart; and so it is where DELIFEQ is not permitted.

// deletesIfEqual reports whether releases are sent as DELIFEQ on this link.
func (l *link) deletesIfEqual() bool { return l.DeletesIfEqual && !l.delIfEqRefused.Load() }

// appendDelIfEq appends the native command.
func (r *Release) appendDelIfEq(out []byte) []byte {
	out = append(out, "*3\r\n$7\r\ndelifeq\r\n"...)
	out = resp.AppendArg(out, r.Key)
	return resp.AppendArg(out, r.Token)
}

// asksScript has a release asked once more, by its script, behind what is waiting. It may then say "another's" of one
// that has taken the lock since: it is no less lost.
func (r *Release) asksScript(s *sending) {
	r.byScript, r.again = true, r.again || s.again
	whole := s.actor.role.voter() // which, if it is a cluster, knows whose the slot is now
	if whole.route != nil {
		whole.route(r)
		return
	}
	if v, taken := whole.mailbox.offer(r, whole.name); !taken {
		r.refuse(v)
	}
}

// refusesDelIfEq reports whether the error says that this is not permitted, or not there any more.
func refusesDelIfEq(err error) bool {
	refusal := fault.RefusalOf(err)
	return refusal != nil && (refusal.Says == "NOPERM" || refusal.Says == "ERR unknown command")
}

// askedOtherwise has a release whose DELIFEQ was refused asked by its script, and all that follow on this link.
func (r *reader) askedOtherwise(l *link, c Command, s *sending) bool {
	release, ok := original(c).(*Release)
	if !ok || !release.native || !refusesDelIfEq(r.reply.Err()) {
		return false
	}
	l.delIfEqRefused.Store(true)
	r.role.answeredHere(c)
	release.asksScript(s)
	return true
}
