package reach

import (
	"context"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/auth"
)

type credentials struct{ username, password string }

// ask makes a user's provider safe to be called by an actor: it is left when
// ctx ends, and what it returns is a secret.
func (s *Secrets) ask(provider func(context.Context) (string, string, error)) func(context.Context) (string, string, error) {
	return func(ctx context.Context) (string, string, error) {
		c, err := heed(ctx, s.busy, func() (c credentials, err error) {
			c.username, c.password, err = provider(ctx)
			return c, err
		}, func(credentials) {})
		s.add(c.password)
		return c.username, c.password, err
	}
}

// current asks a streaming provider for what is good now, as every new connection
// does. A connection that stands is not told of later credentials: go-redis cannot
// do that on one that it does not pool, and a server that wants them ends it.
func current(provider auth.StreamingCredentialsProvider) func(context.Context) (string, string, error) {
	return func(context.Context) (username, password string, err error) {
		c, unsubscribe, err := provider.Subscribe(new(deaf))
		if err != nil {
			return "", "", err
		}
		username, password = c.BasicAuth()
		if unsubscribe != nil {
			err = unsubscribe()
		}
		return username, password, err
	}
}

// deaf listens to nothing. It has a size, so that no two are the same listener.
type deaf struct{ _ byte }

func (*deaf) OnNext(auth.Credentials) {}
func (*deaf) OnError(error)           {}

// HeedfulHook makes a client's OnConnect return when ctx ends, whether or not it
// does so itself. busy is as in heed.
func HeedfulHook(hook func(context.Context, *redis.Conn) error, busy chan struct{}) func(context.Context, *redis.Conn) error {
	if hook == nil {
		return nil
	}
	return func(ctx context.Context, conn *redis.Conn) error {
		_, err := heed(ctx, busy, func() (struct{}, error) { return struct{}{}, hook(ctx, conn) }, func(struct{}) {})
		return err
	}
}

// WatchOptions does that for the provider of a client, as go-redis chooses it.
func (s *Secrets) WatchOptions(opt *redis.Options) {
	switch {
	case opt.StreamingCredentialsProvider != nil:
		opt.CredentialsProviderContext = s.ask(current(opt.StreamingCredentialsProvider))
		opt.StreamingCredentialsProvider = nil
	case opt.CredentialsProviderContext != nil:
		opt.CredentialsProviderContext = s.ask(opt.CredentialsProviderContext)
	case opt.CredentialsProvider != nil:
		provider := opt.CredentialsProvider
		opt.CredentialsProviderContext = s.ask(func(context.Context) (username, password string, err error) {
			username, password = provider()
			return username, password, nil
		})
	}
}
