// Package tracking is an instance's second connection, on which the server itself tells when a lock changes that somebody
// waits for, or holds and wants watched (CLIENT TRACKING, in RESP3): whoever changed it, another library too. There is none
// while there are no such locks.
//
//	Keep ─▶ watches ─▶ PTTL key, EXISTS key key … ─▶ server
//	           ▲                                       │  time left, or: not there
//	           └──── C ◀──────────── reader ◀──────────┴─ invalidate key
//
// A lock that is held is asked about in the same way, and also what its key has: see Held.
//
// It is a help, not a promise: where tracking is not permitted, not supported or broken, watches are not armed, and their
// owners look for themselves.
package tracking

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/redis/go-redis/v9"

	"github.com/holdfast-go/holdfast/internal/fault"
	"github.com/holdfast-go/holdfast/internal/reach"
	"github.com/holdfast-go/holdfast/internal/resp"
)

// Tracker owns the tracking connection. Its run is the one goroutine that opens it and asks
// on it; a reader takes in what the server says.
type Tracker struct {
	*watches
	opt      Options
	log      *slog.Logger
	client   *redis.Client    // opens the connection; in RESP3, else as the instance's
	dialed   chan *reach.Door // one slot: dialed by the Tracker, to be picked up by the client
	moves    atomic.Uint32    // how often Move was called
	timer    *time.Timer      // run's own
	reported bool             // that there is none has been logged
}

// linger is how long the connection stays when nobody waits any more.
const linger = time.Second

// askAgainAfter is how long it takes until a server is asked again that does not
// support or permit tracking.
const askAgainAfter = time.Minute

var errMoved = errors.New("the instance is another server by now")

var errNoTracking = errors.New("the server cannot tell of changes in RESP3")

// Options are what a Tracker needs of its instance.
type Options struct {
	Redis     *redis.Options                                                     // of the instance's own connection; it is copied
	Timeout   time.Duration                                                      // of a question
	Dial      func(ctx context.Context) (net.Conn, error)                        // where the instance is connected to
	IsSame    func(ctx context.Context, conn *redis.Conn, began time.Time) error // whether that is who answers
	Elsewhere func(r *resp.Reply) bool                                           // it is a node's that has not got the slot
	Redact    func(err error) error                                              // for the log
}

// New makes a Tracker, which Running runs.
func New(opt Options) *Tracker {
	t := &Tracker{watches: newWatches(), opt: opt, dialed: make(chan *reach.Door, 1)}
	mine := *opt.Redis
	mine.Protocol = 3
	mine.Dialer = func(context.Context, string, string) (net.Conn, error) {
		select {
		case conn := <-t.dialed:
			return conn, nil
		default:
			return reach.Unopened{}, nil
		}
	}
	t.client = redis.NewClient(&mine)
	return t
}

// Running runs it; what it returns ends that and waits for its end.
func (t *Tracker) Running(ctx context.Context, log *slog.Logger) (end func()) {
	t.log = log
	ctx, cancel := context.WithCancel(ctx)
	var running sync.WaitGroup
	running.Go(func() { t.run(ctx) })
	return func() {
		cancel()
		running.Wait()
		t.Close()
		t.endHeld()
	}
}

// Close closes what a Tracker has that has not been run.
func (t *Tracker) Close() { _ = t.client.Close() }

// Move says that the instance is another server by now: the connection goes there, too.
func (t *Tracker) Move() {
	t.moves.Add(1)
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.conn != nil {
		_ = t.conn.Close()
	}
}

// run has a connection whenever somebody waits, until ctx ends. The actor starts
// it and waits for it.
func (t *Tracker) run(ctx context.Context) {
	pauses := reach.NewProbes()
	t.timer = time.NewTimer(time.Hour)
	defer t.timer.Stop()
	for t.wanted(ctx) {
		c, err := t.open(ctx)
		if err == nil {
			pauses.Reset()
			err = t.serve(ctx, c)
			c.close()
		}
		if err != nil && !t.pause(ctx, err, pauses) {
			return
		}
	}
}

// wanted waits until somebody waits for a lock. It reports false when ctx ends.
func (t *Tracker) wanted(ctx context.Context) bool {
	for t.idle() {
		t.timer.Reset(t.alarm(time.Now()))
		select {
		case <-t.wake:
		case <-t.timer.C: // somebody has held a lock for so long that it is watched
		case <-ctx.Done():
		}
		if ctx.Err() != nil {
			return false
		}
	}
	return ctx.Err() == nil
}

// pause waits after a failure. It reports false when ctx ends.
func (t *Tracker) pause(ctx context.Context, err error, pauses backoff.BackOff) bool {
	pause := pauses.NextBackOff()
	r := fault.RefusalOf(err)
	if fault.IsServerError(err) && (r == nil || r.Class != fault.Passes) || errors.Is(err, errNoTracking) {
		pause = askAgainAfter
		if !t.reported {
			t.reported = true
			t.log.Warn("the server does not tell of changes: waiters poll, and holders learn of a loss with the next renewal", "reason", t.opt.Redact(err))
		}
	}
	t.rest(true)
	defer t.rest(false)
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// connection is the one on which the server tells.
type connection struct {
	conn  *redis.Conn
	net   net.Conn
	in    *bufio.Reader
	moves uint32 // of the instance, when it was begun
}

func (c *connection) close() {
	_ = c.net.Close()
	_ = c.conn.Close()
}

// open connects to where the actor is connected, and turns tracking on.
func (t *Tracker) open(ctx context.Context) (*connection, error) {
	ctx, cancel := context.WithTimeout(ctx, t.opt.Timeout)
	defer cancel()
	began, moves := time.Now(), t.moves.Load()
	conn, err := t.opt.Dial(ctx)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() }) // go-redis would not notice
	defer stop()
	at := reach.NewDoor(conn)
	t.dialed <- at
	c := &connection{conn: t.client.EphemeralConn(), net: conn, in: bufio.NewReader(conn), moves: moves}
	if err = fault.CutOff(ctx, c.track(ctx)); err == nil {
		err = t.opt.IsSame(ctx, c.conn, began)
	}
	select {
	case unused := <-t.dialed:
		_ = unused.Close()
	default:
	}
	if err != nil {
		c.close()
		return nil, at.Reason(err)
	}
	return c, nil
}

// track turns tracking on. go-redis falls back to RESP2 where HELLO fails, and
// then nothing is pushed: so it is asked once more which one it is.
func (c *connection) track(ctx context.Context) error {
	hello, err := c.conn.Hello(ctx, 3, "", "", "").Result()
	switch {
	case err != nil && fault.IsProtocolError(err):
		return errNoTracking
	case err != nil:
		return err
	case fmt.Sprint(hello["proto"]) != "3":
		return errNoTracking
	}
	return c.conn.Do(ctx, "client", "tracking", "on").Err()
}

// serve asks about watches until nobody waits any more, ctx ends, or the
// connection does: err says why then.
func (t *Tracker) serve(ctx context.Context, c *connection) error {
	t.connected(c.net)
	defer t.disconnected()
	if t.moves.Load() != c.moves {
		return errMoved
	}
	broken := make(chan error, 1) // one slot: the reader sends its end, once
	var reader sync.WaitGroup
	reader.Go(func() { broken <- t.read(c) })
	err := t.asking(ctx, c, broken)
	_ = c.net.Close() // ends the reader
	reader.Wait()
	return err
}

// asking sends the questions, until nobody waits any more or the reader has come
// to its end.
func (t *Tracker) asking(ctx context.Context, c *connection, broken <-chan error) error {
	var out []byte
	quiet := false
	look := time.NewTicker(linger)
	defer look.Stop()
	pace := time.NewTimer(0)
	defer pace.Stop()
	for {
		for {
			var later time.Duration
			if out, later = t.ask(out[:0], t.opt.Timeout); later > 0 {
				pace.Reset(later)
			}
			if len(out) == 0 {
				break
			}
			if err := c.send(out, t.opt.Timeout); err != nil {
				return err
			}
		}
		t.timer.Reset(t.alarm(time.Now()))
		select {
		case <-t.wake:
		case <-pace.C:
		case <-t.timer.C: // it is time to ask about a lock that is held
		case <-look.C:
			if quiet && t.idle() {
				return nil
			}
			quiet = t.idle()
		case err := <-broken:
			return err
		case <-ctx.Done():
			return nil
		}
	}
}

func (c *connection) send(questions []byte, timeout time.Duration) error {
	if err := c.net.SetWriteDeadline(time.Now().Add(timeout)); err != nil {
		return err
	}
	_, err := c.net.Write(questions)
	return err
}

// read takes in what the server says, until the connection ends.
func (t *Tracker) read(c *connection) error {
	var r resp.Reply
	for {
		if err := r.Read(c.in); err != nil {
			return err
		}
		if r.Unread {
			return resp.ErrUnread
		}
		if r.Kind != resp.Push {
			if taken, err := t.answerHeld(&r); err != nil {
				return err
			} else if taken {
				continue
			}
		}
		switch {
		case r.Kind == resp.Push && isInvalidation(&r):
			t.invalidated(&r.List[1])
		case r.Kind == resp.Push: // about something else
		case r.Kind == resp.Error && t.refused(): // they are asked about one by one
		case r.Kind == resp.Error && t.opt.Elsewhere(&r):
			if !t.answer(unknownLeft) {
				return resp.ErrNotRedis
			}
		case r.Kind == resp.Error:
			return r.Err()
		case r.Kind != resp.Number || !t.answer(r.N):
			return resp.ErrNotRedis
		}
	}
}

func isInvalidation(r *resp.Reply) bool {
	return len(r.List) == 2 && string(r.List[0].Text) == "invalidate"
}

// invalidated reads the keys of an invalidation: none stands for all, and so do more
// than we can read.
func (t *Tracker) invalidated(keys *resp.Reply) {
	if keys.Kind == resp.Nil || keys.Cut {
		t.flushed()
		return
	}
	for k := range keys.List {
		t.changed(string(keys.List[k].Text))
	}
}
