package instance

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v4"
)

// Probing a down instance: soon at first, then less often, but often enough to
// be back within a second of the server answering.
const (
	firstProbe = 20 * time.Millisecond
	lastProbe  = 800 * time.Millisecond
)

// Run is the actor: it owns the connection and answers the mailbox until Close,
// or until ctx ends, which breaks off whatever is on the wire. The engine that
// has claimed the instance starts it, once, and waits for it; when it returns,
// every message has been answered.
func (i *Instance) Run(ctx context.Context, set *Set) {
	stop := context.AfterFunc(ctx, i.abort)
	defer stop()
	i.set = set
	i.batch = make([]Command, 0, i.cfg.Batch)
	defer i.leave()
	defer i.watching(ctx)()

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

// watching has the sentinels watched, if there are any. What it returns ends
// that and waits for its end.
func (i *Instance) watching(ctx context.Context) (end func()) {
	if i.watch == nil {
		return func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	var watcher sync.WaitGroup
	watcher.Go(func() { i.watch(ctx, func() { i.Post(relocation{}) }) })
	return func() {
		cancel()
		watcher.Wait()
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
		if err := i.link.next(&i.reply); err != nil {
			return done, err
		}
		switch {
		case forgotten: // it is sent again, behind what comes before it
			continue
		case i.reply.isNoScript():
			forgotten = true
			continue
		case i.reply.kind == errorReply:
			i.refused(c, s.refusal(i.reply.err()))
		default:
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
		i.down(v)
	}
	for _, c := range messages {
		i.refused(c, v)
	}
}

// refused answers one message that has not been carried out, as far as we know.
func (i *Instance) refused(c Command, v Vote) {
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

// down refuses everything from now on, and what was waiting.
func (i *Instance) down(v Vote) {
	i.become(Down, v.Err)
	for _, c := range i.mailbox.refuse(v) {
		c.refuse(v)
	}
}

// drop closes the link and remembers it, to be killed by the next one.
func (i *Instance) drop() {
	if i.link != nil {
		i.link.close()
		i.former = i.link
		i.link = nil
	}
}

// connect dials until it succeeds, pays what is owed, and opens the mailbox. It
// reports false when the instance is closed.
func (i *Instance) connect(ctx context.Context, probes backoff.BackOff) bool {
	for {
		err := i.dial(ctx, time.Now().Add(i.cfg.Timeout))
		if err == nil {
			err = i.payDebts()
		}
		if err == nil {
			probes.Reset()
			i.become(Up, nil)
			i.opened()
			return true
		}
		i.drop()
		i.down(i.verdict(err))
		i.opened()
		if !i.pause(ctx, probes.NextBackOff()) {
			return false
		}
	}
}

// dial opens a link and judges who is at its other end.
func (i *Instance) dial(ctx context.Context, deadline time.Time) error {
	ctx, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	conn, err := i.dialer(ctx, i.network, i.addr)
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() }) // go-redis would not notice
	defer stop()
	i.dialed.Store(&conn)
	l, err := open(ctx, i.client, conn, i.former)
	if unused := i.dialed.Swap(nil); unused != nil {
		_ = (*unused).Close()
	}
	if err != nil {
		return err
	}
	if err := i.set.register(i, l.seen.runID); err != nil {
		l.close()
		return err
	}
	i.link, i.former = l, nil
	i.guard(l.seen)
	return nil
}

// guard applies the restart guard to what the new link has seen.
func (i *Instance) guard(seen sighting) {
	if i.set.guard == GuardOff {
		return
	}
	if seen.runID == "" && i.before == nil {
		i.log.Warn("no restart guard: INFO is not permitted or not understood, so that a restarted instance cannot be told from an old one")
	}
	i.mu.Lock()
	j := judge(i.before, seen, i.until, i.set.quarantine)
	first := i.before == nil
	i.until = j.until
	i.health.RunID = seen.runID
	i.mu.Unlock()
	i.before = &seen

	if j.why != "" {
		i.log.Warn("instance may not vote on new acquires yet", "reason", j.why, "for", time.Until(j.until).Round(time.Millisecond))
	}
	if !first {
		return
	}
	if pardoned := i.set.pardon(i, seen, j.young); pardoned != nil {
		for _, other := range pardoned {
			other.trust()
		}
		i.log.Info("all instances are new: they may vote at once")
	}
}

// payDebts makes good the releases that could not be confirmed, before anything
// else is sent, and then opens the mailbox. What the server refuses even now
// stays owed for later.
func (i *Instance) payDebts() error {
	var refused []debt
	for {
		owed := i.mailbox.settleDebts()
		if len(owed) == 0 {
			i.mailbox.oweAgain(refused)
			return nil
		}
		unpaid, err := i.pay(owed)
		refused = append(refused, unpaid...)
		if err != nil {
			i.mailbox.oweAgain(refused)
			return err
		}
	}
}

// payInPassing makes good what an instance owes that has been up all the time:
// releases that found the mailbox full, or that the server refused.
func (i *Instance) payInPassing() {
	if i.link == nil || time.Since(i.lastPaid) < payEvery {
		return
	}
	i.lastPaid = time.Now()
	if err := i.payDebts(); err != nil {
		i.fail(nil, err)
	}
}

// pay sends the releases that are still worth sending, and returns those that
// were not carried out: refused by the server, or cut off with the connection.
func (i *Instance) pay(owed []debt) (unpaid []debt, err error) {
	now := time.Now()
	s := sending{instance: i, now: now}
	owed = slices.DeleteFunc(owed, func(d debt) bool { return !now.Before(d.until) })
	for len(owed) > 0 {
		n := min(len(owed), i.cfg.Batch)
		i.out = i.out[:0]
		for _, d := range owed[:n] {
			r := Release{Key: d.key, Token: d.token, Fencing: d.fencing}
			i.out, _ = r.queue(&s, i.out)
		}
		if err := i.link.send(i.out, time.Now().Add(i.cfg.Timeout)); err != nil {
			return append(unpaid, owed...), err
		}
		for _, d := range owed[:n] {
			if err := i.link.next(&i.reply); err != nil {
				return append(unpaid, owed...), err
			}
			if i.reply.kind == errorReply {
				unpaid = append(unpaid, d)
			}
		}
		owed = owed[n:]
	}
	return unpaid, nil
}

// pause waits before the next probe. It reports false when the instance is closed.
func (i *Instance) pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	for {
		if i.mailbox.isClosed() {
			return false
		}
		select {
		case <-timer.C:
			return true
		case <-ctx.Done():
			return false
		case <-i.mailbox.wake: // closed, or a message that came before the refusal
		}
	}
}

// opened announces the end of the first attempt to connect, whatever came of it.
func (i *Instance) opened() {
	select {
	case <-i.ready:
	default:
		close(i.ready)
	}
}

func (i *Instance) noteLatency(d time.Duration) {
	i.mu.Lock()
	i.health.Latency = d
	i.mu.Unlock()
}

func newProbes() *backoff.ExponentialBackOff {
	return backoff.NewExponentialBackOff(
		backoff.WithInitialInterval(firstProbe),
		backoff.WithMaxInterval(lastProbe),
		backoff.WithMultiplier(2),
		backoff.WithRandomizationFactor(0.2),
		backoff.WithMaxElapsedTime(0),
	)
}
