package instance

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/holdfast-go/holdfast/internal/resp"
)

// held is one connection to a server that tells where instances are: a sentinel,
// or a node of a cluster. It is held, so that go-redis never dials another: that
// it does in the background, again and again.
type held struct {
	client *redis.Client
	conn   *redis.Conn
	wire   *door
}

// hold makes conn the only connection of a client with these options.
func hold(conn net.Conn, opt *redis.Options, cfg Config) *held {
	tune(opt, cfg)
	wire := newDoor(conn)
	opt.Dialer = only(wire)
	client := redis.NewClient(opt)
	return &held{client: client, conn: client.Conn(), wire: wire}
}

// only is a dialer that has one connection, and no second.
func only(conn net.Conn) dialFunc {
	unused := make(chan net.Conn, 1) // one slot: it is there from the beginning
	unused <- conn
	return func(context.Context, string, string) (net.Conn, error) {
		select {
		case conn := <-unused:
			return conn, nil
		default:
			return unopened{}, nil
		}
	}
}

// process runs one command, and ends when ctx does: then the connection has, too.
func (h *held) process(ctx context.Context, cmd redis.Cmder) error {
	stop := context.AfterFunc(ctx, func() { _ = h.wire.Close() }) // go-redis would not notice
	defer stop()
	err := h.wire.reason(cutOff(ctx, h.conn.Process(ctx, cmd)))
	if err != nil && isProtocolError(err) {
		return resp.ErrNotRedis
	}
	return err
}

// greet has go-redis introduce itself, and returns why the server will not have us.
// Else go-redis gives out a refused greeting as the answer to the first question.
func (h *held) greet(ctx context.Context) error {
	pipe := h.client.Pipeline()
	ping := pipe.Ping(ctx)
	_, err := pipe.Exec(ctx)
	if err != nil && isServerError(ping.Err()) { // it may well not permit PING
		return nil
	}
	return err
}

func (h *held) close() {
	_ = h.conn.Close()
	_ = h.client.Close()
	_ = h.wire.Close()
}

// failures are why none of several servers could help, in one line. It is a
// server's refusal only if all refused.
type failures struct {
	says    []string
	cause   error
	refused int
}

// add notes what one of them said: nil is nothing, in all the time there was.
func (f *failures) add(who string, err error) {
	switch {
	case err == nil || isTimeout(err) || errors.Is(err, context.Canceled):
		err = errTimeout
	case isServerError(err):
		f.refused++
		f.cause = err
		err = quoted(err)
	}
	f.says = append(f.says, fmt.Sprintf("%s: %v", who, err))
}

func (f *failures) Error() string { return strings.Join(f.says, "; ") }

func (f *failures) Unwrap() error {
	if f.refused < len(f.says) {
		return nil // one that can yet be reached may know better
	}
	return f.cause
}
