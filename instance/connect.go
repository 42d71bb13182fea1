package instance

import (
	"context"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v4"

	"github.com/holdfast-go/holdfast/internal/fault"
	"github.com/holdfast-go/holdfast/internal/reach"
	"github.com/holdfast-go/holdfast/internal/restart"
)

// watching has the sentinels watched, if there are any. What it returns ends
// that and waits for its end.
func (a *actor) watching(ctx context.Context) (end func()) {
	if a.watch == nil {
		return func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	var watcher sync.WaitGroup
	watcher.Go(func() { a.watch(ctx, func() { a.Post(relocation{}) }) })
	return func() {
		cancel()
		watcher.Wait()
	}
}

// drop closes the link and remembers it, to be killed by the next one.
func (a *actor) drop() {
	if a.link != nil {
		a.link.Close()
		a.former = a.link.Link
		a.link = nil
	}
}

// connect dials until it succeeds, pays what is owed, and opens the mailbox. It
// reports false when the instance is closed. err is why it need not even try at
// first, or nil.
func (a *actor) connect(ctx context.Context, probes backoff.BackOff, err error) bool {
	for {
		if err == nil {
			err = a.probe(ctx)
		}
		if err != nil && a.mailbox.isClosed() {
			return false
		}
		if err == nil {
			err = a.payDebts()
		}
		if err == nil {
			a.late = 0
			a.become(Up, nil)
			a.ready.open()
			a.startReader(nil)
			return true
		}
		a.drop()
		a.down(a.classify(err))
		a.ready.open()
		a.late = reach.Late(a.late, err)
		if !a.pause(ctx, reach.Stretched(probes.NextBackOff(), a.late)) {
			return false
		}
		err = nil
	}
}

// probe dials. Where the instance is not up nobody waits for what comes of it, so
// that it is broken off when the mailbox is closed.
func (a *actor) probe(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if !a.isUp() {
		defer context.AfterFunc(a.mailbox.life, cancel)()
	}
	now := time.Now()
	return a.dial(ctx, now.Add(a.cfg.Timeout), now.Add(reach.Patience(a.cfg.Timeout, a.late)))
}

// linkLost gives up a link that came to its end with nothing under way. It is replaced
// at once, unless that happened as soon as it was open, twice in a row: it returns
// why, and the instance is down.
func (a *actor) linkLost(why error) error {
	l := a.link
	a.drop()
	if why == errHalted || l.used || time.Since(l.Seen.At) > reach.LastProbe { // the bare value
		a.shortLived = 0
		return nil
	}
	if a.shortLived++; a.shortLived == 1 {
		return nil
	}
	return why
}

// dial opens a link and judges who is at its other end: there must be a connection by the first deadline, and a link by the
// second.
func (a *actor) dial(ctx context.Context, connected, open time.Time) error {
	began := time.Now()
	conn, err := a.connection(ctx, connected)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithDeadline(ctx, open)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() }) // go-redis would not notice
	defer stop()
	at := reach.NewDoor(conn)
	a.dialed.Store(at)
	l, err := reach.OpenLink(ctx, a.client, conn, a.former)
	if unused := a.dialed.Swap(nil); unused != nil {
		_ = unused.Close()
	}
	if err != nil {
		return at.Reason(fault.CutOff(ctx, err))
	}
	if err := a.set.register(a.Instance, l.Seen.RunID); err != nil {
		l.Close()
		return err
	}
	before := a.looks.Terminus().RunID
	if err := a.looks.Arrive(conn, l.Seen, began); err != nil {
		l.Close()
		return err
	}
	if before != "" && before != l.Seen.RunID {
		a.tracker.Move()
	}
	a.link, a.former = &link{Link: l}, nil
	a.guard(l.Seen)
	return nil
}

func (a *actor) connection(ctx context.Context, deadline time.Time) (net.Conn, error) {
	ctx, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	return a.dialer(ctx, a.network, a.addr)
}

// guard applies the restart guard to what the new link has seen.
func (a *actor) guard(seen restart.Sighting) {
	if a.set.guard == GuardOff {
		return
	}
	if seen.RunID == "" && a.before == nil {
		a.log.Warn("no restart guard: INFO is not permitted or not understood, so a restart cannot be seen")
	}
	j := a.abstention.judge(a.before, seen, a.set.quarantine)
	first := a.before == nil
	a.mu.Lock()
	a.health.RunID = seen.RunID
	a.mu.Unlock()
	a.before = &seen

	if j.Why != "" {
		level := slog.LevelWarn
		if first && a.set.guard == GuardAdaptive && j.Young { // as at every first deployment
			level = slog.LevelInfo
		}
		a.log.Log(context.Background(), level, "instance is quarantined: it does not vote on new acquires yet", "reason", j.Why,
			"for", time.Until(j.Until).Round(time.Millisecond).String(), "until", j.Until.Round(time.Millisecond))
		a.role.memoryLost()
	}
	if !first {
		return
	}
	if pardoned := a.set.pardon(a.Instance, seen, j.Young); pardoned != nil {
		for _, other := range pardoned {
			other.abstention.end()
		}
		a.log.Info("all instances are new: this is taken for a first deployment, and they vote at once")
	}
}

// pause waits before the next probe. It reports false when the instance is closed.
func (a *actor) pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	for {
		if a.mailbox.isClosed() {
			return false
		}
		select {
		case <-timer.C:
			return true
		case <-ctx.Done():
			return false
		case <-a.mailbox.wake: // closed, or a message that came before the refusal
		}
	}
}
