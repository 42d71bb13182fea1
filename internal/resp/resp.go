// Package resp writes commands and reads replies in RESP2, the protocol of Redis, and in as much of RESP3 as the
// server's own messages need.
//
// go-redis opens the connections: address, TLS, AUTH, database, Sentinel. What locking asks are the same few questions
// a hundred thousand times a second, whose encoding and decoding would be most of what we cost. Here a command is
// appended to one buffer, and a reply is read without garbage.
//
// # Contract
//
//   - A Reply keeps at most 4 KB of a text, 512 items of a list, and three levels of lists in lists. What is too much is
//     read and thrown away, up to 256 KB: then the next reply is still read as what it is.
//   - Longer ones are not read to their end (Reply.Unread): the connection is of no use any more.
//   - Bytes that are no RESP are ErrNotRedis.
package resp

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"math"
	"strconv"
)

// AppendArray begins a command of n arguments.
func AppendArray(out []byte, n int) []byte {
	out = append(out, '*')
	out = strconv.AppendInt(out, int64(n), 10)
	return append(out, '\r', '\n')
}

// AppendArg appends one argument.
func AppendArg(out []byte, arg string) []byte {
	out = append(out, '$')
	out = strconv.AppendInt(out, int64(len(arg)), 10)
	out = append(out, '\r', '\n')
	out = append(out, arg...)
	return append(out, '\r', '\n')
}

// AppendArg2 appends one argument that is two texts, one behind the other.
func AppendArg2(out []byte, arg, more string) []byte {
	out = append(out, '$')
	out = strconv.AppendInt(out, int64(len(arg)+len(more)), 10)
	out = append(out, '\r', '\n')
	out = append(append(out, arg...), more...)
	return append(out, '\r', '\n')
}

// AppendNumber appends a number as an argument.
func AppendNumber(out []byte, n int64) []byte {
	var digits [20]byte
	text := strconv.AppendInt(digits[:0], n, 10)
	out = append(out, '$')
	out = strconv.AppendInt(out, int64(len(text)), 10)
	out = append(out, '\r', '\n')
	out = append(out, text...)
	return append(out, '\r', '\n')
}

// Reply is what the server answered. Its parts are good until the next one is
// read into it.
type Reply struct {
	Kind   Kind
	Cut    bool // there was more of it, which is not kept
	Unread bool // and that is so long that it is not even read: the connection is of no use any more, and nothing of ours has such an answer
	N      int64
	Text   []byte
	List   []Reply
}

// Kind is the type of a Reply.
type Kind uint8

// The kinds of replies, and what they set of a Reply.
const (
	Nil    Kind = iota // nothing
	Number             // N
	Text               // Text, a bulk string
	Status             // Text
	Error              // Text
	List               // List
	Push               // List, which nobody asked for (RESP3)
	Other              // of another type that RESP2 has not; nothing of it is kept
)

// What we want of a reply is short. A longer one is no reason to give up the connection:
// what is too much of it is read and thrown away.
const (
	maxText = 4 << 10   // how many bytes of a text are kept
	maxList = 1 << 9    // how many items of a list
	maxNest = 2         // how deep
	maxSkip = 256 << 10 // how many bytes are thrown away: in so short a time that nobody minds
)

// Read reads one reply. Unless it is unread, what is read next is the next one.
func (r *Reply) Read(in *bufio.Reader) error {
	r.Unread = false
	err := r.readNested(in, 0)
	if err == ErrUnread { // the bare value
		r.Unread = true
		return nil
	}
	return err
}

func (r *Reply) readNested(in *bufio.Reader, depth int) error {
	r.Cut = false
	line, err := in.ReadSlice('\n')
	switch {
	case err == bufio.ErrBufferFull: // the bare value
		return r.readLongLine(in, line)
	case err != nil:
		return err
	case len(line) < 3 || line[len(line)-2] != '\r':
		return ErrNotRedis
	}
	head := line[1 : len(line)-2]
	switch line[0] {
	case '+', '-':
		r.setLine(line[0], head)
		return nil
	case '_':
		r.Kind = Nil
		return nil
	case '#', ',', '(', '=', '!', '~', '%':
		r.Kind = Other
		return newSkipper(in).value(line[0], head)
	}
	n, ok := parseNumber(head)
	if !ok {
		return ErrNotRedis
	}
	switch line[0] {
	case ':':
		r.Kind, r.N = Number, n
		return nil
	case '$':
		return r.readText(in, n)
	case '*':
		return r.readList(in, n, depth)
	case '>':
		err := r.readList(in, n, depth)
		r.Kind = Push
		return err
	}
	return ErrNotRedis
}

// setLine takes a status or an error.
func (r *Reply) setLine(mark byte, text []byte) {
	r.Kind = Status
	if mark == '-' {
		r.Kind = Error
	}
	r.Cut = len(text) > maxText
	r.Text = append(r.Text[:0], text[:min(len(text), maxText)]...)
}

// readLongLine reads a line that does not fit into the buffer: only a status or an
// error may be so long.
func (r *Reply) readLongLine(in *bufio.Reader, beginning []byte) error {
	mark, last := beginning[0], beginning[len(beginning)-1]
	if mark != '+' && mark != '-' {
		return ErrNotRedis
	}
	r.setLine(mark, beginning[1:])
	r.Cut = true
	return newSkipper(in).restOfLine(last)
}

func (r *Reply) readText(in *bufio.Reader, n int64) error {
	switch {
	case n == -1:
		r.Kind = Nil
		return nil
	case n < 0:
		return ErrNotRedis
	case n > maxText:
		return r.readLongText(in, n)
	}
	r.Kind = Text
	if cap(r.Text) < int(n)+2 {
		r.Text = make([]byte, n+2)
	}
	r.Text = r.Text[:n+2]
	if _, err := io.ReadFull(in, r.Text); err != nil {
		return err
	}
	if !bytes.HasSuffix(r.Text, []byte("\r\n")) {
		return ErrNotRedis
	}
	r.Text = r.Text[:n]
	return nil
}

// readLongText keeps the beginning.
func (r *Reply) readLongText(in *bufio.Reader, n int64) error {
	r.Kind, r.Cut = Text, true
	if cap(r.Text) < maxText {
		r.Text = make([]byte, maxText)
	}
	r.Text = r.Text[:maxText]
	if _, err := io.ReadFull(in, r.Text); err != nil {
		return err
	}
	return newSkipper(in).text(n - maxText)
}

func (r *Reply) readList(in *bufio.Reader, n int64, depth int) error {
	switch {
	case n == -1:
		r.Kind = Nil
		return nil
	case n < 0:
		return ErrNotRedis
	}
	r.Kind = List
	kept := int(min(n, maxList))
	if depth == maxNest {
		kept = 0
	}
	for len(r.List) < kept {
		r.List = append(r.List, Reply{})
	}
	r.List = r.List[:kept]
	for k := range r.List {
		if err := r.List[k].readNested(in, depth+1); err != nil {
			r.List = r.List[:k]
			return err
		}
	}
	if n == int64(kept) {
		return nil
	}
	r.Cut = true
	return newSkipper(in).values(n - int64(kept))
}

// parseNumber reads a decimal number: any that an int64 can be.
func parseNumber(digits []byte) (n int64, ok bool) {
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

// Err is what the server replied instead of an answer.
func (r *Reply) Err() error { return ServerError(r.Text) }

// ErrNotRedis is why a reply cannot be read: it is no RESP.
var ErrNotRedis = errors.New("what answers there does not speak the Redis protocol")

// ServerError is an error in the server's own words.
type ServerError string

func (e ServerError) Error() string { return string(e) }
func (e ServerError) RedisError()   {} // as go-redis marks them
