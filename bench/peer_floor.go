package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/redis/go-redis/v9"
)

// wireFloor is the floor below every quorum lock that asks this much of its servers: per cycle and server one
//
//	SET resource token NX GET PX 10000
//	EVALSHA (delete if it is ours) 1 resource token
//
// It does not lock: tokens are never new, commands are encoded beforehand, replies are counted and not read, and nobody
// keeps time. One connection a server; its goroutine sends all that waits in one write and counts the replies; a caller
// waits for a majority.
var wireFloor = peer{name: "wire floor", open: openFloor}

const deleteIfOurs = `if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0`

type floorLocker struct {
	wires   []*wire
	quorum  int
	script  string
	asks    sync.Pool // of *ask
	failure atomic.Pointer[error]
	running sync.WaitGroup
}

func openFloor(ctx context.Context, f *fleet) (locker, error) {
	l := &floorLocker{quorum: f.quorum(), script: redis.NewScript(deleteIfOurs).Hash()}
	l.asks.New = func() any { return &ask{locker: l, decided: make(chan struct{}, 1)} }
	c := connect(f)
	defer c.close()
	for i, s := range f.servers {
		if err := c[i].ScriptLoad(ctx, deleteIfOurs).Err(); err != nil {
			l.close()
			return nil, err
		}
		conn, err := net.Dial(s.network, s.addr)
		if err != nil {
			l.close()
			return nil, err
		}
		w := &wire{conn: conn, wake: make(chan struct{}, 1)}
		l.wires = append(l.wires, w)
		l.running.Go(func() { w.run(l.fail) })
	}
	return l, nil
}

func (l *floorLocker) close() {
	for _, w := range l.wires {
		w.close()
	}
	l.running.Wait()
}

// fail notes the first thing that went wrong.
func (l *floorLocker) fail(err error) { l.failure.CompareAndSwap(nil, &err) }

func (l *floorLocker) session(resource string) session {
	token := rand.Text()
	return &floorSession{
		locker: l,
		set:    encode("SET", resource, token, "NX", "GET", "PX", strconv.FormatInt(ttl.Milliseconds(), 10)),
		del:    encode("EVALSHA", l.script, "1", resource, token),
	}
}

// encode writes a command as Redis reads it.
func encode(args ...string) []byte {
	var b strings.Builder
	fmt.Fprintf(&b, "*%d\r\n", len(args))
	for _, arg := range args {
		fmt.Fprintf(&b, "$%d\r\n%s\r\n", len(arg), arg)
	}
	return []byte(b.String())
}

type floorSession struct {
	locker   *floorLocker
	set, del []byte
}

func (s *floorSession) acquire(context.Context) error { return s.locker.do(s.set) }
func (s *floorSession) release(context.Context) error { return s.locker.do(s.del) }

// do sends a command to every server and waits for a majority of replies.
func (l *floorLocker) do(command []byte) error {
	a := l.asks.Get().(*ask)
	a.wanted.Store(int32(l.quorum))
	a.open.Store(int32(len(l.wires)) + 1)
	for _, w := range l.wires {
		w.post(letter{command, a})
	}
	<-a.decided
	a.free()
	if err := l.failure.Load(); err != nil {
		return *err
	}
	return nil
}

// ask is one question to all servers.
type ask struct {
	locker  *floorLocker
	decided chan struct{} // one slot: sent to once, by the reply that makes the majority
	wanted  atomic.Int32  // replies still missing for a majority
	open    atomic.Int32  // replies still missing, and the caller
}

// reply counts one reply.
func (a *ask) reply() {
	if a.wanted.Add(-1) == 0 {
		a.decided <- struct{}{}
	}
	a.free()
}

// free makes the ask free when the last reply is there and the caller has left.
func (a *ask) free() {
	if a.open.Add(-1) == 0 {
		a.locker.asks.Put(a)
	}
}

// wire is one connection.
type wire struct {
	conn net.Conn
	wake chan struct{} // one slot: "look again"

	mu     sync.Mutex
	queue  []letter
	closed bool
}

type letter struct {
	text []byte
	ask  *ask
}

var errClosed = errors.New("closed")

func (w *wire) post(m letter) {
	w.mu.Lock()
	if w.closed {
		w.mu.Unlock()
		m.ask.locker.fail(errClosed)
		m.ask.reply()
		return
	}
	w.queue = append(w.queue, m)
	w.mu.Unlock()
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// take waits for letters and returns all of them, or none when the wire is closed.
func (w *wire) take(into []letter) []letter {
	for {
		w.mu.Lock()
		batch, closed := w.queue, w.closed
		if len(batch) > 0 {
			w.queue = into[:0]
		}
		w.mu.Unlock()
		if len(batch) > 0 || closed {
			return batch
		}
		<-w.wake
	}
}

func (w *wire) close() {
	w.mu.Lock()
	w.closed = true
	w.mu.Unlock()
	_ = w.conn.Close()
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// run serves the wire until it is closed. openFloor starts it, close ends it and waits for it.
func (w *wire) run(fail func(error)) {
	var batch []letter
	var out []byte
	in := make([]byte, 1<<16)
	for {
		batch = w.take(batch)
		if len(batch) == 0 {
			return
		}
		out = out[:0]
		for _, m := range batch {
			out = append(out, m.text...)
		}
		answered, err := w.exchange(out, in, batch)
		if err != nil {
			fail(err)
			for _, m := range batch[answered:] {
				m.ask.reply()
			}
		}
	}
}

// exchange writes a batch and passes its replies on as they come. It returns how many came.
func (w *wire) exchange(out, in []byte, batch []letter) (answered int, err error) {
	if _, err := w.conn.Write(out); err != nil {
		return 0, err
	}
	var c counter
	for answered < len(batch) {
		n, err := w.conn.Read(in)
		if err != nil {
			return answered, err
		}
		replies, err := c.count(in[:n])
		if err == nil && replies > len(batch)-answered {
			err = errors.New("more replies than commands")
		}
		if err != nil {
			return answered, err
		}
		for _, m := range batch[answered : answered+replies] {
			m.ask.reply()
		}
		answered += replies
	}
	return answered, nil
}

// counter counts replies. Both commands answer with one line, "$-1" or ":1"; any other means that the floor does not
// do what it is there to measure.
type counter struct {
	at   int // in the line
	kind byte
}

func (c *counter) count(in []byte) (replies int, err error) {
	for _, b := range in {
		switch {
		case b == '\n':
			replies++
			c.at = 0
			continue
		case c.at == 0:
			c.kind = b
		case c.at == 1 && !(c.kind == '$' && b == '-') && !(c.kind == ':' && b == '1'):
			return replies, fmt.Errorf("unexpected reply: %q", in)
		}
		c.at++
	}
	return replies, nil
}
