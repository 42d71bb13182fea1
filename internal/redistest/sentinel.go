package redistest

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// Fleet is a master with a replica and three sentinels that watch them under the name "leader".
type Fleet struct {
	t         testing.TB
	Master    *Server // at the start
	Replica   *Server // at the start
	Sentinels []*Server
}

// FleetConfig says what a Fleet asks of its clients. The zero value asks nothing.
type FleetConfig struct {
	Password         string // of master and replica
	SentinelPassword string // of the sentinels

	// DownAfter is how long the master may be silent before the sentinels take it for dead; 0: a second.
	DownAfter time.Duration
}

// StartFleet starts a Fleet and returns when every sentinel knows the others and the replica, so that a failover can
// succeed.
func StartFleet(t testing.TB, cfg FleetConfig) *Fleet {
	t.Helper()
	var auth []string
	if cfg.Password != "" {
		auth = []string{"--requirepass", cfg.Password, "--masterauth", cfg.Password}
	}
	f := &Fleet{t: t, Master: StartTCP(t, append(auth, "--repl-diskless-sync-delay", "0")...)}
	host, port, _ := strings.Cut(f.Master.Addr(), ":")
	f.Replica = StartTCP(t, append(auth, "--repl-diskless-sync-delay", "0", "--replicaof", host+" "+port)...)
	f.await("the replica is in step", f.Replica.inStep)
	for range 3 {
		s, _ := startSentinel(t, f.Master.Addr(), cfg, nil)
		f.Sentinels = append(f.Sentinels, s)
	}
	f.await("the sentinels know each other and the replica", func() bool {
		for _, s := range f.Sentinels {
			if m := s.sentinelMaster(); m["num-other-sentinels"] != "2" || m["num-slaves"] != "1" || m["flags"] != "master" {
				return false
			}
		}
		return true
	})
	return f
}

// StartSentinel starts one sentinel that names master as "leader", with these arguments beside its own.
func StartSentinel(t testing.TB, master *Server, args ...string) *Server {
	t.Helper()
	s, _ := startSentinel(t, master.Addr(), FleetConfig{}, func(string) []string { return args })
	return s
}

// StartSentinelTLS starts one sentinel that names the server at addr as "leader", with a TLS port of its own, whose
// address it returns.
func StartSentinelTLS(t testing.TB, a *Authority, addr string) (s *Server, sentinelAddr string) {
	t.Helper()
	cert, key := a.Issue("sentinel", "127.0.0.1")
	return startSentinel(t, addr, FleetConfig{}, func(port string) []string {
		return []string{
			"--tls-port", port, "--tls-cert-file", cert, "--tls-key-file", key,
			"--tls-ca-cert-file", a.CAFile, "--tls-auth-clients", "no",
		}
	})
}

// startSentinel starts one sentinel, with a second port if args wants one. Its configuration is a file because
// sentinels write their own.
func startSentinel(t testing.TB, master string, cfg FleetConfig, args func(port string) []string) (s *Server, second string) {
	t.Helper()
	requireRedis(t)
	for try := 1; ; try++ {
		s := newServer(t, nil)
		second, err := freeAddr()
		if err == nil {
			err = s.listenTCP()
		}
		if err == nil {
			err = s.configureSentinel(master, cfg)
		}
		if err != nil {
			t.Fatalf("redistest: start a sentinel: %v", err)
		}
		if args != nil {
			_, port, _ := strings.Cut(second, ":")
			s.args = append(s.args, args(port)...)
		}
		if err = s.start(); err == nil {
			return s, second
		}
		if try == 5 || !errors.Is(err, errPortTaken) {
			t.Fatalf("redistest: start a sentinel: %v", err)
		}
	}
}

func (s *Server) configureSentinel(master string, cfg FleetConfig) error {
	host, port, err := net.SplitHostPort(master)
	if err != nil {
		return err
	}
	var b strings.Builder
	fmt.Fprintf(&b, "dir %s\nsentinel monitor leader %s %s 2\n", s.dir, host, port)
	down := cmp.Or(cfg.DownAfter, time.Second)
	fmt.Fprintf(&b, "sentinel down-after-milliseconds leader %d\nsentinel failover-timeout leader 3000\n", down.Milliseconds())
	if cfg.Password != "" {
		fmt.Fprintf(&b, "sentinel auth-pass leader %s\n", cfg.Password)
	}
	if cfg.SentinelPassword != "" {
		fmt.Fprintf(&b, "sentinel sentinel-pass %s\n", cfg.SentinelPassword)
	}
	conf := filepath.Join(s.dir, "sentinel.conf")
	s.args = []string{conf, "--sentinel"}
	if cfg.SentinelPassword != "" { // here, so that this package finds it for what it asks itself
		s.args = append(s.args, "--requirepass", cfg.SentinelPassword)
	}
	return os.WriteFile(conf, []byte(b.String()), 0o600)
}

// SentinelAddrs are the sentinels' addresses, in their order.
func (f *Fleet) SentinelAddrs() []string {
	var addrs []string
	for _, s := range f.Sentinels {
		addrs = append(addrs, s.Addr())
	}
	return addrs
}

// Failover has the sentinels make the replica the master (SENTINEL FAILOVER) and returns when all of them say so.
// Master and Replica change places, but the old master does not know it yet: see AwaitDemotion.
func (f *Fleet) Failover() {
	f.t.Helper()
	f.await("a failover begins", func() bool {
		_, err := f.Sentinels[0].Do("SENTINEL", "FAILOVER", "leader")
		return err == nil
	})
	f.await("the replica is the master for all sentinels", func() bool { return f.named(f.Replica) })
	f.Master, f.Replica = f.Replica, f.Master
}

// Replace kills the master, has the sentinels make the replica the master, and starts the old one again, empty, as its
// replica. It returns when that one follows: Master and Replica have changed places. It may be called on any goroutine.
func (f *Fleet) Replace() error {
	old, next := f.Master, f.Replica
	old.Kill()
	err := poll("a failover begins", func() bool {
		_, err := f.Sentinels[0].Do("SENTINEL", "FAILOVER", "leader")
		return err == nil
	})
	if err == nil {
		err = poll("the replica is the master for all sentinels", func() bool { return f.named(next) })
	}
	if err != nil {
		return err
	}
	old.follow(next)
	if err := old.start(); err != nil {
		return err
	}
	f.Master, f.Replica = next, old
	return poll("the old master follows the new one", old.inStep)
}

// named reports whether all sentinels name a server as the master, and it is one.
func (f *Fleet) named(master *Server) bool {
	for _, s := range f.Sentinels {
		if m := s.sentinelMaster(); net.JoinHostPort(m["ip"], m["port"]) != master.Addr() {
			return false
		}
	}
	return master.role() == "master"
}

// follow has the next process be a replica of another server's.
func (s *Server) follow(master *Server) {
	if at := slices.Index(s.args, "--replicaof"); at >= 0 {
		s.args = slices.Delete(s.args, at, at+2)
	}
	s.args = append(s.args, "--replicaof", strings.Replace(master.Addr(), ":", " ", 1))
}

// inStep reports whether a replica has all that its master has.
func (s *Server) inStep() bool {
	info, err := s.Do("INFO", "replication")
	return err == nil && strings.Contains(info.(string), "master_link_status:up")
}

// AwaitDemotion returns when the old master is a replica: some 10 seconds after a Failover. Until then it takes writes,
// and no other failover can begin.
func (f *Fleet) AwaitDemotion() {
	f.t.Helper()
	f.await("the old master is a replica", func() bool { return f.Replica.role() == "slave" })
}

// role is "master", "slave", or "" when the server does not answer.
func (s *Server) role() string {
	reply, err := s.Do("ROLE")
	if list, ok := reply.([]any); err == nil && ok && len(list) > 0 {
		role, _ := list[0].(string)
		return role
	}
	return ""
}

// sentinelMaster is what a sentinel says of the master.
func (s *Server) sentinelMaster() map[string]string {
	reply, _ := s.Do("SENTINEL", "MASTER", "leader")
	fields, _ := reply.([]any)
	m := make(map[string]string)
	for k := 0; k+1 < len(fields); k += 2 {
		key, _ := fields[k].(string)
		m[key], _ = fields[k+1].(string)
	}
	return m
}

func (f *Fleet) await(what string, so func() bool) {
	f.t.Helper()
	await(f.t, what, so)
}

func await(t testing.TB, what string, so func() bool) {
	t.Helper()
	if err := poll(what, so); err != nil {
		t.Fatalf("poll: %v", err)
	}
}

// poll is await on any goroutine.
func poll(what string, so func() bool) error {
	for giveUp := time.Now().Add(startTimeout + 10*time.Second); !so(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(giveUp) {
			return fmt.Errorf("redistest: not in time: %s", what)
		}
	}
	return nil
}
