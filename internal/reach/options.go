package reach

import (
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// Options are go-redis's for the connection to the server itself.
func (r *Reach) Options(addr string) *redis.Options {
	opt := &redis.Options{
		Addr:       addr,
		Username:   r.cfg.Username,
		Password:   r.cfg.Password,
		DB:         r.cfg.DB,
		ClientName: r.cfg.ClientName,
	}
	opt.Network = networkOf(opt.Addr)
	if r.cfg.Credentials != nil {
		opt.CredentialsProviderContext = r.Secrets.ask(r.cfg.Credentials)
	}
	return opt
}

func networkOf(addr string) string {
	if strings.HasPrefix(addr, "/") {
		return "unix"
	}
	return "tcp"
}

// Tune sets what the actor depends on, whatever the URL or the client said.
func Tune(opt *redis.Options, timeout time.Duration) {
	opt.MaxRetries = -1   // a repeated SET NX answers "held" about ourselves; we know when to repeat
	opt.DialerRetries = 1 // probing is ours
	opt.ContextTimeoutEnabled = true
	most := Patience(timeout, mostLate)
	opt.DialTimeout, opt.ReadTimeout, opt.WriteTimeout = most, most, most // a context says how long it may take
	opt.PoolSize, opt.MaxActiveConns = 1, 0
	opt.MinIdleConns, opt.MaxIdleConns = 0, 0
	opt.PoolTimeout = timeout
	opt.ReadBufferSize, opt.WriteBufferSize = narrow, least // it greets and asks who is there, no more
	opt.PipelinePoolSize = -1                               // pipelines and single commands share the one connection
	opt.ConnMaxIdleTime, opt.ConnMaxLifetime = -1, -1
	opt.Protocol = 2 // nothing is pushed on this connection
	opt.DisableIdentity = true
	opt.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	opt.PushNotificationProcessor = nil
	opt.ClientSideCacheConfig, opt.ClientSideCache = nil, nil
	opt.Limiter = nil
}

// NameOf is the address, and the database if it is not the default one.
func NameOf(cfg Config, opt *redis.Options) string {
	name := opt.Addr
	if s := cfg.Sentinel; len(s.Addrs) > 0 {
		name = s.Master + " via " + strings.Join(s.Addrs, ",")
	}
	if len(cfg.Cluster) > 0 {
		name = "cluster " + strings.Join(cfg.Cluster, ",")
	}
	if opt.DB != 0 {
		name += "/" + strconv.Itoa(opt.DB)
	}
	return name
}

// isLocal reports whether what is sent to this address stays on this machine.
func isLocal(addr string) bool {
	if networkOf(addr) == "unix" {
		return true
	}
	host, _, _ := net.SplitHostPort(addr)
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
