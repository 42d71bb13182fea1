package instance

import (
	"github.com/holdfast-go/holdfast/internal/resp"
	"github.com/holdfast-go/holdfast/internal/scripts"
)

// maxBundle is how many releases go into one script call: it blocks the server
// while it runs.
const maxBundle = 128

// bundle is many releases in one script call, which is less than half the work
// for the server. It is made by the actor, of messages that wait together.
type bundle struct {
	releases []*Release
}

func (b *bundle) appendCommand(_ *sending, out []byte) ([]byte, bool) {
	n := len(b.releases)
	out = scripts.ReleaseMany.AppendCall(out, n, n)
	for _, r := range b.releases {
		out = resp.AppendArg(out, r.Key)
	}
	for _, r := range b.releases {
		out = resp.AppendArg(out, r.Token)
	}
	return out, true
}

func (b *bundle) fits(votes *resp.Reply) bool {
	return votes.Kind == resp.List && len(votes.List) == len(b.releases)
}

func (b *bundle) readReply(s *sending, votes *resp.Reply) {
	for k, r := range b.releases {
		switch vote := &votes.List[k]; vote.Kind {
		case resp.Number:
			r.cast(s, vote.N)
		case resp.Text:
			s.actor.refused(r, s.refusal(vote.Err()))
		default:
			r.refuse(garbled(s))
		}
	}
}

func (b *bundle) refuse(v Vote) {
	for _, r := range b.releases {
		r.refuse(v)
	}
}

func (b *bundle) debt() (debt, bool) { return debt{}, false } // its releases have
