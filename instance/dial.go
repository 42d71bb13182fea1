package instance

import (
	"fmt"
	"maps"
	"net"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// Dial makes an instance from a URL. It does not connect yet: an instance that
// is down is a vote missing, not a reason to fail.
//
//	redis://[user[:password]@]host[:port][/db]
//	rediss://…                                      the same over TLS, certificates verified
//	unix://[user[:password]@]/path/to.sock[?db=N]
//	redis-sentinel://[user[:password]@]host[:port][,host…][/db]?master=NAME
//	rediss-sentinel://…
//	redis-cluster://[user[:password]@]host[:port][,host…]
//	rediss-cluster://…
//	host[:port], /path/to.sock
//
// What is set in cfg wins over the URL, which may be "" when cfg has an address.
// docs/operations.md has all spellings and query parameters; an unknown scheme
// or parameter is an error that names it. Those of redis.ParseURL are
// understood: timeouts bound Config.Timeout, and what they say of retries and
// pools has no effect, since an instance holds one connection. No error of Dial
// contains the URL's password, or any other part that might be one.
func Dial(rawURL string, cfg Config) (*Instance, error) {
	if rawURL != "" || !cfg.hasAddr() {
		url, err := parseAs(rawURL, cfg.Sentinel.Master != "")
		if err != nil {
			return nil, err
		}
		cfg = cfg.over(url)
	}
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	if err := cfg.checkReach(); err != nil {
		return nil, fmt.Errorf("instance: %w", err)
	}
	cfg.AddrMap = maps.Clone(cfg.AddrMap)
	r, err := newReach(cfg)
	if err != nil {
		return nil, fmt.Errorf("instance: %w", err)
	}
	i := assemble(r.options(cfg.Addr), cfg, r.secrets)
	i.dialer = r.dial
	if cfg.Dialer == nil {
		i.lookup = lookUp
	}
	switch {
	case len(cfg.Sentinel.Addrs) > 0:
		i.managed, i.watch, i.redial, i.at = true, r.watch, r.dialAgain, r.master
	case len(cfg.Cluster) > 0:
		i.cluster = newCluster(i, cfg.Cluster, r.options, r.nodeDialer)
	}
	i.risks = r.unsafe()
	for _, risk := range i.risks {
		cfg.Logger.Warn(risk, "instance", i.name)
	}
	return i, nil
}

// options are go-redis's for the connection to the server itself.
func (r *reach) options(addr string) *redis.Options {
	opt := &redis.Options{
		Addr:       addr,
		Username:   r.cfg.Username,
		Password:   r.cfg.Password,
		DB:         r.cfg.DB,
		ClientName: r.cfg.ClientName,
	}
	opt.Network = networkOf(opt.Addr)
	if r.cfg.Credentials != nil {
		opt.CredentialsProviderContext = r.secrets.watch(r.cfg.Credentials)
	}
	return opt
}

func networkOf(addr string) string {
	if strings.HasPrefix(addr, "/") {
		return "unix"
	}
	return "tcp"
}

// tune sets what the actor depends on, whatever the URL or the client said.
func tune(opt *redis.Options, cfg Config) {
	opt.MaxRetries = -1   // a repeated SET NX answers "held" about ourselves; we know when to repeat
	opt.DialerRetries = 1 // probing is ours
	opt.ContextTimeoutEnabled = true
	opt.DialTimeout, opt.ReadTimeout, opt.WriteTimeout = cfg.Timeout, cfg.Timeout, cfg.Timeout
	opt.PoolSize, opt.MaxActiveConns = 1, 0
	opt.MinIdleConns, opt.MaxIdleConns = 0, 0
	opt.PoolTimeout = cfg.Timeout
	opt.PipelinePoolSize = -1 // pipelines and single commands share the one connection
	opt.ConnMaxIdleTime, opt.ConnMaxLifetime = -1, -1
	opt.Protocol = 2 // nothing is pushed on this connection
	opt.DisableIdentity = true
	opt.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	opt.PushNotificationProcessor = nil
	opt.ClientSideCacheConfig, opt.ClientSideCache = nil, nil
	opt.Limiter = nil
}

// nameOf is the address, and the database if it is not the default one.
func nameOf(cfg Config, opt *redis.Options) string {
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
