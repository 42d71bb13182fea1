package instance

import (
	"errors"
	"fmt"
	"net"
	"net/url"
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
//	host[:port]
//
// Query parameters are those of redis.ParseURL; what they say of retries, pools
// and timeouts gives way to Config and to what the actor needs. No error of Dial contains
// the URL's password, or any other part that might be one.
func Dial(rawURL string, cfg Config) (*Instance, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	opt, err := parse(rawURL)
	if err != nil {
		return nil, err
	}
	return assemble(opt, cfg), nil
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
func nameOf(opt *redis.Options) string {
	name := opt.Addr
	if opt.DB != 0 {
		name += "/" + strconv.Itoa(opt.DB)
	}
	return name
}

// secretsOf lists what must never be shown.
func secretsOf(opt *redis.Options) []string {
	if opt.Password == "" {
		return nil
	}
	return []string{opt.Password, url.QueryEscape(opt.Password), url.PathEscape(opt.Password)}
}

// parse reads a URL. Its errors say what is wrong and what would be right, and
// never quote the part that is wrong unless that part cannot hold a secret: the
// errors of net/url and of redis.ParseURL quote everything, so none is wrapped.
func parse(raw string) (*redis.Options, error) {
	if strings.TrimSpace(raw) == "" {
		return nil, errors.New("instance: the URL is empty: want redis://host:port, rediss://host:port, unix:///path.sock or host:port")
	}
	if !strings.Contains(raw, "://") {
		return parseAddr(raw)
	}
	u, err := url.Parse(raw)
	if err != nil {
		return nil, errors.New("instance: the URL cannot be parsed: percent-encode special characters in user name, password and path, and check the port")
	}
	switch u.Scheme {
	case "redis", "rediss":
		err = checkHost(u)
	case "unix":
		if u.Path == "" || u.Path == "/" {
			err = errors.New("the path of the socket is missing: want unix:///path/to.sock")
		}
	default:
		err = fmt.Errorf("unknown scheme %q: want redis, rediss or unix", u.Scheme)
	}
	if err == nil {
		err = checkQuery(u.Query())
	}
	if err != nil {
		return nil, fmt.Errorf("instance: bad URL: %w", err)
	}
	opt, err := redis.ParseURL(raw)
	if err != nil {
		return nil, errors.New("instance: bad URL: a query parameter has a value of the wrong kind (see redis.ParseURL)")
	}
	return opt, nil
}

// parseAddr reads the short form, host[:port].
func parseAddr(raw string) (*redis.Options, error) {
	if strings.ContainsAny(raw, "@/?# \t\r\n") {
		return nil, errors.New("instance: without a scheme only host:port is understood: for anything more write redis://…")
	}
	host, port, err := net.SplitHostPort(raw)
	if err != nil {
		host, port = strings.Trim(raw, "[]"), "6379"
		if strings.Contains(host, ":") && net.ParseIP(host) == nil {
			return nil, errors.New("instance: the address cannot be parsed: want host:port, and an IPv6 host in brackets")
		}
	}
	if host == "" {
		host = "localhost"
	}
	if err := checkPort(port); err != nil {
		return nil, fmt.Errorf("instance: bad address: %w", err)
	}
	return &redis.Options{Network: "tcp", Addr: net.JoinHostPort(host, port)}, nil
}

func checkHost(u *url.URL) error {
	if u.Opaque != "" {
		return errors.New("want // behind the scheme")
	}
	if port := u.Port(); port != "" {
		if err := checkPort(port); err != nil {
			return err
		}
	}
	db := strings.Trim(u.Path, "/")
	if db == "" {
		return nil
	}
	if n, err := strconv.Atoi(db); err != nil || n < 0 {
		return errors.New("the path must be the number of a database, as in redis://host:6379/2")
	}
	return nil
}

func checkPort(port string) error {
	if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 {
		return errors.New("the port must be a number from 1 to 65535")
	}
	return nil
}

// parameters are those that redis.ParseURL takes.
var parameters = map[string]bool{
	"db": true, "protocol": true, "client_name": true, "max_retries": true, "min_retry_backoff": true,
	"max_retry_backoff": true, "dial_timeout": true, "read_timeout": true, "write_timeout": true,
	"pool_fifo": true, "pool_size": true, "pool_timeout": true, "min_idle_conns": true,
	"max_idle_conns": true, "max_active_conns": true, "max_concurrent_dials": true, "conn_max_idle_time": true,
	"pipeline_pool_size": true, "pipeline_read_buffer_size": true, "pipeline_write_buffer_size": true,
	"conn_max_lifetime": true, "conn_max_lifetime_jitter": true, "idle_timeout": true, "max_conn_age": true, "skip_verify": true,
}

func checkQuery(query url.Values) error {
	for name, values := range query {
		switch {
		case parameters[name]:
		case strings.Trim(name, "abcdefghijklmnopqrstuvwxyz_") == "":
			return fmt.Errorf("unknown query parameter %q", name)
		default: // it may be the rest of a password with a '?' in it
			return errors.New("unknown query parameter; percent-encode special characters in user name and password")
		}
		if name == "db" {
			if n, err := strconv.Atoi(values[len(values)-1]); err != nil || n < 0 {
				return errors.New("db must be the number of a database")
			}
		}
	}
	return nil
}
