package instance

import (
	"context"
	"time"
)

// Run is the actor: it owns the connection and answers the mailbox until Close,
// or until ctx ends, which breaks off whatever is on the wire. The engine that
// has claimed the instance starts it, once, and waits for it; when it returns,
// every message has been answered.
func (i *Instance) Run(ctx context.Context, set *Set) {
	if i.cluster != nil {
		i.cluster.run(ctx, set)
		return
	}
	stop := context.AfterFunc(ctx, i.abort)
	defer stop()
	i.set = set
	i.batch = make([]Command, 0, i.cfg.Batch)
	defer i.leave()
	defer i.watching(ctx)()
	defer i.lookout.running(ctx)()

	probes := newProbes()
	for {
		if i.link == nil {
			if !i.connect(ctx, probes) {
				return
			}
		}
		messages, ok := i.mailbox.take(ctx, i.batch)
		if !ok {
			return
		}
		i.serveAll(ctx, messages)
		clear(messages)
		i.batch = messages
		i.payInPassing()
	}
}

// leave answers what is left and gives everything back.
func (i *Instance) leave() {
	i.mailbox.close()
	gone := Vote{Instance: i.name, Kind: Unreachable, Err: errClosed}
	for _, c := range i.mailbox.refuse(gone) {
		c.refuse(gone)
	}
	if i.link != nil {
		i.link.close()
	}
	_ = i.client.Close()
	i.become(Closed, nil)
}

// serveAll serves messages in batches, in order. Once the instance is down the
// rest is refused at once.
func (i *Instance) serveAll(ctx context.Context, messages []Command) {
	for len(messages) > 0 {
		n := min(len(messages), i.cfg.Batch)
		if i.link == nil {
			i.refuseAll(messages)
			return
		}
		i.serve(ctx, messages[:n])
		messages = messages[n:]
	}
}

// serve sends one batch and settles every message of it.
//
// What the connection broke under, or what met a server that had forgotten our
// scripts, is sent once more: with everything behind it, so that the order
// stays. A timeout is not: the server may be acting on it right now.
func (i *Instance) serve(ctx context.Context, batch []Command) {
	start := time.Now()
	deadline := start.Add(i.cfg.Timeout)
	s := &i.sending
	*s = sending{instance: i, now: start, native: i.link.native, recovering: i.recovering(start)}

	i.queue(batch, s)
	done, err := i.exchange(s, deadline)
	if done < len(i.sent) {
		rest := append([]Command(nil), i.sent[done:]...)
		if err = i.mend(ctx, err, deadline); err == nil {
			s.again, s.now, s.native = true, time.Now(), i.link.native
			s.recovering = i.recovering(s.now)
			i.queue(rest, s)
			done, err = i.exchange(s, deadline)
			rest = i.sent[done:]
		}
		if len(rest) > 0 {
			i.fail(rest, err)
			return
		}
	}
	if len(i.sent) > 0 {
		i.noteLatency(time.Since(start))
	}
	if s.demoted {
		i.drop() // the next connection looks at the server's role
	}
}

// queue fills sent and out with what is to be sent of the batch.
func (i *Instance) queue(batch []Command, s *sending) {
	clear(i.sent)
	i.sent, i.out = i.sent[:0], i.out[:0]
	if !s.again {
		batch = i.bundles.fold(batch)
	}
	for _, c := range batch {
		out, ok := c.queue(s, i.out)
		i.out = out
		if ok {
			i.sent = append(i.sent, c)
		}
	}
}

// exchange sends what has been queued, and settles every message as its reply
// comes in. It returns how many were settled: all of them, or those before the
// first that must be sent again, because the connection broke (err says how), or
// because the server has forgotten our scripts (err is nil).
func (i *Instance) exchange(s *sending, deadline time.Time) (done int, err error) {
	if len(i.sent) == 0 {
		return 0, nil
	}
	if err := i.link.send(i.out, deadline); err != nil {
		return 0, err
	}
	forgotten := false
	for k, c := range i.sent {
		if err := i.answer(c); err != nil {
			return done, err
		}
		switch {
		case forgotten: // it is sent again, behind what comes before it
			continue
		case i.reply.isNoScript():
			forgotten = true
			continue
		case i.reply.kind == errorReply && i.refer(c, s, &i.reply): // another node will answer it
		case i.reply.kind == errorReply:
			i.refused(c, s.refusal(i.reply.err()))
		default:
			i.kept(c)
			c.settle(s, &i.reply)
		}
		done = k + 1
	}
	return done, nil
}

// mend makes the link fit for sending again after err, or returns why it cannot.
func (i *Instance) mend(ctx context.Context, err error, deadline time.Time) error {
	if err == nil { // the connection is fine, the scripts are gone
		return i.link.reload(ctx, deadline)
	}
	if isTimeout(err) || i.mailbox.isClosed() {
		return err
	}
	i.drop()
	return i.dial(ctx, deadline)
}

// fail answers messages that could not be sent, or whose answer did not come.
// When the connection is gone, so is the instance, until a probe succeeds.
func (i *Instance) fail(messages []Command, err error) {
	if err == nil {
		err = errForgetful
	}
	v := i.verdict(err)
	if i.link == nil || !isServerError(err) { // a new connection that was refused is gone, too
		i.drop()
		i.down(v, messages...)
		return
	}
	for _, c := range messages {
		i.refused(c, v)
	}
}

// refused answers one message that has not been carried out, as far as we know.
func (i *Instance) refused(c Command, v Vote) {
	i.kept(c)
	if b, ok := c.(*bundle); ok {
		for _, r := range b.releases {
			i.mailbox.addDebt(r)
		}
	} else {
		i.mailbox.addDebt(c)
	}
	c.refuse(v)
}

// refuseAll answers messages that were not sent. The instance's standing says
// why, unless it is still in good standing and has only just lost its link.
func (i *Instance) refuseAll(messages []Command) {
	v := i.Standing()
	if v.Kind == Granted {
		v = Vote{Instance: i.name, Kind: Unreachable, Err: errNotDialed}
	}
	for _, c := range messages {
		i.refused(c, v)
	}
}

// down refuses everything from now on, and what has not been answered, in order:
// what was sent, then what was waiting.
func (i *Instance) down(v Vote, sent ...Command) {
	i.become(Down, v.Err)
	waiting := i.mailbox.refuse(v)
	for _, c := range sent {
		i.refused(c, v)
	}
	for _, c := range waiting {
		c.refuse(v)
	}
}

func (i *Instance) noteLatency(d time.Duration) {
	i.mu.Lock()
	i.health.Latency = d
	i.mu.Unlock()
}
