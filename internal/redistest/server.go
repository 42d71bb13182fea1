package redistest

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
)

const (
	// startTimeout bounds the wait for a new process's first answer. It takes some 10 ms; the rest is for machines that
	// run everything at once under the race detector.
	startTimeout = 20 * time.Second

	// maxSocketPath is below the room in sockaddr_un, which is 104 bytes on macOS and 108 on Linux.
	maxSocketPath = 99
)

// Server is one redis-server with an address of its own. The address stays the same for the Server's whole life; the
// process behind it may be killed and started again.
type Server struct {
	t       testing.TB
	program string
	network string // "unix" or "tcp"
	addr    string
	dir     string // working directory, log, and unix socket
	args    []string
	env     []string // beside our own
	steps   string   // the file that moves its clock; "" unless it can be stepped

	mu     sync.Mutex
	proc   *process // the newest one, alive or not; nil before the first
	closed bool     // the test is over; nothing may be started any more
}

// Start runs one redis-server on a unix socket and returns when it answers. It keeps nothing on disk; args go to its
// command line and may change that. The server ends with the test.
//
// Without redis-server in PATH the test fails.
func Start(t testing.TB, args ...string) *Server {
	t.Helper()
	return StartN(t, 1, args...)[0]
}

// StartN is n times Start, all at the same time.
func StartN(t testing.TB, n int, args ...string) []*Server {
	t.Helper()
	return startN(t, n, args, func(*Server) error { return nil })
}

// startN prepares each server before it starts them all.
func startN(t testing.TB, n int, args []string, prepare func(*Server) error) []*Server {
	t.Helper()
	requireRedis(t)
	servers := make([]*Server, n)
	for i := range servers {
		servers[i] = newServer(t, args)
		servers[i].program = programOf(i)
		if err := servers[i].listenUnix(); err != nil {
			t.Fatalf("redistest: start a server on a unix socket: %v", err)
		}
		if err := prepare(servers[i]); err != nil {
			t.Fatalf("prepare: %v", err)
		}
	}
	var starts errgroup.Group
	for _, s := range servers {
		starts.Go(s.start)
	}
	if err := starts.Wait(); err != nil {
		t.Fatalf("starts.Wait: %v", err)
	}
	return servers
}

// StartTCP is Start on a free port of 127.0.0.1.
func StartTCP(t testing.TB, args ...string) *Server {
	t.Helper()
	requireRedis(t)
	s := newServer(t, args)
	for try := 1; ; try++ {
		if err := s.listenTCP(); err != nil {
			t.Fatalf("s.listenTCP: %v", err)
		}
		err := s.start()
		if err == nil {
			return s
		}
		// Between our look and the server's bind somebody else may have taken the port.
		if try == 5 || !errors.Is(err, errPortTaken) {
			t.Fatalf("redistest: start a server: %v", err)
		}
	}
}

// URLs returns the servers' URLs, in their order.
func URLs(servers []*Server) []string {
	urls := make([]string, len(servers))
	for i, s := range servers {
		urls[i] = s.URL()
	}
	return urls
}

// URL is "unix:///path" or "redis://127.0.0.1:port". It never has a password in it.
func (s *Server) URL() string {
	if s.network == "unix" {
		return (&url.URL{Scheme: "unix", Path: s.addr}).String()
	}
	return "redis://" + s.addr
}

// Addr is the socket's path, or host:port.
func (s *Server) Addr() string { return s.addr }

// Network is "unix" or "tcp".
func (s *Server) Network() string { return s.network }

// Pid is that of the newest process, also after its death.
func (s *Server) Pid() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.proc.pid()
}

// newServer makes the directory and promises its end, but starts nothing and has no address yet.
func newServer(t testing.TB, args []string) *Server {
	t.Helper()
	// Not t.TempDir(): it has the test's name in it, and soon is too long for a socket.
	dir, err := os.MkdirTemp("", "hf-")
	if err != nil {
		t.Fatalf("os.MkdirTemp: %v", err)
	}
	s := &Server{t: t, program: programOf(0), dir: dir}
	// A replica stores what it gets from its master; it must not find that again after a Restart.
	s.args = append([]string{"--save", "", "--appendonly", "no", "--rdb-del-sync-files", "yes", "--port", "0"}, args...)
	t.Cleanup(s.close)
	return s
}

func (s *Server) listenUnix() error {
	s.network, s.addr = "unix", filepath.Join(s.dir, "redis.sock")
	if len(s.addr) > maxSocketPath {
		return fmt.Errorf("redistest: %s is too long for a unix socket: set TMPDIR to a shorter path", s.addr)
	}
	return nil
}

func (s *Server) listenTCP() error {
	addr, err := freeAddr()
	s.network, s.addr = "tcp", addr
	return err
}

// listenArgs come last on the command line, since of two values redis-server takes the later.
func (s *Server) listenArgs() []string {
	if s.network == "unix" {
		return []string{"--unixsocket", s.addr}
	}
	host, port, _ := strings.Cut(s.addr, ":")
	return []string{"--bind", host, "--port", port}
}

// start runs a new process and waits until it answers. The former one must be dead.
func (s *Server) start() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.startLocked()
}

func (s *Server) startLocked() error {
	if s.closed {
		return errors.New("redistest: the test that started this server has ended")
	}
	// A file and not a pipe: a pipe needs a goroutine, which would wait for a forked child of the server as well.
	log, err := os.Create(s.logPath())
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command(s.program, slices.Concat(s.args, s.listenArgs())...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = s.dir, log, log
	cmd.Env = append(os.Environ(), s.env...)
	proc, err := spawn(cmd)
	if err != nil {
		return fmt.Errorf("redistest: %w", err)
	}
	s.proc = proc
	if err := s.awaitAnswer(); err != nil {
		proc.kill()
		return s.explain(err)
	}
	return nil
}

// awaitAnswer returns nil once the process answers, and an error as soon as it has ended.
func (s *Server) awaitAnswer() error {
	giveUp := time.Now().Add(startTimeout)
	for {
		err := s.probe(s.proc.pid())
		if err == nil {
			return nil
		}
		if time.Now().After(giveUp) {
			return fmt.Errorf("no answer for %v: %w", startTimeout, err)
		}
		select {
		case <-s.proc.done:
			return errors.New("ended before it answered")
		case <-time.After(pollEvery):
		}
	}
}

// explain adds what the server said itself, which nearly always is the reason.
func (s *Server) explain(err error) error {
	log, _ := os.ReadFile(s.logPath())
	if strings.Contains(string(log), "Address already in use") {
		err = errPortTaken
	}
	return fmt.Errorf("redistest: redis-server at %s: %w; its log:\n%s", s.addr, err, log)
}

func (s *Server) logPath() string { return filepath.Join(s.dir, "redis.log") }

// close is the test's last word to the server.
func (s *Server) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	if s.proc != nil {
		s.proc.kill()
	}
	if err := os.RemoveAll(s.dir); err != nil {
		s.t.Errorf("os.RemoveAll: %v", err)
	}
}
