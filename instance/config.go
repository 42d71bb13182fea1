package instance

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/holdfast-go/holdfast/internal/reach"
)

// Config says how to reach an instance and how to talk to it. The zero value
// works. Everything that a URL can say has a field here, and a field that is set
// wins over the URL. A Config shows no password in any format, nor as JSON.
type Config struct {
	// Name is what votes, errors and logs call the instance. Default: its
	// address, without user name and password.
	Name string

	// Timeout bounds one round trip, and one attempt to connect. An instance
	// that does not answer for so long is down. Default 500ms; from 1ms to MaxTimeout.
	// Choose it well above the slowest healthy answer (a fork for a snapshot
	// can hold a large server up for 100ms) and well below the TTL.
	Timeout time.Duration

	// Mailbox is how many messages may wait; what exceeds it is voted Busy.
	// Releases and renewals may use twice as many. Default 16384; from 1 to 1048576.
	Mailbox int

	// Batch is how many commands go out in one pipeline at most. Default 512;
	// from 1 to 1048576.
	Batch int

	// Logger is told when the instance goes up and down, and what is unsafe
	// about the connection. Default: silent.
	Logger *slog.Logger

	// Addr is host:port, or the path of a unix socket if it begins with a
	// slash. With it, or with Sentinel.Addrs or Cluster, the URL may be "".
	// Default: the URL's.
	Addr string

	// Username and Password are sent with every new connection. Default: the
	// URL's.
	Username, Password string

	// Credentials is asked for user name and password at every new connection,
	// for passwords that change. It must return before ctx ends, which is after
	// Timeout; the instance is down otherwise, and asks again. It wins over
	// Username and Password. Default: none.
	Credentials func(ctx context.Context) (username, password string, err error)

	// DB is the number of the database. Default 0: the URL's, or else 0. A cluster has
	// others only where cluster-databases permits them, as in Valkey 9.
	DB int

	// ClientName is what CLIENT LIST shows. Default: the URL's, or else none.
	// It needs the permission client|setname.
	ClientName string

	// TLS turns TLS on, and replaces all that the URL says of it. TLS 1.2 is the
	// least, also when MinVersion is lower; ServerName is by default the host
	// that is connected to. It is copied. InsecureSkipVerify is obeyed, and
	// logged as a warning. Default: as the URL says.
	TLS *tls.Config

	// CAFile has the certificates (PEM) of those that may sign the server's, instead
	// of the system's roots. CertFile and KeyFile are our own certificate and
	// its key (PEM, not encrypted), for servers that ask for one. The files are
	// read by Dial, and again at every new connection, so that they may be
	// replaced. Any of them, or ServerName, turns TLS on.
	CAFile, CertFile, KeyFile string

	// ServerName is the name that the server's certificate must have, if it is
	// not the host that is connected to.
	ServerName string

	// Dialer makes the connections, to the sentinels too, in place of
	// net.Dialer; TLS, where it is on, is spoken on top. It should heed ctx:
	// when it does not, the instance is left waiting no longer than Timeout,
	// but a goroutine stays until it returns; the same goes for the funcs of TLS
	// and for Credentials. The connection must heed its deadlines and Close.
	// Default: net.Dialer.
	Dialer func(ctx context.Context, network, addr string) (net.Conn, error)

	// AddrMap says where to connect instead of an address, host:port both, that
	// sentinels or the nodes of a cluster announce and that cannot be reached from
	// here, as behind a NAT. It is looked up for every address that is connected to,
	// as it was given or announced. It is copied. Default: none.
	AddrMap map[string]string

	// Sentinel finds the master by asking sentinels. Default: the URL's.
	Sentinel Sentinel

	// Cluster are addresses, host:port, of nodes of a Redis Cluster, which is
	// one instance then. The nodes know each other: one address is enough as
	// long as that one answers. What else is said here of how to connect is for
	// every node. Default: the URL's.
	Cluster []string
}

// Sentinel is how to find a master that sentinels watch. User name, password,
// database and TLS of the master are those of the Config.
type Sentinel struct {
	// Addrs are the sentinels' addresses, host:port. At every new connection
	// all of them are asked, at the same time, and a majority's word is taken.
	Addrs []string

	// Master is the name of the master. It must be given.
	Master string

	// Username and Password are for the sentinels themselves. Default: none.
	Username, Password string

	// Credentials is asked for the sentinels' user name and password, as
	// Config.Credentials is for the master's.
	Credentials func(ctx context.Context) (username, password string, err error)

	// TLS is for the connections to the sentinels; CAFile and its like, where
	// they are given, are added to it. Default: as the master's.
	TLS *tls.Config

	// Plain speaks to the sentinels without TLS even if the master has it.
	Plain bool
}

// MaxTimeout bounds Config.Timeout: an instance that may hang for ever would hold
// everything up.
const MaxTimeout = 24 * time.Hour

// mostMessages bounds Config.Mailbox and Config.Batch.
const mostMessages = 1 << 20

func (c Config) withDefaults() (Config, error) {
	if c.Timeout == 0 {
		c.Timeout = 500 * time.Millisecond
	}
	if c.Mailbox == 0 {
		c.Mailbox = 16384
	}
	if c.Batch == 0 {
		c.Batch = 512
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	switch {
	case c.Timeout < time.Millisecond || c.Timeout > MaxTimeout:
		return c, fmt.Errorf("instance: Timeout is %v: it must be from 1ms to %v", c.Timeout, MaxTimeout)
	case c.Mailbox < 1 || c.Mailbox > mostMessages:
		return c, fmt.Errorf("instance: Mailbox is %d: it must be from 1 to %d", c.Mailbox, mostMessages)
	case c.Batch < 1 || c.Batch > mostMessages:
		return c, fmt.Errorf("instance: Batch is %d: it must be from 1 to %d", c.Batch, mostMessages)
	}
	return c, nil
}

// reachField names a field that is set and that Dial alone understands.
func (c Config) reachField() string {
	switch {
	case c.Addr != "":
		return "Addr"
	case c.Username != "":
		return "Username"
	case c.Password != "":
		return "Password"
	case c.Credentials != nil:
		return "Credentials"
	case c.DB != 0:
		return "DB"
	case c.ClientName != "":
		return "ClientName"
	case c.TLS != nil:
		return "TLS"
	case c.CAFile != "":
		return "CAFile"
	case c.CertFile != "":
		return "CertFile"
	case c.KeyFile != "":
		return "KeyFile"
	case c.ServerName != "":
		return "ServerName"
	case c.Dialer != nil:
		return "Dialer"
	case len(c.AddrMap) > 0:
		return "AddrMap"
	case !c.Sentinel.isZero():
		return "Sentinel"
	case len(c.Cluster) > 0:
		return "Cluster"
	}
	return ""
}

// withoutSecrets is what an instance keeps: no format of anything can show it.
func (c Config) withoutSecrets() Config {
	c.Password, c.Sentinel.Password = "", ""
	return c
}

func (s Sentinel) isZero() bool {
	return len(s.Addrs) == 0 && s.Master == "" && s.Username == "" && s.Password == "" && s.Credentials == nil && s.TLS == nil && !s.Plain
}

// way is what it says of how to reach Redis.
func (c Config) way() reach.Config {
	return reach.Config{
		Timeout: c.Timeout,
		Addr:    c.Addr, Username: c.Username, Password: c.Password, Credentials: c.Credentials,
		DB: c.DB, ClientName: c.ClientName,
		TLS: c.TLS, CAFile: c.CAFile, CertFile: c.CertFile, KeyFile: c.KeyFile, ServerName: c.ServerName,
		Dialer: c.Dialer, AddrMap: c.AddrMap, Sentinel: reach.Sentinel(c.Sentinel), Cluster: c.Cluster,
	}
}
