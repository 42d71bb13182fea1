package doctor

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"

	"github.com/holdfast-go/holdfast/engine"
	"github.com/holdfast-go/holdfast/instance"
	"github.com/holdfast-go/holdfast/internal/redistest"
	"github.com/holdfast-go/holdfast/internal/testkit"
)

// quick are checks that need not watch clocks for long. Servers of tests are all
// young and forgetful, so findings about that are not looked at.
var quick = Config{Sample: 20 * time.Millisecond, MaxTTL: time.Millisecond}

func check(t *testing.T, cfg Config, urls ...string) Report {
	t.Helper()
	var instances []*instance.Instance
	for _, url := range urls {
		i, err := instance.Dial(url, instance.Config{Timeout: 5 * time.Second})
		if err != nil {
			t.Fatalf("instance.Dial: %v", err)
		}
		instances = append(instances, i)
	}
	return checkAll(t, cfg, instances)
}

func checkAll(t *testing.T, cfg Config, instances []*instance.Instance) Report {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	r, err := Check(ctx, instances, cfg)
	if err != nil {
		t.Fatalf("Check: %v", err)
	}
	return r
}

// expect fails unless exactly these were found, as "id" or "id of instance N".
func expect(t *testing.T, r Report, want ...string) {
	t.Helper()
	var got []string
	for _, f := range r.Findings {
		if f.ID == "young" || f.ID == "persistence" {
			continue
		}
		id := f.ID
		for n, p := range r.Servers {
			if p.Name == f.Instance {
				id = fmt.Sprintf("%s of %d", f.ID, n+1)
			}
		}
		got = append(got, id)
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("found %q, want %q: %+v", got, want, r.Findings)
	}
}

// finding is the first of that ID.
func finding(r Report, id string) Finding {
	for _, f := range r.Findings {
		if f.ID == id {
			return f
		}
	}
	return Finding{}
}

// Real servers in good health have nothing wrong but their youth, and nothing is
// left on them.
func TestRealServers(t *testing.T) {
	servers := redistest.StartN(t, 3, "--appendonly", "yes", "--appendfsync", "always")
	r := check(t, quick, redistest.URLs(servers)...)
	expect(t, r)
	if !r.Safe() || !r.Quorum() {
		t.Errorf("got %+v, want it safe, with a quorum", r)
	}
	for n, p := range r.Servers {
		if !p.Reached || p.Version == "" || p.Role != "master" || p.Latency <= 0 {
			t.Errorf("instance %d: %+v", n+1, p)
		}
		if keys := servers[n].Keys(); len(keys) > 0 {
			t.Errorf("server %d has %q", n+1, keys)
		}
	}
	if slices.ContainsFunc(r.Findings, func(f Finding) bool { return f.ID == "persistence" }) {
		t.Error("appendfsync always is not recognised")
	}
	young := check(t, Config{Sample: quick.Sample}, redistest.URLs(servers)...)
	if !slices.ContainsFunc(young.Findings, func(f Finding) bool { return f.ID == "young" }) {
		t.Errorf("got %+v, want the finding young among them", young.Findings)
	}
}

// Real servers in bad health.
func TestRealIllnesses(t *testing.T) {
	servers := redistest.StartN(t, 3)
	url := redistest.URLs(servers)
	t.Run("the same server, by another database", func(t *testing.T) {
		r := check(t, quick, url[0], url[1], url[0]+"?db=3")
		expect(t, r, "same-server of 3")
		if r.Safe() {
			t.Error("safe")
		}
	})
	t.Run("one address of two servers", func(t *testing.T) {
		var calls atomic.Int32
		balance := func(ctx context.Context, _, _ string) (net.Conn, error) {
			s := servers[calls.Add(1)%2]
			return new(net.Dialer).DialContext(ctx, s.Network(), s.Addr())
		}
		i, err := instance.Dial("redis://locks.example", instance.Config{Timeout: 5 * time.Second, Dialer: balance})
		if err != nil {
			t.Fatalf("instance.Dial: %v", err)
		}
		r := checkAll(t, quick, []*instance.Instance{i})
		expect(t, r, "several-servers of 1", "single")
		if r.Safe() {
			t.Error("safe")
		}
	})
	t.Run("eviction", func(t *testing.T) {
		s := redistest.Start(t, "--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru")
		r := check(t, quick, url[0], s.URL(), url[1])
		expect(t, r, "eviction of 2")
	})
	t.Run("no memory left", func(t *testing.T) {
		s := redistest.Start(t, "--maxmemory", "1")
		expect(t, check(t, quick, url[0], s.URL(), url[1]), "refuses-writes of 2")
	})
	t.Run("a replica of another", func(t *testing.T) {
		master := redistest.StartTCP(t, "--repl-diskless-sync-delay", "0")
		host, port, _ := strings.Cut(master.Addr(), ":")
		replica := redistest.Start(t, "--replicaof", host+" "+port)
		testkit.Eventually(t, "the replica follows", func() bool {
			info, _ := replica.MustDo("INFO", "replication").(string)
			return strings.Contains(info, "master_link_status:up")
		})
		expect(t, check(t, quick, master.URL(), replica.URL(), url[0]), "replica-of-member of 2", "failover of 1")
		expect(t, check(t, quick, url[1], replica.URL(), url[0]), "replica of 2")
	})
	t.Run("a node of a cluster", func(t *testing.T) {
		s := redistest.Start(t, "--cluster-enabled", "yes")
		expect(t, check(t, quick, url[0], s.URL(), url[1]), "mode of 2", "refuses-writes of 2")
	})
	t.Run("a sentinel", func(t *testing.T) {
		master := redistest.StartTCP(t)
		s := redistest.StartSentinel(t, master)
		r := check(t, quick, s.URL())
		expect(t, r, "mode of 1", "single")
		if f := finding(r, "mode"); r.Quorum() || !strings.Contains(f.Mend, "redis-sentinel://HOST?master=leader.") {
			t.Errorf("a quorum: %v; %+v", r.Quorum(), f)
		}
		r = check(t, quick, s.URL()+"/3")
		expect(t, r, "unreachable of 1", "single")
		if f := finding(r, "unreachable"); !strings.Contains(f.Mend, "redis-sentinel://") {
			t.Errorf("with a database: %+v", f)
		}
	})
	t.Run("a password that is not given", func(t *testing.T) {
		s := redistest.Start(t, "--requirepass", "s3cr3t")
		i, err := instance.Dial("unix://"+s.Addr(), instance.Config{})
		if err != nil {
			t.Fatalf("instance.Dial: %v", err)
		}
		r := checkAll(t, quick, []*instance.Instance{i})
		expect(t, r, "unreachable of 1", "single")
		if f := finding(r, "unreachable"); r.Endangered() || r.Known() || !strings.HasSuffix(f.What, "NOAUTH Authentication required.") || !strings.Contains(f.Mend, "It wants a password") {
			t.Errorf("endangered: %v, known: %v, %+v", r.Endangered(), r.Known(), f)
		}
	})
	t.Run("writes paused", func(t *testing.T) {
		s := redistest.Start(t)
		s.MustDo("CLIENT", "PAUSE", "60000", "WRITE")
		i, err := instance.Dial(s.URL(), instance.Config{Timeout: 200 * time.Millisecond})
		if err != nil {
			t.Fatalf("instance.Dial: %v", err)
		}
		r := checkAll(t, quick, []*instance.Instance{i})
		expect(t, r, "refuses-writes of 1", "single")
		if r.Quorum() {
			t.Error("it takes no writes, and is a quorum")
		}
	})
	t.Run("dead", func(t *testing.T) {
		s := redistest.Start(t)
		s.Kill()
		r := check(t, quick, url[0], s.URL(), url[1])
		expect(t, r, "unreachable of 2")
		if !r.Quorum() {
			t.Error("two of three answer")
		}
	})
	t.Run("hung", func(t *testing.T) {
		s := redistest.Start(t)
		s.Pause()
		i, err := instance.Dial(s.URL(), instance.Config{Timeout: 100 * time.Millisecond})
		if err != nil {
			t.Fatalf("instance.Dial: %v", err)
		}
		expect(t, checkAll(t, quick, []*instance.Instance{i}), "unreachable of 1", "single")
	})
	t.Run("called off", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		i, err := instance.Dial(url[0], instance.Config{})
		if err != nil {
			t.Fatalf("instance.Dial: %v", err)
		}
		if _, err := Check(ctx, []*instance.Instance{i}, quick); !errors.Is(err, context.Canceled) {
			t.Errorf("Check: got %v, want %v", err, context.Canceled)
		}
	})
	t.Run("an engine's instance", func(t *testing.T) {
		i, err := instance.Dial(url[0], instance.Config{})
		if err != nil {
			t.Fatalf("instance.Dial: %v", err)
		}
		e, err := engine.New([]*instance.Instance{i}, engine.Config{})
		if err != nil {
			t.Fatalf("engine.New: %v", err)
		}
		defer e.Close(t.Context())
		r := checkAll(t, quick, []*instance.Instance{i})
		expect(t, r, "unreachable of 1", "single")
	})
}

// Commands that a server does not have, or has under another name, are told with
// what that costs, and are never taken for well.
func TestCommandsThatAreNotThere(t *testing.T) {
	for _, c := range []struct {
		command     string
		want        []string
		safe, votes bool
	}{
		{"EVALSHA", []string{"commands of 1"}, true, false},
		{"SCRIPT", []string{"commands of 1"}, true, false},
		{"DEL", []string{"commands of 1"}, true, false},
		{"SET", []string{"commands of 1"}, true, false},
		{"TIME", []string{"commands of 1", "unknown of 1"}, false, true},
		{"CONFIG", nil, true, true},
		{"CLIENT", []string{"commands of 1"}, true, true},
	} {
		t.Run(c.command, func(t *testing.T) {
			s := redistest.Start(t, "--rename-command", c.command, "")
			dial := func() *instance.Instance { return dialed(t, s, instance.Config{}) }
			r := checkAll(t, quick, []*instance.Instance{dial()})
			expect(t, r, append(c.want, "single")...)
			if r.Safe() != c.safe || r.Quorum() != c.votes {
				t.Errorf("safe: %v, a quorum: %v", r.Safe(), r.Quorum())
			}
			if f := finding(r, "commands"); f.ID != "" && (!strings.Contains(f.What, strings.ToLower(c.command)) || strings.Contains(f.What, "holdfast-doctor")) {
				t.Errorf("the finding: got %+v, want it to name %s, and no key of ours", f, c.command)
			}
			native := c.command == "DEL" && (s.Knows("delifeq") || s.Knows("delex")) // by which locks are released
			engineVotes(t, dial(), c.votes || native)
		})
	}
	t.Run("INFO", func(t *testing.T) { // which the server must have, so that the test finds it
		s := redistest.Start(t)
		dial := func() *instance.Instance {
			return dialed(t, s, instance.Config{Dialer: func(ctx context.Context, network, addr string) (net.Conn, error) {
				conn, err := new(net.Dialer).DialContext(ctx, network, addr)
				return withoutInfo{conn}, err
			}})
		}
		r := checkAll(t, quick, []*instance.Instance{dial()})
		expect(t, r, "no-info of 1", "single")
		if f := finding(r, "no-info"); r.Known() || !strings.Contains(f.What, "ERR unknown command") || !strings.Contains(f.Mend, "rename-command") {
			t.Errorf("known: %v, %+v", r.Known(), f)
		}
		engineVotes(t, dial(), true)
	})
}

// withoutInfo is a connection to a server that has INFO under another name.
type withoutInfo struct{ net.Conn }

func (c withoutInfo) Write(p []byte) (int, error) {
	return c.Conn.Write(bytes.ReplaceAll(p, []byte("\r\ninfo\r\n"), []byte("\r\nwhat\r\n")))
}

func dialed(t *testing.T, s *redistest.Server, cfg instance.Config) *instance.Instance {
	t.Helper()
	cfg.Timeout = 5 * time.Second
	i, err := instance.Dial(s.URL(), cfg)
	if err != nil {
		t.Fatalf("instance.Dial: %v", err)
	}
	return i
}

// engineVotes fails the test unless an engine can, or cannot, lock on that server.
func engineVotes(t *testing.T, i *instance.Instance, want bool) {
	t.Helper()
	e, err := engine.New([]*instance.Instance{i}, engine.Config{})
	if err != nil {
		t.Fatalf("engine.New: %v", err)
	}
	defer e.Close(t.Context())
	<-i.Ready()
	l, err := e.TryAcquire(t.Context(), "job")
	if err == nil {
		err = errors.Join(l.Extend(t.Context(), 0), l.Release(t.Context()))
	}
	if (err == nil) != want {
		t.Errorf("an engine there: %v", err)
	}
}

// What a server refuses at the greeting is not taken for an answer to a question.
func TestRefusedAtTheDoor(t *testing.T) {
	s := redistest.Start(t)
	s.User("ann", "pw", "~* resetchannels +@all -select")
	r := check(t, quick, strings.Replace(s.URL(), "unix://", "unix://ann:pw@", 1)+"?db=3")
	expect(t, r, "single", "unreachable of 1")
	if f := finding(r, "unreachable"); !strings.Contains(f.What, "'select'") || !strings.Contains(f.Mend, "+select") {
		t.Errorf("unreachable: got %+v, want it to name 'select', and +select as what mends it", f)
	}
	if r.Safe() || r.Known() || r.Endangered() {
		t.Errorf("got %+v, want it neither safe nor known nor in danger", r)
	}
}

// Valkey 9 has users that may use some databases only.
func TestDatabasesThatAreNotPermitted(t *testing.T) {
	s := redistest.Start(t)
	if _, err := s.Do("ACL", "SETUSER", "ann", "reset", "on", ">pw", "~*", "+@all", "resetdbs", "db=3"); err != nil {
		t.Skip("this server has no such rule, Valkey 9 has (HOLDFAST_TEST_SERVER): ", err)
	}
	url := strings.Replace(s.URL(), "unix://", "unix://ann:pw@", 1)
	expect(t, check(t, quick, url+"?db=3"), "single")
	r := check(t, quick, url)
	expect(t, r, "single", "permissions of 1")
	if f := finding(r, "permissions"); r.Quorum() || !strings.Contains(f.What, "database") || !strings.Contains(f.Mend, "db=N") {
		t.Errorf("permissions: got %+v, want it to name the database and db=N, and no quorum", f)
	}
	r = check(t, quick, url+"?db=4")
	expect(t, r, "single", "unreachable of 1")
	if f := finding(r, "unreachable"); !strings.Contains(f.Mend, "db=N") {
		t.Errorf("unreachable: got %+v, want db=N as what mends it", f)
	}
}

// Slots that are on their way are told, and that nobody may know it, too.
func TestSlotsOnTheirWay(t *testing.T) {
	c := redistest.StartCluster(t, 3, false)
	url := "redis-cluster://" + c.Addrs()[0]
	slot := c.Slot("job")
	from := c.Owner(slot)
	to := c.Masters[0]
	if to == from {
		to = c.Masters[1]
	}
	m := c.BeginMigration(slot, to)
	r := check(t, quick, url)
	if f := finding(r, "moving"); !strings.Contains(f.What, fmt.Sprint(slot)) {
		t.Errorf("got %+v, want that slot %d is moving", r.Findings, slot)
	}
	m.End()
	expect(t, check(t, quick, url), "single")
	for _, s := range c.Masters {
		s.User("ann", "pw", "~* resetchannels +@all -cluster|nodes")
	}
	r = check(t, quick, strings.Replace(url, "://", "://ann:pw@", 1))
	if f := finding(r, "unknown"); f.Severity != Note || !strings.Contains(f.What, "CLUSTER NODES") || !r.Safe() {
		t.Errorf("got %+v, want a note that CLUSTER NODES is not permitted", r.Findings)
	}
}

// What Valkey 9 and Redis 8.4 say of a move of slots.
func TestAtomicMigrations(t *testing.T) {
	migration := func(slots, state string) any {
		return []any{"name", "14b2", "operation", "EXPORT", "slot_ranges", slots, "create_time", int64(1795760244), "state", state, "cow_size", int64(0)}
	}
	got := underWay([]any{migration("0-100", "success"), migration("101-200", "waiting-to-snapshot"), migration("7", "failed")})
	if !slices.Equal(got, []string{"101-200"}) {
		t.Errorf("slots under way: got %q, want 101-200", got)
	}
	importing := func(slots, state string) any { // what Redis 8.4 says
		return []any{"id", "14b2", "slots", slots, "operation", "import", "state", state, "retries", int64(0)}
	}
	got = underWay([]any{importing("0-100", "completed"), importing("101-200", "streaming-buf"), importing("7", "canceled")})
	if !slices.Equal(got, []string{"101-200"}) {
		t.Errorf("slots under way, of Redis: got %q, want 101-200", got)
	}
	if got := underWay(nil); got != nil {
		t.Errorf("slots under way, of nothing: got %q, want none", got)
	}
}

// A cluster is one instance, of which each master is looked at.
func TestCluster(t *testing.T) {
	c := redistest.StartCluster(t, 3, false)
	url := "redis-cluster://" + c.Addrs()[0]
	r := check(t, quick, url)
	expect(t, r, "single")
	if len(r.Servers) != 3 || !r.Quorum() {
		t.Errorf("got %+v, want 3 servers and a quorum", r)
	}
	c.Masters[1].MustDo("CONFIG", "SET", "maxmemory", "100mb")
	c.Masters[1].MustDo("CONFIG", "SET", "maxmemory-policy", "volatile-lru")
	r = check(t, quick, url)
	if r.Safe() || !strings.Contains(r.Findings[0].Instance, c.Masters[1].Addr()) {
		t.Errorf("got %+v, want a finding about %s", r.Findings, c.Masters[1].Addr())
	}
	expect(t, check(t, quick, "redis-cluster://127.0.0.1:1"), "single", "unreachable of 1")
	r = check(t, quick, url+"/3") // Valkey 9 may have it, where cluster-databases permits it
	if f := finding(r, "unreachable"); !strings.Contains(f.Mend, "cluster-databases") {
		t.Errorf("got %+v, want that cluster-databases mends it", f)
	}
}

// The doctor looks at the database that an engine would lock in.
func TestClusterDatabases(t *testing.T) {
	if s := redistest.Start(t); len(s.MustDo("CONFIG", "GET", "cluster-databases").([]any)) == 0 {
		t.Skip("this server's clusters have database 0 alone, those of Valkey 9 may have more: make servers")
	}
	c := redistest.StartCluster(t, 3, false, "--cluster-databases", "4")
	r := check(t, quick, "redis-cluster://"+c.Addrs()[0]+"/3")
	expect(t, r, "single")
	if len(r.Servers) != 3 || !r.Quorum() {
		t.Errorf("got %+v, want 3 servers and a quorum", r)
	}
	for _, s := range c.Masters {
		s.MustDo("ACL", "SETUSER", "ann", "reset", "on", ">pw", "~*", "+@all", "resetdbs", "db=0")
	}
	r = check(t, quick, "redis-cluster://ann:pw@"+c.Addrs()[0]+"/3")
	if f := finding(r, "unreachable"); !strings.Contains(f.Mend, "db=N") {
		t.Errorf("got %+v, want db=N as what mends it", f)
	}
}

// What a user is not permitted is found, command by command, and no password shown.
func TestPermissions(t *testing.T) {
	const password = "doctor-s3cr3t"
	const enough = "~locks:* resetchannels -@all +script|load +evalsha +set +get +getrange +setrange +bitfield +exists +del +pttl +pexpire +time +zadd +zrem +zrange +zrangebyscore +zrevrangebyscore +zscore +zcount +client|id +client|kill +info +hello +client|tracking"
	s := redistest.Start(t)
	as := func(rules string, prefix string) Report {
		s.User("ann", password, rules)
		cfg := quick
		cfg.KeyPrefix = prefix
		return check(t, cfg, strings.Replace(s.URL(), "unix://", "unix://ann:"+password+"@", 1))
	}
	expect(t, as(enough, "locks:"), "single")
	for _, part := range []string{"script|load", "evalsha", "set", "get", "getrange", "exists", "del", "pttl", "pexpire", "time", "zadd", "zscore", "client|id", "client|kill", "client|tracking"} {
		r := as(strings.Replace(enough, " +"+part, "", 1), "locks:")
		want := []string{"single", "permissions of 1"}
		if part == "time" { // and the clock may be anything
			want = append(want, "unknown of 1")
		}
		expect(t, r, want...)
		if f := finding(r, "permissions"); !strings.Contains(f.What, part) {
			t.Errorf("without %s: %+v", part, f)
		}
		if r.Safe() == (part == "time") {
			t.Errorf("without %s it is safe: %v", part, r.Safe())
		}
	}
	expect(t, as(strings.Replace(enough, " +info", "", 1), "locks:"), "single", "no-info of 1")
	expect(t, as(enough, "other:"), "single", "permissions of 1")

	s.User("ann", "another", enough)
	r := check(t, quick, strings.Replace(s.URL(), "unix://", "unix://ann:"+password+"@", 1))
	expect(t, r, "single", "unreachable of 1")
	if text := fmt.Sprintf("%+v", r); strings.Contains(text, password) || !strings.Contains(text, "WRONGPASS") {
		t.Errorf("want WRONGPASS said and no password shown, got %s", text)
	}
}

// A clock that stands still, and is far away.
func TestClocks(t *testing.T) {
	m := miniredis.RunT(t)
	m.SetTime(time.Now().Add(-time.Hour))
	r := check(t, quick, m.Addr())
	expect(t, r, "single", "clock-rate of 1", "clock-offset of 1", "commands of 1", "unknown of 1")
}

// What Dial knows to be unsafe.
func TestInsecure(t *testing.T) {
	i, err := instance.Dial("redis://:pw@192.0.2.1:6379", instance.Config{Timeout: 20 * time.Millisecond})
	if err != nil {
		t.Fatalf("instance.Dial: %v", err)
	}
	expect(t, checkAll(t, quick, []*instance.Instance{i}), "single", "insecure of 1", "unreachable of 1")
}
