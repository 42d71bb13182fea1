package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
)

// fleet is a number of redis-servers that are independent of each other, keep nothing on disk, and listen on 127.0.0.1
// or on a unix socket, nowhere else.
type fleet struct {
	dir     string
	servers []*server
}

// server is one redis-server process.
type server struct {
	network, addr string
	cmd           *exec.Cmd
	dead          chan struct{} // closed by run: the process is reaped
}

const (
	// startTimeout bounds the wait for a server's first answer, which takes some 10 ms.
	startTimeout = 10 * time.Second

	// pollEvery is the pause between two looks at a process.
	pollEvery = 2 * time.Millisecond
)

// startFleet returns when n new servers answer.
func startFleet(ctx context.Context, n int, unix bool) (*fleet, error) {
	dir, err := os.MkdirTemp("", "hf-bench-")
	if err != nil {
		return nil, err
	}
	f := &fleet{dir: dir, servers: make([]*server, n)}
	var starts errgroup.Group
	for i := range f.servers {
		starts.Go(func() (err error) {
			f.servers[i], err = startServer(ctx, filepath.Join(dir, fmt.Sprint(i)), unix)
			return err
		})
	}
	if err := starts.Wait(); err != nil {
		return nil, errors.Join(err, f.stop())
	}
	return f, nil
}

// stop kills the servers, stopped or not, and removes what they left.
func (f *fleet) stop() error {
	for _, s := range f.servers {
		if s != nil {
			s.kill()
		}
	}
	return os.RemoveAll(f.dir)
}

// url is what engine.Open and rueidis.ParseURL take.
func (s *server) url() string {
	if s.network == "unix" {
		return (&url.URL{Scheme: "unix", Path: s.addr}).String()
	}
	return "redis://" + s.addr
}

func (f *fleet) urls() []string {
	var list []string
	for _, s := range f.servers {
		list = append(list, s.url())
	}
	return list
}

// quorum is how many servers are a majority.
func (f *fleet) quorum() int { return len(f.servers)/2 + 1 }

// startServer returns when a new server answers. On TCP another process may take the port between our look and the
// server's bind, so it tries a few times.
func startServer(ctx context.Context, dir string, unix bool) (s *server, err error) {
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, err
	}
	for range 5 {
		s = &server{network: "unix", addr: filepath.Join(dir, "redis.sock"), dead: make(chan struct{})}
		listen := []string{"--port", "0", "--unixsocket", s.addr}
		if !unix {
			host, port := "127.0.0.1", fmt.Sprint(freePort())
			s.network, s.addr = "tcp", net.JoinHostPort(host, port)
			listen = []string{"--bind", host, "--port", port}
		}
		if err = s.start(ctx, dir, listen); err == nil {
			return s, nil
		}
		s.kill()
		if unix || ctx.Err() != nil {
			break
		}
	}
	return nil, err
}

// freePort returns a port of 127.0.0.1 that was free a moment ago, from below the range of outgoing connections.
func freePort() int {
	const low, high = 10000, 32768
	port := low
	for range 50 {
		port = low + rand.IntN(high-low)
		if l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port)); err == nil {
			_ = l.Close()
			break
		}
	}
	return port
}

func (s *server) start(ctx context.Context, dir string, listen []string) error {
	log, err := os.Create(filepath.Join(dir, "redis.log"))
	if err != nil {
		close(s.dead)
		return err
	}
	defer log.Close()
	s.cmd = exec.Command("redis-server", append([]string{"--save", "", "--appendonly", "no"}, listen...)...)
	s.cmd.Dir, s.cmd.Stdout, s.cmd.Stderr = dir, log, log
	s.cmd.SysProcAttr = detached()
	started := make(chan error)
	go s.run(started)
	if err := <-started; err != nil {
		return err
	}
	if err := s.awaitAnswer(ctx); err != nil {
		text, _ := os.ReadFile(log.Name())
		return fmt.Errorf("redis-server at %s: %w; its log:\n%s", s.addr, err, text)
	}
	return nil
}

// run starts the process and reaps it. start starts it, the process's end ends it, kill waits for it. Both happen on
// one OS thread that nothing else may use in between, since the kernel kills the child when the thread that forked it
// ends: so the servers die with this program, but not with a passing goroutine's thread.
func (s *server) run(started chan<- error) {
	defer close(s.dead)
	runtime.LockOSThread()
	defer runtime.UnlockOSThread() // the child is reaped: nothing hangs on this thread any more
	err := s.cmd.Start()
	started <- err
	if err == nil {
		_ = s.cmd.Wait() // says how it died, and that is by our hand
	}
}

func (s *server) awaitAnswer(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	for {
		err := s.probe()
		if err == nil {
			return nil
		}
		select {
		case <-s.dead:
			return errors.New("ended before it answered")
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", context.Cause(ctx), err)
		case <-time.After(pollEvery):
		}
	}
}

// probe returns nil when the process answers, and not a stranger who has taken its port.
func (s *server) probe() error {
	conn, err := net.DialTimeout(s.network, s.addr, time.Second)
	if err != nil {
		return err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(time.Second))
	if _, err := conn.Write([]byte("INFO server\r\n")); err != nil {
		return err
	}
	ours := fmt.Sprintf("process_id:%d", s.cmd.Process.Pid)
	for lines := bufio.NewScanner(conn); lines.Scan(); {
		switch line := lines.Text(); {
		case line == ours:
			return nil
		case strings.HasPrefix(line, "process_id:"), strings.HasPrefix(line, "-"):
			return fmt.Errorf("it said %q, want %s", line, ours)
		}
	}
	return errors.New("the answer broke off")
}

// pause stops the process: connections stay open, and nobody gets an answer.
func (s *server) pause() error { return s.cmd.Process.Signal(syscall.SIGSTOP) }

// resume lets it run on.
func (s *server) resume() error { return s.cmd.Process.Signal(syscall.SIGCONT) }

// kill returns when the process is dead and reaped.
func (s *server) kill() {
	if s.cmd != nil && s.cmd.Process != nil {
		_ = s.cmd.Process.Kill() // fails only on a process that has ended
	}
	<-s.dead
}
