package instance

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"math"
	"strconv"
)

// The few lines of RESP2 that locking takes. go-redis opens the connection:
// address, TLS, AUTH, database, Sentinel. What follows are the same five
// questions a hundred thousand times a second, whose encoding and decoding would
// be most of what we cost: here a question is appended to one buffer, and a reply
// is read without garbage.

// appendArray begins a command of n arguments.
func appendArray(out []byte, n int) []byte {
	out = append(out, '*')
	out = strconv.AppendInt(out, int64(n), 10)
	return append(out, '\r', '\n')
}

// appendArg appends one argument.
func appendArg(out []byte, arg string) []byte {
	out = append(out, '$')
	out = strconv.AppendInt(out, int64(len(arg)), 10)
	out = append(out, '\r', '\n')
	out = append(out, arg...)
	return append(out, '\r', '\n')
}

// appendNumber appends a number as an argument.
func appendNumber(out []byte, n int64) []byte {
	var digits [20]byte
	text := strconv.AppendInt(digits[:0], n, 10)
	out = append(out, '$')
	out = strconv.AppendInt(out, int64(len(text)), 10)
	out = append(out, '\r', '\n')
	out = append(out, text...)
	return append(out, '\r', '\n')
}

// appendScript begins the call of a script with the given keys, and as many
// arguments behind them.
func appendScript(out []byte, s lua, keys, args int) []byte {
	out = appendArray(out, 3+keys+args)
	out = append(out, "$7\r\nevalsha\r\n"...)
	out = appendArg(out, s.sha)
	return appendNumber(out, int64(keys))
}

// reply is what the server answered. Its parts are good until the next one is
// read into it.
type reply struct {
	kind   replyKind
	cut    bool // there was more of it, which is not kept
	unread bool // and that is so long that it is not even read: the connection is of no use any more, and nothing of ours has such an answer
	n      int64
	text   []byte
	list   []reply
}

type replyKind uint8

const (
	nilReply replyKind = iota
	numberReply
	textReply
	statusReply
	errorReply
	listReply
	pushReply // a list that nobody asked for (RESP3)
	oddReply  // of another type that RESP2 has not; nothing of it is kept
)

// What we want of a reply is short. A longer one is no reason to give up the connection:
// what is too much of it is read and thrown away.
const (
	maxText = 4 << 10   // how many bytes of a text are kept
	maxList = 1 << 9    // how many items of a list
	maxNest = 2         // how deep
	maxSkip = 256 << 10 // how many bytes are thrown away: in so short a time that nobody minds
)

// read reads one reply. Unless it is unread, what is read next is the next one.
func (r *reply) read(in *bufio.Reader) error {
	r.unread = false
	err := r.readNested(in, 0)
	if err == errUnread { //nolint:errorlint // the bare value
		r.unread = true
		return nil
	}
	return err
}

func (r *reply) readNested(in *bufio.Reader, depth int) error {
	r.cut = false
	line, err := in.ReadSlice('\n')
	switch {
	case err == bufio.ErrBufferFull: //nolint:errorlint // the bare value
		return r.readLongLine(in, line)
	case err != nil:
		return err
	case len(line) < 3 || line[len(line)-2] != '\r':
		return errNotRedis
	}
	head := line[1 : len(line)-2]
	switch line[0] {
	case '+', '-':
		r.setLine(line[0], head)
		return nil
	case '_':
		r.kind = nilReply
		return nil
	case '#', ',', '(', '=', '!', '~', '%':
		r.kind = oddReply
		return newSkipper(in).value(line[0], head)
	}
	n, ok := number(head)
	if !ok {
		return errNotRedis
	}
	switch line[0] {
	case ':':
		r.kind, r.n = numberReply, n
		return nil
	case '$':
		return r.readText(in, n)
	case '*':
		return r.readList(in, n, depth)
	case '>':
		err := r.readList(in, n, depth)
		r.kind = pushReply
		return err
	}
	return errNotRedis
}

// setLine takes a status or an error.
func (r *reply) setLine(mark byte, text []byte) {
	r.kind = statusReply
	if mark == '-' {
		r.kind = errorReply
	}
	r.cut = len(text) > maxText
	r.text = append(r.text[:0], text[:min(len(text), maxText)]...)
}

// readLongLine reads a line that does not fit into the buffer: only a status or an
// error may be so long.
func (r *reply) readLongLine(in *bufio.Reader, beginning []byte) error {
	mark, last := beginning[0], beginning[len(beginning)-1]
	if mark != '+' && mark != '-' {
		return errNotRedis
	}
	r.setLine(mark, beginning[1:])
	r.cut = true
	return newSkipper(in).restOfLine(last)
}

func (r *reply) readText(in *bufio.Reader, n int64) error {
	switch {
	case n == -1:
		r.kind = nilReply
		return nil
	case n < 0:
		return errNotRedis
	case n > maxText:
		return r.readLongText(in, n)
	}
	r.kind = textReply
	if cap(r.text) < int(n)+2 {
		r.text = make([]byte, n+2)
	}
	r.text = r.text[:n+2]
	if _, err := io.ReadFull(in, r.text); err != nil {
		return err
	}
	if !bytes.HasSuffix(r.text, []byte("\r\n")) {
		return errNotRedis
	}
	r.text = r.text[:n]
	return nil
}

// readLongText keeps the beginning.
func (r *reply) readLongText(in *bufio.Reader, n int64) error {
	r.kind, r.cut = textReply, true
	if cap(r.text) < maxText {
		r.text = make([]byte, maxText)
	}
	r.text = r.text[:maxText]
	if _, err := io.ReadFull(in, r.text); err != nil {
		return err
	}
	return newSkipper(in).text(n - maxText)
}

func (r *reply) readList(in *bufio.Reader, n int64, depth int) error {
	switch {
	case n == -1:
		r.kind = nilReply
		return nil
	case n < 0:
		return errNotRedis
	}
	r.kind = listReply
	kept := int(min(n, maxList))
	if depth == maxNest {
		kept = 0
	}
	for len(r.list) < kept {
		r.list = append(r.list, reply{})
	}
	r.list = r.list[:kept]
	for k := range r.list {
		if err := r.list[k].readNested(in, depth+1); err != nil {
			r.list = r.list[:k]
			return err
		}
	}
	if n == int64(kept) {
		return nil
	}
	r.cut = true
	return newSkipper(in).values(n - int64(kept))
}

// number reads a decimal number: any that an int64 can be.
func number(digits []byte) (n int64, ok bool) {
	negative := len(digits) > 0 && digits[0] == '-'
	if negative {
		digits = digits[1:]
	}
	if len(digits) == 0 || len(digits) > 19 {
		return 0, false
	}
	var u uint64 // 19 digits fit
	for _, d := range digits {
		if d < '0' || d > '9' {
			return 0, false
		}
		u = u*10 + uint64(d-'0')
	}
	switch {
	case negative && u <= 1<<63:
		return -int64(u), true
	case negative || u > math.MaxInt64:
		return 0, false
	}
	return int64(u), true
}

// isNoScript: the server has forgotten our scripts.
func (r *reply) isNoScript() bool {
	return r.kind == errorReply && bytes.HasPrefix(r.text, []byte("NOSCRIPT"))
}

// err is what the server replied instead of an answer.
func (r *reply) err() error { return serverError(r.text) }

// serverError is an error in the server's own words.
type serverError string

func (e serverError) Error() string { return string(e) }
func (e serverError) RedisError()   {} // as go-redis marks them

var errForgetful = fmt.Errorf("the server forgets the lock scripts as soon as they are loaded")
