package instance

import (
	"context"
	"errors"
	"slices"

	"github.com/redis/go-redis/v9"
)

// Ask opens a connection in the instance's own way (address, TLS, credentials,
// Sentinel), calls f with a client of that one connection, and closes it. It is
// for questions to the server that are no messages, such as CONFIG GET, and for
// instances that no engine runs: where the sentinels have sent us is an actor's
// own to know.
//
// It returns why there is no connection, or what f returned, without secrets.
// ctx bounds all of it; the instance's timeout bounds each step. Nothing is asked
// twice: a client whose connection broke has no other.
func (i *Instance) Ask(ctx context.Context, f func(*redis.Client) error) error {
	switch {
	case i.invalid != nil:
		return i.invalid
	case i.claimed.Load():
		return errors.New("instance " + i.name + ": it belongs to an engine: make another one to ask questions")
	}
	dialing, cancel := context.WithTimeout(ctx, i.cfg.Timeout)
	defer cancel()
	conn, err := i.dialer(dialing, i.network, i.addr)
	if err != nil {
		return i.verdict(err).Err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() }) // go-redis would not notice
	defer stop()

	opt := *i.client.Options()
	opt.Dialer = only(conn)
	client := redis.NewClient(&opt)
	defer client.Close()
	if err := f(client); err != nil {
		return i.verdict(err).Err
	}
	return nil
}

// Risks says what is unsafe about the connection, one sentence each, as far as
// Dial can tell: that is logged as well. A client of New's is not looked at.
func (i *Instance) Risks() []string { return slices.Clone(i.risks) }
