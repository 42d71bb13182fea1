package redistest

import (
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/holdfast-go/holdfast/internal/testkit"
)

func TestMain(m *testing.M) { Main(m) }

// starts are the two ways to a server; what is promised holds for both.
var starts = map[string]func(testing.TB, ...string) *Server{"unix": Start, "tcp": StartTCP}

func onEach(t *testing.T, test func(*testing.T, *Server)) {
	t.Parallel()
	for network, start := range starts {
		t.Run(network, func(t *testing.T) {
			t.Parallel()
			test(t, start(t))
		})
	}
}

func TestServerAnswersAtItsURL(t *testing.T) {
	onEach(t, func(t *testing.T, s *Server) {
		opts, err := redis.ParseURL(s.URL())
		if err != nil {
			t.Fatalf("redis.ParseURL: %v", err)
		}
		if opts.Network != s.Network() || opts.Addr != s.Addr() {
			t.Fatalf("%s leads to %s %s, want %s %s", s.URL(), opts.Network, opts.Addr, s.Network(), s.Addr())
		}
		if pong := s.MustDo("PING"); pong != "PONG" {
			t.Fatalf("PING: %v", pong)
		}
	})
}

func TestServersStartedTogetherAreIndependent(t *testing.T) {
	t.Parallel()
	servers := StartN(t, 5)
	for _, s := range servers {
		s.Set("who", s.URL(), 0)
	}
	for i, url := range URLs(servers) {
		if got := servers[i].Get("who"); got != url {
			t.Errorf("%s has the value of %q", url, got)
		}
	}
}

func TestSocketPathIsShort(t *testing.T) {
	t.Parallel()
	long := Server{dir: "/" + strings.Repeat("long", 25)}
	if err := long.listenUnix(); err == nil || !strings.Contains(err.Error(), "TMPDIR") {
		t.Fatalf("got %v, want an error that says what to set", err)
	}
}

func TestPausedServerAnswersOnlyAfterResume(t *testing.T) {
	onEach(t, func(t *testing.T, s *Server) {
		s.Set("k", "v", 0)
		s.Pause()
		if reply, err := s.Do("GET", "k"); err == nil {
			t.Fatalf("a paused server answered %v", reply)
		}
		s.Pause() // twice is fine
		s.Resume()
		s.Resume()
		if got := s.Get("k"); got != "v" {
			t.Fatalf("after Resume the value is %q", got)
		}
	})
}

func TestKilledServerRefusesConnections(t *testing.T) {
	onEach(t, func(t *testing.T, s *Server) {
		pid := s.Pid()
		s.Kill()
		s.Kill() // twice is fine
		if _, ok := stat(pid); ok {
			t.Fatalf("process %d is still there", pid)
		}
		if conn, err := net.Dial(s.Network(), s.Addr()); err == nil {
			conn.Close()
			t.Fatal("a killed server took a connection")
		}
	})
}

func TestRestartedServerIsEmptyAtTheSameAddress(t *testing.T) {
	for name, before := range map[string]func(*Server){
		"running": func(*Server) {},
		"paused":  (*Server).Pause,
		"killed":  (*Server).Kill,
	} {
		t.Run(name, func(t *testing.T) {
			onEach(t, func(t *testing.T, s *Server) {
				url, run := s.URL(), s.RunID()
				s.Set("k", "v", 0)
				// An open connection keeps the port in use for a while, on our side of it.
				conn, err := net.Dial(s.Network(), s.Addr())
				if err != nil {
					t.Fatalf("net.Dial: %v", err)
				}
				defer conn.Close()

				before(s)
				s.Restart()

				if s.URL() != url {
					t.Errorf("the URL was %s, is %s", url, s.URL())
				}
				if keys := s.Keys(); len(keys) > 0 {
					t.Errorf("it remembers %v", keys)
				}
				if s.RunID() == run {
					t.Error("the run_id is that of before")
				}
			})
		})
	}
}

func TestReplicaRestartsEmpty(t *testing.T) {
	t.Parallel()
	master, replica := StartTCP(t, "--repl-diskless-sync-delay", "0"), Start(t)
	master.Set("k", "v", 0)
	host, port, _ := net.SplitHostPort(master.Addr())
	replica.MustDo("REPLICAOF", host, port)
	testkit.Eventually(t, "the replica has the key", func() bool { return replica.Get("k") == "v" })
	replica.Restart()
	if keys := replica.Keys(); len(keys) > 0 {
		t.Fatalf("it remembers %v", keys)
	}
}

func TestArgsReachTheServer(t *testing.T) {
	t.Parallel()
	s := Start(t, "--requirepass", "sesame", "--appendonly", "yes", "--appendfsync", "always")
	s.Set("k", "v", 0)
	s.Restart()
	if got := s.Get("k"); got != "v" {
		t.Fatalf("with an append-only file the value after Restart is %q", got)
	}
}

func TestServerHasLoadedItsDataWhenRestartReturns(t *testing.T) {
	t.Parallel()
	const fill = "for i = 1, 3000 do redis.call('SET', 'k' .. i, i) end"
	for _, args := range [][]string{{}, {"--requirepass", "sesame"}} {
		s := Start(t, append(args, "--appendonly", "yes", "--appendfsync", "always", "--key-load-delay", "50")...)
		s.MustDo("EVAL", fill, "0")
		s.Restart() // takes 150 ms now, and some clients are told LOADING meanwhile
		if got := s.Get("k3000"); got != "3000" {
			t.Errorf("%v: the last value is %q", args, got)
		}
	}
}

func TestKeysCanBeLookedAt(t *testing.T) {
	t.Parallel()
	s := Start(t)
	s.Set("b", "1", time.Minute)
	s.Set("a", "2", 0)
	if keys := s.Keys(); !slices.Equal(keys, []string{"a", "b"}) {
		t.Errorf("Keys: %v", keys)
	}
	if left := s.PTTL("b"); left <= 0 || left > time.Minute {
		t.Errorf("PTTL of a key with a minute: %v", left)
	}
	if left := s.PTTL("a"); left != -time.Millisecond {
		t.Errorf("PTTL of a key without a TTL: %v", left)
	}
	s.Del("a")
	if got, left := s.Get("a"), s.PTTL("a"); got != "" || left != -2*time.Millisecond {
		t.Errorf("an absent key: %q, %v", got, left)
	}
	if reply, err := s.Do("GET", "a"); reply != nil || err != nil {
		t.Errorf("a nil reply: %v, %v", reply, err)
	}
	if _, err := s.Do("NOSUCH"); err == nil {
		t.Error("an unknown command passed")
	}
	s.FlushAll()
	if keys := s.Keys(); len(keys) > 0 {
		t.Errorf("after FlushAll: %v", keys)
	}
}

func TestClientsCountsTheOthers(t *testing.T) {
	onEach(t, func(t *testing.T, s *Server) {
		for range 20 { // each leaves no trace in the next count
			if n := s.Clients(); n != 0 {
				t.Fatalf("%d clients of an unused server", n)
			}
		}
		var conns []net.Conn
		for range 3 {
			conn, err := net.Dial(s.Network(), s.Addr())
			if err != nil {
				t.Fatalf("net.Dial: %v", err)
			}
			defer conn.Close()
			conns = append(conns, conn)
		}
		testkit.Eventually(t, "three are seen", func() bool { return s.Clients() == 3 })
		conns[0].Close()
		testkit.Eventually(t, "one has gone", func() bool { return s.Clients() == 2 })
	})
}

func TestNothingIsLeftWhenTheTestEnds(t *testing.T) {
	var servers []*Server
	t.Run("servers", func(t *testing.T) {
		servers = append(StartN(t, 3), StartTCP(t))
		servers[0].Pause()
		servers[1].Kill()
		servers[2].Restart()
	})
	for _, s := range servers {
		if st, ok := stat(s.Pid()); ok {
			t.Errorf("process %+v is still there", st)
		}
		if _, err := os.Stat(s.dir); !os.IsNotExist(err) {
			t.Errorf("directory %s is still there", s.dir)
		}
		if err := s.start(); err == nil {
			t.Error("it could be started after its test")
		}
	}
}

func TestFailedStartQuotesTheServer(t *testing.T) {
	t.Parallel()
	s := newServer(t, []string{"--no-such-option", "1"})
	if err := s.listenUnix(); err != nil {
		t.Fatalf("s.listenUnix: %v", err)
	}
	if err := s.start(); err == nil || !strings.Contains(err.Error(), "no-such-option") {
		t.Fatalf("got %v, want the server's own words", err)
	}
}

func TestStrangerOnOurPortIsNotTakenForOurs(t *testing.T) {
	t.Parallel()
	stranger := StartTCP(t)
	if err := stranger.probe(os.Getpid()); err == nil {
		t.Error("the probe took another process for ours")
	}
	s := newServer(t, nil)
	s.network, s.addr = stranger.network, stranger.addr
	if err := s.start(); err == nil || !strings.Contains(err.Error(), errPortTaken.Error()) {
		t.Errorf("got %v, want %v", err, errPortTaken)
	}
}

func TestSocketIsInAPrivateDirectory(t *testing.T) {
	t.Parallel()
	info, err := os.Stat(filepath.Dir(Start(t).Addr()))
	if err != nil {
		t.Fatalf("os.Stat: %v", err)
	}
	if info.Mode().Perm() != 0o700 {
		t.Fatalf("its mode is %v", info.Mode())
	}
}
