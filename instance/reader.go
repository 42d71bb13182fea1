package instance

import (
	"errors"
	"time"

	"github.com/holdfast-go/holdfast/internal/fault"
	"github.com/holdfast-go/holdfast/internal/resp"
)

var (
	errHalted    = errors.New("the link is to be replaced")
	errForgotten = errors.New("the server has forgotten the lock scripts")
)

// read is the reader of a link: it settles every message as its reply comes in,
// and notices when the connection breaks, whether or not anything is under way.
// fly starts it and land waits for it. It ends with the connection, with the
// first reply that is late, and when the link is halted, with the last one.
func (i *Instance) read(l *link) {
	defer close(l.done)
	defer i.mailbox.end()
	l.err = i.readPipelines(l)
	if l.err != errForgotten { //nolint:errorlint // the bare value
		_ = l.net.Close() // who is writing must not be held up
	}
}

func (i *Instance) readPipelines(l *link) error {
	for {
		if err := l.await(); err != nil {
			return err
		}
		p := i.mailbox.next()
		if p == nil {
			return errUnasked
		}
		if over, err := i.readPipeline(l, p); err != nil || over {
			return err
		}
	}
}

// postDebt reads the replies to one pipeline.
//
// A reply that cannot be to its question is the end of the link, before anything is
// made of it: whoever put it there may have put others, of which that cannot be told.
//
// When the server has forgotten our scripts, what comes behind is sent again, so
// that the order stays, and its replies are worth nothing.
//
// The pipeline has landed before its last message is settled: a lone caller, who
// goes on from there, finds nothing under way.
func (i *Instance) readPipeline(l *link, p *pipeline) (over bool, err error) {
	last := len(p.sent) - 1
	for k, c := range p.sent {
		if err := i.readAnswer(c); err != nil {
			return false, err
		}
		if i.reply.Unread || i.reply.Kind != resp.Error && !c.fits(&i.reply) {
			return false, errUnasked
		}
		if k == last && l.in.Buffered() > 0 && i.mailbox.lastUnderWay() {
			return false, errUnasked // one too many: who knows which
		}
		if !l.forgotten && isNoScript(&i.reply) {
			l.forgotten = true
			i.mailbox.halt(l)
		}
		if k == last {
			trip := time.Since(p.now)
			i.tellPipeline(len(p.sent), trip)
			over = i.mailbox.pipelineAnswered(l.forgotten, trip)
		}
		if l.forgotten {
			continue
		}
		p.answered = k + 1
		switch {
		case i.reply.Kind == resp.Error && i.role.refer(c, &p.sending, &i.reply): // another node will answer it
		case i.reply.Kind == resp.Error:
			i.refused(c, p.refusal(i.reply.Err()))
		default:
			i.role.answeredHere(c)
			c.readReply(&p.sending, &i.reply)
		}
	}
	switch {
	case l.forgotten && over:
		return true, errForgotten
	case l.forgotten:
		return false, nil
	case p.demoted: // the next connection looks at the server's role
		i.mailbox.halt(l)
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
		n, err := r.link.net.Read(p)
		if n > 0 || err == nil || !fault.IsTimeout(err) {
			return n, err
		}
		if err := r.mailbox.expired(r.link); err != nil {
			return 0, err
		}
	}
}
