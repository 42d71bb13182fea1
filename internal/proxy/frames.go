package proxy

import (
	"bytes"
	"strconv"
	"sync"
)

// framer cuts a stream into whole RESP values.
type framer struct {
	rest []byte // the beginning of a value
	raw  bool   // this is not RESP
}

// maxValue bounds a value: a longer one is passed on as it comes, and so is all
// that is behind it.
const maxValue = 1 << 20

// add takes more of the stream and returns the values that are complete. They are
// good until the next call.
func (f *framer) add(more []byte) (values [][]byte) {
	if f.raw {
		if len(more) == 0 {
			return nil
		}
		return [][]byte{more}
	}
	stream := append(f.rest, more...)
	for len(stream) > 0 {
		n, ok := value(stream)
		if !ok || n == 0 && len(stream) > maxValue {
			f.raw, f.rest = true, nil
			return append(values, stream)
		}
		if n == 0 {
			break
		}
		values = append(values, stream[:n])
		stream = stream[n:]
	}
	f.rest = bytes.Clone(stream)
	return values
}

// value returns the length of the RESP value that b begins with, 0 when b has
// only a part of it; ok is false when it is not RESP.
func value(b []byte) (n int, ok bool) {
	end := bytes.IndexByte(b, '\n')
	if end < 0 {
		return 0, len(b) == 0 || isType(b[0])
	}
	if end < 2 || b[end-1] != '\r' {
		return 0, false
	}
	kind, head := b[0], b[1:end-1]
	n = end + 1
	switch kind {
	case '+', '-', ':', '_', '#', ',', '(':
		return n, true
	}
	count, err := strconv.Atoi(string(head))
	switch {
	case err != nil || !isType(kind):
		return 0, false
	case count < 0: // a nil
		return n, true
	}
	switch kind {
	case '$', '=', '!':
		if n += count + 2; n > len(b) {
			return 0, true
		}
		return n, true
	case '%':
		count *= 2
	}
	for range count {
		part, ok := value(b[n:])
		if !ok || part == 0 {
			return 0, ok
		}
		n += part
	}
	return n, true
}

func isType(b byte) bool { return bytes.IndexByte([]byte("+-:_#,($=!*~>%"), b) >= 0 }

// repeatable reports whether a request may be sent twice: one that has one reply,
// and none of those with which a client introduces itself.
func repeatable(request []byte) bool {
	name, ok := commandName(request)
	return ok && (bytes.EqualFold(name, []byte("SET")) || bytes.EqualFold(name, []byte("EVALSHA")) || bytes.EqualFold(name, []byte("EVAL")))
}

// commandName returns the first of a request's arguments.
func commandName(request []byte) (name []byte, ok bool) {
	_, args, ok := bytes.Cut(request, []byte("\r\n$"))
	if !ok {
		return nil, false
	}
	_, args, _ = bytes.Cut(args, []byte("\r\n"))
	name, _, ok = bytes.Cut(args, []byte("\r\n"))
	return name, ok
}

// duplicates knows which replies of a connection are to second executions.
type duplicates struct {
	mu       sync.Mutex
	requests int
	replies  int
	seconds  []int // numbers of requests, ascending
}

func (d *duplicates) asked(n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.requests += n
}

// again counts a request that was sent for the second time.
func (d *duplicates) again() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.requests++
	d.seconds = append(d.seconds, d.requests)
}

// isSecond counts a reply and reports whether it is to be kept back. What a
// server sends unasked is no reply.
func (d *duplicates) isSecond(reply []byte) bool {
	if reply[0] == '>' {
		return false
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.replies++
	if len(d.seconds) == 0 || d.seconds[0] != d.replies {
		return false
	}
	d.seconds = d.seconds[1:]
	return true
}

func (p *Proxy) duplicating() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.state.duplicate
}
