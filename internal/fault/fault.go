// Package fault tells errors apart: what a server says from what the network does, what passes by itself from what
// somebody must mend, and what may be shown from what may not.
//
// # Contract
//
//   - An error that a server replied with is classified by one table (refusals.go): it passes, it lasts, or we
//     mend it. One that the table does not have is taken to pass.
//   - A fault that we find ourselves lasts if NewLasting made it.
//   - What a server quotes of a command (its arguments, whole tokens, control characters) is not shown: Quoted.
//   - An error with another text (Reword) keeps its class and nothing else of the original.
package fault

import (
	"context"
	"errors"
	"net"
	"os"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/holdfast-go/holdfast/internal/resp"
)

// ErrTimeout is what is said of every answer that is late.
var ErrTimeout = errors.New("no answer in time")

func IsTimeout(err error) bool {
	var n net.Error
	return errors.Is(err, os.ErrDeadlineExceeded) ||
		errors.Is(err, context.DeadlineExceeded) ||
		errors.As(err, &n) && n.Timeout()
}

// IsServerError reports whether the server itself replied with an error, so
// that the connection is in order.
func IsServerError(err error) bool {
	var server redis.Error
	return errors.As(err, &server) && !errors.Is(err, redis.Nil) // go-redis wraps its nil in what is no reply at all
}

// IsProtocolError recognises go-redis's complaint about bytes that are not
// RESP. Its text quotes those bytes, which may be anything, our own password
// echoed back among them: it is never shown.
func IsProtocolError(err error) bool {
	text := err.Error()
	return strings.Contains(text, "can't parse") ||
		strings.Contains(text, "invalid reply") ||
		strings.Contains(text, "unexpected response")
}

// CutOff returns why a step has failed that ctx bounds, and whose connection is closed
// when ctx ends: that, and not what the connection says of having been closed.
func CutOff(ctx context.Context, err error) error {
	if err != nil && ctx.Err() != nil && !IsServerError(err) {
		return ctx.Err()
	}
	return err
}

// lastingError is a fault that we find ourselves, and that waiting does not mend.
type lastingError string

func (e lastingError) Error() string { return string(e) }

// NewLasting makes an error of which isLasting is true.
func NewLasting(text string) error {
	e := lastingError(text)
	return &e
}

// IsLasting reports whether a server refuses, or we do, for a reason that waiting does not
// mend: somebody must mend it, and then the same may be tried again.
func IsLasting(err error) bool {
	if r := RefusalOf(err); r != nil {
		return r.Class == Lasts
	}
	var fault *lastingError
	return errors.As(err, &fault) || errors.Is(err, resp.ErrNotRedis)
}
