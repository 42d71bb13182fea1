package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/holdfast-go/holdfast/internal/scripts"
)

// batchFloor is the floor below whatever locks many resources at once: it sends the commands that Holdfast sends for a
// batch, encoded beforehand, in one write to each server, counts the replies, and wakes its caller once for all of them,
// when a majority of the servers has answered. For a resource and a server that is
//
//	SET resource token NX PX 10000
//	a 128th of a call of the script that releases many
//
// It does not lock, as the wire floor does not: tokens are never new, and nothing is known of the single resource.
var batchFloor = peer{name: "wire floor, batches", open: openBatchFloor}

// releasedAtOnce is how many locks one call of the script releases.
const releasedAtOnce = 128

type batchFloorLocker struct {
	wires   []*batchWire
	quorum  int
	failure atomic.Pointer[error]
	running sync.WaitGroup
}

func openBatchFloor(ctx context.Context, f *fleet) (locker, error) {
	l := &batchFloorLocker{quorum: f.quorum()}
	c := connect(f)
	defer c.close()
	for i, s := range f.servers {
		if err := c[i].ScriptLoad(ctx, scripts.ReleaseMany.Source).Err(); err != nil {
			l.close()
			return nil, err
		}
		conn, err := net.Dial(s.network, s.addr)
		if err != nil {
			l.close()
			return nil, err
		}
		w := &batchWire{conn: conn, letters: make(chan batchLetter, maxLetters)}
		l.wires = append(l.wires, w)
		l.running.Go(func() { w.run(l.fail) })
	}
	return l, nil
}

func (l *batchFloorLocker) close() {
	for _, w := range l.wires {
		close(w.letters)
	}
	l.running.Wait()
}

// fail notes the first thing that went wrong.
func (l *batchFloorLocker) fail(err error) { l.failure.CompareAndSwap(nil, &err) }

func (l *batchFloorLocker) session(resource string) session {
	return l.batch([]string{resource})
}

// batch is a session of many resources.
func (l *batchFloorLocker) batch(resources []string) session {
	s := &batchFloorSession{locker: l}
	s.acquiring.lines = len(resources) // each says +OK
	tokens := make([]string, len(resources))
	for k, resource := range resources {
		tokens[k] = rand.Text()
		s.acquiring.text = append(s.acquiring.text, encode("SET", resource, tokens[k], "NX", "PX", strconv.FormatInt(ttl.Milliseconds(), 10))...)
	}
	for len(resources) > 0 {
		n := min(len(resources), releasedAtOnce)
		s.releasing.text = scripts.ReleaseMany.AppendCall(s.releasing.text, n, n)
		for _, list := range [][]string{resources[:n], tokens[:n]} {
			for _, arg := range list {
				s.releasing.text = fmt.Appendf(s.releasing.text, "$%d\r\n%s\r\n", len(arg), arg)
			}
		}
		s.releasing.lines += 1 + n // each says *n, and :1 n times
		resources, tokens = resources[n:], tokens[n:]
	}
	return s
}

type batchFloorSession struct {
	locker               *batchFloorLocker
	acquiring, releasing batchLetter
}

func (s *batchFloorSession) acquire(context.Context) error { return s.send(s.acquiring) }
func (s *batchFloorSession) release(context.Context) error { return s.send(s.releasing) }

func (s *batchFloorSession) send(m batchLetter) error {
	m.ask = &batchAsk{decided: make(chan struct{}, 1)}
	m.ask.wanted.Store(int32(s.locker.quorum))
	for _, w := range s.locker.wires {
		w.letters <- m
	}
	<-m.ask.decided
	if err := s.locker.failure.Load(); err != nil {
		return *err
	}
	return nil
}

// batchAsk is one question to all servers.
type batchAsk struct {
	decided chan struct{} // one slot: sent to once, by the server that makes the majority
	wanted  atomic.Int32  // servers that are missing for it
}

func (a *batchAsk) reply() {
	if a.wanted.Add(-1) == 0 {
		a.decided <- struct{}{}
	}
}

// batchLetter is what is written at once.
type batchLetter struct {
	text  []byte
	lines int // of all replies
	ask   *batchAsk
}

// maxLetters is how many may wait for a server that is slower than the majority; then the callers wait for it.
const maxLetters = 64

// batchWire is one connection.
type batchWire struct {
	conn    net.Conn
	letters chan batchLetter
}

// run serves the wire until its letters are closed. openBatchFloor starts it, close ends it and waits for it.
func (w *batchWire) run(fail func(error)) {
	defer w.conn.Close()
	in := make([]byte, 1<<16)
	for m := range w.letters {
		if err := w.exchange(m, in); err != nil {
			fail(err)
		}
		m.ask.reply()
	}
}

// exchange writes a letter, and counts the lines of what comes back.
func (w *batchWire) exchange(m batchLetter, in []byte) error {
	if _, err := w.conn.Write(m.text); err != nil {
		return err
	}
	var c lineCounter
	for c.lines < m.lines {
		n, err := w.conn.Read(in)
		if err != nil {
			return err
		}
		if err := c.count(in[:n]); err != nil {
			return err
		}
	}
	if c.lines > m.lines {
		return errors.New("more replies than commands")
	}
	return nil
}

// lineCounter counts lines, which must be those of replies that grant.
type lineCounter struct {
	lines int
	at    int // in the line
	kind  byte
}

func (c *lineCounter) count(in []byte) error {
	for _, b := range in {
		switch {
		case b == '\n':
			c.lines++
			c.at = 0
			continue
		case c.at == 0:
			c.kind = b
		case c.at == 1 && c.kind != '*' && !(c.kind == '+' && b == 'O') && !(c.kind == ':' && b == '1'):
			return fmt.Errorf("unexpected reply: %q", in[:min(len(in), 100)])
		}
		c.at++
	}
	return nil
}
