package instance

import (
	"context"
	"time"

	"github.com/holdfast-go/holdfast/internal/fault"
	"github.com/holdfast-go/holdfast/internal/reach"
)

// Run is the actor: it owns the connection, and sees to it that the mailbox is
// answered, until Close, or until ctx ends, which breaks off whatever is under way. The engine that
// has claimed the instance starts it, once, and waits for it; when it returns,
// every message has been answered.
func (i *Instance) Run(ctx context.Context, set *Set) {
	i.set, i.log = set, set.logger(i)
	i.role.run(ctx)
}

// act is the actor of a server.
func (i *Instance) act(ctx context.Context) {
	stop := context.AfterFunc(ctx, i.abort)
	defer stop()
	defer i.leave()
	defer i.watching(ctx)()
	i.looks.Log = i.log
	defer i.looks.Running(ctx)()
	defer i.tracker.Running(ctx, i.log)()

	probes := reach.NewProbes()
	var broken error // why links are of no use at all; nil: they are
	for {
		if i.link == nil && !i.connect(ctx, probes, broken) {
			return
		}
		messages, ok := i.mailbox.take(ctx, i.batch)
		switch {
		case !ok:
			return
		case len(messages) > 0:
			i.sendAll(messages)
			clear(messages)
			i.batch = messages
		case i.mailbox.ended():
			if broken = i.repair(ctx); broken == nil {
				probes.Reset()
			}
		}
		i.mailbox.repay()
	}
}

// leave answers what is left and gives everything back.
func (i *Instance) leave() {
	i.mailbox.close()
	gone := Vote{Instance: i.name, Kind: Unreachable, Err: errClosed}
	waiting := i.mailbox.refuse(gone)
	if i.link != nil {
		i.link.close()
		unanswered, _ := i.awaitReader()
		i.drop()
		i.refuseAll(messagesOf(unanswered), gone)
	}
	for _, c := range waiting {
		c.refuse(gone)
	}
	_ = i.client.Close()
	i.become(Closed, nil)
	i.opened()
}

// startReader opens the link for messages, and sends those again that an earlier one, or
// this one, left unanswered.
func (i *Instance) startReader(unanswered []*pipeline) {
	l := i.link
	l.done, l.forgotten, l.err = make(chan struct{}), false, nil
	l.in.Reset(patient{l, i.mailbox})
	_ = l.net.SetDeadline(time.Time{})
	i.mailbox.open(l.isDirect() && i.set.lone) // several are better written to side by side
	go i.read(l)
	for _, p := range unanswered {
		i.sendAgain(p)
	}
}

// pipelineAnswered waits for the end of the link's reader, and of whoever is sending. It
// returns what has not been answered, and why.
func (i *Instance) awaitReader() (unanswered []*pipeline, why error) {
	<-i.link.done
	return i.mailbox.takeTurn(), i.link.err
}

// repair looks after a link that has come to its end.
//
// What the connection broke under, or what met a server that had forgotten our
// scripts, is sent once more: with everything behind it, so that the order
// stays. After a timeout it is not: the server may be acting on it right now.
func (i *Instance) repair(ctx context.Context) (broken error) {
	unanswered, err := i.awaitReader()
	forgotten := err == errForgotten //nolint:errorlint // the bare value
	deadline := time.Now().Add(i.cfg.Timeout)
	if len(unanswered) > 0 {
		deadline = unanswered[0].deadline
	}
	switch {
	case forgotten && unanswered[0].again:
		err = errForgetful
	case forgotten:
		err = i.link.reload(ctx, deadline)
	case len(unanswered) == 0:
		return i.linkLost(err)
	case !fault.IsTimeout(err) && !unanswered[0].again && !i.mailbox.isClosed():
		i.drop()
		err = i.dial(ctx, deadline)
	}
	if err != nil {
		i.fail(unanswered, err)
		unanswered = nil
	}
	if i.link != nil {
		i.startReader(unanswered)
	}
	return nil
}

// fail answers messages that could not be sent, or whose answer did not come.
// When the connection is gone, so is the instance, until a probe succeeds.
func (i *Instance) fail(unanswered []*pipeline, err error) {
	v := i.verdict(err)
	if i.link == nil || !fault.IsServerError(err) { // a new connection that was refused is gone, too
		i.drop()
		i.down(v, messagesOf(unanswered)...)
		return
	}
	i.refuseAll(messagesOf(unanswered), v)
}

func (i *Instance) refuseAll(messages []Command, v Vote) {
	for _, c := range messages {
		i.refused(c, v)
	}
}

// refused answers one message that has not been carried out, as far as we know.
func (i *Instance) refused(c Command, v Vote) {
	i.role.answeredHere(c)
	if b, ok := c.(*bundle); ok {
		for _, r := range b.releases {
			i.mailbox.noteDebt(r)
		}
	} else {
		i.mailbox.noteDebt(c)
	}
	c.refuse(v)
}

// down refuses everything from now on, and what has not been answered, in order:
// what was sent, then what was waiting.
func (i *Instance) down(v Vote, sent ...Command) {
	i.become(Down, v.Err)
	waiting := i.mailbox.refuse(v)
	i.refuseAll(sent, v)
	for _, c := range waiting {
		c.refuse(v)
	}
}
