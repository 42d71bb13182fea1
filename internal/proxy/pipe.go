package proxy

import (
	"net"
	"time"
)

// queueRoom is how many chunks may be under way in one direction of a connection,
// of chunkSize bytes at most.
const (
	queueRoom = 1024
	chunkSize = 32 << 10
)

// pipe is one direction of a connection.
type pipe struct {
	conn     *conn
	dir      Direction
	from, to net.Conn
	queue    chan chunk // sent to and closed by read
	frames   framer
}

// chunk is bytes that arrived together: whole requests or replies.
type chunk struct {
	bytes  []byte
	values int
	due    time.Time // later than that of the chunk before, or the same
}

// read takes bytes in, decides what becomes of them, and stamps them. It ends
// when there are no more, or the connection ends.
func (p *pipe) read() {
	defer close(p.queue)
	buf := make([]byte, chunkSize)
	var due time.Time
	for {
		n, err := p.from.Read(buf)
		if p.conn.ended() {
			return
		}
		bytes, values := p.edit(buf[:n])
		if len(bytes) > 0 || err != nil {
			f, at := p.conn.judge(p.dir, values)
			switch {
			case f == vanishes && err != nil: // nobody learns that this end is closed
				<-p.conn.gone
				return
			case f == vanishes:
				continue
			case f == breaks:
				p.conn.reset()
				return
			}
			if at.After(due) {
				due = at
			}
			select {
			case p.queue <- chunk{bytes, values, due}:
			case <-p.conn.gone:
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// edit cuts whole requests or replies off the stream, and doubles or leaves out
// what is to be. Half a request whose end never comes is not passed on: no server
// would act on it.
func (p *pipe) edit(read []byte) (bytes []byte, values int) {
	twice := p.dir == Requests && p.conn.proxy.duplicating()
	for _, v := range p.frames.add(read) {
		if p.dir == Replies && p.conn.duplicates.isSecond(v) {
			continue
		}
		bytes = append(bytes, v...)
		values++
		if p.dir == Requests {
			p.conn.duplicates.asked(1)
			if twice && repeatable(v) {
				bytes = append(bytes, v...)
				p.conn.duplicates.again()
			}
		}
	}
	return bytes, values
}

// write sends each chunk when its time has come. It reports true when all has
// been said, and false when the connection was ended. Where nobody listens any
// more it goes on, into the void: what the other end says must not pile up.
func (p *pipe) write() bool {
	listens := true
	for c := range p.queue {
		if !p.conn.await(p.dir, c.due) {
			return false
		}
		p.conn.passed(p.dir, c.values)
		if listens {
			_, err := p.to.Write(c.bytes)
			listens = err == nil
		}
	}
	return !p.conn.ended()
}
