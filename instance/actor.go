package instance

import (
	"context"
	"time"

	"github.com/holdfast-go/holdfast/internal/fault"
	"github.com/holdfast-go/holdfast/internal/reach"
	"github.com/holdfast-go/holdfast/internal/restart"
)

// actor owns the link to a server: it connects, sends what is in the mailbox, and answers it.
type actor struct {
	*Instance // whose server it is

	// Its own goroutine's: act, and what that calls.
	former     *reach.Link       // the last link, to be killed by the next
	shortLived int               // links in a row that ended as soon as they were open
	late       int               // attempts to connect in a row that took too long
	before     *restart.Sighting // the last server seen
	batch      []Command         // room for the mailbox's next queue

	// The sender's: its own goroutine's, or a poster's.
	link   *link
	direct [maxDirect]Command // what a poster sends
	out    []byte             // what is to be written

	reader reader
}

// Run sees to it that the mailbox is answered, until Close, or until ctx ends,
// which breaks off whatever is under way. The engine that has claimed the instance
// starts it, once, and waits for it; when it returns, every message has been answered.
//
// It is for the engine.
func (i *Instance) Run(ctx context.Context, set *Set) {
	i.set, i.log = set, set.logger(i)
	i.role.run(ctx)
}

// act is its loop. Whatever else it starts has ended when it returns.
func (a *actor) act(ctx context.Context) {
	stop := context.AfterFunc(ctx, func() { // closes the connection under whatever is going on
		a.mailbox.close()
		_ = a.client.Close()
	})
	defer stop()
	defer a.leave()
	defer a.watching(ctx)()
	a.looks.Log = a.log
	defer a.looks.Running(ctx)()
	defer a.tracker.Running(ctx, a.log)()

	probes := reach.NewProbes()
	var broken error // why links are of no use at all; nil: they are
	for {
		if a.link == nil && !a.connect(ctx, probes, broken) {
			return
		}
		messages, ok := a.mailbox.take(ctx, a.batch)
		switch {
		case !ok:
			return
		case len(messages) > 0:
			a.sendAll(messages)
			clear(messages)
			a.batch = messages
		case a.mailbox.flow.ended():
			if broken = a.repair(ctx); broken == nil {
				probes.Reset()
			}
		}
		a.mailbox.repay()
	}
}

// leave answers what is left and gives everything back.
func (a *actor) leave() {
	a.mailbox.close()
	gone := Vote{Instance: a.name, Kind: Unreachable, Err: errClosed}
	waiting := a.mailbox.refuse(gone)
	if a.link != nil {
		a.link.Close()
		unanswered, _ := a.awaitReader()
		a.drop()
		a.refuseAll(messagesOf(unanswered), gone)
	}
	for _, c := range waiting {
		c.refuse(gone)
	}
	_ = a.client.Close()
	a.become(Closed, nil)
	a.ready.open()
}

// startReader opens the link for messages, and sends those again that an earlier one, or
// this one, left unanswered.
func (a *actor) startReader(unanswered []*pipeline) {
	l := a.link
	l.done, l.forgotten, l.err = make(chan struct{}), false, nil
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
	case forgotten && unanswered[0].again:
		err = errForgetful
	case forgotten:
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

// fail answers messages that could not be sent, or whose answer did not come.
// When the connection is gone, so is the instance, until a probe succeeds.
func (a *actor) fail(unanswered []*pipeline, err error) {
	v := a.verdict(err)
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
