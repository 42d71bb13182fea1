package sim

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Server is one simulated Redis. All methods are safe for concurrent use.
type Server struct {
	name   string
	clock  *clock
	store  store
	part   bool           // of a cluster or a pair: it is no instance by itself
	rank   rank           // guarded by executing, as the next two
	member *membership    // of a cluster; nil: it is no node of any
	leader *Server        // a sentinel's: whom it names as the master; nil: it is no sentinel
	conns  sync.WaitGroup // the goroutines of the connections

	executing sync.Mutex // held over the execution of one command, and over what must not happen during one
	observe   func(Event)

	mu       sync.Mutex
	seed     uint64 // of what is random about connections
	requests span   // how long a request is on its way
	replies  span   // how long a reply is
	hung     bool
	cut      bool
	dead     bool // for good, or until it is started again
	losing   bool
	deaf     bool
	twice    bool
	unkind   bool // CLIENT KILL is not permitted
	blind    bool // CLIENT TRACKING is not permitted
	refusal  string
	closed   bool
	conn     map[*conn]bool
	lastID   int64
	starts   int       // also the run_id
	started  time.Time // on its own clock
	calls    []Call
	names    map[string]string         // of scripts, by their SHA1
	interest map[string]map[*conn]bool // who is to be told when a key changes
}

// Call is one command as the server executed it.
type Call struct {
	At   time.Time
	Args []string
}

const (
	firstAge  = 24 * time.Hour // how old a server is at the beginning: older than any quarantine
	version74 = "7.4.0"
)

func newServer(name string, s store, c *clock) *Server {
	return &Server{
		name:     name,
		clock:    c,
		store:    s,
		conn:     make(map[*conn]bool),
		starts:   1,
		started:  c.now().Add(-firstAge),
		names:    make(map[string]string),
		interest: make(map[string]map[*conn]bool),
	}
}

// Name is what the server, and its instance, is called.
func (s *Server) Name() string { return s.name }

// Dial connects to the server; it is a redis.Options.Dialer. A server that hangs
// accepts the connection, as a kernel does for a process that is stopped.
func (s *Server) Dial(context.Context, string, string) (net.Conn, error) {
	c, err := s.accept(nil)
	if err != nil {
		return nil, err
	}
	return c, nil
}

// accept is Dial from a host.
func (s *Server) accept(h *Host) (*conn, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cut || s.dead || s.closed {
		return nil, &net.OpError{Op: "dial", Net: "sim", Addr: addr(s.name), Err: syscall.ECONNREFUSED}
	}
	s.lastID++
	c := newConn(s, h, s.lastID)
	s.conn[c] = true
	s.conns.Go(c.serve)
	return c, nil
}

// Get returns the value of a string key, "" if there is none.
func (s *Server) Get(key string) string {
	value, _ := s.store.get(key)
	return value
}

// TTL returns how long the key still lives: 0 when it is not there, or lives for ever.
func (s *Server) TTL(key string) time.Duration {
	at, ok := s.store.expires(key)
	if !ok {
		return 0
	}
	return time.Until(at)
}

// Set sets a key, for ttl unless that is 0.
func (s *Server) Set(key, value string, ttl time.Duration) {
	s.executing.Lock()
	defer s.executing.Unlock()
	s.alter(func() { s.store.set(key, value, ttl) })
}

// Del deletes a key.
func (s *Server) Del(key string) {
	s.executing.Lock()
	defer s.executing.Unlock()
	s.alter(func() { s.store.del(key) })
}

// Keys returns the names of all keys.
func (s *Server) Keys() []string { return s.store.keys() }

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
	s.store.close()
}

// change does something with mu held and tells everyone who waits.
func (s *Server) change(do func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	do()
	for c := range s.conn {
		c.tell()
	}
}

// breakAll is called with mu held.
func (s *Server) breakAll() {
	for c := range s.conn {
		c.die()
	}
	clear(s.interest)
}

// execute executes one command of a connection and returns the reply in bytes.
// It reports false when the connection has died before.
func (s *Server) execute(c *conn, args []string) (reply []byte, ok bool) {
	s.executing.Lock()
	defer s.executing.Unlock()
	s.mu.Lock()
	dead, twice := c.dead, s.twice
	s.mu.Unlock()
	if dead {
		return nil, false
	}
	if reply, ok := s.own(c, args); ok {
		return reply, true
	}
	asking := c.asking
	c.asking = false
	if refusal := s.note(args); refusal != "" {
		return text("-" + refusal), true
	}
	if strings.EqualFold(args[0], "ASKING") && s.member != nil {
		c.asking = true
		return text("+OK"), true
	}
	if reply, ok := s.refers(args, asking); ok {
		return reply, true
	}
	if s.rank.replica && writes(args) {
		return text("-READONLY You can't write against a read only replica."), true
	}
	s.alter(func() {
		reply = s.observed(c, args)
		if twice {
			s.observed(c, args)
		}
	})
	switch strings.ToUpper(args[0]) {
	case "PTTL", "EXISTS":
		for _, key := range args[1:] {
			s.track(c, key)
		}
	case "GETRANGE":
		s.track(c, args[1])
	}
	return reply, true
}

// note records a call, and returns the error that answers it, if any.
func (s *Server) note(args []string) (refusal string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch strings.ToUpper(args[0]) {
	case "HELLO":
		return ""
	case "DELIFEQ", "DELEX":
		if len(args) == 1 { // a greeting asks whether it is there
			return ""
		}
	case "EVALSHA":
		if s.names[args[1]] == loaded {
			return ""
		}
	case "SCRIPT":
		if len(args) == 3 {
			s.names[shaOf(args[2])] = nameOf(args[2])
		}
		return ""
	}
	if s.observe == nil {
		s.calls = append(s.calls, Call{At: time.Now(), Args: args})
	}
	return s.refusal
}

// own answers what a store does not know: who the server and the connection are.
func (s *Server) own(c *conn, args []string) (reply []byte, ok bool) {
	words := strings.ToUpper(strings.Join(args[:min(len(args), 3)], " "))
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case words == "INFO SERVER":
		uptime := s.clock.now().Unix() - s.started.Unix()
		return bulk(fmt.Sprintf("# Server\r\nredis_version:%s\r\nredis_mode:%s\r\nrun_id:%s.%d\r\nuptime_in_seconds:%d\r\n",
			version74, s.mode(), s.name, s.starts, uptime)), true
	case words == "INFO REPLICATION":
		role, former := s.role()
		return bulk(fmt.Sprintf("# Replication\r\nrole:%s\r\nmaster_replid:%s\r\nmaster_replid2:%s\r\n", role, s.history(), former)), true
	case words == "CLUSTER SLOTS" && s.member != nil:
		return s.member.slots(), true
	case words == "CLUSTER SLOTS":
		return text("-ERR This instance has cluster support disabled"), true
	case s.leader != nil && strings.HasPrefix(words, "SENTINEL GET-MASTER-ADDR-BY-NAME"):
		return s.leader.announced(), true
	case words == "CLIENT ID":
		return number(c.id), true
	case words == "CLIENT TRACKING ON":
		return s.startTracking(c), true
	case words == "CLIENT KILL ID":
		if s.unkind {
			return text("-NOPERM this user has no permissions to run the 'client|kill' command"), true
		}
		if len(args) == 6 && args[3] == strconv.FormatInt(c.id, 10) { // SKIPME yes
			return number(0), true
		}
		return number(s.kill(args[3])), true
	}
	return nil, false
}

func (s *Server) mode() string {
	if s.member != nil {
		return "cluster"
	}
	return "standalone"
}

// kill breaks the connection with this id, and drops what it has not read.
// Called with mu held.
func (s *Server) kill(id string) (killed int64) {
	n, _ := strconv.ParseInt(id, 10, 64)
	for c := range s.conn {
		if c.id == n {
			c.die()
			killed++
		}
	}
	return killed
}

// role is what INFO says of it: master or slave, and which history it had before it
// became a master.
func (s *Server) role() (role, former string) {
	role, former = "master", strings.Repeat("0", 40)
	if s.rank.replica {
		role = "slave"
	} else if s.rank.former != "" {
		former = s.rank.former
	}
	return role, former
}
