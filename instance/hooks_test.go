package instance_test

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/auth"

	"github.com/holdfast-go/holdfast/engine"
	"github.com/holdfast-go/holdfast/instance"
	"github.com/holdfast-go/holdfast/internal/redistest"
)

// hook is a func of the user's. While it hangs it does not return, whatever its
// context says.
type hook struct {
	hangs  atomic.Bool
	let    chan struct{}
	inside sync.WaitGroup
	hung   atomic.Int32
}

func (h *hook) call() {
	if !h.hangs.Load() {
		return
	}
	h.inside.Add(1)
	defer h.inside.Done()
	h.hung.Add(1)
	<-h.let
}

// letGo has all that hang in it return, and waits for that.
func (h *hook) letGo() {
	h.hangs.Store(false)
	close(h.let)
	h.inside.Wait()
}

func (h *hook) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	h.call()
	return new(net.Dialer).DialContext(ctx, network, addr)
}

func (h *hook) credentials(context.Context) (username, password string, err error) {
	h.call()
	return "default", "", nil
}

// Subscribe is that of a streaming provider.
func (h *hook) Subscribe(auth.CredentialsListener) (auth.Credentials, auth.UnsubscribeFunc, error) {
	h.call()
	return auth.NewBasicCredentials("", ""), func() error { h.call(); return nil }, nil
}

// A func of the user's that hangs while an instance connects keeps that instance
// down, and nothing else: the others vote, what is posted to it is refused at the
// door, and Close does not wait for it.
func TestWhatHangsInConnectingHoldsUpItsInstanceAlone(t *testing.T) {
	if testing.Short() {
		t.Skip("it waits for timeouts, 13 times: 20 seconds")
	}
	const timeout = 300 * time.Millisecond
	ca := redistest.NewAuthority(t)
	cert, key := ca.Issue("client")
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		t.Fatalf("tls.LoadX509KeyPair: %v", err)
	}
	dial := func(t *testing.T, url string, cfg instance.Config) *instance.Instance {
		cfg.Timeout = timeout
		i, err := instance.Dial(url, cfg)
		if err != nil {
			t.Fatalf("instance.Dial: %v", err)
		}
		return i
	}
	of := func(t *testing.T, client redis.UniversalClient) *instance.Instance {
		t.Cleanup(func() { _ = client.Close() })
		return instance.New(client, instance.Config{Timeout: timeout})
	}
	plain := func(t *testing.T) (*redistest.Server, string) {
		s := redistest.StartTCP(t)
		return s, s.Addr()
	}
	secure := func(t *testing.T) (*redistest.Server, string) { return redistest.StartTLS(t, ca, true) }
	clustered := func(t *testing.T) (*redistest.Server, string) {
		c := redistest.StartCluster(t, 1, false)
		return c.Owner(0), c.Addrs()[0]
	}
	watched := func(t *testing.T) (*redistest.Server, string) {
		master := redistest.StartTCP(t)
		return master, redistest.StartSentinel(t, master).Addr()
	}

	for name, c := range map[string]struct {
		start func(*testing.T) (s *redistest.Server, addr string)
		make  func(t *testing.T, h *hook, addr string) *instance.Instance
	}{
		"Dialer": {plain, func(t *testing.T, h *hook, addr string) *instance.Instance {
			return dial(t, addr, instance.Config{Dialer: h.dial})
		}},
		"Credentials": {plain, func(t *testing.T, h *hook, addr string) *instance.Instance {
			return dial(t, addr, instance.Config{Credentials: h.credentials})
		}},
		"TLS, VerifyConnection": {secure, func(t *testing.T, h *hook, addr string) *instance.Instance {
			own := ca.Config()
			own.Certificates = []tls.Certificate{pair}
			own.VerifyConnection = func(tls.ConnectionState) error { h.call(); return nil }
			return dial(t, addr, instance.Config{TLS: own})
		}},
		"TLS, GetClientCertificate": {secure, func(t *testing.T, h *hook, addr string) *instance.Instance {
			own := ca.Config()
			own.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { h.call(); return &pair, nil }
			return dial(t, addr, instance.Config{TLS: own})
		}},
		"a client's Dialer": {plain, func(t *testing.T, h *hook, addr string) *instance.Instance {
			return of(t, redis.NewClient(&redis.Options{Addr: addr, Dialer: h.dial}))
		}},
		"a client's provider": {plain, func(t *testing.T, h *hook, addr string) *instance.Instance {
			return of(t, redis.NewClient(&redis.Options{Addr: addr, CredentialsProviderContext: h.credentials}))
		}},
		"a client's streaming provider": {plain, func(t *testing.T, h *hook, addr string) *instance.Instance {
			return of(t, redis.NewClient(&redis.Options{Addr: addr, StreamingCredentialsProvider: h}))
		}},
		"a client's OnConnect": {plain, func(t *testing.T, h *hook, addr string) *instance.Instance {
			return of(t, redis.NewClient(&redis.Options{Addr: addr, OnConnect: func(context.Context, *redis.Conn) error { h.call(); return nil }}))
		}},
		"a cluster's Dialer": {clustered, func(t *testing.T, h *hook, addr string) *instance.Instance {
			return dial(t, "", instance.Config{Cluster: []string{addr}, Dialer: h.dial})
		}},
		"a cluster's Credentials": {clustered, func(t *testing.T, h *hook, addr string) *instance.Instance {
			return dial(t, "", instance.Config{Cluster: []string{addr}, Credentials: h.credentials})
		}},
		"a cluster client's OnConnect": {clustered, func(t *testing.T, h *hook, addr string) *instance.Instance {
			return of(t, redis.NewClusterClient(&redis.ClusterOptions{Addrs: []string{addr}, OnConnect: func(context.Context, *redis.Conn) error { h.call(); return nil }}))
		}},
		"a sentinel's Dialer": {watched, func(t *testing.T, h *hook, addr string) *instance.Instance {
			return dial(t, "redis-sentinel://"+addr+"?master=leader", instance.Config{Dialer: h.dial})
		}},
		"a sentinel's Credentials": {watched, func(t *testing.T, h *hook, addr string) *instance.Instance {
			return dial(t, "redis-sentinel://"+addr+"?master=leader", instance.Config{Sentinel: instance.Sentinel{Credentials: h.credentials}})
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // it waits most of the time
			h := &hook{let: make(chan struct{})}
			server, addr := c.start(t)
			others := redistest.StartN(t, 2)
			instances := []*instance.Instance{dial(t, others[0].URL(), instance.Config{}), dial(t, others[1].URL(), instance.Config{}), c.make(t, h, addr)}
			e, err := engine.New(instances, engine.Config{TTL: time.Second, Guard: instance.GuardOff})
			if err != nil {
				t.Fatalf("engine.New: %v", err)
			}
			for place := range instances {
				state(t, e, place, instance.Up)
			}
			kept := acquire(t, e, "kept")

			h.hangs.Store(true)
			ctx, cancel := context.WithCancel(t.Context())
			waiter := make(chan error, 1)
			go func() { // with it the tracking connection is opened
				_, err := e.Acquire(ctx, "kept")
				waiter <- err
			}()
			server.MustDo("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
			state(t, e, 2, instance.Down)
			eventually(t, "something hangs", func() bool { return h.hung.Load() > 0 })

			var slowest time.Duration
			for until := time.Now().Add(1200 * time.Millisecond); time.Now().Before(until); { // longer than the TTL
				begun := time.Now()
				release(t, acquire(t, e, "free"))
				slowest = max(slowest, time.Since(begun))
				v, err := e.Inspect(within(t), "free")
				if err != nil || v.Votes[2].Kind != instance.Unreachable && v.Votes[2].Kind != instance.TimedOut {
					t.Fatalf("inspect: got %v, %v, want that the third does not answer", v.Votes, err)
				}
				slowest = max(slowest, time.Since(begun)/2)
				time.Sleep(5 * time.Millisecond)
			}
			if slowest > timeout {
				t.Errorf("a call took %v", slowest)
			}
			if !kept.Valid() {
				t.Errorf("a lease was not renewed: %v", kept.Err())
			}
			cancel()
			if err := <-waiter; !errors.Is(err, context.Canceled) {
				t.Errorf("the cancelled acquire: got %v, want %v", err, context.Canceled)
			}
			begun := time.Now()
			if err := e.Close(within(t)); err != nil {
				t.Errorf("e.Close: %v", err)
			}
			if d := time.Since(begun); d > 5*timeout {
				t.Errorf("Close took %v", d)
			}
			h.letGo()
		})
	}
}
