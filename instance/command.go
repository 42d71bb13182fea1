package instance

import (
	"strings"
	"time"

	"github.com/holdfast-go/holdfast/internal/reach"
	"github.com/holdfast-go/holdfast/internal/resp"
)

// Command is a message to an instance: *Acquire, *Release, *Renew, *Inspect, or one about a queue.
// Each knows how to put its question and how to read the answer; the actor's
// loop knows neither.
//
// appendCommand runs on the goroutine that sends, the actor's or the poster's, readReply on
// the reader's; refuse runs on any of them. Exactly one of readReply and refuse ends a message
// that appendCommand did not end by itself, and a message casts exactly one vote to each of its
// questions.
//
// It is for the engine.
type Command interface {
	// appendCommand appends the question to out and reports that it did, or that there is
	// nothing to send: then it has cast its vote. It is called a second time when
	// the connection broke, or the server had forgotten our scripts, before the
	// answer came: every command is such that this is harmless.
	appendCommand(s *sending, out []byte) ([]byte, bool)
	// fits reports whether a reply can be the one to what appendCommand appended, and is not
	// an error. One that cannot was not asked for, and nor may be what comes behind it.
	fits(r *resp.Reply) bool
	// readReply reads the reply, which fits.
	readReply(s *sending, r *resp.Reply)
	// refuse casts v as the answer.
	refuse(v Vote)
	// debt returns what must still be done once the instance is back, if this
	// message has not been confirmed.
	debt() (debt, bool)
}

// sending is what a command may know about the batch that it is sent with.
type sending struct {
	actor       *actor
	now         time.Time
	again       bool            // the batch is sent for the second time
	opened      time.Time       // when the link was, if what is posted can travel on no other; zero: it may
	quarantined time.Duration   // how long the restart guard still forbids new grants; 0: it does not
	deletion    *reach.Deletion // the native command that plain releases are; nil: they are scripts
	ordered     bool            // no acquire can be executed behind its release: connections before this one have been killed
	raises      bool            // the server has BITFIELD as well, so that fences may be raised by it
	beside      bool            // fences are beside their locks, as in clusters
	misnamed    bool            // it is a node of a cluster, and named as a server on its own
	serverClock uint64          // what the server's clock shows at least, in µs; 0: unknown
	clockAges   bool            // it is to be asked again
	demoted     bool            // out: the server is a master no longer
}

func (s *sending) vote(k Kind) Vote { return Vote{Instance: s.actor.name, Kind: k, Again: s.again} }

// refusal is the vote when the server replied with an error.
func (s *sending) refusal(err error) Vote {
	if strings.HasPrefix(err.Error(), "READONLY") {
		s.demoted = true
	}
	v := s.actor.classify(err)
	if v.Kind == Refused {
		s.actor.complaints.log(s.actor.log, v.Err, s.now)
	}
	return v
}
