package redistest

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
)

// Cluster is a Redis Cluster whose masters share the slots evenly.
type Cluster struct {
	t        testing.TB
	Masters  []*Server // at the start
	Replicas []*Server // at the start: of the master at the same place; nil without
}

// ClusterSlots is how many slots a cluster has.
const ClusterSlots = 16384

// clusterNodeTimeout is how long a node may be silent before the others take it for
// dead: short, but long enough for a machine that runs everything at once.
const clusterNodeTimeout = 1500 * time.Millisecond

// StartCluster starts a cluster of so many masters, each with a replica if wanted,
// and returns when all nodes agree that it is up: after some 3 s. args go to every
// node's command line.
func StartCluster(t testing.TB, masters int, replicas bool, args ...string) *Cluster {
	t.Helper()
	return startCluster(t, masters, replicas, func() *Server { return startNode(t, args) })
}

// StartClusterTLS is StartCluster, without replicas, for nodes that have a TLS port
// beside the plain one, and speak TLS with each other. It returns the TLS addresses.
func StartClusterTLS(t testing.TB, a *Authority, masters int, args ...string) (c *Cluster, addrs []string) {
	t.Helper()
	cert, key := a.Issue("node", "127.0.0.1")
	c = startCluster(t, masters, false, func() *Server {
		s, port := startNodeTLS(t, append([]string{
			"--tls-cluster", "yes", "--tls-cert-file", cert, "--tls-key-file", key,
			"--tls-ca-cert-file", a.CAFile, "--tls-auth-clients", "no",
		}, args...))
		addrs = append(addrs, net.JoinHostPort("127.0.0.1", port))
		return s
	})
	return c, addrs
}

func startCluster(t testing.TB, masters int, replicas bool, start func() *Server) *Cluster {
	t.Helper()
	c := &Cluster{t: t}
	for k := range masters {
		s := start()
		first, last := k*ClusterSlots/masters, (k+1)*ClusterSlots/masters-1
		s.MustDo("CLUSTER", "ADDSLOTSRANGE", strconv.Itoa(first), strconv.Itoa(last))
		s.MustDo("CLUSTER", "SET-CONFIG-EPOCH", strconv.Itoa(k+1))
		c.Masters = append(c.Masters, s)
	}
	for range masters {
		if replicas {
			c.Replicas = append(c.Replicas, start())
		}
	}
	for _, s := range c.nodes()[1:] {
		c.meet(s)
	}
	c.await("all nodes know each other", func() bool { return c.all("cluster_known_nodes:" + strconv.Itoa(len(c.nodes()))) })
	for k, replica := range c.Replicas {
		replica.MustDo("CLUSTER", "REPLICATE", c.Masters[k].nodeID())
	}
	for _, replica := range c.Replicas {
		c.await("the replica is in step", replica.inStep)
	}
	c.await("the cluster is up", func() bool { return c.all("cluster_state:ok") })
	for k, master := range c.Masters {
		c.await("all nodes know the replicas", func() bool {
			for _, s := range c.nodes() {
				if replicas && !strings.Contains(s.MustDo("CLUSTER", "NODES").(string), "slave "+master.nodeID()) {
					return false
				}
			}
			return c.Owner(k*ClusterSlots/masters) == master
		})
	}
	return c
}

// startNode starts one node that knows no other. Its bus has a free port of its own.
func startNode(t testing.TB, args []string) *Server {
	t.Helper()
	requireRedis(t)
	for try := 1; ; try++ {
		s := newServer(t, append([]string{
			"--cluster-enabled", "yes", "--cluster-port", freePort(t), "--cluster-announce-ip", "127.0.0.1",
			"--cluster-node-timeout", strconv.FormatInt(clusterNodeTimeout.Milliseconds(), 10),
			"--cluster-replica-validity-factor", "0", "--repl-diskless-sync-delay", "0",
		}, args...))
		err := s.listenTCP()
		if err == nil {
			err = s.start()
		}
		if err == nil {
			return s
		}
		if try == 5 || !errors.Is(err, errPortTaken) {
			t.Fatalf("redistest: start a cluster: %v", err)
		}
	}
}

// startNodeTLS is startNode with a TLS port as well.
func startNodeTLS(t testing.TB, args []string) (s *Server, port string) {
	t.Helper()
	port = freePort(t)
	return startNode(t, append([]string{"--tls-port", port}, args...)), port
}

func freePort(t testing.TB) string {
	t.Helper()
	addr, err := freeAddr()
	if err != nil {
		t.Fatalf("freeAddr: %v", err)
	}
	_, port, _ := strings.Cut(addr, ":")
	return port
}

// AddMaster starts another master, without slots, and returns when all know it.
func (c *Cluster) AddMaster() *Server {
	c.t.Helper()
	s := startNode(c.t, nil)
	s.MustDo("CLUSTER", "SET-CONFIG-EPOCH", strconv.Itoa(len(c.nodes())+1))
	c.meet(s)
	c.Masters = append(c.Masters, s)
	c.await("all nodes know the new one", func() bool {
		return c.all("cluster_known_nodes:"+strconv.Itoa(len(c.nodes()))) && c.all("cluster_state:ok")
	})
	return s
}

// AddReplica gives the first master a replica, and returns when it is in step and all know it.
func (c *Cluster) AddReplica(args ...string) {
	c.t.Helper()
	s := startNode(c.t, args)
	c.meet(s)
	c.Replicas = append(c.Replicas, s)
	c.await("all nodes know the replica", func() bool { return c.all("cluster_known_nodes:" + strconv.Itoa(len(c.nodes()))) })
	s.MustDo("CLUSTER", "REPLICATE", c.Masters[0].nodeID())
	c.await("the replica is in step", s.inStep)
	c.await("all nodes know whose it is", func() bool { return c.all("cluster_state:ok") && c.know(s, "slave") })
}

// know reports whether all nodes that answer take s for a "master", or a "slave".
func (c *Cluster) know(s *Server, role string) bool {
	for _, node := range c.nodes() {
		text, err := node.Do("CLUSTER", "NODES")
		if err != nil {
			continue // it is dead
		}
		for line := range strings.Lines(text.(string)) {
			if strings.Contains(line, " "+s.Addr()+"@") && !strings.Contains(line, role) {
				return false
			}
		}
	}
	return s.role() == role
}

// Replace kills the first master, has its replica take its slots, and starts the old one again, empty. It returns when
// that one follows: Masters[0] and Replicas[0] have changed places. It may be called on any goroutine.
func (c *Cluster) Replace() error {
	old, next := c.Masters[0], c.Replicas[0]
	old.Kill()
	// Without a vote: one that fails would be repeated only after four times the node timeout.
	if _, err := next.Do("CLUSTER", "FAILOVER", "TAKEOVER"); err != nil {
		return err
	}
	if err := poll("the replica serves the slots", func() bool { return c.know(next, "master") }); err != nil {
		return err
	}
	if err := old.start(); err != nil {
		return err
	}
	c.Masters[0], c.Replicas[0] = next, old
	return poll("the old master follows the new one", func() bool { return c.know(old, "slave") && old.inStep() })
}

func (c *Cluster) meet(s *Server) {
	host, port, _ := strings.Cut(s.Addr(), ":")
	bus := ""
	for k, arg := range s.args {
		if arg == "--cluster-port" {
			bus = s.args[k+1]
		}
	}
	c.Masters[0].MustDo("CLUSTER", "MEET", host, port, bus)
}

// IsUp reports whether all nodes answer, and say that the cluster is up. One that has started says so after two seconds.
func (c *Cluster) IsUp() bool { return c.all("cluster_state:ok") }

// Addrs are the masters' addresses, in their order.
func (c *Cluster) Addrs() []string {
	var addrs []string
	for _, s := range c.Masters {
		addrs = append(addrs, s.Addr())
	}
	return addrs
}

// Slot is the key's slot, as the cluster says.
func (c *Cluster) Slot(key string) int {
	c.t.Helper()
	for _, s := range c.nodes() {
		if slot, err := s.Do("CLUSTER", "KEYSLOT", key); err == nil {
			return int(slot.(int64))
		}
	}
	c.t.Fatal("redistest: no node answers")
	return 0
}

// Owner is the node that serves the slot in the eyes of all that answer, nil while
// they do not agree.
func (c *Cluster) Owner(slot int) *Server {
	var owner *Server
	for _, s := range c.nodes() {
		said := s.ownerOf(slot)
		if said == "" { // it is dead
			continue
		}
		for _, other := range c.nodes() {
			if other.Addr() == said {
				if owner != nil && owner != other {
					return nil
				}
				owner = other
			}
		}
	}
	return owner
}

// ownerOf is the address of a slot's master, as this node has it.
func (s *Server) ownerOf(slot int) string {
	ranges, _ := s.Do("CLUSTER", "SLOTS")
	list, _ := ranges.([]any)
	for _, r := range list {
		r := r.([]any)
		if first, last := r[0].(int64), r[1].(int64); int64(slot) < first || int64(slot) > last {
			continue
		}
		master := r[2].([]any)
		host, _, _ := net.SplitHostPort(s.Addr()) // all are on one, by whatever name they go
		return net.JoinHostPort(host, fmt.Sprint(master[1]))
	}
	return ""
}

// Migration is a slot on its way from one master to another.
type Migration struct {
	c        *Cluster
	slot     string
	from, to *Server
}

// BeginMigration has the slot begin to move: from says ASK of keys that it does not
// have from now on.
func (c *Cluster) BeginMigration(slot int, to *Server) *Migration {
	c.t.Helper()
	m := &Migration{c: c, slot: strconv.Itoa(slot), from: c.Owner(slot), to: to}
	to.MustDo("CLUSTER", "SETSLOT", m.slot, "IMPORTING", m.from.nodeID())
	m.from.MustDo("CLUSTER", "SETSLOT", m.slot, "MIGRATING", to.nodeID())
	return m
}

// MoveKeys moves the keys that are in the slot now (MIGRATE).
func (m *Migration) MoveKeys() {
	m.c.t.Helper()
	m.MoveKeysOf(func(string) bool { return true })
}

// MoveKeysOf moves those of them for which which returns true.
func (m *Migration) MoveKeysOf(which func(key string) bool) {
	m.c.t.Helper()
	host, port, _ := strings.Cut(m.to.Addr(), ":")
	keys, _ := m.from.MustDo("CLUSTER", "GETKEYSINSLOT", m.slot, "1000").([]any)
	args := []string{"MIGRATE", host, port, "", "0", "5000", "KEYS"}
	for _, key := range keys {
		if which(key.(string)) {
			args = append(args, key.(string))
		}
	}
	if len(args) > 7 {
		m.from.MustDo(args...)
	}
}

// End makes the slot the new master's, and returns when all know it.
func (m *Migration) End() {
	m.c.t.Helper()
	for _, s := range append([]*Server{m.to, m.from}, m.c.Masters...) {
		s.MustDo("CLUSTER", "SETSLOT", m.slot, "NODE", m.to.nodeID())
	}
	slot, _ := strconv.Atoi(m.slot)
	m.c.await("all know who serves the slot", func() bool { return m.c.Owner(slot) == m.to })
}

// Migrate moves a slot with its keys to another master.
func (c *Cluster) Migrate(slot int, to *Server) {
	c.t.Helper()
	m := c.BeginMigration(slot, to)
	m.MoveKeys()
	m.End()
}

// AwaitFailover returns when the replica of a master serves its slots.
func (c *Cluster) AwaitFailover(place int) {
	c.t.Helper()
	slot := place * ClusterSlots / len(c.Masters)
	c.await("the replica serves the slots", func() bool {
		return c.Owner(slot) == c.Replicas[place] && c.Replicas[place].role() == "master"
	})
}

func (s *Server) nodeID() string {
	id, _ := s.MustDo("CLUSTER", "MYID").(string)
	return id
}

// all reports whether CLUSTER INFO of every node has this line.
func (c *Cluster) all(line string) bool {
	var asks errgroup.Group
	for _, s := range c.nodes() {
		asks.Go(func() error {
			info, err := s.Do("CLUSTER", "INFO")
			if err == nil && !strings.Contains(info.(string), line+"\r\n") {
				return errors.New("not yet")
			}
			return err
		})
	}
	return asks.Wait() == nil
}

func (c *Cluster) nodes() []*Server {
	return append(c.Masters[:len(c.Masters):len(c.Masters)], c.Replicas...)
}

func (c *Cluster) await(what string, so func() bool) {
	c.t.Helper()
	await(c.t, what, so)
}
