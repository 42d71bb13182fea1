package instance

import (
	"bytes"
	"errors"
	"time"

	"github.com/holdfast-go/holdfast/internal/fault"
	"github.com/holdfast-go/holdfast/internal/resp"
)

var (
	errHalted    = errors.New("the link is to be replaced")
	errForgotten = errors.New("the server has forgotten the lock scripts")
	errForgetful = errors.New("the server forgets the lock scripts as soon as they are loaded")
)

// reader reads the replies on a link, and lets each message read its own. Its fields belong
// to the goroutine that reads: one for each link, or the actor when there is none.
type reader struct {
	*actor
	reply   resp.Reply  // the one that is being read
	votes   []Vote      // that are cast together
	clock   clockSample // of the server's clock, the last
	stepped step        // of the server's clock, the last
}

// read is the reader of a link: every message reads its reply as it comes in,
// and notices when the connection breaks, whether or not anything is under way.
// startReader starts it and awaitReader waits for it. It ends with the connection, with the
// first reply that is late, and when the link is halted, with the last one.
func (r *reader) read(l *link) {
	defer close(l.done)
	defer r.mailbox.end()
	l.err = r.readPipelines(l)
	if l.err != errForgotten { // the bare value
		_ = l.Net.Close() // a writer must not be held up
	}
}

func (r *reader) readPipelines(l *link) error {
	for {
		if l.full {
			l.Widen(patient{l, r.mailbox})
		}
		if err := l.Await(); err != nil {
			return err
		}
		p := r.mailbox.flow.next()
		if p == nil {
			return errUnasked
		}
		if over, err := r.readPipeline(l, p); err != nil || over {
			return err
		}
	}
}

// readPipeline reads the replies to one pipeline.
//
// A reply that cannot be to its question is the end of the link, before anything is
// made of it: where it comes from, others may come from that look right.
//
// When the server has forgotten our scripts, what comes behind is sent again, so
// that the order stays, and its replies are worth nothing.
//
// The pipeline is answered before its last message reads its reply: a lone caller, who
// goes on from there, finds nothing under way.
func (r *reader) readPipeline(l *link, p *pipeline) (over bool, err error) {
	last := len(p.sent) - 1
	for k, c := range p.sent {
		replies, each := 1, severalOf(c)
		if each != nil {
			replies = each.replies()
		}
		for ; replies > 0; replies-- {
			if err := r.readAnswer(c); err != nil {
				return false, err
			}
			if r.reply.Unread || r.reply.Kind != resp.Error && !c.fits(&r.reply) {
				return false, errUnasked
			}
			end := k == last && replies == 1
			if end && l.In.Buffered() > 0 && r.mailbox.flow.lastUnderWay() {
				return false, errUnasked // one too many, and nobody can tell which
			}
			noScript := isNoScript(&r.reply)
			l.unloaded = l.unloaded || noScript
			if !l.forgotten && (noScript || r.refusesNative(l, c)) {
				l.forgotten = true
				r.mailbox.flow.halt(l)
			}
			if end {
				rtt := time.Since(p.now)
				r.set.tellPipeline(r.Instance, len(p.sent), rtt)
				over = r.mailbox.pipelineAnswered(l.forgotten, rtt)
			}
			if l.forgotten {
				continue
			}
			if replies == 1 {
				p.answered = k + 1
			}
			switch {
			case r.reply.Kind == resp.Error && each != nil:
				each.refuseNext(&p.sending, p.refusal(r.reply.Err()))
			case r.reply.Kind == resp.Error && r.role.refer(c, &p.sending, &r.reply): // another node will answer it
			case r.reply.Kind == resp.Error:
				r.refused(c, p.refusal(r.reply.Err()))
			default:
				r.role.answeredHere(c)
				c.readReply(&p.sending, &r.reply)
			}
		}
	}
	switch {
	case l.forgotten && over:
		return true, errForgotten
	case l.forgotten:
		return false, nil
	case p.demoted: // the next connection looks at the server's role
		r.mailbox.flow.halt(l)
	}
	l.used = true
	if over {
		return true, errHalted
	}
	return false, nil
}

// patient reads from the connection until the next reply is really late: its
// deadline is set less often than there are pipelines.
type patient struct {
	link    *link
	mailbox *mailbox
}

func (r patient) Read(p []byte) (int, error) {
	for {
		n, err := r.link.Net.Read(p)
		r.link.full = r.link.full || n == len(p)
		if n > 0 || err == nil || !fault.IsTimeout(err) {
			return n, err
		}
		if err := r.mailbox.flow.expired(r.link); err != nil {
			return 0, err
		}
	}
}

// isNoScript: the server has forgotten our scripts.
func isNoScript(r *resp.Reply) bool {
	return r.Kind == resp.Error && bytes.HasPrefix(r.Text, []byte("NOSCRIPT"))
}
