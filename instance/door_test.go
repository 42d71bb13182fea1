package instance_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/holdfast-go/holdfast/engine"
	"github.com/holdfast-go/holdfast/instance"
	"github.com/holdfast-go/holdfast/internal/enginetest"
	"github.com/holdfast-go/holdfast/internal/redistest"
	"github.com/holdfast-go/holdfast/internal/testkit"
)

// What a server says to those whom it does not let in is what they are told.

const denied = "DENIED Redis is running in protected mode because protected mode is enabled"

// bouncer says why nobody is let in, and hangs up, whatever is said to it.
func bouncer(t *testing.T, words string) (addr string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("net.Listen: %v", err)
	}
	var guests sync.WaitGroup
	guests.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = c.Write([]byte(words))
			_ = c.Close()
		}
	})
	t.Cleanup(func() { _ = l.Close(); guests.Wait() })
	return l.Addr().String()
}

func TestWhatIsSaidAtTheDoorIsShown(t *testing.T) {
	addr := bouncer(t, "-"+denied+": s3cr3t\r\n")
	for _, form := range []string{"redis://:s3cr3t@" + addr, "redis://:s3cr3t@" + addr + "/3", "redis-sentinel://:s3cr3t@" + addr + "?master=m&sentinel_password=s3cr3t", "redis-cluster://:s3cr3t@" + addr} {
		for range 20 { // whether our words or its end come first is for the network to say
			_, err := engine.Open(within(t), []string{form}, engine.Config{})
			oneLine(t, err)
			if !strings.Contains(err.Error(), "DENIED Redis is running in protected mode") || strings.Contains(err.Error(), "s3cr3t") {
				t.Fatalf("%s: got %v, want what the server said, and no password", form, err)
			}
		}
	}
}

// A server that has as many clients as it may have says so, on every network.
func TestAFullServerSaysSo(t *testing.T) {
	for _, server := range []*redistest.Server{redistest.Start(t), redistest.StartTCP(t)} {
		server.MustDo("CONFIG", "SET", "maxclients", "1")
		inside, err := net.Dial(server.Network(), server.Addr())
		if err != nil {
			t.Fatalf("net.Dial: %v", err)
		}
		_, _ = inside.Write([]byte("PING\r\n"))
		if _, err := inside.Read(make([]byte, 16)); err != nil {
			t.Fatalf("inside.Read: %v", err)
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		_, err = engine.Open(ctx, []string{server.URL()}, engine.Config{})
		cancel()
		oneLine(t, err)
		if !strings.Contains(err.Error(), "max number of clients reached") {
			t.Errorf("%s: got %v, want it to say that the server has its most clients", server.Network(), err)
		}

		e, err := engine.New([]*instance.Instance{enginetest.Dial(t, server.URL(), instance.Config{})}, engine.Config{})
		if err != nil {
			t.Fatalf("engine.New: %v", err)
		}
		state(t, e, 0, instance.Down)
		_ = inside.Close()
		state(t, e, 0, instance.Up) // it passes
		if err := e.Close(within(t)); err != nil {
			t.Errorf("e.Close: %v", err)
		}
		server.MustDo("CONFIG", "SET", "maxclients", "100")
	}
}

// So does a sentinel.
func TestAFullSentinelSaysSo(t *testing.T) {
	const room = 3
	master := redistest.StartTCP(t)
	sentinel := redistest.StartSentinel(t, master, "--maxclients", strconv.Itoa(room))
	var inside []net.Conn
	for range room {
		conn, err := net.Dial("tcp", sentinel.Addr())
		if err != nil {
			t.Fatalf("net.Dial: %v", err)
		}
		inside = append(inside, conn)
		_, _ = conn.Write([]byte("PING\r\n"))
		reply := make([]byte, 16)
		if n, err := conn.Read(reply); err != nil || string(reply[:n]) != "+PONG\r\n" {
			t.Fatalf("PING: got %q, %v, want +PONG", reply[:n], err)
		}
	}
	i, err := instance.Dial("redis-sentinel://"+sentinel.Addr()+"?master=leader", instance.Config{})
	if err != nil {
		t.Fatalf("instance.Dial: %v", err)
	}
	e, err := engine.New([]*instance.Instance{i}, engine.Config{})
	if err != nil {
		t.Fatalf("engine.New: %v", err)
	}
	state(t, e, 0, instance.Down)
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	err = e.AwaitQuorum(ctx)
	cancel()
	oneLine(t, err)
	if !strings.Contains(err.Error(), "max number of clients reached") {
		t.Errorf("got %v, want it to say that the sentinel has its most clients", err)
	}
	for _, conn := range inside {
		_ = conn.Close()
	}
	state(t, e, 0, instance.Up) // it passes
	if err := e.Close(within(t)); err != nil {
		t.Errorf("e.Close: %v", err)
	}
}

// stranger is an address of this machine that the server takes for another machine's, and does not let in: for Redis 7.0
// that is every one but 127.0.0.1, for later ones and Valkey it is none that begins with 127.
func stranger(t *testing.T, server *redistest.Server) *net.TCPAddr {
	t.Helper()
	own, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatalf("net.InterfaceAddrs: %v", err)
	}
	candidates := []net.IP{net.IPv4(127, 0, 0, 2)}
	for _, addr := range own {
		if ip, ok := addr.(*net.IPNet); ok && ip.IP.To4() != nil && !ip.IP.IsLoopback() {
			candidates = append(candidates, ip.IP)
		}
	}
	for _, ip := range candidates {
		from := &net.TCPAddr{IP: ip}
		conn, err := (&net.Dialer{LocalAddr: from}).Dial("tcp", server.Addr())
		if err != nil {
			continue // it cannot come from there
		}
		_ = conn.SetDeadline(time.Now().Add(testkit.Patience))
		_, _ = conn.Write([]byte("PING\r\n"))
		said := make([]byte, 7)
		_, _ = io.ReadFull(conn, said)
		_ = conn.Close()
		if string(said) == "-DENIED" {
			return from
		}
	}
	t.Skipf("this machine has no address that the server takes for another machine's, among %v", candidates)
	return nil
}

// In protected mode a server lets only its own machine in.
func TestProtectedModeSaysSo(t *testing.T) {
	server := redistest.StartTCP(t, "--protected-mode", "yes")
	elsewhere := stranger(t, server)
	sentinel := redistest.StartSentinel(t, redistest.StartTCP(t), "--protected-mode", "yes")
	for _, url := range []string{"redis://" + server.Addr(), "redis-cluster://" + server.Addr(), "redis-sentinel://" + sentinel.Addr() + "?master=leader"} {
		i, err := instance.Dial(url, instance.Config{Dialer: (&net.Dialer{LocalAddr: elsewhere}).DialContext})
		if err != nil {
			t.Fatalf("instance.Dial: %v", err)
		}
		e := enginetest.New(t, engine.Config{}, i)
		_, err = e.TryAcquire(within(t), "r")
		oneLine(t, err)
		if !strings.Contains(err.Error(), "DENIED ") || !strings.Contains(err.Error(), "unning in protected mode") { // Redis is; or Running
			t.Errorf("%s: got %v, want what the server said", url, err)
		}
	}
}

// The log says why there is no tracking connection.
func TestWhatIsSaidAtTheWaitersDoorIsLogged(t *testing.T) {
	server := redistest.Start(t)
	server.Set("r", "somebody else's", time.Minute)
	addr := bouncer(t, "-"+denied+"\r\n")
	var dials atomic.Int32
	var log testkit.Log
	i, err := instance.Dial(server.URL(), instance.Config{
		Logger: slog.New(slog.NewTextHandler(&log, nil)),
		Dialer: func(ctx context.Context, network, at string) (net.Conn, error) {
			if dials.Add(1) == 1 {
				return new(net.Dialer).DialContext(ctx, network, at)
			}
			return new(net.Dialer).DialContext(ctx, "tcp", addr)
		},
	})
	if err != nil {
		t.Fatalf("instance.Dial: %v", err)
	}
	e := enginetest.New(t, engine.Config{}, i)
	ctx, cancel := context.WithCancel(context.Background())
	waited := make(chan error)
	go func() {
		_, err := e.Acquire(ctx, "r")
		waited <- err
	}()
	eventually(t, "the reason is in the log", func() bool { return strings.Contains(log.String(), "DENIED Redis is running in protected mode") })
	cancel()
	if err := <-waited; !errors.Is(err, context.Canceled) {
		t.Errorf("the cancelled acquire: got %v, want %v", err, context.Canceled)
	}
}

// Servers quote the arguments of commands that they do not know: neither tokens nor passwords are shown.
func TestWhatServersQuoteIsNotShown(t *testing.T) {
	t.Run("tokens", func(t *testing.T) {
		server := redistest.Start(t, "--rename-command", "EVALSHA", "")
		e := open(t, []*redistest.Server{server}, engine.Config{Owner: "me"})
		l := acquire(t, e, "r", engine.WithoutRenewal())
		err := l.Release(within(t))
		oneLine(t, err)
		if !strings.Contains(err.Error(), "unknown command 'evalsha'") || strings.Contains(err.Error(), l.Token()) || strings.Contains(err.Error(), l.Token()[3:10]) {
			t.Errorf("release: got %v, want an unknown command, and nothing of the token", err)
		}
	})
	for name, password := range map[string]string{
		"a line break":  "pass\nw0rd\r\nmore",
		"a long one":    strings.Repeat("l0ng-s3cr3t/", 40),
		"a single char": "e",
		"a plain one":   "s3cr3t",
	} {
		t.Run(name, func(t *testing.T) {
			server := redistest.StartTCP(t, "--rename-command", "AUTH", "", "--rename-command", "HELLO", "")
			_, err := engine.Open(within(t), []string{"redis://me:" + url.QueryEscape(password) + "@" + server.Addr()}, engine.Config{})
			oneLine(t, err)
			text := fmt.Sprintf("%v %+v %#v", err, err, err)
			if !strings.Contains(text, "unknown command 'auth'") {
				t.Errorf("open: got %v, want an unknown command", err)
			}
			for _, piece := range []string{password, strings.ReplaceAll(password, "\n", " "), "w0rd", "l0ng", "s3cr3t", "'e'"} {
				if strings.Contains(text, piece) && piece != "e" {
					t.Errorf("%q is shown: %v", piece, err)
				}
			}
		})
	}
}
