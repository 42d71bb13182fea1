package reach

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"time"
)

// Config says where Redis is, and how to get there. Its fields are those of
// instance.Config, which has their documentation; the struct that users fill in is there,
// so that they see the fields.
type Config struct {
	Timeout                   time.Duration
	Addr                      string
	Username, Password        string
	Credentials               Provider
	DB                        int
	ClientName                string
	TLS                       *tls.Config
	CAFile, CertFile, KeyFile string
	ServerName                string
	Dialer                    DialFunc
	AddrMap                   map[string]string
	Sentinel                  Sentinel
	Cluster                   []string
}

// Format shows nothing of it: there are passwords in it.
func (Config) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "reach.Config{…}") }

// Sentinel is instance.Sentinel.
type Sentinel struct {
	Addrs              []string
	Master             string
	Username, Password string
	Credentials        Provider
	TLS                *tls.Config
	Plain              bool
}

// Provider is asked for user name and password.
type Provider = func(ctx context.Context) (username, password string, err error)

// DialFunc makes a connection.
type DialFunc = func(ctx context.Context, network, addr string) (net.Conn, error)

// MaxTimeout bounds Config.Timeout.
const MaxTimeout = 24 * time.Hour

// Completed returns c with what it leaves open taken from a URL, which may be "" where c
// says where Redis is.
func (c Config) Completed(url string) (Config, error) {
	if url == "" && c.hasAddr() {
		return c, nil
	}
	of, err := Parse(url, c.Sentinel.Master != "")
	if err != nil {
		return c, err
	}
	return c.over(of), nil
}

// over returns c with what it leaves open taken from a URL's config.
func (c Config) over(url Config) Config {
	if c.TLS == nil {
		c.TLS = url.TLS
		fill(&c.CAFile, url.CAFile)
		fill(&c.CertFile, url.CertFile)
		fill(&c.KeyFile, url.KeyFile)
		fill(&c.ServerName, url.ServerName)
	}
	if !c.hasAddr() {
		c.Addr = url.Addr
		c.Sentinel.Addrs = url.Sentinel.Addrs
		c.Cluster = url.Cluster
	}
	fill(&c.Timeout, url.Timeout)
	fill(&c.Username, url.Username)
	fill(&c.Password, url.Password)
	fill(&c.DB, url.DB)
	fill(&c.ClientName, url.ClientName)
	if len(c.Sentinel.Addrs) == 0 {
		return c
	}
	s := &c.Sentinel
	fill(&s.Master, url.Sentinel.Master)
	fill(&s.Username, url.Sentinel.Username)
	fill(&s.Password, url.Sentinel.Password)
	if !s.Plain && s.TLS == nil {
		s.Plain, s.TLS = url.Sentinel.Plain, url.Sentinel.TLS
	}
	return c
}

// hasAddr reports whether it says where Redis is.
func (c Config) hasAddr() bool {
	return c.Addr != "" || len(c.Sentinel.Addrs) > 0 || len(c.Cluster) > 0
}

// fill sets a field that is not set.
func fill[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// check reports what is missing or contradictory in how to reach Redis.
func (c Config) check() error {
	s := c.Sentinel
	switch {
	case c.Addr != "" && len(s.Addrs) > 0:
		return errors.New("both Addr and Sentinel.Addrs are given: an instance is reached by one of them")
	case len(s.Addrs) > 0 && s.Master == "":
		return errors.New("the name of the master is missing: sentinels watch many; write ?master=NAME in the URL or set Sentinel.Master")
	case len(s.Addrs) == 0 && (s.Master != "" || s.Username != "" || s.Password != "" || s.TLS != nil || s.Plain || s.Credentials != nil):
		return errors.New("there is a Sentinel without Addrs")
	case len(c.Cluster) > 0 && (c.Addr != "" || len(s.Addrs) > 0):
		return errors.New("both Cluster and another address are given: an instance is reached by one of Cluster, Addr and Sentinel.Addrs")
	case c.DB < 0:
		return errors.New("DB must not be negative")
	case s.Plain && s.TLS != nil:
		return errors.New("Sentinel.Plain and Sentinel.TLS contradict each other")
	case (c.CertFile == "") != (c.KeyFile == ""):
		return errors.New("one of CertFile and KeyFile is missing: they belong together")
	}
	for _, addr := range s.Addrs {
		if err := CheckAddr(addr); err != nil {
			return fmt.Errorf("a sentinel's address: %w", err)
		}
	}
	for _, addr := range c.Cluster {
		if err := CheckAddr(addr); err != nil {
			return fmt.Errorf("a cluster node's address: %w", err)
		}
	}
	for announced, reachable := range c.AddrMap {
		if err := errors.Join(CheckAddr(announced), CheckAddr(reachable)); err != nil {
			return fmt.Errorf("AddrMap has %q for %q: %w", reachable, announced, err)
		}
	}
	if c.Addr != "" && c.Addr[0] != '/' {
		return CheckAddr(c.Addr)
	}
	return nil
}

// reachable is where to connect for an address that was given or announced.
func reachable(mapped map[string]string, addr string) string {
	if to, ok := mapped[addr]; ok {
		return to
	}
	return addr
}
