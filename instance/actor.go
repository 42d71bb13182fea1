package instance

import (
	"context"
	"time"

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

// sendAll sends messages in pipelines, in order. The actor is the sender.
func (a *actor) sendAll(messages []Command) {
	for len(messages) > 0 {
		n, commands := 0, 0
		for n < len(messages) && (n == 0 || commands+weight(messages[n]) <= a.cfg.Batch) {
			commands += weight(messages[n])
			n++
		}
		a.send(messages[:n])
		messages = messages[n:]
	}
}

// weight is how many commands a message is about.
func weight(c Command) int {
	switch c := c.(type) {
	case *AcquireEach:
		return len(c.Items)
	case *ReleaseEach:
		return len(c.Items)
	}
	return 1
}

// send sends one pipeline. Its caller is the sender: the actor, or a poster.
func (a *actor) send(batch []Command) {
	now := time.Now()
	s := a.sending(now)
	p := a.mailbox.flow.pipeline()
	p.sending = s
	p.bundles.bySlot = a.mailbox.slotsMove
	p.deadline = now.Add(a.cfg.Timeout)
	a.out = p.fill(batch, a.out[:0])
	a.write(p)
}

// sending is what the commands of a pipeline may know of it. A cluster's slots move
// from one node to another, and with them what is posted.
func (a *actor) sending(now time.Time) sending {
	s := sending{actor: a, now: now, deletion: a.link.nativeDeletion(), beside: a.mailbox.slotsMove}
	if !s.beside {
		s.opened = a.link.Seen.At
		s.ordered, s.misnamed = a.link.Kills, a.link.IsCluster
		s.raises = s.ordered && a.link.raisesFences()
		s.serverClock, s.clockAges = a.link.clock.least(now)
	}
	s.quarantined = a.abstention.left(now)
	return s
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
