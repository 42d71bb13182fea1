package reach

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/holdfast-go/holdfast/internal/fault"
	"github.com/holdfast-go/holdfast/internal/resp"
)

// Pinned is one connection to a server that tells where instances are: a sentinel,
// or a node of a cluster. It is pinned, so that go-redis never dials another: that
// it does in the background, again and again.
type Pinned struct {
	Client *redis.Client
	Conn   *redis.Conn
	Wire   *Door
}

// Pin makes conn the only connection of a client with these options.
func Pin(conn net.Conn, opt *redis.Options, timeout time.Duration) *Pinned {
	Tune(opt, timeout)
	wire := NewDoor(conn)
	opt.Dialer = only(wire)
	client := redis.NewClient(opt)
	return &Pinned{Client: client, Conn: client.Conn(), Wire: wire}
}

// only is a dialer that has one connection, and no second.
func only(conn net.Conn) DialFunc {
	unused := make(chan net.Conn, 1) // one slot: it is there from the beginning
	unused <- conn
	return func(context.Context, string, string) (net.Conn, error) {
		select {
		case conn := <-unused:
			return conn, nil
		default:
			return Unopened{}, nil
		}
	}
}

// Process runs one command, and ends when ctx does: then the connection has, too.
func (h *Pinned) Process(ctx context.Context, cmd redis.Cmder) error {
	stop := context.AfterFunc(ctx, func() { _ = h.Wire.Close() }) // go-redis would not notice
	defer stop()
	err := h.Wire.Reason(fault.CutOff(ctx, h.Conn.Process(ctx, cmd)))
	if err != nil && fault.IsProtocolError(err) {
		return resp.ErrNotRedis
	}
	return err
}

// Greet has go-redis introduce itself, and returns why the server will not have us.
// Else go-redis gives out a refused greeting as the answer to the first question.
func (h *Pinned) Greet(ctx context.Context) error {
	pipe := h.Client.Pipeline()
	ping := pipe.Ping(ctx)
	_, err := pipe.Exec(ctx)
	if err != nil && fault.IsServerError(ping.Err()) { // it may well not permit PING
		return nil
	}
	return err
}

func (h *Pinned) Close() {
	_ = h.Conn.Close()
	_ = h.Client.Close()
	_ = h.Wire.Close()
}

// Failures are why none of several servers could help, in one line. It is a
// server's refusal only if all refused.
type Failures struct {
	says    []string
	cause   error
	refused int
}

// Add notes what one of them said: nil is nothing, in all the time there was.
func (f *Failures) Add(who string, err error) {
	switch {
	case err == nil || fault.IsTimeout(err) || errors.Is(err, context.Canceled):
		err = fault.ErrTimeout
	case fault.IsServerError(err):
		f.refused++
		f.cause = err
		err = fault.Quoted(err)
	}
	f.says = append(f.says, fmt.Sprintf("%s: %v", who, err))
}

func (f *Failures) Error() string { return strings.Join(f.says, "; ") }

func (f *Failures) Unwrap() error {
	if f.refused < len(f.says) {
		return nil // one that can yet be reached may know better
	}
	return f.cause
}
