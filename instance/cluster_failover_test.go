package instance_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/holdfast-go/holdfast/engine"
	"github.com/holdfast-go/holdfast/instance"
	"github.com/holdfast-go/holdfast/internal/enginetest"
	"github.com/holdfast-go/holdfast/internal/redistest"
	"github.com/holdfast-go/holdfast/lease"
)

// A master without a replica dies while a lease is held there: the lease ends when
// it can no longer be trusted, and nothing else does. It comes back empty, and
// votes on no new acquires until what it has forgotten is over.
func TestClusterMasterDies(t *testing.T) {
	if testing.Short() {
		t.Skip("it waits for a lease and a quarantine to end: 8 seconds")
	}
	t.Parallel() // it waits most of the time
	const longest = 3 * time.Second
	c := redistest.StartCluster(t, 3, false, "--cluster-require-full-coverage", "no")
	e := onCluster(t, c, engine.Config{TTL: 1500 * time.Millisecond, MaxTTL: longest})
	dead := c.Masters[1]
	lost, kept := acquire(t, e, keyOf(c, dead, "lost")), acquire(t, e, keyOf(c, c.Masters[0], "kept"))
	other := keyOf(c, dead, "other")
	dead.Kill()
	if err := ended(t, lost); !errors.Is(err, lease.ErrExpired) {
		t.Errorf("the lease at the dead master ended with %v", err)
	}
	if kept.Err() != nil {
		t.Errorf("the lease at another master: %v", kept.Err())
	}
	state(t, e, 0, instance.Down)
	if h := e.Instances()[0]; h.Err == nil || !strings.Contains(h.Err.Error(), "node "+dead.Addr()) {
		t.Errorf("the health does not name the node: %v", h.Err)
	}
	_, err := e.TryAcquire(within(t), other)
	oneLine(t, err)
	if !errors.Is(err, engine.ErrNoQuorum) || !strings.Contains(err.Error(), dead.Addr()) {
		t.Errorf("acquire at a dead master: got %v, want ErrNoQuorum and %s", err, dead.Addr())
	}
	for _, s := range []*redistest.Server{c.Masters[0], c.Masters[2]} {
		release(t, acquire(t, e, keyOf(c, s, "meanwhile")))
	}

	dead.Restart()
	back := time.Now()
	state(t, e, 0, instance.Quarantined)
	if _, err := e.TryAcquire(within(t), other); err == nil || !strings.Contains(err.Error(), "quarantined") {
		t.Errorf("a restarted master votes: %v", err)
	}
	release(t, acquire(t, e, keyOf(c, c.Masters[2], "meanwhile")))
	next := acquire(t, e, other) // waits for it
	if d := time.Since(back); d < longest-100*time.Millisecond {
		t.Errorf("it voted again after %v, which is less than the longest lease", d)
	}
	release(t, next)
	release(t, kept)
}

// A master dies, and its replica takes its place: leases go on, or end as gone
// if their keys were lost, and the restart guard sees to what else may be lost.
func TestClusterFailover(t *testing.T) {
	if testing.Short() {
		t.Skip("it waits for a failover: 6 seconds")
	}
	t.Parallel() // it waits most of the time
	c := redistest.StartCluster(t, 3, true)
	e := onCluster(t, c, engine.Config{TTL: 12 * time.Second, RenewEvery: 300 * time.Millisecond, MaxTTL: 12 * time.Second})
	old, promoted := c.Masters[0], c.Replicas[0]
	var keys []string
	for n := range 3 {
		keys = append(keys, keyOf(c, old, fmt.Sprintf("held-%d", n)))
	}
	fresh := keyOf(c, old, "fresh")
	elsewhere := acquire(t, e, keyOf(c, c.Masters[1], "elsewhere"))
	held := acquire(t, e, keys[0], engine.WithFencing())
	lost := acquire(t, e, keys[1])
	owed := acquire(t, e, keys[2], engine.WithoutRenewal())
	if n, err := old.Do("WAIT", "1", "5000"); err != nil || n != int64(1) {
		t.Fatalf("the replica does not follow: %v %v", n, err)
	}

	old.Kill()
	if err := owed.Release(within(t)); !errors.Is(err, engine.ErrNoQuorum) {
		t.Errorf("released at a dead master: %v", err)
	}
	c.AwaitFailover(0)
	promoted.Del(keys[1]) // as if it had never got it
	if err := ended(t, lost); !errors.Is(err, lease.ErrGone) {
		t.Errorf("a lost grant ended with %v", err)
	}
	was := held.Deadline()
	eventually(t, "the lease is renewed at the new master", func() bool { return held.Deadline().After(was) || held.Err() != nil })
	if err := held.Err(); err != nil {
		t.Errorf("a lease that was not lost: %v", err)
	}
	if promoted.Get(keys[0]) != held.Token() {
		t.Error("it is not at the new master")
	}
	eventually(t, "what the old master owed is deleted at the new one", func() bool { return promoted.Get(keys[2]) == "" })

	state(t, e, 0, instance.Quarantined)
	if _, err := e.TryAcquire(within(t), fresh); err == nil || !strings.Contains(err.Error(), "quarantined") {
		t.Errorf("what was promoted votes on new acquires: %v", err)
	}
	release(t, acquire(t, e, keyOf(c, c.Masters[2], "fresh"))) // its slots have lost nothing
	for _, l := range []*lease.Lease{held, elsewhere} {
		release(t, l)
	}
	if promoted.Get(keys[0]) != "" {
		t.Error("the release has not reached the new master")
	}
}

// TLS, passwords, users and providers are for every node, wherever they are said.
func TestClusterTLSAndCredentials(t *testing.T) {
	t.Parallel() // it waits most of the time
	const pw = "cluster-s3cr3t"
	ca := redistest.NewAuthority(t)
	c, addrs := redistest.StartClusterTLS(t, ca, 3, "--requirepass", pw)
	for _, s := range c.Masters {
		s.User("me", pw, "~* +@all")
	}
	at := strings.Join(addrs, ",")
	given := func(context.Context) (string, string, error) { return "me", pw, nil }
	for name, form := range map[string]struct {
		url string
		cfg instance.Config
	}{
		"URL":              {url: "rediss-cluster://me:" + pw + "@" + at + "?ssl_ca_certs=" + ca.CAFile},
		"Python's":         {url: "rediss+cluster://:" + pw + "@" + at + "?ssl_cert_reqs=none"},
		"Config":           {cfg: instance.Config{Cluster: addrs, Username: "me", Password: pw, TLS: ca.Config()}},
		"Config, a file":   {cfg: instance.Config{Cluster: addrs[:1], Password: pw, CAFile: ca.CAFile, ServerName: "127.0.0.1"}},
		"Config and URL":   {url: "redis-cluster://wrong:wrong@" + at, cfg: instance.Config{Username: "me", Password: pw, TLS: ca.Config()}},
		"credentials":      {cfg: instance.Config{Cluster: addrs, Credentials: given, CAFile: ca.CAFile}},
		"without TLS, too": {url: "redis-cluster://:" + pw + "@" + c.Addrs()[0]},
	} {
		t.Run(name, func(t *testing.T) {
			e, err := openOne(t, form.url, form.cfg)
			if err != nil {
				t.Fatalf("openOne: %v", err)
			}
			for _, s := range c.Masters {
				release(t, acquire(t, e, keyOf(c, s, "r"), engine.WithFencing()))
			}
		})
	}
	t.Run("an existing client", func(t *testing.T) {
		client := redis.NewClusterClient(&redis.ClusterOptions{Addrs: addrs[:1], CredentialsProviderContext: given, TLSConfig: ca.Config()})
		defer func() { _ = client.Close() }()
		e := enginetest.New(t, engine.Config{}, instance.New(client, instance.Config{}))
		for _, s := range c.Masters {
			release(t, acquire(t, e, keyOf(c, s, "r")))
		}
	})
	for name, bad := range map[string]struct{ url, says string }{
		"no password":    {"redis-cluster://" + strings.Join(c.Addrs(), ","), "NOAUTH"},
		"wrong password": {"redis-cluster://:wrong-s3cr3t@" + strings.Join(c.Addrs(), ","), "WRONGPASS"},
		"unverified":     {"rediss-cluster://:" + pw + "@" + at, "unknown authority"},
	} {
		t.Run(name, func(t *testing.T) { refused(t, bad.url, instance.Config{}, bad.says) })
	}
}

// What a third of all slots costs the node that hands them over when they go to its
// replica at once: a few messages.
func TestClusterFailoverByHandCostsAFewMessages(t *testing.T) {
	if testing.Short() {
		t.Skip("it waits for a failover: 4 seconds")
	}
	t.Parallel() // it waits most of the time
	c := redistest.StartCluster(t, 3, true)
	e := onCluster(t, c, engine.Config{Guard: instance.GuardOff})
	old := c.Masters[0]
	key := keyOf(c, old, "r")
	release(t, acquire(t, e, key))
	before := old.Calls("client|id")
	c.Replicas[0].MustDo("CLUSTER", "FAILOVER")
	c.AwaitFailover(0)
	eventually(t, "no slot is left at the old master", func() bool { return clientsOf(t, old, "holdfast") <= 1 }) // one asks for the map
	release(t, acquire(t, e, key))
	if n := old.Calls("client|id") - before; n > 20 {
		t.Errorf("%d messages", n)
	}
}
