// Package reach is the way to a Redis server: everything from a URL, or the options of a go-redis client, to an open
// connection on which somebody has introduced us.
//
//	URL ─▶ Config ─▶ Reach ─▶ sentinels ─▶ dial ─▶ TLS ─▶ door ─▶ go-redis: AUTH, SELECT, … ─▶ who is there
//	                   │                                                                            │
//	                   └── secrets: what no error may show          looks: does the address still lead there? ◀──┘
//
// # Contract
//
//   - No error contains a password, or any part of a URL that might be one.
//   - What is the user's own (Dialer, Credentials, funcs of a TLS config, OnConnect) runs on a goroutine that is left
//     behind when the time is up, and never more than a few of them.
//   - go-redis never dials: it is handed one connection, or an Unopened one.
//   - With sentinels, a majority's word is taken, and one that hangs costs nothing while the rest agree.
//   - An address that leads to another process than the open connection does is noticed (Looks).
//
// instance.Config has the documentation of Config's fields.
package reach

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"maps"
	"net"
	"sync/atomic"

	"github.com/holdfast-go/holdfast/internal/fault"
)

// Reach is how to get a connection to an instance: over what, through whom, and
// with which credentials. The actor calls Dial; WatchMaster has a goroutine of its own.
type Reach struct {
	cfg     Config
	Secrets *Secrets
	busy    chan struct{} // as many slots as connections may be in the making, where that calls the user
	at      atomic.Value  // string: where the master was, when it was last dialed; written by the actor

	tls         *tlsSource // nil: plain
	sentinelTLS *tlsSource // nil: plain
}

// Sides: an actor connects, and so do those that watch for it, a tracker or a watcher
// of sentinels, and that look where the address leads. None is to wait for the others.
const Sides = 3

func New(cfg Config) (*Reach, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	cfg.AddrMap = maps.Clone(cfg.AddrMap)
	r := &Reach{cfg: cfg, Secrets: NewSecrets(cfg.Password, cfg.Sentinel.Password)}
	r.busy = make(chan struct{}, Sides*(1+len(cfg.Sentinel.Addrs)))
	var err error
	if r.tls, r.sentinelTLS, err = newTLSSources(cfg); err != nil {
		return nil, err
	}
	return r, nil
}

// NodeDialer connects to one node of a cluster: each has one of its own, so that
// one that hangs holds up no other.
func (r *Reach) NodeDialer() DialFunc {
	busy := make(chan struct{}, Sides)
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		return r.open(ctx, busy, network, reachable(r.cfg.AddrMap, addr), r.tls)
	}
}

// Dial connects to the instance: at its address, or where the sentinels say.
func (r *Reach) Dial(ctx context.Context, network, addr string) (net.Conn, error) {
	if len(r.cfg.Sentinel.Addrs) == 0 {
		return r.connect(ctx, network, addr, r.tls)
	}
	master, err := r.askSentinels(ctx)
	if err != nil {
		return nil, err
	}
	r.at.Store(master)
	conn, err := r.connect(ctx, "tcp", master, r.tls)
	if err != nil {
		return nil, fmt.Errorf("master at %s: %w", master, err)
	}
	return conn, nil
}

// Redial connects to the master that was last dialed, whatever the sentinels
// say by now: a second connection must go where the first one is.
func (r *Reach) Redial(ctx context.Context) (net.Conn, error) {
	at := r.Master()
	if at == "" {
		return nil, ErrNotDialed
	}
	return r.connect(ctx, "tcp", at, r.tls)
}

// Master is the master that was last dialed; "": none was.
func (r *Reach) Master() string {
	at, _ := r.at.Load().(string)
	return at
}

// connect makes one connection, and speaks TLS on it if there is any.
func (r *Reach) connect(ctx context.Context, network, addr string, source *tlsSource) (net.Conn, error) {
	return r.open(ctx, r.busy, network, reachable(r.cfg.AddrMap, addr), source)
}

// open makes a connection. A Dialer, and what a TLS config has of the user's own
// (VerifyConnection, GetClientCertificate, …), may hang: then it is left when ctx
// ends.
func (r *Reach) open(ctx context.Context, busy chan struct{}, network, addr string, source *tlsSource) (net.Conn, error) {
	dial := r.cfg.Dialer
	if dial == nil {
		dial = new(net.Dialer).DialContext
	}
	if r.cfg.Dialer == nil && source == nil {
		return dial(ctx, network, addr)
	}
	var shaking atomic.Bool
	conn, err := heed(ctx, busy, func() (net.Conn, error) { return secured(ctx, dial, network, addr, source, &shaking) }, discard)
	if shaking.Load() && fault.IsTimeout(err) {
		return nil, errHandshake
	}
	return conn, err
}

// errHandshake is what a port without TLS looks like, too: it waits for the end of
// what it takes for a command.
var errHandshake = errors.New("TLS: no answer to the handshake in time; does this port speak TLS?")

func discard(conn net.Conn) { _ = conn.Close() }

func secured(ctx context.Context, dial DialFunc, network, addr string, source *tlsSource, shaking *atomic.Bool) (net.Conn, error) {
	conn, err := dial(ctx, network, addr)
	if err != nil || source == nil {
		return conn, err
	}
	shaking.Store(true)
	secure, err := source.client(ctx, conn, addr)
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	return secure, nil
}

// Risks says what is unsafe about the connection.
func (r *Reach) Risks() (risks []string) {
	for _, s := range []*tlsSource{r.tls, r.sentinelTLS} {
		if s != nil && s.base.InsecureSkipVerify && s.base.VerifyConnection == nil && s.base.VerifyPeerCertificate == nil {
			risks = append(risks, "TLS certificates are not verified: a server in between can read the password and grant any lock")
			break
		}
	}
	if r.sendsPasswordsInTheClear() {
		risks = append(risks, "a password is sent without TLS to another machine: use rediss://")
	}
	return risks
}

func (r *Reach) sendsPasswordsInTheClear() bool {
	c, s := r.cfg, r.cfg.Sentinel
	secret := c.Password != "" || c.Credentials != nil
	for _, addr := range append(c.Cluster[:len(c.Cluster):len(c.Cluster)], c.Addr) {
		if addr != "" && secret && r.tls == nil && c.Dialer == nil && !isLocal(reachable(c.AddrMap, addr)) {
			return true
		}
	}
	secret = secret && r.tls == nil || r.sentinelTLS == nil && (s.Password != "" || s.Credentials != nil)
	for _, addr := range s.Addrs { // the master may be anywhere; the sentinels show whether that is this machine
		if secret && c.Dialer == nil && !isLocal(reachable(c.AddrMap, addr)) {
			return true
		}
	}
	return false
}

// Heedful makes a dialer return when ctx ends, whether or not it does so itself:
// then its goroutine stays until it returns, and never more of them than limit:
// the next dial waits for a place.
func Heedful(dial DialFunc, limit int) DialFunc {
	busy := make(chan struct{}, limit)
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		return heed(ctx, busy, func() (net.Conn, error) { return dial(ctx, network, addr) }, discard)
	}
}

// heed runs call on a goroutine and returns what it returns, or ctx's error when
// that comes first. busy has as many slots as calls may run at a time. A value that
// comes too late is discarded.
func heed[T any](ctx context.Context, busy chan struct{}, call func() (T, error), discard func(T)) (T, error) {
	type result struct {
		value T
		err   error
	}
	var none T
	select {
	case busy <- struct{}{}:
	case <-ctx.Done():
		return none, ctx.Err()
	}
	done := make(chan result) // unbuffered: what is sent has been taken
	go func() {
		value, err := call()
		<-busy
		select {
		case done <- result{value, err}:
		case <-ctx.Done():
			if err == nil {
				discard(value)
			}
		}
	}()
	select {
	case r := <-done:
		return r.value, r.err
	case <-ctx.Done():
		return none, ctx.Err()
	}
}

// tlsConfigOf is a copy of base, or a new one, that speaks TLS 1.2 at least.
func tlsConfigOf(base *tls.Config) *tls.Config {
	c := new(tls.Config)
	if base != nil {
		c = base.Clone()
	}
	c.MinVersion = max(c.MinVersion, tls.VersionTLS12)
	return c
}
