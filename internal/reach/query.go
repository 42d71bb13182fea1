package reach

import (
	"crypto/tls"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/holdfast-go/holdfast/internal/clock"
)

// parameter reads one query parameter's value. Its error says what it wants.
type parameter func(cfg *Config, value string) error

// parameters are all that are understood: redis.ParseURL's and ParseClusterURL's,
// and those for TLS and sentinels. What go-redis has for its pool and its retries is accepted, as long
// as go-redis would accept it, and has no effect: an instance holds one
// connection and repeats nothing that might be done twice.
var parameters = map[string]parameter{
	"db":            func(c *Config, v string) error { return setNumber(&c.DB, v) },
	"client_name":   func(c *Config, v string) error { c.ClientName = v; return nil },
	"dial_timeout":  boundTimeout,
	"read_timeout":  boundTimeout,
	"write_timeout": boundTimeout,

	"addr": addNode,

	"master":            setMaster,
	"sentinel_username": func(c *Config, v string) error { c.Sentinel.Username = v; return nil },
	"sentinel_password": func(c *Config, v string) error { c.Sentinel.Password = v; return nil },
	"sentinel_tls":      setSentinelTLS,

	"ssl_cert_reqs":   setVerification,
	"skip_verify":     setSkipVerify,
	"ssl_ca_certs":    func(c *Config, v string) error { c.CAFile = v; return nil },
	"ssl_certfile":    func(c *Config, v string) error { c.CertFile = v; return nil },
	"ssl_keyfile":     func(c *Config, v string) error { c.KeyFile = v; return nil },
	"ssl_server_name": func(c *Config, v string) error { c.ServerName = v; return nil },

	"protocol": aNumber, "max_retries": aNumber, "pool_size": aNumber, "min_idle_conns": aNumber,
	"max_idle_conns": aNumber, "max_active_conns": aNumber, "max_concurrent_dials": aNumber,
	"pipeline_pool_size": aNumber, "pipeline_read_buffer_size": aNumber, "pipeline_write_buffer_size": aNumber,
	"min_retry_backoff": aDuration, "max_retry_backoff": aDuration, "pool_timeout": aDuration,
	"conn_max_idle_time": aDuration, "idle_timeout": aDuration, "conn_max_lifetime": aDuration,
	"max_conn_age": aDuration, "conn_max_lifetime_jitter": aDuration,
	"pool_fifo": func(_ *Config, v string) error { return ofKind(v, isBool) },
	"encoding":  func(*Config, string) error { return nil }, // aioredlock's; tokens are bytes here
}

// readQuery reads the query. A parameter that is given more than once counts as
// it was given last, but for addr, and an empty one not at all, as in go-redis.
func readQuery(cfg *Config, kind scheme, query url.Values) error {
	for _, name := range slices.Sorted(maps.Keys(query)) {
		values := query[name]
		set, known := parameters[name]
		switch {
		case !known && isWord(name):
			return fmt.Errorf("unknown query parameter %q", name)
		case !known:
			return errors.New("unknown query parameter, with a name that no parameter has")
		case strings.HasPrefix(name, "sentinel_") && !kind.sentinel:
			return fmt.Errorf("the query parameter %s makes sense with sentinels only: write redis-sentinel://…", name)
		case name == "addr" && !kind.cluster:
			return errors.New("the query parameter addr makes sense with a cluster only: write redis-cluster://…")
		case (strings.HasPrefix(name, "ssl_") || name == "skip_verify") && !kind.tls && !query.Has("sentinel_tls"):
			return fmt.Errorf("the query parameter %s makes sense with TLS only: write rediss://…", name)
		}
		for _, value := range values {
			if value == "" {
				continue
			}
			if err := set(cfg, value); err != nil {
				return fmt.Errorf("the query parameter %s must be %w", name, err)
			}
		}
	}
	return setVerified(cfg, query)
}

var (
	errNumber   = errors.New("a number")
	errDuration = errors.New("a time such as 500ms or 3s; a number alone is seconds")
	errBool     = errors.New("true or false")
)

func setNumber(field *int, value string) error {
	n, err := strconv.Atoi(value)
	if err != nil || n < 0 {
		return errors.New("a number from 0 on")
	}
	*field = n
	return nil
}

func aNumber(_ *Config, value string) error {
	if _, err := strconv.Atoi(value); err != nil {
		return errNumber
	}
	return nil
}

func aDuration(_ *Config, value string) error {
	_, err := duration(value)
	return err
}

func ofKind(value string, is func(string) (bool, bool)) error {
	if _, ok := is(value); !ok {
		return errBool
	}
	return nil
}

// duration reads a time as go-redis does.
func duration(value string) (time.Duration, error) {
	if n, err := strconv.Atoi(value); err == nil {
		d := clock.Units(int64(n), time.Second)
		if d%time.Second != 0 { // more than a time can be
			return 0, errDuration
		}
		return d, nil
	}
	d, err := time.ParseDuration(value)
	if err != nil {
		return 0, errDuration
	}
	return d, nil
}

// boundTimeout lowers the one timeout that there is to the smallest bound given.
func boundTimeout(cfg *Config, value string) error {
	d, err := duration(value)
	switch {
	case err != nil:
		return err
	case d < time.Millisecond || d > MaxTimeout:
		return errors.New("a time from 1ms to 24h: an instance that may hang for ever would hold everything up")
	case cfg.Timeout == 0 || d < cfg.Timeout:
		cfg.Timeout = d
	}
	return nil
}

// addNode is go-redis's way to name more than one node of a cluster.
func addNode(cfg *Config, value string) error {
	addr, err := parseHost(value, redisPort)
	if err != nil {
		return fmt.Errorf("the address of a node: %w", err)
	}
	cfg.Cluster = append(cfg.Cluster, addr)
	return nil
}

func setMaster(cfg *Config, value string) error {
	if named := cfg.Sentinel.Master; named != "" && named != value {
		return errors.New("the master's one name: another is in the path or behind the #")
	}
	cfg.Sentinel.Master = value
	return nil
}

func setSentinelTLS(cfg *Config, value string) error {
	on, ok := isBool(value)
	if !ok {
		return errBool
	}
	cfg.Sentinel.Plain = !on && cfg.TLS != nil
	cfg.Sentinel.TLS = nil
	if on && cfg.TLS == nil {
		cfg.Sentinel.TLS = new(tls.Config)
	}
	return nil
}

// setVerification checks ssl_cert_reqs. CERT_OPTIONAL asks a client for the same
// as CERT_REQUIRED, in Python too.
func setVerification(_ *Config, value string) error {
	if _, ok := isVerified(value); !ok {
		return errors.New("CERT_REQUIRED, CERT_OPTIONAL (the same) or CERT_NONE")
	}
	return nil
}

func setSkipVerify(_ *Config, value string) error { return ofKind(value, isBool) }

// setVerified turns the verification of certificates off where the URL says so.
// Of two parameters that contradict each other the safe one counts.
func setVerified(cfg *Config, query url.Values) error {
	off, on := false, false
	if v := last(query["ssl_cert_reqs"]); v != "" {
		verified, _ := isVerified(v)
		off, on = !verified, verified
	}
	if v := last(query["skip_verify"]); v != "" {
		skip, _ := isBool(v)
		off, on = off || skip, on || !skip
	}
	for _, c := range []*tls.Config{cfg.TLS, cfg.Sentinel.TLS} {
		if c != nil {
			c.InsecureSkipVerify = off && !on
		}
	}
	return nil
}

func isVerified(value string) (verified, ok bool) {
	switch strings.TrimPrefix(strings.ToUpper(value), "CERT_") {
	case "REQUIRED", "OPTIONAL":
		return true, true
	case "NONE":
		return false, true
	}
	return false, false
}

func isBool(value string) (is, ok bool) {
	switch strings.ToLower(value) {
	case "true", "1":
		return true, true
	case "false", "0":
		return false, true
	}
	return false, false
}

func isNumber(s string) bool {
	_, err := strconv.Atoi(s)
	return err == nil
}

func last(values []string) string {
	if len(values) == 0 {
		return ""
	}
	return values[len(values)-1]
}
