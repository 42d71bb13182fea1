package instance

import (
	"bytes"
	"errors"
	"strconv"
)

// reply takes one raw reply of the server. go-redis makes an error of every nil
// reply and then asks itself a dozen questions about it; the answer "there was
// no holder" is our most frequent one.
type reply []byte

// Write appends to the reply; go-redis calls it.
func (r *reply) Write(p []byte) (int, error) {
	*r = append(*r, p...)
	return len(p), nil
}

// bulk reads a bulk string: its text, or that it is nil, or the server's error.
func (r reply) bulk() (text string, isNil bool, err error) {
	head, body, ok := bytes.Cut(r, []byte("\r\n"))
	if !ok || len(head) == 0 {
		return "", false, errNotRedis
	}
	switch head[0] {
	case '-':
		return "", false, serverError(head[1:])
	case '_': // nil in RESP3
		return "", true, nil
	case '$':
		n, err := strconv.Atoi(string(head[1:]))
		switch {
		case err != nil || n > len(body):
			return "", false, errNotRedis
		case n < 0:
			return "", true, nil
		}
		return string(body[:n]), false, nil
	}
	return "", false, errNotRedis
}

// serverError is what the server replied instead of an answer.
type serverError string

func (e serverError) Error() string { return string(e) }
func (e serverError) RedisError()   {} // as go-redis marks them

var errForgetful = errors.New("the server forgets the lock scripts as soon as they are loaded")
