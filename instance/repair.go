package instance

import (
	"context"
	"time"

	"github.com/holdfast-go/holdfast/internal/fault"
)

// repair looks after a link that has come to its end.
//
// What the connection broke under, or what met a server that had forgotten our
// scripts, is sent once more: with everything behind it, so that the order
// stays. After a timeout it is not: the server may be acting on it right now.
func (a *actor) repair(ctx context.Context) (broken error) {
	unanswered, err := a.awaitReader()
	forgotten := err == errForgotten // the bare value
	deadline := time.Now().Add(a.cfg.Timeout)
	if len(unanswered) > 0 {
		deadline = unanswered[0].deadline
	}
	switch {
	case forgotten && !a.link.unloaded: // a native command was refused, and scripts take its place
		err = nil
	case forgotten && unanswered[0].again && a.link.reloaded:
		err = errForgetful
	case forgotten:
		a.link.reloaded = true
		err = a.link.Reload(ctx, deadline)
	case len(unanswered) == 0:
		return a.linkLost(err)
	case !fault.IsTimeout(err) && !unanswered[0].again && !a.mailbox.isClosed():
		a.drop()
		err = a.dial(ctx, deadline, deadline)
	}
	if err != nil {
		a.fail(unanswered, err)
		unanswered = nil
	}
	if a.link != nil {
		a.startReader(unanswered)
	}
	return nil
}

// startReader opens the link for messages, and sends those again that an earlier one, or
// this one, left unanswered.
func (a *actor) startReader(unanswered []*pipeline) {
	l := a.link
	l.done, l.forgotten, l.unloaded, l.err = make(chan struct{}), false, false, nil
	l.In.Reset(patient{l, a.mailbox})
	_ = l.Net.SetDeadline(time.Time{})
	a.mailbox.flow.open(l.IsDirect() && a.set.only) // several are better written to side by side
	go a.reader.read(l)
	for _, p := range unanswered {
		a.sendAgain(p)
	}
}

// awaitReader waits for the end of the link's reader, and of a poster that is sending. It
// returns what has not been answered, and why.
func (a *actor) awaitReader() (unanswered []*pipeline, why error) {
	<-a.link.done
	return a.mailbox.takeOver(), a.link.err
}

// sendAgain sends a pipeline once more that was not answered, or for the first
// time if it could not be sent.
func (a *actor) sendAgain(p *pipeline) {
	now := time.Now()
	p.sending = a.sending(now)
	p.again = p.written
	a.out = p.refill(a.out[:0])
	a.write(p)
}

// messagesOf are all that pipelines have left unanswered.
func messagesOf(unanswered []*pipeline) (all []Command) {
	for _, p := range unanswered {
		all = append(all, p.rest()...)
	}
	return all
}

// fail answers messages that could not be sent, or whose answer did not come.
// When the connection is gone, so is the instance, until a probe succeeds.
func (a *actor) fail(unanswered []*pipeline, err error) {
	v := a.classify(err)
	if a.link == nil || !fault.IsServerError(err) { // a new connection that was refused is gone, too
		a.drop()
		a.down(v, messagesOf(unanswered)...)
		return
	}
	a.refuseAll(messagesOf(unanswered), v)
}

func (a *actor) refuseAll(messages []Command, v Vote) {
	for _, c := range messages {
		a.refused(c, v)
	}
}

// refused answers one message that has not been carried out, as far as we know.
func (a *actor) refused(c Command, v Vote) {
	a.role.answeredHere(c)
	if b, ok := c.(*bundle); ok {
		for _, r := range b.releases {
			a.mailbox.noteDebt(r)
		}
	} else {
		a.mailbox.noteDebt(c)
	}
	c.refuse(v)
}

// down refuses everything from now on, and what has not been answered, in order:
// what was sent, then what was waiting.
func (a *actor) down(v Vote, sent ...Command) {
	a.become(Down, v.Err)
	waiting := a.mailbox.refuse(v)
	a.refuseAll(sent, v)
	for _, c := range waiting {
		c.refuse(v)
	}
}
