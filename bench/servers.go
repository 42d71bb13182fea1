package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"
)

// fleet is a number of servers that are independent of each other, keep what they keep below one directory, and listen
// on 127.0.0.1 or on a unix socket, nowhere else.
type fleet struct {
	dir     string
	servers []*server
}

// server is where a server is reached, and its process, if this program has started it.
type server struct {
	network, addr string
	*process      // nil when another program has started it, and for one behind a relay
}

// program is a kind of server.
type program struct {
	name  string // of the executable
	by    string // who installs it
	unix  bool   // can listen on a unix socket
	args  func(s *server) []string
	probe func(ctx context.Context, s *server) error // nil when the process answers, and not a stranger at its address
}

const (
	// startTimeout bounds the wait for a server's first answer, which takes some 10 ms of Redis, and 100 ms of etcd.
	startTimeout = 10 * time.Second

	// pollEvery is the pause between two looks at a process.
	pollEvery = 2 * time.Millisecond
)

// startFleet returns when n new servers answer.
func startFleet(ctx context.Context, kind *program, n int, unix bool) (*fleet, error) {
	dir, err := os.MkdirTemp("", "hf-bench-")
	if err != nil {
		return nil, err
	}
	f := &fleet{dir: dir, servers: make([]*server, n)}
	var starts errgroup.Group
	for i := range f.servers {
		starts.Go(func() (err error) {
			f.servers[i], err = kind.start(ctx, filepath.Join(dir, fmt.Sprint(i)), unix && kind.unix)
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

// cpu returns what the servers have used so far, or 0 if nobody tells.
func (f *fleet) cpu() (sum time.Duration) {
	for _, s := range f.servers {
		if s.process != nil {
			sum += cpuOf(s.pid())
		}
	}
	return sum
}

// quorum is how many servers are a majority.
func (f *fleet) quorum() int { return len(f.servers)/2 + 1 }

// start returns when a new server answers. On TCP another process may take the port between our look and the server's
// bind, so it tries a few times.
func (p *program) start(ctx context.Context, dir string, unix bool) (s *server, err error) {
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, err
	}
	for range 5 {
		s = &server{network: "unix", addr: filepath.Join(dir, "socket")}
		if !unix {
			s.network, s.addr = "tcp", freeAddr()
		}
		if err = p.try(ctx, s, dir); err == nil {
			return s, nil
		}
		if unix || ctx.Err() != nil {
			break
		}
	}
	return nil, err
}

// freeAddr returns an address on 127.0.0.1 that was free a moment ago, from below the range of outgoing connections.
func freeAddr() (addr string) {
	const low, high = 10000, 32768
	for range 50 {
		addr = fmt.Sprintf("127.0.0.1:%d", low+rand.IntN(high-low))
		if l, err := net.Listen("tcp", addr); err == nil {
			_ = l.Close()
			break
		}
	}
	return addr
}

// try starts the process and waits for its answer. When there is none, nothing is left of it.
func (p *program) try(ctx context.Context, s *server, dir string) (err error) {
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command(p.name, p.args(s)...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, log, log
	if s.process, err = spawn(cmd); err != nil {
		return err
	}
	if err := p.awaitAnswer(ctx, s); err != nil {
		s.kill()
		text, _ := os.ReadFile(log.Name())
		return fmt.Errorf("%s at %s: %w; its log:\n%s", p.name, s.addr, err, text)
	}
	return nil
}

func (p *program) awaitAnswer(ctx context.Context, s *server) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	for {
		err := p.probe(ctx, s)
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

// dial connects for a probe, which must be over in a second.
func (s *server) dial(ctx context.Context) (net.Conn, error) {
	d := net.Dialer{Timeout: time.Second}
	conn, err := d.DialContext(ctx, s.network, s.addr)
	if err == nil {
		_ = conn.SetDeadline(time.Now().Add(time.Second))
	}
	return conn, err
}
