package instance

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/redis/go-redis/v9"
)

// lookout is an instance's second connection, on which the server itself tells
// when a lock changes that somebody waits for (CLIENT TRACKING, in RESP3): whoever
// changed it, another library too. There is none while nobody waits.
//
//	Watch ─▶ vigils ─▶ PTTL key ─▶ server
//	           ▲                     │  time left, or: not there
//	           └──── C ◀── reader ◀──┴─ invalidate key
//
// It is a help, not a promise: where it is not permitted, not supported or broken,
// vigils are not armed, and their owners look for themselves.
type lookout struct {
	*vigils
	instance *Instance
	client   *redis.Client // opens the connection; in RESP3, else as the instance's
	dialed   chan *door    // one slot: dialed by the lookout, to be picked up by the client
	reported bool          // that there is none has been logged
}

// linger is how long the connection stays when nobody waits any more.
const linger = time.Second

// notThere is how long it takes until a server is asked again that does not
// support or permit tracking.
const notThere = time.Minute

var errNoTracking = errors.New("the server cannot tell of changes in RESP3")

func newLookout(i *Instance, opt *redis.Options) *lookout {
	o := &lookout{vigils: newVigils(), instance: i, dialed: make(chan *door, 1)}
	mine := *opt
	mine.Protocol = 3
	mine.Dialer = func(context.Context, string, string) (net.Conn, error) {
		select {
		case conn := <-o.dialed:
			return conn, nil
		default:
			return unopened{}, nil
		}
	}
	o.client = redis.NewClient(&mine)
	return o
}

// Watch asks the instance to say on v.C when the lock under v.Key changes. It
// returns at once, and is undone by Unwatch. An instance keeps one vigil a key:
// the last.
func (i *Instance) Watch(v *Vigil) {
	if i.cluster != nil {
		i.cluster.watch(v)
		return
	}
	i.lookout.keep(v)
}

// Unwatch ends a Watch.
func (i *Instance) Unwatch(v *Vigil) {
	if v.at != nil {
		v.at.leave(v)
	}
}

// running runs the lookout; what it returns ends that and waits for its end.
func (o *lookout) running(ctx context.Context) (end func()) {
	ctx, cancel := context.WithCancel(ctx)
	var running sync.WaitGroup
	running.Go(func() { o.run(ctx) })
	return func() {
		cancel()
		running.Wait()
		_ = o.client.Close()
	}
}

// run has a connection whenever somebody waits, until ctx ends. The actor starts
// it and waits for it.
func (o *lookout) run(ctx context.Context) {
	pauses := newProbes()
	for o.wanted(ctx) {
		l, err := o.open(ctx)
		if err == nil {
			pauses.Reset()
			err = o.serve(ctx, l)
			l.close()
		}
		if err != nil && !o.pause(ctx, err, pauses) {
			return
		}
	}
}

// wanted waits until somebody waits for a lock. It reports false when ctx ends.
func (o *lookout) wanted(ctx context.Context) bool {
	for o.idle() {
		select {
		case <-o.wake:
		case <-ctx.Done():
		}
		if ctx.Err() != nil {
			return false
		}
	}
	return ctx.Err() == nil
}

// pause waits after a failure. It reports false when ctx ends.
func (o *lookout) pause(ctx context.Context, err error, pauses backoff.BackOff) bool {
	pause := pauses.NextBackOff()
	r := refusalOf(err)
	if isServerError(err) && (r == nil || r.class != passing) || errors.Is(err, errNoTracking) {
		pause = notThere
		if !o.reported {
			o.reported = true
			o.instance.log.Warn("the server does not wake waiters: they poll", "reason", o.instance.redact(err))
		}
	}
	o.rest(true)
	defer o.rest(false)
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// tower is the lookout's connection.
type tower struct {
	conn *redis.Conn
	net  net.Conn
	in   *bufio.Reader
}

func (t *tower) close() {
	_ = t.net.Close()
	_ = t.conn.Close()
}

// open connects to where the actor is connected, and turns tracking on.
func (o *lookout) open(ctx context.Context) (*tower, error) {
	i := o.instance
	ctx, cancel := context.WithTimeout(ctx, i.cfg.Timeout)
	defer cancel()
	began := time.Now()
	conn, err := i.redial(ctx)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() }) // go-redis would not notice
	defer stop()
	at := newDoor(conn)
	o.dialed <- at
	t := &tower{conn: o.client.EphemeralConn(), net: conn, in: bufio.NewReader(conn)}
	if err = cutOff(ctx, t.track(ctx)); err == nil {
		err = i.isSame(ctx, t.conn, began)
	}
	select {
	case unused := <-o.dialed:
		_ = unused.Close()
	default:
	}
	if err != nil {
		t.close()
		return nil, at.reason(err)
	}
	return t, nil
}

// track turns tracking on. go-redis falls back to RESP2 where HELLO fails, and
// then nothing is pushed: so it is asked once more which one it is.
func (t *tower) track(ctx context.Context) error {
	hello, err := t.conn.Hello(ctx, 3, "", "", "").Result()
	switch {
	case err != nil && isProtocolError(err):
		return errNoTracking
	case err != nil:
		return err
	case fmt.Sprint(hello["proto"]) != "3":
		return errNoTracking
	}
	return t.conn.Do(ctx, "client", "tracking", "on").Err()
}

// serve asks about vigils until nobody waits any more, ctx ends, or the
// connection does: err says why then.
func (o *lookout) serve(ctx context.Context, t *tower) error {
	o.connected(t.net)
	defer o.disconnected()
	broken := make(chan error, 1) // one slot: the reader sends its end, once
	var reader sync.WaitGroup
	reader.Go(func() { broken <- o.read(t) })
	err := o.asking(ctx, t, broken)
	_ = t.net.Close() // ends the reader
	reader.Wait()
	return err
}

// asking sends the questions, until nobody waits any more or the reader has come
// to its end.
func (o *lookout) asking(ctx context.Context, t *tower, broken <-chan error) error {
	var out []byte
	quiet := false
	look := time.NewTicker(linger)
	defer look.Stop()
	for {
		for {
			out = o.ask(out[:0], o.instance.cfg.Timeout)
			if len(out) == 0 {
				break
			}
			if err := t.send(out, o.instance.cfg.Timeout); err != nil {
				return err
			}
		}
		select {
		case <-o.wake:
		case <-look.C:
			if quiet && o.idle() {
				return nil
			}
			quiet = o.idle()
		case err := <-broken:
			return err
		case <-ctx.Done():
			return nil
		}
	}
}

func (t *tower) send(questions []byte, timeout time.Duration) error {
	if err := t.net.SetWriteDeadline(time.Now().Add(timeout)); err != nil {
		return err
	}
	_, err := t.net.Write(questions)
	return err
}

// read takes in what the server says, until the connection ends.
func (o *lookout) read(t *tower) error {
	var r reply
	for {
		if err := r.read(t.in); err != nil {
			return err
		}
		if r.unread {
			return errUnread
		}
		switch {
		case r.kind == pushReply && r.isInvalidation():
			o.invalidated(&r.list[1])
		case r.kind == pushReply: // about something else
		case r.kind == errorReply && o.instance.elsewhere(&r):
			if !o.answer(unknownLeft) {
				return errNotRedis
			}
		case r.kind == errorReply:
			return r.err()
		case r.kind != numberReply || !o.answer(r.n):
			return errNotRedis
		}
	}
}

func (r *reply) isInvalidation() bool {
	return len(r.list) == 2 && string(r.list[0].text) == "invalidate"
}

// invalidated reads the keys of an invalidation: none stands for all, and so do more
// than we can read.
func (o *lookout) invalidated(keys *reply) {
	if keys.kind == nilReply || keys.cut {
		o.flushed()
		return
	}
	for k := range keys.list {
		o.changed(string(keys.list[k].text))
	}
}
