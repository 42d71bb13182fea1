package instance

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
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
	kind replyKind
	n    int64
	text []byte
	list []reply
}

type replyKind uint8

const (
	nilReply replyKind = iota
	numberReply
	textReply
	errorReply
	listReply
	pushReply // a list that nobody asked for (RESP3)
)

// Bounds of a reply: ours are short, and what is longer is not from a Redis that
// answers us.
const (
	maxReplyText = 1 << 20
	maxReplyList = 1 << 12
	maxReplyNest = 2
)

// read reads one reply.
func (r *reply) read(in *bufio.Reader) error { return r.readNested(in, 0) }

func (r *reply) readNested(in *bufio.Reader, depth int) error {
	line, err := in.ReadSlice('\n')
	switch {
	case err == bufio.ErrBufferFull: //nolint:errorlint // the bare value
		return errNotRedis
	case err != nil:
		return err
	case len(line) < 3 || line[len(line)-2] != '\r':
		return errNotRedis
	}
	head := line[1 : len(line)-2]
	switch line[0] {
	case '+', '-':
		r.kind = textReply
		if line[0] == '-' {
			r.kind = errorReply
		}
		r.text = append(r.text[:0], head...)
		return nil
	case '_':
		r.kind = nilReply
		return nil
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

func (r *reply) readText(in *bufio.Reader, n int64) error {
	switch {
	case n == -1:
		r.kind = nilReply
		return nil
	case n < 0 || n > maxReplyText:
		return errNotRedis
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

func (r *reply) readList(in *bufio.Reader, n int64, depth int) error {
	switch {
	case n == -1:
		r.kind = nilReply
		return nil
	case n < 0 || n > maxReplyList || depth == maxReplyNest:
		return errNotRedis
	}
	r.kind = listReply
	for len(r.list) < int(n) {
		r.list = append(r.list, reply{})
	}
	r.list = r.list[:n]
	for k := range r.list {
		if err := r.list[k].readNested(in, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// number reads a decimal number, as short as they are here.
func number(digits []byte) (n int64, ok bool) {
	negative := len(digits) > 0 && digits[0] == '-'
	if negative {
		digits = digits[1:]
	}
	if len(digits) == 0 || len(digits) > 18 {
		return 0, false
	}
	for _, d := range digits {
		if d < '0' || d > '9' {
			return 0, false
		}
		n = n*10 + int64(d-'0')
	}
	if negative {
		n = -n
	}
	return n, true
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
