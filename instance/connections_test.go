package instance_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
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

func contextOf(d time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), d)
}

// Every way to reach one server that is not TLS or Sentinel.
func TestConnectionForms(t *testing.T) {
	const password = "p@ss/w:rd?#%"
	escaped := url.QueryEscape(password)
	server := redistest.StartTCP(t, "--requirepass", password)
	socket := redistest.Start(t)
	server.User("me", password, "~* +@all")
	host, port, _ := net.SplitHostPort(server.Addr())

	for name, form := range map[string]struct {
		url string
		cfg instance.Config
		db  int
	}{
		"password":              {url: "redis://:" + escaped + "@" + server.Addr()},
		"user and password":     {url: "redis://me:" + escaped + "@" + server.Addr()},
		"database":              {url: "redis://:" + escaped + "@" + server.Addr() + "/3", db: 3},
		"database as parameter": {url: "redis://:" + escaped + "@" + server.Addr() + "/3?db=4", db: 4},
		"a client name":         {url: "redis://:" + escaped + "@" + server.Addr() + "?client_name=x"},
		"go-redis's parameters": {url: "redis://:" + escaped + "@" + server.Addr() + "?protocol=3&max_retries=3&pool_size=50&read_timeout=3&dial_timeout=2s&conn_max_lifetime=1h"},
		"scheme in capitals":    {url: "REDIS://:" + escaped + "@" + server.Addr()},
		"config beside a URL":   {url: "redis://" + server.Addr() + "/9", cfg: instance.Config{Password: password, DB: 5}, db: 5},
		"config beside host":    {url: server.Addr(), cfg: instance.Config{Username: "me", Password: password}},
		"config wins":           {url: "redis://wrong:wrong@127.0.0.1:1/9", cfg: instance.Config{Addr: server.Addr(), Username: "me", Password: password, DB: 2}, db: 2},
		"config alone":          {cfg: instance.Config{Addr: net.JoinHostPort(host, port), Password: password}},
		"credentials":           {url: server.URL(), cfg: instance.Config{Credentials: func(context.Context) (string, string, error) { return "me", password, nil }}},
		"credentials, no user":  {url: server.URL(), cfg: instance.Config{Password: "wrong", Credentials: func(context.Context) (string, string, error) { return "", password, nil }}},
		"unix socket":           {url: socket.URL()},
		"unix socket, database": {url: socket.URL() + "?db=2", db: 2},
		"unix socket as a path": {url: socket.Addr()},
		"unix socket in Config": {cfg: instance.Config{Addr: socket.Addr()}},
		"a dialer":              {url: "redis://:" + escaped + "@redis.invalid:1", cfg: instance.Config{Dialer: dialTo(server)}},
		"a dialer without heed": {url: "redis://:" + escaped + "@redis.invalid:1", cfg: instance.Config{Dialer: func(_ context.Context, n, a string) (net.Conn, error) {
			return dialTo(server)(context.Background(), n, a)
		}}},
		"a dialer and a sockets": {url: "unix:///redis.invalid", cfg: instance.Config{Dialer: dialTo(socket)}},
	} {
		t.Run(name, func(t *testing.T) {
			works(t, form.url, form.cfg)
			e, err := openOne(t, form.url, form.cfg)
			if err != nil {
				t.Fatalf("openOne: %v", err)
			}
			l := acquire(t, e, "in the database")
			for _, s := range []*redistest.Server{server, socket} {
				info, _ := s.MustDo("INFO", "keyspace").(string)
				if want := fmt.Sprintf("db%d:", form.db); s.Addr() == addrIn(e, s) && !strings.Contains(info, want) {
					t.Errorf("the key is not in database %d: %s", form.db, info)
				}
			}
			release(t, l)
		})
	}
}

// addrIn returns the server's address if the engine's one instance is that.
func addrIn(e *engine.Engine, s *redistest.Server) string {
	run, _ := s.MustDo("INFO", "server").(string)
	if strings.Contains(run, e.Instances()[0].RunID) {
		return s.Addr()
	}
	return ""
}

func dialTo(s *redistest.Server) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, s.Network(), s.Addr())
	}
}

func TestIPv6(t *testing.T) {
	_, addr := redistest.StartIPv6(t)
	works(t, "redis://"+addr, instance.Config{})
	works(t, addr, instance.Config{})
	works(t, "redis://"+addr+"/1", instance.Config{})
	works(t, "", instance.Config{Addr: addr})
}

// One plain, one TLS and one that a sentinel manages are a quorum of three, and
// any one of them may fail.
func TestMixedEngine(t *testing.T) {
	ca := redistest.NewAuthority(t)
	plain := redistest.Start(t)
	secure, secureAddr := redistest.StartTLS(t, ca, false)
	managed := redistest.StartTCP(t)
	sentinel := redistest.StartSentinel(t, managed)
	servers := []*redistest.Server{plain, secure, managed}
	e, err := engine.Open(within(t), []string{
		plain.URL(),
		"rediss://" + secureAddr + "?ssl_ca_certs=" + ca.CAFile,
		"redis-sentinel://" + sentinel.Addr() + "?master=leader",
	}, engine.Config{InstanceTimeout: 500 * time.Millisecond})
	if err != nil {
		t.Fatalf("engine.Open: %v", err)
	}
	defer func() {
		if err := e.Close(within(t)); err != nil {
			t.Errorf("e.Close: %v", err)
		}
	}()
	for place, s := range servers {
		l := acquire(t, e, "mixed")
		everywhere(t, servers, l)
		s.Pause()
		l2 := acquire(t, e, "meanwhile")
		if err := l.Extend(within(t), 0); err != nil {
			t.Errorf("l.Extend: %v", err)
		}
		release(t, l2)
		s.Resume()
		state(t, e, place, instance.Up)
		release(t, l)
		clean(t, servers, "mixed")
	}
}

// A password that changes is asked for at every new connection.
func TestRotatingCredentials(t *testing.T) {
	server := redistest.StartTCP(t)
	var password atomic.Value
	var asked atomic.Int32
	set := func(pw string) {
		password.Store(pw)
		server.User("rotating", pw, "~* +@all")
	}
	set("first-s3cr3t")
	cfg := instance.Config{Timeout: time.Second, Credentials: func(ctx context.Context) (string, string, error) {
		asked.Add(1)
		pw := password.Load().(string)
		switch pw {
		case "hang":
			<-ctx.Done()
			return "", "", ctx.Err()
		case "fail":
			return "", "", errors.New("the vault is sealed, said first-s3cr3t")
		}
		return "rotating", pw, nil
	}}
	i, err := instance.Dial(server.URL(), cfg)
	if err != nil {
		t.Fatalf("instance.Dial: %v", err)
	}
	e := enginetest.New(t, engine.Config{}, i)
	l := acquire(t, e, "r")
	for _, pw := range []string{"second-s3cr3t", "third-s3cr3t"} {
		before := asked.Load()
		set(pw)
		server.MustDo("CLIENT", "KILL", "USER", "rotating")
		if err := l.Extend(within(t), 0); err != nil {
			t.Errorf("with %s: %v", pw, err)
		}
		if asked.Load() == before {
			t.Error("it was not asked for the new password")
		}
	}

	for _, says := range []string{"hang", "fail", "stale-s3cr3t"} {
		password.Store(says)
		server.MustDo("CLIENT", "KILL", "USER", "rotating")
		_, err := e.TryAcquire(within(t), "other")
		oneLine(t, err)
		if strings.Contains(fmt.Sprintf("%v %+v %#v", err, err, err), "s3cr3t") {
			t.Errorf("%s: the password is shown, want it hidden: %v", says, err)
		}
		set("third-s3cr3t")
		state(t, e, 0, instance.Up)
	}
	release(t, l)
}

// A field that does not apply is refused by name, not ignored.
func TestNewRefusesWhatBelongsToDial(t *testing.T) {
	client := redis.NewClient(&redis.Options{Addr: "127.0.0.1:1"})
	defer func() { _ = client.Close() }()
	for field, cfg := range map[string]instance.Config{
		"Addr": {Addr: "x:1"}, "Password": {Password: "s3cr3t"}, "DB": {DB: 1}, "CAFile": {CAFile: "x"},
		"Sentinel": {Sentinel: instance.Sentinel{Master: "x"}}, "Cluster": {Cluster: []string{"x:1"}},
	} {
		i := instance.New(client, cfg)
		_, err := engine.New([]*instance.Instance{i}, engine.Config{})
		if err == nil || !strings.Contains(err.Error(), field) || strings.Contains(fmt.Sprintf("%+v %#v", err, i), "s3cr3t") {
			t.Errorf("got %v, want an error that names %s and shows no password", err, field)
		}
	}
}

// No form of connection shows a password, wherever it comes from and whatever is
// printed, in whatever format.
func TestNoFormShowsAPassword(t *testing.T) {
	const pw, sentinelPW = "s3cr3t-one", "s3cr3t-two"
	server := redistest.StartTCP(t)
	at := server.Addr()
	dead := "127.0.0.1:1"
	given := func(context.Context) (string, string, error) { return "u", pw, nil }
	failing := func(context.Context) (string, string, error) { return "u", pw, errors.New("no") }
	sentinels := instance.Sentinel{Addrs: []string{dead, at}, Master: "m", Username: "u", Password: sentinelPW}

	type form struct {
		url string
		cfg instance.Config
	}
	forms := []form{
		{cfg: instance.Config{Addr: at, Username: "u", Password: pw}},
		{cfg: instance.Config{Addr: dead, Password: pw, CAFile: "/nowhere"}},
		{cfg: instance.Config{Addr: "no port", Password: pw}},
		{cfg: instance.Config{Addr: at, Credentials: given}},
		{cfg: instance.Config{Addr: at, Credentials: failing}},
		{cfg: instance.Config{Sentinel: sentinels, Password: pw}},
		{cfg: instance.Config{Sentinel: instance.Sentinel{Password: sentinelPW}, Addr: at}},
		{cfg: instance.Config{Cluster: []string{dead, at}, Username: "u", Password: pw}},
		{cfg: instance.Config{Cluster: []string{at}, Credentials: failing}},
		{cfg: instance.Config{Addr: at, Password: pw, Dialer: func(context.Context, string, string) (net.Conn, error) {
			return nil, fmt.Errorf("no proxy for %s or %s", pw, url.QueryEscape(pw))
		}}},
	}
	for _, u := range []string{
		"redis://u:%s@" + at, "redis://:%s@" + at + "/3", "rediss://u:%s@" + at, "rediss://u:%s@" + dead + "?ssl_cert_reqs=none",
		"unix://u:%s@/nowhere.sock", "redis://:%s@" + at + "?master=m", "redis-sentinel://u:%s@" + dead + "," + at + "/m/1?sentinel_password=" + sentinelPW,
		"rediss+sentinel://u:%s@" + at + "/m?sentinel_tls=false&sentinel_username=u&sentinel_password=" + sentinelPW,
		"redis://u:%s@" + at + "/x", "redis://u:%s@" + at + "?nope=1", "redis://u:%s@" + at + "?db=" + pw, "nope://u:%s@" + at,
		"redis://u:%s@" + at + "," + dead, "redis://u:%s@[::1", "redis://u:%s@" + at + "?sentinel_password=" + sentinelPW,
		"redis-sentinel://u:%s@" + at, "redis://u:%s@" + at + "?ssl_cert_reqs=none", "%s@" + at, "u:%s@" + at, "redis://u:12?%s@" + at,
		"redis-cluster://u:%s@" + dead + "," + at, "rediss+cluster://:%s@" + at + "?addr=" + dead, "redis-cluster://u:%s@" + at + "/1",
		"redis-cluster://u:%s@" + at + "?addr=x:" + pw, "redis-cluster://u:%s@" + at + "?master=m",
		"redis-sentinel://u:%s@" + at + "?master=m&sentinel_tls=" + pw, "redis://u:%s@" + at + "?read_timeout=" + pw,
	} {
		for _, spelling := range []string{pw, strings.ReplaceAll(pw, "-", "%2D"), pw + "%zz", pw + "/", pw + "#", pw + "?a=b"} {
			forms = append(forms, form{url: strings.Replace(u, "%s", spelling, 1)})
		}
	}
	var shownMu sync.Mutex
	for _, f := range forms {
		var shown bytes.Buffer
		show := func(values ...any) {
			shownMu.Lock()
			defer shownMu.Unlock()
			for _, v := range values {
				fmt.Fprintf(&shown, "%v %+v %#v %s %q %d %x\n", v, v, v, v, v, v, v)
				text, _ := json.Marshal(v)
				shown.Write(text)
				slog.New(slog.NewTextHandler(&shown, nil)).Info("m", "v", v)
				slog.New(slog.NewJSONHandler(&shown, nil)).Info("m", "v", v)
			}
		}
		log := new(testkit.Log)
		f.cfg.Logger = slog.New(slog.NewJSONHandler(log, nil))
		f.cfg.Timeout = 100 * time.Millisecond
		show(f.cfg, &f.cfg, f.cfg.Sentinel)
		i, err := instance.Dial(f.url, f.cfg)
		show(err)
		if err == nil {
			e, err := engine.New([]*instance.Instance{i}, engine.Config{Logger: f.cfg.Logger})
			if err != nil {
				t.Fatalf("engine.New: %v", err)
			}
			<-i.Ready()
			_, err = e.TryAcquire(within(t), "r")
			show(i, []*instance.Instance{i}, i.Health(), i.Vote(), err, e.Instances())
			var q *engine.QuorumError
			if errors.As(err, &q) {
				show(q, q.Votes)
			}
			_, err = e.Inspect(within(t), "r")
			show(err, e.Close(within(t)), e) // closed, so that nothing changes while it is printed
		}
		shown.WriteString(log.String())
		if text := shown.String(); strings.Contains(text, "s3cr3t") || strings.Contains(text, fmt.Sprintf("%x", "s3cr3t")) {
			at := strings.Index(text, "s3cr3t")
			t.Errorf("%q %v: …%s…", f.url, f.cfg, text[max(0, at-200):min(len(text), at+100)])
		}
	}
}

// Close ends within its context, whatever an instance hangs in: the first
// connection, a command, a dialer or a provider that does not heed its context.
func TestCloseWithAHungInstanceEndsInTime(t *testing.T) {
	server := redistest.StartTCP(t)
	slow := instance.Config{Timeout: 10 * time.Second}
	let := make(chan struct{})
	defer time.Sleep(50 * time.Millisecond) // for the goroutines of what does not heed
	defer close(let)
	dialer, provider := slow, slow
	dialer.Dialer = func(context.Context, string, string) (net.Conn, error) { <-let; return nil, errors.New("late") }
	provider.Credentials = func(context.Context) (string, string, error) { <-let; return "", "", nil }
	for name, cfg := range map[string]instance.Config{"a dialer": dialer, "a provider": provider} {
		i, err := instance.Dial(server.URL(), cfg)
		if err != nil {
			t.Fatalf("instance.Dial: %v", err)
		}
		closesInTime(t, name, i)
	}

	i, err := instance.Dial(server.URL(), slow)
	if err != nil {
		t.Fatalf("instance.Dial: %v", err)
	}
	e, err := engine.New([]*instance.Instance{i}, engine.Config{TTL: time.Minute})
	if err != nil {
		t.Fatalf("engine.New: %v", err)
	}
	l := acquire(t, e, "r")
	server.Pause()
	ctx, cancel := contextOf(100 * time.Millisecond)
	defer cancel()
	start := time.Now()
	err = e.Close(ctx)
	if d := time.Since(start); d > time.Second {
		t.Errorf("in a command: Close took %v", d)
	}
	if !errors.Is(err, engine.ErrNoQuorum) || !errors.Is(l.Err(), lease.ErrClosed) {
		t.Errorf("%v; the lease ended with %v", err, l.Err())
	}

	for name, url := range map[string]string{
		"the first connection": server.URL(),
		"a sentinel":           "redis-sentinel://" + server.Addr() + "?master=leader",
	} {
		i, err := instance.Dial(url, slow)
		if err != nil {
			t.Fatalf("instance.Dial: %v", err)
		}
		closesInTime(t, name, i)
	}
	server.Resume()
}

// After an outage, however long, an instance is back within a second of its
// server answering, and a server that is down is not asked all the time.
func TestReconnectsWithinASecond(t *testing.T) {
	server := redistest.StartTCP(t)
	var mu sync.Mutex
	var dials []time.Time
	i, err := instance.Dial(server.URL(), instance.Config{Dialer: func(ctx context.Context, network, addr string) (net.Conn, error) {
		mu.Lock()
		dials = append(dials, time.Now())
		mu.Unlock()
		return new(net.Dialer).DialContext(ctx, network, addr)
	}})
	if err != nil {
		t.Fatalf("instance.Dial: %v", err)
	}
	e := enginetest.New(t, engine.Config{Guard: instance.GuardOff}, i)
	state(t, e, 0, instance.Up)
	for _, outage := range []time.Duration{0, 300 * time.Millisecond, 4 * time.Second} {
		server.Kill()
		if _, err := e.TryAcquire(within(t), "r"); err == nil { // the link breaks unnoticed until something is asked
			t.Error("a dead server has granted")
		}
		state(t, e, 0, instance.Down)
		mu.Lock()
		dials = dials[:0]
		mu.Unlock()
		time.Sleep(outage)
		server.Restart()
		answering := time.Now()
		state(t, e, 0, instance.Up)
		if d := time.Since(answering); d > time.Second+100*time.Millisecond { // the test's own machine may be slow
			t.Errorf("after an outage of %v it took %v", outage, d)
		}
		release(t, acquire(t, e, "r"))
		mu.Lock()
		for k := 1; k < len(dials); k++ {
			if gap := dials[k].Sub(dials[k-1]); gap > 2*time.Second {
				t.Errorf("%v between two probes", gap)
			}
		}
		if most := 12 + int(outage/(600*time.Millisecond)); len(dials) > most {
			t.Errorf("%d probes in an outage of %v, want %d at most", len(dials), outage, most)
		}
		mu.Unlock()
	}
}

// What is waiting when a server turns out to be no master any more, or not to
// let us in again, has not been asked: no vote may say that it was granted.
func TestNothingIsGrantedThatWasNotAsked(t *testing.T) {
	for name, spoil := range map[string]string{
		"a replica": "REPLICAOF 127.0.0.1 1",
		"shut out":  "ACL DELUSER holdfast", // which cuts the user's connections
	} {
		t.Run(name, func(t *testing.T) {
			server := redistest.Start(t)
			server.User(enginetest.User, enginetest.Password, "~* +@all")
			i, err := instance.Dial(server.URL(), instance.Config{
				Username: "holdfast", Password: "acl-s3cr3t",
				Batch: 1, // every message is a batch of its own
			})
			if err != nil {
				t.Fatalf("instance.Dial: %v", err)
			}
			e, err := engine.New([]*instance.Instance{i}, engine.Config{})
			if err != nil {
				t.Fatalf("engine.New: %v", err)
			}
			defer func() { _ = e.Close(within(t)) }()
			release(t, acquire(t, e, "before"))

			server.Pause()
			var wg sync.WaitGroup
			var begun atomic.Int32
			for k := range 50 {
				wg.Go(func() {
					begun.Add(1)
					l, err := e.TryAcquire(within(t), fmt.Sprintf("r%d", k), engine.WithoutRenewal())
					if err == nil && server.Get(l.Resource()) != l.Token() {
						t.Errorf("%s was granted and is not there", l.Resource())
					}
				})
			}
			eventually(t, "all have begun", func() bool { return begun.Load() == 50 })
			time.Sleep(20 * time.Millisecond) // for them to post
			conn, err := net.Dial(server.Network(), server.Addr())
			if err != nil {
				t.Fatalf("net.Dial: %v", err)
			}
			defer func() { _ = conn.Close() }()
			if _, err := conn.Write([]byte(spoil + "\r\n")); err != nil {
				t.Fatalf("conn.Write: %v", err)
			}
			server.Resume()
			wg.Wait()
		})
	}
}
