package resp

import (
	"bufio"
	"errors"
)

// skipper reads what is not kept of a reply: no more than maxSkip bytes, and then its
// methods return ErrUnread.
type skipper struct {
	in   *bufio.Reader
	left int64
}

// ErrUnread: see Reply.Unread.
var ErrUnread = errors.New("the rest of the reply is not worth waiting for")

func newSkipper(in *bufio.Reader) *skipper { return &skipper{in, maxSkip} }

// values reads so many values. What is in lists is counted with them: however deep
// they are, one loop is enough.
func (s *skipper) values(n int64) error {
	for n > 0 {
		line, err := s.in.ReadSlice('\n')
		s.left -= int64(len(line))
		switch {
		case s.left < 0 || n > maxSkip:
			return ErrUnread
		case err == bufio.ErrBufferFull && (line[0] == '+' || line[0] == '-'): // the bare value
			if err := s.restOfLine(line[len(line)-1]); err != nil {
				return err
			}
			n--
			continue
		case err == bufio.ErrBufferFull: // the bare value
			return ErrNotRedis
		case err != nil:
			return err
		case len(line) < 3 || line[len(line)-2] != '\r':
			return ErrNotRedis
		}
		inside, err := s.behind(line[0], line[1:len(line)-2])
		if err != nil {
			return err
		}
		n += inside - 1
	}
	return nil
}

// value reads the rest of one value, whose line has been read.
func (s *skipper) value(mark byte, head []byte) error {
	inside, err := s.behind(mark, head)
	if err != nil {
		return err
	}
	return s.values(inside)
}

// behind reads what comes behind a line, but for the values that are inside a list:
// it returns how many there are.
func (s *skipper) behind(mark byte, head []byte) (inside int64, err error) {
	switch mark {
	case '+', '-', '_', '#', ',', '(':
		return 0, nil
	}
	n, ok := parseNumber(head)
	switch {
	case !ok:
		return 0, ErrNotRedis
	case mark == ':':
		return 0, nil
	case n < -1:
		return 0, ErrNotRedis
	}
	switch n = max(n, 0); mark {
	case '$', '=', '!':
		if head[0] == '-' {
			return 0, nil
		}
		return 0, s.text(n)
	case '*', '~', '>':
		return min(n, maxSkip+2), nil // more is too many
	case '%':
		return 2 * min(n, maxSkip+2), nil
	}
	return 0, ErrNotRedis
}

// Text reads so many bytes, and the end of the line.
func (s *skipper) text(n int64) error {
	if s.left -= n; s.left < 0 {
		return ErrUnread
	}
	if _, err := s.in.Discard(int(n)); err != nil {
		return err
	}
	end, err := s.in.Peek(2)
	switch {
	case err != nil:
		return err
	case string(end) != "\r\n":
		return ErrNotRedis
	}
	_, err = s.in.Discard(2)
	return err
}

// restOfLine reads to the end of a line, in which last was the byte before.
func (s *skipper) restOfLine(last byte) error {
	for s.left >= 0 {
		line, err := s.in.ReadSlice('\n')
		s.left -= int64(len(line))
		switch {
		case err == nil && len(line) > 1:
			last = line[len(line)-2]
			fallthrough
		case err == nil:
			if last != '\r' {
				return ErrNotRedis
			}
			return nil
		case err != bufio.ErrBufferFull: // the bare value
			return err
		}
		last = line[len(line)-1]
	}
	return ErrUnread
}
