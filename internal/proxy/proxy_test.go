package proxy_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/holdfast-go/holdfast/internal/proxy"
	"github.com/holdfast-go/holdfast/internal/redistest"
	"github.com/holdfast-go/holdfast/internal/testkit"
)

func TestMain(m *testing.M) { redistest.Main(m) }

// client is a connection through the proxy, in RESP and without any help.
type client struct {
	t testing.TB
	net.Conn
	in *bufio.Reader
}

func setup(t testing.TB) (*redistest.Server, *proxy.Proxy) {
	t.Helper()
	server := redistest.Start(t)
	return server, proxy.Start(t, server.Network(), server.Addr())
}

func dial(t testing.TB, p *proxy.Proxy) *client {
	t.Helper()
	conn, err := net.Dial("tcp", p.Addr())
	if err != nil {
		t.Fatalf("net.Dial: %v", err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(testkit.Patience)); err != nil {
		t.Fatalf("conn.SetDeadline: %v", err)
	}
	return &client{t, conn, bufio.NewReader(conn)}
}

func (c *client) send(args ...string) {
	c.t.Helper()
	var b strings.Builder
	fmt.Fprintf(&b, "*%d\r\n", len(args))
	for _, arg := range args {
		fmt.Fprintf(&b, "$%d\r\n%s\r\n", len(arg), arg)
	}
	if _, err := io.WriteString(c, b.String()); err != nil {
		c.t.Fatalf("io.WriteString: %v", err)
	}
}

// reply reads a reply of one line.
func (c *client) reply() (string, error) {
	line, err := c.in.ReadString('\n')
	return strings.TrimSuffix(line, "\r\n"), err
}

func (c *client) do(args ...string) string {
	c.t.Helper()
	c.send(args...)
	reply, err := c.reply()
	if err != nil {
		c.t.Fatalf("%s: %v", args[0], err)
	}
	return reply
}

// knock connects and waits for something to read.
func knock(p *proxy.Proxy) error {
	conn, err := net.Dial("tcp", p.Addr())
	if err != nil {
		return err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(testkit.Patience))
	_, err = conn.Read(make([]byte, 1))
	return err
}

// The way is longer by the delay, for a whole crowd as for one, and the order
// stays.
func TestDelayIsForEveryByteAndNotForTheRate(t *testing.T) {
	_, p := setup(t)
	c := dial(t, p)
	c.do("PING")
	p.Delay(proxy.Requests, 20*time.Millisecond)
	p.Delay(proxy.Replies, 30*time.Millisecond)
	start := time.Now()
	c.do("PING")
	if took := time.Since(start); took < 50*time.Millisecond {
		t.Errorf("one round trip took %v, with 50ms of delay", took)
	}

	const crowd = 1000 // one after the other they would take 50 s
	start = time.Now()
	go func() {
		for range crowd {
			c.send("INCR", "n")
		}
	}()
	for k := range crowd {
		if reply, err := c.reply(); err != nil || reply != fmt.Sprintf(":%d", k+1) {
			t.Fatalf("reply %d is %q: %v", k+1, reply, err)
		}
	}
	if took := time.Since(start); took > 10*time.Second {
		t.Errorf("%d requests that were sent together took %v", crowd, took)
	}
}

func TestABlackholedRequestIsNotExecutedAndABlackholedReplyIs(t *testing.T) {
	server, p := setup(t)
	asks, waits, idle := dial(t, p), dial(t, p), dial(t, p)
	asks.do("PING")
	waits.do("PING")
	idle.do("PING")

	p.Blackhole(proxy.Requests, true)
	asks.send("SET", "asked", "1")
	testkit.Eventually(t, "the request is lost", func() bool { return server.Clients() == 3 && p.Lost() == 1 })
	p.Blackhole(proxy.Requests, false)
	if _, err := asks.reply(); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("a connection with a gap: %v", err)
	}
	if server.Get("asked") != "" {
		t.Error("the request got through")
	}

	p.Blackhole(proxy.Replies, true)
	waits.send("SET", "waited", "1")
	testkit.Eventually(t, "it is executed", func() bool { return server.Get("waited") == "1" })
	testkit.Eventually(t, "the reply is lost", func() bool { return p.Lost() == 2 })
	p.Blackhole(proxy.Replies, false)
	if _, err := waits.reply(); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("a connection with a gap: %v", err)
	}
	if reply := idle.do("PING"); reply != "+PONG" {
		t.Error("a connection that lost nothing does not go on:", reply)
	}
}

// In the dark not even the end of a connection is seen.
func TestABlackholeSwallowsTheEndOfAConnection(t *testing.T) {
	server, p := setup(t)
	c := dial(t, p)
	c.do("PING")
	p.Blackhole(proxy.Requests, true)
	_ = c.Close()
	testkit.Eventually(t, "the end is lost", func() bool { return p.Lost() == 1 })
	if n := server.Clients(); n != 1 {
		t.Errorf("the server has %d clients", n)
	}
	p.Blackhole(proxy.Requests, false)
	testkit.Eventually(t, "the server has no clients", func() bool { return server.Clients() == 0 })
}

func TestALostReplyIsToSomethingExecuted(t *testing.T) {
	server, p := setup(t)
	for k := range 20 {
		c := dial(t, p)
		c.do("PING")
		p.LoseReplies(1)
		c.send("INCR", "n")
		if reply, err := c.reply(); !errors.Is(err, syscall.ECONNRESET) {
			t.Fatalf("reply %q: %v", reply, err)
		}
		if n := server.Get("n"); n != fmt.Sprint(k+1) {
			t.Fatalf("executed %s times of %d", n, k+1)
		}
	}
	c := dial(t, p)
	c.do("PING")
}

// What is held comes late, in order, when its client is long gone and has been
// overtaken by itself.
func TestHeldRequestsAreDeliveredLate(t *testing.T) {
	server, p := setup(t)
	old := dial(t, p)
	old.do("PING")
	p.Hold()
	for _, value := range []string{"a", "b", "c"} {
		old.send("APPEND", "late", value)
	}
	testkit.Eventually(t, "three requests are held", func() bool { return p.Held() == 3 })
	p.Strand()
	if _, err := old.reply(); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("stranded: %v", err)
	}

	c := dial(t, p)
	c.do("SET", "late", "<")
	if n := p.Held(); n != 3 {
		t.Errorf("%d requests are held", n)
	}
	p.Deliver()
	testkit.Eventually(t, "they arrive", func() bool { return server.Get("late") == "<abc" })
	testkit.Eventually(t, "nothing is held, and the old connection is gone", func() bool { return p.Held() == 0 && p.Conns() == 1 })
}

func TestADuplicateIsExecutedTwiceAndAnsweredOnce(t *testing.T) {
	server, p := setup(t)
	c := dial(t, p)
	c.do("PING")
	p.Duplicate(true)
	for k := range 50 {
		if reply := c.do("EVAL", "return redis.call('INCR', KEYS[1])", "1", "n"); reply != fmt.Sprintf(":%d", 2*k+1) {
			t.Fatalf("reply %d is %q", k, reply)
		}
		c.do("INCR", "once")
	}
	c.send("EVAL", "return redis.call('INCR', KEYS[1])", "1", "n") // both in one write
	c.send("PING")
	for _, want := range []string{":101", "+PONG"} {
		if reply, err := c.reply(); reply != want {
			t.Fatalf("%q, want %q: %v", reply, want, err)
		}
	}
	if n := server.Get("once"); n != "50" {
		t.Errorf("INCR was executed %s times of 50", n)
	}
}

func TestResetCutAndRefuse(t *testing.T) {
	server, p := setup(t)
	c := dial(t, p)
	c.do("PING")
	p.Reset()
	if _, err := c.reply(); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("reset: %v", err)
	}
	c = dial(t, p)
	c.do("PING")
	p.Cut()
	if _, err := c.reply(); !errors.Is(err, io.EOF) {
		t.Errorf("cut: %v", err)
	}
	p.Refuse(true)
	if err := knock(p); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("refused: %v", err)
	}
	p.Heal()
	dial(t, p).do("PING")
	server.Kill()
	if err := knock(p); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("without a server: %v", err)
	}
}

// What is not RESP passes as it is.
func TestWhatIsNotRESPPasses(t *testing.T) {
	_, p := setup(t)
	c := dial(t, p)
	if _, err := io.WriteString(c, "PING\r\n"); err != nil {
		t.Fatalf("io.WriteString: %v", err)
	}
	if reply, err := c.reply(); reply != "+PONG" {
		t.Fatalf("got the reply %q, %v, want +PONG", reply, err)
	}
}

// Closed in the middle of everything, a proxy leaves no goroutine and no
// connection.
func TestCloseLeavesNothing(t *testing.T) {
	server := redistest.Start(t)
	before := runtime.NumGoroutine()
	for name, state := range map[string]func(*proxy.Proxy){
		"idle":      func(*proxy.Proxy) {},
		"held":      (*proxy.Proxy).Hold,
		"delayed":   func(p *proxy.Proxy) { p.Delay(proxy.Requests, time.Hour) },
		"late":      func(p *proxy.Proxy) { p.Delay(proxy.Replies, time.Hour) },
		"dark":      func(p *proxy.Proxy) { p.Blackhole(proxy.Requests, true) },
		"duplicate": func(p *proxy.Proxy) { p.Duplicate(true) },
	} {
		p, err := proxy.New(server.Network(), server.Addr())
		if err != nil {
			t.Fatalf("proxy.New: %v", err)
		}
		for k := range 8 {
			c := dial(t, p)
			c.do("PING")
			if k == 0 {
				state(p)
			}
			c.send("SET", "k", "v")
			if k%2 == 0 {
				_ = c.Close()
			}
			if name != "idle" && name != "duplicate" && name != "held" {
				break // a later connection would wait for its PONG
			}
		}
		p.Close()
		p.Close()
		if n := p.Conns(); n != 0 {
			t.Errorf("%s: %d connections left", name, n)
		}
		testkit.Eventually(t, name+": the server has no clients", func() bool { return server.Clients() == 0 })
		testkit.Eventually(t, name+": no goroutine is left", func() bool { return runtime.NumGoroutine() <= before })
	}
}
