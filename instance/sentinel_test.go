package instance_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/holdfast-go/holdfast/engine"
	"github.com/holdfast-go/holdfast/instance"
	"github.com/holdfast-go/holdfast/internal/enginetest"
	"github.com/holdfast-go/holdfast/internal/redistest"
	"github.com/holdfast-go/holdfast/internal/testkit"
	"github.com/holdfast-go/holdfast/lease"
)

const leaderPW, sentinelPW = "leader-s3cr3t", "sentinel-s3cr3t"

// Three sentinels, a master and a replica, with passwords of their own: locks
// are held, waited for and renewed over failovers, no connection is left open,
// and Close releases everything.
func TestSentinel(t *testing.T) {
	if testing.Short() {
		t.Skip("it waits for three failovers: half a minute")
	}
	t.Parallel() // it waits most of the time
	f := redistest.StartFleet(t, redistest.FleetConfig{Password: leaderPW, SentinelPassword: sentinelPW})
	url := "redis-sentinel://:" + leaderPW + "@" + strings.Join(f.SentinelAddrs(), ",") + "/leader?client_name=holdfast&sentinel_password=" + sentinelPW
	log := new(testkit.Log)
	cfg := engine.Config{
		TTL: 5 * time.Second, MaxTTL: 5 * time.Second, RenewEvery: 200 * time.Millisecond, InstanceTimeout: time.Second,
		Logger: slog.New(slog.NewJSONHandler(log, nil)),
	}
	e, err := engine.Open(within(t), []string{url}, cfg)
	if err != nil {
		t.Fatalf("engine.Open: %v", err)
	}
	defer func() {
		if err := e.Close(within(t)); err != nil {
			t.Errorf("e.Close: %v", err)
		}
	}()

	// Nothing grows: not at the master, not at the sentinels.
	release(t, acquire(t, e, "first"))
	for k := range 1000 {
		release(t, acquire(t, e, fmt.Sprintf("r%d", k)))
	}
	if n := clientsOf(t, f.Master, "holdfast"); n != 1 {
		t.Errorf("1,000 operations left %d connections to the master", n)
	}
	eventually(t, "one connection to a sentinel stays", func() bool { return sentinelClients(f) <= 1 })

	// A failover, and all goes on.
	old := f.Master
	held := acquire(t, e, "held")
	copied(t, f, "held", held)
	waited := make(chan error, 1)
	go func() { // a waiter for what is held, from before the failover until after it
		l, err := e.Acquire(within(t), "held")
		if err == nil {
			err = l.Release(within(t))
		}
		waited <- err
	}()
	busy, stop := context.WithCancel(context.Background())
	calls := make(chan int)
	go func() { calls <- hammer(busy, t, e) }()

	f.Failover()
	state(t, e, 0, instance.Quarantined) // what was promoted may lack a grant; long before the old master steps down
	was := held.Deadline()
	eventually(t, "the lease is renewed at the new master", func() bool { return held.Deadline().After(was) })
	if f.Master.Get("held") != held.Token() || !held.Valid() {
		t.Errorf("the lease is not at the new master: %v", held.Err())
	}
	eventually(t, "no connection to the old master is left", func() bool { return clientsOf(t, old, "holdfast") == 0 })
	for _, want := range []string{`"master":"leader","from":"` + old.Addr() + `","to":"` + f.Master.Addr() + `"`, `"WARN",.*"for":"\d+\.?\d*s","until":"2`} {
		if !regexp.MustCompile(want).MatchString(log.String()) {
			t.Errorf("the log does not have %s:\n%s", want, log.String())
		}
	}
	f.AwaitDemotion()
	stop()
	if n := <-calls; n == 0 {
		t.Error("nothing was tried during the failover")
	}
	select {
	case err := <-waited:
		t.Errorf("the waiter did not wait: %v", err)
	default:
	}
	release(t, held)
	if err := <-waited; err != nil {
		t.Errorf("the waiter: %v", err)
	}
	state(t, e, 0, instance.Up)
	release(t, acquire(t, e, "after"))

	// And back: a lease whose key the new master never got ends as gone.
	lost := acquire(t, e, "lost")
	f.Failover()
	f.Master.Del("lost")
	if err := ended(t, lost); !errors.Is(err, lease.ErrGone) {
		t.Errorf("a lost grant ended with %v", err)
	}
	f.AwaitDemotion()
	state(t, e, 0, instance.Up)
	for k := range 20 {
		acquire(t, e, fmt.Sprintf("closing-%d", k))
	}
	if err := e.Close(within(t)); err != nil {
		t.Errorf("e.Close: %v", err)
	}
	if keys := f.Master.Keys(); len(keys) != 0 {
		t.Errorf("Close left %q", keys)
	}
	eventually(t, "no connection is left", func() bool { return clientsOf(t, f.Master, "holdfast") == 0 && sentinelClients(f) == 0 })
}

// hammer acquires and releases until ctx ends. It returns how often it tried.
func hammer(ctx context.Context, t *testing.T, e *engine.Engine) (tries int) {
	for ; ctx.Err() == nil; tries++ {
		l, err := e.TryAcquire(within(t), "busy", engine.WithTTL(500*time.Millisecond))
		if err != nil {
			oneLine(t, err)
			if strings.Contains(err.Error(), "s3cr3t") {
				t.Errorf("the error shows a password: %v", err)
			}
			time.Sleep(time.Millisecond)
			continue
		}
		_ = l.Release(within(t)) // whose answer may be lost with the old master
	}
	return tries
}

// copied waits until the replica has the lease: replication is asynchronous.
func copied(t *testing.T, f *redistest.Fleet, key string, l *lease.Lease) {
	t.Helper()
	eventually(t, "the replica has the lease", func() bool { return f.Replica.Get(key) == l.Token() })
}

// sentinelClients counts the sentinels' connections, but for those of each other.
func sentinelClients(f *redistest.Fleet) (n int) {
	for _, s := range f.Sentinels {
		list, _ := s.MustDo("CLIENT", "LIST").(string)
		n += strings.Count(list, "\n") - strings.Count(list, " name=sentinel-") - 1 // this one
	}
	return n
}

// clientsOf counts the connections of clients that call themselves so.
func clientsOf(t *testing.T, s *redistest.Server, name string) int {
	t.Helper()
	list, _ := s.MustDo("CLIENT", "LIST", "TYPE", "normal").(string)
	return strings.Count(list, " name="+name+" ")
}

// Every spelling finds the master, and every mistake says what it is.
func TestSentinelForms(t *testing.T) {
	t.Parallel() // it waits most of the time
	ca := redistest.NewAuthority(t)
	master := redistest.StartTCP(t, "--requirepass", leaderPW)
	_, secureAddr := redistest.StartTLS(t, ca, false, "--requirepass", leaderPW)
	plain := redistest.StartSentinel(t, master)
	other := redistest.StartSentinel(t, master)
	_, ofMaster := redistest.StartSentinelTLS(t, ca, master.Addr())
	secureSentinel, ofSecure := redistest.StartSentinelTLS(t, ca, secureAddr)
	at := plain.Addr()
	dead := "127.0.0.1:1"

	given := func(context.Context) (string, string, error) { return "", leaderPW, nil }
	for name, form := range map[string]struct {
		url string
		cfg instance.Config
	}{
		"Lettuce's":                      {url: "redis-sentinel://:" + leaderPW + "@" + at + "/3#leader"},
		"Python's":                       {url: "redis+sentinel://:" + leaderPW + "@" + at + "/leader/3"},
		"aioredlock's":                   {url: "redis://:" + leaderPW + "@" + at + "/3?master=leader"},
		"aioredlock's, all of it":        {url: "redis://:" + leaderPW + "@" + at + "/3?master=leader&encoding=utf-8"},
		"several":                        {url: "redis-sentinel://:" + leaderPW + "@" + at + "," + other.Addr() + "/leader"},
		"several, one dead":              {url: "redis-sentinel://:" + leaderPW + "@" + dead + "," + at + "/leader"},
		"several, most of them dead":     {url: "redis-sentinel://:" + leaderPW + "@" + dead + ",127.0.0.1:2," + at + "/leader"},
		"Config":                         {cfg: instance.Config{Sentinel: instance.Sentinel{Addrs: []string{at}, Master: "leader"}, Password: leaderPW, DB: 3}},
		"Config beside a URL":            {url: "redis://wrong@" + at + "?master=wrong", cfg: instance.Config{Sentinel: instance.Sentinel{Master: "leader"}, Username: "default", Credentials: given}},
		"TLS to both":                    {url: "rediss-sentinel://:" + leaderPW + "@" + ofSecure + "/leader?ssl_ca_certs=" + ca.CAFile},
		"TLS to both, aioredlock's":      {url: "rediss://:" + leaderPW + "@" + ofSecure + "/5?master=leader&encoding=utf-8&ssl_cert_reqs=CERT_NONE"},
		"TLS to the sentinels":           {url: "redis-sentinel://:" + leaderPW + "@" + ofMaster + "/leader?sentinel_tls=true&ssl_ca_certs=" + ca.CAFile},
		"TLS to the sentinels, Config":   {url: "redis-sentinel://:" + leaderPW + "@" + ofMaster + "/leader", cfg: instance.Config{Sentinel: instance.Sentinel{TLS: ca.Config()}}},
		"TLS to the master":              {url: "rediss-sentinel://:" + leaderPW + "@" + secureSentinel.Addr() + "/leader?sentinel_tls=false&ssl_ca_certs=" + ca.CAFile},
		"TLS to the master, Config":      {url: "redis-sentinel://:" + leaderPW + "@" + secureSentinel.Addr() + "/leader", cfg: instance.Config{TLS: ca.Config(), Sentinel: instance.Sentinel{Plain: true}}},
		"TLS to both, one config for it": {url: "redis-sentinel://:" + leaderPW + "@" + ofSecure + "/leader", cfg: instance.Config{TLS: ca.Config()}},
	} {
		t.Run(name, func(t *testing.T) { works(t, form.url, form.cfg) })
	}
	t.Run("an existing failover client", func(t *testing.T) {
		client := redis.NewFailoverClient(&redis.FailoverOptions{MasterName: "leader", SentinelAddrs: []string{at}, Password: leaderPW})
		defer func() { _ = client.Close() }()
		e := enginetest.New(t, engine.Config{}, instance.New(client, instance.Config{Name: "failover", Timeout: 5 * time.Second}))
		release(t, acquire(t, e, "r"))
	})

	replica := redistest.StartTCP(t, "--replicaof", strings.Replace(master.Addr(), ":", " ", 1), "--masterauth", leaderPW)
	misled := redistest.StartSentinel(t, replica)
	for name, bad := range map[string]struct{ url, says string }{
		"no such master":      {"redis-sentinel://:" + leaderPW + "@" + at + "/another", `know no master of that name: "another"`},
		"no password":         {"redis-sentinel://" + at + "/leader", "NOAUTH"},
		"wrong password":      {"redis-sentinel://:wrong-s3cr3t@" + at + "/leader", "WRONGPASS"},
		"nobody there":        {"redis-sentinel://:" + leaderPW + "@" + dead + "/leader", "sentinel " + dead + ": "},
		"no sentinel at all":  {"redis-sentinel://:" + leaderPW + "@" + master.Addr() + "/leader?sentinel_password=" + leaderPW, "sentinel " + master.Addr() + ": ERR"},
		"a replica":           {"redis-sentinel://:" + leaderPW + "@" + misled.Addr() + "/leader", "failover is under way"},
		"unverified sentinel": {"rediss-sentinel://:" + leaderPW + "@" + ofSecure + "/leader", "unknown authority"},
	} {
		t.Run(name, func(t *testing.T) { refused(t, bad.url, instance.Config{}, bad.says) })
	}
	t.Run("one that hangs costs no more than its share", func(t *testing.T) {
		other.Pause()
		works(t, "redis-sentinel://:"+leaderPW+"@"+at+","+other.Addr()+"/leader", instance.Config{})
		other.Resume()
	})
	t.Run("an outvoted sentinel is not believed", func(t *testing.T) {
		third := redistest.StartSentinel(t, master)
		for range 5 {
			works(t, "redis-sentinel://:"+leaderPW+"@"+misled.Addr()+","+at+","+third.Addr()+"/leader", instance.Config{})
		}
	})
}
