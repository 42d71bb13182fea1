package instance

import (
	"sync"

	"github.com/redis/go-redis/v9"
)

// newOfCluster makes an instance of an existing client's cluster.
func newOfCluster(client *redis.ClusterClient, cfg Config) *Instance {
	of := client.Options()
	known := newSecrets(of.Password)
	var hooks sync.Map // by address, so that a node whose hook hangs holds up no other
	busy := func(addr string) chan struct{} {
		slot, _ := hooks.LoadOrStore(addr, make(chan struct{}, sides))
		return slot.(chan struct{})
	}
	options := func(addr string) *redis.Options {
		opt := &redis.Options{
			Network:    "tcp",
			Addr:       addr,
			ClientName: of.ClientName,
			OnConnect:  heedfulHook(of.OnConnect, busy(addr)),
			Username:   of.Username,
			Password:   of.Password,

			CredentialsProvider:          of.CredentialsProvider,
			CredentialsProviderContext:   of.CredentialsProviderContext,
			StreamingCredentialsProvider: of.StreamingCredentialsProvider,
		}
		known.watchOptions(opt)
		return opt
	}
	dial := of.Dialer
	if dial == nil {
		dial = redis.NewDialer(&redis.Options{DialTimeout: cfg.Timeout, TLSConfig: of.TLSConfig})
	}
	cfg.Cluster = of.Addrs // for the name
	i := assemble(options(""), cfg, known)
	i.cluster = newCluster(i, of.Addrs, options, func() dialFunc { return heedful(dial, sides) })
	return i
}
