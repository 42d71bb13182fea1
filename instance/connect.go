package instance

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v4"

	"github.com/holdfast-go/holdfast/internal/restart"
)

// Probing a down instance: soon at first, then less often, but often enough to
// be back within a second of the server answering.
const (
	firstProbe = 20 * time.Millisecond
	lastProbe  = 800 * time.Millisecond
)

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

// drop closes the link and remembers it, to be killed by the next one.
func (i *Instance) drop() {
	if i.link != nil {
		i.link.close()
		i.former = i.link
		i.link = nil
	}
}

// connect dials until it succeeds, pays what is owed, and opens the mailbox. It
// reports false when the instance is closed. err is why it need not even try at
// first, or nil.
func (i *Instance) connect(ctx context.Context, probes backoff.BackOff, err error) bool {
	for {
		if err == nil {
			err = i.probe(ctx)
		}
		if err != nil && i.mailbox.isClosed() {
			return false
		}
		if err == nil {
			err = i.payDebts()
		}
		if err == nil {
			i.become(Up, nil)
			i.opened()
			i.fly(nil)
			return true
		}
		i.drop()
		i.down(i.verdict(err))
		i.opened()
		if !i.pause(ctx, probes.NextBackOff()) {
			return false
		}
		err = nil
	}
}

// probe dials. Where the instance is not up nobody waits for what comes of it, so
// that it is broken off when the mailbox is closed.
func (i *Instance) probe(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if !i.isUp() {
		defer context.AfterFunc(i.mailbox.life, cancel)()
	}
	return i.dial(ctx, time.Now().Add(i.cfg.Timeout))
}

// lost gives up a link that came to its end with nothing under way. It is replaced
// at once, unless that happened as soon as it was open, twice in a row: it returns
// why, and the instance is down.
func (i *Instance) lost(why error) error {
	l := i.link
	i.drop()
	if why == errHalted || l.used || time.Since(l.seen.At) > lastProbe { //nolint:errorlint // the bare value
		i.stillborn = 0
		return nil
	}
	if i.stillborn++; i.stillborn == 1 {
		return nil
	}
	return why
}

// dial opens a link and judges who is at its other end.
func (i *Instance) dial(ctx context.Context, deadline time.Time) error {
	ctx, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	began := time.Now()
	conn, err := i.dialer(ctx, i.network, i.addr)
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() }) // go-redis would not notice
	defer stop()
	at := newDoor(conn)
	i.dialed.Store(at)
	l, err := open(ctx, i.client, conn, i.former)
	if unused := i.dialed.Swap(nil); unused != nil {
		_ = unused.Close()
	}
	if err != nil {
		return at.reason(cutOff(ctx, err))
	}
	if err := i.set.register(i, l.seen.RunID); err != nil {
		l.close()
		return err
	}
	if err := i.arrive(l, began); err != nil {
		l.close()
		return err
	}
	i.link, i.former = l, nil
	i.guard(l.seen)
	return nil
}

// cutOff returns why a step has failed that ctx bounds, and whose connection is closed
// when ctx ends: that, and not what the connection says of having been closed.
func cutOff(ctx context.Context, err error) error {
	if err != nil && ctx.Err() != nil && !isServerError(err) {
		return ctx.Err()
	}
	return err
}

// guard applies the restart guard to what the new link has seen.
func (i *Instance) guard(seen restart.Sighting) {
	if i.set.guard == GuardOff {
		return
	}
	if seen.RunID == "" && i.before == nil {
		i.log.Warn("no restart guard: INFO is not permitted or not understood, so a restart cannot be seen")
	}
	i.mu.Lock()
	j := restart.Judge(i.before, seen, i.until, i.set.quarantine)
	first := i.before == nil
	i.until = j.Until
	i.health.RunID = seen.RunID
	i.mu.Unlock()
	i.before = &seen

	if j.Why != "" {
		level := slog.LevelWarn
		if first && i.set.guard == GuardAdaptive && j.Young { // as at every first deployment
			level = slog.LevelInfo
		}
		i.log.Log(context.Background(), level, "instance is quarantined: it does not vote on new acquires yet", "reason", j.Why,
			"for", time.Until(j.Until).Round(time.Millisecond).String(), "until", j.Until.Round(time.Millisecond))
		if i.home != nil {
			i.home.lookSoon() // which slots it has forgotten is what the map knows now
		}
	}
	if !first {
		return
	}
	if pardoned := i.set.pardon(i, seen, j.Young); pardoned != nil {
		for _, other := range pardoned {
			other.trust()
		}
		i.log.Info("all instances are new: this is taken for a first deployment, and they vote at once")
	}
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

func newProbes() *backoff.ExponentialBackOff {
	return backoff.NewExponentialBackOff(
		backoff.WithInitialInterval(firstProbe),
		backoff.WithMaxInterval(lastProbe),
		backoff.WithMultiplier(2),
		backoff.WithRandomizationFactor(0.2),
		backoff.WithMaxElapsedTime(0),
	)
}
