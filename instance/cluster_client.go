package instance

import (
	"cmp"
	"sync"

	"github.com/redis/go-redis/v9"

	"github.com/holdfast-go/holdfast/internal/reach"
)

// newOfCluster makes an instance of an existing client's cluster.
func newOfCluster(client *redis.ClusterClient, cfg Config) *Instance {
	of := client.Options()
	known := reach.NewSecrets(of.Password)
	var hooks sync.Map // by address, so that a node whose hook hangs holds up no other
	busy := func(addr string) chan struct{} {
		slot, _ := hooks.LoadOrStore(addr, make(chan struct{}, reach.Sides))
		return slot.(chan struct{})
	}
	options := func(addr string) *redis.Options {
		opt := &redis.Options{
			Network:    "tcp",
			Addr:       addr,
			ClientName: of.ClientName,
			OnConnect:  reach.HeedfulHook(of.OnConnect, busy(addr)),
			Username:   of.Username,
			Password:   of.Password,

			CredentialsProvider:          of.CredentialsProvider,
			CredentialsProviderContext:   of.CredentialsProviderContext,
			StreamingCredentialsProvider: of.StreamingCredentialsProvider,
		}
		known.WatchOptions(opt)
		return opt
	}
	dial := of.Dialer
	if dial == nil {
		dial = redis.NewDialer(&redis.Options{DialTimeout: cfg.Timeout, TLSConfig: of.TLSConfig})
	}
	cfg.Name = cmp.Or(cfg.Name, reach.NameOf(reach.Config{Cluster: of.Addrs}, new(redis.Options)))
	i := assemble(options(""), cfg, known)
	makeCluster(i, of.Addrs, options, func() reach.DialFunc { return reach.Heedful(dial, reach.Sides) })
	return i
}
