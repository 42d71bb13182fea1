package instance_test

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/holdfast-go/holdfast/engine"
	"github.com/holdfast-go/holdfast/instance"
	"github.com/holdfast-go/holdfast/internal/enginetest"
	"github.com/holdfast-go/holdfast/internal/redistest"
	"github.com/holdfast-go/holdfast/internal/testkit"
)

// openOne returns an engine on the one instance that url and cfg reach, or why it is
// not up. The engine ends with the test.
func openOne(t *testing.T, url string, cfg instance.Config) (*engine.Engine, error) {
	t.Helper()
	if cfg.Timeout == 0 {
		cfg.Timeout = 5 * time.Second // for machines that are slow; nothing here hangs
	}
	i, err := instance.Dial(url, cfg)
	if err != nil {
		return nil, err
	}
	e := enginetest.New(t, engine.Config{}, i)
	<-i.Ready()
	return e, e.Instances()[0].Err
}

// works fails the test unless the one instance that url and cfg reach locks.
func works(t *testing.T, url string, cfg instance.Config) {
	t.Helper()
	e, err := openOne(t, url, cfg)
	if err != nil {
		t.Errorf("it does not work: %v", err)
		return
	}
	l := acquire(t, e, "works", engine.WithFencing())
	if err := l.Extend(within(t), 0); err != nil {
		t.Errorf("l.Extend: %v", err)
	}
	release(t, l)
}

// refused fails the test unless the one instance that url and cfg reach is not
// up, and says why.
func refused(t *testing.T, url string, cfg instance.Config, says string) {
	t.Helper()
	_, err := openOne(t, url, cfg)
	if err == nil || !strings.Contains(err.Error(), says) {
		t.Errorf("%v, want it to say %q", err, says)
	}
}

func TestTLS(t *testing.T) {
	ca, other := redistest.NewAuthority(t), redistest.NewAuthority(t)
	server, addr := redistest.StartTLS(t, ca, false)
	_, port, _ := net.SplitHostPort(addr)
	url := "rediss://" + addr

	t.Run("a CA file in the URL", func(t *testing.T) { works(t, url+"?ssl_ca_certs="+ca.CAFile, instance.Config{}) })
	t.Run("a CA file in the Config", func(t *testing.T) { works(t, url, instance.Config{CAFile: ca.CAFile}) })
	t.Run("a tls.Config", func(t *testing.T) { works(t, url, instance.Config{TLS: ca.Config()}) })
	t.Run("a CA file turns TLS on", func(t *testing.T) { works(t, "redis://"+addr, instance.Config{CAFile: ca.CAFile}) })
	t.Run("a tls.Config turns TLS on", func(t *testing.T) { works(t, addr, instance.Config{TLS: ca.Config()}) })
	t.Run("a database, too", func(t *testing.T) { works(t, url+"/7?ssl_ca_certs="+ca.CAFile, instance.Config{}) })
	t.Run("no TLS", func(t *testing.T) {
		if _, err := openOne(t, "redis://"+addr, instance.Config{}); err == nil {
			t.Error("it is up")
		}
	})

	t.Run("unknown roots are refused", func(t *testing.T) { refused(t, url, instance.Config{}, "certificate signed by unknown authority") })
	t.Run("another CA is refused", func(t *testing.T) {
		refused(t, url+"?ssl_ca_certs="+other.CAFile, instance.Config{}, "certificate signed by unknown authority")
	})
	t.Run("CERT_OPTIONAL verifies", func(t *testing.T) {
		refused(t, url+"?ssl_cert_reqs=cert_optional", instance.Config{}, "certificate signed by unknown authority")
	})
	t.Run("the name is verified", func(t *testing.T) {
		refused(t, url, instance.Config{CAFile: ca.CAFile, ServerName: "not.redis.test"}, "not.redis.test")
	})
	t.Run("a server name", func(t *testing.T) {
		works(t, url+"?ssl_server_name=redis.test&ssl_ca_certs="+ca.CAFile, instance.Config{})
	})
	t.Run("a host name", func(t *testing.T) {
		// The certificate is for 127.0.0.1 and redis.test, not for localhost.
		refused(t, "rediss://localhost:"+port+"?ssl_ca_certs="+ca.CAFile, instance.Config{}, "localhost")
	})
	t.Run("what Config says wins", func(t *testing.T) {
		refused(t, url+"?ssl_cert_reqs=none", instance.Config{TLS: other.Config()}, "certificate signed by unknown authority")
		works(t, url+"?ssl_ca_certs="+other.CAFile, instance.Config{CAFile: ca.CAFile})
	})
	t.Run("an existing client", func(t *testing.T) {
		client := redis.NewClient(&redis.Options{Addr: addr, TLSConfig: ca.Config()})
		defer func() { _ = client.Close() }()
		i := instance.New(client, instance.Config{})
		e := enginetest.New(t, engine.Config{}, i)
		release(t, acquire(t, e, "r"))
	})

	for _, spelling := range []string{"ssl_cert_reqs=CERT_NONE", "ssl_cert_reqs=cert_none", "ssl_cert_reqs=None", "skip_verify=true"} {
		t.Run("not verified: "+spelling, func(t *testing.T) {
			var log testkit.Log
			works(t, url+"?"+spelling, instance.Config{Logger: slog.New(slog.NewTextHandler(&log, nil))})
			if !strings.Contains(log.String(), "level=WARN") || !strings.Contains(log.String(), "not verified") {
				t.Errorf("no warning: %s", log.String())
			}
		})
	}
	t.Run("verified: no warning", func(t *testing.T) {
		var log testkit.Log
		works(t, url, instance.Config{CAFile: ca.CAFile, Logger: slog.New(slog.NewTextHandler(&log, nil))})
		if strings.Contains(log.String(), "not verified") {
			t.Errorf("a warning: %s", log.String())
		}
	})
	t.Run("TLS 1.1 is not spoken", func(t *testing.T) {
		old := ca.Config()
		old.MinVersion = tls.VersionTLS10
		for version, ok := range map[string]bool{"TLSv1.1": false, "TLSv1.2": true, "TLSv1.3": true} {
			server.MustDo("CONFIG", "SET", "tls-protocols", version)
			_, err := openOne(t, url, instance.Config{TLS: old})
			if ok != (err == nil) {
				t.Errorf("a server with %s: %v", version, err)
			}
		}
		server.MustDo("CONFIG", "SET", "tls-protocols", "")
		old.MaxVersion = tls.VersionTLS11
		if _, err := openOne(t, url, instance.Config{TLS: old}); err == nil || !strings.Contains(err.Error(), "MaxVersion") {
			t.Errorf("MaxVersion 1.1: %v", err)
		}
	})
	t.Run("after a restart", func(t *testing.T) {
		i, err := instance.Dial(url, instance.Config{CAFile: ca.CAFile})
		if err != nil {
			t.Fatalf("instance.Dial: %v", err)
		}
		e := enginetest.New(t, engine.Config{Guard: instance.GuardOff}, i)
		release(t, acquire(t, e, "r"))
		server.Restart()
		release(t, acquire(t, e, "r"))
	})
}

// The system's roots count where no others are given. They are read once a process,
// so it takes one of its own to change them: this test, run by itself.
func TestSystemRoots(t *testing.T) {
	if url := os.Getenv("HOLDFAST_TEST_URL"); url != "" {
		works(t, url, instance.Config{})
		return
	}
	ca := redistest.NewAuthority(t)
	_, addr := redistest.StartTLS(t, ca, false)
	self, err := os.Executable()
	if err != nil {
		t.Fatalf("os.Executable: %v", err)
	}
	cmd := exec.CommandContext(t.Context(), self, "-test.run=^TestSystemRoots$")
	cmd.Env = append(os.Environ(), "HOLDFAST_TEST_URL=rediss://"+addr, "SSL_CERT_FILE="+ca.CAFile, "SSL_CERT_DIR="+t.TempDir())
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v:\n%s", err, out)
	}
	refused(t, "rediss://"+addr, instance.Config{}, "unknown authority") // here they are as they were
}

func TestMutualTLS(t *testing.T) {
	ca, other := redistest.NewAuthority(t), redistest.NewAuthority(t)
	_, addr := redistest.StartTLS(t, ca, true)
	cert, key := ca.Issue("client")
	wrongCert, wrongKey := other.Issue("client")
	url := "rediss://" + addr + "?ssl_ca_certs=" + ca.CAFile

	works(t, url+"&ssl_certfile="+cert+"&ssl_keyfile="+key, instance.Config{})
	works(t, url, instance.Config{CertFile: cert, KeyFile: key})
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		t.Fatalf("tls.LoadX509KeyPair: %v", err)
	}
	config := ca.Config()
	config.Certificates = []tls.Certificate{pair}
	works(t, url, instance.Config{TLS: config})
	for name, cfg := range map[string]instance.Config{
		"no certificate":        {},
		"of another CA":         {CertFile: wrongCert, KeyFile: wrongKey},
		"of another CA, in TLS": {TLS: ca.Config(), CertFile: wrongCert, KeyFile: wrongKey},
	} {
		if _, err := openOne(t, url, cfg); err == nil {
			t.Errorf("%s: it is up", name)
		} else {
			oneLine(t, err)
		}
	}

	// Files that are replaced are used from the next connection on.
	i, err := instance.Dial(url, instance.Config{CertFile: wrongCert, KeyFile: wrongKey})
	if err != nil {
		t.Fatalf("instance.Dial: %v", err)
	}
	e := enginetest.New(t, engine.Config{}, i)
	state(t, e, 0, instance.Down)
	for from, to := range map[string]string{cert: wrongCert, key: wrongKey} {
		text, err := os.ReadFile(from)
		if err != nil {
			t.Fatalf("os.ReadFile: %v", err)
		}
		if err := os.WriteFile(to, text, 0o600); err != nil {
			t.Fatalf("os.WriteFile: %v", err)
		}
	}
	state(t, e, 0, instance.Up)
}

func TestBadFilesAreNamedByDial(t *testing.T) {
	ca := redistest.NewAuthority(t)
	cert, key := ca.Issue("client")
	for name, bad := range map[string]struct {
		cfg  instance.Config
		says string
	}{
		"no CA file":        {instance.Config{CAFile: "/nowhere/ca.crt"}, "/nowhere/ca.crt"},
		"no certificate":    {instance.Config{CAFile: key}, key},
		"no key":            {instance.Config{CertFile: cert}, "KeyFile"},
		"key is no key":     {instance.Config{CertFile: cert, KeyFile: cert}, "certificate"},
		"two sets of roots": {instance.Config{CAFile: ca.CAFile, TLS: ca.Config()}, "RootCAs"},
		"two names":         {instance.Config{ServerName: "a", TLS: &tls.Config{ServerName: "b"}}, "ServerName"},
	} {
		_, err := instance.Dial("host", bad.cfg)
		oneLine(t, err)
		if !strings.Contains(err.Error(), bad.says) {
			t.Errorf("%s: got %v, want it to say %q", name, err, bad.says)
		}
	}
}

// A port without TLS waits for the end of what it takes for a command.
func TestAPortWithoutTLSIsSuspected(t *testing.T) {
	_, err := openOne(t, "rediss://"+redistest.StartTCP(t).Addr(), instance.Config{Timeout: 200 * time.Millisecond})
	if err == nil || !strings.Contains(err.Error(), "does this port speak TLS?") {
		t.Errorf("TLS to a port without it: got %v, want it to ask whether the port speaks TLS", err)
	}
}

// A server that hangs in the TLS handshake holds nobody up, and Close ends
// within its context.
func TestTLSHandshakeThatHangs(t *testing.T) {
	ca := redistest.NewAuthority(t)
	server, addr := redistest.StartTLS(t, ca, false)
	server.Pause()
	client := redis.NewClient(&redis.Options{Addr: addr, TLSConfig: ca.Config(), DialTimeout: time.Second})
	defer func() { _ = client.Close() }()
	for name, dial := range map[string]func() (*instance.Instance, error){
		"dialed": func() (*instance.Instance, error) {
			return instance.Dial("rediss://"+addr, instance.Config{TLS: ca.Config(), Timeout: 10 * time.Second})
		},
		"an existing client": func() (*instance.Instance, error) {
			return instance.New(client, instance.Config{Timeout: 10 * time.Second}), nil
		},
	} {
		i, err := dial()
		if err != nil {
			t.Fatalf("dial: %v", err)
		}
		closesInTime(t, name, i)
	}
	server.Resume()
	time.Sleep(1100 * time.Millisecond) // go-redis's dialer does not heed its context: its goroutine ends by the client's DialTimeout
}

// closesInTime fails the test unless an engine of this instance, which hangs,
// is closed as its context ends.
func closesInTime(t *testing.T, name string, i *instance.Instance) {
	t.Helper()
	e, err := engine.New([]*instance.Instance{i}, engine.Config{})
	if err != nil {
		t.Fatalf("engine.New: %v", err)
	}
	time.Sleep(20 * time.Millisecond) // let it hang
	ctx, cancel := contextOf(100 * time.Millisecond)
	defer cancel()
	start := time.Now()
	_ = e.Close(ctx)
	if d := time.Since(start); d > time.Second {
		t.Errorf("%s: Close took %v", name, d)
	}
	if s := fmt.Sprint(i.Health().State); s != "closed" {
		t.Errorf("%s: it is %s", name, s)
	}
}
