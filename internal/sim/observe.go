package sim

import (
	"strconv"
	"strings"
	"time"
)

// Event is something that the server did to some keys: a command that it
// executed, or that it forgot them.
type Event struct {
	At     time.Time
	Server *Server
	Verb   string   // "acquire", "adopt", "release", "renew", "inspect", "forget"; another command by its name
	Args   []string // of the command, behind the keys
	Keys   []Change // that it was about
}

// Change is what became of one key: "" is nothing.
type Change struct {
	Key           string
	Before, After string
	Expires       time.Time // of what was there before, on the bubble's clock; zero: never
}

// Observe has every command, and every loss of memory, told to see. It is called
// between two commands of this server; it may ask the server what it has, and
// must not do anything to it. Calls are not kept any more.
func (s *Server) Observe(see func(Event)) {
	s.executing.Lock()
	defer s.executing.Unlock()
	s.observe = see
}

// observed executes a command and tells the observer.
func (s *Server) observed(c *conn, args []string) []byte {
	if s.observe == nil {
		return c.session.do(args)
	}
	e := Event{At: time.Now(), Server: s}
	keys := s.analyse(&e, args)
	for _, key := range keys {
		e.Keys = append(e.Keys, s.before(key))
	}
	reply := c.session.do(args)
	for k, key := range keys {
		e.Keys[k].After = s.Get(key)
	}
	s.observe(e)
	return reply
}

// forget deletes all keys and tells the observer. Called with executing held.
func (s *Server) forget() {
	e := Event{At: time.Now(), Server: s, Verb: "forget"}
	if s.observe != nil {
		for _, key := range s.store.keys() {
			e.Keys = append(e.Keys, s.before(key))
		}
	}
	s.store.forget()
	s.flushed()
	if s.observe != nil {
		s.observe(e)
	}
}

func (s *Server) before(key string) Change {
	at, _ := s.store.expires(key)
	return Change{Key: key, Before: s.Get(key), Expires: at}
}

// analyse says what a command is, and returns the keys that it is about.
func (s *Server) analyse(e *Event, args []string) (keys []string) {
	e.Verb = strings.ToUpper(args[0])
	switch e.Verb {
	case "SET":
		e.Verb, e.Args = "acquire", args[2:]
		return args[1:2]
	case "EVALSHA":
		s.mu.Lock()
		name := s.names[args[1]]
		s.mu.Unlock()
		e.Verb, _, _ = strings.Cut(name, " ")
		n, _ := strconv.Atoi(args[2])
		e.Args = args[3+n:]
		return args[3 : 3+n]
	}
	return nil
}
