package sim

import (
	"slices"
	"strconv"
	"strings"
	"time"
)

// Event is something that the server did to some keys: a command that it
// executed, or that it forgot them.
type Event struct {
	At     time.Time
	Server *Server
	Verb   string   // "acquire", "adopt", "release", "renew", "raise", "inspect", "forget"; another command by its name
	Args   []string // of the command, behind the keys
	Keys   []Change // that it was about
}

// Change is what became of one key, or of one cell of a table of fences: that is called after the table, "#" and its
// number. "" is nothing.
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
		e.Keys[k].After = s.named(key)
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
	return Change{Key: key, Before: s.named(key), Expires: at}
}

// analyse says what a command is, and returns the keys that it is about.
func (s *Server) analyse(e *Event, args []string) (keys []string) {
	e.Verb = strings.ToUpper(args[0])
	switch e.Verb {
	case "SET":
		e.Verb, e.Args = "acquire", args[2:]
		return args[1:2]
	case "DELIFEQ", "DELEX":
		if len(args) < 3 {
			return nil // a greeting asks whether it is there
		}
		e.Verb, e.Args = "release", args[len(args)-1:]
		return args[1:2]
	case "EVALSHA":
		s.mu.Lock()
		name := s.names[args[1]]
		s.mu.Unlock()
		if name == "" || name == loaded {
			return nil // a greeting asks whether it is there
		}
		e.Verb, _, _ = strings.Cut(name, " ")
		n, _ := strconv.Atoi(args[2])
		e.Args = args[3+n:]
		keys = args[3 : 3+n]
		if strings.HasSuffix(keys[n-1], fenceTable) && name == "acquire all and raise" { // the cells' bounds are behind four arguments
			about := slices.Clone(keys[:n-1])
			for k := range n - 1 {
				about = append(about, cellName(keys[n-1], strconv.FormatInt(integer(e.Args[4+2*k])/cellBytes, 10)))
			}
			return about
		}
		if strings.HasSuffix(keys[n-1], fenceTable) { // the cell's first byte, and its last, are among the last arguments
			first := e.Args[len(e.Args)-2]
			if e.Verb == "acquire" {
				first = e.Args[len(e.Args)-3]
			}
			return []string{keys[0], cellName(keys[1], strconv.FormatInt(integer(first)/cellBytes, 10))}
		}
		return keys
	case "BITFIELD":
		if len(args) < 3 {
			return nil // a greeting asks whether it is there
		}
		e.Verb, e.Args = "raise", args[2:]
		for k := 2; k < len(args); k++ {
			if strings.EqualFold(args[k], "GET") {
				keys = append(keys, cellName(args[1], strings.TrimPrefix(args[k+2], "#")))
			}
		}
		return keys
	}
	return nil
}
