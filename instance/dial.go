package instance

import (
	"cmp"
	"fmt"
	"maps"
	"strings"

	"github.com/holdfast-go/holdfast/internal/reach"
)

// Dial makes an instance from a URL. It does not connect yet: an instance that
// is down is a vote missing, not a reason to fail.
//
//	redis://[user[:password]@]host[:port][/db]
//	rediss://…                                      the same over TLS, certificates verified
//	unix://[user[:password]@]/path/to.sock[?db=N]
//	redis-sentinel://[user[:password]@]host[:port][,host…][/db]?master=NAME
//	rediss-sentinel://…
//	redis-cluster://[user[:password]@]host[:port][,host…][/db]
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
	way, err := cfg.way().Completed(rawURL)
	if err != nil {
		return nil, err
	}
	cfg.Timeout = way.Timeout
	if cfg, err = cfg.withDefaults(); err != nil {
		return nil, err
	}
	way.Timeout = cfg.Timeout
	r, err := reach.New(way)
	if err != nil {
		return nil, fmt.Errorf("instance: %w", err)
	}
	opt := r.Options(way.Addr)
	cfg.Name = cmp.Or(cfg.Name, reach.NameOf(way, opt))
	i := assemble(opt, cfg, r.Secrets)
	i.dialer = r.Dial
	i.looks.Mapped, i.looks.Master = maps.Clone(way.AddrMap), way.Sentinel.Master
	if way.Dialer == nil {
		i.looks.Lookup = reach.LookUp
	}
	switch {
	case len(way.Sentinel.Addrs) > 0:
		i.managed, i.watch, i.redial, i.looks.At = true, r.WatchMaster, r.Redial, r.Master
	case len(way.Cluster) > 0:
		makeCluster(i, way.Cluster, r.Options, r.NodeDialer)
	}
	i.risks = r.Risks()
	for _, risk := range i.risks {
		cfg.Logger.Warn(risk, "instance", i.name)
	}
	return i, nil
}

// SplitURLs splits a list of servers, such as an environment variable has it, into
// what engine.Open takes: at white space and at commas. A comma inside a URL, such as
// between the hosts of sentinels, is one that no new URL follows.
func SplitURLs(list string) []string {
	var urls []string
	for _, field := range strings.Fields(list) {
		within := false // a URL, rather than a host:port
		for _, part := range strings.Split(field, ",") {
			switch begins := strings.Contains(part, "://") || strings.HasPrefix(part, "/"); {
			case part == "":
			case within && !begins:
				urls[len(urls)-1] += "," + part
			default:
				urls = append(urls, part)
				within = strings.Contains(part, "://")
			}
		}
	}
	return urls
}
