package instance_test

import (
	"context"
	"fmt"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/holdfast-go/holdfast/instance"
	"github.com/holdfast-go/holdfast/internal/redistest"
)

// infiltrated is a connection on which something else puts replies in between.
type infiltrated struct {
	dials int

	mu       sync.Mutex
	smuggled string // to be read before what comes next
}

func (c *infiltrated) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	c.dials++
	conn, err := new(net.Dialer).DialContext(ctx, network, addr)
	return one{c, conn}, err
}

// one is one of the connections that have been dialed.
type one struct {
	*infiltrated
	net.Conn
}

func (c one) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p[:len(p)/2])
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil || c.smuggled == "" {
		return n, err
	}
	read := c.smuggled + string(p[:n])
	c.smuggled = ""
	return copy(p, read), nil
}

// Whatever was not asked for is the end of the link, before it is taken for an answer: a lock that somebody else has is
// never granted by it, and those that are free are.
func TestWhatNobodyAskedForGrantsNothing(t *testing.T) {
	server := redistest.Start(t)
	for _, smuggled := range []string{
		">2\r\n$10\r\ninvalidate\r\n*1\r\n$4\r\nheld\r\n", ">3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$1\r\nm\r\n", ">0\r\n",
		":1\r\n", "$5\r\nhello\r\n", "*1\r\n:1\r\n", "*0\r\n", "%1\r\n+a\r\n+b\r\n", "#t\r\n", ",1.5\r\n", "|1\r\n+a\r\n+b\r\n", "!3\r\nERR\r\n",
		"=5\r\ntxt:a\r\n", "~1\r\n:1\r\n", "(1\r\n",
	} {
		server.FlushAll()
		server.Set("held", "somebody else's", time.Minute)
		var conn infiltrated
		i, err := instance.Dial(server.URL(), instance.Config{Dialer: conn.dial, Timeout: 20 * time.Second})
		if err != nil {
			t.Fatalf("instance.Dial: %v", err)
		}
		run(t, i, func() {
			ask := func(key, token string, to instance.Caster) *instance.Acquire {
				return &instance.Acquire{Key: key, Token: token, TTL: time.Minute, GiveUp: time.Now().Add(time.Minute), To: to}
			}
			free, held := make(answer, 1), make(answer, 1)
			conn.mu.Lock()
			conn.smuggled = smuggled
			conn.mu.Unlock()
			i.Post(ask("free", "ours", free), ask("held", "ours, too", held))
			if v := <-free; v.Kind != instance.Granted {
				t.Errorf("%q: a free lock: %v", smuggled, v)
			}
			if v := <-held; v.Kind != instance.Held || v.Holder != "somebody else's" {
				t.Errorf("%q: a held lock: %v", smuggled, v)
			}
			if conn.dials != 2 {
				t.Errorf("%q: %d connections", smuggled, conn.dials)
			}
		})
	}
}

// An answer too many of the very kind that was asked for: it is not known which is the one too many, so the last is not
// believed.
func TestOneAnswerTooManyGrantsNothing(t *testing.T) {
	server := redistest.Start(t)
	server.Set("k", "somebody else's", time.Minute)
	var conn infiltrated
	i, err := instance.Dial(server.URL(), instance.Config{Dialer: conn.dial, Timeout: 20 * time.Second})
	if err != nil {
		t.Fatalf("instance.Dial: %v", err)
	}
	run(t, i, func() {
		for n := range 20 {
			conn.mu.Lock()
			conn.smuggled = "+OK\r\n"
			conn.mu.Unlock()
			held := make(answer, 1)
			i.Post(acquireTo(held, fmt.Sprint(n)))
			if v := <-held; v.Kind != instance.Held {
				t.Errorf("got %v, want it held", v)
			}
		}
	})
}

// run runs an instance for as long as the test does something with it.
func run(t *testing.T, i *instance.Instance, test func()) {
	t.Helper()
	if err := i.Claim(); err != nil {
		t.Fatalf("i.Claim: %v", err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		i.Run(context.Background(), instance.NewSet([]*instance.Instance{i}, instance.GuardOff, 0))
	}()
	<-i.Ready()
	test()
	i.Close()
	<-ended
}
