package holdfast_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/holdfast-go/holdfast/engine"
	"github.com/holdfast-go/holdfast/instance"
	"github.com/holdfast-go/holdfast/internal/redistest"
)

// Bad input gets an error that names what is wrong: never a panic, never a
// password.

const secret = "s3cr3t/p@ss"

func TestBadConfigNamesTheField(t *testing.T) {
	for _, bad := range []struct {
		cfg  engine.Config
		says string
	}{
		{engine.Config{TTL: -time.Second}, "TTL is -1s"},
		{engine.Config{TTL: 999 * time.Microsecond}, "TTL is 999µs: it must be at least 1ms"},
		{engine.Config{TTL: 1500 * time.Microsecond}, "whole milliseconds"},
		{engine.Config{TTL: 2 * time.Minute}, "MaxTTL"},
		{engine.Config{MaxTTL: -1}, "MaxTTL"},
		{engine.Config{RenewEvery: -1}, "RenewEvery"},
		{engine.Config{TTL: time.Second, RenewEvery: time.Second}, "RenewEvery"},
		{engine.Config{DriftFactor: -0.1}, "DriftFactor"},
		{engine.Config{DriftFactor: 1}, "DriftFactor"},
		{engine.Config{Tries: -1}, "Tries"},
		{engine.Config{Owner: "a~b"}, "Owner"},
		{engine.Config{Owner: "a\nb"}, "Owner"},
		{engine.Config{InstanceTimeout: -1}, "Timeout"},
		{engine.Config{MaxWaiters: -1}, "MaxWaiters"},
		{engine.Config{Guard: 9}, "Guard"},
	} {
		_, err := engine.Open(within(t), []string{"127.0.0.1:1"}, bad.cfg)
		if err == nil || !strings.Contains(err.Error(), bad.says) {
			t.Errorf("%+v: %v, want it to say %q", bad.cfg, err, bad.says)
		}
	}
}

func TestBadResourceOrOptionNamesIt(t *testing.T) {
	e := open(t, redistest.StartN(t, 1), engine.Config{})
	for _, bad := range []struct {
		resource string
		opt      engine.Option
		says     string
	}{
		{"", engine.WithTries(1), "the resource is empty"},
		{strings.Repeat("n", 1025), engine.WithTries(1), "1025 bytes: at most 1024"},
		{"r", engine.WithTTL(0), "WithTTL is 0s"},
		{"r", engine.WithTTL(999 * time.Microsecond), "WithTTL is 999µs"},
		{"r", engine.WithTTL(-time.Second), "WithTTL is -1s"},
		{"r", engine.WithTTL(time.Hour), "MaxTTL"},
		{"r", engine.WithTries(-1), "WithTries is -1"},
		{"r", engine.WithToken(""), "the token has 0 bytes"},
		{"r", engine.WithToken(strings.Repeat("t", 1025)), "the token has 1025 bytes"},
		{"r", engine.WithMaxHold(0), "WithMaxHold is 0s"},
		{"r", engine.WithMaxHold(-1), "WithMaxHold"},
		{"r", engine.WithWait(0), "WithWait is 0s"},
	} {
		for name, use := range map[string]func() error{
			"acquire": func() error { _, err := e.Acquire(within(t), bad.resource, bad.opt); return err },
			"try":     func() error { _, err := e.TryAcquire(within(t), bad.resource, bad.opt); return err },
			"do": func() error {
				return e.Do(within(t), bad.resource, func(context.Context) error { return nil }, bad.opt)
			},
		} {
			if err := use(); err == nil || !strings.Contains(err.Error(), bad.says) {
				t.Errorf("%s: %v, want it to say %q", name, err, bad.says)
			}
		}
	}
	release(t, acquire(t, e, "nothing is an option", nil))
	if _, err := e.Inspect(within(t), ""); err == nil {
		t.Error("inspecting nothing is no error")
	}
	if _, err := e.Adopt(within(t), "r", ""); err == nil {
		t.Error("adopting without a token is no error")
	}
}

func TestBadURLsSayWhatIsWrongWithoutSecrets(t *testing.T) {
	for _, url := range []string{
		"", " ", "://", "http://user:" + secret + "@host", "redis//host", "redis:host:6379",
		"redis://user:s3cr3t%zz@host:6379", "redis://user:" + secret + "@host:6379", "redis://:s3cr3t@host:99999",
		"redis://:s3cr3t@host:port", "redis://:s3cr3t@host/zero", "redis://:s3cr3t@host/-1", "redis://host?password=s3cr3t",
		"redis://host?db=s3cr3t", "redis://host?pool_size=s3cr3t", "unix://", "unix://:s3cr3t@", "host:port", "host:0", "host:70000",
		"user:s3cr3t@host:6379", "::1:6379:x", "redis://[::1", "a b c", "redis://:s3cr3t@host:6379/1/2",
		"redis-cluster://:s3cr3t@host/1", "redis-cluster://user:" + secret + "@a,b", "rediss-cluster://:s3cr3t@a,b:port", "redis-cluster://h?addr=s3cr3t:x",
		"redis://host:6379\x00", strings.Repeat("x", 1<<16) + "://",
	} {
		_, err := engine.Open(within(t), []string{url}, engine.Config{})
		if err == nil || errors.Is(err, engine.ErrNoQuorum) {
			t.Errorf("%q is accepted: %v", url, err)
			continue
		}
		if strings.Contains(fmt.Sprintf("%v %+v %#v", err, err, err), "s3cr3t") {
			t.Errorf("%q: the error shows the password: %v", url, err)
		}
	}
	if _, err := engine.Open(within(t), nil, engine.Config{}); err == nil || !strings.Contains(err.Error(), "no instances") {
		t.Errorf("no URLs: %v", err)
	}
}

func TestTheSameServerTwiceIsNoQuorum(t *testing.T) {
	s := redistest.StartN(t, 2)
	for name, urls := range map[string][]string{
		"same URL":           {s[0].URL(), s[0].URL(), s[1].URL()},
		"different database": {s[0].URL(), s[0].URL() + "?db=1", s[1].URL()},
	} {
		_, err := engine.Open(within(t), urls, engine.Config{})
		if err == nil || !strings.Contains(err.Error(), "same Redis process") {
			t.Errorf("%s: %v", name, err)
		}
	}
	i, err := instance.Dial(s[0].URL(), instance.Config{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := engine.New([]*instance.Instance{i, i}, engine.Config{}); err == nil {
		t.Error("the same instance twice is accepted")
	}
	if _, err := engine.New([]*instance.Instance{nil}, engine.Config{}); err == nil {
		t.Error("a nil instance is accepted")
	}
	e, err := engine.New([]*instance.Instance{i}, engine.Config{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := engine.New([]*instance.Instance{i}, engine.Config{}); err == nil {
		t.Error("one instance serves two engines")
	}
	if err := e.Close(within(t)); err != nil {
		t.Error(err)
	}
	if _, err := engine.New([]*instance.Instance{instance.New(nil, instance.Config{})}, engine.Config{}); err == nil {
		t.Error("no client is accepted")
	}
	if _, err := engine.New([]*instance.Instance{instance.New((*redis.Client)(nil), instance.Config{})}, engine.Config{}); err == nil {
		t.Error("a nil client is accepted")
	}
}

func TestWhatTheServerRefusesIsQuoted(t *testing.T) {
	locked := redistest.StartTCP(t, "--requirepass", "right-s3cr3t")
	withPassword := func(user, password string) string {
		return "redis://" + user + ":" + password + "@" + locked.Addr()
	}
	for _, bad := range []struct{ name, url, says string }{
		{"wrong password", withPassword("", "wrong-s3cr3t"), "WRONGPASS"},
		{"wrong user", withPassword("nobody", "wrong-s3cr3t"), "WRONGPASS"},
		{"no password", "redis://" + locked.Addr(), "NOAUTH"},
		{"no such database", withPassword("", "right-s3cr3t") + "/99", "DB index is out of range"},
	} {
		start := time.Now()
		_, err := engine.Open(within(t), []string{bad.url}, engine.Config{})
		oneLine(t, err)
		if !errors.Is(err, engine.ErrNoQuorum) || !strings.Contains(err.Error(), bad.says) {
			t.Errorf("%s: %v, want it to say %q", bad.name, err, bad.says)
		}
		if strings.Contains(fmt.Sprintf("%v %+v %#v", err, err, err), "s3cr3t") {
			t.Errorf("%s: the error shows the password: %v", bad.name, err)
		}
		if d := time.Since(start); d > 4*time.Second {
			t.Errorf("%s: it took %v to say so, though waiting cannot help", bad.name, d)
		}
	}
	right, err := engine.Open(within(t), []string{withPassword("", "right-s3cr3t")}, engine.Config{})
	if err != nil {
		t.Fatal(err)
	}
	shown := fmt.Sprintf("%v %+v %#v", right.Instances(), right.Instances(), right.Instances())
	if strings.Contains(shown, "s3cr3t") {
		t.Error("Instances shows the password")
	}
	if err := right.Close(within(t)); err != nil {
		t.Error(err)
	}
}

// What listens there is no Redis: one that answers in another protocol, one that
// echoes everything, the password too, one that says nothing, one that hangs up.
func TestNotARedisAtAll(t *testing.T) {
	for name, serve := range map[string]func(net.Conn){
		"another protocol": func(c net.Conn) {
			_, _ = bufio.NewReader(c).ReadString('\n')
			_, _ = c.Write([]byte("HTTP/1.1 400 Bad Request\r\n\r\n"))
		},
		"an echo": func(c net.Conn) {
			r := bufio.NewReader(c)
			for {
				line, err := r.ReadString('\n')
				if err != nil {
					return
				}
				if _, err := c.Write([]byte(line)); err != nil {
					return
				}
			}
		},
		"silence":  func(c net.Conn) { _, _ = c.Read(make([]byte, 1<<16)); _, _ = c.Read(make([]byte, 1)) },
		"hangs up": func(net.Conn) {},
	} {
		t.Run(name, func(t *testing.T) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			gone := make(chan struct{})
			go func() {
				defer close(gone)
				for {
					c, err := l.Accept()
					if err != nil {
						return
					}
					serve(c)
					_ = c.Close()
				}
			}()
			ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
			defer cancel()
			_, err = engine.Open(ctx, []string{"redis://:echo-s3cr3t@" + l.Addr().String()}, engine.Config{InstanceTimeout: 50 * time.Millisecond})
			_ = l.Close()
			<-gone
			oneLine(t, err)
			if !errors.Is(err, engine.ErrNoQuorum) || strings.Contains(err.Error(), "s3cr3t") {
				t.Errorf("%v", err)
			}
		})
	}
}
