package instance

import (
	"time"

	"github.com/holdfast-go/holdfast/internal/resp"
)

// relocation tells the actor that the server is somewhere else: it drops the
// link, and the next one goes where the sentinels say, or the address leads.
type relocation struct {
	of time.Time // when the link was opened that is to be dropped; zero: whichever there is
}

func (r relocation) appendCommand(s *sending, out []byte) ([]byte, bool) {
	if r.of.IsZero() || r.of.Equal(s.actor.link.Seen.At) {
		s.demoted = true
	}
	return out, false
}
func (relocation) fits(*resp.Reply) bool           { return false } // it asks nothing
func (relocation) readReply(*sending, *resp.Reply) {}
func (relocation) refuse(Vote)                     {}
func (relocation) debt() (debt, bool)              { return debt{}, false }
