package instance

import (
	"context"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

func TestGoodURLsAreUnderstood(t *testing.T) {
	for _, c := range []struct {
		url            string
		network, addr  string
		user, password string
		db             int
		tls            bool
		name           string
	}{
		{"redis://host", "tcp", "host:6379", "", "", 0, false, "host:6379"},
		{"redis://host:1234", "tcp", "host:1234", "", "", 0, false, "host:1234"},
		{"redis://host:1234/", "tcp", "host:1234", "", "", 0, false, "host:1234"},
		{"redis://host:1234/5", "tcp", "host:1234", "", "", 5, false, "host:1234/5"},
		{"redis://host?db=3", "tcp", "host:6379", "", "", 3, false, "host:6379/3"},
		{"redis://:pw@host", "tcp", "host:6379", "", "pw", 0, false, "host:6379"},
		{"redis://me:pw@host:1/2", "tcp", "host:1", "me", "pw", 2, false, "host:1/2"},
		{"redis://me:p%40%3A%2F%3F%23w@host", "tcp", "host:6379", "me", "p@:/?#w", 0, false, "host:6379"},
		{"redis://[::1]:1234", "tcp", "[::1]:1234", "", "", 0, false, "[::1]:1234"},
		{"redis://", "tcp", "localhost:6379", "", "", 0, false, "localhost:6379"},
		{"rediss://me:pw@host:1", "tcp", "host:1", "me", "pw", 0, true, "host:1"},
		{"unix:///run/redis.sock", "unix", "/run/redis.sock", "", "", 0, false, "/run/redis.sock"},
		{"unix://me:pw@/run/redis.sock?db=2", "unix", "/run/redis.sock", "me", "pw", 2, false, "/run/redis.sock/2"},
		{"host", "tcp", "host:6379", "", "", 0, false, "host:6379"},
		{"host:1234", "tcp", "host:1234", "", "", 0, false, "host:1234"},
		{":1234", "tcp", "localhost:1234", "", "", 0, false, "localhost:1234"},
		{"10.0.0.1:7000", "tcp", "10.0.0.1:7000", "", "", 0, false, "10.0.0.1:7000"},
		{"[::1]:1234", "tcp", "[::1]:1234", "", "", 0, false, "[::1]:1234"},
		{"[::1]", "tcp", "[::1]:6379", "", "", 0, false, "[::1]:6379"},
		{"::1", "tcp", "[::1]:6379", "", "", 0, false, "[::1]:6379"},
	} {
		opt, err := parse(c.url)
		if err != nil {
			t.Errorf("%s: %v", c.url, err)
			continue
		}
		if opt.Addr != c.addr || opt.Username != c.user || opt.Password != c.password || opt.DB != c.db || (opt.TLS != nil) != c.tls {
			t.Errorf("%s: %s, user %q, password %q, db %d, TLS %v", c.url, opt.Addr, opt.Username, opt.Password, opt.DB, opt.TLS != nil)
		}
		if c.tls && opt.TLS.InsecureSkipVerify {
			t.Errorf("%s: certificates are not verified", c.url)
		}
		i, err := Dial(c.url, Config{})
		if err != nil {
			t.Errorf("%s: %v", c.url, err)
			continue
		}
		if i.Name() != c.name || i.network != c.network {
			t.Errorf("%s is called %q, over %s, want %q, over %s", c.url, i.Name(), i.network, c.name, c.network)
		}
		_ = i.client.Close()
	}
}

const secret = "hunter2Zq"

// badURLs are wrong in every way, each with a password where one could stand.
var badURLs = []string{
	"", " ", "\n",
	"http://me:" + secret + "@host",
	"redis:host", "redis:me:" + secret + "@host",
	"redis:/me:" + secret + "@host",
	"redis://me:" + secret + "@host:port",
	"redis://me:" + secret + "@host:0",
	"redis://me:" + secret + "@host:65536",
	"redis://me:" + secret + "@host:-1",
	"redis://me:" + secret + "@host/db",
	"redis://me:" + secret + "@host/-1",
	"redis://me:" + secret + "@host/1/2",
	"redis://me:" + secret + "@host?db=" + secret,
	"redis://me:" + secret + "@host?db=-1",
	"redis://me:" + secret + "@host?what=1",
	"redis://me:" + secret + "@host?pool_size=" + secret,
	"redis://me:" + secret + "@host?read_timeout=" + secret,
	"redis://me:" + secret + "%zz@host",
	"redis://me:%" + secret + "@host",
	"redis://me:" + secret + " @host",
	"redis://me:" + secret + "\x7f@host",
	"redis://me:" + secret + "/x@host",
	"redis://me:" + secret + "#x@host",
	"redis://me:" + secret + "?x@host",
	"redis://me:" + secret + "[@host",
	"redis://[::1", "redis://me:" + secret + "@[::1",
	"unix://", "unix:///", "unix://me:" + secret + "@",
	"me:" + secret + "@host:6379",
	secret + "@host",
	"host:1/2", "host?db=1", "host:port", "host:0", "host:99999", "a:b:c", "host:1:2", "1:2:3:4",
}

func TestBadURLsAreRefused(t *testing.T) {
	for _, bad := range badURLs {
		i, err := Dial(bad, Config{})
		if err == nil {
			t.Errorf("%q is understood as %s", bad, i)
			_ = i.client.Close()
			continue
		}
		if !strings.HasPrefix(err.Error(), "instance: ") || strings.Contains(err.Error(), "\n") {
			t.Errorf("%q: got %v, want one line that begins with instance:", bad, err)
		}
	}
}

func TestNoErrorOfDialContainsThePassword(t *testing.T) {
	for _, bad := range badURLs {
		i, err := Dial(bad, Config{})
		text := fmt.Sprintf("%v %+v %#v", err, err, err)
		if err == nil {
			text = i.Name()
			_ = i.client.Close()
		}
		if strings.Contains(text, secret) {
			t.Errorf("%q: the password is shown, want it hidden: %s", bad, text)
		}
	}
}

// Passwords are pasted into URLs as they are. One that begins with digits looks
// like a port, and what follows a '?' in it like a query.
func TestNoErrorOfDialContainsAPartOfAnUnescapedPassword(t *testing.T) {
	for _, special := range []string{"?", "/", "#", "@", ":", "%", "&", "=", "[", "]", " ", "\\", "?a=", "?db=", "/?", "@?", "://"} {
		for _, head := range []string{"", "1", "12345", "x", "6379/", "6379@"} {
			for _, form := range []string{"redis://me:%s@host:6379", "redis://:%s@host", "redis-cluster://me:%s@a,b:1", "rediss://:%s@host/1", "unix://:%s@/sock", "me:%s@host:6379", ":%s@host", "%s@host", "%s://host"} {
				raw := fmt.Sprintf(form, head+special+secret)
				i, err := Dial(raw, Config{})
				if err != nil {
					if text := fmt.Sprintf("%v %+v %#v", err, err, err); strings.Contains(text, secret) {
						t.Errorf("%q: the password is shown, want it hidden: %v", raw, err)
					}
					continue
				}
				_ = i.client.Close()
			}
		}
	}
}

func FuzzDialNeverShowsThePassword(f *testing.F) {
	for _, form := range []string{"redis://me:%s@host:6379/1", "redis://:%s@host?db=1", "unix://:%s@/sock", "rediss://%s", "redis-cluster://u:%s@a,b", "%s"} {
		f.Add(form, "p?w")
		f.Add(form, "1?w")
	}
	f.Fuzz(func(t *testing.T, form, around string) {
		if strings.Count(form, "%s") != 1 || strings.Count(form, "%") != 1 {
			return
		}
		raw := fmt.Sprintf(form, url.QueryEscape(around+secret+around))
		i, err := Dial(raw, Config{})
		if err == nil {
			_ = i.client.Close()
			return
		}
		// In the scheme, and as a parameter's name, nobody has a password.
		u, _ := url.Parse(raw)
		if u != nil && (strings.Contains(u.Scheme, strings.ToLower(secret)) || u.User == nil) {
			return
		}
		if strings.Contains(err.Error(), secret) {
			t.Errorf("%q: the password is shown, want it hidden: %v", raw, err)
		}
	})
}

func TestInstanceNeverShowsItsPassword(t *testing.T) {
	var logged strings.Builder
	i, err := Dial("redis://me:"+secret+"@host", Config{Logger: slog.New(slog.NewTextHandler(&logged, nil))})
	if err != nil {
		t.Fatalf("Dial: %v", err)
	}
	defer func() { _ = i.client.Close() }()
	i.become(Down, i.secrets.Redact(fmt.Errorf("dial %s: no", secret)))
	i.log.Info("instance", "itself", i)
	text := fmt.Sprintf("%v %+v %#v %s %v %+v %#v", i, i, i, i, i.Health(), i.Vote(), i.Vote())
	if strings.Contains(text, secret) || strings.Contains(logged.String(), secret) {
		t.Errorf("%s\n%s", text, logged.String())
	}
}

func TestConfigIsCheckedWithTheFieldsName(t *testing.T) {
	for _, c := range []struct {
		cfg  Config
		want string
	}{
		{Config{Timeout: time.Microsecond}, "Timeout"},
		{Config{Timeout: -time.Second}, "Timeout"},
		{Config{Mailbox: -1}, "Mailbox"},
		{Config{Batch: -1}, "Batch"},
	} {
		_, err := Dial("host", c.cfg)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: got %v, want it to say %q", c.cfg, err, c.want)
		}
		client := redis.NewClient(&redis.Options{})
		i := New(client, c.cfg)
		_ = client.Close()
		if err := i.Claim(); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: got %v, want it to say %q", c.cfg, err, c.want)
		}
	}
	if cfg, err := (Config{}).withDefaults(); err != nil || cfg.Timeout == 0 || cfg.Mailbox == 0 || cfg.Batch == 0 || cfg.Logger == nil {
		t.Errorf("the defaults: got %+v, %v, want none of these empty", cfg, err)
	}
}

func TestInstanceBelongsToOneEngine(t *testing.T) {
	i, err := Dial("host", Config{})
	if err != nil {
		t.Fatalf("Dial: %v", err)
	}
	defer func() { _ = i.client.Close() }()
	if err := i.Claim(); err != nil {
		t.Errorf("i.Claim: %v", err)
	}
	if err := i.Claim(); err == nil || !strings.Contains(err.Error(), "host:6379") {
		t.Errorf("claimed twice: %v", err)
	}
}

func TestClientThatCannotBeUsedIsRefusedByClaim(t *testing.T) {
	ring := redis.NewRing(&redis.RingOptions{Addrs: map[string]string{"a": "localhost:1"}})
	defer func() { _ = ring.Close() }()
	own := redis.NewClusterClient(&redis.ClusterOptions{ClusterSlots: func(context.Context) ([]redis.ClusterSlot, error) { return nil, nil }})
	defer func() { _ = own.Close() }()
	nowhere := redis.NewClusterClient(&redis.ClusterOptions{})
	defer func() { _ = nowhere.Close() }()
	for _, client := range []redis.UniversalClient{nil, (*redis.Client)(nil), (*redis.ClusterClient)(nil), ring, own, nowhere} {
		i := New(client, Config{})
		if err := i.Claim(); err == nil {
			t.Errorf("%T is accepted", client)
		}
		if i.Name() == "" || i.String() == "" {
			t.Error("it has no name")
		}
	}
}

func TestNewLeavesTheClientsOptionsAlone(t *testing.T) {
	client := redis.NewClient(&redis.Options{Addr: "host:1", PoolSize: 7, MaxRetries: 5})
	defer func() { _ = client.Close() }()
	i := New(client, Config{Timeout: time.Second})
	defer func() { _ = i.client.Close() }()
	if opt := client.Options(); opt.PoolSize != 7 || opt.MaxRetries != 5 || opt.ReadTimeout == time.Second {
		t.Errorf("changed: %d, %d, %v", opt.PoolSize, opt.MaxRetries, opt.ReadTimeout)
	}
	// A greeting may take four times as long where servers are late; how long it may take now, a context says.
	if opt := i.client.Options(); opt.ReadTimeout != 4*time.Second || opt.MaxRetries > 0 {
		t.Errorf("not tuned: %v, %d", opt.ReadTimeout, opt.MaxRetries)
	}
}
