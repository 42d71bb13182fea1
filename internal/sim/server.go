package sim

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/alicebob/miniredis/v2/server"
)

// Server is one simulated Redis. All methods are safe for concurrent use.
type Server struct {
	name  string
	redis *miniredis.Miniredis
	conns sync.WaitGroup // the goroutines of the connections

	turn sync.Mutex // held over the execution of one command, and over what must not happen during one

	mu       sync.Mutex
	changed  chan struct{} // closed, and made anew, whenever anything below changes
	requests time.Duration // how long a request is on its way
	replies  time.Duration // how long a reply is
	hung     bool
	cut      bool
	losing   bool
	refusal  string
	deaf     bool // CLIENT TRACKING is not permitted
	closed   bool
	conn     map[*conn]bool
	lastID   int64
	starts   int // also the run_id
	started  time.Time
	calls    []Call
	interest map[string]map[*conn]bool // who is to be told when a key changes
}

// Call is one command as the server executed it.
type Call struct {
	At   time.Time
	Args []string
}

// firstAge is how old a server is at the beginning: older than any quarantine.
const firstAge = 24 * time.Hour

func newServer(name string) (*Server, error) {
	s := &Server{
		name:     name,
		redis:    miniredis.NewMiniRedis(),
		changed:  make(chan struct{}),
		conn:     make(map[*conn]bool),
		interest: make(map[string]map[*conn]bool),
		starts:   1,
		started:  time.Now().Add(-firstAge),
	}
	s.redis.ClockTTL(true)
	c, err := s.redis.Dial() // starts it without a listener
	if err != nil {
		return nil, err
	}
	return s, c.Close()
}

// Name is what the server, and its instance, is called.
func (s *Server) Name() string { return s.name }

// Dial connects to the server; it is a redis.Options.Dialer. A server that hangs
// accepts the connection, as a kernel does for a process that is stopped.
func (s *Server) Dial(context.Context, string, string) (net.Conn, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cut || s.closed {
		return nil, &net.OpError{Op: "dial", Net: "sim", Addr: addr(s.name), Err: syscall.ECONNREFUSED}
	}
	s.lastID++
	c := &conn{server: s, id: s.lastID}
	s.conn[c] = true
	s.conns.Go(c.serve)
	return c, nil
}

// Latency sets how long requests and replies are on their way from now on.
func (s *Server) Latency(requests, replies time.Duration) {
	s.change(func() { s.requests, s.replies = requests, replies })
}

// Hang stops the server as SIGSTOP does: connections and requests are accepted,
// and nothing is done, until Thaw.
func (s *Server) Hang() { s.change(func() { s.hung = true }) }

// Thaw lets a server that hangs go on: it serves everything that has come
// meanwhile, also on connections that the client has left.
func (s *Server) Thaw() { s.change(func() { s.hung = false }) }

// ThawReordered is Thaw with the connections that the client has left served
// last, late behind the others: what is still in their sockets is executed after
// what came on newer ones.
func (s *Server) ThawReordered(late time.Duration) {
	s.change(func() {
		s.hung = false
		for c := range s.conn {
			if c.left {
				c.resume = time.Now().Add(late)
			}
		}
	})
}

// Cut breaks all connections, with whatever is on its way, and refuses new ones
// until Mend. The server itself lives on.
func (s *Server) Cut() {
	s.change(func() {
		s.cut = true
		s.breakAll()
	})
}

// Mend ends Cut.
func (s *Server) Mend() { s.change(func() { s.cut = false }) }

// Break breaks all connections, once: the next dial succeeds.
func (s *Server) Break() { s.change(s.breakAll) }

// LoseReplies makes the server execute everything and its answers get lost,
// from now on or not any more. A connection that lost a reply stays mute.
func (s *Server) LoseReplies(lose bool) { s.change(func() { s.losing = lose }) }

// Refuse makes the server answer every command, except those of a connection's
// greeting, with this error; "" ends it.
func (s *Server) Refuse(text string) { s.change(func() { s.refusal = text }) }

// Restart is a crash: all connections break, and all keys and scripts are gone.
// The new process has a new run_id and no age. It does not hang.
func (s *Server) Restart() {
	s.turn.Lock()
	defer s.turn.Unlock()
	s.change(func() {
		s.breakAll()
		s.hung = false
		s.starts++
		s.started = time.Now()
	})
	s.redis.FlushAll()
	s.redis.Server().Dispatch(server.NewPeer(bufio.NewWriter(new(bytes.Buffer))), []string{"SCRIPT", "FLUSH"})
}

// Forget deletes all keys, as FLUSHALL does.
func (s *Server) Forget() {
	s.turn.Lock()
	defer s.turn.Unlock()
	s.flush()
}

// ForgetScripts is SCRIPT FLUSH.
func (s *Server) ForgetScripts() {
	s.turn.Lock()
	defer s.turn.Unlock()
	s.redis.Server().Dispatch(server.NewPeer(bufio.NewWriter(new(bytes.Buffer))), []string{"SCRIPT", "FLUSH"})
}

// Age makes the process as old as this.
func (s *Server) Age(age time.Duration) {
	s.change(func() { s.started = time.Now().Add(-age) })
}

// Get returns the value of a string key, "" if there is none.
func (s *Server) Get(key string) string {
	value, err := s.redis.Get(key)
	if err != nil {
		return ""
	}
	return value
}

// TTL returns how long the key still lives: 0 when it is not there, or lives for ever.
func (s *Server) TTL(key string) time.Duration {
	if s.Get(key) == "" { // expires what is due
		return 0
	}
	return s.redis.TTL(key)
}

// Set sets a key, for ttl unless that is 0.
func (s *Server) Set(key, value string, ttl time.Duration) {
	s.turn.Lock()
	defer s.turn.Unlock()
	s.alter(func() {
		if err := s.redis.Set(key, value); err != nil {
			panic(err) // cannot happen: it replaces keys of any type
		}
		if ttl > 0 {
			s.redis.SetTTL(key, ttl)
		}
	})
}

// Del deletes a key.
func (s *Server) Del(key string) {
	s.turn.Lock()
	defer s.turn.Unlock()
	s.alter(func() { s.redis.Del(key) })
}

// Keys returns the names of all keys.
func (s *Server) Keys() []string { return s.redis.Keys() }

// Calls returns the commands executed since the beginning, or since the last
// ForgetCalls, except those of a connection's greeting.
func (s *Server) Calls() []Call {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Call(nil), s.calls...)
}

// ForgetCalls empties Calls.
func (s *Server) ForgetCalls() { s.change(func() { s.calls = nil }) }

// Connections returns how many connections the client has open.
func (s *Server) Connections() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for c := range s.conn {
		if !c.left {
			n++
		}
	}
	return n
}

func (s *Server) close() {
	s.change(func() {
		s.closed = true
		s.breakAll()
	})
	s.conns.Wait()
	s.redis.Close()
}

// change does something with mu held and tells everyone who waits.
func (s *Server) change(do func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	do()
	s.tell()
}

// tell wakes everyone who waits. Called with mu held.
func (s *Server) tell() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// breakAll is called with mu held.
func (s *Server) breakAll() {
	for c := range s.conn {
		c.dead = true
		delete(s.conn, c)
	}
	clear(s.interest)
}

// execute executes one command of a connection and returns the reply in bytes.
// It reports false when the connection has died before.
func (s *Server) execute(c *conn, args []string) (reply []byte, ok bool) {
	s.turn.Lock()
	defer s.turn.Unlock()
	s.mu.Lock()
	dead := c.dead
	s.mu.Unlock()
	if dead {
		return nil, false
	}
	if reply, ok := s.own(c, args); ok {
		return reply, true
	}
	if refusal := s.note(args); refusal != "" {
		return fmt.Appendf(nil, "-%s\r\n", refusal), true
	}
	s.alter(func() {
		s.redis.Server().Dispatch(c.peer, args)
		c.peer.Flush()
	})
	if strings.EqualFold(args[0], "PTTL") {
		s.track(c, args[1])
	}
	reply = bytes.Clone(c.buffer.Bytes())
	c.buffer.Reset()
	return reply, true
}

// note records a call, and returns the error that answers it, if any.
func (s *Server) note(args []string) (refusal string) {
	switch strings.ToUpper(args[0]) {
	case "HELLO", "SCRIPT":
		return ""
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls = append(s.calls, Call{At: time.Now(), Args: args})
	return s.refusal
}

// own answers what miniredis does not know: who the server and the connection are.
func (s *Server) own(c *conn, args []string) (reply []byte, ok bool) {
	words := strings.ToUpper(strings.Join(args[:min(len(args), 3)], " "))
	switch {
	case words == "INFO SERVER":
		s.mu.Lock()
		defer s.mu.Unlock()
		return bulk(fmt.Sprintf("# Server\r\nredis_version:7.4.0\r\nrun_id:%s.%d\r\nuptime_in_seconds:%d\r\n",
			s.name, s.starts, int(time.Since(s.started).Seconds()))), true
	case words == "INFO REPLICATION":
		s.mu.Lock()
		defer s.mu.Unlock()
		return bulk(fmt.Sprintf("# Replication\r\nrole:master\r\nmaster_replid:%s.%d\r\nmaster_replid2:%040d\r\n", s.name, s.starts, 0)), true
	case words == "CLIENT ID":
		return fmt.Appendf(nil, ":%d\r\n", c.id), true
	case words == "CLIENT TRACKING ON":
		return s.startTracking(c), true
	case words == "CLIENT KILL ID" && len(args) == 4:
		return fmt.Appendf(nil, ":%d\r\n", s.kill(args[3])), true
	}
	return nil, false
}

// kill breaks the connection with this id, and drops what it has not read.
func (s *Server) kill(id string) (killed int) {
	n, _ := strconv.ParseInt(id, 10, 64)
	s.change(func() {
		for c := range s.conn {
			if c.id == n {
				c.dead = true
				delete(s.conn, c)
				killed++
			}
		}
	})
	return killed
}

func bulk(text string) []byte { return fmt.Appendf(nil, "$%d\r\n%s\r\n", len(text), text) }
