package instance

import (
	"context"
	"errors"
	"slices"

	"github.com/redis/go-redis/v9"

	"github.com/holdfast-go/holdfast/internal/fault"
	"github.com/holdfast-go/holdfast/internal/reach"
)

// Ask opens a connection in the instance's own way (address, TLS, credentials,
// Sentinel), calls f with a client of that one connection, and closes it. It is
// for questions to the server that are no messages, such as CONFIG GET, and for
// instances that no engine runs: where the sentinels have sent us is an actor's
// own to know.
//
// It returns why there is no connection, or what f returned, without secrets. A
// server that refuses the greeting (AUTH, SELECT, CLIENT SETNAME) is not asked: f
// only hears what is said of its own questions.
// ctx bounds all of it; the instance's timeout bounds each step. Nothing is asked
// twice: a client whose connection broke has no other.
func (i *Instance) Ask(ctx context.Context, f func(*redis.Client) error) error {
	switch {
	case i.invalid != nil:
		return i.invalid
	case i.claimed.Load():
		return errors.New("it belongs to an engine: make another instance to ask questions")
	}
	if err := i.role.askable(); err != nil {
		return err
	}
	dialing, cancel := context.WithTimeout(ctx, i.cfg.Timeout)
	defer cancel()
	conn, err := i.dialer(dialing, i.network, i.addr)
	if err != nil {
		return i.classify(err).Err
	}
	opt := *i.client.Options()
	h := reach.Pin(conn, &opt, i.cfg.Timeout)
	defer h.Close()
	stop := context.AfterFunc(ctx, func() { _ = h.Wire.Close() }) // go-redis would not notice
	defer stop()
	if err := h.Greet(ctx); err != nil {
		return i.classify(h.Wire.Reason(fault.CutOff(ctx, err))).Err
	}
	if err := fault.CutOff(ctx, f(h.Client)); err != nil {
		return i.classify(h.Wire.Reason(err)).Err
	}
	return nil
}

// Servers returns what there is to Ask: the instance itself, or the masters of a
// cluster, as one of its nodes names them, each as an instance of its own. It
// takes the instance's timeout at most, and ends when ctx does.
func (i *Instance) Servers(ctx context.Context) ([]*Instance, error) {
	if i.claimed.Load() {
		return []*Instance{i}, nil
	}
	return i.role.servers(ctx)
}

// Risks says what is unsafe about the connection, one sentence each, as far as
// Dial can tell: that is logged as well. A client of New's is not looked at.
func (i *Instance) Risks() []string { return slices.Clone(i.risks) }
