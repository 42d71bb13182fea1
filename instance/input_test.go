package instance_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-go/holdfast/engine"
	"github.com/holdfast-go/holdfast/internal/redistest"
)

// Bad input gets an error that names what is wrong: never a panic, never a
// password.

const secret = "s3cr3t/p@ss"

func TestBadURLsSayWhatIsWrongWithoutSecrets(t *testing.T) {
	for _, url := range []string{
		"", " ", "://", "http://user:" + secret + "@host", "redis//host", "redis:host:6379",
		"redis://user:s3cr3t%zz@host:6379", "redis://user:" + secret + "@host:6379", "redis://:s3cr3t@host:99999",
		"redis://:s3cr3t@host:port", "redis://:s3cr3t@host/zero", "redis://:s3cr3t@host/-1", "redis://host?password=s3cr3t",
		"redis://host?db=s3cr3t", "redis://host?pool_size=s3cr3t", "unix://", "unix://:s3cr3t@", "host:port", "host:0", "host:70000",
		"user:s3cr3t@host:6379", "::1:6379:x", "redis://[::1", "a b c", "redis://:s3cr3t@host:6379/1/2",
		"redis-cluster://:s3cr3t@host/1/2", "redis-cluster://user:" + secret + "@a,b", "rediss-cluster://:s3cr3t@a,b:port", "redis-cluster://h?addr=s3cr3t:x",
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
		t.Fatalf("engine.Open: %v", err)
	}
	shown := fmt.Sprintf("%v %+v %#v", right.Instances(), right.Instances(), right.Instances())
	if strings.Contains(shown, "s3cr3t") {
		t.Error("Instances shows the password")
	}
	if err := right.Close(within(t)); err != nil {
		t.Errorf("right.Close: %v", err)
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
				t.Fatalf("net.Listen: %v", err)
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
				t.Errorf("open: got %v, want ErrNoQuorum, and no password", err)
			}
		})
	}
}
