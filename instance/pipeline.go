package instance

import "time"

// pipeline is the messages of one write, in the order of their replies.
type pipeline struct {
	sending
	sent     []Command
	answered int       // of sent, from the front; the reader's own, until it is gone
	deadline time.Time // by then all replies must be there
	written  bool      // or about to be; guarded by the mailbox's mutex
	bundles  bundles
}

// fill makes the pipeline of a batch, and appends what is to be written to out.
func (p *pipeline) fill(batch []Command, out []byte) []byte {
	clear(p.sent)
	p.sent, p.answered = p.sent[:0], 0
	return p.encode(p.bundles.fold(&p.sending, batch), out)
}

// refill is fill for what has not been answered, when it is sent again.
func (p *pipeline) refill(out []byte) []byte {
	rest := unfold(&p.sending, p.rest())
	p.sent, p.answered = p.sent[:0], 0
	return p.encode(rest, out)
}

// messagesOf are all that pipelines have left unanswered.
func messagesOf(unanswered []*pipeline) (all []Command) {
	for _, p := range unanswered {
		all = append(all, p.rest()...)
	}
	return all
}

func (p *pipeline) rest() []Command { return p.sent[p.answered:] }

func (p *pipeline) encode(batch []Command, out []byte) []byte {
	for _, c := range batch {
		var ok bool
		if out, ok = c.appendCommand(&p.sending, out); ok {
			p.sent = append(p.sent, c)
		}
	}
	return out
}
